/* SPDX-License-Identifier: MIT */
/*
 * Comparing results: a ratio with its interval and a verdict for each cell.
 *
 * The unit of replication is a block (one process of each cell). What is compared is
 *
 *   one file                 an allocator with the baseline, in the same cell, block by
 *                            block: the blocks' log ratios are one sample, and its
 *                            location is estimated (signed-rank interval). Drift between
 *                            blocks cancels. Where both were measured by slices, a
 *                            block's log ratio of times comes from the rounds that they
 *                            ran in together (slices.h), and drift within the block
 *                            cancels too; else it is that of the blocks' figures.
 *   two files                an allocator in the new file with the same one in the old
 *                            file: two samples of logarithms, and the shift between them
 *                            (Mann-Whitney interval). Drift between the runs does not
 *                            cancel: it is in the ratio and not in the interval.
 *   two files and a baseline as before, but each file's figures are first divided by its
 *                            own baseline's of the same block. What slows both down alike
 *                            cancels; a change of the baseline itself would count.
 *
 * Verdicts, with the equivalence band [1 / (1 + PCT/100), 1 + PCT/100] around 1:
 *
 *   faster, slower   the interval excludes 1 and the estimate lies outside the band
 *   same             the whole interval lies inside the band
 *   cannot-tell      anything else, with a reason
 *
 * A metric that comes out the same in every run (metrics.h: deterministic) needs no
 * interval: one block is enough, the ratio is plain, the interval is that figure, and
 * the band is +-0.25 % or the one that was asked for, whichever is narrower.
 *
 * Latencies below twice the clock's cost are steps of the clock: that two of them are
 * equal shows nothing, and cannot be told.
 *
 * Where a figure is zero or negative a ratio does not exist. Then differences take the
 * place of log ratios, and PCT of the larger median that of the band.
 */
#ifndef KMEMBENCH_COMPARE_H
#define KMEMBENCH_COMPARE_H

#include <jansson.h>
#include <stdio.h>

#include "bench/stats.h"
#include <kmem/compiler.h>

#define COMPARE_CONFIDENCE	0.95
#define COMPARE_EQUIVALENCE_PCT 1.5
/* Of metrics that are counted, not timed. */
#define COMPARE_DETERMINISTIC_PCT 0.25

enum verdict {
	VERDICT_FASTER,
	VERDICT_SLOWER,
	VERDICT_SAME,
	VERDICT_CANNOT_TELL,
	NR_VERDICTS,
};

/* "faster", "slower", "same", "cannot-tell" */
const char *verdict_name(enum verdict verdict);

struct compare_options {
	const char *baseline; /* variant; NULL: glibc, else the first (one file), or none
				 (two) */
	const char *metric;   /* NULL: "real_time" */
	const char *old_name; /* of the old file, for people; NULL: "the old file" */
	double equivalence_pct; /* half the band's width, in per cent */
};

/* How a metric is read. Strings are static. */
struct metric_traits {
	const char *unit;
	bool larger_is_better;
	bool deterministic; /* the same in every run */
};
struct metric_traits metric_traits(const char *metric);

/* One cell of one allocator. Strings and params are borrowed from the file it came from.
 */
struct comparison {
	const char *allocator, *workload;
	const json_t *params;
	int threads;
	const char *key, *label;	/* borrowed from the table */
	size_t blocks, blocks_baseline; /* figures on each side; pairs in one file */
	unsigned int failed_blocks;	/* of the compared allocator, in the newer file */
	double median,
		median_baseline; /* of the metric (relative to the baseline, where so) */
	bool sliced;		 /* the ratio comes from slices of the same rounds */
	bool by_difference;	 /* then ratio holds differences in the metric's unit */
	struct stats_interval ratio; /* other / baseline */
	enum verdict verdict;
	char reason[160]; /* why it cannot be told; "" otherwise */
};

struct not_compared {
	const char *allocator, *workload;
	const json_t *params;
	int threads;
	const char *key, *label;
	bool failed; /* a cell failed, against skipped or not there */
	char reason[256];
};

struct comparison_table {
	const char *metric;
	struct metric_traits traits;
	const char *baseline;  /* variant, or "" */
	const char *reference; /* what figures are compared with: a variant, or a file */
	bool two_files;
	bool simulated; /* NUMA nodes were simulated in one of the files */
	double equivalence_pct;
	double resolution_ns; /* of the clock, where it matters to the metric; else 0 */
	unsigned int views;   /* shown beside the verdicts: compare_views.h; 0: none */
	struct comparison *rows;
	size_t count;
	struct not_compared *left_out;
	size_t left_out_count;
	const json_t *skipped; /* allocators that were not installed; borrowed, or NULL */
	struct cell_set *sets[2]; /* owns keys and labels */
};

/*
 * Fill the table; it borrows from the files, which must outlive it. 0, or a negative
 * errno with a text: unknown baseline or metric, nothing to compare. Release in either
 * case.
 */
KMEM_MUST_CHECK int compare_within(const json_t *file,
				   const struct compare_options *options,
				   struct comparison_table *table);
KMEM_MUST_CHECK int compare_between(const json_t *old_file, const json_t *new_file,
				    const struct compare_options *options,
				    struct comparison_table *table);
void comparison_table_release(struct comparison_table *table);

/*
 * Calls differ() for each property in which two files differ although it bears on time:
 * of the machine, the build, the way of measuring, and the definition of a workload that
 * both have; for metrics of resident memory also whether there was a memory pass, and how
 * long. The figures of such files do not compare. Returns how many there are.
 */
unsigned int compare_unlike(const json_t *a, const json_t *b, const char *metric,
			    void (*differ)(const char *property, const char *value_a,
					   const char *value_b, void *arg),
			    void *arg);

/* True when even the better end of the interval is worse than the baseline by more than
 * pct. */
bool comparison_regressed(const struct comparison_table *table,
			  const struct comparison *row, double pct);
/* True when the worse end of the interval is: a regression past pct is not ruled out. */
bool comparison_may_hide_regression(const struct comparison_table *table,
				    const struct comparison *row, double pct);

void comparison_print(const struct comparison_table *table, FILE *out);
/* The same as JSON; a new reference, NULL when memory is short. */
json_t *comparison_json(const struct comparison_table *table);

#endif /* KMEMBENCH_COMPARE_H */
