/* SPDX-License-Identifier: MIT */
/*
 * Magazines that tune themselves: what makes them grow and what does not, how they come
 * down again, that all growth is bounded, and nothing lost while many do it at once.
 */
#include "tests/slab/slab_test.h"
#include "allocators/os/os_cpu.h"
#include <pthread.h>
#include <unistd.h>

#define MANY 20000

static struct kmem_cache *cache;
static void *objects[MANY];
static cpu_set_t before_pin;

/* The thread stays where it is, so that there is one set of magazines to look at. */
static void start(const char *options, size_t size)
{
	cpu_set_t one;

	slab_test_start(options);
	cache = kmem_cache_create("m", size, 0, 0, NULL, NULL);
	assert_non_null(cache);
	assert_int_equal(sched_getaffinity(0, sizeof(before_pin), &before_pin), 0);
	CPU_ZERO(&one);
	CPU_SET((unsigned int)sched_getcpu(), &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
}

static void finish(void)
{
	if (slab_check() != 0)
		fail_msg("%s", kmem_last_error());
	assert_int_equal(slab_test_info("m").active_objs, 0);
	assert_int_equal(kmem_cache_destroy(cache), 0);
	assert_int_equal(sched_setaffinity(0, sizeof(before_pin), &before_pin), 0);
	assert_no_report();
	slab_test_stop();
}

static void allocate(size_t n)
{
	for (size_t i = 0; i < n; i++) {
		objects[i] = kmem_cache_alloc(cache, GFP_KERNEL);
		assert_non_null(objects[i]);
		*(size_t *)objects[i] = i;
	}
}

static void give_back(size_t n)
{
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(*(size_t *)objects[i], i);
		kmem_cache_free(cache, objects[i]);
	}
}

static void batches(size_t n, int rounds)
{
	while (rounds-- > 0) {
		allocate(n);
		give_back(n);
	}
}

static uint64_t limit_now(void)
{
	return slab_test_info("m").limit;
}

/* Calls that magazines did not serve. */
static uint64_t misses(void)
{
	struct slab_stats stats;

	slab_stats(&stats);
	return stats.refills + stats.flushes;
}

/* After some rounds a batch comes and goes without a miss, and the batch is all of it;
 * a single magazine, all there is where two cannot change places, takes more rounds. */
static void batches_fit(const char *options)
{
	static const size_t sizes[] = {16, 64, 600};

	for (size_t i = 0; i < KMEM_ARRAY_SIZE(sizes); i++) {
		for (size_t n = 600; n <= (sizes[i] < 100 ? MANY : 2400); n = n * 5 / 2) {
			uint64_t before;
			int rounds = 0;

			start(options, sizes[i]);
			do
				batches(n, 1);
			while (limit_now() < n * 3 / 4 && ++rounds < 120);
			/* They follow at their next misses. */
			batches(n, 5);
			assert_true(limit_now() >= n * 3 / 4);
			assert_true(limit_now() <= n * 2);
			assert_true(slab_test_info("m").batchcount == 128);
			before = misses();
			batches(n, 5);
			if (limit_now() >= n)
				assert_int_equal(misses(), before);
			assert_int_equal(slab_check(), 0);
			finish();
		}
	}
}

static void test_batches_fit(void **state)
{
	(void)state;
	batches_fit("memory=512M");
	batches_fit("memory=512M,magazines=one");
}

static void test_first_limits(void **state)
{
	(void)state;
	start("", 64);
	assert_int_equal(limit_now(), 256);
	assert_int_equal(slab_test_info("m").batchcount, 128);
	for (size_t size = 8; size <= KMALLOC_MAX_SIZE; size *= 2) {
		uint32_t fixed = slab_default_limit(size);
		uint32_t first = slab_first_limit(size, fixed);

		assert_in_range(first, 1, fixed);
		assert_true(first <= 4 || first * size <= 128 << 10);
	}
	finish();
}

static void test_who_does_not_grow(void **state)
{
	static const struct {
		const char *options;
		uint64_t limit;
	} variants[] = {
		{"limits=depots", 2048}, {"limits=fixed", 2048}, {"limit=64", 64},
		{"depot=shared", 2048},	 {"depot=off", 2048},
	};

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(variants); i++) {
		start(variants[i].options, 64);
		batches(5000, 20);
		assert_int_equal(limit_now(), variants[i].limit);
		finish();
	}
}

/* Objects that go one way need no room in a magazine. */
static void test_one_way(void **state)
{
	uint64_t first;

	(void)state;
	start("", 64);
	first = limit_now();
	allocate(MANY);
	assert_int_equal(limit_now(), first);
	give_back(MANY);
	assert_int_equal(limit_now(), first);
	finish();
}

static uint32_t rng(void)
{
	static uint64_t x = 88172645463325252ULL;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (uint32_t)(x >> 32);
}

/* A live number that wanders about. Returns the highest limit on the way. */
static uint64_t walk(size_t *live, long steps)
{
	uint64_t highest = 0;

	for (long i = 0; i < steps; i++) {
		if (*live == 0 || (*live < MANY && rng() % 2)) {
			objects[*live] = kmem_cache_alloc(cache, GFP_KERNEL);
			*(size_t *)objects[*live] = *live;
			++*live;
		} else {
			--*live;
			kmem_cache_free(cache, objects[*live]);
		}
		if (i % 4096 == 0 && limit_now() > highest)
			highest = limit_now();
	}
	return highest;
}

static void test_walk(void **state)
{
	size_t live = 5000;

	(void)state;
	start("", 64);
	allocate(live);
	assert_true(walk(&live, 2000000) <= 512);
	give_back(live);
	finish();
	/* What is small may grow for that, too. */
	start("", 16);
	live = 5000;
	allocate(live);
	assert_in_range(walk(&live, 2000000), 512, 1024);
	give_back(live);
	finish();
}

/* Room that a few misses show to be of little use goes, and comes back where it was of
 * more; but not to and fro for ever. */
static void test_comes_down(void **state)
{
	uint64_t high, lowest, before, now, changes = 0;

	(void)state;
	start("", 600);
	batches(3000, 60);
	high = lowest = now = limit_now();
	assert_true(high >= 2048);
	for (int i = 0; i < 500; i++) {
		batches(high + 10, 1);
		before = now;
		now = limit_now();
		changes += now != before;
		lowest = now < lowest ? now : lowest;
	}
	assert_int_equal(lowest, high / 2);
	assert_int_equal(now, high);
	assert_true(changes < 20);
	finish();
}

/* Idle or drained, they are as they were. */
static void test_begins_anew(void **state)
{
	uint64_t first;

	(void)state;
	start("", 64);
	first = limit_now();
	for (int way = 0; way < 3; way++) {
		batches(8000, 40);
		assert_true(limit_now() >= 4096);
		/* As often as that they have been too large. */
		slab_depot_of_cpu(cache, os_cpu_id())->magazine.shrinks = 3;
		if (way == 0) {
			kmem_cache_reap_idle();
			assert_true(limit_now() >= 4096);
			kmem_cache_reap_idle();
		} else if (way == 1) {
			kmem_cache_shrink(cache);
		} else {
			kmem_cache_reap();
		}
		assert_int_equal(limit_now(), first);
		assert_int_equal(slab_depot_of_cpu(cache, os_cpu_id())->magazine.shrinks,
				 0);
		assert_int_equal(magazine_count(&cache->mag), 0);
		assert_int_equal(slab_test_info("m").num_slabs, 0);
		assert_int_equal(slab_check(), 0);
	}
	finish();
}

/* The program is about to grow: what this CPU keeps goes back, but for what has grown
 * with use, unless nothing else is left. */
static void test_drained_for_growth(void **state)
{
	unsigned int cpu;
	size_t kept;
	uint64_t first;

	(void)state;
	start("", 64);
	cpu = (unsigned int)sched_getcpu();
	first = limit_now();
	batches(first, 1);
	assert_true(magazine_count(&cache->mag) > 0);
	slab_drain_here(false);
	assert_int_equal(magazine_count(&cache->mag), 0);

	batches(8000, 40);
	assert_true(limit_now() >= 4096);
	kept = magazine_count(&cache->mag);
	assert_true(kept >= 4096);
	slab_drain_here(false);
	assert_true(limit_now() >= 4096);
	assert_int_equal(magazine_count(&cache->mag), kept);
	slab_drain_here(true);
	assert_int_equal(magazine_count(&cache->mag), 0);
	assert_int_equal(limit_now(), first);
	assert_int_equal(magazine_limit(&cache->mag, cpu), first);
	assert_int_equal(slab_test_info("m").num_slabs, 0);
	assert_int_equal(slab_check(), 0);
	batches(8000, 40); /* and it grows again */
	assert_true(limit_now() >= 4096);
	finish();
}

/* A 32nd of the memory, for all magazines and depots together; and given back. */
static void test_growth_is_bounded(void **state)
{
	struct kmem_cache *caches[8];
	char name[8];
	uint64_t grown;

	(void)state;
	for (int round = 0; round < 3; round++) {
		start("memory=32M", 64);
		grown = 0;
		for (size_t c = 0; c < KMEM_ARRAY_SIZE(caches); c++) {
			struct kmem_cache *first = cache;

			snprintf(name, sizeof(name), "c%zu", c);
			caches[c] = kmem_cache_create(name, 128, 0, 0, NULL, NULL);
			assert_non_null(caches[c]);
			cache = caches[c];
			batches(6000, 60);
			cache = first;
			grown += (slab_test_info(name).limit - caches[c]->limit) * 128;
		}
		assert_true(grown > 0);
		assert_true(grown <= (uint64_t)(32 << 20) / 32);
		for (size_t c = 0; c < KMEM_ARRAY_SIZE(caches); c++)
			assert_int_equal(kmem_cache_destroy(caches[c]), 0);
		batches(6000, 60);
		assert_true(limit_now() >= 2048);
		finish();
	}
}

/* --- many at once --- */

enum { THREADS = 6, HELD = 3000 };
#if KMEM_SANITIZED
#define ROUNDS 20
#else
#define ROUNDS 400
#endif

static _Atomic bool stop;

/* Batches of one size for a while, then of another. */
static void *batch_worker(void *arg)
{
	uint64_t seed = (uintptr_t)arg, n = 1;
	void **held = malloc(HELD * sizeof(*held));

	for (int round = 0; round < ROUNDS; round++) {
		if (round % 20 == 0) {
			seed = seed * 6364136223846793005ULL + 1;
			n = 1 + (seed >> 33) % HELD;
		}
		for (uint64_t i = 0; i < n; i++) {
			held[i] = kmem_cache_alloc(cache, GFP_KERNEL);
			*(uintptr_t *)held[i] = (uintptr_t)held[i] ^ seed;
		}
		for (uint64_t i = 0; i < n; i++) {
			if (*(uintptr_t *)held[i] != ((uintptr_t)held[i] ^ seed))
				abort();
			kmem_cache_free(cache, held[i]);
		}
	}
	free(held);
	return NULL;
}

static void *drainer(void *arg)
{
	(void)arg;
	for (unsigned int i = 0; !atomic_load(&stop); i++) {
		if (i % 8 == 0)
			kmem_cache_shrink(cache);
		else
			kmem_cache_reap_idle();
		usleep(3000);
	}
	return NULL;
}

static void run_many(const char *options, size_t size)
{
	pthread_t threads[THREADS + 1];

	start(options, size);
	assert_int_equal(sched_setaffinity(0, sizeof(before_pin), &before_pin), 0);
	atomic_store(&stop, false);
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, batch_worker, (void *)(i + 1)),
			0);
	assert_int_equal(pthread_create(&threads[THREADS], NULL, drainer, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&stop, true);
	pthread_join(threads[THREADS], NULL);
	finish();
}

static void test_many(void **state)
{
	(void)state;
	run_many("", 64);
	run_many("", 600);
	run_many("magazines=one", 64);
	run_many("magazines=two,hardened=on", 256);
	run_many("topology=numa:2 core:1 pu:1", 64);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_batches_fit),
		cmocka_unit_test(test_first_limits),
		cmocka_unit_test(test_who_does_not_grow),
		cmocka_unit_test(test_one_way),
		cmocka_unit_test(test_walk),
		cmocka_unit_test(test_comes_down),
		cmocka_unit_test(test_begins_anew),
		cmocka_unit_test(test_drained_for_growth),
		cmocka_unit_test(test_growth_is_bounded),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
