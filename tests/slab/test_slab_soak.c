/* SPDX-License-Identifier: MIT */
/*
 * Soak: threads that allocate on one CPU and free on another, in bursts that run arrays
 * and depots full and empty, more threads than there are CPUs and moved about all the
 * time, so that sequences are restarted in the middle. Every object holds its owner's
 * number.
 */
#include "tests/os/percpu_report.h"
#include "tests/os/soak.h"
#include "tests/slab/slab_test.h"

enum { TABLE = 4096, BURST = 200 };

struct object {
	_Atomic uint64_t owner; /* 0: nobody, between give() and take() */
};

static struct kmem_cache *cache;
static _Atomic(struct object *) table[TABLE]; /* on their way to another thread */
static _Atomic unsigned long wrong, missing;

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

static void work(uint64_t self, unsigned long ops)
{
	uint64_t random = self * 0x9e3779b97f4a7c15u;

	for (unsigned long i = 0; i < ops; i++) {
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
}

static void disturb(unsigned int round)
{
	if (round % 64 == 0)
		kmem_cache_reap_idle();
	if (round % 512 == 0)
		kmem_cache_shrink(cache);
}

/* Returns how many sequences were restarted. */
static unsigned long run(const char *options, unsigned long ops)
{
	struct soak soak = {
		.work = work, .disturb = disturb, .ops_each = ops / SOAK_THREADS};
	struct slab_stats stats;
	unsigned long aborts;

	slab_test_start(options);
	cache = kmem_cache_create("soak", 64, 0, 0, ctor, NULL);
	aborts = soak_run(&soak);
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
	print_message("%lu operations, %lu sequences restarted, %lu pages stolen, %lu "
		      "objects sent home\n",
		      ops, aborts, (unsigned long)stats.stolen,
		      (unsigned long)stats.alien);
	return aborts;
}

static void test_depots(void **state)
{
	unsigned long aborts = 0;

	(void)state;
	/* Without restarts nothing has been shown; a busy machine may bring few. */
	for (int round = 0; round < 20 && aborts == 0; round++) {
		aborts = run("limit=32,batchcount=8", soak_ops());
		if (!os_percpu_lockless())
			return;
	}
	assert_true(aborts > 0);
}

static void test_nodes(void **state)
{
	(void)state;
	run("topology=numa:2 core:1 pu:1,limit=32,batchcount=8", soak_ops() / 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_depots),
		cmocka_unit_test(test_nodes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
