/* SPDX-License-Identifier: MIT */
/* From lists to cells: see plan.h. */
#include "bench/plan.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kmem/error.h>

#include "bench/cli.h"
#include "bench/lists.h"
#include "bench/params.h"
#include "workloads/harness/rng_fast.h"

#define THREADS_MAX 4096

/* A grid while it is taken apart: one workload with one assignment of parameters. */
struct expansion {
	struct plan *plan;
	const struct grid *grid;
	const struct workload_ops *workload;
	void *config;	/* the workload's parameters */
	json_t *params; /* as strings */
	enum touch_rule touch;
	struct string_list allocators;
	size_t added;	   /* cells of this workload */
	char refused[512]; /* why its last impossible combination was left out */
};

void plan_init(struct plan *plan)
{
	memset(plan, 0, sizeof(*plan));
	plan->skipped = json_array();
	plan->libraries = json_array();
	plan->reps = 10;
	plan->time_s = 0.1;
	plan->latency_time_s = -1;
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
	char text[2048];
	size_t n;
	const char *name;
	json_t *value;

	n = (size_t)snprintf(text, sizeof(text), "%s/%s", cell->workload->name,
			     cell->allocator);
	if (cell->size_bytes != 0)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "/size:%llu",
				      (unsigned long long)cell->size_bytes);
	json_object_foreach (cell->params, name, value) {
		const char *shown = json_string_value(value);
		const char *slash = strrchr(shown, '/');

		if (slash != NULL && !whole_paths)
			shown = slash + 1;
		if (n < sizeof(text))
			n += (size_t)snprintf(text + n, sizeof(text) - n, "/%s:%s", name,
					      shown);
	}
	if (n < sizeof(text))
		snprintf(text + n, sizeof(text) - n, "/threads:%u%s", cell->threads,
			 cell->check ? "/check" : "");
	return strdup(text);
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
static void add_cell(struct plan *plan, struct plan_cell cell)
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

static bool already_skipped(const struct plan *plan, const char *name)
{
	size_t i;
	json_t *entry;

	json_array_foreach (plan->skipped, i, entry) {
		if (strcmp(json_string_value(json_object_get(entry, "allocator")),
			   name) == 0)
			return true;
	}
	return false;
}

/* False, with one message an allocator, when its library is not here. */
static bool allocator_is_here(struct plan *plan, const struct allocator_ops *ops)
{
	if (ops->available == NULL || ops->available(ops) == 0)
		return true;
	if (!already_skipped(plan, ops->name)) {
		const char *reason = kmem_last_error();

		cli_warn("skipping allocator '%s': %s", ops->name, reason);
		json_array_append_new(
			plan->skipped,
			json_pack("{s:s, s:s, s:s}", "allocator", ops->name, "package",
				  ops->package ? ops->package : "", "reason", reason));
	}
	return false;
}

static int refuse(const char *fmt, ...) KMEM_PRINTF(1, 2);
static int refuse(const char *fmt, ...)
{
	char text[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	cli_error("cannot plan the run: %s", text);
	return -EINVAL;
}

static enum touch_rule touch_rule(enum touch_rule given,
				  const struct workload_ops *workload)
{
	if (given != TOUCH_DEFAULT)
		return given;
	return workload->default_touch != TOUCH_DEFAULT ? workload->default_touch
							: TOUCH_NONE;
}

/* All allocators for one size and thread count: a group. */
static int expand_allocators(struct expansion *x, uint64_t size, unsigned int threads)
{
	struct workload_run run = {
		.workload = x->workload,
		.params = x->config,
		.size_bytes = size,
		.threads = threads,
		.touch = touch_rule(x->touch, x->workload),
		.check = x->grid->check,
	};
	size_t before = x->plan->count;

	for (size_t i = 0; i < x->allocators.count; i++) {
		const struct allocator_ops *ops;
		uint64_t needed = x->workload->caps | (run.check ? CAP_DISTINCT : 0);

		if (allocator_spec_check(x->allocators.item[i], &ops) != 0)
			return refuse("%s", kmem_last_error());
		if (workload_validate(&run, ops) != 0) {
			/* A missing capability is a mistake in the grid; a size or a
			 * count that this workload cannot have is left out. */
			if ((needed & ~ops->caps) != 0)
				return refuse("%s", kmem_last_error());
			snprintf(x->refused, sizeof(x->refused), "%s", kmem_last_error());
			cli_warn(
				"leaving out %s on %s with size %llu and %u thread%s: %s",
				x->workload->name, x->allocators.item[i],
				(unsigned long long)size, threads,
				threads == 1 ? "" : "s", x->refused);
			continue;
		}
		x->added++;
		if (!allocator_is_here(x->plan, ops))
			continue;
		add_cell(x->plan, (struct plan_cell){
					  .allocator = strdup(x->allocators.item[i]),
					  .ops = ops,
					  .workload = x->workload,
					  .size_bytes = size,
					  .threads = threads,
					  .params = json_deep_copy(x->params),
					  .all_params = params_json(&run),
					  .check = x->grid->check,
					  .group = x->plan->groups,
				  });
	}
	if (x->plan->count != before)
		x->plan->groups++;
	return 0;
}

/* replay takes its thread count from the trace: default_threads is NULL then. */
static int expand_sizes_and_threads(struct expansion *x)
{
	static const uint64_t none = 0;
	const char *size_text = x->grid->sizes != NULL ? x->grid->sizes
						       : x->workload->default_sizes;
	const char *thread_text = x->grid->threads != NULL ? x->grid->threads
				  : x->workload->default_threads != NULL
					  ? x->workload->default_threads
					  : "1";
	uint64_t *sizes = NULL, *threads = NULL;
	size_t nr_sizes = 1, nr_threads = 0;
	int err = 0;

	if (x->workload->default_sizes != NULL &&
	    list_numbers(size_text, "size", &sizes, &nr_sizes) != 0)
		return refuse("%s", kmem_last_error());
	if (list_numbers(thread_text, "thread count", &threads, &nr_threads) != 0)
		err = refuse("%s", kmem_last_error());
	for (size_t t = 0; err == 0 && t < nr_threads; t++) {
		if (threads[t] > THREADS_MAX) {
			err = refuse("%llu threads are too many: at most %d",
				     (unsigned long long)threads[t], THREADS_MAX);
			break;
		}
		for (size_t s = 0; err == 0 && s < nr_sizes; s++)
			err = expand_allocators(x, sizes != NULL ? sizes[s] : none,
						(unsigned int)threads[t]);
	}
	free(sizes);
	free(threads);
	return err;
}

/* Sets one parameter in the expansion; touch is everybody's. */
static int assign(struct expansion *x, const char *name, const char *value)
{
	json_object_set_new(x->params, name, json_string(value));
	if (strcmp(name, "touch") == 0) {
		for (int i = 0; touch_rule_names[i] != NULL; i++) {
			if (strcmp(touch_rule_names[i], value) == 0) {
				x->touch = (enum touch_rule)i;
				return 0;
			}
		}
		return refuse(
			"unknown touch rule '%s': it is none, ends, pages, full or default",
			value);
	}
	if (kmem_options_set(x->workload->params, name, value, x->config) != 0)
		return refuse("workload '%s': %s", x->workload->name, kmem_last_error());
	return 0;
}

/* Every combination of the values of lists, depth first. */
static int expand_params(struct expansion *x, json_t *lists, void *iter)
{
	struct string_list values;
	const char *name;
	int err = 0;

	if (iter == NULL)
		return expand_sizes_and_threads(x);
	name = json_object_iter_key(iter);
	if (list_split(json_string_value(json_object_iter_value(iter)), &values) != 0)
		return refuse("parameter '%s': %s", name, kmem_last_error());
	for (size_t i = 0; err == 0 && i < values.count; i++) {
		err = assign(x, name, values.item[i]);
		if (err == 0)
			err = expand_params(x, lists, json_object_iter_next(lists, iter));
	}
	string_list_release(&values);
	return err;
}

struct name_search {
	const char *name;
	bool found;
};

static int match_option(const struct kmem_option *option, size_t base, void *arg)
{
	struct name_search *search = arg;

	(void)base;
	search->found = search->found || strcmp(option->name, search->name) == 0;
	return 0;
}

static bool workload_has_param(const struct workload_ops *workload, const char *name)
{
	struct name_search search = {name, strcmp(name, "touch") == 0};

	kmem_options_each(workload->params, match_option, &search);
	return search.found;
}

/* The parameters that concern this workload: the grid's, then its own after the ':'. */
static json_t *params_of(const struct grid *grid, const struct workload_ops *workload,
			 const char *own)
{
	json_t *lists = json_object();
	const char *name;
	json_t *value;
	struct string_list pieces;

	if (grid->touch != NULL)
		json_object_set_new(lists, "touch", json_string(grid->touch));
	json_object_foreach (grid->params, name, value) {
		if (workload_has_param(workload, name))
			json_object_set(lists, name, value);
	}
	if (own != NULL && list_split(own, &pieces) == 0) {
		for (size_t i = 0; i < pieces.count; i++) {
			char *equals = strchr(pieces.item[i], '=');

			if (equals != NULL)
				*equals = '\0';
			json_object_set_new(
				lists, pieces.item[i],
				json_string(equals != NULL ? equals + 1 : "on"));
		}
		string_list_release(&pieces);
	}
	return lists;
}

static int expand_workload(struct plan *plan, const struct grid *grid, const char *spec,
			   const struct string_list *allocators)
{
	struct expansion x = {.plan = plan, .grid = grid, .allocators = *allocators};
	const char *colon = strchr(spec, ':');
	char *name = colon != NULL ? strndup(spec, (size_t)(colon - spec)) : strdup(spec);
	json_t *lists;
	int err;

	x.workload = workload_find(name);
	free(name);
	if (x.workload == NULL)
		return refuse("%s", kmem_last_error());
	x.config = calloc(1, x.workload->params_size + 1);
	x.params = json_object();
	lists = params_of(grid, x.workload, colon != NULL ? colon + 1 : NULL);
	err = kmem_options_defaults(x.workload->params, x.config);
	if (err == 0)
		err = expand_params(&x, lists, json_object_iter(lists));
	if (err == 0 && x.added == 0)
		err = refuse("nothing is left of workload '%s': %s", x.workload->name,
			     x.refused);
	kmem_options_release(x.workload->params, x.config);
	free(x.config);
	json_decref(x.params);
	json_decref(lists);
	return err;
}

/* A parameter that none of the workloads has is a typing error. */
static int check_params_known(const struct grid *grid,
			      const struct string_list *workloads)
{
	const char *name;
	json_t *value;

	json_object_foreach (grid->params, name, value) {
		bool known = false;

		for (size_t i = 0; i < workloads->count && !known; i++) {
			char *bare = strndup(workloads->item[i],
					     strcspn(workloads->item[i], ":"));
			const struct workload_ops *workload = workload_find(bare);

			free(bare);
			known = workload != NULL && workload_has_param(workload, name);
		}
		if (!known)
			return refuse("no workload that was named has a parameter '%s'; "
				      "'kmembench list options WORKLOAD' shows them",
				      name);
	}
	return 0;
}

int plan_add_grid(struct plan *plan, const struct grid *grid)
{
	struct string_list allocators, workloads;
	int err = 0;

	if (list_split_specs(grid->allocators, &allocators) != 0)
		return refuse("%s", kmem_last_error());
	if (list_split_specs(grid->workloads, &workloads) != 0) {
		string_list_release(&allocators);
		return refuse("%s", kmem_last_error());
	}
	for (size_t i = 0; err == 0 && i < allocators.count; i++) {
		if (allocator_spec_check(allocators.item[i], NULL) != 0)
			err = refuse("%s", kmem_last_error());
	}
	for (size_t i = 0; err == 0 && i < workloads.count; i++) {
		char *bare = strndup(workloads.item[i], strcspn(workloads.item[i], ":"));

		if (workload_find(bare) == NULL)
			err = refuse("%s", kmem_last_error());
		free(bare);
	}
	if (err == 0)
		err = check_params_known(grid, &workloads);
	for (size_t i = 0; err == 0 && i < workloads.count; i++)
		err = expand_workload(plan, grid, workloads.item[i], &allocators);
	string_list_release(&allocators);
	string_list_release(&workloads);
	return err;
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
	char settings[256];

	for (size_t i = 0; i < plan->count; i++)
		hash = hash_text(hash, plan->cells[i].key);
	snprintf(settings, sizeof(settings), "%u %.9g %.9g %llu", plan->reps,
		 plan->time_s, plan->latency_time_s, (unsigned long long)plan->ops);
	return hash_text(hash, settings);
}

static uint64_t mix(uint64_t a, uint64_t b, uint64_t c)
{
	struct rng rng = {a ^ b * 0x9e3779b97f4a7c15u ^ c * 0xc2b2ae3d27d4eb4fu};

	/* Readers of JSON may hold numbers as doubles: stay below 2^53. */
	return rng_next(&rng) >> 11;
}

json_t *plan_cell_spec(const struct plan *plan, const struct plan_cell *cell,
		       unsigned int block)
{
	/* One seed for a group and block: every allocator does the same operations. */
	uint64_t seed = mix(plan->seed, block + 1, cell->group + 1);
	double latency = plan->latency_time_s < 0 ? plan->time_s / 2
						  : plan->latency_time_s;

	return json_pack("{s:s, s:O, s:s, s:I, s:I, s:O, s:b, s:f, s:f, s:I, s:I, s:i}",
			 "allocator", cell->allocator, "libraries", plan->libraries,
			 "workload", cell->workload->name, "size",
			 (json_int_t)cell->size_bytes, "threads",
			 (json_int_t)cell->threads, "params", cell->params, "check",
			 (int)cell->check, "time_s", plan->time_s, "latency_time_s",
			 latency, "ops", (json_int_t)plan->ops, "seed", (json_int_t)seed,
			 "block", (int)block);
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
