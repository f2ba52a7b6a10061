/* SPDX-License-Identifier: MIT */
/* numa-pass: where memory goes that is freed on another node than its own. */
#include "bench/plot_bars.h"

static const char *const workloads[] = {"numa-pass", NULL};

static const struct bar_figure figures[] = {
	{"producers' local", "producer_local_ratio", NULL, 100, BAR_PERCENT, 100},
	{"gone home", "home_ratio", NULL, 100, BAR_PERCENT, 100},
	{"consumers' local", "consumer_local_ratio", NULL, 100, BAR_PERCENT, 100},
	{"time per block", "real_time", NULL, 1, BAR_NS, 0},
	{"remote touch, p99", "latency_touch_ns_p99", NULL, 1, BAR_NS, 0},
	{"free, p99", "latency_free_ns_p99", NULL, 1, BAR_NS, 0},
};

static const struct bars bars = {
	.workloads = workloads,
	.figures = figures,
	.nr_figures = KMEM_ARRAY_SIZE(figures),
	.needed = "producer_local_ratio",
	.title = "Memory of one node, freed on another",
	.subtitle =
		"shares: higher is better; times: lower is better. Local: it lies on the node "
		"of the thread that was given it",
	.note = "Shares of the latency pass. Producers': of the blocks passed on; gone home: "
		"those that a consumer had freed before. Consumers': of what they allocate "
		"themselves.",
};

static int draw(struct plotter *p)
{
	return bars_draw(p, &bars);
}

static const struct plot_kind numa_pass = {
	.name = "numa-pass",
	.rank = 57,
	.draw = draw,
};
PLOT_REGISTER(numa_pass);
