/* SPDX-License-Identifier: MIT */
/* reclaim: who took pages back, kswapd or the requests themselves, and what waiting cost.
 */
#include "bench/plot_bars.h"

static const char *const workloads[] = {"reclaim", NULL};

static const struct bar_figure figures[] = {
	{"kswapd, pages per 1,000 reads", "kswapd_pages", "pages_read", 1e3, BAR_COUNT,
	 0},
	{"direct, pages per 1,000 reads", "direct_pages", "pages_read", 1e3, BAR_COUNT,
	 0},
	{"stalls per million reads", "alloc_stalls", "pages_read", 1e6, BAR_COUNT, 0},
	{"time per read", "real_time", NULL, 1, BAR_NS, 0},
	{"allocation, p99.9", "latency_alloc_ns_p99_9", NULL, 1, BAR_NS, 0},
};

static const struct bars bars = {
	.workloads = workloads,
	.figures = figures,
	.nr_figures = KMEM_ARRAY_SIZE(figures),
	.needed = "kswapd_pages",
	.title = "Reclaim: a page cache larger than memory",
	.subtitle =
		"pages taken back by kswapd and by requests that had to wait (stalls); "
		"direct, stalls and times: lower is better",
	.note = "Reads of all passes, with the first one from end to end.",
};

static int draw(struct plotter *p)
{
	return bars_draw(p, &bars);
}

static const struct plot_kind reclaim = {
	.name = "reclaim",
	.rank = 54,
	.draw = draw,
};
PLOT_REGISTER(reclaim);
