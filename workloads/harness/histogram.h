/* SPDX-License-Identifier: MIT */
/*
 * Log-linear histogram of times, kept whole.
 *
 * Values are in ticks of the clock. Each power of two is divided into
 * 2^HISTOGRAM_BITS equal buckets, so a bucket's width is at most value /
 * 2^HISTOGRAM_BITS, and its middle is off by at most half of that:
 *
 *   relative error <= 1 / 2^(HISTOGRAM_BITS + 1) = 1/128 < 1 %   (BITS = 6)
 *
 * Values below 2^HISTOGRAM_BITS have a bucket each and are exact.
 *
 *   index = value                                        value < 64
 *   index = (e - 5) * 64 + (value >> (e - 6)) - 64       e = floor(log2 value) >= 6
 */
#ifndef KMEMBENCH_HISTOGRAM_H
#define KMEMBENCH_HISTOGRAM_H

#include <kmem/compiler.h>

#define HISTOGRAM_BITS 6
#define HISTOGRAM_SUB  (1u << HISTOGRAM_BITS)
/* Up to 2^40 ticks (about 5 minutes); larger values land in the last bucket. */
#define HISTOGRAM_BUCKETS ((40 - HISTOGRAM_BITS + 1) * HISTOGRAM_SUB)

struct histogram {
	uint64_t count;
	uint64_t min, max; /* exact, in ticks */
	uint64_t sum;
	uint64_t bucket[HISTOGRAM_BUCKETS];
};

static KMEM_ALWAYS_INLINE unsigned int histogram_index(uint64_t value)
{
	unsigned int e, index;

	if (value < HISTOGRAM_SUB)
		return (unsigned int)value;
	e = 63 - (unsigned int)__builtin_clzll(value);
	index = (e - HISTOGRAM_BITS + 1) * HISTOGRAM_SUB +
		(unsigned int)(value >> (e - HISTOGRAM_BITS)) - HISTOGRAM_SUB;
	return index < HISTOGRAM_BUCKETS ? index : HISTOGRAM_BUCKETS - 1;
}

static KMEM_ALWAYS_INLINE void histogram_add(struct histogram *h, uint64_t value)
{
	h->bucket[histogram_index(value)]++;
	h->count++;
	h->sum += value;
	if (value < h->min)
		h->min = value;
	if (value > h->max)
		h->max = value;
}

void histogram_reset(struct histogram *h);
/* Smallest and largest value of a bucket. */
uint64_t histogram_bucket_low(unsigned int index);
uint64_t histogram_bucket_high(unsigned int index);
void histogram_merge(struct histogram *into, const struct histogram *from);
/* Value at a quantile in (0, 1]: the middle of the bucket it falls into; 0 when empty. */
double histogram_quantile(const struct histogram *h, double quantile);
double histogram_mean(const struct histogram *h);
/* Samples in the buckets that lie below value as a whole. */
uint64_t histogram_count_below(const struct histogram *h, uint64_t value);
/* Samples in the buckets above the one into which the quantile falls. */
uint64_t histogram_count_above(const struct histogram *h, double quantile);
/* The bucket into which a quantile in (0, 1] falls; 0 when empty. */
unsigned int histogram_quantile_bucket(const struct histogram *h, double quantile);

#endif /* KMEMBENCH_HISTOGRAM_H */
