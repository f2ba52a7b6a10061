/* SPDX-License-Identifier: MIT */
/* kmap: what an address for a page of high memory costs, by each way to get one. */
#include "bench/plot_bars.h"

static const char *const workloads[] = {"kmap", NULL};

static const struct bar_figure figures[] = {
	{"map, touch, unmap", "real_time", NULL, 1, BAR_NS, 0},
	{"mapped anew, of the operations", "kmap_maps_per_op", NULL, 100, BAR_PERCENT,
	 100},
	{"map, p99.9", "latency_alloc_ns_p99_9", NULL, 1, BAR_NS, 0},
};

static const struct bars bars = {
	.workloads = workloads,
	.figures = figures,
	.nr_figures = KMEM_ARRAY_SIZE(figures),
	.needed = "kmap_maps_per_op",
	.title = "High memory: mapping one page, touching it, unmapping it",
	.subtitle =
		"by kmap, kmap_atomic and vmap, and pages of the direct map, which need no "
		"mapping; lower is better",
	.note = "Mapped anew: the window did not show the page any more. vmap maps each time.",
};

static int draw(struct plotter *p)
{
	return bars_draw(p, &bars);
}

static const struct plot_kind kmap = {
	.name = "kmap",
	.rank = 57,
	.draw = draw,
};
PLOT_REGISTER(kmap);
