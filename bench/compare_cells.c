/* SPDX-License-Identifier: MIT */
/* Gathers the entries of a results file into cells. */
#include "bench/compare_cells.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/metrics.h"
#include "bench/results.h"
#include "bench/slices.h"
#include <kmem/error.h>

static int no_memory(void)
{
	return kmem_error(-ENOMEM, "no memory to gather the results");
}

/* Position of a cell in the index: the key cannot hold a line break by accident. */
static char *index_name(const char *key, const char *allocator)
{
	char *name;

	return asprintf(&name, "%s\n%s", key, allocator) < 0 ? NULL : name;
}

const struct measured_cell *cell_set_find(const struct cell_set *set, const char *key,
					  const char *allocator)
{
	char *name = index_name(key, allocator);
	const json_t *position = name != NULL ? json_object_get(set->index, name) : NULL;

	free(name);
	return position != NULL ? &set->cells[json_integer_value(position)] : NULL;
}

/*
 * A cell that failed may have recorded fewer of its parameters than it does when all goes
 * well; its name is then what tells where it belongs.
 */
static struct measured_cell *find_cell(struct cell_set *set,
				       const struct result_entry *entry, const char *key)
{
	const json_t *position = json_object_get(set->index, entry->name);

	if (position != NULL)
		return &set->cells[json_integer_value(position)];
	return (struct measured_cell *)cell_set_find(set, key, entry->allocator);
}

/*
 * "pair/slab/size:64/threads:2" without the allocator; the whole name where it is built
 * another way.
 */
static char *make_label(const struct result_entry *entry)
{
	size_t workload = strlen(entry->workload), allocator = strlen(entry->allocator);
	const char *rest = entry->name + workload;
	char *label;

	if (strncmp(entry->name, entry->workload, workload) != 0 || *rest != '/' ||
	    strncmp(rest + 1, entry->allocator, allocator) != 0 ||
	    (rest[1 + allocator] != '/' && rest[1 + allocator] != '\0'))
		return strdup(entry->name);
	if (asprintf(&label, "%s%s", entry->workload, rest + 1 + allocator) < 0)
		return NULL;
	return label;
}

/* Takes over the key. NULL when memory is short. */
static struct measured_cell *add_cell(struct cell_set *set, char *key,
				      const struct result_entry *entry)
{
	char *name = index_name(key, entry->allocator), *label = make_label(entry);
	struct measured_cell *cells = set->cells;
	int failed = 1;

	if (set->count == set->capacity) {
		set->capacity = set->capacity == 0 ? 64 : 2 * set->capacity;
		cells = realloc(set->cells, set->capacity * sizeof(*cells));
		if (cells != NULL)
			set->cells = cells;
	}
	if (name != NULL && label != NULL && cells != NULL)
		failed = json_object_set_new(set->index, name,
					     json_integer((json_int_t)set->count));
	free(name);
	if (failed) {
		free(key);
		free(label);
		return NULL;
	}
	cells[set->count] = (struct measured_cell){
		.key = key,
		.label = label,
		.allocator = entry->allocator,
		.workload = entry->workload,
		.op = json_string_value(json_object_get(entry->kmembench, "op")),
		.params = json_object_get(entry->kmembench, "params"),
		.threads = entry->threads,
	};
	return &cells[set->count++];
}

static int add_figure(struct measured_cell *cell, int block, double value,
		      const json_t *entry)
{
	struct figure *figures = cell->figures;
	size_t at = cell->count;

	/* Grown at powers of two: there are few blocks, and many cells. */
	if ((cell->count & (cell->count - 1)) == 0) {
		size_t capacity = cell->count == 0 ? 1 : 2 * cell->count;

		figures = realloc(figures, capacity * sizeof(*figures));
		if (figures == NULL)
			return no_memory();
		cell->figures = figures;
	}
	while (at > 0 && figures[at - 1].block > block) {
		figures[at] = figures[at - 1];
		at--;
	}
	if (at > 0 && figures[at - 1].block == block)
		return kmem_error(-EINVAL, "'%s' of '%s' is there twice for block %d",
				  cell->key, cell->allocator, block);
	figures[at] = (struct figure){block, value, entry};
	cell->count++;
	return 0;
}

/* Totals of the timed region compare only per operation. */
static bool figure_of(const struct result_entry *entry, const char *metric, double *value)
{
	double iterations;

	if (!result_metric(entry, metric, value))
		return false;
	if (metric_is_total(metric)) {
		if (!result_metric(entry, "iterations", &iterations) || iterations <= 0)
			return false;
		*value /= iterations;
	}
	return true;
}

static int add_entry(struct cell_set *set, const struct result_entry *entry,
		     const char *metric)
{
	char *key = result_comparison_key(entry);
	struct measured_cell *cell;
	double value;

	if (key == NULL)
		return no_memory();
	cell = find_cell(set, entry, key);
	if (cell != NULL)
		free(key);
	else
		cell = add_cell(set, key, entry);
	if (cell == NULL || json_object_set_new(set->index, entry->name,
						json_integer(cell - set->cells)) != 0)
		return no_memory();
	if (result_entry_ok(entry)) {
		if (figure_of(entry, metric, &value))
			return add_figure(cell, entry->block, value, entry->json);
		if (cell->reason == NULL)
			cell->reason = json_string_value(json_object_get(
				json_object_get(entry->kmembench, "counters_absent"),
				metric));
		return 0;
	}
	if (strcmp(entry->status, "skipped") == 0)
		cell->skipped++;
	else
		cell->failed++;
	if (cell->reason == NULL)
		cell->reason = result_entry_reason(entry);
	return 0;
}

int cell_set_gather(const json_t *file, const char *metric, struct cell_set *set)
{
	const json_t *json;
	size_t i;

	*set = (struct cell_set){.index = json_object()};
	if (set->index == NULL)
		return no_memory();
	json_array_foreach (results_entries(file), i, json) {
		struct result_entry entry;
		int err;

		if (result_is_aggregate(json))
			continue;
		err = result_entry_parse(json, &entry);
		if (err == 0)
			err = add_entry(set, &entry, metric);
		if (err != 0)
			return err;
	}
	return 0;
}

void cell_set_release(struct cell_set *set)
{
	for (size_t i = 0; i < set->count; i++) {
		free(set->cells[i].key);
		free(set->cells[i].label);
		free(set->cells[i].figures);
	}
	free(set->cells);
	json_decref(set->index);
	*set = (struct cell_set){0};
}

const struct figure *measured_cell_figure(const struct measured_cell *cell, int block)
{
	for (size_t i = 0; i < cell->count; i++) {
		if (cell->figures[i].block == block)
			return &cell->figures[i];
	}
	return NULL;
}

bool measured_cell_block(const struct measured_cell *cell, int block, double *value)
{
	const struct figure *figure = measured_cell_figure(cell, block);

	if (figure == NULL)
		return false;
	*value = figure->value;
	return true;
}

bool cell_set_slices(const struct cell_set *set, const char *metric,
		     const struct measured_cell *cell, const struct figure *figure,
		     const struct figure *baseline, double *log_ratio)
{
	bool rate = strcmp(metric, "items_per_second") == 0;
	const char *name = slices_reference(figure->entry);
	const struct measured_cell *reference;
	const struct figure *along = NULL;

	if (name == NULL || (!rate && strcmp(metric, "real_time") != 0))
		return false;
	reference = cell_set_find(set, cell->key, name);
	if (reference != NULL)
		along = measured_cell_figure(reference, figure->block);
	if (!slices_compare(figure->entry, baseline->entry,
			    along != NULL ? along->entry : NULL, log_ratio))
		return false;
	if (rate)
		*log_ratio = -*log_ratio;
	return true;
}
