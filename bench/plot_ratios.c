/* SPDX-License-Identifier: MIT */
/* Comparisons on the data set's grid, and the table that forest and ablation share. */
#include "bench/plot_ratios.h"

#include <math.h>
#include <string.h>

#include "bench/plot_alloc.h"

/* The axis shows an eighth to eight times; what lies beyond is told at its end, unless
 * that is most of what there is to show. */
#define AXIS_MAX 8.0
/* It shows at least this much, so that the equivalence band can be seen for what it is.
 */
#define AXIS_MIN 1.06

/* --- the comparisons --- */

/* How compare knows a cell, from any of its entries. NULL: nobody measured it. */
static char *comparison_key(const struct dataset *d, size_t cell)
{
	for (size_t s = 0; s < d->nr_series; s++) {
		const struct measurement *m = dataset_at(d, cell, s);

		if (m->nr_blocks > 0)
			return plot_checked(result_comparison_key(&m->blocks[0]));
	}
	return NULL;
}

static void place_row(const struct dataset *d, char *const *keys, size_t file,
		      const struct comparison *row, struct ratios *out)
{
	size_t cell = 0, series = 0;

	while (cell < d->nr_cells &&
	       (keys[cell] == NULL || strcmp(keys[cell], row->key) != 0))
		cell++;
	while (series < d->nr_series &&
	       (d->series[series].file != (d->overlap ? file : 0) ||
		strcmp(d->series[series].allocator, row->allocator) != 0))
		series++;
	if (cell < d->nr_cells && series < d->nr_series && !row->by_difference)
		out->row[cell * d->nr_series + series] = row;
}

void ratios_load(const struct dataset *d, int baseline, struct ratios *out)
{
	struct compare_options options = {
		.baseline = d->series[baseline].allocator,
		.equivalence_pct = COMPARE_EQUIVALENCE_PCT,
	};
	char **keys = plot_calloc(d->nr_cells, sizeof(*keys));

	*out = (struct ratios){
		.tables = plot_calloc(d->nr_files, sizeof(*out->tables)),
		.nr_tables = d->nr_files,
		.nr_series = d->nr_series,
		.row = plot_calloc(d->nr_cells * d->nr_series, sizeof(*out->row)),
	};
	for (size_t c = 0; c < d->nr_cells; c++)
		keys[c] = comparison_key(d, c);
	for (size_t f = 0; f < d->nr_files; f++) {
		struct comparison_table *t = &out->tables[f];

		/* A file without the baseline has nothing to compare: not an error here.
		 */
		if (compare_within(d->files[f], &options, t) != 0)
			continue;
		for (size_t i = 0; i < t->count; i++)
			place_row(d, keys, f, &t->rows[i], out);
	}
	for (size_t c = 0; c < d->nr_cells; c++)
		free(keys[c]);
	free(keys);
}

void ratios_free(struct ratios *r)
{
	for (size_t i = 0; i < r->nr_tables; i++)
		comparison_table_release(&r->tables[i]);
	free(r->tables);
	free(r->row);
	*r = (struct ratios){0};
}

const struct comparison *ratios_at(const struct ratios *r, size_t cell, size_t series)
{
	return r->row[cell * r->nr_series + series];
}

/* --- the table --- */

struct axis {
	double low, high;
};

static struct axis axis_of(const struct plotter *p, const struct ratio_page *page)
{
	struct axis a = {1 / AXIS_MIN, AXIS_MIN};
	size_t ratios = 0, beyond = 0;
	double pad;

	for (size_t i = 0; i < page->nr_cells * p->d->nr_series; i++) {
		const struct comparison *row = ratios_at(page->ratios,
							 page->cells[i / p->d->nr_series],
							 i % p->d->nr_series);

		if (row == NULL || !page->used[i % p->d->nr_series])
			continue;
		a.low = fmin(a.low, row->ratio.low);
		a.high = fmax(a.high, row->ratio.high);
		ratios++;
		beyond += row->ratio.estimate < 1 / AXIS_MAX ||
			  row->ratio.estimate > AXIS_MAX;
	}
	/* So that no mark is cut off at the edge. */
	pad = pow(a.high / a.low, 0.03);
	a.low /= pad;
	a.high *= pad;
	if (ratios > 2 && 2 * beyond > ratios)
		return a;
	a.low = fmax(a.low, 1 / AXIS_MAX);
	a.high = fmin(a.high, AXIS_MAX);
	return a;
}

static double clamp(double x, const struct axis *a)
{
	return fmin(fmax(x, a->low), a->high);
}

/* What cannot be shown on the axis, or all of it where there is room for text. */
static void write_text(struct plotter *p, const struct comparison *row, bool beyond)
{
	const struct stats_interval *r = &row->ratio;
	int n = r->estimate >= 0.1 ? 3 : 4;

	fputc('\t', p->table);
	if (beyond)
		fprintf(p->table, r->estimate < 1 ? "◂ %.2g×" : "%.3g× ▸", r->estimate);
	fputc('\t', p->table);
	if (r->bounded)
		fprintf(p->table, "%.*f [%.*f, %.*f]\n", n, r->estimate, n, r->low, n,
			r->high);
	else
		fprintf(p->table, "%.*f\n", n, r->estimate);
}

/* Rows: panel, row, ratio, low, high, verdict, 1 where the ratio is beyond the axis, text
 * there, text beside. */
static size_t write_ratios(struct plotter *p, const struct ratio_page *page,
			   const struct axis *a)
{
	size_t written = 0;

	for (size_t i = 0; i < page->nr_cells * p->d->nr_series; i++) {
		size_t series = i % p->d->nr_series, at = i / p->d->nr_series;
		const struct comparison *row = ratios_at(page->ratios, page->cells[at],
							 series);
		bool beyond;

		if (row == NULL || !page->used[series])
			continue;
		beyond = row->ratio.estimate < a->low || row->ratio.estimate > a->high;
		fprintf(p->table, "%zu\t%zu\t%.6g\t%.6g\t%.6g\t%d\t%d",
			plot_series_number(page->used, series), at + 1,
			clamp(row->ratio.estimate, a), clamp(row->ratio.low, a),
			clamp(row->ratio.high, a), (int)row->verdict, beyond);
		write_text(p, row, beyond);
		written++;
	}
	return written;
}

static void write_tally(struct plotter *p, size_t panel, const size_t *n)
{
	static const char *const names[NR_VERDICTS] = {
		[VERDICT_FASTER] = "faster",
		[VERDICT_SLOWER] = "slower",
		[VERDICT_SAME] = "same",
		[VERDICT_CANNOT_TELL] = "open",
	};
	const char *separator = "";

	fprintf(p->table, "%zu\t", panel);
	for (size_t v = 0; v < NR_VERDICTS; v++) {
		if (n[v] == 0)
			continue;
		fprintf(p->table, "%s%zu %s", separator, n[v], names[v]);
		separator = ", ";
	}
	fputs(*separator == '\0' ? "-\n" : "\n", p->table);
}

/* Rows: panel, "3 faster, 1 slower, 2 open" of these rows. */
static void write_tallies(struct plotter *p, const struct ratio_page *page)
{
	for (size_t s = 0; s < p->d->nr_series; s++) {
		size_t n[NR_VERDICTS] = {0};

		if (!page->used[s])
			continue;
		for (size_t i = 0; i < page->nr_cells; i++) {
			const struct comparison *row = ratios_at(page->ratios,
								 page->cells[i], s);

			if (row != NULL)
				n[row->verdict]++;
		}
		write_tally(p, plot_series_number(page->used, s), n);
	}
}

size_t ratio_page_write(struct plotter *p, const struct ratio_page *page)
{
	struct axis a = axis_of(p, page);
	size_t written;

	for (size_t i = 0; i < page->nr_cells; i++)
		fprintf(p->table, "%zu\t%s\n", i + 1, p->d->cells[page->cells[i]].label);
	plot_next_block(p);
	written = write_ratios(p, page, &a);
	plot_next_block(p);
	write_tallies(p, page);
	plot_next_block(p);
	fprintf(p->table, "%g\t%g\t%g\n", a.low, a.high,
		1 + COMPARE_EQUIVALENCE_PCT / 100);
	return written;
}
