/* SPDX-License-Identifier: MIT */
/* Histograms and percentiles of a measured cell as JSON. */
#include <stdio.h>

#include "bench/cell_probed.h"
#include "bench/json_set.h"
#include "workloads/harness/arena.h"

static const struct {
	const char *name;
	double quantile;
} percentiles[] = {
	{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99_9", 0.999}, {"p99_99", 0.9999},
};

json_t *cell_buckets_json(const struct histogram *h)
{
	json_t *buckets = json_array();

	for (unsigned int i = 0; i < HISTOGRAM_BUCKETS; i++) {
		if (h->bucket[i] != 0)
			json_array_append_new(
				buckets,
				json_pack("[i, I]", (int)i, (json_int_t)h->bucket[i]));
	}
	return buckets;
}

static json_t *histogram_json(const struct histogram *h, double ns_per_tick)
{
	json_t *object = json_object();

	json_set_integer(object, "count", h->count);
	json_set_real(object, "min", (double)h->min * ns_per_tick);
	json_set_real(object, "max", (double)h->max * ns_per_tick);
	json_set_real(object, "mean", histogram_mean(h) * ns_per_tick);
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(percentiles); i++)
		json_set_real(object, percentiles[i].name,
			      histogram_quantile(h, percentiles[i].quantile) *
				      ns_per_tick);
	json_set_integer(object, "sub_bits", HISTOGRAM_BITS);
	json_set_real(object, "ns_per_tick", ns_per_tick);
	json_set(object, "buckets", cell_buckets_json(h));
	return object;
}

/* One histogram's place in the entry: the whole of it, and its percentiles as counters.
 * Nothing when it is empty. */
static void add_histogram(json_t *entry, json_t *latency, const char *name,
			  const struct histogram *h, double ns_per_tick)
{
	char counter[96];

	if (h->count == 0)
		return;
	json_set(latency, name, histogram_json(h, ns_per_tick));
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(percentiles); i++) {
		snprintf(counter, sizeof(counter), "latency_%s_ns_%s", name,
			 percentiles[i].name);
		json_set_real(entry, counter,
			      histogram_quantile(h, percentiles[i].quantile) *
				      ns_per_tick);
	}
	snprintf(counter, sizeof(counter), "latency_%s_ns_max", name);
	json_set_real(entry, counter, (double)h->max * ns_per_tick);
}

static void add_series(const struct cell *cell, json_t *entry, json_t *latency,
		       struct histogram *merged)
{
	const char *const *series = cell->run.workload->series;

	for (int s = 0; s < WORKLOAD_SERIES_MAX && series[s] != NULL; s++) {
		histogram_reset(merged);
		for (unsigned int i = 0; i < cell->run.threads; i++)
			histogram_merge(merged, &cell->probes[i].series[s]);
		add_histogram(entry, latency, series[s], merged, cell->clock.ns_per_tick);
	}
}

/* Twice the clock's cost; where the clock is coarse and its cost is none of its steps, a
 * step. */
static uint64_t resolution_ticks(const struct tsc_clock *clock)
{
	uint64_t twice = 2 * clock->pair_ticks;

	return twice > clock->granularity_ticks ? twice : clock->granularity_ticks;
}

/* Histograms of all threads are merged; percentiles never are. */
void cell_add_latency(const struct cell *cell, json_t *entry, json_t *kmembench)
{
	struct histogram *alloc = arena_alloc(sizeof(*alloc));
	struct histogram *release = arena_alloc(sizeof(*release));
	struct histogram *series = arena_alloc(sizeof(*series));
	json_t *latency = json_object();
	double ns_per_tick = cell->clock.ns_per_tick;
	uint64_t resolved_ticks = resolution_ticks(&cell->clock);
	uint64_t samples, below;

	histogram_reset(alloc);
	histogram_reset(release);
	for (unsigned int i = 0; i < cell->run.threads; i++) {
		histogram_merge(alloc, &cell->probes[i].alloc);
		histogram_merge(release, &cell->probes[i].free);
	}
	samples = alloc->count + release->count;
	below = histogram_count_below(alloc, resolved_ticks) +
		histogram_count_below(release, resolved_ticks);
	json_set_string(latency, "unit", "ns");
	json_set_real(latency, "clock_pair_ns",
		      (double)cell->clock.pair_ticks * ns_per_tick);
	json_set_real(latency, "clock_granularity_ns",
		      (double)cell->clock.granularity_ticks * ns_per_tick);
	if (samples > 0)
		json_set_real(latency, "below_resolution",
			      (double)below / (double)samples);
	add_histogram(entry, latency, "alloc", alloc, ns_per_tick);
	add_histogram(entry, latency, "free", release, ns_per_tick);
	add_series(cell, entry, latency, series);
	if (samples > 0 && cell->tails != NULL)
		json_set(latency, "tail", cell_tail_json(cell, alloc, release));
	json_set(kmembench, "latency", latency);
	arena_free(alloc, sizeof(*alloc));
	arena_free(release, sizeof(*release));
	arena_free(series, sizeof(*series));
}
