/* SPDX-License-Identifier: MIT */
/*
 * Many threads on few CPUs and fewer slots: they wait for each other, map the same pages,
 * copy by atomic slots, and are moved between CPUs with pages mapped; and a child of a
 * process in the midst of that.
 */
#include "allocators/os/os_cpu.h"
#include "tests/vmalloc/kmap_test.h"

#include <sys/wait.h>
#include <unistd.h>

#define THREADS 8
#define PAGES	48

static unsigned int rounds;
static _Atomic unsigned int damaged, running;

/* A page's words 0 and 1 count the visits of all users; word 8 holds its number. */
static void visit(uint64_t *addr, size_t page)
{
	atomic_fetch_add((_Atomic uint64_t *)&addr[0], 1);
	if (addr[8] != page)
		atomic_fetch_add(&damaged, 1);
	atomic_fetch_add((_Atomic uint64_t *)&addr[1], 1);
}

/* With one slot at a time nobody can wait for ever. */
static void use_window(size_t page)
{
	uint64_t *addr = kmap(high[page]);

	visit(addr, page);
	if (page % 4 == 0)
		sched_yield();
	if (page_address(high[page]) != addr)
		atomic_fetch_add(&damaged, 1);
	kunmap(high[page]);
}

static void use_atomic(size_t a, size_t b)
{
	uint64_t *from = kmap_atomic(high[a]), *to;

	visit(from, a);
	if (a % 4 == 0)
		sched_yield();
	to = kmap_atomic(high[b]);
	visit(to, b);
	kunmap_atomic(to);
	visit(from, a);
	kunmap_atomic(from);
}

static void *churn(void *arg)
{
	uint64_t seed = (uintptr_t)arg * 0x9e3779b97f4a7c15u + 1;

	for (unsigned int i = 0; i < rounds; i++) {
		uint64_t dice = next_random(&seed);

		if (dice >> 40 & 1)
			use_window(dice % PAGES);
		else
			use_atomic(dice % PAGES, (dice >> 16) % PAGES);
	}
	atomic_fetch_sub(&running, 1);
	return NULL;
}

/* Moves everybody about, and flushes. */
static void *disturb(void *arg)
{
	pthread_t *threads = arg;
	unsigned int turn = 0;

	while (atomic_load(&running) != 0) {
		cpu_set_t set;

		CPU_ZERO(&set);
		CPU_SET(turn % (unsigned int)sysconf(_SC_NPROCESSORS_ONLN), &set);
		pthread_setaffinity_np(threads[turn % THREADS], sizeof(set), &set);
		if (turn++ % 16 == 0)
			kmap_flush_unused();
		usleep(500);
	}
	return NULL;
}

static void prepare(uint64_t slots, bool flush)
{
	kmap_up(NULL, slots, flush, PAGES);
	for (size_t i = 0; i < PAGES; i++) {
		uint64_t *addr = kmap(high[i]);

		memset(addr, 0, PAGE_SIZE);
		addr[8] = i;
		kunmap(high[i]);
	}
	atomic_store(&damaged, 0);
}

static uint64_t visits(unsigned int word)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < PAGES; i++) {
		sum += ((uint64_t *)kmap(high[i]))[word];
		kunmap(high[i]);
	}
	return sum;
}

static void stress(bool use_rseq, uint64_t slots, bool flush, unsigned int n)
{
	pthread_t threads[THREADS + 1];
	uint64_t first, waits;

	os_cpu_force_mode(use_rseq);
	prepare(slots, flush);
	rounds = n;
	atomic_store(&running, THREADS);
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, churn, (void *)i), 0);
	assert_int_equal(pthread_create(&threads[THREADS], NULL, disturb, threads), 0);
	/* The last one first: it must not move threads that have been joined. */
	for (int i = THREADS; i >= 0; i--)
		pthread_join(threads[i], NULL);
	waits = kmap_stats_now().pkmap_waits;
	assert_int_equal(atomic_load(&damaged), 0);
	first = visits(0);
	assert_int_equal(first, visits(1));
	assert_in_range(first, (uint64_t)THREADS * n, (uint64_t)THREADS * n * 3);
	assert_in_range(kmap_stats_now().atomic_stacks, 1,
			THREADS + KMAP_PERCPU_STACKS * os_nr_cpus());
	if (slots < THREADS)
		assert_true(waits > 0);
	kmap_down();
}

static void threads_wait_for_slots(void **state)
{
	(void)state;
	stress(true, 2, true, 1500);
}

static void mapped_over_by_rseq(void **state)
{
	(void)state;
	stress(true, 3, false, 1500);
}

static void room_for_all_by_locks(void **state)
{
	(void)state;
	stress(false, 64, true, 3000);
}

/* --- waiting, step by step --- */

static _Atomic unsigned int mapped;

static void *map_one(void *arg)
{
	kmap(arg);
	atomic_fetch_add(&mapped, 1);
	return NULL;
}

static void wait_until_waiting(uint32_t n)
{
	for (int i = 0; i < 20000 && atomic_load(&kmap_layer.waiters) != n; i++)
		usleep(500);
	assert_int_equal(atomic_load(&kmap_layer.waiters), n);
}

/*
 * One slot, three waiters, of which two want the same page: one kunmap() lets one of them
 * through, and another one whom that does not take a slot from.
 */
static void who_needs_no_slot_wakes_the_next(void **state)
{
	pthread_t threads[3];

	(void)state;
	prepare(1, true);
	atomic_store(&mapped, 0);
	assert_non_null(kmap(high[0]));
	for (int i = 0; i < 3; i++) {
		assert_int_equal(pthread_create(&threads[i], NULL, map_one, high[1]), 0);
		wait_until_waiting((uint32_t)i + 1);
	}
	assert_int_equal(atomic_load(&mapped), 0);
	kunmap(high[0]);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&mapped), 3);
	for (int i = 0; i < 3; i++)
		kunmap(high[1]);
	kmap_down();
}

/* --- fork --- */

/* In the child: everything works that needs nobody else's slot. */
static void child(void)
{
	struct kmap_stats stats;

	alarm(60); /* a child that hangs is a failure */
	kmap_flush_unused();
	kmap_stats(&stats);
	for (size_t i = 0; i < PAGES; i++) {
		uint64_t *addr = kmap(high[i]);
		uint64_t *atomic = kmap_atomic(high[i]);

		if (addr == NULL || atomic == NULL || addr[8] != i || atomic[8] != i)
			_exit(1);
		kunmap_atomic(atomic);
		kunmap(high[i]);
	}
	_exit(atomic_load(&kmap_layer.waiters) != 0);
}

static void children_do_not_hang(void **state)
{
	pthread_t threads[THREADS];

	(void)state;
	/* As many slots as threads may hold in the child for ever, and one more. */
	prepare(THREADS + 1, true);
	rounds = 3000;
	atomic_store(&running, THREADS);
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, churn, (void *)i), 0);
	while (atomic_load(&running) != 0) {
		pid_t pid = fork();
		int status = 0;

		assert_true(pid >= 0);
		if (pid == 0)
			child();
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&damaged), 0);
	kmap_down();
}

/* Whoever waits in the parent does not in the child: no kunmap() wakes nobody there. */
static void children_have_no_waiters(void **state)
{
	pthread_t thread;
	int status = 1;
	pid_t pid;

	(void)state;
	prepare(1, true);
	assert_non_null(kmap(high[0]));
	assert_int_equal(pthread_create(&thread, NULL, map_one, high[1]), 0);
	wait_until_waiting(1);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		kunmap(high[0]);
		_exit(kmap_check() != 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	kunmap(high[0]);
	pthread_join(thread, NULL);
	kunmap(high[1]);
	kmap_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		kmap_test(threads_wait_for_slots),
		kmap_test(mapped_over_by_rseq),
		kmap_test(room_for_all_by_locks),
		kmap_test(who_needs_no_slot_wakes_the_next),
		kmap_test(children_do_not_hang),
		kmap_test(children_have_no_waiters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
