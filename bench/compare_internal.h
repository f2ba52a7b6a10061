/* SPDX-License-Identifier: MIT */
/* Between compare.c, which pairs cells, and compare_verdict.c, which judges them. */
#ifndef KMEMBENCH_COMPARE_INTERNAL_H
#define KMEMBENCH_COMPARE_INTERNAL_H

#include "bench/compare.h"

/* What one comparison is made from: figures of both sides, by block. */
struct compare_sample {
	double *baseline, *other; /* with log_ratio one allocation: free(baseline) */
	size_t nr_baseline, nr_other;
	bool paired; /* baseline[i] and other[i] are of one block */
	/* Paired: the block's own estimate of log(other / baseline), from slices; NaN
	 * where it has none. */
	double *log_ratio;
	bool sliced; /* some block has one */
};

/* Room for `capacity` figures on each side. 0 or -ENOMEM with a text. */
KMEM_MUST_CHECK int compare_sample_init(struct compare_sample *s, size_t capacity);

/* Fills the row from its sample, which is used up. 0 or a negative errno with a text. */
KMEM_MUST_CHECK int compare_estimate(struct comparison *row, struct compare_sample *s,
				     const struct comparison_table *table);

#endif /* KMEMBENCH_COMPARE_INTERNAL_H */
