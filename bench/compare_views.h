/* SPDX-License-Identifier: MIT */
/*
 * The conventional second views of a comparison: what other benchmarks would say of the
 * same figures. Each block's figure of an allocator is one draw, the baseline's another,
 * and which block they are of is forgotten: drift between blocks, which the paired view
 * takes out, stays in. Verdicts rest on the paired view alone.
 *
 *   Mann-Whitney   the probability that two samples of one source lie as far apart
 *                  (Google Benchmark's compare.py gives it, and asks for nine of each)
 *   bootstrap      95 % BCa interval of the ratio of means, and of medians
 *   outliers       figures far from their sample's median, marked and kept
 */
#ifndef KMEMBENCH_COMPARE_VIEWS_H
#define KMEMBENCH_COMPARE_VIEWS_H

#include <jansson.h>
#include <stdio.h>

#include "bench/compare.h"
#include "bench/stats.h"

enum compare_view_flags {
	COMPARE_VIEW_PAIRED = 1 << 0, /* the table as it is */
	COMPARE_VIEW_MANN_WHITNEY = 1 << 1,
	COMPARE_VIEW_BOOTSTRAP = 1 << 2,
	COMPARE_VIEW_ALL = (1 << 3) - 1,
};

struct compare_views {
	size_t figures, figures_baseline;
	size_t outliers, outliers_baseline; /* stats_mark_outliers() of the logarithms */
	struct stats_mann_whitney mann_whitney;
	struct stats_bootstrap means, medians;
};

/*
 * "paired", "mann-whitney", "bootstrap", "all", several joined by commas. 0 with an error
 * text that names what is unknown.
 */
unsigned int compare_views_parse(const char *text);

/*
 * The views of one row of a table. views: what is wanted of enum compare_view_flags;
 * outliers are always counted. 0 or a negative errno with a text.
 */
KMEM_MUST_CHECK int compare_views_of(const struct comparison_table *table,
				     const struct comparison *row, unsigned int views,
				     struct compare_views *out);

/* A row's views as text below its line in the table; and as members of its JSON object.
 */
void compare_views_print(const struct compare_views *v, unsigned int views, int indent,
			 FILE *out);
void compare_views_add_json(const struct compare_views *v, unsigned int views,
			    json_t *object);

#endif /* KMEMBENCH_COMPARE_VIEWS_H */
