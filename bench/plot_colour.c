/* SPDX-License-Identifier: MIT */
/* colour: what cache colouring saves in misses, counted or modelled, and in time. */
#include "bench/plot_bars.h"

static const char *const workloads[] = {"colour", NULL};

static const struct bar_figure figures[] = {
	{"colours of the cache", "cache_colours", NULL, 1, BAR_COUNT, 0},
	{"sets used, modelled L1", "modelled_l1_sets_used_count", NULL, 1, BAR_COUNT, 0},
	{"misses a touch, modelled L1", "modelled_l1_misses_per_touch", NULL, 1,
	 BAR_COUNT, 1},
	{"misses a touch, callgrind", "l1d_misses_modelled_per_op", NULL, 1, BAR_COUNT,
	 1},
	{"misses a touch, counted", "l1d_misses", "iterations", 1, BAR_COUNT, 0},
	{"time per touch", "real_time", NULL, 1, BAR_NS, 0},
};

static const struct bars bars = {
	.workloads = workloads,
	.figures = figures,
	.nr_figures = KMEM_ARRAY_SIZE(figures),
	.needed = "modelled_l1_misses_per_touch",
	.title = "Cache colouring: one word of many objects, touched in turn",
	.subtitle =
		"misses of the first-level data cache and time; lower is better. A cache "
		"with one colour cannot be coloured",
	.note = "Model: this machine's sets and ways, least recently used line out, thread "
		"0.",
};

static int draw(struct plotter *p)
{
	return bars_draw(p, &bars);
}

static const struct plot_kind colour = {
	.name = "colour",
	.rank = 56,
	.draw = draw,
};
PLOT_REGISTER(colour);
