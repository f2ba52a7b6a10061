/* SPDX-License-Identifier: MIT */
/* time-size: ns per operation and thread, by the size asked for. */
#include "bench/plot_internal.h"

static double size_bytes(const struct plot_cell *cell)
{
	return (double)cell->size_bytes;
}

static const char *panel_key(const struct plot_cell *cell)
{
	return cell->but_size;
}

static const char *panel_label(const struct plot_cell *cell)
{
	return cell->but_size_label;
}

/* Blocks of pages are drawn by page-orders. */
static bool concerns(const struct plot_cell *cell)
{
	return !plot_cell_of_pages(cell);
}

static const struct plot_lines lines = {
	.metric = "real_time",
	.scale = 1,
	.what = "size",
	.title = "Time per operation by size: %s",
	.subtitle = "ns per operation and thread; lower is better",
	.x = size_bytes,
	.panel_key = panel_key,
	.panel_label = panel_label,
	.x_label = format_size,
	.concerns = concerns,
};

static int draw(struct plotter *p)
{
	return plot_lines_draw(p, &lines);
}

static const struct plot_kind time_size = {
	.name = "time-size",
	.rank = 30,
	.draw = draw,
};
PLOT_REGISTER(time_size);
