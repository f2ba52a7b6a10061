/* SPDX-License-Identifier: MIT */
/* A measured cell as an entry of benchmarks[]: the format of docs/DESIGN.md. */
#include <stdio.h>

#include <kmem/phys.h>

#include "allocators/peers/library.h"
#include "bench/cell.h"
#include "bench/params.h"
#include "workloads/harness/arena.h"

static const struct {
	const char *name;
	double quantile;
} percentiles[] = {
	{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99_9", 0.999}, {"p99_99", 0.9999},
};

static void set(json_t *object, const char *name, json_t *value)
{
	json_object_set_new(object, name, value);
}

static void set_integer(json_t *object, const char *name, uint64_t value)
{
	set(object, name, json_integer((json_int_t)value));
}

/* Growth over the baseline; what was there before is not the allocator's. */
static uint64_t growth(uint64_t now, uint64_t before)
{
	return now > before ? now - before : 0;
}

static json_t *histogram_json(const struct histogram *h, double ns_per_tick)
{
	json_t *object = json_object();
	json_t *buckets = json_array();

	set_integer(object, "count", h->count);
	set(object, "min", json_real((double)h->min * ns_per_tick));
	set(object, "max", json_real((double)h->max * ns_per_tick));
	set(object, "mean", json_real(histogram_mean(h) * ns_per_tick));
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(percentiles); i++)
		set(object, percentiles[i].name,
		    json_real(histogram_quantile(h, percentiles[i].quantile) *
			      ns_per_tick));
	set_integer(object, "sub_bits", HISTOGRAM_BITS);
	set(object, "ns_per_tick", json_real(ns_per_tick));
	for (unsigned int i = 0; i < HISTOGRAM_BUCKETS; i++) {
		if (h->bucket[i] != 0)
			json_array_append_new(
				buckets,
				json_pack("[i, I]", (int)i, (json_int_t)h->bucket[i]));
	}
	set(object, "buckets", buckets);
	return object;
}

static void add_percentiles(json_t *entry, const char *operation,
			    const struct histogram *h, double ns_per_tick)
{
	char name[64];

	for (size_t i = 0; i < KMEM_ARRAY_SIZE(percentiles); i++) {
		snprintf(name, sizeof(name), "latency_%s_ns_%s", operation,
			 percentiles[i].name);
		set(entry, name,
		    json_real(histogram_quantile(h, percentiles[i].quantile) *
			      ns_per_tick));
	}
	snprintf(name, sizeof(name), "latency_%s_ns_max", operation);
	set(entry, name, json_real((double)h->max * ns_per_tick));
}

/* Histograms of all threads are merged; percentiles never are. */
static void add_latency(const struct cell *cell, json_t *entry, json_t *kmembench)
{
	struct histogram *alloc = arena_alloc(sizeof(*alloc));
	struct histogram *release = arena_alloc(sizeof(*release));
	json_t *latency = json_object();
	double ns_per_tick = cell->clock.ns_per_tick;
	uint64_t below = 0;

	histogram_reset(alloc);
	histogram_reset(release);
	for (unsigned int i = 0; i < cell->run.threads; i++) {
		histogram_merge(alloc, &cell->probes[i].alloc);
		histogram_merge(release, &cell->probes[i].free);
		below += cell->probes[i].below_resolution;
	}
	set(latency, "unit", json_string("ns"));
	set(latency, "clock_pair_ns",
	    json_real((double)cell->clock.pair_ticks * ns_per_tick));
	set(latency, "clock_granularity_ns",
	    json_real((double)cell->clock.granularity_ticks * ns_per_tick));
	if (alloc->count + release->count > 0)
		set(latency, "below_resolution",
		    json_real((double)below / (double)(alloc->count + release->count)));
	if (alloc->count > 0) {
		set(latency, "alloc", histogram_json(alloc, ns_per_tick));
		add_percentiles(entry, "alloc", alloc, ns_per_tick);
	}
	if (release->count > 0) {
		set(latency, "free", histogram_json(release, ns_per_tick));
		add_percentiles(entry, "free", release, ns_per_tick);
	}
	set(kmembench, "latency", latency);
	arena_free(alloc, sizeof(*alloc));
	arena_free(release, sizeof(*release));
}

static void add_memory(const struct cell *cell, json_t *entry, json_t *kmembench)
{
	json_t *memory = json_object();

	set_integer(memory, "rss_bytes_before", cell->before.rss_bytes);
	set_integer(memory, "rss_bytes_live", cell->live.rss_bytes);
	set_integer(memory, "rss_bytes_peak", cell->peak_bytes);
	set_integer(memory, "rss_bytes_final", cell->final.rss_bytes);
	set_integer(memory, "pss_bytes_before", cell->before.pss_bytes);
	set_integer(memory, "pss_bytes_live", cell->live.pss_bytes);
	set_integer(memory, "pss_bytes_final", cell->final.pss_bytes);
	set_integer(memory, "live_bytes_max", cell->live_bytes_max);
	set(kmembench, "memory", memory);
	set_integer(entry, "rss_bytes_live",
		    growth(cell->live.rss_bytes, cell->before.rss_bytes));
	set_integer(entry, "rss_bytes_peak",
		    growth(cell->peak_bytes, cell->before.rss_bytes));
	set_integer(entry, "rss_bytes_final",
		    growth(cell->final.rss_bytes, cell->before.rss_bytes));
	set_integer(entry, "live_bytes_max", cell->live_bytes_max);
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
	add_latency(cell, entry, kmembench);
	add_memory(cell, entry, kmembench);
	add_counters(cell, entry, kmembench);
	set(kmembench, "numa",
	    json_pack("{s:b, s:i}", "simulated", (int)phys_is_simulated(), "nodes",
		      phys_nr_nodes() > 0 ? phys_nr_nodes() : 1));
	set(entry, "kmembench", kmembench);
	return entry;
}
