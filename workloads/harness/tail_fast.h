/* SPDX-License-Identifier: MIT */
/*
 * Why a sample was long: the causes that can be known.
 *
 * THEORY. The kernel counts, for each thread, its page faults and how often it left
 * the CPU; the C library's memory calls are counted by memory_calls.c. These counters
 * are read, together with the CPU's number, after a long sample. What has changed
 * since the last reading, the baseline, happened in the sample, if nothing
 * happened between the two. To be sure of that without a system call around every
 * operation, the clock is used: nothing that counts can take less than half the
 * time of the cheapest page fault of this machine (hide_ticks, calibrated). So
 *
 *   - as long as less than that passes from the end of one sample to the end of the
 *     next, nothing can have happened, and the baseline stays good up to there
 *     (clean_until);
 *   - when more has passed before a sample begins (the workload touched fresh
 *     memory, or was preempted between two operations), the baseline is
 *     read anew before the clock starts;
 *   - when more has passed in the sample itself, it is looked into if it reaches the
 *     threshold; else the baseline is read anew before the next one.
 *
 * The reading after a sample takes time as well. One that took long enough for the
 * thread to have been off its CPU meanwhile tells nothing about the sample.
 *
 * So a cause is either seen to belong to the sample, or the sample has none and reads
 * "unknown": the allocator's own long path, a lock that was spun for, a cache miss,
 * or an interrupt and the hypervisor, which leave no trace in a thread's counters.
 *
 * The price: two loads, a plain read of the clock and two comparisons around a
 * sample, none of them between the sample's own clock reads; and a reading of 0.3 us
 * before a sample that follows a long one (1.5 us where the address space is read). A
 * pass without a tail pays two predicted branches.
 *
 * A reading belongs to a thread. When another thread goes on with a probe (larson's
 * successors), much more than hide_ticks has passed, and it reads its own.
 */
#ifndef KMEMBENCH_TAIL_FAST_H
#define KMEMBENCH_TAIL_FAST_H

#include "workloads/harness/histogram.h"
#include "workloads/harness/memory_calls.h"
#include "workloads/harness/tsc_fast.h"

/* Bits: a sample may have several causes. None of them: unknown. */
enum tail_cause {
	TAIL_FAULT = 1 << 0,	 /* page faults, minor or major */
	TAIL_CALL = 1 << 1,	 /* a memory call of the allocator: memory_calls.h */
	TAIL_PREEMPTED = 1 << 2, /* the thread left its CPU, made to or waiting */
	TAIL_MIGRATED = 1 << 3,	 /* it ended on another CPU than it began on */
};
#define NR_TAIL_CAUSES 4
#define NR_TAIL_MASKS  (1u << NR_TAIL_CAUSES)

enum probe_op { PROBE_ALLOC, PROBE_FREE, NR_PROBE_OPS };

/* Event counts of the calling thread; differences are what matters. */
struct tail_reading {
	uint64_t faults, switches, calls;
	uint64_t address_space; /* with MEMORY_CALLS_ADDRESS_SPACE: a digest, else 0 */
	unsigned int cpu;
};

/* One thread's. From an arena; tail_init() makes it ready, tail_release() ends it. */
struct tail {
	/* around every sample */
	uint64_t clean_until; /* tick up to which nothing happened since the baseline */
	uint64_t hide_ticks;  /* shorter than anything that counts */
	uint64_t calls;	      /* the baseline's, beside the other hot fields */
	uint64_t threshold_ticks[NR_PROBE_OPS]; /* longer ones are looked into */
	/* only for long samples */
	struct tail_reading base;
	uint64_t reading_ticks_min; /* fastest reading so far */
	enum memory_calls_seen calls_seen;
	int statm_fd; /* with MEMORY_CALLS_ADDRESS_SPACE, else -1 */
	/* By operation and causes; NULL until the first. Of all that were looked into. */
	struct histogram *cause[NR_PROBE_OPS][NR_TAIL_MASKS];
};

/*
 * Ticks that nothing can hide in: half of the cheapest page fault found here, some
 * 100 to 400 ns. Takes about 0.2 ms.
 */
uint64_t tail_calibrate(void);
/* hide_ticks: from tail_calibrate(). In any thread; the baseline comes with the first
 * sample. */
void tail_init(struct tail *tail, uint64_t hide_ticks, enum memory_calls_seen calls_seen);
void tail_release(struct tail *tail);

/*
 * Raises the thresholds to the 99th percentile of the samples so far, so that one in a
 * hundred is looked into, and those above the 99.9th are among them. Before there
 * are a thousand samples, all that exceed hide_ticks are.
 */
void tail_adapt(struct tail *tail, const struct histogram *alloc,
		const struct histogram *release);

/* Takes the baseline anew. */
void tail_refresh(struct tail *tail);
/* Looks into a sample from tick t0 to t1, which has just ended. */
void tail_examine(struct tail *tail, enum probe_op op, uint64_t t0, uint64_t t1,
		  uint64_t ticks);

/*
 * "fault+preempted" for a set of causes, "unknown" for none. A string constant.
 */
const char *tail_mask_name(unsigned int mask);

static KMEM_ALWAYS_INLINE void tail_before(struct tail *tail)
{
	if (KMEM_UNLIKELY(tsc_now() - tail->clean_until > tail->hide_ticks))
		tail_refresh(tail);
}

/* t0, t1: the clock around the operation; ticks: the sample, the clock's cost subtracted.
 */
static KMEM_ALWAYS_INLINE void tail_after(struct tail *tail, enum probe_op op,
					  uint64_t t0, uint64_t t1, uint64_t ticks)
{
	if (KMEM_LIKELY(t1 - tail->clean_until <= tail->hide_ticks &&
			memory_calls_of_thread() == tail->calls))
		tail->clean_until = t1;
	else if (ticks >= tail->threshold_ticks[op])
		tail_examine(tail, op, t0, t1, ticks);
	else
		tail->clean_until = 0;
}

#endif /* KMEMBENCH_TAIL_FAST_H */
