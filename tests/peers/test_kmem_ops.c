/* SPDX-License-Identifier: MIT */
/* The allocator `kmem` behind the vtable: every hook, and that it can be made again. */
#include "tests/peers/adapter_test.h"

#include <stdlib.h>
#include <string.h>

static void every_hook(struct allocator *a, size_t size)
{
	const struct allocator_ops *ops = a->ops;
	unsigned char *p, *q;

	for (size_t align = 0; align <= 8192; align = align ? align * 2 : 8) {
		p = ops->alloc(a, size, align, GFP_KERNEL, NUMA_NO_NODE);
		assert_non_null(p);
		assert_int_equal((uintptr_t)p & ((align ? align : 16) - 1), 0);
		assert_true(ops->usable_size(a, p) >= size);
		p[0] = 1;
		p[size - 1] = 2;
		q = ops->realloc(a, p, size, 2 * size + 1);
		assert_non_null(q);
		assert_int_equal(q[size - 1], 2);
		ops->free(a, q, 2 * size + 1);
	}
	p = ops->zalloc(a, size);
	assert_int_equal(p[0] | p[size / 2] | p[size - 1], 0);
	ops->free(a, p, 0);
}

static void test_hooks(void **state)
{
	static const char *const variants[] = {"kmem", "kmem:percpu=off",
					       "kmem:memory=64M,trim=0,large_cache=0",
					       "kmem:limit=16,pcp=off"};

	(void)state;
	for (size_t v = 0; v < KMEM_ARRAY_SIZE(variants); v++) {
		struct allocator *a = adapter_start(variants[v]);

		for (size_t size = 1; size <= (size_t)20 << 20; size += 1 + size / 2)
			every_hook(a, size);
		a->ops->trim(a);
		adapter_end_unreported(a);
	}
}

static void note_stat(const char *name, double value, void *arg)
{
	if (strcmp(name, "large_live") == 0)
		*(double *)arg = value;
}

static void test_stats(void **state)
{
	struct allocator *a = adapter_start("kmem");
	double large = -1;
	void *p = a->ops->alloc(a, (size_t)5 << 20, 0, GFP_KERNEL, NUMA_NO_NODE);

	(void)state;
	a->ops->stats(a, note_stat, &large);
	assert_int_equal((int)large, 1);
	a->ops->free(a, p, 0);
	adapter_end_unreported(a);
}

static void test_one_instance(void **state)
{
	static const struct allocator_env env = {.threads = 1};
	struct allocator *a = adapter_start("kmem");

	(void)state;
	assert_null(allocator_new("kmem", &env));
	assert_null(allocator_new("slab", &env));
	adapter_end_unreported(a);
	a = adapter_start("slab");
	assert_null(allocator_new("kmem", &env));
	allocator_delete(a);
	adapter_end_unreported(adapter_start("kmem"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hooks),
		cmocka_unit_test(test_stats),
		cmocka_unit_test(test_one_instance),
	};

	return cmocka_run_group_tests_name("kmem_ops", tests, NULL, NULL);
}
