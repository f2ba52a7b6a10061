/* SPDX-License-Identifier: MIT */
/*
 * For page workloads that look at the free memory between their blocks when a pass has
 * ended: blocks of one size, a set for each thread, which outlive their threads and are
 * freed once the free blocks have been counted.
 */
#ifndef KMEMBENCH_LIVE_BLOCKS_H
#define KMEMBENCH_LIVE_BLOCKS_H

#include "workloads/harness/free_blocks.h"
#include "workloads/harness/worker_fast.h"

/* One thread's. */
struct live_blocks {
	size_t bytes;	 /* of the arena that holds this */
	uint32_t n;	 /* blocks that live: block[0] to block[n - 1] */
	void **block;	 /* written by the thread, which may replace them */
	uint32_t *order; /* a random permutation of 0 to n - 1 */
};

/* All threads'. */
struct live_set {
	struct free_blocks after; /* what was free around them: live_set_end() */
	unsigned int threads;
	struct live_blocks *of[]; /* by thread; NULL: none */
};

/*
 * For validate(). 0, or -EINVAL with an error text that names the parameter `name`: a
 * thread's share of `bytes` is fewer than `least` blocks or more than can be numbered, or
 * page_size_check() refuses the size.
 */
int live_blocks_check(const struct workload_run *run, const char *name, uint64_t bytes,
		      uint64_t least);
uint64_t live_blocks_per_thread(const struct workload_run *run, uint64_t bytes);
/* What the run holds of `bytes` at once: all of them, or what an allocator keeps of its
 * own for each page where the pages are not touched. For footprint(). */
uint64_t live_blocks_footprint(const struct workload_run *run, uint64_t bytes);

/* For setup() and teardown(). */
struct live_set *live_set_new(unsigned int threads);
void live_set_delete(struct live_set *set);

/* For thread_setup(): n blocks, allocated off the clock. */
struct live_blocks *live_set_fill(struct live_set *set, struct worker *w, uint32_t n);
/* Frees all but n of them, chosen at random. The others move together, in the order in
 * which they were allocated, and the permutation is a new one. */
void live_blocks_thin(struct worker *w, struct live_blocks *b, uint32_t n);

/* For pass_end(): counts the free blocks, then frees what lives. */
void live_set_end(struct live_set *set, struct workload_run *run);

#endif /* KMEMBENCH_LIVE_BLOCKS_H */
