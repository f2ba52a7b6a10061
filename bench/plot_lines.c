/* SPDX-License-Identifier: MIT */
/*
 * What throughput-threads and time-size have in common: small multiples, a picture for
 * each workload, a panel for each setting of its other parameters, a line per allocator.
 */
#include <errno.h>
#include <string.h>

#include "bench/plot_alloc.h"
#include "bench/plot_internal.h"

/* Two columns of three: more panels than that become hard to read. */
#define PANELS_MAX 6
/* Beyond this span of values a linear axis would press the lower ones flat. */
#define LINEAR_SPAN_MAX 8.0

struct lines_page {
	const struct plot_lines *lines;
	const char *workload;
	const char *panel[PANELS_MAX]; /* keys */
	const char *label[PANELS_MAX];
	size_t nr_panels;
	size_t number; /* 1, 2, … of this workload */
};

/* Does the cell belong to the panel and have a value for the series? */
static bool point(const struct plotter *p, const struct plot_lines *l, size_t cell,
		  const char *panel, size_t series, struct summary *s)
{
	return strcmp(l->panel_key(&p->d->cells[cell]), panel) == 0 &&
	       dataset_summary(dataset_at(p->d, cell, series), l->metric, s);
}

/* Two different x with a value of the same series: otherwise there is no line. */
static bool panel_has_line(const struct plotter *p, const struct plot_lines *l,
			   const char *panel)
{
	for (size_t series = 0; series < p->d->nr_series; series++) {
		double first = 0;
		struct summary s;

		for (size_t c = 0; c < p->d->nr_cells; c++) {
			double x = l->x(&p->d->cells[c]);

			if (x <= 0 || !point(p, l, c, panel, series, &s))
				continue;
			if (first > 0 && first != x)
				return true;
			first = x;
		}
	}
	return false;
}

/* How many values of the series there are in a panel. */
static size_t points_of(const struct plotter *p, const struct plot_lines *l,
			const char *panel, size_t series)
{
	struct summary s;
	size_t n = 0;

	for (size_t c = 0; c < p->d->nr_cells; c++)
		n += point(p, l, c, panel, series, &s);
	return n;
}

/* Is it worth a line beside the others of the panel? Few points among many belong to an
 * ablation, which has a picture of its own. */
static bool in_panel(const struct plotter *p, const struct plot_lines *l,
		     const char *panel, size_t series)
{
	size_t most = 0, n = points_of(p, l, panel, series);

	for (size_t s = 0; l->leave_out_few && s < p->d->nr_series; s++) {
		size_t other = points_of(p, l, panel, s);

		most = other > most ? other : most;
	}
	return n > 0 && 2 * n >= most;
}

static bool used_on_page(const struct plotter *p, const struct lines_page *page,
			 size_t series)
{
	for (size_t i = 0; i < page->nr_panels; i++) {
		if (in_panel(p, page->lines, page->panel[i], series))
			return true;
	}
	return false;
}

/* Rows: panel, series, x, middle, low, high. */
static void write_points(struct plotter *p, const struct lines_page *page,
			 const bool *used, double *smallest, double *largest)
{
	const struct plot_lines *l = page->lines;

	for (size_t i = 0; i < page->nr_panels; i++) {
		for (size_t n = 0; n < p->d->nr_series; n++) {
			bool drawn = used[n] && in_panel(p, l, page->panel[i], n);

			for (size_t c = 0; drawn && c < p->d->nr_cells; c++) {
				struct summary s;

				if (!point(p, l, c, page->panel[i], n, &s))
					continue;
				fprintf(p->table, "%zu\t%zu\t%g\t%g\t%g\t%g\n", i + 1,
					plot_series_number(used, n),
					l->x(&p->d->cells[c]), s.middle * l->scale,
					s.low * l->scale, s.high * l->scale);
				plot_count_bar(p, &s);
				if (*smallest == 0 || s.middle < *smallest)
					*smallest = s.middle;
				if (s.middle > *largest)
					*largest = s.middle;
			}
		}
	}
}

static int by_number(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Rows: x, its label; each x once, every second when there are many long ones. */
static void write_tics(struct plotter *p, const struct lines_page *page)
{
	double *xs = plot_calloc(p->d->nr_cells, sizeof(*xs));
	size_t n = 0, kept = 0, step;
	char buf[32];

	for (size_t c = 0; c < p->d->nr_cells; c++) {
		for (size_t i = 0; i < page->nr_panels; i++) {
			if (strcmp(page->lines->panel_key(&p->d->cells[c]),
				   page->panel[i]) == 0)
				xs[n++] = page->lines->x(&p->d->cells[c]);
		}
	}
	qsort(xs, n, sizeof(*xs), by_number);
	for (size_t i = 0; i < n; i++) {
		if (kept == 0 || xs[kept - 1] != xs[i])
			xs[kept++] = xs[i];
	}
	step = page->lines->short_tics ? 1
	       : page->nr_panels > 1   ? (kept + 6) / 7
				       : (kept + 12) / 13;
	for (size_t i = 0; i < kept; i += step)
		fprintf(p->table, "%g\t%s\n", xs[i],
			page->lines->x_label(xs[i], buf, sizeof(buf)));
	free(xs);
}

/* Blocks: panels with the scale of y (all alike), tics of x, points. */
static int draw_page(struct plotter *p, const struct lines_page *page)
{
	bool *used = plot_calloc(p->d->nr_series, sizeof(*used));
	double smallest = 0, largest = 0;
	char *detail, *title, bars[128], note[192];
	int err;

	for (size_t n = 0; n < p->d->nr_series; n++)
		used[n] = used_on_page(p, page, n);
	detail = page->number > 1 ? plot_printf("%s %zu", page->workload, page->number)
				  : plot_strdup(page->workload);
	if (plot_begin(p, detail, used) == NULL) {
		free(detail);
		free(used);
		return -EIO;
	}
	for (size_t i = 0; i < page->nr_panels; i++)
		fprintf(p->table, "%zu\t%s\n", i + 1, page->label[i]);
	plot_next_block(p);
	write_tics(p, page);
	plot_next_block(p);
	write_points(p, page, used, &smallest, &largest);
	plot_next_block(p);
	fprintf(p->table, "%d\n", smallest > 0 && largest / smallest > LINEAR_SPAN_MAX);
	snprintf(note, sizeof(note), "Points: median over blocks. Bars: %s.",
		 plot_bars_text(p, "95 % interval of the median", bars, sizeof(bars)));
	title = plot_printf(page->lines->title, page->workload);
	err = plot_submit(p, title, page->lines->subtitle, note);
	free(title);
	free(detail);
	free(used);
	return err;
}

static bool on_page(const struct lines_page *page, const char *key)
{
	for (size_t i = 0; i < page->nr_panels; i++) {
		if (strcmp(page->panel[i], key) == 0)
			return true;
	}
	return false;
}

static bool first_of_panel(const struct plotter *p, const struct plot_lines *l,
			   size_t cell)
{
	for (size_t c = 0; c < cell; c++) {
		if (strcmp(l->panel_key(&p->d->cells[c]),
			   l->panel_key(&p->d->cells[cell])) == 0)
			return false;
	}
	return true;
}

/* What tells the panels apart; one that stands alone says what an operation is. Never
 * empty, since gnuplot would take the next block's first word for it. */
static const char *panel_title(const struct plot_lines *l, const struct plot_cell *cell)
{
	const char *label = l->panel_label(cell);

	if (label[0] != '\0')
		return label;
	return cell->op != NULL && cell->op[0] != '\0' ? cell->op : cell->workload;
}

/* All pages of the workload that begins at cell `from`; *drawn: there was one. */
static int draw_workload(struct plotter *p, const struct plot_lines *l, size_t from,
			 bool *drawn)
{
	struct lines_page page = {
		.lines = l, .workload = p->d->cells[from].workload, .number = 1};
	bool any = false;
	int err = 0;

	for (size_t c = from; c < p->d->nr_cells && err == 0; c++) {
		const struct plot_cell *cell = &p->d->cells[c];
		const char *key = l->panel_key(cell);

		if (strcmp(cell->workload, page.workload) != 0 || on_page(&page, key) ||
		    !first_of_panel(p, l, c) || !panel_has_line(p, l, key))
			continue;
		any = true;
		page.panel[page.nr_panels] = key;
		page.label[page.nr_panels++] = panel_title(l, cell);
		if (page.nr_panels == PANELS_MAX) {
			err = draw_page(p, &page);
			page.nr_panels = 0;
			page.number++;
		}
	}
	if (err == 0 && page.nr_panels > 0)
		err = draw_page(p, &page);
	*drawn = any;
	return err;
}

int plot_lines_draw(struct plotter *p, const struct plot_lines *lines)
{
	char *without = plot_strdup(""); /* names of workloads */
	size_t nr_without = 0;
	int err = 0;

	/* Cells are sorted by workload. */
	for (size_t c = 0; c < p->d->nr_cells && err == 0; c++) {
		const char *workload = p->d->cells[c].workload;
		bool drawn;

		if (lines->concerns != NULL && !lines->concerns(&p->d->cells[c]))
			continue;
		if (c > 0 && strcmp(workload, p->d->cells[c - 1].workload) == 0)
			continue;
		err = draw_workload(p, lines, c, &drawn);
		if (!drawn) {
			char *longer = plot_printf("%s%s'%s'", without,
						   nr_without > 0 ? ", " : "", workload);

			free(without);
			without = longer;
			nr_without++;
		}
	}
	if (nr_without > 0)
		plot_left_out(p, "%s %s measured with one value of %s only", without,
			      nr_without == 1 ? "was" : "were", lines->what);
	free(without);
	return err;
}
