/* SPDX-License-Identifier: MIT */
/* numa-fallback in two files: numa_fallback.c, which has the theory, and its plan. */
#ifndef KMEMBENCH_NUMA_FALLBACK_H
#define KMEMBENCH_NUMA_FALLBACK_H

#include "workloads/numa_fill.h"
#include "workloads/numa_nodes.h"

struct fallback_params {
	int policy;
	uint64_t node;
	uint64_t fill_percent;
	uint64_t steps;
	uint64_t node_bytes;
};

/* Of the fills of a latency pass. */
struct fallback_figures {
	uint64_t fills, blocks, elsewhere, returned, returned_home;
	uint64_t fell_back, failed; /* fills in which that came to pass */
	double fell_back_at, first_ticks, failed_at; /* sums over those */
	bool recorded;
	double ns_per_tick;
};

struct fallback {
	struct numa_nodes nodes;
	struct workload_fill fill;
	struct fallback_figures figures;
	uint32_t blocks_max, blocks_per_step, blocks_returned;
	bool unlimited; /* goes on until a request fails */
	/* Of the one thread: */
	gfp_t gfp;
	int node;		     /* argument of a request */
	bool interleave, page_calls; /* alloc_pages_interleave() serves it */
	void **block;		     /* blocks_max */
	/* Of one step of the fill, or of what is returned; the probed passes alone. */
	uint64_t *ticks;
	int *lies, *asked;
};

/* numa_fallback_plan.c, for workload_ops */
extern const struct kmem_option_group fallback_groups[];
int fallback_validate(const struct workload_run *run);
uint64_t fallback_footprint(const struct workload_run *run);
int fallback_setup(struct workload_run *run);
void fallback_teardown(struct workload_run *run);

#endif /* KMEMBENCH_NUMA_FALLBACK_H */
