/* SPDX-License-Identifier: MIT */
/* What several workloads draw in thread_setup(), and the check of its bounds. */
#ifndef KMEMBENCH_DRAW_H
#define KMEMBENCH_DRAW_H

#include "workloads/harness/rng_fast.h"

/*
 * Log-uniform between the two, both included: every doubling is as likely as any
 * other, as sizes of real programs are spread rather than uniform. low >= 1.
 */
uint64_t draw_log_uniform(struct rng *rng, uint64_t low, uint64_t high);
/* Its mean, (high - low) / ln(high / low), for footprints. */
double draw_log_uniform_mean(uint64_t low, uint64_t high);

/*
 * 0, or -EINVAL with a text when name##min_bytes is above name##max_bytes. name:
 * "size_", "large_".
 */
int draw_check_range(const char *workload, const char *name, uint64_t min_bytes,
		     uint64_t max_bytes);

#endif /* KMEMBENCH_DRAW_H */
