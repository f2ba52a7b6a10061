/* SPDX-License-Identifier: MIT */
/*
 * Soak: threads that allocate on one CPU and free on another, in bursts that run arrays
 * and depots full and empty, more threads than there are CPUs and moved about all the
 * time, so that sequences are restarted in the middle. Every object holds its owner's
 * number. KMEM_SOAK_OPS sets the number of operations (10^9 has been run); as a test it
 * does a few million.
 */
#include "tests/slab/slab_test.h"
#include "allocators/os/os_cpu.h"
#include <pthread.h>
#include <unistd.h>

enum { NR_THREADS = 8, TABLE = 4096, BURST = 200 };

#if KMEM_SANITIZED
#define OPS_DEFAULT 400000
#else
#define OPS_DEFAULT 8000000
#endif

struct object {
	_Atomic uint64_t owner; /* 0: nobody, between give() and take() */
};

static struct kmem_cache *cache;
static _Atomic(struct object *) table[TABLE]; /* on their way to another thread */
static _Atomic unsigned long wrong, missing;
static _Atomic bool done;
static unsigned long ops_each;
static pthread_t threads[NR_THREADS];
static pthread_barrier_t worked;

/* So that what a new object holds is known. */
static void ctor(void *object)
{
	atomic_init(&((struct object *)object)->owner, 0);
}

static void take(struct object *object, uint64_t owner)
{
	if (atomic_exchange_explicit(&object->owner, owner, memory_order_relaxed) != 0)
		atomic_fetch_add(&wrong, 1);
}

static void let_go(struct object *object)
{
	if (atomic_exchange_explicit(&object->owner, 0, memory_order_relaxed) == 0)
		atomic_fetch_add(&wrong, 1);
}

static void give(struct object *object)
{
	let_go(object);
	kmem_cache_free(cache, object);
}

/* Returns how many objects it has moved. */
static unsigned long burst(uint64_t self, uint64_t random)
{
	void *objects[BURST];
	size_t n = 1 + random % BURST, got = 0;
	bool bulk = random >> 32 & 1;

	if (bulk)
		got = kmem_cache_alloc_bulk(cache, GFP_NOWAIT, n, objects);
	while (!bulk && got < n) {
		objects[got] = kmem_cache_alloc(cache, GFP_NOWAIT);
		if (!objects[got])
			break;
		got++;
	}
	if (got < n)
		atomic_fetch_add(&missing, 1);
	for (size_t i = 0; i < got; i++)
		take(objects[i], self);
	for (size_t i = 0; i < got; i++)
		let_go(objects[i]);
	if (random >> 33 & 1) {
		kmem_cache_free_bulk(cache, got, objects);
	} else {
		for (size_t i = got; i-- > 0;)
			kmem_cache_free(cache, objects[i]);
	}
	return got;
}

static void *work(void *arg)
{
	uint64_t self = (uint64_t)(uintptr_t)arg + 1;
	uint64_t random = self * 0x9e3779b97f4a7c15u;

	for (unsigned long i = 0; i < ops_each; i++) {
		struct object *object;
		uint64_t dice;

		random = random * 6364136223846793005u + 1442695040888963407u;
		dice = random >> 20;
		if (dice % 256 == 0) {
			i += burst(self, dice >> 8);
			continue;
		}
		object = kmem_cache_alloc(cache, GFP_NOWAIT);
		if (!object) {
			atomic_fetch_add(&missing, 1);
			continue;
		}
		take(object, self);
		object = atomic_exchange_explicit(&table[dice / 256 % TABLE], object,
						  memory_order_acq_rel);
		if (object)
			give(object);
	}
	pthread_barrier_wait(&worked);
	pthread_barrier_wait(&worked);
	return NULL;
}

/* Pins threads now here, now there, interrupts whatever sequence is under way, and drains
 * what they are at. */
static void *disturb(void *arg)
{
	unsigned int round = 0, cpus = os_nr_cpus();

	(void)arg;
	while (!atomic_load(&done)) {
		cpu_set_t set;

		CPU_ZERO(&set);
		CPU_SET(round / NR_THREADS % cpus, &set);
		pthread_setaffinity_np(threads[round % NR_THREADS], sizeof(set), &set);
		round++;
		if (os_percpu_lockless())
			os_restart_sequences();
		if (round % 64 == 0)
			kmem_cache_reap_idle();
		if (round % 512 == 0)
			kmem_cache_shrink(cache);
		usleep(100);
	}
	return NULL;
}

static unsigned long wanted_ops(void)
{
	const char *text = getenv("KMEM_SOAK_OPS");

	return text ? strtoul(text, NULL, 10) : OPS_DEFAULT;
}

/* Returns how many sequences were restarted. */
static unsigned long soak(const char *options, unsigned long ops)
{
	uint64_t aborts = atomic_load(&os_percpu_aborts);
	struct slab_stats stats;
	pthread_t disturber;

	slab_test_start(options);
	cache = kmem_cache_create("soak", 64, 0, 0, ctor, NULL);
	ops_each = ops / NR_THREADS;
	atomic_store(&done, false);
	for (uintptr_t i = 0; i < NR_THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work, (void *)i), 0);
	assert_int_equal(pthread_create(&disturber, NULL, disturb, NULL), 0);
	/* Threads end only when nobody moves them any more. */
	pthread_barrier_wait(&worked);
	atomic_store(&done, true);
	pthread_join(disturber, NULL);
	pthread_barrier_wait(&worked);
	for (int i = 0; i < NR_THREADS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < TABLE; i++) {
		struct object *object = atomic_exchange(&table[i], NULL);

		if (object)
			give(object);
	}
	assert_int_equal(atomic_load(&wrong), 0);
	assert_int_equal(atomic_load(&missing), 0);
	assert_int_equal(slab_test_info("soak").active_objs, 0);
	slab_stats(&stats);
	assert_int_equal(slab_check(), 0);
	assert_int_equal(kmem_cache_destroy(cache), 0);
	assert_no_report();
	slab_test_stop();
	aborts = atomic_load(&os_percpu_aborts) - aborts;
	print_message("%lu operations, %lu sequences restarted, %lu pages stolen, %lu "
		      "objects sent home\n",
		      ops, (unsigned long)aborts, (unsigned long)stats.stolen,
		      (unsigned long)stats.alien);
	return (unsigned long)aborts;
}

static void test_depots(void **state)
{
	unsigned long aborts = 0;

	(void)state;
	/* Without restarts nothing has been shown; a busy machine may bring few. */
	for (int round = 0; round < 20 && aborts == 0; round++) {
		aborts = soak("limit=32,batchcount=8", wanted_ops());
		if (!os_percpu_lockless())
			return;
	}
	assert_true(aborts > 0);
}

static void test_nodes(void **state)
{
	(void)state;
	soak("topology=numa:2 core:1 pu:1,limit=32,batchcount=8", wanted_ops() / 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_depots),
		cmocka_unit_test(test_nodes),
	};
	int failed;

	pthread_barrier_init(&worked, NULL, NR_THREADS + 1);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	pthread_barrier_destroy(&worked);
	return failed;
}
