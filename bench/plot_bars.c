/* SPDX-License-Identifier: MIT */
#include "bench/plot_bars.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "bench/plot_alloc.h"

/* Rows on one picture, headings included. */
#define ROWS_MAX 44

struct page {
	const struct bars *bars;
	const size_t *cells;
	size_t nr_cells;
	const bool *used;
};

static bool concerns(const struct bars *b, const struct plot_cell *cell)
{
	for (size_t i = 0; b->workloads[i] != NULL; i++) {
		if (strcmp(b->workloads[i], cell->workload) == 0)
			return true;
	}
	return false;
}

bool bar_value(const struct result_entry *e, const struct bar_figure *f, double *value)
{
	double per = 1;

	if (!result_metric(e, f->metric, value))
		return false;
	if (f->per != NULL && (!result_metric(e, f->per, &per) || per <= 0))
		return false;
	*value *= f->scale / per;
	return true;
}

static bool figure_of(const struct measurement *m, const struct bar_figure *f,
		      struct summary *s)
{
	double *values = plot_calloc(m->nr_blocks, sizeof(*values));
	size_t n = 0;

	for (size_t b = 0; b < m->nr_blocks; b++)
		n += bar_value(&m->blocks[b], f, &values[n]);
	if (n > 0)
		summarise(values, n, s);
	free(values);
	return n > 0;
}

static bool row_shown(const struct dataset *d, const struct bars *b, size_t cell,
		      size_t series)
{
	struct summary s;

	return dataset_summary(dataset_at(d, cell, series), b->needed, &s);
}

static const char *value_text(double value, enum bar_unit unit, char *buf, size_t size)
{
	int digits = value == 0 || fabs(value) >= 100 ? 0 : fabs(value) >= 10 ? 1 : 2;

	switch (unit) {
	case BAR_PERCENT:
		snprintf(buf, size, "%.*f %%", value == 0 || fabs(value) >= 99.95 ? 0 : 1,
			 value);
		break;
	case BAR_COUNT:
		if (value > 0 && value < 0.005)
			snprintf(buf, size, "< 0.01");
		else
			snprintf(buf, size, "%.*f", value == floor(value) ? 0 : digits,
				 value);
		break;
	case BAR_NS:
		if (value >= 10000)
			snprintf(buf, size, "%.3g µs", value / 1e3);
		else
			snprintf(buf, size, "%.*f ns", digits, value);
		break;
	}
	return buf;
}

/* Marks the figures that have a value on this page. */
static void choose_figures(struct plotter *p, const struct page *page, bool *shown)
{
	const struct bars *b = page->bars;

	for (size_t f = 0; f < b->nr_figures; f++) {
		struct summary s;

		shown[f] = false;
		for (size_t i = 0; i < page->nr_cells * p->d->nr_series; i++)
			shown[f] |= figure_of(dataset_at(p->d,
							 page->cells[i / p->d->nr_series],
							 i % p->d->nr_series),
					      &b->figures[f], &s);
	}
}

/* Rows: row, number of its series (0: a heading), the text at the left. */
static void write_rows(struct plotter *p, const struct page *page)
{
	const struct dataset *d = p->d;
	size_t row = 0;

	for (size_t i = 0; i < page->nr_cells; i++) {
		fprintf(p->table, "%zu\t0\t%s\n", ++row, d->cells[page->cells[i]].label);
		for (size_t s = 0; s < d->nr_series; s++) {
			if (row_shown(d, page->bars, page->cells[i], s))
				fprintf(p->table, "%zu\t%zu\t%s\n", ++row,
					plot_series_number(page->used, s),
					d->series[s].name);
		}
	}
}

/* Rows: panel, row, series, middle, low, high, text. Returns the largest end of a bar. */
static double write_values(struct plotter *p, const struct page *page, size_t panel,
			   const struct bar_figure *f)
{
	const struct dataset *d = p->d;
	size_t row = 0;
	double largest = 0;
	char buf[40];

	for (size_t i = 0; i < page->nr_cells; i++) {
		row++;
		for (size_t s = 0; s < d->nr_series; s++) {
			struct summary v;

			if (!row_shown(d, page->bars, page->cells[i], s))
				continue;
			row++;
			if (!figure_of(dataset_at(d, page->cells[i], s), f, &v))
				continue;
			fprintf(p->table, "%zu\t%zu\t%zu\t%.6g\t%.6g\t%.6g\t%s\n", panel,
				row, plot_series_number(page->used, s), v.middle, v.low,
				v.high, value_text(v.middle, f->unit, buf, sizeof(buf)));
			plot_count_bar(p, &v);
			largest = fmax(largest, v.high);
		}
	}
	return largest;
}

/* Blocks: rows; values; panel, end of its axis, title. */
static int draw_page(struct plotter *p, const struct page *page, size_t number)
{
	const struct bars *b = page->bars;
	bool *shown = plot_calloc(b->nr_figures, sizeof(*shown));
	double *axis = plot_calloc(b->nr_figures, sizeof(*axis));
	char *detail = number > 1 ? plot_printf("%zu", number) : plot_strdup("");
	char bars[128], *note = NULL;
	size_t panel = 0;
	int err = -EIO;

	choose_figures(p, page, shown);
	if (plot_begin(p, detail, page->used) == NULL)
		goto out;
	write_rows(p, page);
	plot_next_block(p);
	for (size_t f = 0; f < b->nr_figures; f++) {
		if (shown[f])
			axis[f] = write_values(p, page, ++panel, &b->figures[f]);
	}
	plot_next_block(p);
	panel = 0;
	for (size_t f = 0; f < b->nr_figures; f++) {
		double end = b->figures[f].axis_max > 0 ? b->figures[f].axis_max
							: axis[f];

		if (shown[f])
			fprintf(p->table, "%zu\t%g\t%s\n", ++panel, end > 0 ? end : 1,
				b->figures[f].title);
	}
	note = plot_printf(
		"%s Bars: median over blocks; whiskers: %s.", b->note,
		plot_bars_text(p, "95 % interval of the median", bars, sizeof(bars)));
	err = plot_submit(p, b->title, b->subtitle, note);
out:
	free(note);
	free(detail);
	free(axis);
	free(shown);
	return err;
}

static size_t rows_of(const struct dataset *d, const struct bars *b, size_t cell)
{
	size_t n = 0;

	if (!concerns(b, &d->cells[cell]))
		return 0;
	for (size_t s = 0; s < d->nr_series; s++)
		n += row_shown(d, b, cell, s);
	return n > 0 ? n + 1 : 0;
}

static int draw_cells(struct plotter *p, const struct bars *b, const size_t *cells,
		      size_t n, size_t number)
{
	const struct dataset *d = p->d;
	bool *used = plot_calloc(d->nr_series, sizeof(*used));
	struct page page = {.bars = b, .cells = cells, .nr_cells = n, .used = used};
	int err;

	for (size_t i = 0; i < n * d->nr_series; i++)
		used[i % d->nr_series] |= row_shown(d, b, cells[i / d->nr_series],
						    i % d->nr_series);
	err = draw_page(p, &page, number);
	free(used);
	return err;
}

int bars_draw(struct plotter *p, const struct bars *b)
{
	const struct dataset *d = p->d;
	size_t *cells = plot_calloc(d->nr_cells, sizeof(*cells));
	size_t n = 0, rows = 0, number = 1;
	int err = 0;

	for (size_t c = 0; c < d->nr_cells && err == 0; c++) {
		size_t more = rows_of(d, b, c);

		if (more == 0)
			continue;
		if (n > 0 && rows + more > ROWS_MAX) {
			err = draw_cells(p, b, cells, n, number++);
			n = rows = 0;
		}
		cells[n++] = c;
		rows += more;
	}
	if (err == 0 && n > 0)
		err = draw_cells(p, b, cells, n, number);
	if (err == 0 && p->drawn == 0)
		plot_left_out(p, "no result has '%s'", b->needed);
	free(cells);
	return err;
}
