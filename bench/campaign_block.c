/* SPDX-License-Identifier: MIT */
/* One block of one group: its processes in rotations, or one after another. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kmem/error.h>

#include "bench/campaign_internal.h"
#include "bench/cli.h"
#include "bench/results.h"
#include "bench/rotation.h"
#include "bench/runner.h"

/* Purposes of plan_draw(), apart from the groups' own seeds. */
#define DRAW_ROUNDS  0x726f756e6473u
#define DRAW_PADDING 0x70616464696eu

/* A failed cell as Google Benchmark writes one, so that its readers pass over it. */
static json_t *failed_entry(const struct plan_cell *cell, const char *reason)
{
	return json_pack("{s:s, s:i, s:b, s:s, s:i, s:f, s:f, s:s, "
			 "s:{s:s, s:s, s:s, s:s, s:s, s:O, s:i}}",
			 "run_type", "iteration", "threads", (int)cell->threads,
			 "error_occurred", 1, "error_message", reason, "iterations", 0,
			 "real_time", 0.0, "cpu_time", 0.0, "time_unit", "ns",
			 "kmembench", "status", "failed", "error", reason, "allocator",
			 cell->allocator, "allocator_name", cell->ops->name, "workload",
			 cell->workload->name, "params", cell->all_params, "threads",
			 (int)cell->threads);
}

/* Names and numbers that the cell's own process does not know. */
static void complete_entry(const struct campaign *c, json_t *entry, size_t index,
			   unsigned int block)
{
	const struct plan_cell *cell = &c->plan->cells[index];
	json_t *kmembench = json_object_get(entry, "kmembench");

	json_object_set_new(entry, "name", json_string(cell->key));
	json_object_set_new(entry, "run_name", json_string(cell->key));
	json_object_set_new(entry, "family_index", json_integer(cell->group));
	json_object_set_new(entry, "per_family_instance_index",
			    json_integer((json_int_t)index));
	json_object_set_new(entry, "repetition_index", json_integer(block));
	json_object_set_new(kmembench, "schema_version",
			    json_integer(RESULTS_SCHEMA_VERSION));
	json_object_set_new(kmembench, "cell_key", json_string(cell->key));
	json_object_set_new(kmembench, "block", json_integer(block));
	json_object_set_new(kmembench, "allocator_options_given",
			    json_string(strchr(cell->allocator, ':') != NULL
						? strchr(cell->allocator, ':') + 1
						: ""));
}

/* Takes over what a process brought home. */
static void keep_entry(struct campaign *c, size_t index, unsigned int block,
		       json_t *entry)
{
	const struct plan_cell *cell = &c->plan->cells[index];

	if (json_object_get(entry, "status") != NULL) {
		const char *reason = json_string_value(json_object_get(entry, "error"));
		json_t *failed = failed_entry(cell, reason != NULL ? reason
								   : "no reason given");

		json_decref(entry);
		entry = failed;
		c->failed[index] = true;
	}
	complete_entry(c, entry, index, block);
	*campaign_slot(c, index, block) = entry;
}

static struct process_layout layout_of(const struct campaign *c, size_t cell,
				       unsigned int block)
{
	return (struct process_layout){
		.fixed = c->plan->layout_fixed,
		.padding_bytes = (unsigned int)(plan_draw(c->plan, block,
							  DRAW_PADDING ^ (cell << 48)) %
						4096),
	};
}

/* Memory that the machine can give away now; 0 when it does not say. */
static uint64_t available_bytes(void)
{
	FILE *file = fopen("/proc/meminfo", "re");
	unsigned long long kb = 0;
	char line[128];

	if (file == NULL)
		return 0;
	while (fgets(line, sizeof(line), file) != NULL) {
		if (sscanf(line, "MemAvailable: %llu kB", &kb) == 1)
			break;
	}
	fclose(file);
	return (uint64_t)kb << 10;
}

/* The cells of a block that still take part, and how they are spread over rotations. */
struct block_cells {
	size_t *cell; /* of the plan */
	unsigned int *rotation;
	size_t count, reference; /* reference: a position */
	unsigned int rotations, capacity;
};

static void choose_cells(const struct campaign *c, const size_t *order, size_t count,
			 struct block_cells *b)
{
	const struct plan_cell *first = &c->plan->cells[order[0]];
	size_t reference = plan_reference(c->plan, first->group);

	b->cell = calloc(count + 1, sizeof(*b->cell));
	b->rotation = calloc(count + 1, sizeof(*b->rotation));
	if (b->cell == NULL || b->rotation == NULL)
		abort();
	b->count = b->reference = 0;
	for (size_t i = 0; i < count; i++) {
		if (c->failed[order[i]])
			continue;
		/* Where the reference has failed, the first one takes its place. */
		if (order[i] == reference)
			b->reference = b->count;
		b->cell[b->count++] = order[i];
	}
	if (c->plan->method == METHOD_PLAIN || b->count == 0)
		return;
	b->capacity = rotation_capacity(first->footprint_bytes, available_bytes());
	b->rotations = rotation_assign(b->count, b->reference, b->capacity, b->rotation);
}

static void add_member(struct campaign *c, struct rotation *r, size_t cell,
		       unsigned int block, bool slices_only)
{
	struct rotation_member *m = &r->members[r->count++];

	*m = (struct rotation_member){
		.spec = plan_cell_spec(c->plan, &c->plan->cells[cell], block),
		.layout = layout_of(c, cell, block),
		.slices_only = slices_only,
	};
}

/* One rotation of the block. False when interrupted. */
static bool run_rotation(struct campaign *c, const struct block_cells *b,
			 unsigned int number, unsigned int block)
{
	const struct plan_cell *reference = &c->plan->cells[b->cell[b->reference]];
	const struct rotation_settings settings = {
		.time_s = plan_time_s(c->plan),
		.slice_s = c->plan->slice_s,
		.ops = c->plan->ops,
		.threads = reference->threads,
		.timeout_s = c->plan->timeout_s,
		.footprint_bytes = reference->footprint_bytes,
		.cpu = c->cpu,
		.seed = plan_draw(c->plan, block, DRAW_ROUNDS + reference->group),
	};
	struct rotation r = {
		.settings = &settings,
		.number = number,
		.reference_name = reference->allocator,
		.members = calloc(b->count + 1, sizeof(*r.members)),
	};
	size_t *cell = calloc(b->count + 1, sizeof(*cell));
	bool whole;

	if (r.members == NULL || cell == NULL)
		abort();
	for (size_t i = 0; i < b->count; i++) {
		bool along = i == b->reference && number > 0 && b->capacity > 1;

		if (b->rotation[i] != number && !along)
			continue;
		if (i == b->reference)
			r.reference = r.count;
		cell[r.count] = b->cell[i];
		add_member(c, &r, b->cell[i], block, along);
	}
	whole = rotation_run(&r);
	for (size_t i = 0; i < r.count; i++) {
		if (r.members[i].entry != NULL)
			keep_entry(c, cell[i], block, r.members[i].entry);
		json_decref(r.members[i].spec);
	}
	free(r.members);
	free(cell);
	return whole;
}

static bool run_plain(struct campaign *c, size_t cell, unsigned int block)
{
	struct process_layout layout = layout_of(c, cell, block);
	json_t *spec = plan_cell_spec(c->plan, &c->plan->cells[cell], block);
	json_t *entry = runner_run_cell(spec, &layout, c->plan->timeout_s);

	json_decref(spec);
	if (entry == NULL)
		return false;
	keep_entry(c, cell, block, entry);
	return true;
}

static void report_block(struct campaign *c, const struct block_cells *b,
			 unsigned int block)
{
	for (size_t i = 0; i < b->count; i++) {
		json_t *entry = *campaign_slot(c, b->cell[i], block);

		progress_done(&c->progress, c->plan->cells[b->cell[i]].key, block,
			      json_number_value(json_object_get(entry, "real_time")),
			      json_string_value(json_object_get(entry, "error_message")));
	}
}

/* What an interrupted block has done so far is dropped: a block counts whole. */
static void drop_block(struct campaign *c, const struct block_cells *b,
		       unsigned int block)
{
	for (size_t i = 0; i < b->count; i++) {
		json_t **slot = campaign_slot(c, b->cell[i], block);

		json_decref(*slot);
		*slot = NULL;
	}
}

bool campaign_run_block(struct campaign *c, const size_t *order, size_t count,
			unsigned int block)
{
	struct block_cells b = {0};
	bool whole = true;

	choose_cells(c, order, count, &b);
	if (b.count > 0)
		progress_cell(&c->progress, c->plan->cells[b.cell[b.reference]].key,
			      block);
	if (c->plan->method == METHOD_PLAIN) {
		for (size_t i = 0; whole && i < b.count; i++) {
			progress_cell(&c->progress, c->plan->cells[b.cell[i]].key, block);
			whole = !runner_interrupted && run_plain(c, b.cell[i], block);
		}
	} else {
		for (unsigned int n = 0; whole && b.count > 0 && n < b.rotations; n++)
			whole = run_rotation(c, &b, n, block);
	}
	if (whole)
		report_block(c, &b, block);
	else
		drop_block(c, &b, block);
	free(b.cell);
	free(b.rotation);
	return whole;
}
