/* SPDX-License-Identifier: MIT */
/*
 * Resident memory of a measured cell as JSON, and its course over time.
 *
 * R, U and L are resident, usable and asked-for bytes. Fragmentation is a ratio of
 * means over the time in which work was done, so that moments with little memory
 * weigh little. Where a ratio has no meaning, since nothing lived at
 * any sample, live blocks overlap, or the allocator tells no usable sizes, it is absent.
 */
#include <math.h>
#include <stdio.h>

#include "bench/cell_probed.h"
#include "bench/json_set.h"

/* With fewer samples the 99.9th percentile is the maximum by another name. */
#define P99_9_SAMPLES_MIN 1000

/* Growth over the baseline; what was there before is not the allocator's. */
static uint64_t growth(uint64_t now, uint64_t before)
{
	return now > before ? now - before : 0;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/*
 * max R of the memory pass. A sample knows nothing of what came and went between it and
 * the next one, while L's maximum is exact: a short burst would need less memory than
 * it asked for. The kernel's mark has seen it, though not pages of memory files that
 * were mapped nowhere: the higher one holds.
 */
static uint64_t course_rss_bytes_max(const struct cell *cell)
{
	uint64_t sampled = sampler_rss_bytes_max(cell->course->sampler);
	uint64_t marked = growth(cell->course->peak_bytes, cell->before.rss_bytes);

	return larger(marked, sampled);
}

/* Of all passes, baseline included. */
static uint64_t rss_bytes_peak(const struct cell *cell)
{
	uint64_t peak = larger(cell->peak_bytes, cell->final.rss_bytes);

	if (cell->course == NULL)
		return peak;
	peak = larger(peak, cell->course->peak_before_bytes);
	return larger(peak, cell->before.rss_bytes + course_rss_bytes_max(cell));
}

static void add_resident(const struct cell *cell, json_t *entry, json_t *kmembench)
{
	json_t *memory = json_object();
	uint64_t before = cell->before.rss_bytes, peak = rss_bytes_peak(cell);
	uint64_t live_max = cell->live_bytes_max;

	if (cell->course != NULL && cell->course->live_bytes_max > live_max)
		live_max = cell->course->live_bytes_max;
	json_set_integer(memory, "rss_bytes_before", before);
	json_set_integer(memory, "rss_bytes_live", cell->live.rss_bytes);
	json_set_integer(memory, "rss_bytes_peak", peak);
	json_set_integer(memory, "rss_bytes_final", cell->final.rss_bytes);
	json_set_integer(memory, "pss_bytes_before", cell->before.pss_bytes);
	json_set_integer(memory, "pss_bytes_live", cell->live.pss_bytes);
	json_set_integer(memory, "pss_bytes_final", cell->final.pss_bytes);
	json_set_integer(memory, "live_bytes_max", live_max);
	json_set(kmembench, "memory", memory);
	json_set_integer(entry, "rss_bytes_live", growth(cell->live.rss_bytes, before));
	json_set_integer(entry, "rss_bytes_peak", growth(peak, before));
	json_set_integer(entry, "rss_bytes_final", growth(cell->final.rss_bytes, before));
	json_set_integer(entry, "live_bytes_max", live_max);
}

static json_t *row_json(const struct sampler_row *row, bool usable_known,
			unsigned int course_columns)
{
	json_t *usable = usable_known ? json_integer((json_int_t)row->usable_bytes)
				      : json_null();
	json_t *mappings = row->mappings >= 0 ? json_integer(row->mappings) : json_null();

	json_t *array = json_pack("[f, I, I, o, I, o, I, I]", row->t_s,
				  (json_int_t)row->rss_bytes, (json_int_t)row->live_bytes,
				  usable, (json_int_t)row->allocated_bytes, mappings,
				  (json_int_t)row->page_faults, (json_int_t)row->phase);

	for (unsigned int i = 0; i < course_columns; i++)
		json_array_append_new(array, isnan(row->course[i])
						     ? json_null()
						     : json_real(row->course[i]));
	return array;
}

/* The sampler's own, then the workload's. */
static json_t *column_names(const struct workload_ops *workload)
{
	json_t *columns = json_pack("[s, s, s, s, s, s, s, s]", "t_s", "rss_bytes",
				    "live_bytes", "usable_bytes", "allocated_bytes",
				    "mappings", "page_faults", "phase");

	for (unsigned int i = 0; i < workload_course_columns(workload); i++)
		json_array_append_new(columns, json_string(workload->course[i]));
	return columns;
}

static void add_timeline(const struct cell *cell, json_t *kmembench)
{
	const struct memory_course *course = cell->course;
	unsigned int course_columns = workload_course_columns(cell->run.workload);
	json_t *timeline = json_object();
	json_t *phases = json_array();
	json_t *rows = json_array();
	size_t count;
	const struct sampler_row *row = sampler_rows(course->sampler, &count);
	const char *name;

	for (uint32_t i = 0; (name = sampler_phase(course->sampler, i)) != NULL; i++)
		json_array_append_new(phases, json_string(name));
	for (size_t i = 0; i < count; i++)
		json_array_append_new(
			rows, row_json(&row[i], course->usable_known, course_columns));
	json_set_real(timeline, "interval_s", sampler_interval_s(course->sampler));
	json_set_string(timeline, "source", sampler_source(course->sampler));
	json_set(timeline, "columns", column_names(cell->run.workload));
	json_set(timeline, "phases", phases);
	json_set(timeline, "rows", rows);
	json_set(kmembench, "timeline", timeline);
}

json_t *cell_segment_latency(const struct histogram *h, double ns_per_tick)
{
	json_t *latency;

	if (h->count == 0)
		return NULL;
	latency = json_object();
	json_set_integer(latency, "count", h->count);
	json_set_real(latency, "p50", histogram_quantile(h, 0.5) * ns_per_tick);
	json_set_real(latency, "p99", histogram_quantile(h, 0.99) * ns_per_tick);
	if (h->count >= P99_9_SAMPLES_MIN)
		json_set_real(latency, "p99_9",
			      histogram_quantile(h, 0.999) * ns_per_tick);
	return latency;
}

static void add_segment_latency(json_t *object, const char *name,
				const struct histogram *h, double ns_per_tick)
{
	json_t *latency = cell_segment_latency(h, ns_per_tick);

	if (latency != NULL)
		json_set(object, name, latency);
}

static void add_age(const struct cell *cell, json_t *kmembench)
{
	const struct memory_course *course = cell->course;
	json_t *age = json_array();

	for (unsigned int i = 0; i < course->nr_segments; i++) {
		const struct age_segment *segment = &course->segment[i];
		json_t *object = json_object();

		json_set_integer(object, "allocated_bytes", segment->allocated_bytes);
		add_segment_latency(object, "alloc", &segment->alloc,
				    cell->clock.ns_per_tick);
		add_segment_latency(object, "free", &segment->free,
				    cell->clock.ns_per_tick);
		json_array_append_new(age, object);
	}
	json_set(kmembench, "age", age);
}

/* Where live blocks overlap (the floor 'null'), R and L have nothing to do with each
 * other.
 */
static void add_ratios(const struct cell *cell, json_t *entry)
{
	const struct memory_course *course = cell->course;
	struct sampler_sums sums = sampler_sums(course->sampler);
	const struct sampler_row *last = &course->last;

	if ((cell->run.allocator->ops->caps & CAP_DISTINCT) == 0)
		return;
	if (course->usable_known && sums.usable_byte_s > 0)
		json_set_real(entry, "internal_fragmentation",
			      (sums.usable_byte_s - sums.live_byte_s) /
				      sums.usable_byte_s);
	if (course->usable_known && sums.usable_byte_s > 0 && sums.rss_byte_s > 0)
		json_set_real(entry, "external_fragmentation",
			      (sums.rss_byte_s - sums.usable_byte_s) / sums.rss_byte_s);
	if (last->live_bytes > 0 && last->rss_bytes > 0)
		json_set_real(entry, "realised_fragmentation",
			      ((double)last->rss_bytes - (double)last->live_bytes) /
				      (double)last->rss_bytes);
	if (course->live_bytes_max > 0)
		json_set_real(entry, "space_ratio",
			      (double)course_rss_bytes_max(cell) /
				      (double)course->live_bytes_max);
}

static void add_course(const struct cell *cell, json_t *entry, json_t *kmembench)
{
	static const char *const idle_names[IDLE_READINGS] = {
		"rss_bytes_idle_0_1s", "rss_bytes_idle_1s", "rss_bytes_idle_5s"};
	const struct memory_course *course = cell->course;
	int64_t mappings = sampler_mappings_max(course->sampler);

	add_timeline(cell, kmembench);
	add_age(cell, kmembench);
	add_ratios(cell, entry);
	if (mappings >= 0)
		json_set_integer(entry, "mappings_max", (uint64_t)mappings);
	for (unsigned int i = 0; i < course->idle_readings; i++)
		json_set_integer(entry, idle_names[i], course->rss_idle_bytes[i]);
}

void cell_add_memory(const struct cell *cell, json_t *entry, json_t *kmembench)
{
	add_resident(cell, entry, kmembench);
	if (cell->course != NULL)
		add_course(cell, entry, kmembench);
}
