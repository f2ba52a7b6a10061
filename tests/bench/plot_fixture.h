/* SPDX-License-Identifier: MIT */
/* Invented results, built entry by entry, for the tests of plots and report. */
#ifndef TEST_PLOT_FIXTURE_H
#define TEST_PLOT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kmem/compiler.h>

#define FIXTURE_TICK_NS 0.5

/* A file that is complete but for its entries. */
static inline json_t *fixture_results(void)
{
	json_t *root =
		json_pack("{s:{s:s, s:i, s:s, s:{s:i, s:s, s:s, s:b, s:[s, s], s:i, s:i, "
			  "s:{s:s, s:s, s:s, s:s, s:i, s:b}, s:{s:f, s:f}}}, s:[]}",
			  "context", "date", "2026-11-22T10:00:00+00:00", "num_cpus", 2,
			  "library_build_type", "release", "kmembench", "schema_version",
			  1, "version", "0.1.0", "git_revision", "0123456789ab",
			  "complete", 1, "command_line", "kmembench", "run -a <all>",
			  "seed", 7, "reps", 1, "machine", "cpu_model", "Example CPU",
			  "kernel", "Linux 6.18", "virtualised", "none", "governor",
			  "performance", "numa_nodes", 1, "simulated_numa", 0, "clock",
			  "ns_per_tick", FIXTURE_TICK_NS, "pair_ns", 20.0, "benchmarks");

	assert_non_null(root);
	return root;
}

struct fixture_cell {
	const char *workload, *allocator;
	int size, threads, block; /* size 0: none */
	double ns;
	const char *order; /* a further parameter; NULL: none */
};

static inline json_t *fixture_key(const struct fixture_cell *c)
{
	char key[256], size[32] = "";

	if (c->size > 0)
		snprintf(size, sizeof(size), "/size:%d", c->size);
	snprintf(key, sizeof(key), "%s/%s%s%s%s/threads:%d", c->workload, c->allocator,
		 size, c->order != NULL ? "/order:" : "",
		 c->order != NULL ? c->order : "", c->threads);
	return json_string(key);
}

/* A histogram with `count` samples in bucket `index`. */
static inline json_t *fixture_histogram(int index, int count, double tick_ns)
{
	return json_pack("{s:i, s:i, s:f, s:[[i, i]]}", "count", count, "sub_bits", 6,
			 "ns_per_tick", tick_ns, "buckets", index, count);
}

/* A good entry; returned borrowed, to be altered. */
static inline json_t *fixture_add(json_t *root, const struct fixture_cell *c)
{
	json_t *params = json_pack("{s:s}", "touch", "ends");
	char name[64];
	json_t *entry;

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(c->allocator, ":"),
		 c->allocator);
	if (c->size > 0)
		json_object_set_new(params, "size", json_integer(c->size));
	if (c->order != NULL)
		json_object_set_new(params, "order", json_string(c->order));
	entry = json_pack("{s:o, s:s, s:i, s:i, s:f, s:f, s:s, s:f, s:I, s:I, "
			  "s:{s:o, s:s, s:s, s:s, s:s, s:o, s:i, s:i, s:s, "
			  "s:{s:f, s:o, s:o}}}",
			  "name", fixture_key(c), "run_type", "iteration",
			  "repetition_index", c->block, "threads", c->threads,
			  "real_time", c->ns, "cpu_time", c->ns, "time_unit", "ns",
			  "items_per_second", c->threads * 1e9 / c->ns, "rss_bytes_peak",
			  (json_int_t)3 << 20, "live_bytes_max", (json_int_t)2 << 20,
			  "kmembench", "cell_key", fixture_key(c), "status", "ok",
			  "allocator", c->allocator, "allocator_name", name, "workload",
			  c->workload, "params", params, "threads", c->threads, "block",
			  c->block, "op", "alloc+free pair", "latency", "clock_pair_ns",
			  20.0, "alloc", fixture_histogram(10, 1000, FIXTURE_TICK_NS),
			  "free", fixture_histogram(8, 1000, FIXTURE_TICK_NS));
	assert_non_null(entry);
	json_array_append_new(json_object_get(root, "benchmarks"), entry);
	return entry;
}

/* A cell that died: its planned parameters only, no "touch". */
static inline void fixture_add_failed(json_t *root, const struct fixture_cell *c,
				      const char *reason)
{
	json_t *entry = fixture_add(root, c);
	json_t *ours = json_object_get(entry, "kmembench");

	json_object_set_new(entry, "error_occurred", json_true());
	json_object_set_new(entry, "error_message", json_string(reason));
	json_object_set_new(entry, "real_time", json_real(0));
	json_object_set_new(ours, "status", json_string("failed"));
	json_object_del(json_object_get(ours, "params"), "touch");
	json_object_del(ours, "latency");
}

enum fixture_phase { WORK, IDLE, FREEING, FREED };

/* One row of a time line; negative bytes: not known. */
struct fixture_sample {
	double t_s;
	long resident, live, usable, allocated;
	enum fixture_phase phase;
};

static inline json_t *fixture_bytes(long bytes)
{
	return bytes < 0 ? json_null() : json_integer(bytes);
}

static inline void fixture_add_timeline(json_t *entry,
					const struct fixture_sample *samples,
					size_t count)
{
	json_t *rows = json_array(), *line;

	for (size_t i = 0; i < count; i++)
		json_array_append_new(rows, json_pack("[f, o, o, o, o, i, i, i]",
						      samples[i].t_s,
						      fixture_bytes(samples[i].resident),
						      fixture_bytes(samples[i].live),
						      fixture_bytes(samples[i].usable),
						      fixture_bytes(samples[i].allocated),
						      40, (int)i, (int)samples[i].phase));
	line = json_pack("{s:f, s:s, s:[s, s, s, s, s, s, s, s], s:[s, s, s, s], s:o}",
			 "interval_s", 0.01, "source", "smaps_rollup", "columns", "t_s",
			 "rss_bytes", "live_bytes", "usable_bytes", "allocated_bytes",
			 "mappings", "page_faults", "phase", "phases", "work", "idle",
			 "freeing", "freed", "rows", rows);
	assert_non_null(line);
	json_object_set_new(json_object_get(entry, "kmembench"), "timeline", line);
}

/* Adds a cause to an entry's tail. */
static inline void fixture_add_cause(json_t *entry, const char *operation,
				     const char *cause, int above, double max_ns)
{
	json_t *latency = json_object_get(json_object_get(entry, "kmembench"), "latency");
	json_t *tail = json_object_get(latency, "tail");

	if (tail == NULL) {
		tail = json_pack("{s:s, s:[], s:[]}", "threshold", "p99.9", "alloc",
				 "free");
		json_object_set_new(latency, "tail", tail);
	}
	json_array_append_new(json_object_get(tail, operation),
			      json_pack("{s:s, s:i, s:i, s:f, s:[[i, i]]}", "cause",
					cause, "count", above * 2, "above_p99_9", above,
					"max", max_ns, "buckets", 300, above));
}

/* A folder of the test's own; paths in it are made by fixture_path(). */
static inline char *fixture_folder(void)
{
	char *path = strdup("/tmp/test-plot-XXXXXX");

	assert_non_null(mkdtemp(path));
	return path;
}

/* Takes over the reference to root. The caller frees the path. */
static inline char *fixture_save(json_t *root, const char *folder, const char *name)
{
	char *path = NULL;

	assert_true(asprintf(&path, "%s/%s", folder, name) > 0);
	assert_int_equal(json_dump_file(root, path, JSON_COMPACT), 0);
	json_decref(root);
	return path;
}

#endif /* TEST_PLOT_FIXTURE_H */
