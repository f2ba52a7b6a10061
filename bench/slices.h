/* SPDX-License-Identifier: MIT */
/*
 * Figures from slices: what a block says about the ratio of two cells.
 *
 * An entry measured by slices holds one figure a round ("kmembench"."slices"). Two
 * entries of one block and one rotation ran in the same rounds: their figures pair
 * round by round. Entries of different rotations do not, but in each rotation the
 * reference ran along, and pairs with either.
 *
 * A block's estimate is the 25 %-trimmed mean over the rounds of log(slice / slice
 * of the other one in that round); over two rotations it is the difference of the two
 * estimates against the reference. The trimmed mean gives up little where slices
 * scatter normally, and a slice that was interrupted has no weight; sums, ratios of
 * medians and minima were 1.5 to 2.4 times noisier.
 */
#ifndef KMEMBENCH_SLICES_H
#define KMEMBENCH_SLICES_H

#include <jansson.h>

#include <kmem/compiler.h>

/* Share of the rounds that is left out at each end. */
#define SLICES_TRIM 0.25

/*
 * The trimmed mean of log(a[i] / b[i]) over n rounds; rounds in which a figure is not
 * positive do not count. NaN when none is left.
 */
double slices_log_ratio(const double *a, const double *b, size_t n);

/*
 * The block's estimate of log(a / b) from two entries of benchmarks[] of one block.
 * reference: the block's entry of the cell that both rotations had in common; may be
 * NULL, or a or b itself. False when the entries have no rounds in common, nor a
 * reference's.
 */
bool slices_compare(const json_t *a, const json_t *b, const json_t *reference,
		    double *log_ratio);

/* The variant that an entry's rotation had as its reference, or NULL. */
const char *slices_reference(const json_t *entry);

#endif /* KMEMBENCH_SLICES_H */
