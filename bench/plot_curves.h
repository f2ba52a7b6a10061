/* SPDX-License-Identifier: MIT */
/* Memory time lines as curves, and curves of several blocks as one with its spread. */
#ifndef KMEMBENCH_PLOT_CURVES_H
#define KMEMBENCH_PLOT_CURVES_H

#include <stdio.h>

#include "bench/plot_data.h"

/* Columns of "timeline" in an entry; what a file lacks is NaN in every row. */
enum timeline_column {
	TIMELINE_T_S,
	TIMELINE_RSS,
	TIMELINE_LIVE,
	TIMELINE_USABLE,
	TIMELINE_ALLOCATED,
	TIMELINE_MAPPINGS,
	TIMELINE_PHASE,
	/* of the page workloads only: workload_ops.course */
	TIMELINE_FREE_PAGES,
	TIMELINE_HUGE_SHARE,
	TIMELINE_UNUSABLE_3,
	TIMELINE_UNUSABLE_6,
	TIMELINE_FRAGMENTATION,
	TIMELINE_PAGES_MIN,
	TIMELINE_PAGES_LOW,
	TIMELINE_PAGES_HIGH,
	TIMELINE_KSWAPD_PAGES,
	TIMELINE_DIRECT_PAGES,
	NR_TIMELINE_COLUMNS,
};

struct timeline {
	size_t rows;
	double *column[NR_TIMELINE_COLUMNS]; /* one allocation, at [0] */
	const json_t *phases;		     /* names; borrowed */
	size_t origin; /* the row that a curve begins with: curves_of() */
};

/* False: the entry has none, or fewer than two rows. Release with timeline_free(). */
bool timeline_of(const struct result_entry *e, struct timeline *t);
void timeline_free(struct timeline *t);
/* The name of the phase in a row; "" where it has none. */
const char *timeline_phase(const struct timeline *t, size_t row);
/*
 * False while the workload is idle, and when everything is being freed or has been. The
 * row that an idle phase begins with is of the work: it was taken when the work was done.
 */
bool timeline_working(const struct timeline *t, size_t row);
/* First row of the last phase of that name; t->rows when there is none. */
size_t timeline_phase_begin(const struct timeline *t, const char *name);

/* One block's curve, by ascending x; no NaN in it. */
struct curve {
	double *x, *y; /* one allocation, at x */
	size_t count;
};

struct curves {
	struct curve *list; /* a curve for each block that has one */
	size_t count;
};

/* What is drawn against x: a figure of one row; NaN: none there. */
typedef double timeline_value(const struct timeline *t, size_t row);

/* A curve of each block's time line, from row `from(t)` on (NULL: the first). */
void curves_of(const struct measurement *m, timeline_value *x, timeline_value *y,
	       size_t (*from)(const struct timeline *t), struct curves *out);
/* Adds a block's curve point by point; curves_end() after its last. */
void curves_add_point(struct curves *c, double x, double y);
void curves_end(struct curves *c);
void curves_free(struct curves *c);

/* Smallest and largest x of all; false without a point. Widens what is there already. */
bool curves_range(const struct curves *c, double *low, double *high);

/*
 * Median, minimum and maximum over blocks at x, each block's curve interpolated but for
 * gaps, in which it tells nothing. False where fewer than half of the blocks reach: their
 * median would be of others.
 */
bool curves_at(const struct curves *c, double x, struct summary *out);

/* Is there any such x? Where there is none, nothing can be drawn. */
bool curves_meet(const struct curves *c);

/*
 * Writes a line of plots/clock.gp in `points` steps: panel, series, x, middle, low, high;
 * an empty line after the last, where there is any. Returns how many there are.
 */
size_t curves_write(FILE *table, size_t panel, size_t series, const struct curves *c,
		    int points);

/* Single figures of a row: seconds, bytes. */
timeline_value timeline_seconds, timeline_resident, timeline_live, timeline_usable,
	timeline_allocated, timeline_mappings;
/* (U - L) / U, (R - U) / R and R / L of a row: docs/METHODOLOGY.md. */
timeline_value timeline_internal, timeline_external, timeline_space_ratio;

#endif /* KMEMBENCH_PLOT_CURVES_H */
