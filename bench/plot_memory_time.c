/* SPDX-License-Identifier: MIT */
/*
 * memory-time: for each cell, bytes over time, a panel for each allocator: resident R,
 * usable U, and live L as asked for. What lies between U and L is internal fragmentation,
 * between R and U what is free or retained and still resident.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "bench/plot_alloc.h"
#include "bench/plot_curves.h"
#include "bench/plot_internal.h"
#include "bench/sampler.h"

/* Cells with less live than this show what an allocator maps to start with. */
#define LIVE_MIN_BYTES (256 * 1024.0)
/* Names of more phases than this would stand on each other. */
#define PHASE_NAMES_MAX 4
/* More lines than this hide what they divide: those of the work are then left out. */
#define PHASE_LINES_MAX 16
#define PHASES_MAX	1024

/* Of all blocks. */
struct lines {
	struct curves resident, live;
};

static void take_lines(const struct measurement *m, struct lines *l)
{
	curves_of(m, timeline_seconds, timeline_resident, NULL, &l->resident);
	curves_of(m, timeline_seconds, timeline_live, NULL, &l->live);
}

static void free_lines(struct lines *l)
{
	curves_free(&l->resident);
	curves_free(&l->live);
}

static double largest_live(const struct lines *l)
{
	double largest = 0;

	for (size_t i = 0; i < l->live.count; i++) {
		for (size_t k = 0; k < l->live.list[i].count; k++)
			largest = fmax(largest, l->live.list[i].y[k]);
	}
	return largest;
}

/* When the last sample was taken that is of work. */
static double work_end_s(const struct timeline *t)
{
	double end = 0;

	for (size_t r = 0; r < t->rows; r++) {
		if (timeline_working(t, r))
			end = timeline_seconds(t, r);
	}
	return end;
}

/*
 * Where the picture ends: a workload may be idle for a hundred times as long as it
 * worked, which `drain` shows on a logarithmic axis. Here that time gets as much room as
 * the work.
 */
static double last_second(const struct dataset *d, size_t cell)
{
	double work = 0, end = 0;

	for (size_t s = 0; s < d->nr_series; s++) {
		const struct measurement *m = dataset_at(d, cell, s);

		for (size_t b = 0; b < m->nr_blocks; b++) {
			struct timeline t;

			if (!timeline_of(&m->blocks[b], &t))
				continue;
			end = fmax(end, timeline_seconds(&t, t.rows - 1));
			work = fmax(work, work_end_s(&t));
			timeline_free(&t);
		}
	}
	return work > 0 ? fmin(end, 2 * work) : end;
}

/*
 * The time line of the block whose work took the median time; false when there is none.
 * Blocks get out of step with each other, so that a median over what is live in them, or
 * usable, would be of the bursts of the one and the pauses of the other.
 */
static bool typical_timeline(const struct measurement *m, struct timeline *t)
{
	double *ends = plot_calloc(m->nr_blocks, sizeof(*ends));
	size_t nr_ends = 0, typical = m->nr_blocks;

	for (size_t b = 0; b < m->nr_blocks; b++) {
		ends[b] = NAN;
		if (timeline_of(&m->blocks[b], t)) {
			ends[b] = work_end_s(t);
			nr_ends++;
			timeline_free(t);
		}
	}
	for (size_t b = 0; b < m->nr_blocks && typical == m->nr_blocks; b++) {
		size_t before = 0;

		for (size_t o = 0; o < m->nr_blocks; o++)
			before += ends[o] < ends[b] || (ends[o] == ends[b] && o < b);
		if (!isnan(ends[b]) && before == (nr_ends - 1) / 2)
			typical = b;
	}
	free(ends);
	return typical < m->nr_blocks && timeline_of(&m->blocks[typical], t);
}

static void print_bytes(FILE *table, double bytes)
{
	if (isnan(bytes))
		fputs("\tnan", table);
	else
		fprintf(table, "\t%.8g", bytes);
}

/* Rows: panel, seconds, R, its minimum and maximum over blocks, U, L; an empty line
 * between panels. */
static void write_lines(struct plotter *p, size_t panel, const struct timeline *t,
			const struct lines *l, double last)
{
	for (size_t r = 0; r < t->rows && timeline_seconds(t, r) <= last; r++) {
		struct summary s = {.low = NAN, .high = NAN};

		curves_at(&l->resident, timeline_seconds(t, r), &s);
		fprintf(p->table, "%zu\t%.6g", panel, timeline_seconds(t, r));
		print_bytes(p->table, timeline_resident(t, r));
		print_bytes(p->table, s.low);
		print_bytes(p->table, s.high);
		print_bytes(p->table, timeline_usable(t, r));
		print_bytes(p->table, timeline_live(t, r));
		fputc('\n', p->table);
	}
	fputc('\n', p->table);
}

/* Rows: panel, where a phase begins, the phase's name or "-". */
static void write_phases(struct plotter *p, size_t panel, const struct timeline *t,
			 double last)
{
	size_t begins[PHASES_MAX], n = 0;

	for (size_t r = 1; r < t->rows && n < PHASES_MAX; r++) {
		if (strcmp(timeline_phase(t, r), timeline_phase(t, r - 1)) != 0)
			begins[n++] = r;
	}
	/* Phases that come again and again leave no room for names. */
	for (size_t i = 0; i < n; i++) {
		const char *phase = timeline_phase(t, begins[i]);
		bool works = sampler_phase_works(phase);

		if (n > PHASE_LINES_MAX && works)
			continue;
		if (timeline_seconds(t, begins[i]) <= last)
			fprintf(p->table, "%zu\t%.6g\t%s\n", panel,
				timeline_seconds(t, begins[i]),
				n <= PHASE_NAMES_MAX || !works ? phase : "-");
	}
}

/* Rows: a bound on the memory needed that the workload reports, its name. */
static void write_bounds(struct plotter *p, size_t cell)
{
	static const struct {
		const char *metric, *name;
	} bounds[] = {
		{"robson_bound_bytes", "Robson: any allocator"},
		{"robson_first_fit_bytes", "Robson: first fit"},
	};

	fputs("nan\t-\n", p->table);
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(bounds); i++) {
		double largest = 0;

		for (size_t s = 0; s < p->d->nr_series; s++) {
			struct summary b;

			if (dataset_summary(dataset_at(p->d, cell, s), bounds[i].metric,
					    &b))
				largest = fmax(largest, b.middle);
		}
		if (largest > 0)
			fprintf(p->table, "%.8g\t%s\n", largest, bounds[i].name);
	}
}

/* Blocks: lines, phases, bounds. */
static void write_table(struct plotter *p, size_t cell, const bool *used,
			const struct lines *lines, double last)
{
	struct timeline t;

	for (size_t s = 0; s < p->d->nr_series; s++) {
		if (!used[s] || !typical_timeline(dataset_at(p->d, cell, s), &t))
			continue;
		write_lines(p, plot_series_number(used, s), &t, &lines[s], last);
		timeline_free(&t);
	}
	fputc('\n', p->table);
	fputs("0\tnan\t-\n", p->table);
	for (size_t s = 0; s < p->d->nr_series; s++) {
		if (!used[s] || !typical_timeline(dataset_at(p->d, cell, s), &t))
			continue;
		write_phases(p, plot_series_number(used, s), &t, last);
		timeline_free(&t);
	}
	plot_next_block(p);
	write_bounds(p, cell);
}

static int draw_cell(struct plotter *p, size_t cell, const bool *used,
		     const struct lines *lines)
{
	char *title = plot_printf("Memory over time: %s", p->d->cells[cell].label);
	int err = -EIO;

	if (plot_begin(p, p->d->cells[cell].label, used) != NULL) {
		write_table(p, cell, used, lines, last_second(p->d, cell));
		err = plot_submit(
			p, title,
			"bytes of the process, less what it held before the first "
			"allocation; lower is better",
			"The block whose work took the median time; pale band: resident in all "
			"blocks. Between live and usable: internal fragmentation; between usable "
			"and resident: external and retained.");
	}
	free(title);
	return err;
}

/* Why cells have no picture. */
struct reasons {
	struct plot_left_cells no_line, untouched, small;
};

static int consider_cell(struct plotter *p, size_t cell, bool *used, struct lines *lines,
			 struct reasons *left)
{
	const struct dataset *d = p->d;
	double live = 0;
	size_t n = 0;
	int err = 0;

	for (size_t s = 0; s < d->nr_series; s++) {
		take_lines(dataset_at(d, cell, s), &lines[s]);
		used[s] = lines[s].resident.count > 0 &&
			  d->series[s].kind != SERIES_FLOOR;
		n += used[s];
		if (used[s])
			live = fmax(live, largest_live(&lines[s]));
	}
	if (n == 0)
		plot_count_left(&left->no_line, &d->cells[cell]);
	else if (!plot_cell_touched(&d->cells[cell]))
		plot_count_left(&left->untouched, &d->cells[cell]);
	else if (live < LIVE_MIN_BYTES)
		plot_count_left(&left->small, &d->cells[cell]);
	else
		err = draw_cell(p, cell, used, lines);
	for (size_t s = 0; s < d->nr_series; s++)
		free_lines(&lines[s]);
	return err;
}

static int draw(struct plotter *p)
{
	bool *used = plot_calloc(p->d->nr_series, sizeof(*used));
	struct lines *lines = plot_calloc(p->d->nr_series, sizeof(*lines));
	struct reasons left = {0};
	int err = 0;

	for (size_t c = 0; c < p->d->nr_cells && err == 0; c++)
		err = consider_cell(p, c, used, lines, &left);
	plot_left_out_cells(p, &left.no_line, "no memory time line");
	plot_left_out_cells(p, &left.untouched,
			    "blocks that are not touched are not resident");
	plot_left_out_cells(p, &left.small, "less than 256 KiB live");
	free(lines);
	free(used);
	return err;
}

static const struct plot_kind memory_time = {
	.name = "memory-time",
	.rank = 42,
	.draw = draw,
};
PLOT_REGISTER(memory_time);
