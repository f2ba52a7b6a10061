/* SPDX-License-Identifier: MIT */
/* Giving back what lies unused: a CPU's own magazines, empty slabs, pages inside slabs.
 */
#include "slab_test.h"

#include <pthread.h>
#include <sched.h>

enum { N = 2000 };
static void *objects[N];

/* What one CPU keeps is looked at: the thread stays where it is. */
static void stay_here(void)
{
	cpu_set_t cpus;
	int cpu = sched_getcpu();

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	assert_int_equal(sched_setaffinity(0, sizeof(cpus), &cpus), 0);
}

static struct kmem_cache *cache_used_once(const char *name, size_t size)
{
	struct kmem_cache *cache = kmem_cache_create(name, size, 0, 0, NULL, NULL);

	assert_non_null(cache);
	for (int i = 0; i < N; i++)
		assert_non_null(objects[i] = kmem_cache_alloc(cache, GFP_KERNEL));
	for (int i = 0; i < N; i++)
		kmem_cache_free(cache, objects[i]);
	return cache;
}

static size_t kept(struct kmem_cache *cache)
{
	return magazine_count(&cache->mag) + slab_depot_sum(cache).objects;
}

/* One magazine and two, and depots: all empty, and no slab is left. */
static void test_drains_here(void **state)
{
	struct kmem_cache *small, *large;

	(void)state;
	slab_test_start("");
	stay_here();
	small = cache_used_once("small", 64);
	large = cache_used_once("large", 1024);
	assert_true(kept(small) > 0 && kept(large) > 0);
	assert_true(slab_drain_here(true) > 0);
	assert_int_equal(kept(small), 0);
	assert_int_equal(kept(large), 0);
	assert_int_equal(slab_test_info("small").num_slabs, 0);
	assert_int_equal(slab_test_info("large").num_slabs, 0);
	assert_int_equal(slab_drain_here(true), 0);
	slab_test_stop();
}

/* What is live stays, and so do caches that are not to be reaped. */
static void test_drains_no_more(void **state)
{
	struct kmem_cache *cache, *no_reap;
	void *live, *other;

	(void)state;
	slab_test_start("");
	stay_here();
	cache = cache_used_once("cache", 200);
	no_reap = kmem_cache_create("no_reap", 200, 0, SLAB_NO_REAP, NULL, NULL);
	other = kmem_cache_alloc(no_reap, GFP_KERNEL);
	kmem_cache_free(no_reap, other);
	live = kmem_cache_alloc(cache, GFP_KERNEL);
	memset(live, 7, 200);
	slab_drain_here(true);
	assert_int_equal(slab_test_info("cache").num_slabs, 1);
	assert_int_equal(kept(cache), 0);
	assert_true(kept(no_reap) > 0);
	assert_int_equal(((char *)live)[199], 7);
	kmem_cache_free(cache, live);
	slab_test_stop();
}

/* Somebody is at the list of caches: nobody waits for that. */
static void test_does_not_wait(void **state)
{
	struct kmem_cache *cache;
	size_t before;

	(void)state;
	slab_test_start("");
	stay_here();
	cache = cache_used_once("cache", 200);
	before = kept(cache);
	slab_chain_lock();
	assert_int_equal(slab_drain_here(true), 0);
	slab_chain_unlock();
	assert_int_equal(kept(cache), before);
	assert_true(slab_drain_here(true) > 0);
	slab_test_stop();
}

/* Slabs that came and went, and those that are there. */
static void test_counts_slabs(void **state)
{
	struct slab_stats before, used, after;
	struct kmem_cache *cache;
	uint64_t slabs;

	(void)state;
	slab_test_start("");
	stay_here();
	slab_stats(&before);
	assert_int_equal(before.grown - before.reaped, before.slabs);
	cache = kmem_cache_create("cache", 1000, 0, 0, NULL, NULL);
	for (int i = 0; i < N; i++)
		assert_non_null(objects[i] = kmem_cache_alloc(cache, GFP_KERNEL));
	slab_stats(&used);
	slabs = slab_test_info("cache").num_slabs;
	assert_true(slabs >= N / 4 / 8);
	assert_true(used.grown - before.grown >= slabs);
	assert_int_equal(used.grown - used.reaped, used.slabs);
	for (int i = 0; i < N; i++)
		kmem_cache_free(cache, objects[i]);
	slab_drain_here(true);
	slab_stats(&after);
	assert_int_equal(after.grown, used.grown);
	assert_true(after.reaped - used.reaped >= slabs);
	assert_int_equal(after.grown - after.reaped, after.slabs);
	slab_test_stop();
}

static void *try_chain(void *arg)
{
	*(bool *)arg = slab_chain_trylock();
	if (*(bool *)arg)
		slab_chain_unlock();
	return NULL;
}

static bool others_get_the_chain(void)
{
	pthread_t thread;
	bool got;

	assert_int_equal(pthread_create(&thread, NULL, try_chain, &got), 0);
	pthread_join(thread, NULL);
	return got;
}

/* Taken again by a destructor, the lock is held until it is given up as often. */
static void test_the_chain_nests(void **state)
{
	struct slab_stats stats;

	(void)state;
	slab_test_start("");
	assert_true(slab_chain_trylock());
	assert_false(slab_chain_trylock());
	assert_false(slab_chain_lock_in_reclaim());
	slab_chain_lock();
	assert_false(others_get_the_chain());
	slab_chain_unlock();
	slab_stats(&stats);
	assert_false(others_get_the_chain());
	slab_chain_unlock();
	assert_true(others_get_the_chain());
	/* Whoever takes it in passing gives it up. */
	kmem_cache_reap_idle();
	kmem_cache_reap();
	slab_drain_here(true);
	slab_idle_bytes();
	slab_discard_free();
	assert_true(others_get_the_chain());
	slab_test_stop();
}

/* A few batches of large objects would be megabytes. */
static void test_free_slabs_in_bytes(void **state)
{
	struct kmem_cache *cache;
	void *p[64];

	(void)state;
	slab_test_start("depot=off,limit=8");
	cache = kmem_cache_create("large", 80000, 0, 0, NULL, NULL);
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(p); i++)
		assert_non_null(p[i] = kmem_cache_alloc(cache, GFP_KERNEL));
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(p); i++)
		kmem_cache_free(cache, p[i]);
	assert_true(cache->node[0].nr_free_slabs * cache->num * cache->stride <=
		    ((size_t)128 << 10) + (size_t)cache->num * cache->stride);
	slab_test_stop();
}

static unsigned int place(struct kmem_cache *cache, void *object)
{
	return (unsigned int)slab_index(cache, slab_of(cache, object), object);
}

/* Pages inside of slabs go back once, and again when something has changed. */
static void test_discards_once(void **state)
{
	struct kmem_cache *cache;
	size_t pages;

	(void)state;
	slab_test_start("percpu=off,descriptors=on");
	cache = kmem_cache_create("pages", 3000, 0, 0, NULL, NULL);
	assert_true(cache->gfporder > 0);
	for (int i = 0; i < N; i++)
		assert_non_null(objects[i] = kmem_cache_alloc(cache, GFP_KERNEL));
	/* The first and the last object of each slab stay. */
	for (int i = 0; i < N; i++) {
		if (place(cache, objects[i]) % (cache->num - 1) != 0) {
			kmem_cache_free(cache, objects[i]);
			objects[i] = NULL;
		}
	}
	pages = slab_discard_free();
	assert_true(pages > N / 8);
	assert_int_equal(slab_discard_free(), 0);
	/* The last ones go. */
	for (int i = 0; i < N; i++) {
		if (objects[i] && place(cache, objects[i]) != 0) {
			kmem_cache_free(cache, objects[i]);
			objects[i] = NULL;
		}
	}
	assert_true(slab_discard_free() > pages);
	assert_int_equal(slab_discard_free(), 0);
	for (int i = 0; i < N / 2; i++) {
		if (!objects[i])
			assert_non_null(objects[i] = kmem_cache_alloc(cache, GFP_KERNEL));
		memset(objects[i], i, 3000);
	}
	for (int i = 0; i < N / 2; i++) {
		assert_int_equal(((unsigned char *)objects[i])[2999], i & 0xff);
		if (place(cache, objects[i]) != 0) {
			kmem_cache_free(cache, objects[i]);
			objects[i] = NULL;
		}
	}
	assert_true(slab_discard_free() > 0);
	for (int i = 0; i < N; i++) {
		if (objects[i])
			kmem_cache_free(cache, objects[i]);
	}
	slab_test_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_drains_here),
		cmocka_unit_test(test_drains_no_more),
		cmocka_unit_test(test_does_not_wait),
		cmocka_unit_test(test_counts_slabs),
		cmocka_unit_test(test_the_chain_nests),
		cmocka_unit_test(test_free_slabs_in_bytes),
		cmocka_unit_test(test_discards_once),
	};

	return cmocka_run_group_tests_name("slab_idle", tests, NULL, NULL);
}
