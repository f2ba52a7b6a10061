/* SPDX-License-Identifier: MIT */
/* Histograms and percentiles of a measured cell as JSON. */
#include <stdio.h>

#include "bench/cell.h"
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
void cell_add_latency(const struct cell *cell, json_t *entry, json_t *kmembench)
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
