/* SPDX-License-Identifier: MIT */
/*
 * The gate before the rows: a CPU that works by itself comes to be alone, another one
 * opens the gate, and no page is given out twice while it changes all the time.
 */
#include "allocators/buddy/rows_internal.h"
#include "allocators/os/os_mem.h"
#include "allocators/os/percpu_fast.h"
#include "tests/buddy/buddy_test.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

/* Every request comes to the rows. */
#define MEMORY "memory=64M,dma=0,highmem=0,topology=numa:1 pu:1,pcp=off,lower=rows"

/* Requests that make a CPU alone for certain: two looks of 256 entries, and one in which
 * the thread might have been elsewhere. */
#define QUIET_STEPS 1024

static unsigned int cpus[2], nr_cpus; /* on which we may run */

static void find_cpus(void)
{
	cpu_set_t set;

	if (nr_cpus != 0) /* known before a test has chosen one of them */
		return;
	assert_int_equal(sched_getaffinity(0, sizeof(set), &set), 0);
	for (unsigned int cpu = 0; cpu < CPU_SETSIZE && nr_cpus < 2; cpu++) {
		if (CPU_ISSET(cpu, &set))
			cpus[nr_cpus++] = cpu;
	}
}

static void stay_on(unsigned int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	assert_int_equal(sched_setaffinity(0, sizeof(set), &set), 0);
}

static void work(unsigned int steps)
{
	for (unsigned int i = 0; i < steps; i++) {
		struct page *page = alloc_page(GFP_KERNEL);

		assert_non_null(page);
		__free_page(page);
	}
}

static void *work_elsewhere(void *arg)
{
	stay_on(cpus[1]);
	work(*(unsigned int *)arg);
	return NULL;
}

static int gate_up(void **state)
{
	(void)state;
	find_cpus();
	stay_on(cpus[0]);
	mm_up(MEMORY);
	assert_true(rows_gate_alone());
	/* Nobody is alone for having come first any more. */
	work(QUIET_STEPS);
	return 0;
}

static int gate_down(void **state)
{
	(void)state;
	mm_down();
	return 0;
}

static void alone_after_a_while(void **state)
{
	(void)state;
	assert_true(rows_gate_alone());
	/* What one does alone is no different. */
	for (unsigned int order = 0; order < MAX_ORDER; order++) {
		struct page *page = alloc_pages(GFP_KERNEL, order);

		assert_non_null(page);
		check();
		__free_pages(page, order);
		check();
	}
	assert_true(rows_gate_alone());
}

static void another_cpu_opens_the_gate(void **state)
{
	unsigned int one = 1, many = QUIET_STEPS;
	pthread_t thread;

	(void)state;
	if (nr_cpus < 2)
		skip();
	pthread_create(&thread, NULL, work_elsewhere, &one);
	pthread_join(thread, NULL);
	assert_false(rows_gate_alone());
	work(QUIET_STEPS);
	assert_true(rows_gate_alone());
	/* From one CPU to the other. */
	pthread_create(&thread, NULL, work_elsewhere, &many);
	pthread_join(thread, NULL);
	assert_true(rows_gate_alone());
}

static void trim_and_fork_open_the_gate(void **state)
{
	(void)state;
	buddy_trim();
	assert_false(rows_gate_alone());
	work(QUIET_STEPS);
	assert_true(rows_gate_alone());
	rows_fork_lock();
	assert_false(rows_gate_alone());
	rows_fork_unlock();
	work(QUIET_STEPS);
	assert_true(rows_gate_alone());
}

/* Who sets the allocator up is not who works. */
static void the_worker_inherits(void **state)
{
	unsigned int some = 64;
	pthread_t thread;

	(void)state;
	if (nr_cpus < 2)
		skip();
	mm_down();
	mm_up(MEMORY);
	pthread_create(&thread, NULL, work_elsewhere, &some);
	pthread_join(thread, NULL);
	assert_true(rows_gate_alone());
	work(1);
	assert_true(rows_gate_alone());
	/* Twice is enough. */
	pthread_create(&thread, NULL, work_elsewhere, &some);
	pthread_join(thread, NULL);
	assert_false(rows_gate_alone());
}

static int no_membarrier(int cmd)
{
	(void)cmd;
	errno = EPERM;
	return -1;
}

static int no_affinity(pid_t tid, size_t size, const cpu_set_t *set)
{
	(void)tid, (void)size, (void)set;
	errno = EPERM;
	return -1;
}

/* Where the gate cannot be closed for certain, nobody is alone any more, heir or not. */
static void nobody_inherits_where_all_is_denied(void **state)
{
	static const struct os_hooks hooks = {.membarrier = no_membarrier,
					      .sched_setaffinity = no_affinity};
	unsigned int some = 64;
	pthread_t thread;

	(void)state;
	if (nr_cpus < 2 || !os_percpu_lockless())
		skip();
	mm_down();
	mm_up(MEMORY);
	os_set_hooks(&hooks);
	pthread_create(&thread, NULL, work_elsewhere, &some);
	pthread_join(thread, NULL);
	assert_false(rows_gate_alone());
	work(QUIET_STEPS);
	assert_false(rows_gate_alone());
	os_set_hooks(NULL);
}

/* --- who waits for whom --- */

static _Atomic bool inside;

static void *enter_elsewhere(void *arg)
{
	enum rows_visit visit;

	(void)arg;
	stay_on(cpus[nr_cpus - 1]);
	visit = rows_enter();
	atomic_store(&inside, true);
	rows_leave(visit);
	return NULL;
}

static void *fork_elsewhere(void *arg)
{
	(void)arg;
	rows_fork_lock();
	atomic_store(&inside, true);
	rows_fork_unlock();
	return NULL;
}

/* The thread does not get there before we leave. Sleeping cannot make this fail. */
static void waits_for_us(enum rows_visit visit, void *(*elsewhere)(void *))
{
	pthread_t thread;

	atomic_store(&inside, false);
	pthread_create(&thread, NULL, elsewhere, NULL);
	usleep(20000);
	assert_false(inside);
	rows_leave(visit);
	pthread_join(thread, NULL);
	assert_true(inside);
}

static void others_wait_for_who_is_alone(void **state)
{
	enum rows_visit visit = rows_enter();

	(void)state;
	assert_int_equal(visit, ROWS_ALONE);
	waits_for_us(visit, enter_elsewhere);
	work(QUIET_STEPS);
	visit = rows_enter();
	assert_int_equal(visit, ROWS_ALONE);
	waits_for_us(visit, fork_elsewhere);
}

static void fork_waits_for_all(void **state)
{
	enum rows_visit visit = rows_enter_shared();
	pthread_t thread;

	(void)state;
	assert_int_not_equal(visit, ROWS_ALONE);
	waits_for_us(visit, fork_elsewhere);
	/* And all wait for fork. */
	rows_fork_lock();
	atomic_store(&inside, false);
	pthread_create(&thread, NULL, enter_elsewhere, NULL);
	usleep(20000);
	assert_false(inside);
	rows_fork_unlock();
	pthread_join(thread, NULL);
	assert_true(inside);
}

/* --- a double free that only the bits tell --- */

static void allocate_on_report(const char *report, void *arg)
{
	capture(report, arg);
	work(1);
}

/* The descriptor is made to say that the block is allocated. */
static void free_once_more(struct page *page, unsigned int order)
{
	atomic_store(&page->state,
		     allocated_state(pfn_zone_id(page_to_pfn(page)), order));
	__free_pages(page, order);
	if (order < GROUP_ORDER) /* the rows know pages only */
		assert_report("double free of pfn %lu, order 0: the page is free already",
			      page_to_pfn(page));
	else
		assert_report(
			"double free of pfn %lu, order %u: the block is free already",
			page_to_pfn(page), order);
	atomic_store(&page->state, freed_state(order));
}

static void double_free_alone(void **state)
{
	static const unsigned int orders[] = {0, 3, 6, 8, 9, 10};

	(void)state;
	kmem_set_bug_handler(allocate_on_report, NULL);
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(orders); i++) {
		struct page *page = alloc_pages(GFP_KERNEL, orders[i]);
		struct page *keep = alloc_page(GFP_KERNEL);

		work(QUIET_STEPS);
		assert_true(rows_gate_alone());
		__free_pages(page, orders[i]);
		if (orders[i] > ROW_ORDER && orders[i] < GROUP_ORDER) {
			/* Each of its rows is reported. */
			atomic_store(&page->state,
				     allocated_state(pfn_zone_id(page_to_pfn(page)),
						     orders[i]));
			__free_pages(page, orders[i]);
			assert_int_equal(reports, 1u << (orders[i] - ROW_ORDER));
			reports = 0;
			atomic_store(&page->state, freed_state(orders[i]));
		} else {
			free_once_more(page, orders[i]);
		}
		__free_page(keep);
		check();
	}
	capture_bugs(false);
}

/* Scattered blocks, one of them twice: the rest is freed all the same. */
static void double_free_in_a_batch(void **state)
{
	struct page *pages[32], *batch[17];
	unsigned long free = all_stats().free_pages;

	(void)state;
	for (unsigned int i = 0; i < 32; i++)
		pages[i] = alloc_page(GFP_KERNEL);
	for (unsigned int i = 0; i < 16; i++)
		batch[i < 8 ? i : i + 1] = pages[2 * i];
	batch[8] = pages[4];
	work(QUIET_STEPS);
	assert_true(rows_gate_alone());
	kmem_set_bug_handler(allocate_on_report, NULL);
	for (unsigned int i = 0; i < 32; i += 2)
		atomic_store(&pages[i]->state, freed_state(0));
	zone_free_blocks(pfn_zone(page_to_pfn(pages[0])), 0, 17, batch);
	assert_report("double free of pfn %lu, order 0: the page is free already",
		      page_to_pfn(pages[4]));
	capture_bugs(false);
	assert_int_equal(all_stats().free_pages, free - 16);
	check();
	for (unsigned int i = 1; i < 32; i += 2)
		__free_page(pages[i]);
}

/* --- the mode changes under threads --- */

#if KMEM_SANITIZED
#define ROUNDS 60
#else
#define ROUNDS 400
#endif

enum { STRESS_THREADS = 4, HELD = 24 };

static _Atomic uint8_t owned[64 << (20 - PAGE_SHIFT)];
static _Atomic unsigned long wrong, seen_alone, seen_shared;
static _Atomic bool stop;

static void mark(struct page *page, unsigned int order, uint8_t from, uint8_t to)
{
	for (unsigned long i = 0; i < 1ul << order; i++) {
		if (atomic_exchange(&owned[page_to_pfn(page) + i], to) != from)
			atomic_fetch_add(&wrong, 1);
	}
}

static void hold_some(unsigned int seed)
{
	static const unsigned int order_of[] = {0, 0, 3, 0, 1, 7, 0, 9};
	struct page *held[HELD];

	for (unsigned int i = 0; i < HELD; i++) {
		unsigned int order = order_of[(i + seed) % KMEM_ARRAY_SIZE(order_of)];

		held[i] = alloc_pages(GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN, order);
		if (held[i] != NULL)
			mark(held[i], order, 0, 1);
	}
	for (unsigned int i = 0; i < HELD; i++) {
		unsigned int order = order_of[(i + seed) % KMEM_ARRAY_SIZE(order_of)];

		if (held[i] == NULL)
			continue;
		mark(held[i], order, 1, 0);
		__free_pages(held[i], order);
	}
}

/* Thread 0 works all the time, those of the other CPU now and then. */
static void *stress(void *arg)
{
	unsigned int self = (unsigned int)(uintptr_t)arg;

	stay_on(cpus[self % 2 % nr_cpus]);
	for (unsigned int round = 0; self == 0 ? !atomic_load(&stop) : round < ROUNDS;
	     round++) {
		for (unsigned int i = 0; i < 1 + round % 40; i++)
			hold_some(round + i);
		if (self == 0)
			atomic_fetch_add(rows_gate_alone() ? &seen_alone : &seen_shared,
					 1);
		else
			usleep(round % 8 * 500);
	}
	return NULL;
}

static void nothing_twice(void **state)
{
	pthread_t threads[STRESS_THREADS];
	unsigned int patience_max = rows_gate_patience_max;

	(void)state;
	/* The mode changes as often as it can. */
	rows_gate_patience_max = 1;
	for (uintptr_t t = 0; t < STRESS_THREADS; t++)
		pthread_create(&threads[t], NULL, stress, (void *)t);
	for (unsigned int t = 1; t < STRESS_THREADS; t++)
		pthread_join(threads[t], NULL);
	atomic_store(&stop, true);
	pthread_join(threads[0], NULL);
	rows_gate_patience_max = patience_max;
	assert_int_equal(wrong, 0);
	print_message("rounds alone %lu, with others %lu\n", seen_alone, seen_shared);
	assert_int_not_equal(seen_alone, 0);
	if (nr_cpus > 1)
		assert_int_not_equal(seen_shared, 0);
	check();
}

/* The tests again, with sequences and without. */
static int without_sequences(void **state)
{
	os_cpu_force_mode(false);
	atomic_store(&stop, false);
	return gate_up(state);
}

static int with_sequences_again(void **state)
{
	gate_down(state);
	os_cpu_force_mode(true);
	return 0;
}

#define BOTH_WAYS(test_)                                                  \
	cmocka_unit_test_setup_teardown(test_, gate_up, gate_down),       \
		cmocka_unit_test_setup_teardown(test_, without_sequences, \
						with_sequences_again)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH_WAYS(alone_after_a_while),
		BOTH_WAYS(another_cpu_opens_the_gate),
		BOTH_WAYS(trim_and_fork_open_the_gate),
		BOTH_WAYS(the_worker_inherits),
		BOTH_WAYS(nobody_inherits_where_all_is_denied),
		BOTH_WAYS(others_wait_for_who_is_alone),
		BOTH_WAYS(fork_waits_for_all),
		BOTH_WAYS(double_free_alone),
		BOTH_WAYS(double_free_in_a_batch),
		BOTH_WAYS(nothing_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
