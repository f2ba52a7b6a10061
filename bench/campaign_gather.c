/* SPDX-License-Identifier: MIT */
/* What a campaign has measured, as a results file: context and entries. */
#include <string.h>

#include "bench/blow_up.h"
#include "bench/campaign_internal.h"

/* True when some cell's nodes were not the machine's own. */
static bool any_simulated(json_t *list)
{
	size_t i;
	json_t *entry;

	json_array_foreach (list, i, entry) {
		const json_t *numa = json_object_get(json_object_get(entry, "kmembench"),
						     "numa");

		if (json_is_true(json_object_get(numa, "simulated")))
			return true;
	}
	return false;
}

/* Versions and paths are known to the cells only. */
static void list_allocators(const struct campaign *c)
{
	json_t *list = json_array();

	for (size_t i = 0; i < c->plan->count; i++) {
		json_t *entry = *campaign_slot(c, i, 0);
		json_t *kmembench = json_object_get(entry, "kmembench");
		bool seen = false;
		size_t k;
		json_t *known;

		json_array_foreach (list, k, known)
			seen = seen || strcmp(json_string_value(
						      json_object_get(known, "variant")),
					      c->plan->cells[i].allocator) == 0;
		if (seen || entry == NULL)
			continue;
		known = json_pack("{s:s, s:s}", "name", c->plan->cells[i].ops->name,
				  "variant", c->plan->cells[i].allocator);
		if (json_object_get(kmembench, "allocator_version") != NULL)
			json_object_set(known, "version",
					json_object_get(kmembench, "allocator_version"));
		if (json_object_get(kmembench, "allocator_path") != NULL)
			json_object_set(known, "path",
					json_object_get(kmembench, "allocator_path"));
		json_array_append_new(list, known);
	}
	json_object_set_new(json_object_get(c->context, "kmembench"), "allocators", list);
}

/* A cell's entries, block after block; returns the most blocks that any cell has. */
static unsigned int add_entries(const struct campaign *c, size_t cell, json_t *list,
				unsigned int most)
{
	unsigned int count = 0;

	for (unsigned int b = 0; b < c->blocks_max; b++)
		count += *campaign_slot(c, cell, b) != NULL;
	for (unsigned int b = 0; b < c->blocks_max; b++) {
		json_t *entry = *campaign_slot(c, cell, b);

		if (entry == NULL)
			continue;
		json_object_set_new(entry, "repetitions", json_integer(count));
		json_array_append(list, entry);
	}
	return count > most ? count : most;
}

/* How it was measured, with what was not given filled in. */
static void add_settings(const struct campaign *c, json_t *kmembench, unsigned int blocks)
{
	const struct plan *plan = c->plan;

	json_object_set_new(kmembench, "seed", json_integer((json_int_t)plan->seed));
	json_object_set_new(kmembench, "reps",
			    json_integer(plan->reps != 0 ? plan->reps : blocks));
	json_object_set_new(kmembench, "time_s", json_real(plan_time_s(plan)));
	json_object_set_new(kmembench, "latency_time_s",
			    json_real(plan_latency_time_s(plan)));
	json_object_set_new(kmembench, "memory_time_s",
			    json_real(plan_memory_time_s(plan)));
	json_object_set_new(kmembench, "method",
			    json_string(plan_method_names[plan->method]));
	json_object_set_new(kmembench, "layout",
			    json_string(plan->layout_fixed ? "fixed" : "random"));
	if (plan->reps == 0)
		json_object_set_new(kmembench, "precision_pct",
				    json_real(plan->precision_pct));
	if (plan->baseline != NULL)
		json_object_set_new(kmembench, "baseline", json_string(plan->baseline));
}

json_t *campaign_gather(const struct campaign *c, bool complete)
{
	json_t *list = json_array();
	json_t *kmembench = json_object_get(c->context, "kmembench");
	unsigned int blocks = 0;

	list_allocators(c);
	for (size_t i = 0; i < c->plan->count; i++)
		blocks = add_entries(c, i, list, blocks);
	blow_up_add(list);
	add_settings(c, kmembench, blocks);
	json_object_set_new(kmembench, "complete", json_boolean(complete));
	json_object_set_new(json_object_get(kmembench, "machine"), "simulated_numa",
			    json_boolean(any_simulated(list)));
	if (c->options->shards != 0)
		json_object_set_new(kmembench, "shard",
				    json_pack("{s:i, s:i}", "index",
					      (int)c->options->shard, "count",
					      (int)c->options->shards));
	return json_pack("{s:O, s:o}", "context", c->context, "benchmarks", list);
}
