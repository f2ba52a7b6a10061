/* SPDX-License-Identifier: MIT */
/*
 * Verdicts: how often each allocator was faster, slower, the same or not told apart from
 * the baseline, and the ratio of every cell with its interval, as `kmembench compare` has
 * them.
 */
#include <stdlib.h>
#include <string.h>

#include "bench/compare_views.h"
#include "bench/plot_alloc.h"
#include "bench/plot_ratios.h"
#include "bench/report_internal.h"

static const char *const verdict_texts[NR_VERDICTS] = {
	[VERDICT_FASTER] = "faster",
	[VERDICT_SLOWER] = "slower",
	[VERDICT_SAME] = "same",
	[VERDICT_CANNOT_TELL] = "cannot tell",
};

static void print_tallies(FILE *out, const struct dataset *d, const struct ratios *ratios,
			  int baseline)
{
	fputs("<div class=\"scroll\"><table><thead><tr><th>allocator</th><th>cells</th>",
	      out);
	for (int v = 0; v < NR_VERDICTS; v++)
		fprintf(out, "<th>%s</th>", verdict_texts[v]);
	fputs("</tr></thead><tbody>\n", out);
	for (size_t s = 0; s < d->nr_series; s++) {
		size_t n[NR_VERDICTS] = {0}, cells = 0;

		for (size_t c = 0; c < d->nr_cells; c++) {
			const struct comparison *row = ratios_at(ratios, c, s);

			if (row == NULL || dataset_baseline(d, c) != baseline)
				continue;
			n[row->verdict]++;
			cells++;
		}
		if (cells == 0)
			continue;
		fputs("<tr><th>", out);
		html_series_name(out, &d->series[s]);
		fprintf(out, "</th><td>%zu</td>", cells);
		for (int v = 0; v < NR_VERDICTS; v++)
			fprintf(out, "<td>%zu</td>", n[v]);
		fputs("</tr>\n", out);
	}
	fputs("</tbody></table></div>\n", out);
}

static void print_row(FILE *out, const struct dataset *d, const struct ratios *ratios,
		      size_t cell, size_t series)
{
	const struct comparison *row = ratios_at(ratios, cell, series);
	size_t file = d->overlap ? d->series[series].file
				 : dataset_at(d, cell, series)->file;
	struct compare_views views;
	int digits = row->ratio.estimate < 0.1 ? 4 : 3;

	fputs("<tr><th>", out);
	html_escape(out, d->cells[cell].label);
	fputs("</th><td class=\"text\">", out);
	html_series_name(out, &d->series[series]);
	fprintf(out, "</td><td>%.*f", digits, row->ratio.estimate);
	if (row->ratio.bounded)
		fprintf(out, " <span class=\"interval\">[%.*f, %.*f]</span>", digits,
			row->ratio.low, digits, row->ratio.high);
	fprintf(out, "</td><td>%zu</td>", row->blocks);
	if (compare_views_of(&ratios->tables[file], row, 0, &views) == 0)
		fprintf(out, "<td>%zu, %zu</td>", views.outliers,
			views.outliers_baseline);
	else
		fputs("<td class=\"none\">–</td>", out);
	fprintf(out, "<td class=\"text verdict-%s\">%s", verdict_name(row->verdict),
		verdict_texts[row->verdict]);
	html_printf(out, "%s%s", *row->reason != '\0' ? ": " : "", row->reason);
	fputs("</td></tr>\n", out);
}

static size_t print_rows(FILE *out, const struct dataset *d, const struct ratios *ratios,
			 int baseline)
{
	size_t rows = 0;

	for (size_t i = 0; i < d->nr_cells * d->nr_series; i++) {
		size_t cell = i / d->nr_series, series = i % d->nr_series;

		if (ratios_at(ratios, cell, series) == NULL ||
		    dataset_baseline(d, cell) != baseline)
			continue;
		if (rows++ == 0)
			fputs("<details><summary>Every verdict</summary><div class=\"scroll\">"
			      "<table><thead><tr><th>cell</th><th class=\"text\">allocator</th>"
			      "<th>ratio</th><th>blocks</th><th>outliers: it, baseline</th>"
			      "<th class=\"text\">verdict</th></tr></thead><tbody>\n",
			      out);
		print_row(out, d, ratios, cell, series);
	}
	if (rows > 0)
		fputs("</tbody></table></div></details>\n", out);
	return rows;
}

/* Does any cell have this baseline? */
static bool is_used(const struct dataset *d, int baseline)
{
	for (size_t c = 0; c < d->nr_cells; c++) {
		if (dataset_baseline(d, c) == baseline)
			return true;
	}
	return false;
}

void report_verdicts(FILE *out, const struct dataset *d)
{
	bool any = false;

	for (size_t s = 0; s < d->nr_series; s++) {
		struct ratios ratios;
		size_t rows = 0;

		if (!is_used(d, (int)s))
			continue;
		ratios_load(d, (int)s, &ratios);
		for (size_t i = 0; i < d->nr_cells * d->nr_series; i++)
			rows += ratios.row[i] != NULL &&
				dataset_baseline(d, i / d->nr_series) == (int)s;
		if (rows > 0) {
			fputs(any ? "" : "<h2 id=\"verdicts\">Verdicts</h2>\n", out);
			any = true;
			fputs("<h3>Against ", out);
			html_escape(out, d->series[s].allocator);
			fprintf(out,
				"</h3>\n<p class=\"muted\">Faster and slower: the 95&nbsp;%% "
				"interval excludes 1 and the estimate is beyond "
				"%.3g&nbsp;%%. Same: the whole interval is within. "
				"Outliers are blocks that lie far from the others; they "
				"are counted and kept.</p>\n",
				COMPARE_EQUIVALENCE_PCT);
			print_tallies(out, d, &ratios, (int)s);
			print_rows(out, d, &ratios, (int)s);
		}
		ratios_free(&ratios);
	}
}
