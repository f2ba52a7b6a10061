/* SPDX-License-Identifier: MIT */
/* How a node was filled step by step: what numa-fallback saw, for workload_ops.fill. */
#ifndef KMEMBENCH_NUMA_FILL_H
#define KMEMBENCH_NUMA_FILL_H

#include <kmem/mm_types.h>

#include "workloads/harness/histogram.h"

/* The requests of one step, of all fills of the pass together. */
struct fill_step {
	uint64_t served[MAX_NUMNODES]; /* blocks by the node that they lie on */
	uint64_t unknown;	       /* on none that anybody could tell */
	struct histogram alloc;	       /* ticks */
};

struct workload_fill {
	unsigned int preferred, nr_nodes;
	uint64_t node_bytes; /* of the preferred node; a fill level is a part of them */
	/* Nodes in the order in which they served their first block of the first fill. */
	unsigned int order[MAX_NUMNODES], nr_order;
	unsigned int nr_steps; /* those in which a block was served come first */
	uint64_t step_bytes;   /* asked for in each; the last may end sooner */
	struct fill_step *step;
	struct fill_step *returned; /* requests after half of the node had been freed */
};

#endif /* KMEMBENCH_NUMA_FILL_H */
