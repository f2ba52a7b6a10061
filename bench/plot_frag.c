/* SPDX-License-Identifier: MIT */
/*
 * frag: how whole the free memory of a page allocator is after the work, as bars. Of
 * page-random the report's table has it: what it frees it fills again, and next to all
 * free memory stays whole.
 */
#include "bench/plot_bars.h"

static const char *const workloads[] = {"page-frag", NULL};

static const struct bar_figure figures[] = {
	{"in whole 2 MiB blocks, before ageing", "free_in_huge_blocks_unaged_ratio", NULL,
	 100, BAR_PERCENT, 100},
	{"in whole 2 MiB blocks, after", "free_in_huge_blocks_ratio", NULL, 100,
	 BAR_PERCENT, 100},
	{"unusable for order 3", "unusable_index_order3_ratio", NULL, 100, BAR_PERCENT,
	 100},
	{"time per operation", "real_time", NULL, 1, BAR_NS, 0},
};

static const struct bars bars = {
	.workloads = workloads,
	.figures = figures,
	.nr_figures = KMEM_ARRAY_SIZE(figures),
	.needed = "free_in_huge_blocks_ratio",
	.title = "Free memory after the work: how much of it is whole",
	.subtitle = "shares of free memory, HIGHMEM left out; in whole blocks: higher is "
		    "better; unusable and time: lower is better",
	.note = "page-frag: memory filled, half of it freed at random, then replaced in "
		"rounds.",
};

static int draw(struct plotter *p)
{
	return bars_draw(p, &bars);
}

static const struct plot_kind frag = {
	.name = "frag",
	.rank = 50,
	.draw = draw,
};
PLOT_REGISTER(frag);
