/* SPDX-License-Identifier: MIT */
/* The two ways in which `list` shows a table. */
#ifndef KMEMBENCH_LIST_TABLES_H
#define KMEMBENCH_LIST_TABLES_H

#include <jansson.h>

#include <kmem/options.h>

/* As JSON: new references. all: also those that the self-test alone uses. */
json_t *list_allocators_json(bool all);
json_t *list_workloads_json(void);
json_t *list_metrics_json(void);
/* [{"name", "type", "default", "help", "choices", "min", "max"}] */
json_t *list_options_json(const struct kmem_option_group *groups);

/* As text, from the same objects, to stdout. */
void list_allocators_print(const json_t *allocators);
void list_workloads_print(const json_t *workloads);
void list_metrics_print(const json_t *metrics);
void list_options_print(const json_t *options);
/* A line for each value of each option but the defaults: "NAME:option=value  what it is".
 */
void list_variants_print(const char *allocator, const json_t *options);

#endif /* KMEMBENCH_LIST_TABLES_H */
