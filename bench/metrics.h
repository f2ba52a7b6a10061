/* SPDX-License-Identifier: MIT */
/* The figures of a result entry: names, units, which way is better, definitions. */
#ifndef KMEMBENCH_METRICS_H
#define KMEMBENCH_METRICS_H

#include <kmem/compiler.h>

enum metric_better { METRIC_LOWER, METRIC_HIGHER, METRIC_NEITHER };

struct metric {
	const char *name; /* as results have it: result_metric() */
	const char *unit; /* "ns", "B", "1/s", "1": a count */
	enum metric_better better;
	const char *definition; /* one sentence */
	/* The same in every process, so that one block suffices and the plain ratio
	 * counts: with one thread, and an allocator that decides nothing by chance. */
	bool deterministic;
};

/* NULL past the last. */
const struct metric *metric_at(size_t index);
/* NULL when unknown, with the nearest names in the error text. */
const struct metric *metric_find(const char *name);
/*
 * True for the event counters: results hold totals of the timed region, which
 * only compare once they are divided by the entry's iterations.
 */
bool metric_is_total(const char *name);
/* "lower", "higher", "neither". */
const char *metric_better_name(enum metric_better better);

#endif /* KMEMBENCH_METRICS_H */
