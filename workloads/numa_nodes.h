/* SPDX-License-Identifier: MIT */
/*
 * The nodes that a cell's memory comes from, for the NUMA workloads.
 *
 * Of an allocator of this library they are its own: the machine's, or simulated ones;
 * where a block lies its page's descriptor tells. Of any other allocator they are the
 * system's, and the kernel tells (move_pages(2) without nodes).
 */
#ifndef KMEMBENCH_NUMA_NODES_H
#define KMEMBENCH_NUMA_NODES_H

#include <kmem/mm_types.h>

#include "workloads/workload.h"

struct numa_nodes {
	bool ours;
	unsigned int nr;
	int os_index[MAX_NUMNODES]; /* as the system numbers them; not ours alone */
};

/*
 * For setup(). 0, or -EINVAL with a text: there is one node, none of that number, or the
 * kernel cannot tell where blocks lie since nobody touches them.
 */
int numa_nodes_open(struct numa_nodes *n, const struct workload_run *run,
		    uint64_t preferred);

/* How many nodes of the system have memory, at least 1. */
unsigned int numa_nodes_of_system(void);

/* Bytes of a node that a request for an address can have: not HIGHMEM's. Of the system's,
 * those free now. */
uint64_t numa_nodes_bytes(const struct numa_nodes *n, unsigned int nid);

/* How many of the CPUs that the program was started on belong to a node. */
unsigned int numa_nodes_cpus(const struct numa_nodes *n, unsigned int nid);
/* Binds the calling thread to one of them, the same for the same turn. False: there is
 * none. Whoever enters a pass is bound anew. */
bool numa_nodes_bind(const struct numa_nodes *n, unsigned int nid, unsigned int turn);

/* node[i]: where block[i] lies, by its first byte; -1: nobody can tell. */
void numa_nodes_of(const struct numa_nodes *n, void *const *block, size_t count,
		   int *node);

/* For thread_setup(), for memory that is the system's: what set_mempolicy(2) shall say.
 */
enum numa_policy { POLICY_DEFAULT, POLICY_PREFERRED, POLICY_BIND, POLICY_INTERLEAVE };
/* 0 or -errno with a text. */
int numa_nodes_policy(const struct numa_nodes *n, enum numa_policy policy,
		      unsigned int nid);

/*
 * For workload_ops.course: of libkmem's nodes; NaN of others. Free pages on the preferred
 * node and on all others, and since the start the shares of fallback_in and locality.
 */
#define NUMA_COURSE                                                              \
	{                                                                        \
		"preferred_free_pages", "other_free_pages", "fallback_in_ratio", \
			"locality_ratio"                                         \
	}
void numa_course_read(const struct numa_nodes *n, unsigned int preferred, double *values);

#endif /* KMEMBENCH_NUMA_NODES_H */
