/* SPDX-License-Identifier: MIT */
/*
 * reclaim-time: free pages between the watermarks over time, and the pages that kswapd
 * and direct reclaim took back meanwhile. A picture for each cell, a row of two panels
 * for each allocator. Free pages rise and fall within milliseconds, so that a median over
 * blocks would show nothing: the line is the first block, the points are the samples of
 * all.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "bench/plot_alloc.h"
#include "bench/plot_curves.h"
#include "bench/plot_internal.h"

/* Rows of panels on one picture. */
#define SERIES_MAX 5

static bool shown(const struct timeline *t, size_t row)
{
	return timeline_working(t, row) && !isnan(t->column[TIMELINE_PAGES_LOW][row]);
}

static bool has_watermarks(const struct measurement *m)
{
	for (size_t b = 0; b < m->nr_blocks; b++) {
		struct timeline t;
		bool has;

		if (!timeline_of(&m->blocks[b], &t))
			continue;
		has = shown(&t, 0);
		timeline_free(&t);
		if (has)
			return true;
	}
	return false;
}

/* Rows: panel, 1 in the first block, seconds, free pages, min, low, high, pages taken
 * since the pass began by kswapd and directly; an empty line after each block. */
static void write_block(struct plotter *p, size_t panel, bool first,
			const struct timeline *t)
{
	double kswapd = t->column[TIMELINE_KSWAPD_PAGES][0];
	double direct = t->column[TIMELINE_DIRECT_PAGES][0];
	size_t points = 0;

	for (size_t r = 0; r < t->rows; r++) {
		if (!shown(t, r))
			continue;
		fprintf(p->table, "%zu\t%d\t%.6g\t%.8g\t%.8g\t%.8g\t%.8g\t%.8g\t%.8g\n",
			panel, first, timeline_seconds(t, r),
			t->column[TIMELINE_FREE_PAGES][r],
			t->column[TIMELINE_PAGES_MIN][r],
			t->column[TIMELINE_PAGES_LOW][r],
			t->column[TIMELINE_PAGES_HIGH][r],
			t->column[TIMELINE_KSWAPD_PAGES][r] - kswapd,
			t->column[TIMELINE_DIRECT_PAGES][r] - direct);
		points++;
	}
	/* Two empty lines would end the table's block. */
	if (points > 0)
		fputc('\n', p->table);
}

static void write_series(struct plotter *p, size_t panel, const struct measurement *m)
{
	bool first = true;

	for (size_t b = 0; b < m->nr_blocks; b++) {
		struct timeline t;

		if (!timeline_of(&m->blocks[b], &t))
			continue;
		write_block(p, panel, first, &t);
		first = false;
		timeline_free(&t);
	}
}

static int draw_page(struct plotter *p, size_t cell, const bool *used, size_t number)
{
	const struct dataset *d = p->d;
	const char *label = d->cells[cell].label, *panel = d->cells[cell].panel;
	char *detail = number > 1 ? plot_printf("%s %zu", panel, number)
				  : plot_strdup(panel);
	char *title = plot_printf("Free pages between the watermarks: %s", label);
	int err = -EIO;

	if (plot_begin(p, detail, used) != NULL) {
		for (size_t s = 0; s < d->nr_series; s++) {
			if (used[s])
				write_series(p, plot_series_number(used, s),
					     dataset_at(d, cell, s));
		}
		err = plot_submit(
			p, title,
			"pages of 4 KiB over time, HIGHMEM left out; below low kswapd is "
			"woken, below min requests reclaim themselves",
			"Line: first block; points: samples of all blocks. Right: pages taken "
			"back since the memory pass began, first block solid, others pale.");
	}
	free(title);
	free(detail);
	return err;
}

static int draw_cell(struct plotter *p, size_t cell)
{
	const struct dataset *d = p->d;
	bool *used = plot_calloc(d->nr_series, sizeof(*used));
	size_t n = 0, number = 1;
	int err = 0;

	for (size_t s = 0; s < d->nr_series && err == 0; s++) {
		used[s] = has_watermarks(dataset_at(d, cell, s));
		n += used[s];
		if (n == SERIES_MAX || (n > 0 && s + 1 == d->nr_series)) {
			err = draw_page(p, cell, used, number++);
			memset(used, 0, d->nr_series * sizeof(*used));
			n = 0;
		}
	}
	free(used);
	return err;
}

static int draw(struct plotter *p)
{
	int err = 0;

	for (size_t c = 0; c < p->d->nr_cells && err == 0; c++)
		err = draw_cell(p, c);
	if (err == 0 && p->drawn == 0)
		plot_left_out(p, "no memory time line tells of watermarks");
	return err;
}

static const struct plot_kind reclaim_time = {
	.name = "reclaim-time",
	.rank = 55,
	.draw = draw,
};
PLOT_REGISTER(reclaim_time);
