/* SPDX-License-Identifier: MIT */
/*
 * Memory pressure: requests for pages empty idle caches, SLAB_NO_REAP is left alone, and
 * nobody waits for itself.
 */
#include "tests/slab/slab_test.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#define MEMORY "memory=64M,dma=0,min_free=2M,topology=numa:1 core:1 pu:1"

enum { PAGES_MAX = 1 << 15, OBJECTS = 20000 };

static struct page *pages[PAGES_MAX];
static void *objects[OBJECTS];

/* Single pages until none is to be had; returns how many. */
static size_t take_pages(gfp_t gfp)
{
	size_t n = 0;

	while (n < PAGES_MAX && (pages[n] = alloc_page(gfp)) != NULL)
		n++;
	assert_true(n < PAGES_MAX);
	return n;
}

static void give_pages(size_t n)
{
	while (n > 0)
		__free_page(pages[--n]);
}

static void use_and_free(struct kmem_cache *cache)
{
	for (size_t i = 0; i < OBJECTS; i++) {
		objects[i] = kmem_cache_alloc(cache, GFP_KERNEL);
		assert_non_null(objects[i]);
	}
	for (size_t i = 0; i < OBJECTS; i++)
		kmem_cache_free(cache, objects[i]);
}

static struct buddy_stats page_stats(void)
{
	struct buddy_stats stats;

	buddy_stats(NUMA_NO_NODE, MAX_NR_ZONES, &stats);
	return stats;
}

static void run_direct(const char *options)
{
	struct kmem_cache *idle, *kept, *off_slab;
	uint64_t slabs;
	size_t n;

	slab_test_start(options);
	idle = kmem_cache_create("idle", 700, 0, 0, NULL, NULL);
	kept = kmem_cache_create("kept", 700, 0, SLAB_NO_REAP, NULL, NULL);
	off_slab = kmem_cache_create("off_slab", 4096, 0, 0, NULL, NULL);
	use_and_free(idle);
	use_and_free(kept);
	for (size_t i = 0; i < 1000; i++)
		objects[i] = kmem_cache_alloc(off_slab, GFP_KERNEL);
	for (size_t i = 0; i < 1000; i++)
		kmem_cache_free(off_slab, objects[i]);
	slabs = slab_test_info("kept").num_slabs;
	assert_true(slab_test_info("idle").num_slabs > 0);
	assert_true(slabs > 0);

	/* Who must not wait does not reclaim. */
	n = take_pages(GFP_ATOMIC | __GFP_NOWARN);
	assert_true(slab_test_info("idle").num_slabs > 0);
	give_pages(n);
	n = take_pages(GFP_KERNEL | __GFP_NOWARN);
	assert_int_equal(slab_test_info("idle").num_slabs, 0);
	assert_int_equal(slab_test_info("off_slab").num_slabs, 0);
	assert_int_equal(slab_test_info("kept").num_slabs, slabs);
	assert_true(page_stats().pgsteal_direct > 0);
	assert_true(page_stats().slabs_scanned > 0);
	/* All that is not the kept cache's, or held by those who made the caches. */
	assert_true(n > page_stats().total_pages - page_stats().pages_min -
				slabs * slab_test_info("kept").pagesperslab - 200);
	give_pages(n);
	assert_int_equal(kmem_cache_destroy(idle), 0);
	assert_int_equal(kmem_cache_destroy(kept), 0);
	assert_int_equal(kmem_cache_destroy(off_slab), 0);
	assert_no_report();
	slab_test_stop();
}

static void test_a_request_empties_idle_caches(void **state)
{
	(void)state;
	run_direct(MEMORY);
	run_direct(MEMORY ",percpu=off");
	run_direct(MEMORY ",pcp=off,lower=rows,descriptors=off");
}

/* It gives what is asked for, not everything: free slabs first, one cache at a time. */
static void test_a_little_at_a_time(void **state)
{
	struct kmem_cache *a, *b;
	size_t n;

	(void)state;
	/* Magazines that hold more than is asked for. */
	slab_test_start(MEMORY ",limit=1000");
	a = kmem_cache_create("a", 2000, 0, 0, NULL, NULL);
	b = kmem_cache_create("b", 2000, 0, 0, NULL, NULL);
	use_and_free(a);
	use_and_free(b);
	n = take_pages(GFP_NOWAIT | __GFP_HIGH | __GFP_NOWARN);
	pages[n] = alloc_page(GFP_KERNEL);
	while (pages[n] == NULL && page_stats().pgsteal_direct == 0)
		pages[n] = alloc_page(GFP_KERNEL);
	assert_true(slab_test_info("a").num_slabs + slab_test_info("b").num_slabs > 0);
	if (pages[n] != NULL)
		n++;
	give_pages(n);
	kmem_cache_destroy(a);
	kmem_cache_destroy(b);
	slab_test_stop();
}

static void test_kswapd_does_too(void **state)
{
	struct kmem_cache *cache;
	struct timespec t = {.tv_nsec = 10000000};
	size_t n;

	(void)state;
	slab_test_start(MEMORY ",kswapd=on");
	cache = kmem_cache_create("idle", 700, 0, 0, NULL, NULL);
	use_and_free(cache);
	assert_int_equal(page_stats().pageoutrun, 0);
	n = take_pages(GFP_ATOMIC | __GFP_NOWARN);
	/* It counts what it took after it took it. */
	for (int i = 0; i < 500 && (slab_test_info("idle").num_slabs != 0 ||
				    page_stats().pgsteal_kswapd == 0);
	     i++)
		nanosleep(&t, NULL);
	assert_int_equal(slab_test_info("idle").num_slabs, 0);
	assert_true(page_stats().pgsteal_kswapd > 0);
	assert_int_equal(page_stats().pgsteal_direct, 0);
	give_pages(n);
	kmem_cache_destroy(cache);
	/* Stops it, so that nothing moves during the check. */
	slab_reclaim_exit();
	slab_test_stop();
}

/* The caches themselves are who asks: each grows at the cost of the others. */
static void test_growing_reclaims(void **state)
{
	struct kmem_cache *first, *second;
	size_t n = 0, more = 0;

	(void)state;
	slab_test_start(MEMORY);
	first = kmem_cache_create("first", 4096, 0, 0, NULL, NULL);
	second = kmem_cache_create("second", 3000, 0, SLAB_POISON, NULL, NULL);
	while (n < OBJECTS && (objects[n] = kmem_cache_alloc(first, GFP_KERNEL)))
		n++;
	assert_in_range(n, 10000, OBJECTS - 1);
	for (size_t i = 0; i < n; i++)
		kmem_cache_free(first, objects[i]);
	while (more < OBJECTS && (objects[more] = kmem_cache_alloc(second, GFP_KERNEL)))
		more++;
	assert_true(more > n);
	assert_int_equal(slab_test_info("first").num_slabs, 0);
	while (more > 0)
		kmem_cache_free(second, objects[--more]);
	assert_int_equal(kmem_cache_destroy(first), 0);
	assert_int_equal(kmem_cache_destroy(second), 0);
	slab_test_stop();
}

/* --- recursion --- */

static int destructions;

static void greedy_dtor(void *object)
{
	size_t n = destructions++ == 0 ? take_pages(GFP_KERNEL | __GFP_NOWARN) : 0;

	(void)object;
	give_pages(n);
}

/* Under the lock that reclaim needs, a destructor asks for more than there is. */
static void test_destructor_that_allocates(void **state)
{
	struct kmem_cache *cache;

	(void)state;
	slab_test_start(MEMORY);
	cache = kmem_cache_create("greedy", 700, 0, 0, NULL, greedy_dtor);
	kmem_cache_free(cache, kmem_cache_alloc(cache, GFP_KERNEL));
	destructions = 0;
	assert_int_equal(kmem_cache_destroy(cache), 0);
	assert_true(destructions > 0);
	slab_test_stop();
}

/* --- many at once --- */

static atomic_bool stop;

/* --- under the lock of the list --- */

static struct kmem_cache *doomed;
static int refused;

static void destroying_dtor(void *object)
{
	(void)object;
	refused += kmem_cache_destroy(doomed) == -EBUSY;
}

static void destroying_look(const struct kmem_cache_info *info, void *arg)
{
	(void)info, (void)arg;
	refused += kmem_cache_destroy(doomed) == -EBUSY;
}

static void nothing(void *object)
{
	(void)object;
}

/* Whoever walks the caches stands on one. */
static void test_no_destruction_from_within(void **state)
{
	struct kmem_cache *cache;

	(void)state;
	slab_test_start(MEMORY);
	doomed = kmem_cache_create("doomed", 64, 0, 0, NULL, NULL);
	cache = kmem_cache_create("dtor", 64, 0, 0, nothing, destroying_dtor);
	kmem_cache_free(cache, kmem_cache_alloc(cache, GFP_KERNEL));
	refused = 0;
	kmem_cache_reap();
	assert_true(refused > 0);
	assert_non_null(
		strstr(kmem_last_error(), "cannot be destroyed from a destructor"));
	refused = 0;
	slabinfo(destroying_look, NULL);
	assert_true(refused > 0);
	assert_int_equal(kmem_cache_destroy(doomed), 0);
	assert_int_equal(kmem_cache_destroy(cache), 0);
	slab_test_stop();
}

static void *churn(void *arg)
{
	unsigned int seed = (unsigned int)(uintptr_t)arg;
	enum { HELD = 3000 };
	void *held[HELD];
	size_t n = 0;

	while (!atomic_load(&stop)) {
		size_t size = 100 + rand_r(&seed) % 8000;

		held[n] = kmalloc(size, GFP_KERNEL | __GFP_NOWARN);
		if (held[n] != NULL)
			memset(held[n], (int)n, size);
		n += held[n] != NULL;
		if (n == HELD || (n > 0 && held[n] == NULL))
			while (n > 0)
				kfree(held[--n]);
	}
	while (n > 0)
		kfree(held[--n]);
	return NULL;
}

static void test_threads_under_pressure(void **state)
{
	pthread_t threads[4];
	struct kmem_cache *cache;

	(void)state;
	alarm(240);
	slab_test_start(MEMORY ",kswapd=on");
	atomic_store(&stop, false);
	for (uintptr_t i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, churn, (void *)(i + 1));
	for (int i = 0; i < 60; i++) {
		size_t n = take_pages(GFP_KERNEL | __GFP_NOWARN);

		give_pages(n);
		kmem_cache_reap();
		cache = kmem_cache_create("passing", 300, 0, 0, NULL, NULL);
		if (cache != NULL) {
			kmem_cache_free(cache, kmem_cache_alloc(cache, GFP_KERNEL));
			kmem_cache_destroy(cache);
		}
	}
	atomic_store(&stop, true);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_no_report();
	slab_reclaim_exit();
	slab_test_stop();
	alarm(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_request_empties_idle_caches),
		cmocka_unit_test(test_a_little_at_a_time),
		cmocka_unit_test(test_kswapd_does_too),
		cmocka_unit_test(test_growing_reclaims),
		cmocka_unit_test(test_destructor_that_allocates),
		cmocka_unit_test(test_no_destruction_from_within),
		cmocka_unit_test(test_threads_under_pressure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
