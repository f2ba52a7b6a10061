/* SPDX-License-Identifier: MIT */
/* The cells of a run, their keys and their order: see plan.h. */
#include "bench/plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kmem/error.h>

#include "bench/cli.h"
#include "workloads/harness/rng_fast.h"

/* Long enough for 40 slices; Google Benchmark wants more to calibrate itself. */
#define TIME_SLICES_S 0.02
#define TIME_PLAIN_S  0.1
#define PRECISION_PCT 1.0

const char *const plan_method_names[] = {"slices", "plain", NULL};

void plan_init(struct plan *plan)
{
	memset(plan, 0, sizeof(*plan));
	plan->skipped = json_array();
	plan->libraries = json_array();
	plan->method = METHOD_SLICES;
	plan->precision_pct = PRECISION_PCT;
	plan->time_s = -1;
	plan->latency_time_s = -1;
	plan->memory_time_s = -1;
	plan->timeout_s = 60;
}

void plan_release(struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++) {
		free(plan->cells[i].allocator);
		free(plan->cells[i].key);
		json_decref(plan->cells[i].params);
		json_decref(plan->cells[i].all_params);
	}
	free(plan->cells);
	json_decref(plan->skipped);
	json_decref(plan->libraries);
	memset(plan, 0, sizeof(*plan));
}

double plan_time_s(const struct plan *plan)
{
	if (plan->time_s >= 0)
		return plan->time_s;
	return plan->method == METHOD_SLICES ? TIME_SLICES_S : TIME_PLAIN_S;
}

double plan_latency_time_s(const struct plan *plan)
{
	return plan->latency_time_s < 0 ? plan_time_s(plan) / 2 : plan->latency_time_s;
}

double plan_memory_time_s(const struct plan *plan)
{
	return plan->memory_time_s < 0 ? plan_latency_time_s(plan) : plan->memory_time_s;
}

double plan_cell_memory_time_s(const struct plan *plan, const struct plan_cell *cell)
{
	return cell->memory_time_s < 0 ? plan_memory_time_s(plan) : cell->memory_time_s;
}

unsigned int plan_blocks_max(const struct plan *plan)
{
	return plan->reps != 0 ? plan->reps : PLAN_BLOCKS_MAX;
}

size_t plan_reference(const struct plan *plan, unsigned int group)
{
	const char *wanted = plan->baseline != NULL ? plan->baseline : "glibc";
	size_t first = SIZE_MAX;

	for (size_t i = 0; i < plan->count; i++) {
		if (plan->cells[i].group != group)
			continue;
		if (strcmp(plan->cells[i].allocator, wanted) == 0)
			return i;
		if (first == SIZE_MAX)
			first = i;
	}
	return first;
}

bool plan_text_is_utf8(const char *text)
{
	json_t *string = json_string(text);

	json_decref(string);
	return string != NULL;
}

int plan_add_library(struct plan *plan, const char *text)
{
	const char *equals = strchr(text, '=');
	char *name, path[4096];
	int err;

	if (equals == NULL || equals == text || equals[1] == '\0') {
		cli_error("cannot add library '%s': write NAME=/path/to/library.so",
			  text);
		return -EINVAL;
	}
	if (realpath(equals + 1, path) == NULL) {
		cli_error("cannot add library '%s': %s", equals + 1, strerror(errno));
		return -EINVAL;
	}
	if (!plan_text_is_utf8(path)) {
		cli_error(
			"cannot add library '%s': results are UTF-8 and its path is not; "
			"rename it",
			path);
		return -EINVAL;
	}
	name = strndup(text, (size_t)(equals - text));
	err = allocator_register_library(name, path);
	if (err != 0)
		cli_error("cannot add library '%s': %s", text, kmem_last_error());
	else
		json_array_append_new(plan->libraries, json_pack("[s, s]", name, path));
	free(name);
	return err;
}

/* Paths are shortened to their last part, unless two cells would then look alike. */
static char *cell_key(const struct plan_cell *cell, bool whole_paths)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	const char *name;
	json_t *value;

	if (out == NULL)
		abort();
	fprintf(out, "%s/%s", cell->workload->name, cell->allocator);
	if (cell->size_bytes != 0)
		fprintf(out, "/size:%llu", (unsigned long long)cell->size_bytes);
	json_object_foreach (cell->params, name, value) {
		const char *shown = json_string_value(value);
		const char *slash = strrchr(shown, '/');

		if (slash != NULL && !whole_paths)
			shown = slash + 1;
		fprintf(out, "/%s:%s", name, shown);
	}
	fprintf(out, "/threads:%u%s", cell->threads, cell->check ? "/check" : "");
	if (fclose(out) != 0)
		abort();
	return text;
}

static const struct plan_cell *find_key(const struct plan *plan, const char *key)
{
	for (size_t i = 0; i < plan->count; i++) {
		if (strcmp(plan->cells[i].key, key) == 0)
			return &plan->cells[i];
	}
	return NULL;
}

/* A cell that several grids name is one cell. */
void plan_add_cell(struct plan *plan, struct plan_cell cell)
{
	const struct plan_cell *twin;

	cell.key = cell_key(&cell, false);
	twin = find_key(plan, cell.key);
	if (twin != NULL && !json_equal(twin->params, cell.params)) {
		free(cell.key);
		cell.key = cell_key(&cell, true);
		twin = find_key(plan, cell.key);
	}
	if (twin != NULL) {
		free(cell.key);
		free(cell.allocator);
		json_decref(cell.params);
		json_decref(cell.all_params);
		return;
	}
	if (plan->count == plan->capacity) {
		plan->capacity = plan->capacity == 0 ? 64 : plan->capacity * 2;
		plan->cells = realloc(plan->cells, plan->capacity * sizeof(*plan->cells));
		if (plan->cells == NULL)
			abort();
	}
	plan->cells[plan->count++] = cell;
}

static uint64_t hash_text(uint64_t hash, const char *text)
{
	for (; *text != '\0'; text++)
		hash = (hash ^ (unsigned char)*text) * 0x100000001b3u;
	return (hash ^ 0xff) * 0x100000001b3u;
}

uint64_t plan_hash(const struct plan *plan)
{
	uint64_t hash = 0xcbf29ce484222325u;
	char settings[512];
	size_t at;
	json_t *library;

	for (size_t i = 0; i < plan->count; i++) {
		/* Defaults and a trace's contents are in no key. */
		char *params = json_dumps(plan->cells[i].all_params,
					  JSON_COMPACT | JSON_SORT_KEYS);

		if (params == NULL)
			abort();
		hash = hash_text(hash_text(hash, plan->cells[i].key), params);
		snprintf(settings, sizeof(settings), "%.9g",
			 plan->cells[i].memory_time_s);
		hash = hash_text(hash, settings);
		free(params);
	}
	json_array_foreach (plan->libraries, at, library) {
		hash = hash_text(hash, json_string_value(json_array_get(library, 1)));
	}
	snprintf(settings, sizeof(settings),
		 "%d %d %u %.9g %d %.9g %.9g %.9g %.9g %llu %s", (int)plan->icount,
		 (int)plan->method, plan->reps, plan->precision_pct,
		 (int)plan->layout_fixed, plan->time_s, plan->latency_time_s,
		 plan->memory_time_s, plan->slice_s, (unsigned long long)plan->ops,
		 plan->baseline != NULL ? plan->baseline : "");
	return hash_text(hash, settings);
}

static uint64_t mix(uint64_t a, uint64_t b, uint64_t c)
{
	struct rng rng = {a ^ b * 0x9e3779b97f4a7c15u ^ c * 0xc2b2ae3d27d4eb4fu};

	/* Readers of JSON may hold numbers as doubles: stay below 2^53. */
	return rng_next(&rng) >> 11;
}

uint64_t plan_draw(const struct plan *plan, uint64_t block, uint64_t purpose)
{
	return mix(plan->seed, block + 1, purpose);
}

json_t *plan_cell_spec(const struct plan *plan, const struct plan_cell *cell,
		       unsigned int block)
{
	/* One seed for a group and block: every allocator does the same operations. */
	uint64_t seed = mix(plan->seed, block + 1, cell->group + 1);

	return json_pack(
		"{s:s, s:O, s:s, s:I, s:I, s:O, s:b, s:f, s:f, s:f, s:I, s:I, s:i}",
		"allocator", cell->allocator, "libraries", plan->libraries, "workload",
		cell->workload->name, "size", (json_int_t)cell->size_bytes, "threads",
		(json_int_t)cell->threads, "params", cell->params, "check",
		(int)cell->check, "time_s", plan_time_s(plan), "latency_time_s",
		plan_latency_time_s(plan), "memory_time_s",
		plan_cell_memory_time_s(plan, cell), "ops", (json_int_t)plan->ops, "seed",
		(json_int_t)seed, "block", (int)block);
}

void plan_block_order(const struct plan *plan, unsigned int block, size_t *order)
{
	struct rng rng = {mix(plan->seed, block + 1, 0)};
	uint32_t *rank = malloc((plan->groups + 1) * sizeof(*rank));
	uint32_t *cells = malloc((plan->count + 1) * sizeof(*cells));
	size_t n = 0;

	if (rank == NULL || cells == NULL)
		abort();
	for (uint32_t g = 0; g < plan->groups; g++)
		rank[g] = g;
	rng_shuffle_u32(&rng, rank, plan->groups);
	for (uint32_t i = 0; i < plan->count; i++)
		cells[i] = i;
	rng_shuffle_u32(&rng, cells, plan->count);
	for (uint32_t g = 0; g < plan->groups; g++) {
		for (size_t i = 0; i < plan->count; i++) {
			if (plan->cells[cells[i]].group == rank[g])
				order[n++] = cells[i];
		}
	}
	free(rank);
	free(cells);
}
