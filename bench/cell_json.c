/* SPDX-License-Identifier: MIT */
/* A measured cell as an entry of benchmarks[]: the format of docs/DESIGN.md. */
#include <stdio.h>

#include <kmem/phys.h>

#include "allocators/peers/library.h"
#include "bench/cell.h"
#include "bench/params.h"

static void set(json_t *object, const char *name, json_t *value)
{
	json_object_set_new(object, name, value);
}

static void set_integer(json_t *object, const char *name, uint64_t value)
{
	set(object, name, json_integer((json_int_t)value));
}

/* Absent is not zero: a counter that the machine lacks is named with its reason. */
static void add_counters(const struct cell *cell, json_t *entry, json_t *kmembench)
{
	json_t *counters = json_object();
	json_t *absent = json_object();
	json_t *user_only = json_array();

	for (int i = 0; i < NR_PERF_COUNTERS; i++) {
		const char *name = perf_counter_name((enum perf_counter)i);

		if (cell->perf.present[i]) {
			set(counters, name, json_real(cell->perf.value[i]));
			set(entry, name, json_real(cell->perf.value[i]));
			/* A fault from user space is counted whole either way. */
			if (cell->perf.user_only[i] && i != PERF_PAGE_FAULTS)
				json_array_append_new(user_only, json_string(name));
		} else {
			set(absent, name,
			    json_string(perf_counter_reason((enum perf_counter)i,
							    cell->perf.error[i])));
		}
	}
	set(kmembench, "counters", counters);
	if (json_array_size(user_only) > 0)
		set(kmembench, "counters_user_only", json_incref(user_only));
	json_decref(user_only);
	set(kmembench, "counters_absent", absent);
}

static void add_stat(const char *name, double value, void *arg)
{
	set(arg, name, json_real(value));
}

static void add_allocator(const struct cell *cell, json_t *kmembench)
{
	struct allocator *a = cell->run.allocator;
	json_t *stats = json_object();

	set(kmembench, "allocator", json_string(cell->allocator_spec));
	set(kmembench, "allocator_name", json_string(a->ops->name));
	if (a->ops->version != NULL && a->ops->version(a) != NULL)
		set(kmembench, "allocator_version", json_string(a->ops->version(a)));
	if (a->ops->library != NULL)
		set(kmembench, "allocator_path", json_string(library_path(a)));
	if (a->ops->caps & CAP_STATS && a->ops->stats != NULL)
		a->ops->stats(a, add_stat, stats);
	set(kmembench, "allocator_stats", stats);
}

json_t *cell_entry(const struct cell *cell)
{
	const struct workload_ops *workload = cell->run.workload;
	json_t *entry = json_object();
	json_t *kmembench = json_object();
	double ops = (double)cell->ops;
	double ns_per_op = cell->timing.real_s * 1e9 * cell->run.threads / ops;

	set(entry, "run_type", json_string("iteration"));
	set(entry, "threads", json_integer(cell->run.threads));
	set_integer(entry, "iterations", cell->ops);
	set(entry, "real_time", json_real(ns_per_op));
	set(entry, "cpu_time", json_real(cell->timing.cpu_s * 1e9 / ops));
	set(entry, "time_unit", json_string("ns"));
	set(entry, "items_per_second", json_real(ops / cell->timing.real_s));
	add_allocator(cell, kmembench);
	set(kmembench, "status", json_string("ok"));
	set(kmembench, "workload", json_string(workload->name));
	set(kmembench, "op", json_string(workload->op));
	set(kmembench, "params", params_json(&cell->run));
	set(kmembench, "threads", json_integer(cell->run.threads));
	set_integer(kmembench, "seed", cell->run.seed);
	set(kmembench, "samples_ns_per_op", json_pack("[f]", ns_per_op));
	set_integer(kmembench, "latency_quanta", cell->latency_quanta);
	cell_add_latency(cell, entry, kmembench);
	cell_add_memory(cell, entry, kmembench);
	add_counters(cell, entry, kmembench);
	json_object_update(entry, cell->reported);
	set(kmembench, "numa",
	    json_pack("{s:b, s:i}", "simulated", (int)phys_is_simulated(), "nodes",
		      phys_nr_nodes() > 0 ? phys_nr_nodes() : 1));
	set(entry, "kmembench", kmembench);
	return entry;
}
