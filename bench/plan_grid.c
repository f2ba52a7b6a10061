/* SPDX-License-Identifier: MIT */
/* A grid of lists taken apart into cells: plan_add_grid(). */
#include "bench/plan.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kmem/error.h>

#include "bench/cli.h"
#include "bench/lists.h"
#include "bench/params.h"

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

static uint64_t footprint(const struct workload_run *run)
{
	if (run->workload->footprint != NULL)
		return run->workload->footprint(run);
	return workload_size_max(run) * run->threads;
}

/* Size 0: the workload draws its own. */
static void warn_left_out(const struct expansion *x, const char *allocator, uint64_t size,
			  unsigned int threads)
{
	char with_size[40] = "";

	if (size != 0)
		snprintf(with_size, sizeof(with_size), "size %" PRIu64 " and ", size);
	cli_warn("leaving out %s on %s with %s%u thread%s: %s", x->workload->name,
		 allocator, with_size, threads, threads == 1 ? "" : "s", x->refused);
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
			warn_left_out(x, x->allocators.item[i], size, threads);
			continue;
		}
		x->added++;
		if (!allocator_is_here(x->plan, ops))
			continue;
		plan_add_cell(x->plan,
			      (struct plan_cell){
				      .allocator = strdup(x->allocators.item[i]),
				      .ops = ops,
				      .workload = x->workload,
				      .size_bytes = size,
				      .threads = threads,
				      .params = json_deep_copy(x->params),
				      .all_params = params_json(&run),
				      .check = x->grid->check,
				      .memory_time_s = x->grid->memory_time_s != NULL
							       ? *x->grid->memory_time_s
							       : -1,
				      .group = x->plan->groups,
				      .footprint_bytes = footprint(&run),
				      .idle_s = x->workload->idle_s != NULL
							? x->workload->idle_s(&run)
							: 0,
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

bool plan_has_param(const char *workloads, const char *name)
{
	struct string_list list;
	bool known = false;

	if (list_split_specs(workloads, &list) != 0)
		return false;
	for (size_t i = 0; i < list.count && !known; i++) {
		const struct workload_ops *workload;

		list.item[i][strcspn(list.item[i], ":")] = '\0';
		workload = workload_find(list.item[i]);
		known = workload != NULL && workload_has_param(workload, name);
	}
	string_list_release(&list);
	return known;
}

/* A parameter that none of the workloads has is a typing error. */
static int check_params_known(const struct grid *grid)
{
	const char *name;
	json_t *value;

	json_object_foreach (grid->params, name, value) {
		if (!plan_has_param(grid->workloads, name))
			return refuse("no workload that was named has a parameter '%s'; "
				      "'kmembench list options WORKLOAD' shows them",
				      name);
	}
	return 0;
}

/* Sizes that nobody takes may be meant for one who does not. */
static void warn_of_unused_sizes(const struct grid *grid,
				 const struct string_list *workloads)
{
	if (grid->sizes == NULL)
		return;
	for (size_t i = 0; i < workloads->count; i++) {
		char *bare = strndup(workloads->item[i],
				     strcspn(workloads->item[i], ":"));
		const struct workload_ops *workload = workload_find(bare);

		free(bare);
		if (workload == NULL || workload->default_sizes != NULL)
			return;
	}
	cli_warn("sizes '%s' are ignored: '%s' draws its own, by its parameters; "
		 "'kmembench list options' shows them",
		 grid->sizes, grid->workloads);
}

int plan_add_grid(struct plan *plan, const struct grid *grid)
{
	const char *texts[] = {grid->allocators, grid->workloads, grid->sizes,
			       grid->threads, grid->touch};
	struct string_list allocators, workloads;
	int err = 0;

	for (size_t i = 0; i < KMEM_ARRAY_SIZE(texts); i++) {
		if (texts[i] != NULL && !plan_text_is_utf8(texts[i]))
			return refuse("'%s' is not valid UTF-8", texts[i]);
	}
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
		err = check_params_known(grid);
	if (err == 0)
		warn_of_unused_sizes(grid, &workloads);
	for (size_t i = 0; err == 0 && i < workloads.count; i++)
		err = expand_workload(plan, grid, workloads.item[i], &allocators);
	string_list_release(&allocators);
	string_list_release(&workloads);
	return err;
}
