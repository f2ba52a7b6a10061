/* SPDX-License-Identifier: MIT */
/* Which differences between two files keep their figures from being compared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bench/compare.h"

/* Two cells; memory_process NULL: no memory pass. */
static json_t *new_file(const char *memory_process)
{
	json_t *entries = json_array();

	for (int i = 0; i < 2; i++) {
		json_t *ours = json_pack("{s:s, s:s}", "status", "ok", "workload",
					 "pair");

		if (memory_process != NULL)
			json_object_set_new(ours, "memory_process",
					    json_string(memory_process));
		json_array_append_new(entries,
				      json_pack("{s:s, s:o}", "name",
						i == 0 ? "pair/slab" : "pair/glibc",
						"kmembench", ours));
	}
	return json_pack("{s:{s:{s:s, s:{s:s}}}, s:o}", "context", "kmembench", "method",
			 "slices", "machine", "kernel", "Linux 6.18", "benchmarks",
			 entries);
}

static json_t *run_of(json_t *file)
{
	return json_object_get(json_object_get(file, "context"), "kmembench");
}

static char told[256];

static void note(const char *property, const char *a, const char *b, void *arg)
{
	(void)arg;
	snprintf(told, sizeof(told), "%s %s %s", property, a, b);
}

static unsigned int unlike(const json_t *a, const json_t *b, const char *metric)
{
	told[0] = '\0';
	return compare_unlike(a, b, metric, note, NULL);
}

static void machines(void **state)
{
	json_t *a = new_file(NULL), *b = new_file(NULL);
	json_t *machine = json_object_get(run_of(b), "machine");

	(void)state;
	assert_int_equal(unlike(a, b, "real_time"), 0);
	json_object_set_new(machine, "kernel", json_string("Linux 6.19"));
	assert_int_equal(unlike(a, b, "real_time"), 1);
	assert_string_equal(told, "kernel Linux 6.18 Linux 6.19");
	json_object_set_new(machine, "thp", json_string("always"));
	assert_int_equal(unlike(a, b, "real_time"), 2);
	json_decref(a);
	json_decref(b);
}

/* With a memory pass, memory is read in another process: that bears on memory alone. */
static void memory_passes(void **state)
{
	json_t *with = new_file("own"), *without = new_file(NULL);

	(void)state;
	assert_int_equal(unlike(with, with, "rss_bytes_peak"), 0);
	assert_int_equal(unlike(without, without, "rss_bytes_peak"), 0);
	assert_int_equal(unlike(with, without, "real_time"), 0);
	assert_int_equal(unlike(with, without, "latency_alloc_ns_p99"), 0);
	/* Told once, not for every cell. */
	assert_int_equal(unlike(with, without, "live_bytes_max"), 1);
	assert_int_equal(unlike(with, without, "rss_bytes_final"), 1);
	assert_non_null(strstr(told, "memory figures of pair/slab come from"));
	assert_non_null(strstr(told, "the same --memory-time) a memory pass in"));
	json_decref(with);
	json_decref(without);
}

static void memory_passes_of_other_length(void **state)
{
	json_t *a = new_file("own"), *b = new_file("own");

	(void)state;
	json_object_set_new(run_of(a), "memory_time_s", json_real(0.25));
	/* What is not known is no difference. */
	assert_int_equal(unlike(a, b, "rss_bytes_peak"), 0);
	json_object_set_new(run_of(b), "memory_time_s", json_real(0.5));
	assert_int_equal(unlike(a, b, "rss_bytes_peak"), 1);
	assert_string_equal(told, "memory_time_s 0.25 0.5");
	assert_int_equal(unlike(a, b, "real_time"), 0);
	json_decref(a);
	json_decref(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(machines),
		cmocka_unit_test(memory_passes),
		cmocka_unit_test(memory_passes_of_other_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
