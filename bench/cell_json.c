/* SPDX-License-Identifier: MIT */
/* A measured cell as an entry of benchmarks[]: the format of docs/DESIGN.md. */
#include <stdio.h>
#include <string.h>
#include <sys/personality.h>
#include <unistd.h>

#include "allocators/peers/library.h"
#include "bench/cell.h"
#include "bench/json_set.h"
#include "bench/params.h"
#include "bench/workload_version.h"

/* Absent is not zero: a counter that the machine lacks is named with its reason. */
static void add_counters(const struct cell *cell, json_t *entry, json_t *kmembench)
{
	json_t *counters = json_object();
	json_t *absent = json_object();
	json_t *user_only = json_array();

	for (int i = 0; i < NR_PERF_COUNTERS; i++) {
		const char *name = perf_counter_name((enum perf_counter)i);

		if (cell->perf.present[i]) {
			json_set(counters, name, json_real(cell->perf.value[i]));
			json_set(entry, name, json_real(cell->perf.value[i]));
			/* A fault from user space is counted whole either way. */
			if (cell->perf.user_only[i] && i != PERF_PAGE_FAULTS)
				json_array_append_new(user_only, json_string(name));
		} else {
			json_set(absent, name,
				 json_string(perf_counter_reason((enum perf_counter)i,
								 cell->perf.error[i])));
		}
	}
	json_set(kmembench, "counters", counters);
	if (json_array_size(user_only) > 0)
		json_set(kmembench, "counters_user_only", json_incref(user_only));
	json_decref(user_only);
	json_set(kmembench, "counters_absent", absent);
}

static void add_stat(const char *name, double value, void *arg)
{
	json_set(arg, name, json_real(value));
}

static void add_allocator(const struct cell *cell, json_t *kmembench)
{
	struct allocator *a = cell->run.allocator;
	json_t *stats = json_object();

	json_set(kmembench, "allocator", json_string(cell->allocator_spec));
	json_set(kmembench, "allocator_name", json_string(a->ops->name));
	if (a->ops->version != NULL && a->ops->version(a) != NULL)
		json_set(kmembench, "allocator_version", json_string(a->ops->version(a)));
	if (a->ops->library != NULL)
		json_set(kmembench, "allocator_path", json_string(library_path(a)));
	if (a->ops->caps & CAP_STATS && a->ops->stats != NULL)
		a->ops->stats(a, add_stat, stats);
	json_set(kmembench, "allocator_stats", stats);
}

/* Whether the kernel drew this process's addresses at random. */
static bool addresses_are_random(void)
{
	FILE *file = fopen("/proc/sys/kernel/randomize_va_space", "re");
	int mode = 0, given = personality(0xffffffff);

	if (file != NULL) {
		if (fscanf(file, "%d", &mode) != 1)
			mode = 0;
		fclose(file);
	}
	return mode > 0 && (given < 0 || (given & ADDR_NO_RANDOMIZE) == 0);
}

/* Where stack, heap and mappings lie moves times by per cents: a draw to be known. */
static json_t *layout_json(void)
{
	size_t bytes = 0;

	for (char **at = environ; *at != NULL; at++)
		bytes += strlen(*at) + 1;
	return json_pack("{s:b, s:I}", "aslr", (int)addresses_are_random(), "env_bytes",
			 (json_int_t)bytes);
}

json_t *cell_memory_entry(const struct cell *cell)
{
	json_t *entry = json_object();
	json_t *kmembench = json_object();

	cell_add_memory(cell, entry, kmembench);
	json_set(kmembench, "memory_process", json_string("own"));
	json_object_update(entry, cell->reported);
	json_set(entry, "kmembench", kmembench);
	return entry;
}

json_t *cell_entry(const struct cell *cell)
{
	const struct workload_ops *workload = cell->run.workload;
	json_t *entry = json_object();
	json_t *kmembench = json_object();
	double ops = (double)cell->ops;
	char version[WORKLOAD_VERSION_SIZE];
	double ns_per_op = cell->timing.real_s * 1e9 * cell->run.threads / ops;

	json_set(entry, "run_type", json_string("iteration"));
	json_set(entry, "threads", json_integer(cell->run.threads));
	json_set_integer(entry, "iterations", cell->ops);
	json_set(entry, "real_time", json_real(ns_per_op));
	json_set(entry, "cpu_time", json_real(cell->timing.cpu_s * 1e9 / ops));
	json_set(entry, "time_unit", json_string("ns"));
	json_set(entry, "items_per_second", json_real(ops / cell->timing.real_s));
	add_allocator(cell, kmembench);
	json_set(kmembench, "status", json_string("ok"));
	json_set(kmembench, "workload", json_string(workload->name));
	json_set(kmembench, "workload_version",
		 json_string(workload_version(workload, version, sizeof(version))));
	json_set(kmembench, "layout", layout_json());
	json_set(kmembench, "op", json_string(workload->op));
	json_set(kmembench, "params", params_json(&cell->run));
	json_set(kmembench, "threads", json_integer(cell->run.threads));
	json_set_integer(kmembench, "seed", cell->run.seed);
	json_set(kmembench, "samples_ns_per_op", json_pack("[f]", ns_per_op));
	json_set_integer(kmembench, "latency_quanta", cell->latency_quanta);
	if (cell_memory_pass != NULL && cell->memory_time_s > 0)
		json_set_integer(kmembench, "memory_quanta", cell_memory_quanta(cell));
	cell_add_latency(cell, entry, kmembench);
	cell_add_memory(cell, entry, kmembench);
	add_counters(cell, entry, kmembench);
	json_object_update(entry, cell->reported);
	cell_add_numa(cell, entry, kmembench);
	json_set(entry, "kmembench", kmembench);
	return entry;
}
