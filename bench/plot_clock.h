/* SPDX-License-Identifier: MIT */
/* bench/plot_clock.c: a picture of panels over the bytes allocated, for plots/clock.gp.
 */
#ifndef KMEMBENCH_PLOT_CLOCK_H
#define KMEMBENCH_PLOT_CLOCK_H

#include "bench/plot_curves.h"
#include "bench/plot_internal.h"

/* How the script labels an axis of y; numbered as it does. */
enum clock_unit { CLOCK_PERCENT, CLOCK_RATIO, CLOCK_COUNT, CLOCK_NS };

struct clock_panel {
	const char *title;
	enum clock_unit unit;
	timeline_value
		*value; /* of the time line; NULL: the picture takes it elsewhere */
	const char *operation, *percentile; /* where it takes that: plot_age.c */
};

struct clock_picture {
	const char *title; /* with one %s: the cell */
	const char *subtitle, *note;
	const struct clock_panel *panels;
	size_t nr_panels;
	/* A panel's curves of one series; empty where it has none. */
	void (*take)(const struct measurement *m, const struct clock_panel *panel,
		     struct curves *out);
	double step_ns; /* what a panel of CLOCK_NS does not tell apart */
};

/* What the clock of an entry's process did not tell apart, in ns; the most of a cell's.
 */
double clock_step(const struct result_entry *e);
double clock_step_of_cell(const struct dataset *d, size_t cell, const bool *used);

/*
 * Draws a cell's picture of the series whose bit is set in used. Panels without a point
 * are left out; a picture without a panel is, too, and told. 0 or -errno with an error
 * text.
 */
int plot_clock_draw(struct plotter *p, size_t cell, const bool *used,
		    const struct clock_picture *picture);

#endif /* KMEMBENCH_PLOT_CLOCK_H */
