/* SPDX-License-Identifier: MIT */
/* The conventional views beside a comparison: figures, text, JSON, the option. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bench/compare.h"
#include "bench/compare_views.h"
#include <kmem/error.h>

static void add(json_t *file, const char *allocator, int block, double ns)
{
	char name[128];
	json_t *entry;

	snprintf(name, sizeof(name), "pair/%s/size:64/threads:1", allocator);
	entry = json_pack(
		"{s:s, s:s, s:i, s:f, s:i, s:{s:s, s:s, s:s, s:s, s:s, s:i, s:{s:i}}}",
		"name", name, "run_type", "iteration", "repetition_index", block,
		"real_time", ns, "iterations", 1000, "kmembench", "status", "ok",
		"allocator", allocator, "allocator_name", allocator, "workload", "pair",
		"op", "pair", "threads", 1, "params", "size", 64);
	assert_non_null(entry);
	json_array_append_new(json_object_get(file, "benchmarks"), entry);
}

/*
 * Ten blocks that drift by up to 45 %; `slow` takes `factor` of glibc's time in each, and
 * its block 4 nine times that.
 */
static json_t *drifting(double factor)
{
	json_t *file = json_pack("{s:{s:i, s:{s:i}}, s:[]}", "context", "num_cpus", 2,
				 "kmembench", "schema_version", 1, "benchmarks");

	for (int b = 0; b < 10; b++) {
		double ns = 10.0 * (1 + 0.05 * (b * 7 % 10)) + 0.001 * b;

		add(file, "glibc", b, ns);
		add(file, "slow", b, ns * factor * (b == 4 ? 9 : 1));
	}
	return file;
}

static const struct compare_options defaults = {
	.equivalence_pct = COMPARE_EQUIVALENCE_PCT,
};

/* Drift between blocks hides a difference from the unpaired views, not from the pairs. */
static void views_of_a_row(void **state)
{
	json_t *file = drifting(1.05);
	struct comparison_table table;
	struct compare_views v;

	(void)state;
	assert_int_equal(compare_within(file, &defaults, &table), 0);
	assert_int_equal(table.rows[0].verdict, VERDICT_SLOWER);
	assert_int_equal(compare_views_of(&table, &table.rows[0], COMPARE_VIEW_ALL, &v),
			 0);
	assert_int_equal(v.figures, 10);
	assert_int_equal(v.figures_baseline, 10);
	assert_int_equal(v.outliers, 1);
	assert_int_equal(v.outliers_baseline, 0);
	assert_true(v.mann_whitney.exact);
	assert_true(v.mann_whitney.p > 0.1 && v.mann_whitney.p < 1);
	assert_true(v.means.interval.bounded && v.means.interval.low < 1.05 * 1.2);
	assert_true(v.medians.interval.low < 1 && v.medians.interval.high > 1.05);
	comparison_table_release(&table);
	json_decref(file);
}

static char *print(struct comparison_table *table, unsigned int views)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	table->views = views;
	comparison_print(table, out);
	fclose(out);
	return text;
}

static void assert_narrow(const char *text)
{
	for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1) {
		size_t columns = 0;

		for (size_t i = 0; i < strcspn(line, "\n"); i++)
			columns += ((unsigned char)line[i] & 0xc0) != 0x80;
		if (columns > 100)
			fail_msg("%zu columns: %.*s", columns, (int)strcspn(line, "\n"),
				 line);
	}
}

static void text_and_json(void **state)
{
	json_t *file = drifting(1.05), *json, *cell;
	struct comparison_table table;
	char *text;

	(void)state;
	assert_int_equal(compare_within(file, &defaults, &table), 0);
	text = print(&table, 0);
	assert_non_null(strstr(text, "slower: outliers: 1, baseline 0\n"));
	assert_non_null(strstr(text,
			       "\n1 comparison: 0 faster, 1 slower, 0 same, 0 cannot "
			       "tell\n"));
	assert_null(strstr(text, "Mann-Whitney"));
	assert_narrow(text);
	free(text);
	text = print(&table, COMPARE_VIEW_ALL);
	assert_non_null(strstr(text, "        Mann-Whitney  p = 0."));
	assert_non_null(
		strstr(text, " of 10 and 10 (exact)\n        bootstrap     means "));
	assert_narrow(text);
	free(text);
	json = comparison_json(&table);
	cell = json_array_get(json_object_get(json, "cells"), 0);
	assert_int_equal(json_integer_value(json_object_get(cell, "outliers")), 1);
	assert_true(json_is_number(
		json_object_get(json_object_get(cell, "mann_whitney"), "p")));
	cell = json_object_get(json_object_get(cell, "bootstrap"), "medians");
	assert_true(json_number_value(json_object_get(cell, "low")) <
		    json_number_value(json_object_get(cell, "ratio")));
	json_decref(json);
	table.views = COMPARE_VIEW_PAIRED;
	json = comparison_json(&table);
	cell = json_array_get(json_object_get(json, "cells"), 0);
	assert_null(json_object_get(cell, "bootstrap"));
	json_decref(json);
	comparison_table_release(&table);
	json_decref(file);
}

/* Old against new, plain and relative to a baseline of each file. */
static void views_of_two_files(void **state)
{
	json_t *old_file = drifting(1.0), *new_file = drifting(2.0);
	struct compare_options options = defaults;
	struct comparison_table table;
	struct compare_views v;

	(void)state;
	for (int relative = 0; relative < 2; relative++) {
		const struct comparison *row;

		options.baseline = relative ? "glibc" : NULL;
		assert_int_equal(compare_between(old_file, new_file, &options, &table),
				 0);
		row = &table.rows[table.count - 1];
		assert_string_equal(row->allocator, "slow");
		assert_int_equal(compare_views_of(&table, row, COMPARE_VIEW_ALL, &v), 0);
		assert_true(v.medians.interval.estimate > 1.9 &&
			    v.medians.interval.estimate < 2.1);
		assert_true(v.mann_whitney.p < 0.01);
		assert_int_equal(v.outliers, 1);
		comparison_table_release(&table);
	}
	json_decref(old_file);
	json_decref(new_file);
}

static void names_of_views(void **state)
{
	(void)state;
	assert_int_equal(compare_views_parse("paired"), COMPARE_VIEW_PAIRED);
	assert_int_equal(compare_views_parse("bootstrap,mann-whitney"),
			 COMPARE_VIEW_BOOTSTRAP | COMPARE_VIEW_MANN_WHITNEY);
	assert_int_equal(compare_views_parse("all"), COMPARE_VIEW_ALL);
	assert_int_equal(compare_views_parse("paired,boot"), 0);
	assert_non_null(strstr(kmem_last_error(), "'boot'"));
	assert_int_equal(compare_views_parse(""), 0);
	assert_int_equal(compare_views_parse("all,"), 0);
}

/* An allocator with a long name has a line of its own, and its figures stay in place. */
static void long_names(void **state)
{
	json_t *file = drifting(1.0);
	struct comparison_table table;
	char *text;

	(void)state;
	for (int b = 0; b < 3; b++)
		add(file, "slab:percpu=off,colour=off,limit=120,order=3", b, 12);
	assert_int_equal(compare_within(file, &defaults, &table), 0);
	text = print(&table, COMPARE_VIEW_ALL);
	assert_non_null(
		strstr(text, "  slab:percpu=off,colour=off,limit=120,order=3\n   "));
	assert_non_null(strstr(text, "[too few blocks]"));
	assert_narrow(text);
	free(text);
	comparison_table_release(&table);
	json_decref(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(views_of_a_row),     cmocka_unit_test(text_and_json),
		cmocka_unit_test(views_of_two_files), cmocka_unit_test(names_of_views),
		cmocka_unit_test(long_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
