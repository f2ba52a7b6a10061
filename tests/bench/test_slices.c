/* SPDX-License-Identifier: MIT */
/* Estimates from slices: bench/slices.c, and what compare makes of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/compare.h"
#include "bench/slices.h"

#define assert_close(a, b, tolerance) assert_true(fabs((a) - (b)) <= (tolerance))

static json_t *numbers(const double *x, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_real(x[i]));
	return list;
}

/* An entry of one block; along: what the reference did there, where it is elsewhere. */
static json_t *entry_of(const char *allocator, int block, int rotation, const double *x,
			size_t n, const double *along)
{
	char name[64];
	json_t *slices, *entry;
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += x[i];
	snprintf(name, sizeof(name), "pair/%s/size:64/threads:1", allocator);
	slices = json_pack("{s:i, s:s, s:i, s:o}", "rotation", rotation, "reference",
			   "ref", "ops_per_slice", 100, "ns_per_op", numbers(x, n));
	if (along != NULL)
		json_object_set_new(slices, "reference_ns_per_op", numbers(along, n));
	entry = json_pack(
		"{s:s, s:s, s:i, s:f, s:f, s:{s:s, s:s, s:s, s:s, s:s, s:i, s:{s:i}, s:o}}",
		"name", name, "run_type", "iteration", "repetition_index", block,
		"real_time", sum / (double)n, "items_per_second", 1e9 / (sum / (double)n),
		"kmembench", "status", "ok", "allocator", allocator, "allocator_name",
		allocator, "workload", "pair", "op", "pair", "threads", 1, "params",
		"size", 64, "slices", slices);
	assert_non_null(entry);
	return entry;
}

/*
 * Eight rounds, by hand: log ratios 0.1 .. 0.8, of which a quarter at each end goes,
 * leaves 0.3, 0.4, 0.5, 0.6. The outlier of a ninth would not move it far.
 */
static void trimmed_mean_by_hand(void **state)
{
	double a[8], b[8];

	(void)state;
	for (int i = 0; i < 8; i++) {
		b[i] = 10.0 + i;
		a[i] = b[i] * exp(0.1 * (i * 3 % 8 + 1));
	}
	assert_close(slices_log_ratio(a, b, 8), 0.45, 1e-12);
	a[0] *= 1000; /* that was the smallest, 0.1: now 0.8 is among the kept ones' */
	assert_close(slices_log_ratio(a, b, 8), (0.4 + 0.5 + 0.6 + 0.7) / 4, 1e-12);
	/* A round without a figure does not count. */
	a[0] = 0;
	assert_close(slices_log_ratio(a, b, 8), (0.3 + 0.4 + 0.5 + 0.6 + 0.7) / 5, 1e-12);
	assert_true(isnan(slices_log_ratio(a, b, 0)));
}

static void pairs_within_a_rotation(void **state)
{
	/* Drift of a factor of two from round to round cancels. */
	const double ref[4] = {10, 20, 40, 80}, x[4] = {11, 22, 44, 88};
	json_t *a = entry_of("a", 0, 0, x, 4, NULL),
	       *r = entry_of("ref", 0, 0, ref, 4, NULL);
	double log_ratio;

	(void)state;
	assert_true(slices_compare(a, r, r, &log_ratio));
	assert_close(exp(log_ratio), 1.1, 1e-12);
	assert_true(slices_compare(r, a, r, &log_ratio));
	assert_close(exp(log_ratio), 1 / 1.1, 1e-12);
	assert_true(slices_compare(a, r, NULL, &log_ratio));
	assert_string_equal(slices_reference(a), "ref");
	json_decref(a);
	json_decref(r);
}

static void pairs_across_rotations(void **state)
{
	/* The second rotation ran when the machine was three times as slow. */
	const double ref0[4] = {10, 11, 10, 11}, a0[4] = {12, 13.2, 12, 13.2};
	const double ref1[4] = {30, 33, 30, 33}, b1[4] = {45, 49.5, 45, 49.5};
	json_t *r = entry_of("ref", 0, 0, ref0, 4, NULL);
	json_t *a = entry_of("a", 0, 0, a0, 4, NULL);
	json_t *b = entry_of("b", 0, 1, b1, 4, ref1);
	json_t *stranger = entry_of("c", 0, 2, b1, 4, NULL);
	double log_ratio;

	(void)state;
	assert_true(slices_compare(b, r, r, &log_ratio));
	assert_close(exp(log_ratio), 1.5, 1e-12);
	assert_true(slices_compare(r, b, r, &log_ratio));
	assert_close(exp(log_ratio), 1 / 1.5, 1e-12);
	assert_true(slices_compare(b, a, r, &log_ratio));
	assert_close(exp(log_ratio), 1.5 / 1.2, 1e-12);
	/* No common rounds, and no reference beside it. */
	assert_false(slices_compare(stranger, r, r, &log_ratio));
	assert_false(slices_compare(b, a, NULL, &log_ratio));
	json_decref(r);
	json_decref(a);
	json_decref(b);
	json_decref(stranger);
}

static void entries_without_slices(void **state)
{
	json_t *plain = json_pack("{s:f, s:{}}", "real_time", 1.0, "kmembench");
	double log_ratio;

	(void)state;
	assert_false(slices_compare(plain, plain, plain, &log_ratio));
	assert_null(slices_reference(plain));
	json_decref(plain);
}

/*
 * Ten blocks in which one slice of eight was interrupted, in one of the two: means are
 * off by tens of per cents, the rounds know better.
 */
static void compare_uses_rounds(void **state)
{
	json_t *file = json_pack("{s:{s:{s:i, s:{s:b}}}, s:[]}", "context", "kmembench",
				 "schema_version", 1, "machine", "simulated_numa", 0,
				 "benchmarks");
	json_t *list = json_object_get(file, "benchmarks");
	struct compare_options options = {.equivalence_pct = COMPARE_EQUIVALENCE_PCT,
					  .baseline = "ref"};
	struct comparison_table table;

	(void)state;
	for (int block = 0; block < 10; block++) {
		double ref[8], x[8];

		for (int i = 0; i < 8; i++) {
			ref[i] = 10.0 * (1 + 0.1 * (block % 3)) * (1 + 0.05 * (i % 3));
			x[i] = ref[i] * (1.03 + 0.0001 * ((block * 8 + i) % 5));
		}
		x[block % 8] *= block % 2 == 0 ? 9 : 1;
		ref[(block + 3) % 8] *= block % 2 == 0 ? 1 : 9;
		json_array_append_new(list, entry_of("ref", block, 0, ref, 8, NULL));
		json_array_append_new(list, entry_of("x", block, 0, x, 8, NULL));
	}
	assert_int_equal(compare_within(file, &options, &table), 0);
	assert_int_equal(table.count, 1);
	assert_true(table.rows[0].sliced);
	assert_close(table.rows[0].ratio.estimate, 1.0302, 0.0005);
	assert_int_equal(table.rows[0].verdict, VERDICT_SLOWER);
	comparison_table_release(&table);
	/* A rate is the inverse of a time. */
	options.metric = "items_per_second";
	assert_int_equal(compare_within(file, &options, &table), 0);
	assert_close(table.rows[0].ratio.estimate, 1 / 1.0302, 0.0005);
	assert_int_equal(table.rows[0].verdict, VERDICT_SLOWER);
	comparison_table_release(&table);
	json_decref(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(trimmed_mean_by_hand),
		cmocka_unit_test(pairs_within_a_rotation),
		cmocka_unit_test(pairs_across_rotations),
		cmocka_unit_test(entries_without_slices),
		cmocka_unit_test(compare_uses_rounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
