/* SPDX-License-Identifier: MIT */
/* Which cells are compared with which: within one file, and across two. */
#include "bench/compare.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "bench/compare_cells.h"
#include "bench/compare_internal.h"
#include "bench/results.h"
#include <kmem/error.h>
#include <kmem/options.h>

/* --- tables --- */

static bool is_simulated(const json_t *file)
{
	const json_t *machine = json_object_get(results_context(file), "machine");

	return json_is_true(json_object_get(machine, "simulated_numa"));
}

/*
 * What one pair of clock reads costs is subtracted from each sample; samples below twice
 * that are mostly 0 or one step of the clock.
 */
static double resolution_ns(const json_t *file, const char *metric)
{
	const json_t *clock = json_object_get(results_context(file), "clock");

	if (strncmp(metric, "latency_", strlen("latency_")) != 0)
		return 0.0;
	return 2.0 * json_number_value(json_object_get(clock, "pair_ns"));
}

static int table_init(struct comparison_table *table,
		      const struct compare_options *options, const json_t *const *files,
		      size_t count)
{
	const char *metric = options->metric != NULL ? options->metric : "real_time";

	*table = (struct comparison_table){
		.metric = metric,
		.traits = metric_traits(metric),
		.baseline = "",
		.two_files = count == 2,
		.equivalence_pct = options->equivalence_pct,
		.skipped = json_object_get(results_context(files[count - 1]), "skipped"),
	};
	if (table->traits.deterministic)
		table->equivalence_pct = fmin(table->equivalence_pct,
					      COMPARE_DETERMINISTIC_PCT);
	for (size_t i = 0; i < count; i++) {
		table->simulated |= is_simulated(files[i]);
		if (resolution_ns(files[i], metric) > table->resolution_ns)
			table->resolution_ns = resolution_ns(files[i], metric);
		table->sets[i] = calloc(1, sizeof(*table->sets[i]));
		if (table->sets[i] == NULL)
			return kmem_error(-ENOMEM, "no memory for a comparison");
	}
	return 0;
}

void comparison_table_release(struct comparison_table *table)
{
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(table->sets); i++) {
		if (table->sets[i] != NULL)
			cell_set_release(table->sets[i]);
		free(table->sets[i]);
	}
	free(table->rows);
	free(table->left_out);
	*table = (struct comparison_table){0};
}

/* Room for every cell to become a row, or to be left out. */
static int table_reserve(struct comparison_table *table, size_t cells)
{
	table->rows = calloc(cells + 1, sizeof(*table->rows));
	table->left_out = calloc(cells + 1, sizeof(*table->left_out));
	if (table->rows == NULL || table->left_out == NULL)
		return kmem_error(-ENOMEM, "no memory for %zu comparisons", cells);
	return 0;
}

static struct comparison *add_row(struct comparison_table *table,
				  const struct measured_cell *cell)
{
	struct comparison *row = &table->rows[table->count++];

	row->allocator = cell->allocator;
	row->workload = cell->workload;
	row->params = cell->params;
	row->threads = cell->threads;
	row->key = cell->key;
	row->label = cell->label;
	row->failed_blocks = cell->failed;
	return row;
}

static void KMEM_PRINTF(4, 5)
	leave_out(struct comparison_table *table, const struct measured_cell *cell,
		  bool failed, const char *fmt, ...)
{
	struct not_compared *left = &table->left_out[table->left_out_count++];
	va_list args;

	left->allocator = cell->allocator;
	left->workload = cell->workload;
	left->params = cell->params;
	left->threads = cell->threads;
	left->key = cell->key;
	left->label = cell->label;
	left->failed = failed;
	va_start(args, fmt);
	vsnprintf(left->reason, sizeof(left->reason), fmt, args);
	va_end(args);
}

/* True when the cell has figures; else it is left out, for its own reason or `whose`. */
static bool has_figures(struct comparison_table *table, const struct measured_cell *cell,
			const struct measured_cell *source, const char *whose)
{
	const char *why = source->reason != NULL ? source->reason : "no such figure";
	const char *what = source->failed > 0	 ? "failed"
			   : source->skipped > 0 ? "skipped"
						 : "not measured";

	if (source->count > 0)
		return true;
	/* What had failed before is no fault of the new file's. */
	leave_out(table, cell,
		  source->failed > 0 && !(table->two_files && source != cell), "%s%s: %s",
		  whose, what, why);
	return false;
}

/* A metric that no cell has is a mistake in its name, or was never measured. */
static int check_metric(const struct cell_set *set, const json_t *file,
			const char *metric)
{
	const char *names[256], *name, *nearest;
	size_t i, count = 0;
	const json_t *json;

	for (i = 0; i < set->count; i++) {
		if (set->cells[i].count > 0)
			return 0;
	}
	json_array_foreach (results_entries(file), i, json) {
		struct result_entry entry;
		json_t *value;

		if (result_entry_parse(json, &entry) != 0 || !result_entry_ok(&entry))
			continue;
		json_object_foreach ((json_t *)json, name, value) {
			if (json_is_number(value) && count < KMEM_ARRAY_SIZE(names))
				names[count++] = name;
		}
		break;
	}
	if (count == 0)
		return kmem_error(-EINVAL,
				  "no cell has figures: all failed or were skipped");
	nearest = kmem_nearest_name(metric, names, count);
	if (nearest != NULL)
		return kmem_error(-EINVAL,
				  "no cell has the metric '%s': did you mean '%s'?",
				  metric, nearest);
	return kmem_error(
		-EINVAL,
		"no cell has the metric '%s'; 'kmembench list metrics' names them",
		metric);
}

/* --- baselines --- */

static bool set_has_allocator(const struct cell_set *set, const char *allocator)
{
	for (size_t i = 0; i < set->count; i++) {
		if (strcmp(set->cells[i].allocator, allocator) == 0)
			return true;
	}
	return false;
}

static int check_baseline(const struct cell_set *set, const char *baseline)
{
	const char **names, *nearest;

	if (set_has_allocator(set, baseline))
		return 0;
	names = calloc(set->count + 1, sizeof(*names));
	if (names == NULL)
		return kmem_error(-ENOMEM, "no memory for %zu names", set->count);
	for (size_t i = 0; i < set->count; i++)
		names[i] = set->cells[i].allocator;
	nearest = kmem_nearest_name(baseline, names, set->count);
	if (nearest == NULL && set->count > 0)
		nearest = names[0];
	free(names);
	if (nearest == NULL)
		return kmem_error(-EINVAL, "there are no cells to compare with '%s'",
				  baseline);
	return kmem_error(
		-EINVAL,
		"the baseline '%s' is not among the results, '%s' is; variants are named "
		"in full",
		baseline, nearest);
}

static int choose_baseline(struct comparison_table *table, const char *wanted)
{
	const struct cell_set *set = table->sets[0];

	if (wanted != NULL) {
		table->baseline = wanted;
		return check_baseline(set, wanted);
	}
	if (set->count == 0)
		return kmem_error(-EINVAL, "there are no cells to compare");
	table->baseline = set_has_allocator(set, "glibc") ? "glibc"
							  : set->cells[0].allocator;
	return 0;
}

/* --- one file --- */

static int compare_blocks(struct comparison_table *table,
			  const struct measured_cell *cell,
			  const struct measured_cell *baseline)
{
	struct compare_sample s;
	int err = compare_sample_init(&s, cell->count);

	if (err != 0)
		return err;
	s.paired = true;
	for (size_t i = 0; i < cell->count; i++) {
		const struct figure *figure = &cell->figures[i];
		const struct figure *base = measured_cell_figure(baseline, figure->block);

		if (base == NULL)
			continue;
		if (cell_set_slices(table->sets[0], table->metric, cell, figure, base,
				    &s.log_ratio[s.nr_other]))
			s.sliced = true;
		s.baseline[s.nr_baseline++] = base->value;
		s.other[s.nr_other++] = figure->value;
	}
	if (s.nr_other == 0)
		leave_out(table, cell, false, "no block has figures of both it and '%s'",
			  table->baseline);
	else
		err = compare_estimate(add_row(table, cell), &s, table);
	free(s.baseline);
	return err;
}

int compare_within(const json_t *file, const struct compare_options *options,
		   struct comparison_table *table)
{
	const struct cell_set *set;
	int err = table_init(table, options, &file, 1);

	if (err == 0)
		err = cell_set_gather(file, table->metric, table->sets[0]);
	if (err == 0)
		err = check_metric(table->sets[0], file, table->metric);
	if (err == 0)
		err = choose_baseline(table, options->baseline);
	if (err == 0)
		err = table_reserve(table, table->sets[0]->count);
	if (err != 0)
		return err;
	set = table->sets[0];
	table->reference = table->baseline;
	for (size_t i = 0; i < set->count && err == 0; i++) {
		const struct measured_cell *cell = &set->cells[i], *base;

		/* A baseline that failed is told once for itself, too. */
		if (!has_figures(table, cell, cell, "") ||
		    strcmp(cell->allocator, table->baseline) == 0)
			continue;
		base = cell_set_find(set, cell->key, table->baseline);
		if (base == NULL)
			leave_out(table, cell, false,
				  "the baseline '%s' has no such cell", table->baseline);
		else if (has_figures(table, cell, base, "the baseline "))
			err = compare_blocks(table, cell, base);
	}
	if (err == 0 && table->count + table->left_out_count == 0)
		return kmem_error(
			-EINVAL,
			"'%s' is the only allocator in the file: give a second file, or "
			"measure another allocator in the same run",
			table->baseline);
	return err;
}

/* --- two files --- */

/*
 * A cell's figures, divided by the baseline's of the same block where there is a
 * baseline. Blocks in which the division has no meaning keep out; returns how many
 * figures remain.
 */
static size_t relative_figures(const struct measured_cell *cell,
			       const struct cell_set *set, const char *metric,
			       const char *baseline, double *out)
{
	const struct measured_cell *base = NULL;
	size_t n = 0;

	if (*baseline != '\0') {
		base = cell_set_find(set, cell->key, baseline);
		if (base == NULL)
			return 0;
	}
	for (size_t i = 0; i < cell->count; i++) {
		const struct figure *figure = &cell->figures[i], *divisor;
		double log_ratio;

		if (base == NULL) {
			out[n++] = figure->value;
			continue;
		}
		divisor = measured_cell_figure(base, figure->block);
		if (divisor == NULL || !(divisor->value > 0.0))
			continue;
		if (cell_set_slices(set, metric, cell, figure, divisor, &log_ratio))
			out[n++] = exp(log_ratio);
		else
			out[n++] = figure->value / divisor->value;
	}
	return n;
}

static int compare_runs(struct comparison_table *table,
			const struct measured_cell *new_cell,
			const struct measured_cell *old_cell)
{
	struct compare_sample s;
	size_t larger = new_cell->count > old_cell->count ? new_cell->count
							  : old_cell->count;
	int err = compare_sample_init(&s, larger);

	if (err != 0)
		return err;
	s.nr_baseline = relative_figures(old_cell, table->sets[0], table->metric,
					 table->baseline, s.baseline);
	s.nr_other = relative_figures(new_cell, table->sets[1], table->metric,
				      table->baseline, s.other);
	if (s.nr_baseline == 0 || s.nr_other == 0)
		leave_out(
			table, new_cell, false,
			"the baseline '%s' has no positive figure in the same blocks of the %s file",
			table->baseline, s.nr_baseline == 0 ? "old" : "new");
	else
		err = compare_estimate(add_row(table, new_cell), &s, table);
	free(s.baseline);
	return err;
}

static bool same_op(const struct measured_cell *a, const struct measured_cell *b)
{
	return a->op == NULL || b->op == NULL || strcmp(a->op, b->op) == 0;
}

static int compare_across(struct comparison_table *table,
			  const struct measured_cell *cell, size_t *common)
{
	const struct measured_cell *old_cell = cell_set_find(table->sets[0], cell->key,
							     cell->allocator);

	if (strcmp(cell->allocator, table->baseline) == 0) {
		*common += old_cell != NULL;
		return 0;
	}
	if (old_cell == NULL) {
		leave_out(table, cell, cell->count == 0 && cell->failed > 0,
			  "not in the old file");
		return 0;
	}
	(*common)++;
	if (!same_op(cell, old_cell)) {
		leave_out(table, cell, false, "an operation was '%s' and is '%s'",
			  old_cell->op, cell->op);
		return 0;
	}
	if (!has_figures(table, cell, cell, "") ||
	    !has_figures(table, cell, old_cell, "in the old file "))
		return 0;
	return compare_runs(table, cell, old_cell);
}

int compare_between(const json_t *old_file, const json_t *new_file,
		    const struct compare_options *options, struct comparison_table *table)
{
	const json_t *files[2] = {old_file, new_file};
	struct cell_set *old_set, *new_set;
	size_t common = 0;
	int err = table_init(table, options, files, 2);

	if (options->baseline != NULL)
		table->baseline = options->baseline;
	table->reference = options->old_name != NULL ? options->old_name : "the old file";
	for (size_t i = 0; i < 2 && err == 0; i++) {
		err = cell_set_gather(files[i], table->metric, table->sets[i]);
		if (err == 0)
			err = check_metric(table->sets[i], files[i], table->metric);
		if (err == 0 && *table->baseline != '\0')
			err = check_baseline(table->sets[i], table->baseline);
	}
	if (err != 0)
		return err;
	old_set = table->sets[0];
	new_set = table->sets[1];
	err = table_reserve(table, old_set->count + new_set->count);
	for (size_t i = 0; i < new_set->count && err == 0; i++)
		err = compare_across(table, &new_set->cells[i], &common);
	for (size_t i = 0; i < old_set->count && err == 0; i++) {
		const struct measured_cell *cell = &old_set->cells[i];

		if (cell_set_find(new_set, cell->key, cell->allocator) == NULL)
			leave_out(table, cell, false, "not in the new file");
	}
	if (err == 0 && common == 0)
		return kmem_error(
			-EINVAL,
			"the files have no cell in common: the old one has '%s' of '%s', the new "
			"one '%s' of '%s'; allocators are compared within one run's file",
			old_set->cells[0].key, old_set->cells[0].allocator,
			new_set->cells[0].key, new_set->cells[0].allocator);
	return err;
}
