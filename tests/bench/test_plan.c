/* SPDX-License-Identifier: MIT */
/* From lists to cells: bench/plan.c, bench/jobfile.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench/jobfile.h"
#include "bench/plan.h"

static const struct plan_cell *cell_of(const struct plan *plan, const char *key)
{
	for (size_t i = 0; i < plan->count; i++) {
		if (strcmp(plan->cells[i].key, key) == 0)
			return &plan->cells[i];
	}
	return NULL;
}

static void test_grid(void **state)
{
	struct plan plan;
	struct grid grid = {.allocators = "null,glibc",
			    .workloads = "pair",
			    .sizes = "16,64",
			    .threads = "1,2"};

	(void)state;
	plan_init(&plan);
	assert_int_equal(plan_add_grid(&plan, &grid), 0);
	assert_int_equal(plan.count, 8);
	assert_int_equal(plan.groups, 4);
	assert_non_null(cell_of(&plan, "pair/glibc/size:64/threads:2"));
	assert_int_equal(cell_of(&plan, "pair/glibc/size:64/threads:2")->group,
			 cell_of(&plan, "pair/null/size:64/threads:2")->group);
	/* The same grid again adds nothing. */
	assert_int_equal(plan_add_grid(&plan, &grid), 0);
	assert_int_equal(plan.count, 8);
	plan_release(&plan);
}

static void test_params_make_a_grid(void **state)
{
	struct plan plan;
	struct grid grid = {.allocators = "glibc", .workloads = "batch:order=lifo,pair"};

	(void)state;
	grid.params = json_pack("{s:s}", "n_blocks", "25,100");
	grid.sizes = "64";
	plan_init(&plan);
	assert_int_equal(plan_add_grid(&plan, &grid), 0);
	assert_int_equal(plan.count, 3);
	assert_non_null(
		cell_of(&plan, "batch/glibc/size:64/n_blocks:25/order:lifo/threads:1"));
	assert_non_null(cell_of(&plan, "pair/glibc/size:64/threads:1"));
	plan_release(&plan);
	json_decref(grid.params);
}

static void test_refusals(void **state)
{
	const struct grid bad[] = {
		{.allocators = "glibcc", .workloads = "pair"},
		{.allocators = "glibc", .workloads = "pear"},
		{.allocators = "glibc", .workloads = "pair", .sizes = "x"},
		{.allocators = "glibc", .workloads = "pair", .threads = "0"},
		{.allocators = "glibc", .workloads = "pair", .threads = "1000000"},
		{.allocators = "glibc", .workloads = "pair", .touch = "some"},
		{.allocators = "slab:percpu=perhaps", .workloads = "pair"},
		{.allocators = "slab:percp=on", .workloads = "pair"},
		{.allocators = "buddy", .workloads = "pair"},	   /* no objects */
		{.allocators = "glibc", .workloads = "page-bulk"}, /* no pages */
		{.allocators = "null",
		 .workloads = "pair",
		 .check = true}, /* not distinct */
		{.allocators = "glibc", .workloads = "xmalloc", .threads = "1"},
		{.allocators = "glibc", .workloads = "batch:order=sideways"},
		{.allocators = "glibc,,null", .workloads = "pair"},
	};

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(bad); i++) {
		struct plan plan;

		plan_init(&plan);
		assert_int_equal(plan_add_grid(&plan, &bad[i]), -EINVAL);
		plan_release(&plan);
	}
}

/* A thread count that one of several cells cannot have is left out, not refused. */
static void test_impossible_count_is_left_out(void **state)
{
	struct plan plan;
	struct grid grid = {
		.allocators = "glibc", .workloads = "xmalloc", .threads = "1,2"};

	(void)state;
	plan_init(&plan);
	assert_int_equal(plan_add_grid(&plan, &grid), 0);
	assert_int_equal(plan.count, 1);
	plan_release(&plan);
}

static void test_block_order(void **state)
{
	struct plan plan;
	struct grid grid = {
		.allocators = "null,glibc,bump", .workloads = "pair", .sizes = "16..1K"};
	size_t first[32], second[32];
	bool seen[32] = {false};

	(void)state;
	plan_init(&plan);
	plan.seed = 5;
	assert_int_equal(plan_add_grid(&plan, &grid), 0);
	assert_int_equal(plan.count, 21);
	plan_block_order(&plan, 0, first);
	plan_block_order(&plan, 1, second);
	for (size_t i = 0; i < plan.count; i++) {
		assert_false(seen[first[i]]);
		seen[first[i]] = true;
		/* The three cells of a group stand together. */
		assert_int_equal(plan.cells[first[i]].group,
				 plan.cells[first[i / 3 * 3]].group);
	}
	assert_memory_not_equal(first, second, plan.count * sizeof(first[0]));
	plan_block_order(&plan, 0, second);
	assert_memory_equal(first, second, plan.count * sizeof(first[0]));
	plan_release(&plan);
}

/* Allocators of one group and block get the same operations; another block others. */
static void test_seeds(void **state)
{
	struct plan plan;
	struct grid grid = {
		.allocators = "null,glibc", .workloads = "pair", .sizes = "16,64"};
	json_int_t seed[3];

	(void)state;
	plan_init(&plan);
	assert_int_equal(plan_add_grid(&plan, &grid), 0);
	for (unsigned int i = 0; i < 3; i++) {
		json_t *spec = plan_cell_spec(&plan, &plan.cells[i % 2], i / 2);

		assert_non_null(spec);
		seed[i] = json_integer_value(json_object_get(spec, "seed"));
		json_decref(spec);
	}
	assert_int_equal(plan.cells[0].group, plan.cells[1].group);
	assert_true(seed[0] == seed[1]);
	assert_true(seed[0] != seed[2]);
	plan_release(&plan);
}

static void test_hash_knows_the_plan(void **state)
{
	struct plan a, b;
	struct grid grid = {.allocators = "glibc", .workloads = "pair", .sizes = "16"};

	(void)state;
	plan_init(&a);
	plan_init(&b);
	plan_add_grid(&a, &grid);
	plan_add_grid(&b, &grid);
	assert_true(plan_hash(&a) == plan_hash(&b));
	b.reps++;
	assert_true(plan_hash(&a) != plan_hash(&b));
	b.reps--;
	grid.sizes = "32";
	plan_add_grid(&b, &grid);
	assert_true(plan_hash(&a) != plan_hash(&b));
	plan_release(&a);
	plan_release(&b);
}

static const char *give_trace(const struct job_section *section, void *arg)
{
	assert_string_equal(section->record, "echo 'a b' c");
	*(int *)arg += 1;
	return NULL;
}

static void test_job(void **state)
{
	struct plan plan;
	struct job job;
	int traces = 0;

	(void)state;
	plan_init(&plan);
	assert_int_equal(
		job_read_text("[global]\nreps = 3\ntime_s=0.5\nallocators=glibc\nseed=9\n"
			      "[one]\nworkloads=batch\nsizes=64\nn_blocks=25,100\n"
			      "[two]\nworkloads=pair\nsizes=16,32\ncheck=on\n",
			      "test", &job, &plan),
		0);
	assert_int_equal(plan.reps, 3);
	assert_true(plan.time_s == 0.5);
	assert_true(job.seed_given);
	assert_int_equal(job_plan(&job, &plan, give_trace, &traces), 0);
	assert_int_equal(plan.count, 4);
	assert_non_null(cell_of(&plan, "pair/glibc/size:16/threads:1/check"));
	job_release(&job);
	plan_release(&plan);

	plan_init(&plan);
	assert_int_equal(job_read_text("[a]\nallocators=glibc\nworkloads=replay\n"
				       "record = echo 'a b'\n  c\n",
				       "test", &job, &plan),
			 0);
	assert_int_equal(job_plan(&job, &plan, give_trace, &traces), -EINVAL);
	assert_int_equal(traces, 1);
	job_release(&job);
	plan_release(&plan);
}

static void test_bad_jobs(void **state)
{
	static const char *const bad[] = {
		"[global]\nreps = many\n[a]\nworkloads=pair\n",
		"[global]\nreps = 0\n[a]\nworkloads=pair\n",
		"[global]\nnonsense = 1\n",
		"reps = 1\n",
		"[a]\nthis is no pair\n",
		"[a]\ncheck = perhaps\n",
	};
	struct plan plan;
	struct job job;

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(bad); i++) {
		plan_init(&plan);
		assert_int_equal(job_read_text(bad[i], "test", &job, &plan), -EINVAL);
		plan_release(&plan);
	}
	plan_init(&plan);
	assert_int_equal(job_read_file("/nonexistent/job.ini", &job, &plan), -EINVAL);
	assert_int_equal(job_read_text("[global]\nreps=1\n", "test", &job, &plan), 0);
	assert_int_equal(job_plan(&job, &plan, give_trace, NULL),
			 -EINVAL); /* no section */
	job_release(&job);
	plan_release(&plan);
}

static void test_library_argument(void **state)
{
	struct plan plan;

	(void)state;
	plan_init(&plan);
	assert_int_equal(plan_add_library(&plan, "nopath"), -EINVAL);
	assert_int_equal(plan_add_library(&plan, "=x"), -EINVAL);
	assert_int_equal(plan_add_library(&plan, "x=/nonexistent.so"), -EINVAL);
	plan_release(&plan);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grid),
		cmocka_unit_test(test_params_make_a_grid),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_impossible_count_is_left_out),
		cmocka_unit_test(test_block_order),
		cmocka_unit_test(test_seeds),
		cmocka_unit_test(test_hash_knows_the_plan),
		cmocka_unit_test(test_job),
		cmocka_unit_test(test_bad_jobs),
		cmocka_unit_test(test_library_argument),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
