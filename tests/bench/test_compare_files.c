/* SPDX-License-Identifier: MIT */
/* Comparisons of two files, and what is printed of any. */
#include "compare_fixture.h"

static void two_files(void **state)
{
	json_t *old_file = new_file(), *new_one = new_file();
	struct comparison_table t;
	const struct comparison *r;

	(void)state;
	for (int b = 0; b < 8; b++) {
		add(old_file, "slab", 64, b, "ok", "real_time", 10 + 0.01 * b);
		add(old_file, "gone", 64, b, "ok", "real_time", 10);
		add(old_file, "glibc", 64, b, "ok", "real_time", 10 + 0.001 * b);
	}
	for (int b = 0; b < 9; b++) {
		add(new_one, "slab", 64, b, "ok", "real_time", 11 + 0.01 * b);
		add(new_one, "glibc", 64, b, "ok", "real_time", 10 + 0.001 * b);
		add(new_one, "new", 64, b, "ok", "real_time", 10);
	}
	assert_int_equal(compare_between(old_file, new_one, &defaults, &t), 0);
	assert_int_equal(t.count, 2);
	r = row_of(&t, "slab", "pair/size:64/threads:1");
	assert_int_equal(r->verdict, VERDICT_SLOWER);
	assert_close(r->ratio.estimate, 1.1, 0.01);
	assert_int_equal(r->blocks, 9);
	assert_int_equal(r->blocks_baseline, 8);
	assert_true(comparison_regressed(&t, r, 5));
	assert_false(comparison_regressed(&t, r, 15));
	assert_int_equal(row_of(&t, "glibc", r->key)->verdict, VERDICT_SAME);
	assert_int_equal(t.left_out_count, 2);
	comparison_table_release(&t);
	json_decref(old_file);
	json_decref(new_one);
}

/* The new run's machine was 30 % slower throughout: only the baseline can tell. */
static void baseline_cancels_drift_between_files(void **state)
{
	json_t *old_file = new_file(), *new_one = new_file();
	struct compare_options o = defaults;
	struct comparison_table t;

	(void)state;
	add_blocks(old_file, "glibc", 64, 8, 10, 0.001);
	add_blocks(old_file, "slab", 64, 8, 5, 0.001);
	add_blocks(new_one, "glibc", 64, 8, 13, 0.001);
	add_blocks(new_one, "slab", 64, 8, 6.5, 0.001);
	o.baseline = "glibc";
	assert_int_equal(compare_between(old_file, new_one, &o, &t), 0);
	assert_int_equal(t.count, 1);
	assert_string_equal(t.rows[0].allocator, "slab");
	assert_int_equal(t.rows[0].verdict, VERDICT_SAME);
	assert_close(t.rows[0].median, 0.5, 0.002);
	comparison_table_release(&t);
	o.baseline = "jemalloc";
	assert_int_equal(compare_between(old_file, new_one, &o, &t), -EINVAL);
	comparison_table_release(&t);
	json_decref(old_file);
	json_decref(new_one);
}

static void files_without_common_cells_are_refused(void **state)
{
	json_t *old_file = new_file(), *new_one = new_file();
	struct comparison_table t;

	(void)state;
	add_blocks(old_file, "slab", 64, 6, 10, 0);
	add_blocks(new_one, "slab", 128, 6, 10, 0);
	assert_int_equal(compare_between(old_file, new_one, &defaults, &t), -EINVAL);
	assert_non_null(strstr(kmem_last_error(), "pair/size:64/threads:1"));
	assert_non_null(strstr(kmem_last_error(), "pair/size:128/threads:1"));
	comparison_table_release(&t);
	json_decref(old_file);
	json_decref(new_one);
}

static void output_holds_what_it_should(void **state)
{
	static const char *const fields[] = {"allocator", "workload", "params",
					     "threads",	  "ratio",    "low",
					     "high",	  "verdict"};
	json_t *file = new_file(), *json, *cell;
	struct comparison_table t;
	char *text = NULL;
	size_t size;
	FILE *out;

	(void)state;
	add_blocks(file, "glibc", 64, 6, 10, 0.001);
	add_blocks(file, "slab", 64, 6, 5, 0.001);
	add(file, "dead", 64, 0, "failed", NULL, 0);
	assert_int_equal(compare_within(file, &defaults, &t), 0);
	json = comparison_json(&t);
	assert_string_equal(json_string_value(json_object_get(json, "baseline")),
			    "glibc");
	assert_string_equal(json_string_value(json_object_get(json, "metric")),
			    "real_time");
	assert_int_equal(json_array_size(json_object_get(json, "cells")), 1);
	cell = json_array_get(json_object_get(json, "cells"), 0);
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(fields); i++)
		assert_non_null(json_object_get(cell, fields[i]));
	assert_string_equal(json_string_value(json_object_get(cell, "verdict")),
			    "faster");
	assert_int_equal(json_array_size(json_object_get(json, "not_compared")), 1);
	json_decref(json);
	out = open_memstream(&text, &size);
	comparison_print(&t, out);
	fclose(out);
	assert_non_null(strstr(text, "pair/size:64/threads:1\n"));
	assert_non_null(strstr(text, "0.500"));
	assert_non_null(strstr(text, "faster"));
	assert_non_null(strstr(text, "failed: ended by signal 11"));
	free(text);
	comparison_table_release(&t);
	json_decref(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_files),
		cmocka_unit_test(baseline_cancels_drift_between_files),
		cmocka_unit_test(files_without_common_cells_are_refused),
		cmocka_unit_test(output_holds_what_it_should),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
