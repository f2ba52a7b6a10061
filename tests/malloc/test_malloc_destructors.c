/* SPDX-License-Identifier: MIT */
/*
 * Destructors of a program's caches that allocate, free and reap: they run while the list
 * of caches is locked, wherever a cache is emptied, and whatever they do there must not
 * wait for the thread itself.
 */
#include "spans_test.h"

#include <errno.h>

#include "allocators/slab/slab_internal.h"
#include <signal.h>
#include <unistd.h>

#define N 2000

static void *objects[N];
static unsigned int destructions;
static void (*destroy)(void);

static void destructor(void *object)
{
	(void)object;
	/* What it does may destroy more. */
	if (destructions++ % 16 == 0)
		destroy();
}

/* --- what it does --- */

static void reaps_idle(void)
{
	assert_int_equal(kmem_cache_reap_idle(), 0);
}

static void reaps(void)
{
	kmem_cache_reap();
}

static void looks(void)
{
	struct slab_stats stats;

	slab_stats(&stats);
	assert_true(stats.caches > 0);
	slab_idle_bytes();
}

/* So much is free, and an epoch over, that each slow free looks what may go back. */
static void frees(void)
{
	void *p[64];

	sleep_ms(5);
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(p); i++)
		memset(p[i] = kmem_malloc(9000 + 2000 * i), 1, 9000);
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(p); i++)
		kmem_free(p[i]);
	free_some(20 * MIB, MIB);
}

/* All that is kept is released before it fails. */
static void fails(void)
{
	assert_null(kmem_malloc((size_t)1 << 46));
}

static struct kmem_cache *passing;

/* Under the list's lock it cannot be destroyed, for somebody may stand on it. */
static void unmake(void)
{
	int err = passing != NULL ? kmem_cache_destroy(passing) : 0;

	assert_true(err == 0 || err == -EBUSY);
	if (err == 0)
		passing = NULL;
}

static void makes_caches(void)
{
	/* It may do so in the midst of itself. */
	if (passing == NULL)
		passing = kmem_cache_create("passing", 40, 0, 0, NULL, NULL);
	if (passing != NULL)
		kmem_cache_free(passing, kmem_cache_alloc(passing, GFP_KERNEL));
	unmake();
}

static void (*const deeds[])(void) = {
	reaps_idle, reaps, looks, frees, fails, makes_caches,
};

/* --- where it runs --- */

static void by_reap_idle(struct kmem_cache *cache)
{
	(void)cache;
	kmem_cache_reap_idle(); /* sees what has moved */
	assert_int_equal(destructions, 0);
	kmem_cache_reap_idle();
}

static void by_drain_here(struct kmem_cache *cache)
{
	(void)cache;
	slab_drain_here(true);
}

static void by_reap(struct kmem_cache *cache)
{
	(void)cache;
	kmem_cache_reap();
}

static void by_shrink(struct kmem_cache *cache)
{
	kmem_cache_shrink(cache);
}

static void by_trim(struct kmem_cache *cache)
{
	(void)cache;
	kmem_malloc_trim();
}

static void by_destroy(struct kmem_cache *cache)
{
	assert_int_equal(kmem_cache_destroy(cache), 0);
}

static void (*const ways[])(struct kmem_cache *cache) = {
	by_reap_idle, by_drain_here, by_reap, by_shrink, by_trim, by_destroy,
};

static void run(void (*deed)(void), void (*way)(struct kmem_cache *cache))
{
	struct kmem_cache *cache;
	cpu_set_t before;

	stay_on_one_cpu(&before);
	malloc_test_start("background=off,trim=1");
	cache = kmem_cache_create("destroyed", 700, 0, 0, NULL, destructor);
	for (int i = 0; i < N; i++)
		assert_non_null(objects[i] = kmem_cache_alloc(cache, GFP_KERNEL));
	destroy = looks;
	for (int i = 0; i < N; i++)
		kmem_cache_free(cache, objects[i]);
	destructions = 0;
	destroy = deed;
	/* A thread that waits for itself waits for ever. */
	alarm(60);
	way(cache);
	alarm(0);
	assert_true(destructions > 0);
	destroy = looks;
	if (way != by_destroy)
		assert_int_equal(kmem_cache_destroy(cache), 0);
	unmake();
	assert_null(passing);
	malloc_test_stop();
	sched_setaffinity(0, sizeof(before), &before);
}

static void test_destructors(void **state)
{
	(void)state;
	for (size_t d = 0; d < KMEM_ARRAY_SIZE(deeds); d++) {
		for (size_t w = 0; w < KMEM_ARRAY_SIZE(ways); w++) {
			/* Only where the list is locked has it nothing to do. */
			if (deeds[d] == reaps_idle && ways[w] == by_shrink)
				continue;
			run(deeds[d], ways[w]);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_destructors),
	};

	return cmocka_run_group_tests_name("malloc_destructors", tests, NULL, NULL);
}
