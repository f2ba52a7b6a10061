/* SPDX-License-Identifier: MIT */
/* Results that were made up, for the tests of compare. */
#ifndef TEST_COMPARE_FIXTURE_H
#define TEST_COMPARE_FIXTURE_H

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

static inline json_t *new_file(void)
{
	return json_pack("{s:{s:i, s:{s:i, s:{s:s, s:s, s:b}}}, s:[]}", "context",
			 "num_cpus", 2, "kmembench", "schema_version", 1, "machine",
			 "cpu_model", "A", "kernel", "Linux 6.18", "simulated_numa", 0,
			 "benchmarks");
}

static inline void add(json_t *file, const char *allocator, int size, int block,
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
static inline void add_blocks(json_t *file, const char *allocator, int size, int blocks,
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

static inline const struct comparison *row_of(const struct comparison_table *table,
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

#endif /* TEST_COMPARE_FIXTURE_H */
