/* SPDX-License-Identifier: MIT */
/* Tables of the memory pass (fragmentation, drains) and of the causes of slow operations.
 */
#include <string.h>

#include "bench/plot_alloc.h"
#include "bench/plot_tail.h"
#include "bench/report_internal.h"

enum column_unit { UNIT_SHARE, UNIT_RATIO, UNIT_COUNT, UNIT_BYTES };

static const struct {
	const char *metric, *title;
	enum column_unit unit;
} columns[] = {
	{"internal_fragmentation", "internal", UNIT_SHARE},
	{"external_fragmentation", "external", UNIT_SHARE},
	{"realised_fragmentation", "realised", UNIT_SHARE},
	{"space_ratio", "space ratio", UNIT_RATIO},
	{"blow_up", "blow-up", UNIT_RATIO},
	{"mappings_max", "mappings", UNIT_COUNT},
	{"rss_bytes_idle_0_1s", "idle 0.1 s", UNIT_BYTES},
	{"rss_bytes_idle_1s", "idle 1 s", UNIT_BYTES},
	{"rss_bytes_idle_5s", "idle 5 s", UNIT_BYTES},
	{"robson_bound_bytes", "Robson's bound", UNIT_BYTES},
	{"free_in_huge_blocks_unaged_ratio", "free in 2 MiB blocks, unaged", UNIT_SHARE},
	{"free_in_huge_blocks_ratio", "free in 2 MiB blocks", UNIT_SHARE},
	{"unusable_index_order3_ratio", "unusable, order 3", UNIT_SHARE},
	{"kswapd_pages", "kswapd pages", UNIT_COUNT},
	{"direct_pages", "direct pages", UNIT_COUNT},
	{"alloc_stalls", "stalls", UNIT_COUNT},
	{"fallback_in", "fallback in", UNIT_SHARE},
	{"locality", "locality", UNIT_SHARE},
	{"fallback_from_ratio", "falls back at", UNIT_SHARE},
	{"failed_from_ratio", "fails at", UNIT_RATIO},
	{"returned_ratio", "returned", UNIT_SHARE},
	{"producer_local_ratio", "producers' local", UNIT_SHARE},
	{"consumer_local_ratio", "consumers' local", UNIT_SHARE},
	{"home_ratio", "gone home", UNIT_SHARE},
	{"cache_colours", "colours", UNIT_COUNT},
	{"modelled_l1_misses_per_touch", "L1 misses a touch, modelled", UNIT_RATIO},
};

static bool column_shown(const struct dataset *d, size_t column)
{
	struct summary s;

	for (size_t i = 0; i < d->nr_cells * d->nr_series; i++) {
		if (dataset_summary(&d->matrix[i], columns[column].metric, &s))
			return true;
	}
	return false;
}

static bool row_shown(const struct measurement *m)
{
	struct summary s;

	for (size_t i = 0; i < KMEM_ARRAY_SIZE(columns); i++) {
		if (dataset_summary(m, columns[i].metric, &s))
			return true;
	}
	return false;
}

static void print_value(FILE *out, const struct measurement *m, size_t column)
{
	struct summary s;
	char buf[40];

	if (!dataset_summary(m, columns[column].metric, &s)) {
		fputs("<td class=\"none\">–</td>", out);
		return;
	}
	switch (columns[column].unit) {
	case UNIT_SHARE: snprintf(buf, sizeof(buf), "%.1f %%", 100 * s.middle); break;
	case UNIT_RATIO: snprintf(buf, sizeof(buf), "%.2f", s.middle); break;
	case UNIT_COUNT: snprintf(buf, sizeof(buf), "%.0f", s.middle); break;
	case UNIT_BYTES: format_bytes(s.middle, buf, sizeof(buf)); break;
	}
	fprintf(out, "<td>%s</td>", buf);
}

/* A row that names the cell, before the first of its allocators. */
static void print_cell_row(FILE *out, const struct dataset *d, size_t cell, size_t width)
{
	fprintf(out, "<tr class=\"cell\"><th colspan=\"%zu\">", width);
	html_escape(out, d->cells[cell].label);
	fputs("</th></tr>\n", out);
}

void report_memory(FILE *out, const struct dataset *d)
{
	bool shown[KMEM_ARRAY_SIZE(columns)], any = false;
	size_t width = 1, last = d->nr_cells;

	for (size_t i = 0; i < KMEM_ARRAY_SIZE(columns); i++) {
		shown[i] = column_shown(d, i);
		any |= shown[i];
		width += shown[i];
	}
	if (!any)
		return;
	fputs("<h2 id=\"memory\">Memory over time</h2>\n<p class=\"muted\">Medians over "
	      "blocks, of a pass of its own that a sampler watches. R resident, U usable, L "
	      "live bytes. Internal: (U − L) / U. External: (R − U) / R, free blocks and the "
	      "allocator's own; below 0 where blocks are not touched. Realised: (R − L) / R at "
	      "the end. Space ratio: max R / max L. Blow-up: max R / that of one thread. Idle: R so long after the last "
	      "free. Free in 2 MiB blocks, unusable: shares of a page allocator's free memory "
	      "(the unusable free space index). Pages and stalls: of all passes. Fallback in, "
	      "locality: shares of pages served by a node that was not preferred, and by the "
	      "requesting thread's own. Falls back, fails at: parts of the preferred node's memory. "
	      "Returned, local, gone home: shares of blocks (numa-fallback, numa-pass).</p>\n<div class=\"scroll\"><table><thead><tr><th>allocator</th>",
	      out);
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(columns); i++) {
		if (shown[i])
			fprintf(out, "<th>%s</th>", columns[i].title);
	}
	fputs("</tr></thead><tbody>\n", out);
	for (size_t i = 0; i < d->nr_cells * d->nr_series; i++) {
		size_t cell = i / d->nr_series;

		if (!row_shown(&d->matrix[i]))
			continue;
		if (cell != last)
			print_cell_row(out, d, cell, width);
		last = cell;
		fputs("<tr><th>", out);
		html_series_name(out, &d->series[i % d->nr_series]);
		fputs("</th>", out);
		for (size_t k = 0; k < KMEM_ARRAY_SIZE(columns); k++) {
			if (shown[k])
				print_value(out, &d->matrix[i], k);
		}
		fputs("</tr>\n", out);
	}
	fputs("</tbody></table></div>\n", out);
}

/* --- causes of slow operations --- */

static void print_tail(FILE *out, const struct series *s, const char *operation,
		       const struct tail *tail)
{
	char buf[40];

	fputs("<tr><th>", out);
	html_series_name(out, s);
	fprintf(out, "</th><td class=\"text\">%s</td><td>%s</td>", operation,
		html_number((double)tail->total, buf, sizeof(buf)));
	for (int c = 0; c < NR_TAIL_CAUSES; c++) {
		if (tail->above[c] == 0)
			fputs("<td class=\"none\">–</td>", out);
		else
			fprintf(out,
				"<td>%.1f&nbsp;%% <span class=\"interval\">to %s "
				"µs</span></td>",
				100.0 * (double)tail->above[c] / (double)tail->total,
				html_number(tail->max_ns[c] / 1e3, buf, sizeof(buf)));
	}
	fputs("</tr>\n", out);
}

void report_tails(FILE *out, const struct dataset *d)
{
	static const char *const operations[] = {"alloc", "free"};
	size_t last = d->nr_cells, rows = 0;

	for (size_t i = 0; i < d->nr_cells * d->nr_series * 2; i++) {
		size_t cell = i / 2 / d->nr_series;
		struct tail tail;

		if (!tail_of(&d->matrix[i / 2], operations[i % 2], &tail) ||
		    tail.total == 0)
			continue;
		if (rows++ == 0) {
			fputs("<h2 id=\"tails\">Causes of the slowest operations</h2>\n"
			      "<p class=\"muted\">Samples above their block's p99.9 by what "
			      "happened during the operation, all blocks together, and the "
			      "longest of each. Preempted and migrated: whatever else happened "
			      "besides. The floors show what the machine does by itself.</p>\n"
			      "<details><summary>By cell</summary><div class=\"scroll\"><table>"
			      "<thead><tr><th>allocator</th><th class=\"text\">operation</th>"
			      "<th>samples</th>",
			      out);
			for (int c = 0; c < NR_TAIL_CAUSES; c++)
				fprintf(out, "<th>%s</th>",
					tail_cause_name((enum tail_cause)c));
			fputs("</tr></thead><tbody>\n", out);
		}
		if (cell != last)
			print_cell_row(out, d, cell, 3 + NR_TAIL_CAUSES);
		last = cell;
		print_tail(out, &d->series[i / 2 % d->nr_series], operations[i % 2],
			   &tail);
	}
	if (rows > 0)
		fputs("</tbody></table></div></details>\n", out);
}
