/* SPDX-License-Identifier: MIT */
/*
 * Figures that a workload reports of its own as bars: a row for each allocator below the
 * name of its cell, a panel for each figure. For kinds that one workload or two belong
 * to.
 */
#ifndef KMEMBENCH_PLOT_BARS_H
#define KMEMBENCH_PLOT_BARS_H

#include "bench/plot_internal.h"

/* How a value is written beside its bar. */
enum bar_unit { BAR_PERCENT, BAR_COUNT, BAR_NS };

struct bar_figure {
	const char *title;
	const char *metric;
	const char *per; /* drawn = metric / per * scale; NULL: no division */
	double scale;
	enum bar_unit unit;
	double axis_max; /* 0: the largest value */
};

struct bars {
	const char *const *workloads; /* NULL-terminated */
	const struct bar_figure *figures;
	size_t nr_figures;
	const char *needed; /* a metric without which a row is not there */
	const char *title, *subtitle, *note;
};

/* A value of one block; false: the block has none. */
bool bar_value(const struct result_entry *e, const struct bar_figure *f, double *value);

int bars_draw(struct plotter *p, const struct bars *bars);

#endif /* KMEMBENCH_PLOT_BARS_H */
