/* SPDX-License-Identifier: MIT */
/*
 * Where malloc/ starts slab, the general caches are made when they are first needed: not
 * before, once, by whatever comes first, and under the chain's lock too.
 */
#include "slab_test.h"
#include "allocators/slab/slab_fast.h"

#include <pthread.h>

static void start(const char *options)
{
	slab_test_start_by(options, slab_start);
}

static void count_general(const struct kmem_cache_info *info, void *arg)
{
	*(int *)arg += strncmp(info->name, "size-", 5) == 0;
}

static int nr_general(void)
{
	int n = 0;

	slabinfo(count_general, &n);
	return n;
}

static void test_not_before(void **state)
{
	void *p;
	int before;

	(void)state;
	start("classes=four");
	assert_int_equal(nr_general(), 0);
	p = kmalloc(1000, GFP_KERNEL);
	assert_int_equal(slab_test_info("size-1024").active_objs, 1);
	/* Itself, and perhaps one for the descriptors of its slabs. */
	assert_in_range(nr_general(), 1, 2);
	assert_int_equal(ksize(p), 1024);
	kfree(p);
	before = nr_general();
	kfree(kmalloc(897, GFP_KERNEL));
	assert_int_equal(nr_general(), before);
	kfree(kmalloc(896, GFP_KERNEL));
	assert_in_range(nr_general(), before + 1, before + 2);
	slab_test_stop();
	/* Nothing is left of them at the next start. */
	start("classes=pow2");
	assert_int_equal(nr_general(), 0);
	kfree(kmalloc(60, GFP_KERNEL));
	assert_int_equal(nr_general(), 1);
	slab_test_stop();
}

/* Hits, not only misses, find the cache. */
static void test_hits(void **state)
{
	size_t id;

	(void)state;
	start("classes=four");
	assert_int_equal(kmalloc_small_out(500), 0);
	kfree(kmalloc(500, GFP_KERNEL));
	id = kmalloc_small_out(500);
	assert_int_not_equal(id, 0);
	assert_int_equal(kmalloc_small_out(449), id);
	assert_int_equal(kmalloc_small_out(512), id);
	assert_int_equal(kmalloc_small_out(448), 0);
	assert_int_equal(kmalloc_small_out(513), 0);
	kfree(kmalloc(20000, GFP_KERNEL));
	assert_int_not_equal(kmalloc_large_out(20000), 0);
	assert_int_equal(kmalloc_large_out(20480), kmalloc_large_out(20000));
	assert_int_equal(kmalloc_large_out(20481), 0);
	assert_int_equal(kmalloc_large_out(16384), 0);
	slab_test_stop();
	assert_int_equal(kmalloc_small_out(500), 0);
}

static void test_names_are_taken(void **state)
{
	struct kmem_cache *cache;

	(void)state;
	start("dma=0");
	assert_null(kmem_cache_create("size-64", 64, 0, 0, NULL, NULL));
	assert_string_equal(kmem_last_error(),
			    "a cache named 'size-64' exists, choose another name");
	/* These will never be. */
	cache = kmem_cache_create("size-65", 64, 0, 0, NULL, NULL);
	assert_non_null(cache);
	assert_int_equal(kmem_cache_destroy(cache), 0);
	cache = kmem_cache_create("size-64(DMA)", 64, 0, 0, NULL, NULL);
	assert_non_null(cache);
	assert_int_equal(kmem_cache_destroy(cache), 0);
	slab_test_stop();
}

/* --- many at once --- */

enum { THREADS = 8, ROUNDS = 30 };

static pthread_barrier_t barrier;

static void *use_all(void *arg)
{
	(void)arg;
	pthread_barrier_wait(&barrier);
	for (size_t size = 16; size <= KMALLOC_MAX_CACHE_SIZE; size *= 2) {
		char *p = kmalloc(size, GFP_KERNEL);

		assert_non_null(p);
		p[0] = p[size - 1] = 1;
		kfree(p);
	}
	return NULL;
}

static void test_all_at_once(void **state)
{
	(void)state;
	pthread_barrier_init(&barrier, NULL, THREADS);
	for (int round = 0; round < ROUNDS; round++) {
		pthread_t threads[THREADS];

		start("classes=four");
		for (int i = 0; i < THREADS; i++)
			pthread_create(&threads[i], NULL, use_all, NULL);
		for (int i = 0; i < THREADS; i++)
			pthread_join(threads[i], NULL);
		for (size_t size = 16; size <= KMALLOC_MAX_CACHE_SIZE; size *= 2) {
			char name[SLAB_NAME_MAX];

			snprintf(name, sizeof(name), "size-%zu", size);
			assert_int_equal(slab_test_info(name).objsize_bytes, size);
		}
		assert_no_report();
		slab_test_stop();
	}
	pthread_barrier_destroy(&barrier);
}

/* --- from a destructor, which runs under the chain's lock --- */

static int destroyed;

static void allocating_dtor(void *object)
{
	void *p = kmalloc(3000, GFP_KERNEL);

	(void)object;
	assert_non_null(p);
	kfree(p);
	destroyed++;
}

static void nothing(void *object)
{
	(void)object;
}

static void test_from_destructor(void **state)
{
	struct kmem_cache *cache;

	(void)state;
	start("");
	cache = kmem_cache_create("dtor", 64, 0, 0, nothing, allocating_dtor);
	kmem_cache_free(cache, kmem_cache_alloc(cache, GFP_KERNEL));
	kmem_cache_reap();
	assert_true(destroyed > 0);
	assert_int_equal(slab_test_info("size-4096").active_objs, 0);
	/* The lock is free. */
	kfree(kmalloc(100, GFP_KERNEL));
	assert_int_equal(kmem_cache_destroy(cache), 0);
	slab_test_stop();
}

/* kmem_cache_init() has them all, as the kernel has. */
static void test_all_at_start(void **state)
{
	int without_dma;

	(void)state;
	slab_test_start("classes=pow2,dma=0");
	without_dma = nr_general();
	assert_int_equal(slab_test_info("size-32").active_objs, 0);
	kfree(kmalloc(100, GFP_ATOMIC));
	assert_int_equal(nr_general(), without_dma);
	slab_test_stop();
	slab_test_start("classes=pow2");
	assert_int_equal(nr_general(), 2 * without_dma);
	slab_test_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_at_start),
		cmocka_unit_test(test_not_before),
		cmocka_unit_test(test_hits),
		cmocka_unit_test(test_names_are_taken),
		cmocka_unit_test(test_all_at_once),
		cmocka_unit_test(test_from_destructor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
