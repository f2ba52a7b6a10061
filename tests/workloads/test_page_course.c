/* SPDX-License-Identifier: MIT */
/* Fragmentation of free memory as columns and as figures, from free blocks that are
 * known. */
#include "tests/workloads/model.h"

#include <math.h>
#include <stdio.h>

#include "workloads/harness/page_course.h"

static double blocks[MAX_ORDER], highmem_pages;

static void tell(struct allocator *a, allocator_stat_fn fn, void *arg)
{
	(void)a;
	fn("free_pages_highmem", highmem_pages, arg);
	for (int order = 0; order < MAX_ORDER; order++) {
		char name[32];

		snprintf(name, sizeof(name), "free_blocks_order_%d", order);
		fn(name, blocks[order], arg);
	}
}

static const struct allocator_ops telling = {.name = "telling", .stats = tell};
static const struct allocator_ops silent = {.name = "silent"};

static void read_course(const struct allocator_ops *ops, double *values)
{
	struct allocator a = {.ops = ops};
	struct workload_run run = {.allocator = &a};

	page_course_read(&run, values);
}

struct figures {
	double huge, order3, order9, order10, fragmentation;
	size_t count;
};

static void take(const char *name, double value, void *arg)
{
	struct figures *f = arg;

	f->count++;
	if (strcmp(name, "free_in_huge_blocks_ratio") == 0)
		f->huge = value;
	else if (strcmp(name, "unusable_index_order3_ratio") == 0)
		f->order3 = value;
	else if (strcmp(name, "unusable_index_order9_ratio") == 0)
		f->order9 = value;
	else if (strcmp(name, "unusable_index_order10_ratio") == 0)
		f->order10 = value;
	else if (strcmp(name, "fragmentation_index_order9_ratio") == 0)
		f->fragmentation = value;
}

static struct figures report(const struct allocator_ops *ops)
{
	struct allocator a = {.ops = ops};
	struct figures f = {.fragmentation = -1};
	struct free_blocks b;

	free_blocks_read(&a, &b);
	page_report_free(&b, take, &f);
	return f;
}

/* 512 pages in order 0, 512 in order 6, 1024 in order 9; 2048 of HIGHMEM in order 10. */
static void partly_whole(void **state)
{
	double v[WORKLOAD_COURSE_MAX];
	struct figures f;

	(void)state;
	memset(blocks, 0, sizeof(blocks));
	blocks[0] = 512;
	blocks[6] = 8;
	blocks[9] = 2;
	blocks[10] = 2;
	highmem_pages = 2048;
	read_course(&telling, v);
	assert_true(v[0] == 2048);
	assert_true(v[1] == 0.5);
	assert_true(v[2] == 0.25);
	assert_true(v[3] == 0.25);
	/* A block of order 9 suits: there is no such index. */
	assert_true(isnan(v[4]));
	f = report(&telling);
	assert_int_equal(f.count, 11);
	assert_true(f.huge == 0.5 && f.order3 == 0.25 && f.order9 == 0.5);
	assert_true(f.order10 == 1);
}

static void all_in_pieces(void **state)
{
	double v[WORKLOAD_COURSE_MAX];
	struct figures f;

	(void)state;
	memset(blocks, 0, sizeof(blocks));
	blocks[0] = 1024;
	highmem_pages = 0;
	read_course(&telling, v);
	assert_true(v[0] == 1024 && v[1] == 0 && v[2] == 1 && v[3] == 1);
	/* 1 - (1 + 1024 / 512) / 1024 */
	assert_float_equal(v[4], 1 - 3.0 / 1024, 1e-12);
	f = report(&telling);
	assert_int_equal(f.count, 12);
	assert_float_equal(f.fragmentation, v[4], 1e-12);
}

static void who_tells_nothing_has_no_figures(void **state)
{
	double v[WORKLOAD_COURSE_MAX];

	(void)state;
	read_course(&silent, v);
	for (int i = 0; i < 5; i++)
		assert_true(isnan(v[i]));
	assert_int_equal(report(&silent).count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(partly_whole),
		cmocka_unit_test(all_in_pieces),
		cmocka_unit_test(who_tells_nothing_has_no_figures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
