/* SPDX-License-Identifier: MIT */
/* Results files: reading, checking, writing whole. The format stands in docs/DESIGN.md.
 */
#ifndef KMEMBENCH_RESULTS_H
#define KMEMBENCH_RESULTS_H

#include <kmem/compiler.h>
#include <jansson.h>

#define RESULTS_SCHEMA_VERSION 1

/*
 * Reads and checks a results file. NULL with an error text that names the file
 * and, for damaged JSON, line, column and byte offset; a JSON file that is not
 * ours (no "context"."kmembench", unknown schema version) is refused by name, and
 * so is one with an entry that result_entry_parse() refuses.
 * The caller owns the reference.
 */
json_t *results_load(const char *path);

/*
 * Temporary name in the same folder, fsync, rename. 0 or -errno with a text; a file that
 * was there before is then as it was. Written directly when path is no regular file
 * (/dev/stdout, a pipe). One entry a line; reals have 15 significant digits.
 */
int results_save(const char *path, const json_t *root);

/* 0 when path can be created or replaced; -errno with a text otherwise. Leaves nothing.
 */
int results_check_writable(const char *path);

/* "context"."kmembench" and "benchmarks" of a file that results_load() accepted;
 * borrowed. */
const json_t *results_context(const json_t *root);
const json_t *results_entries(const json_t *root);

/* --- one entry of benchmarks[] --- */
struct result_entry {
	const char *name, *allocator, *allocator_name, *workload, *status;
	int threads;
	uint64_t size_bytes; /* params.size, 0 when absent */
	int block;	     /* repetition_index */
	double real_time_ns; /* per operation and thread */
	const json_t *json;  /* the whole entry; borrowed */
	const json_t *kmembench;
};
/* Entries of type "aggregate" are Google Benchmark's own summaries: no cell of ours. */
bool result_is_aggregate(const json_t *entry);
/* 0, or -EINVAL with a text that names the missing field. Strings are borrowed. */
int result_entry_parse(const json_t *entry, struct result_entry *out);
/* True when the entry holds figures: neither failed nor skipped. */
bool result_entry_ok(const struct result_entry *entry);
/* Why it failed or was skipped; never NULL. */
const char *result_entry_reason(const struct result_entry *entry);

/*
 * What a cell is apart from its allocator: "pair/size:64/threads:2", with all parameters,
 * the size first and the others by name. Two entries with equal keys can be compared. The
 * caller frees it; NULL when memory is short.
 */
char *result_comparison_key(const struct result_entry *entry);

/*
 * Entry's figure by metric name ("real_time", "latency_alloc_ns_p99", "rss_bytes_peak",
 * or a counter). False when it is absent, and for entries without figures.
 */
bool result_metric(const struct result_entry *entry, const char *metric, double *value);

#endif /* KMEMBENCH_RESULTS_H */
