/* SPDX-License-Identifier: MIT */
/*
 * memory: peak resident bytes of each allocator against the bytes that were live at most,
 * a picture for each workload, a panel for each cell.
 */
#include <errno.h>
#include <string.h>

#include "bench/plot_alloc.h"
#include "bench/plot_internal.h"

/*
 * Cells with less live than this are left out: resident bytes come in pages, and a few
 * hundred KiB are what any allocator maps to start with.
 */
#define LIVE_MIN_BYTES (256 * 1024.0)
/* Rows of bars that fit below each other, and panels beside. */
#define PAGE_ROWS	 24
#define PAGE_COLUMNS	 2
#define PANEL_ROWS_EXTRA 3 /* title and axis of a panel, in rows */
/* Above this span bars of a linear axis are too short to see: dots on a logarithmic one.
 */
#define LINEAR_SPAN_MAX 40.0

static bool live_bytes(const struct dataset *d, size_t cell, double *live)
{
	*live = 0;
	for (size_t s = 0; s < d->nr_series; s++) {
		struct summary m;

		if (d->series[s].kind != SERIES_FLOOR &&
		    dataset_summary(dataset_at(d, cell, s), "live_bytes_max", &m) &&
		    m.middle > *live)
			*live = m.middle;
	}
	return *live >= LIVE_MIN_BYTES;
}

/* Floors never give back or hand out one address: their memory says nothing. */
static bool peak(const struct dataset *d, size_t cell, size_t series, struct summary *s)
{
	return d->series[series].kind != SERIES_FLOOR &&
	       dataset_summary(dataset_at(d, cell, series), "rss_bytes_peak", s);
}

/* Rows: panel, series, middle, low, high, text at the bar's end. */
static void write_bars(struct plotter *p, const size_t *cells, size_t nr_cells,
		       const bool *used, bool *logarithmic)
{
	double smallest = 0, largest = 0;

	for (size_t i = 0; i < nr_cells; i++) {
		double live;

		live_bytes(p->d, cells[i], &live);
		for (size_t n = 0; n < p->d->nr_series; n++) {
			struct summary s;
			char buf[32];

			if (!peak(p->d, cells[i], n, &s))
				continue;
			fprintf(p->table, "%zu\t%zu\t%g\t%g\t%g\t%s  (%.2f)\n", i + 1,
				plot_series_number(used, n), s.middle, s.low, s.high,
				format_bytes(s.middle, buf, sizeof(buf)),
				s.middle / live);
			if (smallest == 0 || s.middle < smallest)
				smallest = s.middle;
			if (s.middle > largest)
				largest = s.middle;
		}
	}
	*logarithmic = smallest > 0 && largest / smallest > LINEAR_SPAN_MAX;
}

/* Blocks: panels with their live bytes, bars, whether the axis is logarithmic. */
static int draw_page(struct plotter *p, const size_t *cells, size_t nr_cells,
		     size_t number)
{
	const struct dataset *d = p->d;
	const char *workload = d->cells[cells[0]].workload;
	bool *used = plot_calloc(d->nr_series, sizeof(*used)), logarithmic;
	char *detail = number > 1 ? plot_printf("%s %zu", workload, number)
				  : plot_strdup(workload);
	char *title = plot_printf("Peak resident memory: %s", workload);
	int err = -EIO;

	for (size_t i = 0; i < nr_cells * d->nr_series; i++) {
		struct summary s;

		used[i % d->nr_series] |= peak(d, cells[i / d->nr_series],
					       i % d->nr_series, &s);
	}
	if (plot_begin(p, detail, used) != NULL) {
		for (size_t i = 0; i < nr_cells; i++) {
			double live;
			char buf[32];

			live_bytes(d, cells[i], &live);
			fprintf(p->table, "%s%s%s live\t%g\n", d->cells[cells[i]].panel,
				d->cells[cells[i]].panel[0] != '\0' ? ": " : "",
				format_bytes(live, buf, sizeof(buf)), live);
		}
		plot_next_block(p);
		write_bars(p, cells, nr_cells, used, &logarithmic);
		plot_next_block(p);
		fprintf(p->table, "%d\n", logarithmic);
		err = plot_submit(
			p, title,
			"bytes, less what was resident before the first allocation; "
			"lower is better",
			"Median over blocks, whiskers minimum and maximum. Dashed line: "
			"most bytes live at once. In brackets: peak resident / live.");
	}
	free(title);
	free(detail);
	free(used);
	return err;
}

static size_t panels_per_page(const struct dataset *d, size_t first_cell)
{
	size_t rows = PANEL_ROWS_EXTRA, down;
	struct summary s;

	for (size_t n = 0; n < d->nr_series; n++)
		rows += peak(d, first_cell, n, &s);
	down = PAGE_ROWS / rows;
	return PAGE_COLUMNS * (down > 0 ? down : 1);
}

static int draw_workload(struct plotter *p, size_t from)
{
	const struct dataset *d = p->d;
	size_t *cells = plot_calloc(d->nr_cells, sizeof(*cells)), n = 0, number = 1;
	const char *workload = d->cells[from].workload;
	size_t too_small = 0, untouched = 0;
	int err = 0;

	for (size_t c = from; c < d->nr_cells && err == 0; c++) {
		double live;

		if (strcmp(d->cells[c].workload, workload) != 0)
			break;
		if (!plot_cell_touched(&d->cells[c])) {
			untouched++;
			continue;
		}
		if (!live_bytes(d, c, &live)) {
			too_small += live > 0; /* else nobody counted them */
			continue;
		}
		cells[n++] = c;
		if (n == panels_per_page(d, cells[0])) {
			err = draw_page(p, cells, n, number++);
			n = 0;
		}
	}
	if (err == 0 && n > 0)
		err = draw_page(p, cells, n, number);
	if (untouched > 0)
		plot_left_out(
			p,
			"%zu cell%s of '%s' whose blocks are not touched: their bytes are "
			"not resident",
			untouched, untouched == 1 ? "" : "s", workload);
	if (too_small > 0)
		plot_left_out(
			p,
			"%zu cell%s of '%s' with less than 256 KiB live: too little to "
			"tell allocators from the first pages they map",
			too_small, too_small == 1 ? "" : "s", workload);
	free(cells);
	return err;
}

static int draw(struct plotter *p)
{
	int err = 0;

	for (size_t c = 0; c < p->d->nr_cells && err == 0; c++) {
		if (c == 0 ||
		    strcmp(p->d->cells[c].workload, p->d->cells[c - 1].workload) != 0)
			err = draw_workload(p, c);
	}
	return err;
}

static const struct plot_kind memory = {
	.name = "memory",
	.rank = 40,
	.draw = draw,
};
PLOT_REGISTER(memory);
