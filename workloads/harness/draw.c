/* SPDX-License-Identifier: MIT */
#include "workloads/harness/draw.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>

#include <kmem/error.h>

uint64_t draw_log_uniform(struct rng *rng, uint64_t low, uint64_t high)
{
	double ratio = ((double)high + 1) / (double)low;
	uint64_t x = (uint64_t)((double)low * exp2(rng_double(rng) * log2(ratio)));

	return x < low ? low : x > high ? high : x;
}

double draw_log_uniform_mean(uint64_t low, uint64_t high)
{
	if (low >= high)
		return (double)low;
	return (double)(high - low) / log((double)high / (double)low);
}

int draw_check_range(const char *workload, const char *name, uint64_t min_bytes,
		     uint64_t max_bytes)
{
	if (min_bytes <= max_bytes)
		return 0;
	return kmem_error(-EINVAL,
			  "workload '%s' has %smin_bytes=%" PRIu64
			  " above %smax_bytes=%" PRIu64 ": swap them",
			  workload, name, min_bytes, name, max_bytes);
}
