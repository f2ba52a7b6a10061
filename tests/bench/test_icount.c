/* SPDX-License-Identifier: MIT */
/* Callgrind's totals, read; what an entry gets of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "bench/icount.h"
#include "bench/metrics.h"
#include <kmem/error.h>

static int parse_text(const char *text, struct icount *count)
{
	char path[] = "/tmp/kmembench-test-XXXXXX";
	int fd = mkstemp(path), err;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	err = icount_parse(path, count);
	unlink(path);
	return err;
}

static void reads_totals_by_the_events_names(void **state)
{
	struct icount count = {0};

	(void)state;
	assert_int_equal(parse_text("# callgrind format\n"
				    "version: 1\n"
				    "creator: callgrind-3.19.0\n"
				    "events: Ir Dr Dw I1mr D1mr D1mw ILmr DLmr DLmw\n"
				    "summary: 9 9 9\n"
				    "fn=(1) main\n"
				    "1 5\n"
				    "totals: 1000 300 200 7 40 2 6 5 4\n",
				    &count),
			 0);
	assert_string_equal(count.tool, "callgrind-3.19.0");
	assert_true(count.instructions == 1000);
	assert_true(count.data_reads == 300);
	assert_true(count.data_writes == 200);
	assert_true(count.l1d_misses == 42);
	assert_true(count.ll_misses == 9);
}

/* callgrind leaves zeros at the end of the line out. */
static void absent_totals_are_zero(void **state)
{
	struct icount count = {.l1d_misses = 1, .ll_misses = 1};

	(void)state;
	assert_int_equal(parse_text("events: Ir Dr Dw I1mr D1mr D1mw ILmr DLmr DLmw\n"
				    "totals: 12 3 4\n",
				    &count),
			 0);
	assert_true(count.instructions == 12 && count.data_writes == 4);
	assert_true(count.l1d_misses == 0 && count.ll_misses == 0);
}

static void refuses_what_is_no_count(void **state)
{
	struct icount count;

	(void)state;
	assert_true(icount_parse("/nowhere/callgrind", &count) < 0);
	assert_non_null(strstr(kmem_last_error(), "/nowhere/callgrind"));
	assert_true(parse_text("events: Ir Dr Dw\ntotals: 1 2 3\n", &count) < 0);
	assert_true(parse_text("nothing\n", &count) < 0);
	assert_true(parse_text("events: Ir Dr Dw I1mr D1mr D1mw ILmr DLmr DLmw\n"
			       "totals: 0\n",
			       &count) < 0);
	assert_non_null(strstr(kmem_last_error(), "counted nothing"));
}

/* The plan is not looked at: a cell that failed is not run again. */
static void a_failed_entry_is_left_alone(void **state)
{
	struct plan plan = {0};
	struct plan_cell cell = {0};
	json_t *entry = json_pack("{s:{s:s}}", "kmembench", "status", "failed");
	json_t *before = json_deep_copy(entry);

	(void)state;
	assert_int_equal(icount_add(&plan, &cell, entry), 0);
	assert_true(json_equal(entry, before));
	json_decref(entry);
	json_decref(before);
}

static void its_metrics_are_deterministic(void **state)
{
	static const char *const names[] = {"instructions_per_op",
					    "l1d_misses_modelled_per_op",
					    "ll_misses_modelled_per_op"};

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(names); i++) {
		assert_non_null(metric_find(names[i]));
		assert_true(metric_find(names[i])->deterministic);
		/* They are per operation already. */
		assert_false(metric_is_total(names[i]));
	}
	assert_false(metric_find("real_time")->deterministic);
	assert_false(metric_find("instructions")->deterministic);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_totals_by_the_events_names),
		cmocka_unit_test(absent_totals_are_zero),
		cmocka_unit_test(refuses_what_is_no_count),
		cmocka_unit_test(a_failed_entry_is_left_alone),
		cmocka_unit_test(its_metrics_are_deterministic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
