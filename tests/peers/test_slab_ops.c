/* SPDX-License-Identifier: MIT */
/* The allocator `slab` behind the vtable: every size, every hook, every variant. */
#include "tests/peers/adapter_test.h"

#include <stdlib.h>
#include <string.h>

static void one_block(struct allocator *a, size_t size, size_t align)
{
	unsigned char *p = a->ops->alloc(a, size, align, GFP_KERNEL, NUMA_NO_NODE);

	if (!p)
		fail_msg("size %zu align %zu: %s", size, align, kmem_last_error());
	assert_true(a->ops->usable_size(a, p) >= size);
	assert_int_equal((uintptr_t)p & ((align ? align : 16) - 1), 0);
	p[0] = 1;
	p[size - 1] = 2;
	a->ops->free(a, p, size % 2 ? size : 0);
}

static void every_size_and_alignment(void **state)
{
	static const char *const variants[] = {"slab", "slab:percpu=off", "slab:debug=on",
					       "slab:colour=off,depot=off,limit=16"};

	(void)state;
	for (size_t v = 0; v < KMEM_ARRAY_SIZE(variants); v++) {
		struct allocator *a = adapter_start(variants[v]);

		for (size_t size = 1; size <= (size_t)40 << 20; size += 1 + size / 3) {
			for (size_t align = 0; align <= 4096;
			     align = align ? align * 2 : 8)
				one_block(a, size, align);
		}
		one_block(a, 100, 1 << 21);
		adapter_end_unreported(a);
	}
}

static void impossible_alignment_is_explained(void **state)
{
	struct allocator *a = adapter_start("slab");

	(void)state;
	kmem_error(-1, "an older text");
	assert_null(a->ops->alloc(a, 100, (size_t)16 << 20, GFP_KERNEL, NUMA_NO_NODE));
	assert_non_null(strstr(kmem_last_error(), "aligned to '16777216'"));
	adapter_end_unreported(a);
}

static void realloc_keeps_contents(void **state)
{
	static const size_t sizes[] = {1,   100, 64, 5000, 200000, (size_t)9 << 20,
				       300, 31,	 32};
	struct allocator *a = adapter_start("slab");
	unsigned char *p = a->ops->alloc(a, 1, 0, GFP_KERNEL, NUMA_NO_NODE);
	size_t old = 1;

	(void)state;
	p[0] = 0;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(sizes); i++) {
		p = a->ops->realloc(a, p, old, sizes[i]);
		assert_non_null(p);
		for (size_t b = 0; b < old && b < sizes[i]; b++)
			assert_int_equal(p[b], (unsigned char)b);
		for (size_t b = 0; b < sizes[i]; b++)
			p[b] = (unsigned char)b;
		old = sizes[i];
	}
	a->ops->free(a, p, old);
	adapter_end_unreported(a);
}

static void zalloc_is_zero(void **state)
{
	static const size_t sizes[] = {1, 100, 5000, 200000, (size_t)6 << 20};
	struct allocator *a = adapter_start("slab");

	(void)state;
	for (size_t i = 0; i < 3 * KMEM_ARRAY_SIZE(sizes); i++) {
		size_t size = sizes[i % KMEM_ARRAY_SIZE(sizes)];
		unsigned char *p = a->ops->zalloc(a, size);

		for (size_t b = 0; b < size; b++)
			assert_int_equal(p[b], 0);
		memset(p, 0xff, size);
		a->ops->free(a, p, size);
	}
	adapter_end_unreported(a);
}

static void bulk_of_every_kind(void **state)
{
	static const size_t sizes[] = {16, 1000, 8192, 100000, 300000, (size_t)5 << 20};
	struct allocator *a = adapter_start("slab");
	void *blocks[40];

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(sizes); i++) {
		assert_int_equal(a->ops->alloc_bulk(a, sizes[i], GFP_KERNEL, 40, blocks),
				 40);
		for (size_t b = 0; b < 40; b++)
			memset(blocks[b], (int)b, 16);
		for (size_t b = 0; b < 40; b++)
			assert_int_equal(*(unsigned char *)blocks[b], b);
		a->ops->free_bulk(a, sizes[i], 40, blocks);
	}
	/* Blocks of different classes under one size, as alignment makes them. */
	for (size_t b = 0; b < 40; b++)
		blocks[b] = a->ops->alloc(a, 16, (size_t)16 << b % 8, GFP_KERNEL,
					  NUMA_NO_NODE);
	a->ops->free_bulk(a, 16, 40, blocks);
	adapter_end_unreported(a);
}

static void add_stat(const char *name, double value, void *arg)
{
	assert_true(value >= 0);
	if (strcmp(name, "active_objects") == 0)
		*(double *)arg = value;
}

/* trim gives all slabs of freed blocks back; a second life follows the first. */
static void trim_and_live_again(void **state)
{
	(void)state;
	for (int life = 0; life < 3; life++) {
		struct allocator *a = adapter_start(
			life == 1 ? "slab:backing=private,highmem=0" : "slab");
		double before = -1, after = -1;
		void *p[1000];

		a->ops->stats(a, add_stat, &before);
		for (size_t i = 0; i < 1000; i++)
			p[i] = a->ops->alloc(a, 1 + i * 20, 0, GFP_KERNEL, NUMA_NO_NODE);
		for (size_t i = 0; i < 1000; i++)
			a->ops->free(a, p[i], 1 + i * 20);
		a->ops->trim(a);
		a->ops->stats(a, add_stat, &after);
		assert_true(before >= 0 && after == before);
		if (life == 1)
			assert_null(a->ops->alloc(a, (size_t)5 << 20, 0, GFP_KERNEL, -1));
		assert_null(allocator_new("slab", &(struct allocator_env){.threads = 1}));
		adapter_end_unreported(a);
	}
}

static void nodes_are_obeyed(void **state)
{
	struct allocator *a = adapter_start("slab:topology=numa:2 core:1 pu:1");

	(void)state;
	for (size_t size = 10; size <= (size_t)2 << 20; size *= 3) {
		for (int node = 0; node < 2; node++) {
			void *p = a->ops->alloc(a, size, 0, GFP_KERNEL, node);

			assert_non_null(p);
			a->ops->free(a, p, size);
		}
	}
	adapter_end_unreported(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_size_and_alignment),
		cmocka_unit_test(impossible_alignment_is_explained),
		cmocka_unit_test(realloc_keeps_contents),
		cmocka_unit_test(zalloc_is_zero),
		cmocka_unit_test(bulk_of_every_kind),
		cmocka_unit_test(trim_and_live_again),
		cmocka_unit_test(nodes_are_obeyed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
