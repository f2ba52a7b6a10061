/* SPDX-License-Identifier: MIT */
/* Causes of the slowest operations, added up over the blocks of a measurement. */
#ifndef KMEMBENCH_PLOT_TAIL_H
#define KMEMBENCH_PLOT_TAIL_H

#include "bench/plot_data.h"

/*
 * Several causes may meet in one operation. Being preempted outweighs whatever happened
 * besides, then being moved to another CPU; a page fault within a system call of the
 * allocator's own is told apart from either.
 */
enum tail_cause {
	TAIL_FAULT,
	TAIL_CALL,
	TAIL_CALL_AND_FAULT,
	TAIL_PREEMPTED,
	TAIL_MIGRATED,
	TAIL_UNKNOWN,
	NR_TAIL_CAUSES,
};

/* "page fault", "system call", … */
const char *tail_cause_name(enum tail_cause cause);

struct tail {
	uint64_t above[NR_TAIL_CAUSES]; /* samples above their block's own p99.9 */
	double max_ns[NR_TAIL_CAUSES];	/* longest of any sample with that cause */
	uint64_t total;
};

/* operation: "alloc" or "free". False: no block recorded causes of it. */
bool tail_of(const struct measurement *m, const char *operation, struct tail *out);

#endif /* KMEMBENCH_PLOT_TAIL_H */
