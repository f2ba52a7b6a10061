/* SPDX-License-Identifier: MIT */
/* Shards of one plan are joined; anything else is refused by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "bench/merge.h"
#include "bench/results.h"
#include <kmem/error.h>

static const char *const paths[] = {"one.json", "two.json", "three.json"};

/* Shard `index` of `count` with one cell, named after the shard. */
static json_t *make_shard(int index, int count)
{
	char shard[32], output[32], name[64];
	json_t *root, *ours;

	snprintf(shard, sizeof(shard), "%d/%d", index, count);
	snprintf(output, sizeof(output), "-oshard%d", index);
	snprintf(name, sizeof(name), "pair/slab/size:%d/threads:1", index);
	root = json_pack(
		"{s:{s:s, s:s, s:{s:i, s:b, s:i, s:i, s:i, s:s, s:[s,s,s,s,s,s], s:{s:s, s:b}, "
		"s:{s:i, s:i}, s:[{s:s, s:s}]}}, "
		"s:[{s:s, s:s, s:i, s:f, s:{s:s, s:s, s:s, s:s, s:i, s:{s:i}}}]}",
		"context", "date", index == 1 ? "2026-11-22" : "2026-11-21",
		"library_build_type", "release", "kmembench", "schema_version", 1,
		"complete", 1, "cells_planned", 9, "seed", 7, "reps", 1, "version",
		"0.1.0", "command_line", "kmembench", "sweep", "job.ini", "--shard",
		shard, output, "machine", "kernel", "Linux 6.18", "simulated_numa", 0,
		"shard", "index", index, "count", count, "allocators", "name", "slab",
		"version", "1", "benchmarks", "name", name, "run_name", name,
		"repetition_index", 0, "real_time", 1.0, "kmembench", "status", "ok",
		"allocator", "slab", "allocator_name", "slab", "workload", "pair",
		"threads", 1, "params", "size", index);
	assert_non_null(root);
	ours = json_object_get(json_object_get(root, "context"), "kmembench");
	if (count == 0)
		json_object_del(ours, "shard");
	return root;
}

static json_t *ours_of(json_t *root)
{
	return json_object_get(json_object_get(root, "context"), "kmembench");
}

static void release(json_t **files, size_t count)
{
	for (size_t i = 0; i < count; i++)
		json_decref(files[i]);
}

static void shards_are_joined(void **state)
{
	json_t *files[] = {make_shard(1, 2), make_shard(2, 2)}, *merged, *words;
	char missing[256];

	(void)state;
	merged = results_merge(files, paths, 2, missing, sizeof(missing));
	assert_non_null(merged);
	assert_string_equal(missing, "");
	assert_int_equal(json_array_size(results_entries(merged)), 2);
	assert_true(json_is_true(json_object_get(ours_of(merged), "complete")));
	assert_null(json_object_get(ours_of(merged), "shard"));
	assert_int_equal(json_array_size(json_object_get(ours_of(merged), "merged_from")),
			 2);
	assert_int_equal(json_array_size(json_object_get(ours_of(merged), "allocators")),
			 1);
	words = json_object_get(ours_of(merged), "command_line");
	assert_int_equal(json_array_size(words), 3);
	assert_string_equal(json_string_value(json_array_get(words, 2)), "job.ini");
	assert_string_equal(json_string_value(json_object_get(
				    json_object_get(merged, "context"), "date")),
			    "2026-11-21");
	/* The inputs are as they were. */
	assert_int_equal(
		json_array_size(json_object_get(ours_of(files[0]), "command_line")), 6);
	json_decref(merged);
	release(files, 2);
}

static void missing_shards_are_told(void **state)
{
	json_t *files[] = {make_shard(1, 3), make_shard(3, 3)}, *merged, *all[2];
	char missing[256];

	(void)state;
	json_object_set_new(ours_of(files[1]), "complete", json_false());
	merged = results_merge(files, paths, 2, missing, sizeof(missing));
	assert_non_null(merged);
	assert_string_equal(missing, "'two.json' was interrupted; shard 2/3 is missing");
	assert_true(json_is_false(json_object_get(ours_of(merged), "complete")));
	/* The missing one can be joined later. */
	all[0] = merged;
	all[1] = make_shard(2, 3);
	merged = results_merge(all, paths, 2, missing, sizeof(missing));
	assert_non_null(merged);
	assert_string_equal(missing, "'two.json' was interrupted");
	assert_int_equal(json_array_size(results_entries(merged)), 3);
	json_decref(merged);
	release(all, 2);
	release(files, 2);
}

/* Merging with the second file changed is refused with both words in the text. */
static void expect_refusal(json_t *other, const char *a, const char *b)
{
	json_t *files[] = {make_shard(1, 2), other};
	char missing[256];

	assert_null(results_merge(files, paths, 2, missing, sizeof(missing)));
	assert_non_null(strstr(kmem_last_error(), a));
	assert_non_null(strstr(kmem_last_error(), b));
	release(files, 2);
}

static void unlike_files_are_refused(void **state)
{
	json_t *other = make_shard(2, 2);

	(void)state;
	json_object_set_new(ours_of(other), "seed", json_integer(8));
	expect_refusal(other, "seed", "--seed");
	other = make_shard(2, 2);
	json_object_set_new(json_object_get(ours_of(other), "machine"), "kernel",
			    json_string("Linux 6.19"));
	expect_refusal(other, "machine.kernel", "Linux 6.19");
	other = make_shard(2, 2);
	json_object_set_new(json_object_get(ours_of(other), "machine"), "thp",
			    json_string("always"));
	expect_refusal(other, "machine.thp", "nothing");
	other = make_shard(2, 2);
	json_array_append_new(json_object_get(ours_of(other), "command_line"),
			      json_string("--reps=3"));
	expect_refusal(other, "command line", "--reps=3");
	other = make_shard(2, 2);
	json_object_set_new(
		json_array_get(json_object_get(ours_of(other), "allocators"), 0),
		"version", json_string("2"));
	expect_refusal(other, "allocator", "\"2\"");
	expect_refusal(make_shard(2, 3), "number of shards", "3");
	expect_refusal(make_shard(2, 0), "number of shards", "nothing");
}

static void duplicates_are_refused(void **state)
{
	(void)state;
	expect_refusal(make_shard(1, 2), "'one.json' and 'two.json'",
		       "'pair/slab/size:1/threads:1' of block 0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shards_are_joined),
		cmocka_unit_test(missing_shards_are_told),
		cmocka_unit_test(unlike_files_are_refused),
		cmocka_unit_test(duplicates_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
