/* SPDX-License-Identifier: MIT */
#include "workloads/harness/histogram.h"

#include <math.h>
#include <string.h>

void histogram_reset(struct histogram *h)
{
	memset(h, 0, sizeof(*h));
	h->min = UINT64_MAX;
}

/* With b = index / 64 >= 1 a bucket is 2^(b - 1) wide and starts at (64 + index % 64) of
 * them. */
uint64_t histogram_bucket_low(unsigned int index)
{
	if (index < HISTOGRAM_SUB)
		return index;
	return (uint64_t)(HISTOGRAM_SUB + index % HISTOGRAM_SUB)
	       << (index / HISTOGRAM_SUB - 1);
}

uint64_t histogram_bucket_high(unsigned int index)
{
	return histogram_bucket_low(index + 1) - 1;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
	if (from->count == 0)
		return;
	for (unsigned int i = 0; i < HISTOGRAM_BUCKETS; i++)
		into->bucket[i] += from->bucket[i];
	if (into->count == 0 || from->min < into->min)
		into->min = from->min;
	if (from->max > into->max)
		into->max = from->max;
	into->count += from->count;
	into->sum += from->sum;
}

unsigned int histogram_quantile_bucket(const struct histogram *h, double quantile)
{
	uint64_t rank, seen = 0;
	unsigned int index;

	if (h->count == 0)
		return 0;
	/* The smallest value that at least this share of the samples does not exceed. */
	rank = (uint64_t)ceil(quantile * (double)h->count);
	if (rank < 1)
		rank = 1;
	if (rank > h->count)
		rank = h->count;
	for (index = 0; index < HISTOGRAM_BUCKETS - 1; index++) {
		seen += h->bucket[index];
		if (seen >= rank)
			break;
	}
	return index;
}

double histogram_quantile(const struct histogram *h, double quantile)
{
	unsigned int index = histogram_quantile_bucket(h, quantile);
	double value;

	if (h->count == 0)
		return 0;
	/* The last bucket also holds everything beyond it: only its maximum is known. */
	if (index == HISTOGRAM_BUCKETS - 1 && h->max > histogram_bucket_high(index))
		return (double)h->max;
	value = ((double)histogram_bucket_low(index) +
		 (double)histogram_bucket_high(index)) /
		2;
	/* The extremes are known exactly, and no sample lies outside them. */
	if (value < (double)h->min)
		value = (double)h->min;
	if (value > (double)h->max)
		value = (double)h->max;
	return value;
}

double histogram_mean(const struct histogram *h)
{
	return h->count == 0 ? 0 : (double)h->sum / (double)h->count;
}

uint64_t histogram_count_below(const struct histogram *h, uint64_t value)
{
	uint64_t count = 0;

	for (unsigned int i = 0; i < HISTOGRAM_BUCKETS; i++) {
		if (histogram_bucket_high(i) >= value)
			break;
		count += h->bucket[i];
	}
	return count;
}

uint64_t histogram_count_above(const struct histogram *h, double quantile)
{
	unsigned int at = histogram_quantile_bucket(h, quantile);
	uint64_t count = 0;

	for (unsigned int i = at + 1; i < HISTOGRAM_BUCKETS; i++)
		count += h->bucket[i];
	return count;
}
