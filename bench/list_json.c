/* SPDX-License-Identifier: MIT */
/* `list`: the program's own tables as JSON. */
#include "bench/list_tables.h"

#include "bench/metrics.h"
#include "workloads/workload.h"
#include <kmem/allocator.h>
#include <kmem/error.h>

static json_t *string_or_null(const char *s)
{
	return s != NULL ? json_string(s) : json_null();
}

static json_t *capabilities_json(uint64_t caps)
{
	json_t *names = json_array();
	const char *name;

	for (unsigned int bit = 0; (name = allocator_capability_name(bit)) != NULL;
	     bit++) {
		if ((caps >> bit & 1) != 0)
			json_array_append_new(names, json_string(name));
	}
	return names;
}

/* --- options --- */

static json_t *choices_json(const struct kmem_option *option)
{
	static const char *const on_off[] = {"on", "off", NULL};
	const char *const *choice = option->type == KMEM_OPT_BOOL ? on_off
								  : option->choices;
	json_t *names = json_array();

	for (; choice != NULL && *choice != NULL; choice++)
		json_array_append_new(names, json_string(*choice));
	return names;
}

static int append_option(const struct kmem_option *option, size_t base, void *arg)
{
	static const char *const types[] = {
		[KMEM_OPT_BOOL] = "bool",   [KMEM_OPT_UINT] = "uint",
		[KMEM_OPT_SIZE] = "size",   [KMEM_OPT_FLOAT] = "float",
		[KMEM_OPT_ENUM] = "choice", [KMEM_OPT_STRING] = "string",
	};
	json_t *entry = json_object();

	(void)base;
	json_object_set_new(entry, "name", json_string(option->name));
	json_object_set_new(entry, "type", json_string(types[option->type]));
	json_object_set_new(entry, "default",
			    json_string(option->initial != NULL ? option->initial : ""));
	json_object_set_new(entry, "help",
			    json_string(option->help != NULL ? option->help : ""));
	json_object_set_new(entry, "choices", choices_json(option));
	/* A bound that is not there is absent. */
	if (option->min != 0)
		json_object_set_new(entry, "min", json_integer((json_int_t)option->min));
	if (option->max != 0)
		json_object_set_new(entry, "max", json_integer((json_int_t)option->max));
	json_array_append_new(arg, entry);
	return 0;
}

json_t *list_options_json(const struct kmem_option_group *groups)
{
	json_t *options = json_array();

	kmem_options_each(groups, append_option, options);
	return options;
}

/* --- allocators --- */

static json_t *allocator_json(const struct allocator_ops *ops)
{
	bool available = ops->available == NULL || ops->available(ops) == 0;
	json_t *entry = json_object();

	json_object_set_new(entry, "name", json_string(ops->name));
	json_object_set_new(entry, "available", json_boolean(available));
	if (!available)
		json_object_set_new(entry, "reason", json_string(kmem_last_error()));
	json_object_set_new(entry, "description", json_string(ops->description));
	json_object_set_new(entry, "package", string_or_null(ops->package));
	json_object_set_new(entry, "library", string_or_null(ops->library));
	json_object_set_new(entry, "capabilities", capabilities_json(ops->caps));
	if (ops->size_max_bytes != 0)
		json_object_set_new(entry, "size_max_bytes",
				    json_integer((json_int_t)ops->size_max_bytes));
	json_object_set_new(entry, "options", list_options_json(ops->options));
	return entry;
}

json_t *list_allocators_json(bool all)
{
	json_t *list = json_array();
	const struct allocator_ops *ops;

	for (size_t i = 0; (ops = allocator_at(i)) != NULL; i++) {
		if (all || !ops->hidden)
			json_array_append_new(list, allocator_json(ops));
	}
	return list;
}

/* --- workloads --- */

static json_t *workload_json(const struct workload_ops *ops)
{
	json_t *entry = json_object();

	json_object_set_new(entry, "name", json_string(ops->name));
	json_object_set_new(entry, "description", json_string(ops->description));
	json_object_set_new(entry, "stresses", json_string(ops->stresses));
	json_object_set_new(entry, "not_for", json_string(ops->not_for));
	json_object_set_new(entry, "source", json_string(ops->source));
	json_object_set_new(entry, "op", json_string(ops->op));
	json_object_set_new(entry, "capabilities", capabilities_json(ops->caps));
	json_object_set_new(entry, "params", list_options_json(ops->params));
	json_object_set_new(entry, "default_sizes", string_or_null(ops->default_sizes));
	json_object_set_new(entry, "default_threads", json_string(ops->default_threads));
	json_object_set_new(entry, "default_touch",
			    json_string(touch_rule_names[ops->default_touch]));
	if (ops->size_min_bytes != 0)
		json_object_set_new(entry, "size_min_bytes",
				    json_integer((json_int_t)ops->size_min_bytes));
	if (ops->size_max_bytes != 0)
		json_object_set_new(entry, "size_max_bytes",
				    json_integer((json_int_t)ops->size_max_bytes));
	return entry;
}

json_t *list_workloads_json(void)
{
	json_t *all = json_array();
	const struct workload_ops *ops;

	for (size_t i = 0; (ops = workload_at(i)) != NULL; i++)
		json_array_append_new(all, workload_json(ops));
	return all;
}

/* --- metrics --- */

json_t *list_metrics_json(void)
{
	json_t *all = json_array();
	const struct metric *m;

	for (size_t i = 0; (m = metric_at(i)) != NULL; i++)
		json_array_append_new(all, json_pack("{s:s, s:s, s:s, s:s}", "name",
						     m->name, "unit", m->unit, "better",
						     metric_better_name(m->better),
						     "definition", m->definition));
	return all;
}
