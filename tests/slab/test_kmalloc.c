/* SPDX-License-Identifier: MIT */
/* The general caches: sizes, alignment, reallocation, large blocks. */
#include "slab_test.h"
#include "allocators/slab/slab_fast.h"

/* Every variant of classes: large enough, aligned as promised, and no more than the
 * share of the block idle that the variant stands for. */
static void check_classes(const char *options, size_t min_size, size_t idle_share)
{
	slab_test_start(options);
	for (size_t size = 1; size <= KMALLOC_MAX_CACHE_SIZE; size += 1 + size / 300) {
		void *p = kmalloc(size, GFP_KERNEL);
		size_t class = ksize(p);

		assert_true(class >= size && class >= min_size);
		assert_int_equal((uintptr_t)p % (class & -class), 0);
		if (size > 64)
			assert_true(class - size <= class / idle_share);
		memset(p, 0xee, class);
		kfree(p);
		p = kmalloc(kmalloc_aligned_size(size, 256), GFP_KERNEL);
		assert_int_equal((uintptr_t)p % 256, 0);
		kfree(p);
	}
	assert_no_report();
	slab_test_stop();
}

static void test_classes(void **state)
{
	(void)state;
	check_classes("classes=pow2", 32, 2);
	check_classes("classes=linux", 32, 2);
	check_classes("classes=four", 16, 5);
	check_classes("classes=four,percpu=off", 16, 5);
	check_classes("classes=four,debug=on", 16, 5);
}

/* More caches than there are numbers: the last ones work, slower. */
static void test_more_caches_than_ids(void **state)
{
	struct kmem_cache *caches[MAGAZINE_NR + 20];
	void *objects[MAGAZINE_NR + 20];
	char name[16];

	(void)state;
	slab_test_start("");
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(caches); i++) {
		snprintf(name, sizeof(name), "own-%zu", i);
		caches[i] = kmem_cache_create(name, 100, 0, 0, NULL, NULL);
		objects[i] = kmem_cache_alloc(caches[i], GFP_KERNEL);
		assert_non_null(objects[i]);
	}
	assert_int_equal(caches[KMEM_ARRAY_SIZE(caches) - 1]->mag.out, 0);
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(caches); i++) {
		if (i % 2)
			kmem_cache_free(caches[i], objects[i]);
		else
			kfree(objects[i]);
		assert_int_equal(kmem_cache_destroy(caches[i]), 0);
	}
	assert_no_report();
	slab_test_stop();
}

static size_t power_of_two_above(size_t size)
{
	size_t result = KMALLOC_MIN_SIZE;

	while (result < size)
		result *= 2;
	return result;
}

static void check_size(size_t size)
{
	size_t class = power_of_two_above(size);
	unsigned char *p = kmalloc(size, GFP_KERNEL);

	assert_non_null(p);
	assert_int_equal(ksize(p), class);
	assert_int_equal((uintptr_t)p % (class < PAGE_SIZE << 10 ? class : 1), 0);
	memset(p, 0xee, class);
	kfree(p);
}

static void test_every_size(void **state)
{
	static const char *const variants[] = {"", "percpu=off", "debug=on"};

	(void)state;
	for (size_t v = 0; v < KMEM_ARRAY_SIZE(variants); v++) {
		slab_test_start(variants[v]);
		for (size_t size = 0; size <= 20000; size += 1 + size / 700)
			check_size(size);
		for (size_t class = 32; class <= KMALLOC_MAX_SIZE; class *= 2) {
			check_size(class - 1);
			check_size(class);
			if (class < KMALLOC_MAX_SIZE)
				check_size(class + 1);
		}
		assert_no_report();
		slab_test_stop();
	}
}

static void test_too_large(void **state)
{
	(void)state;
	slab_test_start("");
	assert_null(kmalloc(KMALLOC_MAX_SIZE + 1, GFP_KERNEL));
	assert_string_equal(kmem_last_error(),
			    "kmalloc of '4194305' bytes: the largest block "
			    "has 4194304, use vmalloc");
	assert_null(kmalloc(SIZE_MAX, GFP_KERNEL));
	assert_null(kmalloc(200000, GFP_HIGHUSER));
	assert_null(kmalloc(200, GFP_HIGHUSER));
	assert_null(kmalloc(200, 0x80000000u));
	kfree(NULL);
	assert_int_equal(ksize(NULL), 0);
	assert_no_report();
	slab_test_stop();
}

static void test_kzalloc(void **state)
{
	static const size_t sizes[] = {1, 32, 100, 5000, 131072, 131073, 1 << 20};

	(void)state;
	slab_test_start("");
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(sizes); i++) {
		for (int round = 0; round < 3; round++) {
			unsigned char *p = kzalloc(sizes[i], GFP_KERNEL);

			for (size_t b = 0; b < sizes[i]; b++)
				assert_int_equal(p[b], 0);
			memset(p, 0xff, sizes[i]);
			kfree(p);
		}
	}
	slab_test_stop();
}

static void test_krealloc(void **state)
{
	unsigned char *p, *q;

	(void)state;
	slab_test_start("");
	p = krealloc(NULL, 40, GFP_KERNEL);
	assert_int_equal(ksize(p), 64);
	for (int i = 0; i < 64; i++)
		p[i] = (unsigned char)i;
	assert_ptr_equal(krealloc(p, 64, GFP_KERNEL), p);
	q = krealloc(p, 65, GFP_KERNEL);
	assert_ptr_not_equal(p, q);
	assert_int_equal(ksize(q), 128);
	q = krealloc(q, 1 << 20, GFP_KERNEL);
	for (int i = 0; i < 64; i++)
		assert_int_equal(q[i], i);
	assert_ptr_equal(krealloc(q, 10, GFP_KERNEL), q);
	/* Too large: the old block stays. */
	assert_null(krealloc(q, KMALLOC_MAX_SIZE + 1, GFP_KERNEL));
	assert_int_equal(q[63], 63);
	assert_null(krealloc(q, 0, GFP_KERNEL));
	assert_int_equal(slab_test_info("size-64").active_objs, 0);
	slab_test_stop();
}

static void test_dma(void **state)
{
	void *p;

	(void)state;
	slab_test_start("");
	p = kmalloc(1000, GFP_KERNEL | GFP_DMA);
	assert_int_equal(page_zonenum(virt_to_page(p)), ZONE_DMA);
	assert_int_equal(slab_test_info("size-1024(DMA)").active_objs, 1);
	kfree(p);
	p = kmalloc(200000, GFP_KERNEL | GFP_DMA);
	assert_int_equal(page_zonenum(virt_to_page(p)), ZONE_DMA);
	kfree(p);
	slab_test_stop();

	slab_test_start("dma=0");
	assert_null(kmalloc(1000, GFP_KERNEL | GFP_DMA));
	assert_string_equal(kmem_last_error(),
			    "kmalloc: there is no DMA zone, set dma=16M or "
			    "drop __GFP_DMA");
	slab_test_stop();
}

/* kfree() finds the cache by itself, also of an object that kmalloc() did not make. */
static void test_kfree_any_cache(void **state)
{
	struct kmem_cache *cache;

	(void)state;
	slab_test_start("");
	cache = kmem_cache_create("own", 56, 0, 0, NULL, NULL);
	kfree(kmem_cache_alloc(cache, GFP_KERNEL));
	assert_int_equal(slab_test_info("own").active_objs, 0);
	assert_no_report();
	slab_test_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_size),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_kzalloc),
		cmocka_unit_test(test_krealloc),
		cmocka_unit_test(test_dma),
		cmocka_unit_test(test_kfree_any_cache),
		cmocka_unit_test(test_classes),
		cmocka_unit_test(test_more_caches_than_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
