/* SPDX-License-Identifier: MIT */
/*
 * drain: resident bytes after a drain against the time since, beside the bytes that are
 * still live. A cell is drawn when its time line has an idle phase: the workload has
 * freed what it frees and waits. A picture for each workload, a panel for each cell.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "bench/plot_alloc.h"
#include "bench/plot_curves.h"
#include "bench/plot_internal.h"

#define PANELS_MAX 6
/* The axis of time is logarithmic: it begins with the sampler's interval. */
#define FROM_S	   0.01
#define POINTS	   80
#define IDLE_MIN_S 0.1 /* an idle phase of less shows no decay */
#define IDLE_PHASE "idle"

static size_t idle_begin(const struct timeline *t)
{
	return timeline_phase_begin(t, IDLE_PHASE);
}

/* Seconds since the idle phase began; its first row stands for all up to FROM_S. */
static double seconds_idle(const struct timeline *t, size_t row)
{
	double since = timeline_seconds(t, row) - timeline_seconds(t, t->origin);

	return fmax(since, FROM_S);
}

/*
 * Nothing is allocated or freed while a workload is idle. Samples of the frees that end
 * it may bear its name still.
 */
static bool is_idle(const struct timeline *t, size_t row)
{
	return strcmp(timeline_phase(t, row), IDLE_PHASE) == 0 &&
	       !(timeline_live(t, row) < timeline_live(t, t->origin));
}

static double resident_idle(const struct timeline *t, size_t row)
{
	return is_idle(t, row) ? timeline_resident(t, row) : NAN;
}

static double live_idle(const struct timeline *t, size_t row)
{
	return is_idle(t, row) ? timeline_live(t, row) : NAN;
}

static bool take_curves(const struct measurement *m, struct curves *resident,
			struct curves *live)
{
	double low = INFINITY, high = 0;

	curves_of(m, seconds_idle, resident_idle, idle_begin, resident);
	curves_of(m, seconds_idle, live_idle, idle_begin, live);
	return curves_range(resident, &low, &high) && high >= IDLE_MIN_S;
}

/* Floors keep everything or have nothing: they say nothing of drains. */
static bool has_drain(const struct dataset *d, size_t cell, size_t series)
{
	struct curves resident, live;
	bool has;

	if (d->series[series].kind == SERIES_FLOOR)
		return false;
	has = take_curves(dataset_at(d, cell, series), &resident, &live);
	curves_free(&resident);
	curves_free(&live);
	return has;
}

/* Rows: panel, series, seconds, middle, low, high; an empty line between lines. */
static void write_line(struct plotter *p, size_t panel, size_t series,
		       const struct curves *c)
{
	double low = INFINITY, high = 0;
	size_t points = 0;

	curves_range(c, &low, &high);
	for (int i = 0; i <= POINTS; i++) {
		double t = FROM_S * pow(high / FROM_S, (double)i / POINTS);
		struct summary s;

		if (!curves_at(c, fmin(t, high), &s))
			continue;
		fprintf(p->table, "%zu\t%zu\t%.6g\t%.8g\t%.8g\t%.8g\n", panel, series, t,
			s.middle, s.low, s.high);
		points++;
	}
	/* Two empty lines would end the table's block. */
	if (points > 0)
		fputc('\n', p->table);
}

static double value_at_start(const struct curves *c)
{
	struct summary s;

	return curves_at(c, FROM_S, &s) ? s.middle : NAN;
}

/* The lines of a panel. Returns the bytes that stay live, the most of any allocator. */
static double write_panel(struct plotter *p, size_t panel, size_t cell, const bool *used)
{
	double live_bytes = 0;

	for (size_t s = 0; s < p->d->nr_series; s++) {
		struct curves resident = {0}, live = {0};

		if (used[s] && take_curves(dataset_at(p->d, cell, s), &resident, &live)) {
			write_line(p, panel, plot_series_number(used, s), &resident);
			live_bytes = fmax(live_bytes, value_at_start(&live));
		}
		curves_free(&resident);
		curves_free(&live);
	}
	return live_bytes;
}

/* Blocks: lines; panel, live bytes and title. */
static int draw_page(struct plotter *p, const size_t *cells, size_t nr_cells,
		     size_t number)
{
	const struct dataset *d = p->d;
	const char *workload = d->cells[cells[0]].workload;
	bool *used = plot_calloc(d->nr_series, sizeof(*used));
	double live_bytes[PANELS_MAX];
	char *detail = number > 1 ? plot_printf("%s %zu", workload, number)
				  : plot_strdup(workload);
	char *title = plot_printf("Memory after the drain: %s", workload), buf[32];
	int err = -EIO;

	for (size_t i = 0; i < nr_cells * d->nr_series; i++)
		used[i % d->nr_series] |= has_drain(d, cells[i / d->nr_series],
						    i % d->nr_series);
	if (plot_begin(p, detail, used) != NULL) {
		for (size_t i = 0; i < nr_cells; i++)
			live_bytes[i] = write_panel(p, i + 1, cells[i], used);
		fputc('\n', p->table);
		for (size_t i = 0; i < nr_cells; i++)
			fprintf(p->table, "%zu\t%.8g\t%s%s%s kept live\n", i + 1,
				live_bytes[i], d->cells[cells[i]].panel,
				*d->cells[cells[i]].panel != '\0' ? ": " : "",
				format_bytes(live_bytes[i], buf, sizeof(buf)));
		err = plot_submit(
			p, title,
			"resident bytes by time since the last free; lower is better",
			"Medians over blocks; pale band: minimum to maximum. Dashed "
			"black line: bytes still live.");
	}
	free(title);
	free(detail);
	free(used);
	return err;
}

static bool cell_has_drain(const struct dataset *d, size_t cell)
{
	for (size_t s = 0; s < d->nr_series; s++) {
		if (has_drain(d, cell, s))
			return true;
	}
	return false;
}

static int draw(struct plotter *p)
{
	const struct dataset *d = p->d;
	size_t cells[PANELS_MAX], n = 0, number = 1;
	int err = 0;

	for (size_t c = 0; c < d->nr_cells && err == 0; c++) {
		bool last = c + 1 == d->nr_cells ||
			    strcmp(d->cells[c + 1].workload, d->cells[c].workload) != 0;

		if (cell_has_drain(d, c))
			cells[n++] = c;
		if (n == PANELS_MAX || (last && n > 0)) {
			err = draw_page(p, cells, n, number++);
			n = 0;
		}
		if (last)
			number = 1;
	}
	if (err == 0 && p->drawn == 0)
		plot_left_out(
			p, "no memory time line goes on for 0.1 s after the last free");
	return err;
}

static const struct plot_kind drain_kind = {
	.name = "drain",
	.rank = 44,
	.draw = draw,
};
PLOT_REGISTER(drain_kind);
