/* SPDX-License-Identifier: MIT */
/* throughput-threads: operations per second of all threads together, by threads. */
#include "bench/plot_internal.h"

static double threads(const struct plot_cell *cell)
{
	return cell->threads;
}

static const char *panel_key(const struct plot_cell *cell)
{
	return cell->but_threads;
}

static const char *panel_label(const struct plot_cell *cell)
{
	return cell->but_threads_label;
}

static const char *label(double x, char *buf, size_t size)
{
	snprintf(buf, size, "%.0f", x);
	return buf;
}

static const struct plot_lines lines = {
	.metric = "items_per_second",
	.scale = 1e-6,
	.what = "threads",
	.title = "Throughput by threads: %s",
	.subtitle =
		"million operations per second, all threads together; higher is better",
	.x = threads,
	.panel_key = panel_key,
	.panel_label = panel_label,
	.x_label = label,
};

static int draw(struct plotter *p)
{
	return plot_lines_draw(p, &lines);
}

static const struct plot_kind throughput_threads = {
	.name = "throughput-threads",
	.rank = 20,
	.draw = draw,
};
PLOT_REGISTER(throughput_threads);
