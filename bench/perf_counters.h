/* SPDX-License-Identifier: MIT */
/*
 * Event counters of one thread around the timed region, by perf_event_open(2).
 *
 * Software events (page faults, context switches, migrations) nearly always
 * exist; hardware events only where the machine has counters and lets us read
 * them. What cannot be counted is absent with its reason, never 0. Hardware
 * events form two groups, so that those of one group cover the same time;
 * counts of a group that shared the hardware are scaled by enabled/running.
 */
#ifndef KMEMBENCH_PERF_COUNTERS_H
#define KMEMBENCH_PERF_COUNTERS_H

#include <kmem/compiler.h>

enum perf_counter {
	PERF_PAGE_FAULTS,
	PERF_CONTEXT_SWITCHES,
	PERF_CPU_MIGRATIONS,
	PERF_CYCLES,
	PERF_INSTRUCTIONS,
	PERF_BRANCH_MISSES,
	PERF_L1D_MISSES,
	PERF_LLC_MISSES,
	PERF_DTLB_MISSES,
	NR_PERF_COUNTERS,
};

/* "page_faults", "context_switches", ... as in the results. */
const char *perf_counter_name(enum perf_counter counter);

struct perf_counters {
	int fd[NR_PERF_COUNTERS];    /* -1: absent */
	int error[NR_PERF_COUNTERS]; /* errno of the attempt */
	/* The kernel's half may not be counted: the count is of user space alone. */
	bool user_only[NR_PERF_COUNTERS];
};

struct perf_totals {
	double value[NR_PERF_COUNTERS];	  /* sums over threads */
	bool present[NR_PERF_COUNTERS];	  /* in every thread that was added */
	bool user_only[NR_PERF_COUNTERS]; /* in any thread */
	int error[NR_PERF_COUNTERS];
	unsigned int threads;
};

/* Opens the counters of the calling thread, stopped at zero. */
void perf_counters_open(struct perf_counters *c);
void perf_counters_start(const struct perf_counters *c);
void perf_counters_stop(const struct perf_counters *c);
/* Adds the counts to totals (the caller serialises) and closes. */
void perf_counters_close(struct perf_counters *c, struct perf_totals *totals);

/* Why a counter is absent, as a sentence with the remedy. */
const char *perf_counter_reason(enum perf_counter counter, int error);

#endif /* KMEMBENCH_PERF_COUNTERS_H */
