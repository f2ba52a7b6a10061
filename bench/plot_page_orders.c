/* SPDX-License-Identifier: MIT */
/* page-orders: ns per operation and thread by the order of the blocks, 2^order pages. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <kmem/mm_types.h>

#include "bench/plot_internal.h"

bool plot_cell_of_pages(const struct plot_cell *cell)
{
	return strncmp(cell->workload, "page-", strlen("page-")) == 0 ||
	       strcmp(cell->workload, "reclaim") == 0;
}

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

static const char *order_label(double bytes, char *buf, size_t size)
{
	snprintf(buf, size, "%.0f", log2(bytes / (double)PAGE_SIZE));
	return buf;
}

static const struct plot_lines lines = {
	.metric = "real_time",
	.scale = 1,
	.what = "order",
	.title = "Time per operation by order: %s",
	.subtitle = "ns per block and thread; lower is better",
	.x = size_bytes,
	.panel_key = panel_key,
	.panel_label = panel_label,
	.x_label = order_label,
	.concerns = plot_cell_of_pages,
	.short_tics = true,
	.leave_out_few = true,
};

static int draw(struct plotter *p)
{
	return plot_lines_draw(p, &lines);
}

static const struct plot_kind page_orders = {
	.name = "page-orders",
	.rank = 31,
	.draw = draw,
};
PLOT_REGISTER(page_orders);
