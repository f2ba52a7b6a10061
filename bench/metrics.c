/* SPDX-License-Identifier: MIT */
/*
 * The table of metrics: what each figure of a result entry is.
 *
 * R(t) is the resident memory of the cell's process less the harness's own, L(t)
 * the bytes that were asked for and not yet freed.
 */
#include "bench/metrics.h"

#include <errno.h>
#include <string.h>

#include <kmem/error.h>
#include <kmem/options.h>

#define LATENCY(op_, suffix_, definition_)                                     \
	{                                                                      \
		"latency_" op_ "_ns_" suffix_, "ns", METRIC_LOWER, definition_ \
	}

static const struct metric metrics[] = {
	{"real_time", "ns", METRIC_LOWER,
	 "wall time of one operation, as one thread sees it: a thread's time divided by its "
	 "operations, no clock read inside"},
	{"cpu_time", "ns", METRIC_LOWER,
	 "CPU time of all threads together, divided by the operations of all of them"},
	{"items_per_second", "1/s", METRIC_HIGHER,
	 "operations of all threads together in a second of wall time"},
	{"iterations", "1", METRIC_NEITHER, "operations that the figures above rest on"},

	LATENCY("alloc", "p50",
		"median time of one allocation; the clock's own cost is subtracted"),
	LATENCY("alloc", "p90", "90 of 100 allocations took at most this long"),
	LATENCY("alloc", "p99", "99 of 100 allocations took at most this long"),
	LATENCY("alloc", "p99_9", "999 of 1,000 allocations took at most this long"),
	LATENCY("alloc", "p99_99", "9,999 of 10,000 allocations took at most this long"),
	LATENCY("alloc", "max",
		"longest allocation; on a shared machine mostly the machine's: see the floors'"),
	LATENCY("free", "p50",
		"median time of one free; the clock's own cost is subtracted"),
	LATENCY("free", "p90", "90 of 100 frees took at most this long"),
	LATENCY("free", "p99", "99 of 100 frees took at most this long"),
	LATENCY("free", "p99_9", "999 of 1,000 frees took at most this long"),
	LATENCY("free", "p99_99", "9,999 of 10,000 frees took at most this long"),
	LATENCY("free", "max",
		"longest free; on a shared machine mostly the machine's: see the floors'"),

	{"rss_bytes_peak", "B", METRIC_LOWER,
	 "highest resident memory while the workload ran, less that before the first "
	 "allocation: max R"},
	{"rss_bytes_live", "B", METRIC_LOWER,
	 "resident memory at the end of the work, blocks still live, less that before: R"},
	{"rss_bytes_final", "B", METRIC_LOWER,
	 "resident memory after every block was freed, less that before: what is kept"},
	{"live_bytes_max", "B", METRIC_NEITHER,
	 "most bytes asked for and live at once: max L, the workload's own"},

	{"page_faults", "1", METRIC_LOWER,
	 "page faults of all threads in the timed region, a total: divide by iterations"},
	{"context_switches", "1", METRIC_LOWER,
	 "times a thread left its CPU in the timed region"},
	{"cpu_migrations", "1", METRIC_LOWER,
	 "times a thread went to another CPU in the timed region: 0 while threads are pinned"},
	{"cycles", "1", METRIC_LOWER,
	 "processor cycles of all threads in the timed region"},
	{"instructions", "1", METRIC_LOWER,
	 "instructions retired by all threads in the timed region"},
	{"branch_misses", "1", METRIC_LOWER, "mispredicted branches in the timed region"},
	{"l1d_misses", "1", METRIC_LOWER, "loads that missed the first data cache"},
	{"llc_misses", "1", METRIC_LOWER, "loads that missed the last cache"},
	{"dtlb_misses", "1", METRIC_LOWER, "loads that missed the data TLB"},
};

bool metric_is_total(const char *name)
{
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(metrics); i++) {
		if (strcmp(metrics[i].name, name) == 0)
			return metrics[i].better == METRIC_LOWER &&
			       strcmp(metrics[i].unit, "1") == 0;
	}
	return false;
}

const struct metric *metric_at(size_t index)
{
	return index < KMEM_ARRAY_SIZE(metrics) ? &metrics[index] : NULL;
}

const struct metric *metric_find(const char *name)
{
	const char *names[KMEM_ARRAY_SIZE(metrics)];
	const char *nearest;

	for (size_t i = 0; i < KMEM_ARRAY_SIZE(metrics); i++) {
		if (strcmp(metrics[i].name, name) == 0)
			return &metrics[i];
		names[i] = metrics[i].name;
	}
	nearest = kmem_nearest_name(name, names, KMEM_ARRAY_SIZE(metrics));
	if (nearest != NULL)
		kmem_error(-EINVAL, "unknown metric '%s': did you mean '%s'?", name,
			   nearest);
	else
		kmem_error(-EINVAL,
			   "unknown metric '%s': 'kmembench list metrics' has them all",
			   name);
	return NULL;
}

const char *metric_better_name(enum metric_better better)
{
	static const char *const names[] = {"lower", "higher", "neither"};

	return names[better];
}
