/* SPDX-License-Identifier: MIT */
/* Comparisons of made-up results in which the truth is known. */
#include "compare_fixture.h"

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

/* Counts that do not scatter need one block, and no interval. */
static void counts_are_compared_exactly(void **state)
{
	json_t *file = new_file();
	struct compare_options o = defaults;
	struct comparison_table t;

	(void)state;
	add(file, "glibc", 64, 0, "ok", "instructions_per_op", 100);
	add(file, "slab", 64, 0, "ok", "instructions_per_op", 102);
	o.metric = "instructions_per_op";
	assert_int_equal(compare_within(file, &o, &t), 0);
	assert_string_equal(t.traits.unit, "1/op");
	assert_true(t.rows[0].ratio.bounded);
	assert_close(t.rows[0].ratio.low, 1.02, 1e-12);
	assert_close(t.rows[0].ratio.high, 1.02, 1e-12);
	assert_int_equal(t.rows[0].verdict, VERDICT_SLOWER);
	assert_true(comparison_regressed(&t, &t.rows[0], 1.9));
	assert_false(comparison_regressed(&t, &t.rows[0], 2.1));
	comparison_table_release(&t);
	json_decref(file);
}

/* A workload's own figures stand in no table: their names tell what they are. */
static void names_tell_units(void **state)
{
	static const struct {
		const char *metric, *unit;
		bool larger_is_better;
	} cases[] = {
		{"things_per_second", "1/s", true},
		{"first_thing_ns_p50", "ns", false},
		{"pause_ns", "ns", false},
		{"pinned_bytes", "B", false},
		{"things", "", false},
	};

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(cases); i++) {
		json_t *file = new_file();
		struct compare_options o = defaults;
		struct comparison_table t;

		add(file, "glibc", 64, 0, "ok", cases[i].metric, 1);
		add(file, "slab", 64, 0, "ok", cases[i].metric, 2);
		o.metric = cases[i].metric;
		assert_int_equal(compare_within(file, &o, &t), 0);
		assert_string_equal(t.traits.unit, cases[i].unit);
		assert_int_equal(t.traits.larger_is_better, cases[i].larger_is_better);
		comparison_table_release(&t);
		json_decref(file);
	}
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verdicts_within_one_file),
		cmocka_unit_test(pairs_are_matched_by_block_not_by_order),
		cmocka_unit_test(more_is_better_turns_the_words),
		cmocka_unit_test(counts_are_compared_exactly),
		cmocka_unit_test(names_tell_units),
		cmocka_unit_test(few_blocks_cannot_tell),
		cmocka_unit_test(zero_and_negative_figures_use_differences),
		cmocka_unit_test(both_zero_is_the_same),
		cmocka_unit_test(totals_compare_per_operation),
		cmocka_unit_test(latencies_below_the_clock_cannot_be_told),
		cmocka_unit_test(failed_and_skipped_cells_are_listed),
		cmocka_unit_test(failed_baseline_is_told),
		cmocka_unit_test(mistakes_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
