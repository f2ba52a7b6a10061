/* SPDX-License-Identifier: MIT */
/* The allocator `vmalloc` through the common hooks. */
#include "tests/peers/adapter_test.h"

#include <kmem/mm_types.h>
#include <kmem/vmalloc.h>
#include <string.h>

#define SPEC "vmalloc:memory=64M,dma=8M,highmem=16M,range_bytes=1G,topology=numa:2 pu:1"

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

struct wanted {
	const char *name;
	double value;
	bool seen;
};

static void find(const char *name, double value, void *arg)
{
	struct wanted *w = arg;

	if (strcmp(name, w->name) == 0) {
		w->value = value;
		w->seen = true;
	}
}

static double stat_now(const char *name)
{
	struct wanted w = {.name = name};

	a->ops->stats(a, find, &w);
	assert_true(w.seen);
	return w.value;
}

static void test_sizes_and_alignment(void **state)
{
	(void)state;
	for (size_t size = 1; size <= (size_t)2 << 20; size = size * 3 + 1) {
		for (size_t align = 0; align <= 64 << 10; align = align * 8 + 8) {
			size_t power = align == 0
					       ? 0
					       : (size_t)1
							 << (63 - __builtin_clzl(align));
			char *p = a->ops->alloc(a, size, power, GFP_KERNEL, NUMA_NO_NODE);

			assert_non_null(p);
			assert_true(is_vmalloc_addr(p));
			assert_int_equal((uintptr_t)p %
						 (power > PAGE_SIZE ? power : PAGE_SIZE),
					 0);
			assert_int_equal(a->ops->usable_size(a, p),
					 KMEM_ALIGN_UP(size, PAGE_SIZE));
			memset(p, 0xa5, size);
			a->ops->free(a, p, size % 2 == 0 ? size : 0);
		}
	}
	assert_null(a->ops->alloc(a, (size_t)1 << 40, 0, GFP_KERNEL, NUMA_NO_NODE));
	assert_int_equal(stat_now("areas"), 0);
}

/* HIGHMEM comes first, but not where DMA pages are asked for; the node is obeyed. */
static void test_zone_and_node(void **state)
{
	char *high = a->ops->alloc(a, PAGE_SIZE, 0, GFP_KERNEL, 1);
	char *dma = a->ops->alloc(a, PAGE_SIZE, 0, GFP_DMA, 0);

	(void)state;
	assert_non_null(high);
	assert_non_null(dma);
	assert_int_equal(page_zonenum(vmalloc_to_page(high)), ZONE_HIGHMEM);
	assert_int_equal(page_to_nid(vmalloc_to_page(high)), 1);
	assert_int_equal(page_zonenum(vmalloc_to_page(dma)), ZONE_DMA);
	a->ops->free(a, high, PAGE_SIZE);
	a->ops->free(a, dma, PAGE_SIZE);
}

/* A dirty area that is handed out again as a zeroed one. */
static void test_zalloc(void **state)
{
	char *p = a->ops->alloc(a, 16384, 0, GFP_KERNEL, NUMA_NO_NODE);

	(void)state;
	memset(p, 0xa5, 16384);
	a->ops->free(a, p, 16384);
	p = a->ops->zalloc(a, 16384);
	assert_non_null(p);
	for (size_t i = 0; i < 16384; i++)
		assert_int_equal(p[i], 0);
	a->ops->free(a, p, 16384);
}

/* Freed areas keep their pages until trim() gives every one of them back. */
static void test_trim(void **state)
{
	void *p[20];

	(void)state;
	for (int i = 0; i < 20; i++)
		p[i] = a->ops->alloc(a, 64 << 10, 0, GFP_KERNEL, NUMA_NO_NODE);
	assert_int_equal(stat_now("areas"), 20);
	for (int i = 0; i < 20; i++)
		a->ops->free(a, p[i], 64 << 10);
	assert_int_equal(stat_now("areas"), 0);
	assert_int_equal(stat_now("lazy_pages"), 20 * 16);
	a->ops->trim(a);
	assert_int_equal(stat_now("lazy_pages"), 0);
	assert_true(stat_now("unmap_calls") < 20); /* neighbours go by one call */
}

static void test_refused_set_ups(void **state)
{
	static const struct allocator_env env = {.threads = 1};

	(void)state;
	assert_null(allocator_new(SPEC, &env));
	assert_non_null(strstr(kmem_last_error(), "already set up"));
	allocator_delete(a);
	/* What was set up before the refusal is taken down again: the next one works. */
	assert_null(allocator_new("vmalloc:backing=private,highmem=0", &env));
	assert_non_null(strstr(kmem_last_error(), "memfd"));
	a = adapter_start(SPEC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_sizes_and_alignment, create, delete),
		cmocka_unit_test_setup_teardown(test_zone_and_node, create, delete),
		cmocka_unit_test_setup_teardown(test_zalloc, create, delete),
		cmocka_unit_test_setup_teardown(test_trim, create, delete),
		cmocka_unit_test_setup_teardown(test_refused_set_ups, create, delete),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
