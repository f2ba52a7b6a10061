/* SPDX-License-Identifier: MIT */
/*
 * The head of the page: geometric means, who is fastest in each row, and all ratios as a
 * coloured table. It says where a peer wins as plainly as where it loses.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/plot_alloc.h"
#include "bench/report_internal.h"

/* The best of a kind in a row, by its estimated ratio to the baseline. */
struct best {
	int series; /* -1: none */
	struct summary ratio;
};

static bool cell_ratio(const struct dataset *d, size_t cell, size_t series, int baseline,
		       struct summary *ratio)
{
	return baseline >= 0 &&
	       dataset_ratio(dataset_at(d, cell, series),
			     dataset_baseline_at(d, cell, baseline, series), "real_time",
			     ratio);
}

/* Floors serve nobody: they are not in the race. */
static struct best best_of(const struct dataset *d, size_t cell, bool ours, bool peers)
{
	struct best best = {.series = -1};
	int baseline = dataset_baseline(d, cell);

	for (size_t s = 0; s < d->nr_series; s++) {
		enum series_kind kind = d->series[s].kind;
		struct summary ratio;

		if (kind == SERIES_FLOOR || (kind == SERIES_OURS ? !ours : !peers) ||
		    !cell_ratio(d, cell, s, baseline, &ratio))
			continue;
		if (best.series < 0 || ratio.middle < best.ratio.middle)
			best = (struct best){(int)s, ratio};
	}
	return best;
}

/* A difference: the interval excludes 1 and the estimate is beyond the equivalence band.
 */
static bool told_apart(const struct summary *ratio)
{
	bool beyond = ratio->middle > REPORT_EQUIVALENCE ||
		      ratio->middle < 1 / REPORT_EQUIVALENCE;

	return ratio->interval && beyond && (ratio->low > 1 || ratio->high < 1);
}

/* Two decimals are too few for small ratios. */
static int decimals(const struct summary *r)
{
	return r->middle < 0.1 ? 4 : r->middle < 0.995 ? 3 : 2;
}

static void print_ratio(FILE *out, const struct summary *r)
{
	int n = decimals(r);

	fprintf(out, "%.*f <span class=\"interval\">[%.*f, %.*f]</span>", n, r->middle, n,
		r->low, n, r->high);
}

static void print_means(FILE *out, const struct dataset *d, int baseline)
{
	bool unequal = false;

	fputs("<div class=\"scroll\"><table><thead><tr><th>allocator</th>"
	      "<th>time, geometric mean</th><th>rows</th></tr></thead><tbody>\n",
	      out);
	for (size_t s = 0; s < d->nr_series; s++) {
		struct geomean g;

		if (!dataset_geomean(d, s, baseline, &g))
			continue;
		unequal |= g.rows < g.rows_possible;
		fputs("<tr><th>", out);
		html_series_name(out, &d->series[s]);
		fputs("</th><td>", out);
		print_ratio(out, &g.ratio);
		fprintf(out, "</td><td%s>%zu of %zu</td></tr>\n",
			g.rows < g.rows_possible ? " class=\"bad\"" : "", g.rows,
			g.rows_possible);
	}
	fputs("</tbody></table></div>\n", out);
	if (unequal)
		fputs("<p class=\"muted\">A mean over fewer rows than another's does not compare "
		      "with it: the rows that lack may be the slow ones.</p>\n",
		      out);
}

/* Blue for faster, orange for slower, deeper with the logarithm of the ratio; floors
 * plain. */
static void print_heat(FILE *out, const struct summary *r, bool best, bool floor)
{
	double depth = floor ? 0 : fabs(log2(r->middle)) / 3;

	fprintf(out,
		"<td%s style=\"background:rgba(var(--%s),%.2f)\" title=\"%.3f [%.3f, %.3f], "
		"%zu blocks\">%.*f</td>",
		floor  ? " class=\"none\""
		: best ? " class=\"best\""
		       : "",
		r->middle < 1 ? "fast" : "slow", depth > 0.6 ? 0.6 : depth, r->middle,
		r->low, r->high, r->blocks, decimals(r), r->middle);
}

static void print_heat_row(FILE *out, const struct dataset *d, size_t cell, int baseline,
			   const bool *shown)
{
	struct best best = best_of(d, cell, true, true);

	fputs("<tr><th>", out);
	html_escape(out, d->cells[cell].label);
	fputs("</th>", out);
	for (size_t s = 0; s < d->nr_series; s++) {
		const struct measurement *m = dataset_at(d, cell, s);
		struct summary ratio;

		if (!shown[s])
			continue;
		if (cell_ratio(d, cell, s, baseline, &ratio))
			print_heat(out, &ratio, (int)s == best.series,
				   d->series[s].kind == SERIES_FLOOR);
		else if (m->nr_failed > 0)
			fputs("<td class=\"bad\">failed</td>", out);
		else
			fputs("<td class=\"none\">–</td>", out);
	}
	fputs("</tr>\n", out);
}

static void print_heat_table(FILE *out, const struct dataset *d, int baseline)
{
	bool *shown = plot_calloc(d->nr_series, sizeof(*shown));

	for (size_t c = 0; c < d->nr_cells; c++) {
		for (size_t s = 0; dataset_baseline(d, c) == baseline && s < d->nr_series;
		     s++) {
			const struct measurement *m = dataset_at(d, c, s);

			shown[s] |= m->nr_blocks > 0 || m->nr_failed > 0;
		}
	}
	fputs("<div class=\"scroll\"><table><thead><tr><th>cell</th>", out);
	for (size_t s = 0; s < d->nr_series; s++) {
		if (!shown[s])
			continue;
		fputs("<th>", out);
		html_series_name(out, &d->series[s]);
		fputs("</th>", out);
	}
	fputs("</tr></thead><tbody>\n", out);
	for (size_t c = 0; c < d->nr_cells; c++) {
		if (dataset_baseline(d, c) == baseline)
			print_heat_row(out, d, c, baseline, shown);
	}
	fputs("</tbody></table></div>\n", out);
	free(shown);
}

/* "kmem is fastest in 12 rows, mimalloc in 5." */
static void print_winners(FILE *out, const struct dataset *d, int baseline)
{
	size_t *wins = plot_calloc(d->nr_series, sizeof(*wins)), rows = 0, left;
	bool first = true;

	for (size_t c = 0; c < d->nr_cells; c++) {
		struct best best = best_of(d, c, true, true);

		if (dataset_baseline(d, c) != baseline || best.series < 0)
			continue;
		wins[best.series]++;
		rows++;
	}
	fprintf(out, "<p>Lowest time, floors apart, in %zu row%s: ", rows,
		rows == 1 ? "" : "s");
	for (left = rows; left > 0; first = false) {
		size_t most = 0;

		for (size_t s = 1; s < d->nr_series; s++) {
			if (wins[s] > wins[most])
				most = s;
		}
		fputs(first ? "" : ", ", out);
		html_escape(out, d->series[most].name);
		fprintf(out, " in %zu", wins[most]);
		left -= wins[most];
		wins[most] = 0;
	}
	fputs(".</p>\n", out);
	free(wins);
}

/* Our best against the best peer, row by row: ahead, behind, or not told apart. */
static void print_ours_and_peers(FILE *out, const struct dataset *d, int baseline)
{
	size_t ahead = 0, behind = 0, open = 0;

	for (size_t c = 0; c < d->nr_cells; c++) {
		struct best ours = best_of(d, c, true, false),
			    peer = best_of(d, c, false, true);
		struct summary ratio;

		if (dataset_baseline(d, c) != baseline || ours.series < 0 ||
		    peer.series < 0 ||
		    !cell_ratio(d, c, (size_t)ours.series, peer.series, &ratio))
			continue;
		if (!told_apart(&ratio))
			open++;
		else if (ratio.middle < 1)
			ahead++;
		else
			behind++;
	}
	if (ahead + behind + open == 0)
		return;
	fprintf(out,
		"<p>The best of this project's allocators against the best peer of each row: "
		"ahead in %zu, behind in %zu, not told apart in %zu. (A difference is an "
		"interval that excludes 1 and an estimate beyond 1.5&nbsp;%%; fewer than %d "
		"blocks tell nothing apart.)</p>\n",
		ahead, behind, open, SUMMARY_MIN_BLOCKS);
}

/* True when some row has this baseline and another allocator besides. */
static bool is_baseline(const struct dataset *d, int series)
{
	for (size_t c = 0; c < d->nr_cells; c++) {
		size_t n = 0;

		for (size_t s = 0; s < d->nr_series; s++)
			n += dataset_at(d, c, s)->nr_blocks > 0;
		if (n > 1 && dataset_baseline(d, c) == series)
			return true;
	}
	return false;
}

void report_summary(FILE *out, const struct dataset *d)
{
	bool any = false;

	fputs("<h2 id=\"summary\">Summary</h2>\n", out);
	for (size_t s = 0; s < d->nr_series; s++) {
		if (!is_baseline(d, (int)s))
			continue;
		any = true;
		fputs("<h3>Time per operation relative to ", out);
		html_escape(out, d->series[s].allocator);
		fputs("</h3>\n<p class=\"muted\">Ratios: below 1 is faster. Each is estimated "
		      "within blocks of runs close in time.</p>\n",
		      out);
		print_winners(out, d, (int)s);
		print_ours_and_peers(out, d, (int)s);
		print_means(out, d, (int)s);
		fputs("<h3>Every row</h3>\n<p class=\"muted\">Underlined: the lowest, floors "
		      "apart. Point at a figure for its interval.</p>\n",
		      out);
		print_heat_table(out, d, (int)s);
	}
	if (!any)
		fputs("<p>No cell was measured on two allocators: there is nothing to compare. "
		      "<code>-a LIST</code> names several.</p>\n",
		      out);
}
