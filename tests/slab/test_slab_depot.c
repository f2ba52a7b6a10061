/* SPDX-License-Identifier: MIT */
/*
 * Depots: what lies where after every kind of move, how they grow and shrink, who steals
 * from whom, and that idle ones are emptied.
 */
#include "tests/slab/slab_test.h"
#include "allocators/os/os_cpu.h"
#include <pthread.h>

#define MANY 20000

static struct kmem_cache *cache;
static void *objects[MANY * 2];

static void start(const char *options)
{
	slab_test_start(options);
	cache = kmem_cache_create("d", 64, 0, 0, NULL, NULL);
	assert_non_null(cache);
}

static void finish(void)
{
	if (slab_check() != 0)
		fail_msg("%s", kmem_last_error());
	assert_int_equal(slab_test_info("d").active_objs, 0);
	assert_int_equal(kmem_cache_destroy(cache), 0);
	assert_no_report();
	slab_test_stop();
}

/* n objects taken and given back, every one of them written to. */
static void round_trip(size_t n)
{
	for (size_t i = 0; i < n; i++) {
		objects[i] = kmem_cache_alloc(cache, GFP_KERNEL);
		assert_non_null(objects[i]);
		*(size_t *)objects[i] = i;
	}
	assert_int_equal(slab_test_info("d").active_objs, n);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(*(size_t *)objects[i], i);
		kmem_cache_free(cache, objects[i]);
	}
	assert_int_equal(slab_test_info("d").active_objs, 0);
}

static uint64_t in_depots(void)
{
	return slab_test_info("d").sharedavail;
}

static struct slab_stats stats_now(void)
{
	struct slab_stats stats;

	slab_stats(&stats);
	return stats;
}

/* The thread stays where it is, so that there is one depot to look at. */
static cpu_set_t before_pin;

static void pin_to(unsigned int cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
}

static void pin(void)
{
	assert_int_equal(sched_getaffinity(0, sizeof(before_pin), &before_pin), 0);
	pin_to((unsigned int)sched_getcpu());
}

static void unpin(void)
{
	assert_int_equal(sched_setaffinity(0, sizeof(before_pin), &before_pin), 0);
}

static void test_fixed(void **state)
{
	static const char *const kinds[] = {"depot=shared", "depot=percpu"};
	char options[128];

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(kinds); i++) {
		snprintf(options, sizeof(options),
			 "%s,limits=fixed,limit=64,batchcount=32", kinds[i]);
		start(options);
		pin();
		for (int round = 0; round < 5; round++)
			round_trip(5000);
		/* Eight batches and no more, however often there were too few. */
		assert_int_equal(in_depots(), 8 * 32);
		assert_int_equal(slab_test_info("d").sharedfactor,
				 i == 0 ? 8 : 8 * (1 + os_nr_cpus()));
		assert_int_equal(slab_check(), 0);
		unpin();
		finish();
	}
}

static void test_off(void **state)
{
	(void)state;
	start("depot=off,limit=64");
	round_trip(5000);
	assert_int_equal(in_depots(), 0);
	assert_int_equal(slab_test_info("d").sharedfactor, 0);
	finish();
}

/* A depot serves what an array has no room for, and the slabs are left in peace. */
static void test_grows_to_what_is_needed(void **state)
{
	uint64_t before, factor;

	(void)state;
	start("limit=256,batchcount=64");
	pin();
	factor = slab_test_info("d").sharedfactor;
	for (int round = 0; round < 20; round++)
		round_trip(MANY);
	assert_true(in_depots() >= MANY - 256);
	assert_true(slab_test_info("d").sharedfactor > factor + MANY / 64 - 8);
	before = cache->node[0].refills + cache->node[0].flushes;
	for (int round = 0; round < 5; round++)
		round_trip(MANY);
	assert_int_equal(cache->node[0].refills + cache->node[0].flushes, before);
	/* Drained, it is as it was. */
	kmem_cache_shrink(cache);
	assert_int_equal(in_depots(), 0);
	assert_int_equal(slab_test_info("d").sharedfactor, factor);
	unpin();
	finish();
}

/* Nobody comes for most of what is there: it goes back, a half at a time. */
static void test_shrinks_when_there_is_too_much(void **state)
{
	uint64_t most;

	(void)state;
	start("limit=256,batchcount=64");
	pin();
	for (int round = 0; round < 20; round++)
		round_trip(MANY);
	most = in_depots();
	for (int round = 0; round < 2000; round++)
		round_trip(1000);
	assert_true(in_depots() < most / 4);
	assert_true(in_depots() >= 1000 - 256);
	assert_true(slab_test_info("d").sharedfactor * 64 < most / 2);
	unpin();
	finish();
}

/* All the growth together is at most a 32nd of the memory. */
static void test_growth_is_bounded(void **state)
{
	struct kmem_cache *caches[6];
	uint64_t grown = 0;
	char name[16];

	(void)state;
	start("memory=64M,limit=64,batchcount=32");
	for (int c = 0; c < 6; c++) {
		snprintf(name, sizeof(name), "c%d", c);
		caches[c] = kmem_cache_create(name, 128, 0, 0, NULL, NULL);
		for (int round = 0; round < 20; round++) {
			for (size_t i = 0; i < MANY; i++)
				objects[i] = kmem_cache_alloc(caches[c], GFP_KERNEL);
			for (size_t i = 0; i < MANY; i++)
				kmem_cache_free(caches[c], objects[i]);
		}
	}
	for (int c = 0; c < 6; c++) {
		for (unsigned int i = 0; i < slab_nr_depots(caches[c]); i++)
			grown += slab_depot_number(caches[c], i)->grown *
				 caches[c]->stride;
	}
	assert_true(grown > (1 << 20)); /* it took what it could */
	assert_true(grown <= (64 << 20) / 32);
	assert_int_equal(slab_check(), 0);
	for (int c = 0; c < 6; c++)
		assert_int_equal(kmem_cache_destroy(caches[c]), 0);
	/* What they had grown by is there for others. */
	for (int round = 0; round < 20; round++)
		round_trip(MANY);
	assert_true(in_depots() > MANY / 2);
	finish();
}

static void *free_there(void *arg)
{
	pin_to(*(unsigned int *)arg);
	for (size_t i = 0; i < 1000; i++)
		kmem_cache_free(cache, objects[i]);
	return NULL;
}

/* The CPU that is not this thread's; -1: there is one only. */
static int other_cpu(void)
{
	int here = sched_getcpu();

	for (int cpu = 0; cpu < CPU_SETSIZE && cpu < (int)os_nr_cpus(); cpu++) {
		if (cpu != here && CPU_ISSET((unsigned int)cpu, &before_pin))
			return cpu;
	}
	return -1;
}

static void run_on(unsigned int cpu, void *(*fn)(void *))
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, fn, &cpu), 0);
	pthread_join(thread, NULL);
}

static void test_stealing(void **state)
{
	struct slab_stats before;
	uint64_t slabs, there;
	int cpu;

	(void)state;
	start("limit=64,batchcount=32");
	pin();
	cpu = other_cpu();
	if (cpu >= 0) {
		for (int round = 0; round < 8; round++) { /* the other depot grows */
			for (size_t i = 0; i < 1000; i++)
				objects[i] = kmem_cache_alloc(cache, GFP_KERNEL);
			run_on((unsigned int)cpu, free_there);
		}
		slab_test_info("d");
		there = slab_depot_of_cpu(cache, (unsigned int)cpu)->avail;
		assert_true(there >= 32);
		slabs = slab_test_info("d").num_slabs;
		before = stats_now();
		for (size_t i = 0; i < there; i++)
			objects[i] = kmem_cache_alloc(cache, GFP_KERNEL);
		assert_true(stats_now().stolen > before.stolen);
		assert_int_equal(slab_test_info("d").num_slabs, slabs);
		assert_true(slab_depot_of_cpu(cache, (unsigned int)cpu)->avail < there);
		for (size_t i = 0; i < there; i++)
			kmem_cache_free(cache, objects[i]);
	}
	unpin();
	finish();
}

/* Twice unused is idle; what is used in between is left alone. */
static void test_idle(void **state)
{
	struct kmem_cache *used;
	void *object;

	(void)state;
	start("limit=64,batchcount=32");
	pin();
	used = kmem_cache_create("used", 64, 0, 0, NULL, NULL);
	round_trip(500);
	kmem_cache_free(used, kmem_cache_alloc(used, GFP_KERNEL));
	kmem_cache_reap_idle();
	assert_true(in_depots() > 0);
	assert_true(magazine_count(&cache->mag) > 0);
	object = kmem_cache_alloc(used, GFP_KERNEL);
	kmem_cache_free(used, object);
	assert_true(kmem_cache_reap_idle() > 0);
	assert_int_equal(in_depots(), 0);
	assert_int_equal(magazine_count(&cache->mag), 0);
	assert_int_equal(slab_test_info("d").num_slabs, 0);
	assert_true(magazine_count(&used->mag) > 0);
	assert_int_equal(kmem_cache_destroy(used), 0);
	unpin();
	finish();
}

/* Batches larger than an array and a depot, in every mixture with single objects. */
static void test_bulk(void **state)
{
	static const char *const variants[] = {
		"limit=16,batchcount=8", "limit=16,batchcount=8,limits=fixed",
		"limit=16,batchcount=8,depot=shared", "limit=1000,batchcount=256"};

	(void)state;
	for (size_t v = 0; v < KMEM_ARRAY_SIZE(variants); v++) {
		start(variants[v]);
		for (size_t n = 1; n < 2 * MANY; n = n * 3 + 1) {
			assert_int_equal(
				kmem_cache_alloc_bulk(cache, GFP_KERNEL, n, objects), n);
			for (size_t i = 0; i < n; i++)
				*(size_t *)objects[i] = i;
			for (size_t i = 0; i < n; i++)
				assert_int_equal(*(size_t *)objects[i], i);
			for (size_t i = 0; i < n / 2; i++)
				kmem_cache_free(cache, objects[i]);
			kmem_cache_free_bulk(cache, n - n / 2, objects + n / 2);
			if (slab_check() != 0)
				fail_msg("%s: %s", variants[v], kmem_last_error());
			assert_int_equal(slab_test_info("d").active_objs, 0);
		}
		finish();
	}
}

/* What a CPU has freed it gets back itself, the newest first but for the order within a
 * batch from the depot. */
static void test_order(void **state)
{
	(void)state;
	start("limit=64,batchcount=32,depot=percpu,magazines=one");
	pin();
	for (size_t i = 0; i < 96; i++)
		objects[i] = kmem_cache_alloc(cache, GFP_KERNEL);
	kmem_cache_shrink(cache);
	for (size_t i = 0; i < 96; i++)
		kmem_cache_free(cache, objects[i]);
	assert_int_equal(in_depots(), 32);
	for (size_t i = 96; i-- > 64;)
		assert_ptr_equal(kmem_cache_alloc(cache, GFP_KERNEL), objects[i]);
	for (size_t i = 32; i-- > 0;)
		assert_ptr_equal(kmem_cache_alloc(cache, GFP_KERNEL), objects[i]);
	for (size_t i = 32; i < 64; i++)
		assert_ptr_equal(kmem_cache_alloc(cache, GFP_KERNEL), objects[i]);
	for (size_t i = 0; i < 96; i++)
		kmem_cache_free(cache, objects[i]);
	unpin();
	finish();
}

static size_t nr_kept;

static void keep(void *object, void *arg)
{
	(void)arg;
	objects[nr_kept++] = object;
}

/* A flush that has made room on a new page, and finds the array drained meanwhile. */
static void test_flush_of_nothing(void **state)
{
	void *out[SLAB_BATCH_MAX];
	struct slab_depot *d;

	(void)state;
	start("limit=64,batchcount=7,magazines=one");
	pin();
	d = slab_depot_of_cpu(cache, (unsigned int)sched_getcpu());
	for (int round = 0; round < 20; round++)
		round_trip(2 * DEPOT_PAGE_SLOTS + 7 * 40);
	assert_true(d->avail > DEPOT_PAGE_SLOTS);
	nr_kept = 0;
	while (d->fill < DEPOT_PAGE_SLOTS) {
		assert_int_equal(slab_depot_take(cache, 1, out), 1);
		keep(out[0], NULL);
	}
	magazine_drain_all(&cache->mag, true, keep, NULL);
	assert_int_equal(slab_depot_flush(cache, out), 0);
	assert_int_equal(d->fill, DEPOT_PAGE_SLOTS);
	assert_int_equal(slab_check(), 0);
	while (nr_kept > 0)
		kmem_cache_free(cache, objects[--nr_kept]);
	unpin();
	finish();
}

/* A refill for which others have left no room: what it has no room for stays. */
static void test_refill_of_a_full_array(void **state)
{
	struct slab_depot *d;
	uint32_t avail;
	void *object;

	(void)state;
	start("limit=64,batchcount=16,limits=fixed,magazines=one");
	pin();
	d = slab_depot_of_cpu(cache, (unsigned int)sched_getcpu());
	round_trip(150);
	nr_kept = 0;
	while (magazine_count(&cache->mag) > 64 - 3)
		keep(magazine_pop(&cache->mag), NULL);
	while (magazine_count(&cache->mag) < 64 - 3) {
		assert_int_equal(slab_depot_take(cache, 1, &object), 1);
		assert_true(magazine_push(&cache->mag, object));
	}
	avail = d->avail;
	assert_true(avail > 16);
	object = slab_depot_refill(cache);
	assert_non_null(object);
	assert_int_equal(magazine_count(&cache->mag), 64);
	assert_int_equal(d->avail, avail - 4);
	assert_int_equal(slab_check(), 0);
	kmem_cache_free(cache, object);
	while (nr_kept > 0)
		kmem_cache_free(cache, objects[--nr_kept]);
	unpin();
	finish();
}

/* With many CPUs full arrays must not be most of the memory. */
static void test_default_limit(void **state)
{
	uint64_t bytes;

	(void)state;
	start("memory=32M");
	bytes = ((uint64_t)32 << 20) / 8 / 40 / os_nr_cpus();
	assert_true(slab_default_limit(64) <= (bytes / 64 > 120 ? bytes / 64 : 120));
	assert_true(slab_default_limit(64) >= 120);
	assert_int_equal(slab_default_limit(4 << 20), 1);
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fixed),
		cmocka_unit_test(test_off),
		cmocka_unit_test(test_grows_to_what_is_needed),
		cmocka_unit_test(test_shrinks_when_there_is_too_much),
		cmocka_unit_test(test_growth_is_bounded),
		cmocka_unit_test(test_stealing),
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_bulk),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_flush_of_nothing),
		cmocka_unit_test(test_refill_of_a_full_array),
		cmocka_unit_test(test_default_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
