/* SPDX-License-Identifier: MIT */
/* The self-test's own parts: bounds of rates, which cells, exit codes, the report. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bench/cli.h"
#include "bench/selftest.h"
#include <kmem/error.h>

#define assert_close(a, b, tolerance) assert_true(fabs((a) - (b)) <= (tolerance))

/* Tables of the exact binomial interval, such as Hald 1952 and any handbook's. */
static void rates_have_exact_intervals(void **state)
{
	static const struct {
		unsigned int x, n;
		double low, high;
	} known[] = {
		{0, 10, 0, 0.3085},	   {1, 10, 0.0025, 0.4450},
		{5, 10, 0.1871, 0.8129},   {10, 10, 0.6915, 1},
		{0, 100, 0, 0.0362},	   {1, 100, 0.0003, 0.0545},
		{95, 100, 0.8872, 0.9836},
	};
	double low, high;

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(known); i++) {
		selftest_rate_interval(known[i].x, known[i].n, &low, &high);
		assert_close(low, known[i].low, 0.0001);
		assert_close(high, known[i].high, 0.0001);
	}
	selftest_rate_interval(0, 0, &low, &high);
	assert_true(low == 0 && high == 1);
}

static void cells_come_in_pairs(void **state)
{
	static const struct selftest_pair pair = {"%s", "%s:"};

	(void)state;
	for (size_t c = 0; c < selftest_classes_count; c++) {
		struct plan plan;
		unsigned int added;

		plan_init(&plan);
		added = selftest_add_cells(&plan, &selftest_classes[c], &pair, 3);
		if (added == 0)
			assert_string_not_equal(kmem_last_error(), "");
		assert_true(added <= 3);
		assert_int_equal(plan.groups, added);
		assert_int_equal(plan.count, 2 * added);
		for (size_t i = 0; i + 1 < plan.count; i += 2) {
			assert_int_equal(plan.cells[i].group, plan.cells[i + 1].group);
			assert_ptr_equal(plan.cells[i].ops, plan.cells[i + 1].ops);
			assert_string_not_equal(plan.cells[i].allocator,
						plan.cells[i + 1].allocator);
		}
		plan_release(&plan);
	}
}

static void enough_cells_where_all_peers_are_here(void **state)
{
	static const struct selftest_pair pair = {"planted:over=%s,clock=on",
						  "planted:over=%s,slow_pct=3"};
	struct plan plan;
	size_t bases = 0;

	(void)state;
	while (selftest_base(bases) != NULL)
		bases++;
	assert_true(bases >= 1);
	plan_init(&plan);
	/* Eight rows for each base allocator, each once. */
	assert_int_equal(selftest_add_cells(&plan, &selftest_classes[0], &pair, 1000),
			 8 * bases);
	plan_release(&plan);
}

static void exit_codes_tell_noise_from_untruth(void **state)
{
	static struct selftest t;

	(void)state;
	t.count = 2;
	assert_int_equal(selftest_exit_code(&t), EXIT_DONE);
	t.checks[0].status = FITNESS_WARN;
	assert_int_equal(selftest_exit_code(&t), EXIT_DONE);
	t.checks[0].status = FITNESS_FAIL;
	t.checks[0].noise = true;
	assert_int_equal(selftest_exit_code(&t), EXIT_TOO_NOISY);
	t.checks[1].status = FITNESS_FAIL;
	assert_int_equal(selftest_exit_code(&t), EXIT_CELL_FAILED);
	t.count = 0;
	t.fitness[0].status = FITNESS_FAIL;
	t.fitness_count = 1;
	assert_int_equal(selftest_exit_code(&t), EXIT_TOO_NOISY);
	t.timer.status = FITNESS_FAIL;
	assert_int_equal(selftest_exit_code(&t), EXIT_CELL_FAILED);
}

static void the_report_holds_what_was_found(void **state)
{
	static struct selftest t;
	const json_t *check;
	json_t *json;

	(void)state;
	t.noise.steal_pct = -1;
	t.count = 1;
	t.checks[0] = (struct selftest_check){
		.name = "planted-leak",
		.class = "",
		.status = FITNESS_OK,
		.text = "found",
		.details = json_pack("{s:f}", "found_bytes", 12.0),
	};
	json = selftest_json(&t);
	assert_non_null(json);
	assert_string_equal(json_string_value(json_object_get(json, "verdict")),
			    "fit and truthful");
	assert_int_equal(json_integer_value(json_object_get(json, "exit_code")), 0);
	assert_null(json_object_get(json_object_get(json, "noise"), "steal_pct"));
	check = json_array_get(json_object_get(json, "checks"), 0);
	assert_string_equal(json_string_value(json_object_get(check, "status")), "ok");
	assert_true(json_number_value(json_object_get(check, "found_bytes")) == 12);
	json_decref(json);
	json_decref(t.checks[0].details);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rates_have_exact_intervals),
		cmocka_unit_test(cells_come_in_pairs),
		cmocka_unit_test(enough_cells_where_all_peers_are_here),
		cmocka_unit_test(exit_codes_tell_noise_from_untruth),
		cmocka_unit_test(the_report_holds_what_was_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
