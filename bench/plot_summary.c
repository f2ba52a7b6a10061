/* SPDX-License-Identifier: MIT */
/*
 * summary: time per operation relative to the baseline, a row for each cell, a dot for
 * each allocator, the geometric mean first. Cells that lack the usual baseline (pages and
 * ranges, where there is no glibc) make a picture of their own: ratios to different
 * baselines on one axis would invite comparison.
 */
#include <errno.h>
#include <string.h>

#include "bench/plot_alloc.h"
#include "bench/plot_internal.h"

/* Rows of a picture: more become a second one. */
#define PAGE_ROWS 30

struct summary_page {
	size_t cells[PAGE_ROWS];
	size_t nr_cells, number;
	int baseline;
	bool geomean; /* the row of means stands on this page */
};

/* Rows: row, label. */
static void write_rows(struct plotter *p, const struct summary_page *page)
{
	if (page->geomean)
		fputs("1\tgeometric mean\n", p->table);
	for (size_t i = 0; i < page->nr_cells; i++)
		fprintf(p->table, "%zu\t%s\n", i + 1 + page->geomean,
			p->d->cells[page->cells[i]].label);
}

/* Rows: row, series that failed there; one of zeros, as gnuplot misses an empty block. */
static void write_failures(struct plotter *p, const struct summary_page *page,
			   const bool *used)
{
	fputs("0\t0\n", p->table);
	for (size_t i = 0; i < page->nr_cells; i++) {
		for (size_t n = 0; n < p->d->nr_series; n++) {
			if (dataset_at(p->d, page->cells[i], n)->nr_failed > 0)
				fprintf(p->table, "%zu\t%zu\n", i + 1 + page->geomean,
					plot_series_number(used, n));
		}
	}
}

static void write_dot(struct plotter *p, size_t row, size_t series,
		      const struct summary *s, bool complete)
{
	fprintf(p->table, "%zu\t%zu\t%g\t%g\t%g\t%d\n", row, series, s->middle, s->low,
		s->high, complete);
	plot_count_bar(p, s);
	p->hollow |= !complete;
}

/* Rows: row, series, ratio, low, high, 1 where no row lacks. */
static void write_row_dots(struct plotter *p, const struct summary_page *page,
			   const bool *used)
{
	const struct dataset *d = p->d;

	for (size_t n = 0; n < d->nr_series; n++) {
		size_t number = plot_series_number(used, n);
		struct geomean g;

		if (page->geomean && used[n] && dataset_geomean(d, n, page->baseline, &g))
			write_dot(p, 1, number, &g.ratio, g.rows == g.rows_possible);
		for (size_t i = 0; i < page->nr_cells; i++) {
			const struct measurement *baseline =
				dataset_baseline_at(d, page->cells[i], page->baseline, n);
			struct summary s;

			if (dataset_ratio(dataset_at(d, page->cells[i], n), baseline,
					  "real_time", &s))
				write_dot(p, i + 1 + page->geomean, number, &s, true);
		}
	}
}

static void mark_used(const struct dataset *d, const struct summary_page *page,
		      bool *used)
{
	for (size_t n = 0; n < d->nr_series; n++) {
		for (size_t i = 0; i < page->nr_cells; i++)
			used[n] |= dataset_at(d, page->cells[i], n)->nr_blocks > 0 ||
				   dataset_at(d, page->cells[i], n)->nr_failed > 0;
	}
}

static char *page_note(const struct plotter *p)
{
	char bars[128];

	return plot_printf(
		"Dots: %s of the ratio within blocks. Bars: %s.%s",
		p->intervals > 0 ? "Hodges–Lehmann estimate" : "median",
		plot_bars_text(p, "its signed-rank 95 % interval", bars, sizeof(bars)),
		p->hollow ? " Hollow mean: not all rows were measured." : "");
}

static int draw_page(struct plotter *p, const struct summary_page *page)
{
	const struct dataset *d = p->d;
	const char *name = d->series[page->baseline].allocator;
	bool *used = plot_calloc(d->nr_series, sizeof(*used));
	char *title, *note = NULL, *detail;
	int err = -EIO;

	mark_used(d, page, used);
	detail = page->number > 1 ? plot_printf("%s %zu", name, page->number)
				  : plot_strdup(name);
	title = plot_printf("Time per operation relative to %s%s", name,
			    page->number > 1 ? ", continued" : "");
	if (plot_begin(p, detail, used) != NULL) {
		write_rows(p, page);
		plot_next_block(p);
		write_row_dots(p, page, used);
		plot_next_block(p);
		write_failures(p, page, used);
		note = page_note(p);
		err = plot_submit(p, title, "left of 1 is faster; lower is better", note);
	}
	free(title);
	free(note);
	free(detail);
	free(used);
	return err;
}

/* A cell with one allocator has nothing to be compared with. */
static bool comparable(const struct dataset *d, size_t cell)
{
	size_t n = 0;

	for (size_t s = 0; s < d->nr_series; s++)
		n += dataset_at(d, cell, s)->nr_blocks > 0;
	return n > 1;
}

/* All pages of the cells with this baseline. */
static int draw_baseline(struct plotter *p, int baseline)
{
	struct summary_page page = {.number = 1, .baseline = baseline};
	size_t cells = 0;
	int err = 0;

	for (size_t c = 0; c < p->d->nr_cells; c++)
		cells += comparable(p->d, c) && dataset_baseline(p->d, c) == baseline;
	page.geomean = cells > 1;
	for (size_t c = 0; c < p->d->nr_cells && err == 0; c++) {
		if (!comparable(p->d, c) || dataset_baseline(p->d, c) != baseline)
			continue;
		page.cells[page.nr_cells++] = c;
		if (page.nr_cells < PAGE_ROWS)
			continue;
		err = draw_page(p, &page);
		page.nr_cells = 0;
		page.geomean = false;
		page.number++;
	}
	if (err == 0 && page.nr_cells > 0)
		err = draw_page(p, &page);
	return err;
}

static int draw(struct plotter *p)
{
	int err = 0;

	for (size_t n = 0; n < p->d->nr_series && err == 0; n++)
		err = draw_baseline(p, (int)n);
	if (err == 0 && p->drawn == 0)
		plot_left_out(p, "no cell was measured on two allocators");
	return err;
}

static const struct plot_kind summary = {
	.name = "summary",
	.rank = 10,
	.draw = draw,
};
PLOT_REGISTER(summary);
