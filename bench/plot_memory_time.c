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
#define POINTS	       500
/* Names of more phases than this would stand on each other. */
#define PHASE_NAMES_MAX 4
/* More lines than this hide what they divide: those of the work are then left out. */
#define PHASE_LINES_MAX 16
#define PHASES_MAX	1024

struct lines {
	struct curves resident, usable, live;
};

static void take_lines(const struct measurement *m, struct lines *l)
{
	curves_of(m, timeline_seconds, timeline_resident, NULL, &l->resident);
	curves_of(m, timeline_seconds, timeline_usable, NULL, &l->usable);
	curves_of(m, timeline_seconds, timeline_live, NULL, &l->live);
}

static void free_lines(struct lines *l)
{
	curves_free(&l->resident);
	curves_free(&l->usable);
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

static void print_at(FILE *table, const struct curves *c, double t, bool spread)
{
	struct summary s;

	if (!curves_at(c, t, &s))
		fputs(spread ? "\tnan\tnan\tnan" : "\tnan", table);
	else if (spread)
		fprintf(table, "\t%.8g\t%.8g\t%.8g", s.middle, s.low, s.high);
	else
		fprintf(table, "\t%.8g", s.middle);
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
			for (size_t r = 0; r < t.rows; r++) {
				end = fmax(end, timeline_seconds(&t, r));
				if (timeline_working(&t, r))
					work = fmax(work, timeline_seconds(&t, r));
			}
			timeline_free(&t);
		}
	}
	return work > 0 ? fmin(end, 2 * work) : end;
}

/* Rows: panel, seconds, R, its minimum and maximum, U, L; an empty line between panels.
 */
static void write_lines(struct plotter *p, size_t panel, const struct lines *l,
			double last)
{
	double from = INFINITY, to = -INFINITY;

	if (!curves_range(&l->resident, &from, &to))
		return;
	to = fmin(to, last);
	for (int i = 0; i <= POINTS; i++) {
		double t = from + (to - from) * i / POINTS;

		fprintf(p->table, "%zu\t%.6g", panel, t);
		print_at(p->table, &l->resident, t, true);
		print_at(p->table, &l->usable, t, false);
		print_at(p->table, &l->live, t, false);
		fputc('\n', p->table);
	}
	fputc('\n', p->table);
}

/* The first time line of a measurement's blocks; false when there is none. */
static bool first_timeline(const struct measurement *m, struct timeline *t)
{
	for (size_t b = 0; b < m->nr_blocks; b++) {
		if (timeline_of(&m->blocks[b], t))
			return true;
	}
	return false;
}

/* Rows: panel, where a phase of its first block begins, the phase's name. */
static void write_phases(struct plotter *p, size_t cell, const bool *used, double last)
{
	fputs("0\tnan\t-\n", p->table);
	for (size_t s = 0; s < p->d->nr_series; s++) {
		size_t begins[PHASES_MAX], n = 0;
		struct timeline t;

		if (!used[s] || !first_timeline(dataset_at(p->d, cell, s), &t))
			continue;
		for (size_t r = 1; r < t.rows && n < PHASES_MAX; r++) {
			if (strcmp(timeline_phase(&t, r), timeline_phase(&t, r - 1)) != 0)
				begins[n++] = r;
		}
		/* Phases that come again and again leave no room for names. */
		for (size_t i = 0; i < n; i++) {
			bool works = sampler_phase_works(timeline_phase(&t, begins[i]));
			bool named = n <= PHASE_NAMES_MAX || !works;

			if (n > PHASE_LINES_MAX && works)
				continue;
			if (timeline_seconds(&t, begins[i]) < last)
				fprintf(p->table, "%zu\t%.6g\t%s\n",
					plot_series_number(used, s),
					timeline_seconds(&t, begins[i]),
					named ? timeline_phase(&t, begins[i]) : " ");
		}
		timeline_free(&t);
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

static int draw_cell(struct plotter *p, size_t cell, const bool *used,
		     const struct lines *lines)
{
	char *title = plot_printf("Memory over time: %s", p->d->cells[cell].label);
	double last = last_second(p->d, cell);
	int err = -EIO;

	if (plot_begin(p, p->d->cells[cell].label, used) != NULL) {
		for (size_t s = 0; s < p->d->nr_series; s++) {
			if (used[s])
				write_lines(p, plot_series_number(used, s), &lines[s],
					    last);
		}
		fputc('\n', p->table);
		write_phases(p, cell, used, last);
		plot_next_block(p);
		write_bounds(p, cell);
		err = plot_submit(
			p, title,
			"bytes of the process, less what it held before the first "
			"allocation; lower is better",
			"Medians over blocks; pale band: resident, minimum to maximum. Between "
			"live and usable: internal fragmentation; between usable and resident: "
			"external and retained.");
	}
	free(title);
	return err;
}

static int consider_cell(struct plotter *p, size_t cell, bool *used, struct lines *lines)
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
		plot_left_out(p, "'%s' has no memory time line", d->cells[cell].label);
	else if (!plot_cell_touched(&d->cells[cell]))
		plot_left_out(p, "'%s' does not touch its blocks: they are not resident",
			      d->cells[cell].label);
	else if (live < LIVE_MIN_BYTES)
		plot_left_out(p, "'%s' has less than 256 KiB live", d->cells[cell].label);
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
	int err = 0;

	for (size_t c = 0; c < p->d->nr_cells && err == 0; c++)
		err = consider_cell(p, c, used, lines);
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
