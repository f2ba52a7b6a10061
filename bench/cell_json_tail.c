/* SPDX-License-Identifier: MIT */
/*
 * Causes of long samples as JSON.
 *
 * A cause's histogram holds every sample that was looked into and had it: more than
 * those above p99.9, since the threshold lies at the 99th percentile. Above p99.9
 * the causes together hold exactly the samples of the operation: what was not looked
 * into, because nothing could hide in it or because it came before the threshold had
 * settled, is of unknown cause.
 */
#include "bench/cell_probed.h"
#include "bench/json_set.h"
#include "workloads/harness/arena.h"

#define TAIL_QUANTILE 0.999

/* Scratch of one call. */
struct causes {
	const struct histogram *whole;
	unsigned int p99_9_bucket;
	struct histogram one;	/* of the cause at hand */
	struct histogram known; /* of all causes but "unknown" */
};

static void merge_cause(const struct cell *cell, enum probe_op op, unsigned int mask,
			struct histogram *into)
{
	histogram_reset(into);
	for (unsigned int i = 0; i < cell->run.threads; i++) {
		if (cell->tails[i].cause[op][mask] != NULL)
			histogram_merge(into, cell->tails[i].cause[op][mask]);
	}
}

/* What no known cause accounts for above p99.9; below, what was looked into. */
static void complete_unknown(struct causes *c)
{
	struct histogram *h = &c->one;
	unsigned int highest = 0;

	for (unsigned int i = c->p99_9_bucket + 1; i < HISTOGRAM_BUCKETS; i++) {
		uint64_t samples = c->whole->bucket[i] - c->known.bucket[i];

		h->count += samples - h->bucket[i];
		h->bucket[i] = samples;
		if (samples > 0)
			highest = i;
	}
	if (highest == 0 || histogram_index(h->max) == highest)
		return;
	h->max = histogram_index(c->whole->max) == highest && c->known.max < c->whole->max
			 ? c->whole->max
			 : histogram_bucket_high(highest);
}

static json_t *cause_json(const struct causes *c, unsigned int mask, double ns_per_tick)
{
	json_t *object = json_object();
	uint64_t above = 0;

	for (unsigned int i = c->p99_9_bucket + 1; i < HISTOGRAM_BUCKETS; i++)
		above += c->one.bucket[i];
	json_set_string(object, "cause", tail_mask_name(mask));
	json_set_integer(object, "count", c->one.count);
	json_set_integer(object, "above_p99_9", above);
	json_set_real(object, "max", (double)c->one.max * ns_per_tick);
	json_set(object, "buckets", cell_buckets_json(&c->one));
	return object;
}

static json_t *operation_json(const struct cell *cell, enum probe_op op, struct causes *c)
{
	json_t *array = json_array();

	c->p99_9_bucket = histogram_quantile_bucket(c->whole, TAIL_QUANTILE);
	histogram_reset(&c->known);
	for (unsigned int mask = 1; mask < NR_TAIL_MASKS; mask++) {
		merge_cause(cell, op, mask, &c->one);
		histogram_merge(&c->known, &c->one);
		if (c->one.count > 0)
			json_array_append_new(
				array, cause_json(c, mask, cell->clock.ns_per_tick));
	}
	merge_cause(cell, op, 0, &c->one);
	complete_unknown(c);
	if (c->one.count > 0)
		json_array_insert_new(array, 0,
				      cause_json(c, 0, cell->clock.ns_per_tick));
	return array;
}

json_t *cell_tail_json(const struct cell *cell, const struct histogram *alloc,
		       const struct histogram *release)
{
	struct causes *c = arena_alloc(sizeof(*c));
	const struct tail *first = &cell->tails[0];
	json_t *tail = json_object();

	json_set_string(tail, "threshold", "p99.9");
	json_set_real(tail, "event_ns_min",
		      (double)first->hide_ticks * cell->clock.ns_per_tick);
	json_set_string(tail, "calls", memory_calls_seen_name(first->calls_seen));
	if (alloc->count > 0) {
		c->whole = alloc;
		json_set(tail, "alloc", operation_json(cell, PROBE_ALLOC, c));
	}
	if (release->count > 0) {
		c->whole = release;
		json_set(tail, "free", operation_json(cell, PROBE_FREE, c));
	}
	arena_free(c, sizeof(*c));
	return tail;
}
