/* SPDX-License-Identifier: MIT */
/* Comparisons of made-up results in which the truth is known. */
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
#include <kmem/error.h>

#define assert_close(a, b, tolerance) assert_true(fabs((a) - (b)) <= (tolerance))

static json_t *new_file(void)
{
	return json_pack("{s:{s:i, s:{s:i, s:{s:s, s:s, s:b}}}, s:[]}", "context",
			 "num_cpus", 2, "kmembench", "schema_version", 1, "machine",
			 "cpu_model", "A", "kernel", "Linux 6.18", "simulated_numa", 0,
			 "benchmarks");
}

static void add(json_t *file, const char *allocator, int size, int block,
		const char *status, const char *metric, double value)
{
	char name[128];
	json_t *entry;

	snprintf(name, sizeof(name), "pair/%s/size:%d/threads:1", allocator, size);
	entry = json_pack(
		"{s:s, s:s, s:i, s:f, s:i, s:{s:s, s:s, s:s, s:s, s:s, s:i, s:{s:i}}}",
		"name", name, "run_type", "iteration", "repetition_index", block,
		"real_time", 1.0, "iterations", 1000, "kmembench", "status", status,
		"allocator", allocator, "allocator_name", allocator, "workload", "pair",
		"op", "pair", "threads", 1, "params", "size", size);
	assert_non_null(entry);
	if (strcmp(status, "ok") == 0)
		json_object_set_new(entry, metric, json_real(value));
	else
		json_object_set_new(entry, "error_message",
				    json_string("ended by signal 11"));
	json_array_append_new(json_object_get(file, "benchmarks"), entry);
}

/*
 * Blocks of one allocator: drift common to all allocators of a block (up to 30 %), and an
 * error of their own (up to `noise`), from fixed sequences.
 */
static void add_blocks(json_t *file, const char *allocator, int size, int blocks,
		       double ns, double noise)
{
	unsigned short seed[3] = {(unsigned short)allocator[0],
				  (unsigned short)allocator[1], 7};

	for (int b = 0; b < blocks; b++) {
		double drift = 1.0 + 0.3 * (b * 7 % 10) / 10.0;

		add(file, allocator, size, b, "ok", "real_time",
		    ns * drift * (1.0 + noise * (2 * erand48(seed) - 1)));
	}
}

static const struct comparison *row_of(const struct comparison_table *table,
				       const char *allocator, const char *key)
{
	for (size_t i = 0; i < table->count; i++) {
		if (strcmp(table->rows[i].allocator, allocator) == 0 &&
		    strcmp(table->rows[i].key, key) == 0)
			return &table->rows[i];
	}
	fail_msg("no row of '%s' for '%s'", allocator, key);
	return NULL;
}

static const struct compare_options defaults = {
	.equivalence_pct = COMPARE_EQUIVALENCE_PCT};

static void verdicts_within_one_file(void **state)
{
	json_t *file = new_file();
	struct comparison_table t;
	const struct comparison *r;

	(void)state;
	add_blocks(file, "slab", 64, 10, 5.0, 0.002);
	add_blocks(file, "glibc", 64, 10, 10.0, 0.002);
	add_blocks(file, "equal", 64, 10, 10.0, 0.002);
	add_blocks(file, "within", 64, 10, 10.1,
		   0.0005); /* 1 %: real, but of no account */
	add_blocks(file, "more", 64, 10, 10.5, 0.002);
	add_blocks(file, "noisy", 64, 10, 10.3, 0.2);
	assert_int_equal(compare_within(file, &defaults, &t), 0);
	assert_string_equal(t.baseline, "glibc");
	assert_int_equal(t.count, 5);
	r = row_of(&t, "slab", "pair/size:64/threads:1");
	assert_int_equal(r->verdict, VERDICT_FASTER);
	assert_close(r->ratio.estimate, 0.5, 0.003);
	assert_true(r->ratio.low < r->ratio.estimate &&
		    r->ratio.estimate < r->ratio.high);
	assert_int_equal(r->blocks, 10);
	assert_int_equal(row_of(&t, "equal", r->key)->verdict, VERDICT_SAME);
	assert_int_equal(row_of(&t, "within", r->key)->verdict, VERDICT_SAME);
	assert_true(row_of(&t, "within", r->key)->ratio.low > 1.0);
	assert_int_equal(row_of(&t, "more", r->key)->verdict, VERDICT_SLOWER);
	r = row_of(&t, "noisy", r->key);
	assert_int_equal(r->verdict, VERDICT_CANNOT_TELL);
	assert_non_null(strstr(r->reason, "too wide"));
	comparison_table_release(&t);
	json_decref(file);
}

static void pairs_are_matched_by_block_not_by_order(void **state)
{
	json_t *file = new_file();
	struct comparison_table t;
	const struct comparison *r;

	(void)state;
	/* Blocks drift by a factor of 256; the second allocator lacks block 0 and is
	 * shuffled. */
	for (int b = 0; b < 9; b++)
		add(file, "glibc", 64, b, "ok", "real_time", 1 << b);
	for (int b = 8; b > 0; b--)
		add(file, "slab", 64, b, "ok", "real_time", 2 << b);
	assert_int_equal(compare_within(file, &defaults, &t), 0);
	r = &t.rows[0];
	assert_int_equal(r->blocks, 8);
	assert_close(r->ratio.low, 2.0, 1e-12);
	assert_close(r->ratio.high, 2.0, 1e-12);
	assert_int_equal(r->verdict, VERDICT_SLOWER);
	comparison_table_release(&t);
	json_decref(file);
}

static void more_is_better_turns_the_words(void **state)
{
	json_t *file = new_file();
	struct compare_options o = defaults;
	struct comparison_table t;

	(void)state;
	for (int b = 0; b < 6; b++) {
		add(file, "glibc", 64, b, "ok", "items_per_second", 100 + b);
		add(file, "slab", 64, b, "ok", "items_per_second", 200 + 2 * b);
	}
	o.metric = "items_per_second";
	assert_int_equal(compare_within(file, &o, &t), 0);
	assert_close(t.rows[0].ratio.estimate, 2.0, 1e-12);
	assert_int_equal(t.rows[0].verdict, VERDICT_FASTER);
	assert_false(comparison_regressed(&t, &t.rows[0], 5));
	comparison_table_release(&t);
	o.baseline = "slab";
	assert_int_equal(compare_within(file, &o, &t), 0);
	assert_int_equal(t.rows[0].verdict, VERDICT_SLOWER);
	assert_true(comparison_regressed(&t, &t.rows[0], 99));
	assert_false(comparison_regressed(&t, &t.rows[0], 101));
	comparison_table_release(&t);
	json_decref(file);
}

static void few_blocks_cannot_tell(void **state)
{
	json_t *file = new_file();
	struct comparison_table t;

	(void)state;
	add_blocks(file, "glibc", 64, 5, 10, 0);
	add_blocks(file, "slab", 64, 5, 5, 0);
	assert_int_equal(compare_within(file, &defaults, &t), 0);
	assert_int_equal(t.rows[0].verdict, VERDICT_CANNOT_TELL);
	assert_false(t.rows[0].ratio.bounded);
	assert_close(t.rows[0].ratio.estimate, 0.5, 1e-12);
	assert_non_null(strstr(t.rows[0].reason, "--reps"));
	assert_true(comparison_may_hide_regression(&t, &t.rows[0], 50));
	assert_false(comparison_regressed(&t, &t.rows[0], 0));
	comparison_table_release(&t);
	json_decref(file);
}

static void zero_and_negative_figures_use_differences(void **state)
{
	json_t *file = new_file();
	struct compare_options o = defaults;
	struct comparison_table t;
	const struct comparison *r;

	(void)state;
	o.metric = "rss_bytes_final";
	for (int b = 0; b < 8; b++) {
		add(file, "glibc", 64, b, "ok", o.metric, 1e6 + b);
		add(file, "none", 64, b, "ok", o.metric, 0);
		add(file, "less", 64, b, "ok", o.metric, -4096);
		add(file, "alike", 64, b, "ok", o.metric, b == 0 ? 0 : 1e6);
	}
	assert_int_equal(compare_within(file, &o, &t), 0);
	r = row_of(&t, "none", "pair/size:64/threads:1");
	assert_true(r->by_difference);
	assert_int_equal(r->verdict, VERDICT_FASTER);
	assert_close(r->ratio.estimate, -1e6, 10);
	assert_int_equal(row_of(&t, "less", r->key)->verdict, VERDICT_FASTER);
	r = row_of(&t, "alike", r->key);
	assert_true(r->by_difference);
	assert_int_equal(r->verdict, VERDICT_CANNOT_TELL);
	comparison_table_release(&t);
	/* Against a baseline of nothing, anything is worse without bound. */
	o.baseline = "none";
	assert_int_equal(compare_within(file, &o, &t), 0);
	r = row_of(&t, "glibc", "pair/size:64/threads:1");
	assert_int_equal(r->verdict, VERDICT_SLOWER);
	assert_true(comparison_regressed(&t, r, 1e6));
	comparison_table_release(&t);
	json_decref(file);
}

static void both_zero_is_the_same(void **state)
{
	json_t *file = new_file();
	struct compare_options o = defaults;
	struct comparison_table t;

	(void)state;
	o.metric = "page_faults";
	for (int b = 0; b < 6; b++) {
		add(file, "glibc", 64, b, "ok", o.metric, 0);
		add(file, "slab", 64, b, "ok", o.metric, 0);
	}
	assert_int_equal(compare_within(file, &o, &t), 0);
	assert_int_equal(t.rows[0].verdict, VERDICT_SAME);
	assert_false(comparison_regressed(&t, &t.rows[0], 0));
	assert_false(comparison_may_hide_regression(&t, &t.rows[0], 0));
	comparison_table_release(&t);
	json_decref(file);
}

/* Twice the faults in twice the operations are as many an operation. */
static void totals_compare_per_operation(void **state)
{
	json_t *file = new_file();
	struct compare_options o = defaults;
	struct comparison_table t;
	json_t *list;

	(void)state;
	o.metric = "page_faults";
	for (int b = 0; b < 6; b++) {
		add(file, "glibc", 64, b, "ok", o.metric, 100);
		add(file, "slab", 64, b, "ok", o.metric, 200);
		list = json_object_get(file, "benchmarks");
		json_object_set_new(json_array_get(list, json_array_size(list) - 1),
				    "iterations", json_integer(2000));
	}
	assert_int_equal(compare_within(file, &o, &t), 0);
	assert_true(fabs(t.rows[0].ratio.estimate - 1.0) < 1e-9);
	comparison_table_release(&t);
	json_decref(file);
}

/* Percentiles that are steps of the clock: equal ones do not show equal times. */
static void latencies_below_the_clock_cannot_be_told(void **state)
{
	json_t *file = new_file();
	struct compare_options o = defaults;
	struct comparison_table t;
	const char *key = "pair/size:64/threads:1";

	(void)state;
	json_object_set_new(
		json_object_get(json_object_get(file, "context"), "kmembench"), "clock",
		json_pack("{s:f}", "pair_ns", 20.0));
	o.metric = "latency_alloc_ns_p50";
	for (int b = 0; b < 6; b++) {
		add(file, "glibc", 64, b, "ok", o.metric, 10);
		add(file, "equal", 64, b, "ok", o.metric, 10);
		add(file, "zero", 64, b, "ok", o.metric, 0);
		add(file, "far", 64, b, "ok", o.metric, 100);
	}
	assert_int_equal(compare_within(file, &o, &t), 0);
	assert_int_equal(row_of(&t, "equal", key)->verdict, VERDICT_CANNOT_TELL);
	assert_non_null(strstr(row_of(&t, "equal", key)->reason, "resolution of 40 ns"));
	assert_int_equal(row_of(&t, "zero", key)->verdict, VERDICT_CANNOT_TELL);
	assert_int_equal(row_of(&t, "far", key)->verdict, VERDICT_SLOWER);
	comparison_table_release(&t);
	json_decref(file);
}

static void failed_and_skipped_cells_are_listed(void **state)
{
	json_t *file = new_file();
	struct comparison_table t;

	(void)state;
	add_blocks(file, "glibc", 64, 6, 10, 0);
	add_blocks(file, "partly", 64, 6, 10, 0);
	add(file, "partly", 64, 6, "failed", NULL, 0);
	add(file, "dead", 64, 0, "failed", NULL, 0);
	add(file, "away", 64, 0, "skipped", NULL, 0);
	add_blocks(file, "alone", 128, 6, 10, 0);
	assert_int_equal(compare_within(file, &defaults, &t), 0);
	assert_int_equal(t.count, 1);
	assert_int_equal(t.rows[0].failed_blocks, 1);
	assert_int_equal(t.left_out_count, 3);
	assert_string_equal(t.left_out[0].allocator, "dead");
	assert_true(t.left_out[0].failed);
	assert_non_null(strstr(t.left_out[0].reason, "ended by signal 11"));
	assert_false(t.left_out[1].failed);
	assert_non_null(strstr(t.left_out[1].reason, "skipped"));
	assert_non_null(strstr(t.left_out[2].reason, "'glibc' has no such cell"));
	comparison_table_release(&t);
	json_decref(file);
}

/* A failed cell's entry may lack parameters; its name then tells where it belongs. */
static void failed_baseline_is_told(void **state)
{
	json_t *file = new_file();
	struct comparison_table t;
	json_t *entry;

	(void)state;
	add_blocks(file, "slab", 64, 6, 10, 0);
	add(file, "glibc", 64, 0, "failed", NULL, 0);
	entry = json_array_get(json_object_get(file, "benchmarks"), 6);
	json_object_clear(json_object_get(json_object_get(entry, "kmembench"), "params"));
	assert_int_equal(compare_within(file, &defaults, &t), 0);
	assert_int_equal(t.count, 0);
	assert_int_equal(t.left_out_count, 2);
	assert_true(t.left_out[0].failed || t.left_out[1].failed);
	comparison_table_release(&t);
	json_decref(file);
}

static void mistakes_are_named(void **state)
{
	json_t *file = new_file();
	struct compare_options o = defaults;
	struct comparison_table t;

	(void)state;
	assert_int_equal(compare_within(file, &o, &t), -EINVAL);
	comparison_table_release(&t);
	add_blocks(file, "slab", 64, 6, 10, 0);
	assert_int_equal(compare_within(file, &o, &t), -EINVAL);
	assert_non_null(strstr(kmem_last_error(), "only allocator"));
	comparison_table_release(&t);
	o.baseline = "slob";
	assert_int_equal(compare_within(file, &o, &t), -EINVAL);
	assert_non_null(strstr(kmem_last_error(), "'slab' is"));
	comparison_table_release(&t);
	o.baseline = NULL;
	o.metric = "reel_time";
	assert_int_equal(compare_within(file, &o, &t), -EINVAL);
	assert_non_null(strstr(kmem_last_error(), "'real_time'"));
	comparison_table_release(&t);
	add(file, "slab", 64, 0, "ok", "real_time", 1);
	assert_int_equal(compare_within(file, &defaults, &t), -EINVAL);
	assert_non_null(strstr(kmem_last_error(), "twice for block 0"));
	comparison_table_release(&t);
	json_decref(file);
}

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
		cmocka_unit_test(verdicts_within_one_file),
		cmocka_unit_test(pairs_are_matched_by_block_not_by_order),
		cmocka_unit_test(more_is_better_turns_the_words),
		cmocka_unit_test(few_blocks_cannot_tell),
		cmocka_unit_test(zero_and_negative_figures_use_differences),
		cmocka_unit_test(both_zero_is_the_same),
		cmocka_unit_test(totals_compare_per_operation),
		cmocka_unit_test(latencies_below_the_clock_cannot_be_told),
		cmocka_unit_test(failed_and_skipped_cells_are_listed),
		cmocka_unit_test(failed_baseline_is_told),
		cmocka_unit_test(mistakes_are_named),
		cmocka_unit_test(two_files),
		cmocka_unit_test(baseline_cancels_drift_between_files),
		cmocka_unit_test(files_without_common_cells_are_refused),
		cmocka_unit_test(output_holds_what_it_should),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
