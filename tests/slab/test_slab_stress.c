/* SPDX-License-Identifier: MIT */
/*
 * Many threads on few CPUs, each freeing what others have allocated, while one
 * shrinks and reaps. Every object carries a stamp of its owner: an object that
 * two threads hold at once is seen as a stamp that changes.
 */
#include "slab_test.h"
#include "tests/os/percpu_report.h"
#include <pthread.h>
#include <unistd.h>

#define THREADS	 12
#define EXCHANGE 512
#define ROUNDS	 20000

struct shared {
	struct kmem_cache *cache[2];
	void *_Atomic exchange[EXCHANGE]; /* objects under way between threads */
	_Atomic unsigned long mismatches, failures;
	_Atomic int stop;
};

struct object {
	_Atomic uint64_t stamp; /* ~own address while it is on its way */
	uint32_t kind;		/* 0, 1: cache; 2: kmalloc */
};

static bool migrate; /* set while no worker runs */

struct worker {
	struct shared *shared;
	pthread_t thread;
	uint64_t rng;
	uint64_t id;
};

static uint64_t worker_rng(struct worker *w)
{
	w->rng ^= w->rng << 13;
	w->rng ^= w->rng >> 7;
	w->rng ^= w->rng << 17;
	return w->rng;
}

static struct object *make(struct worker *w)
{
	uint32_t kind = (uint32_t)(worker_rng(w) % 3);
	struct object *o = kind < 2 ? kmem_cache_alloc(w->shared->cache[kind], GFP_KERNEL)
				    : kmalloc(16 + worker_rng(w) % 3000, GFP_KERNEL);

	if (!o) {
		atomic_fetch_add(&w->shared->failures, 1);
		return NULL;
	}
	atomic_store_explicit(&o->stamp, w->id, memory_order_relaxed);
	o->kind = kind;
	/* Somebody else who holds the object would write its stamp about now. */
	if (worker_rng(w) % 64 == 0)
		sched_yield();
	if (atomic_load_explicit(&o->stamp, memory_order_relaxed) != w->id)
		atomic_fetch_add(&w->shared->mismatches, 1);
	atomic_store_explicit(&o->stamp, ~(uint64_t)(uintptr_t)o, memory_order_relaxed);
	return o;
}

static void unmake(struct shared *shared, struct object *o)
{
	if (atomic_load_explicit(&o->stamp, memory_order_relaxed) !=
	    ~(uint64_t)(uintptr_t)o)
		atomic_fetch_add(&shared->mismatches, 1);
	if (o->kind < 2)
		kmem_cache_free(shared->cache[o->kind], o);
	else
		kfree(o);
}

/* Another CPU at random of those that the process may use. */
static void move(struct worker *w)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET((unsigned int)(worker_rng(w) % os_nr_cpus()), &one);
	sched_setaffinity(0, sizeof(one), &one); /* fails for one that it may not */
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct shared *shared = w->shared;

	for (int i = 0; i < ROUNDS; i++) {
		if (migrate && i % 50 == 0)
			move(w);
		struct object *o = make(w);
		void *_Atomic *slot = &shared->exchange[worker_rng(w) % EXCHANGE];

		o = atomic_exchange_explicit(slot, o, memory_order_acq_rel);
		if (o)
			unmake(shared, o);
		if (i % 1000 == 0) {
			void *bulk[100];
			size_t n = kmem_cache_alloc_bulk(shared->cache[0], GFP_KERNEL,
							 100, bulk);

			kmem_cache_free_bulk(shared->cache[0], n, bulk);
		}
	}
	return NULL;
}

static void *shrink(void *arg)
{
	struct shared *shared = arg;

	while (!atomic_load(&shared->stop)) {
		kmem_cache_shrink(shared->cache[0]);
		kmem_cache_reap_idle();
		kmem_cache_reap();
		sched_yield();
	}
	return NULL;
}

static void run_stress(const char *options)
{
	struct shared *shared = calloc(1, sizeof(*shared));
	struct worker workers[THREADS];
	pthread_t shrinker;

	slab_test_start(options);
	shared->cache[0] = kmem_cache_create("s0", 64, 0, 0, NULL, NULL);
	shared->cache[1] = kmem_cache_create("s1", 600, 0, 0, NULL, NULL);
	for (uint64_t i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){.shared = shared,
					     .rng = 0x9e3779b97f4a7c15ULL * (i + 1),
					     .id = i + 1};
		assert_int_equal(
			pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	}
	assert_int_equal(pthread_create(&shrinker, NULL, shrink, shared), 0);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(workers[i].thread, NULL);
	atomic_store(&shared->stop, 1);
	pthread_join(shrinker, NULL);
	for (size_t i = 0; i < EXCHANGE; i++) {
		if (shared->exchange[i])
			unmake(shared, shared->exchange[i]);
	}
	assert_int_equal(shared->mismatches, 0);
	assert_int_equal(shared->failures, 0);
	assert_int_equal(slab_test_info("s0").active_objs, 0);
	assert_int_equal(slab_test_info("s1").active_objs, 0);
	assert_int_equal(kmem_cache_destroy(shared->cache[0]), 0);
	assert_int_equal(kmem_cache_destroy(shared->cache[1]), 0);
	assert_no_report();
	slab_test_stop();
	free(shared);
}

#define STRESS(name, options)          \
	static void name(void **state) \
	{                              \
		(void)state;           \
		run_stress(options);   \
	}

STRESS(test_default, "")
STRESS(test_small_arrays, "limit=4")
STRESS(test_depot_off, "depot=off,limit=16")
STRESS(test_depot_shared, "depot=shared,limit=16")
STRESS(test_limits_fixed, "limits=fixed,limit=16,batchcount=4")
STRESS(test_percpu_off, "percpu=off")
STRESS(test_debug, "debug=on")
STRESS(test_hardened, "hardened=on")
STRESS(test_hardened_small_arrays, "hardened=on,shuffle=on,limit=4")
STRESS(test_hardened_nodes, "hardened=on,topology=numa:2 core:1 pu:1,limit=16")
STRESS(test_two_nodes, "topology=numa:2 core:1 pu:1,limit=16")
STRESS(test_two_nodes_alien_off, "topology=numa:2 core:1 pu:1,limit=16,alien=off")

/* Threads that are moved from CPU to CPU all the time, many on each, while arrays are
 * drained under them: sequences must really have been restarted, and have counted it. */
static void test_migration(void **state)
{
	unsigned long before = atomic_load(&os_percpu_aborts);

	(void)state;
	migrate = true;
	for (int i = 0; i < 20; i++) {
		run_stress("limit=32,batchcount=8");
		if (atomic_load(&os_percpu_aborts) > before + 100)
			break;
	}
	migrate = false;
	if (os_percpu_lockless())
		assert_true(atomic_load(&os_percpu_aborts) > before);
}

static void *interrupt(void *arg)
{
	struct shared *shared = arg;

	while (!atomic_load(&shared->stop)) {
		os_restart_sequences();
		usleep(10);
	}
	return NULL;
}

/* The hit path's own sequences are restarted and counted: nothing else runs here. */
static void test_hits_are_restarted(void **state)
{
	struct shared *shared = calloc(1, sizeof(*shared));
	struct kmem_cache *cache;
	pthread_t interrupter;
	uint64_t before;

	(void)state;
	slab_test_start("");
	cache = kmem_cache_create("hits", 64, 0, 0, NULL, NULL);
	kmem_cache_free(cache, kmem_cache_alloc(cache, GFP_KERNEL));
	before = atomic_load(&os_percpu_aborts);
	if (os_percpu_lockless()) {
		assert_int_equal(pthread_create(&interrupter, NULL, interrupt, shared),
				 0);
		while (atomic_load(&os_percpu_aborts) == before) {
			void *object = kmem_cache_alloc(cache, GFP_KERNEL);

			kmem_cache_free(cache, object);
		}
		atomic_store(&shared->stop, 1);
		pthread_join(interrupter, NULL);
	}
	assert_int_equal(slab_test_info("hits").active_objs, 0);
	slab_test_stop();
	free(shared);
}

/* The same with a lock for each CPU in place of restartable sequences. */
static void test_lock_mode(void **state)
{
	bool was = os_percpu_use_rseq;

	(void)state;
	os_cpu_force_mode(false);
	run_stress("");
	run_stress("limit=4");
	run_stress("hardened=on,limit=16");
	os_cpu_force_mode(was);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_default),
		cmocka_unit_test(test_small_arrays),
		cmocka_unit_test(test_depot_off),
		cmocka_unit_test(test_percpu_off),
		cmocka_unit_test(test_depot_shared),
		cmocka_unit_test(test_limits_fixed),
		cmocka_unit_test(test_two_nodes_alien_off),
		cmocka_unit_test(test_migration),
		cmocka_unit_test(test_hits_are_restarted),
		cmocka_unit_test(test_debug),
		cmocka_unit_test(test_two_nodes),
		cmocka_unit_test(test_hardened),
		cmocka_unit_test(test_hardened_small_arrays),
		cmocka_unit_test(test_hardened_nodes),
		cmocka_unit_test(test_lock_mode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
