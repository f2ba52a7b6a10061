/* SPDX-License-Identifier: MIT */
/* The allocator `buddy` through the common hooks. */
#include "tests/peers/adapter_test.h"

#include <kmem/mm_types.h>
#include <string.h>

#define SPEC "buddy:memory=64M,dma=0,highmem=0,topology=numa:2 pu:1"

static struct allocator *a;

static int create(void **state)
{
	(void)state;
	a = adapter_start(SPEC);
	return 0;
}

static int delete (void **state)
{
	(void)state;
	adapter_end(a);
	return 0;
}

static void find_free(const char *name, double value, void *arg)
{
	if (strcmp(name, "free_pages") == 0 || strcmp(name, "pcp_pages") == 0)
		*(double *)arg += value;
}

static double free_pages_now(void)
{
	double pages = 0;

	a->ops->stats(a, find_free, &pages);
	return pages;
}

static void test_sizes_and_alignment(void **state)
{
	double before = free_pages_now();

	(void)state;
	for (size_t size = 1; size <= (size_t)4 << 20; size = size * 3 / 2 + 1) {
		char *p = a->ops->alloc(a, size, 0, GFP_KERNEL, NUMA_NO_NODE);
		char *q = a->ops->alloc(a, 1,
					size < 4096 ? 8 : PAGE_SIZE << get_order(size),
					GFP_KERNEL, 1);

		assert_non_null(p);
		assert_non_null(q);
		assert_int_equal((uintptr_t)p % (PAGE_SIZE << get_order(size)), 0);
		assert_true(size < 4096 ||
			    (uintptr_t)q % (PAGE_SIZE << get_order(size)) == 0);
		assert_int_equal(page_to_nid(virt_to_page(q)), 1);
		memset(p, 1, size);
		a->ops->free(a, p, size);
		a->ops->free(a, q, size % 2 == 0 ? 1 : 0);
	}
	assert_null(a->ops->alloc(a, ((size_t)4 << 20) + 1, 0, GFP_KERNEL, NUMA_NO_NODE));
	assert_null(a->ops->alloc(a, 4096, 0, GFP_HIGHUSER, NUMA_NO_NODE));
	a->ops->free(a, NULL, 0);
	assert_true(free_pages_now() == before);
}

static void test_bulk(void **state)
{
	static void *blocks[3000];
	double before = free_pages_now();

	(void)state;
	assert_int_equal(a->ops->alloc_bulk(a, 8000, GFP_KERNEL, 3000, blocks), 3000);
	assert_true(free_pages_now() == before - 6000);
	for (int i = 0; i < 3000; i++)
		memset(blocks[i], i, 8000);
	a->ops->free_bulk(a, 8000, 3000, blocks);
	assert_true(free_pages_now() == before);
}

/* As much as there is, and nothing that has no address. */
static void test_bulk_of_too_much(void **state)
{
	static void *blocks[20000];
	double before = free_pages_now();
	size_t got;

	(void)state;
	assert_int_equal(a->ops->alloc_bulk(a, 4096, GFP_HIGHUSER, 2, blocks), 0);
	got = a->ops->alloc_bulk(a, 4096, GFP_KERNEL | __GFP_NOWARN, 20000, blocks);
	assert_in_range(got, (size_t)before / 2, (size_t)before);
	a->ops->free_bulk(a, 4096, got, blocks);
	assert_true(free_pages_now() == before);
}

static unsigned int bugs;

static void count_bug(const char *report, void *arg)
{
	(void)report, (void)arg;
	bugs++;
}

/* What is no block is reported, and the others are freed. */
static void test_bulk_free_of_strangers(void **state)
{
	double before = free_pages_now();
	void *blocks[4];
	char local;

	(void)state;
	assert_int_equal(a->ops->alloc_bulk(a, 4096, GFP_KERNEL, 2, blocks), 2);
	blocks[2] = blocks[1];
	blocks[1] = (char *)blocks[0] + 8;
	blocks[3] = &local;
	kmem_set_bug_handler(count_bug, NULL);
	a->ops->free_bulk(a, 4096, 4, blocks);
	kmem_set_bug_handler(NULL, NULL);
	assert_int_equal(bugs, 2);
	assert_true(free_pages_now() == before);
}

/* What was set up before the refusal is given back: another instance can be made. */
static void test_refused_options(void **state)
{
	static const struct allocator_env env = {.threads = 1};
	struct allocator *made;

	(void)state;
	assert_null(allocator_new("buddy:mobility=on,lower=lists", &env));
	assert_non_null(strstr(kmem_last_error(), "mobility=on needs lower=rows"));
	made = allocator_new(SPEC, &env);
	assert_non_null(made);
	allocator_delete(made);
}

static void test_trim(void **state)
{
	char *p = a->ops->alloc(a, (size_t)1 << 20, 0, GFP_KERNEL, 0);

	(void)state;
	memset(p, 1, (size_t)1 << 20);
	a->ops->free(a, p, (size_t)1 << 20);
	a->ops->trim(a);
	assert_int_equal(p[70000], 0);
}

static void test_second_instance_is_refused(void **state)
{
	static const struct allocator_env env = {.threads = 1};

	(void)state;
	assert_null(allocator_new(SPEC, &env));
	assert_non_null(strstr(kmem_last_error(), "already set up"));
}

int main(void)
{
	/* Each test creates and deletes: an instance can follow another. */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_sizes_and_alignment, create, delete),
		cmocka_unit_test_setup_teardown(test_bulk, create, delete),
		cmocka_unit_test_setup_teardown(test_bulk_of_too_much, create, delete),
		cmocka_unit_test_setup_teardown(test_bulk_free_of_strangers, create,
						delete),
		cmocka_unit_test(test_refused_options),
		cmocka_unit_test_setup_teardown(test_trim, create, delete),
		cmocka_unit_test_setup_teardown(test_second_instance_is_refused, create,
						delete),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
