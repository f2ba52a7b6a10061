/* SPDX-License-Identifier: MIT */
/* Latency histograms of all blocks of a measurement, merged. */
#ifndef KMEMBENCH_PLOT_LATENCY_H
#define KMEMBENCH_PLOT_LATENCY_H

#include "bench/plot_data.h"

struct latency_bucket {
	double ns; /* its middle */
	uint64_t count;
};

struct latency_curve {
	struct latency_bucket *buckets; /* by value */
	size_t nr_buckets;
	uint64_t count;
	double clock_pair_ns;  /* cost of the clock, already subtracted */
	double granularity_ns; /* the clock's step, at least 1: less is not told apart */
};

/*
 * operation: "alloc" or "free". Blocks may have clocks of slightly different rates, so
 * buckets are merged as nanoseconds. False: no block has such a histogram. The caller
 * releases the curve with latency_curve_free().
 */
bool latency_curve(const struct measurement *m, const char *operation,
		   struct latency_curve *curve);
/* quantile in [0, 1]. */
double latency_curve_quantile(const struct latency_curve *curve, double quantile);
void latency_curve_free(struct latency_curve *curve);

#endif /* KMEMBENCH_PLOT_LATENCY_H */
