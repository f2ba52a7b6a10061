/* SPDX-License-Identifier: MIT */
/* All figures: time, latency and memory of each cell, and what failed or was skipped. */
#include <string.h>

#include "bench/plot_alloc.h"
#include "bench/plot_latency.h"
#include "bench/report_internal.h"

static void print_time(FILE *out, const struct measurement *m)
{
	struct summary s;
	char a[40], b[40], c[40];

	if (!dataset_summary(m, "real_time", &s)) {
		fputs("<td class=\"none\">–</td>", out);
	} else {
		fprintf(out, "<td>%s <span class=\"interval\">[%s, %s]</span></td>",
			html_number(s.middle, a, sizeof(a)),
			html_number(s.low, b, sizeof(b)),
			html_number(s.high, c, sizeof(c)));
	}
	if (dataset_summary(m, "items_per_second", &s))
		fprintf(out, "<td>%s</td>", html_number(s.middle / 1e6, a, sizeof(a)));
	else
		fputs("<td class=\"none\">–</td>", out);
}

static void print_latency(FILE *out, const struct measurement *m, const char *operation)
{
	static const double quantiles[] = {0.5, 0.99, 0.999};
	struct latency_curve curve;
	bool have = latency_curve(m, operation, &curve);

	for (size_t i = 0; i < KMEM_ARRAY_SIZE(quantiles); i++) {
		char buf[40];

		double ns = have ? latency_curve_quantile(&curve, quantiles[i]) : 0;

		/* A quantile beyond the last sample but a few is luck. */
		if (!have || (double)curve.count * (1 - quantiles[i]) < 10)
			fputs("<td class=\"none\">–</td>", out);
		else if (ns < curve.granularity_ns * 0.999)
			fprintf(out, "<td>&lt;%s</td>",
				html_number(curve.granularity_ns, buf, sizeof(buf)));
		else
			fprintf(out, "<td>%s</td>", html_number(ns, buf, sizeof(buf)));
	}
	latency_curve_free(&curve);
}

static void print_memory(FILE *out, const struct measurement *m, bool touched)
{
	struct summary peak, live;
	char buf[40];
	bool have_peak = dataset_summary(m, "rss_bytes_peak", &peak);
	bool have_live = dataset_summary(m, "live_bytes_max", &live);

	if (have_peak)
		fprintf(out, "<td>%s</td>", format_bytes(peak.middle, buf, sizeof(buf)));
	else
		fputs("<td class=\"none\">–</td>", out);
	if (have_live)
		fprintf(out, "<td>%s</td>", format_bytes(live.middle, buf, sizeof(buf)));
	else
		fputs("<td class=\"none\">–</td>", out);
	/* Of a few live bytes the ratio says only how large a page is, of bytes that were
	 * never touched nothing at all. */
	if (touched && have_peak && have_live && live.middle >= 65536)
		fprintf(out, "<td>%.2f</td>", peak.middle / live.middle);
	else
		fputs("<td class=\"none\">–</td>", out);
}

static void print_measurement(FILE *out, const struct plot_cell *cell,
			      const struct series *s, const struct measurement *m)
{
	fputs("<tr><th>", out);
	html_series_name(out, s);
	fputs("</th>", out);
	if (m->nr_blocks == 0) {
		fprintf(out, "<td class=\"text wrap%s\" colspan=\"12\">%s: ",
			m->nr_failed > 0 ? " bad" : "",
			m->nr_failed > 0 ? "failed" : "skipped");
		html_escape(out, m->reason != NULL ? m->reason : "no reason recorded");
		fputs("</td></tr>\n", out);
		return;
	}
	fprintf(out, "<td>%zu%s</td>", m->nr_blocks, m->nr_failed > 0 ? " *" : "");
	print_time(out, m);
	print_latency(out, m, "alloc");
	print_latency(out, m, "free");
	print_memory(out, m, plot_cell_touched(cell));
	fputs("</tr>\n", out);
}

static void print_cell(FILE *out, const struct dataset *d, size_t cell)
{
	const struct plot_cell *c = &d->cells[cell];
	char *params = json_dumps(c->params, JSON_COMPACT | JSON_SORT_KEYS);

	fputs("<tr class=\"cell\"><th colspan=\"13\">", out);
	html_escape(out, c->label);
	html_printf(out, "%s%s", c->op != NULL ? "; operation: " : "",
		    c->op != NULL ? c->op : "");
	fputs(" <span class=\"interval\">", out);
	html_escape(out, params != NULL ? params : "");
	fputs("</span></th></tr>\n", out);
	free(params);
	for (size_t s = 0; s < d->nr_series; s++) {
		const struct measurement *m = dataset_at(d, cell, s);

		if (m->nr_blocks + m->nr_failed + m->nr_skipped > 0)
			print_measurement(out, c, &d->series[s], m);
	}
}

void report_cells(FILE *out, const struct dataset *d)
{
	fputs("<h2 id=\"cells\">All cells</h2>\n"
	      "<p class=\"muted\">Time: median over blocks of ns per operation and thread, with "
	      "the 95&nbsp;% interval of the median (minimum and maximum for fewer than 6 "
	      "blocks). Rate: million operations per second, all threads. Latency: ns, from "
	      "the merged histograms of all blocks; absent where fewer than ten samples lie "
	      "beyond. Resident: peak less what was resident before the first allocation. "
	      "*: some of the blocks failed.</p>\n",
	      out);
	for (size_t c = 0; c < d->nr_cells; c++) {
		const char *workload = d->cells[c].workload;

		if (c == 0 || strcmp(workload, d->cells[c - 1].workload) != 0) {
			fputs(c > 0 ? "</tbody></table></div></details>\n" : "", out);
			fputs("<details open><summary>", out);
			html_escape(out, workload);
			fputs("</summary><div class=\"scroll\"><table><thead><tr><th "
			      "rowspan=\"2\">allocator</th><th rowspan=\"2\">blocks</th>"
			      "<th rowspan=\"2\">ns / op</th><th rowspan=\"2\">Mop/s</th>"
			      "<th colspan=\"3\">alloc, ns</th><th colspan=\"3\">free, ns</th>"
			      "<th rowspan=\"2\">peak resident</th><th rowspan=\"2\">most live</th>"
			      "<th rowspan=\"2\">peak / live</th></tr><tr><th>p50</th><th>p99</th>"
			      "<th>p99.9</th><th>p50</th><th>p99</th><th>p99.9</th></tr></thead>"
			      "<tbody>\n",
			      out);
		}
		print_cell(out, d, c);
	}
	fputs("</tbody></table></div></details>\n", out);
}

void report_failures(FILE *out, const struct dataset *d)
{
	size_t n = 0;

	for (size_t i = 0; i < d->nr_cells * d->nr_series; i++) {
		const struct measurement *m = &d->matrix[i];

		if (m->nr_failed + m->nr_skipped == 0)
			continue;
		if (n++ == 0)
			fputs("<h2 id=\"failures\">Failed and skipped</h2>\n<div class=\"scroll\">"
			      "<table><thead><tr><th>cell</th><th class=\"text\">allocator</th>"
			      "<th class=\"text\">blocks</th><th class=\"text\">reason</th></tr>"
			      "</thead><tbody>\n",
			      out);
		fputs("<tr><th>", out);
		html_escape(out, d->cells[i / d->nr_series].label);
		fputs("</th><td class=\"text\">", out);
		html_series_name(out, &d->series[i % d->nr_series]);
		fprintf(out,
			"</td><td class=\"text\">%zu failed, %zu skipped</td>"
			"<td class=\"text wrap\">",
			m->nr_failed, m->nr_skipped);
		html_escape(out, m->reason != NULL ? m->reason : "no reason recorded");
		fputs("</td></tr>\n", out);
	}
	if (n > 0)
		fputs("</tbody></table></div>\n", out);
}
