/* SPDX-License-Identifier: MIT */
/* Whether two files were measured under conditions that compare. */
#include "bench/compare.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/results.h"

/* Properties that bear on time or memory whatever is measured. */
static const char *const machine_properties[] = {
	"cpu_model", "kernel",	 "governor", "thp",	   "virtualised",
	"smt",	     "topology", "aslr",     "numa_nodes", "simulated_numa",
};
static const char *const context_properties[] = {"num_cpus", "library_build_type"};
/* How it was measured. */
static const char *const method_properties[] = {"method", "layout", "environment"};

static void print_property(const json_t *value, char *buf, size_t size)
{
	char *text;

	if (value == NULL) {
		snprintf(buf, size, "not recorded");
	} else if (json_is_string(value)) {
		snprintf(buf, size, "%s", json_string_value(value));
	} else {
		text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
		snprintf(buf, size, "%s", text != NULL ? text : "?");
		free(text);
	}
}

static unsigned int compare_properties(
	const json_t *a, const json_t *b, const char *const *names, size_t count,
	void (*differ)(const char *, const char *, const char *, void *), void *arg)
{
	unsigned int differences = 0;

	for (size_t i = 0; i < count; i++) {
		const json_t *x = json_object_get(a, names[i]),
			     *y = json_object_get(b, names[i]);
		char text_x[128], text_y[128];

		if (json_equal(x, y) || (x == NULL && y == NULL))
			continue;
		print_property(x, text_x, sizeof(text_x));
		print_property(y, text_y, sizeof(text_y));
		differ(names[i], text_x, text_y, arg);
		differences++;
	}
	return differences;
}

/* Versions of the workloads in a file: {"pair": "0123…"}. A new reference. */
static json_t *workload_versions(const json_t *file)
{
	json_t *versions = json_object();
	const json_t *entry;
	size_t i;

	json_array_foreach (results_entries(file), i, entry) {
		const json_t *ours = json_object_get(entry, "kmembench");
		const char *name = json_string_value(json_object_get(ours, "workload"));
		json_t *version = json_object_get(ours, "workload_version");

		if (name != NULL && version != NULL)
			json_object_set(versions, name, version);
	}
	return versions;
}

/* A workload that only one of the files has, or whose version one does not know, is no
 * difference. */
static unsigned int compare_workloads(const json_t *a, const json_t *b,
				      void (*differ)(const char *, const char *,
						     const char *, void *),
				      void *arg)
{
	json_t *x = workload_versions(a), *y = workload_versions(b), *version;
	unsigned int differences = 0;
	const char *name;

	json_object_foreach (x, name, version) {
		const json_t *other = json_object_get(y, name);
		char what[96];

		if (other == NULL || json_equal(version, other))
			continue;
		snprintf(what, sizeof(what), "the definition of workload %s", name);
		differ(what, json_string_value(version), json_string_value(other), arg);
		differences++;
	}
	json_decref(x);
	json_decref(y);
	return differences;
}

/* Read in the process of the memory pass where there is one, else in the timed one. */
static bool is_of_memory_pass(const char *metric)
{
	return strncmp(metric, "rss_bytes_", strlen("rss_bytes_")) == 0 ||
	       strcmp(metric, "live_bytes_max") == 0;
}

/* {"pair/slab/size:64/threads:1": had a memory pass}, of the cells that went well. */
static json_t *memory_passes(const json_t *file)
{
	json_t *passes = json_object();
	const json_t *json;
	size_t i;

	json_array_foreach (results_entries(file), i, json) {
		const json_t *ours = json_object_get(json, "kmembench");
		const char *name = json_string_value(json_object_get(json, "name"));
		const char *status = json_string_value(json_object_get(ours, "status"));

		if (name != NULL && status != NULL && strcmp(status, "ok") == 0)
			json_object_set_new(
				passes, name,
				json_boolean(json_object_get(ours, "memory_process") !=
					     NULL));
	}
	return passes;
}

/*
 * What a process keeps from the passes before shows in its resident memory: a process
 * that did nothing else and one that was timed first have different figures of the same
 * name. So have passes of different length.
 */
static unsigned int compare_memory_passes(const json_t *a, const json_t *b,
					  void (*differ)(const char *, const char *,
							 const char *, void *),
					  void *arg)
{
	static const char *const length[] = {"memory_time_s"};
	json_t *x = memory_passes(a), *y = memory_passes(b), *had;
	unsigned int differences = 0;
	const char *name;

	json_object_foreach (x, name, had) {
		static const char own[] = "a memory pass in a process of its own",
				  timed[] = "no memory pass, so the timed process";
		const json_t *has = json_object_get(y, name);
		char what[224];

		if (has == NULL || json_equal(had, has))
			continue;
		snprintf(
			what, sizeof(what),
			"where the memory figures of %s come from (measure both with the same --memory-time)",
			name);
		differ(what, json_is_true(had) ? own : timed,
		       json_is_true(has) ? own : timed, arg);
		differences = 1;
		break; /* one cell shows it */
	}
	if (differences == 0 && json_object_get(results_context(a), length[0]) != NULL &&
	    json_object_get(results_context(b), length[0]) != NULL)
		differences = compare_properties(results_context(a), results_context(b),
						 length, KMEM_ARRAY_SIZE(length), differ,
						 arg);
	json_decref(x);
	json_decref(y);
	return differences;
}

unsigned int compare_unlike(const json_t *a, const json_t *b, const char *metric,
			    void (*differ)(const char *property, const char *value_a,
					   const char *value_b, void *arg),
			    void *arg)
{
	const json_t *machine_a = json_object_get(results_context(a), "machine");
	const json_t *machine_b = json_object_get(results_context(b), "machine");
	unsigned int differences;

	differences = compare_properties(machine_a, machine_b, machine_properties,
					 KMEM_ARRAY_SIZE(machine_properties), differ,
					 arg);
	differences += compare_properties(
		results_context(a), results_context(b), method_properties,
		KMEM_ARRAY_SIZE(method_properties), differ, arg);
	differences += compare_workloads(a, b, differ, arg);
	if (is_of_memory_pass(metric))
		differences += compare_memory_passes(a, b, differ, arg);
	return differences +
	       compare_properties(json_object_get(a, "context"),
				  json_object_get(b, "context"), context_properties,
				  KMEM_ARRAY_SIZE(context_properties), differ, arg);
}
