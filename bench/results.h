/* SPDX-License-Identifier: MIT */
/* Results files: reading, checking, writing whole. The format stands in docs/DESIGN.md. */
#ifndef KMEMBENCH_RESULTS_H
#define KMEMBENCH_RESULTS_H

#include <kmem/compiler.h>
#include <jansson.h>

#define RESULTS_SCHEMA_VERSION 1

/*
 * Reads and checks a results file. NULL with an error text that names the file
 * and, for damaged JSON, line, column and byte offset; a JSON file that is not
 * ours (no "context"."kmembench", unknown schema version) is refused by name.
 * The caller owns the reference.
 */
json_t *results_load(const char *path);

/* Temporary name in the same folder, fsync, rename. 0 or -errno with a text. */
int results_save(const char *path, const json_t *root);

/* 0 when path can be created or replaced; -errno with a text otherwise. Leaves nothing. */
int results_check_writable(const char *path);

/* --- one entry of benchmarks[] --- */
struct result_entry {
	const char *name, *allocator, *allocator_name, *workload, *status;
	int threads;
	uint64_t size_bytes; /* params.size, 0 when absent */
	int block;           /* repetition_index */
	double real_time_ns; /* per operation and thread */
	const json_t *json;  /* the whole entry; borrowed */
	const json_t *kmembench;
};
/* 0, or -EINVAL with a text that names the missing field. */
int result_entry_parse(const json_t *entry, struct result_entry *out);
bool result_entry_ok(const struct result_entry *entry);

/*
 * What a cell is apart from its allocator: "pair/size:64/threads:2". Two entries with
 * equal keys can be compared. The caller frees it.
 */
char *result_comparison_key(const struct result_entry *entry);

/* Entry's figure by metric name ("real_time", "latency_alloc_ns_p99", "rss_bytes_peak", …).
 * False when it is absent. */
bool result_metric(const struct result_entry *entry, const char *metric, double *value);

#endif /* KMEMBENCH_RESULTS_H */
