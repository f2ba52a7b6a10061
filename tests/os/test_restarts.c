/* SPDX-License-Identifier: MIT */
/* The system restarts sequences where asked to, each kind is restarted somewhere, and
 * what they had begun has not happened. */
#include "allocators/os/magazine_fast.h"
#include "allocators/os/os_cpu.h"
#include "allocators/os/percpu_stamped.h"
#include "tests/os/percpu_report.h"
#include "tests/os/percpu_test.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { NR = 64, RESTARTS = 20 };

static struct percpu_stacks stacks;
static struct percpu_counter counter;
static struct magazines magazines;
static _Atomic bool enough;
/* Of the worker: what it has put in less what it has got out, and what it has counted. */
static ptrdiff_t inside;
static uint64_t counted;

static void use_stack(void)
{
	inside += percpu_push(&stacks, &inside);
	inside -= percpu_pop(&stacks) != NULL;
}

static void use_stack_batches(void)
{
	void *some[4] = {&inside, &inside, &inside, &inside};

	inside += (ptrdiff_t)percpu_push_batch(&stacks, 4, some);
	inside += (ptrdiff_t)percpu_push_batch_down(&stacks, 4, some);
	inside -= (ptrdiff_t)percpu_pop_batch(&stacks, 4, some);
	inside -= (ptrdiff_t)percpu_take_batch(&stacks, 4, some);
}

static unsigned long left_behind;

/* On one CPU, where nobody else is: whatever an interrupted attempt has left behind, the
 * entry gets onto the stack once, and says where it is. */
static void use_stamped(void)
{
	static const struct percpu_from from = {1, 1 + PERCPU_STAMP_ADDS};
	static __thread bool pinned;
	static _Atomic uint64_t entry;
	void *const *slot;
	uint64_t left;

	if (!pinned)
		stay_on_one_cpu(true);
	pinned = true;
	atomic_store(&entry, 1);
	while (!percpu_try_push_stamped(&stacks, &entry, &from, &left)) {
		uint64_t expected = left;

		if (left == 0 || !atomic_compare_exchange_strong(&entry, &expected, 1))
			abort(); /* there is room */
		left_behind++;
	}
	inside++;
	if (percpu_try_pop_slot(&stacks, &slot) != &entry ||
	    atomic_load(&entry) != percpu_stamp(slot, 1))
		abort();
	inside--;
}

static void use_counter(void)
{
	percpu_counter_add(&counter, 3);
	counted += 3;
}

static void use_magazine(void)
{
	inside += magazine_push_hit(magazines.in, &inside) ||
		  magazine_push(&magazines, &inside);
	inside -= magazine_pop_hit(magazines.out) != NULL;
}

static void use_magazine_batches(void)
{
	void *some[4] = {&inside, &inside, &inside, &inside};

	inside += (ptrdiff_t)magazine_push_batch(&magazines, 4, some);
	/* From the other one too, where there are two: they change places. */
	inside -= (ptrdiff_t)magazine_pop_batch(&magazines, 4, some);
}

/* Up when full, down when empty, once round in some hundred calls. */
static void use_magazine_bounds(void)
{
	static bool taking;
	void *some[16] = {&inside};
	unsigned int cpu = os_cpu_id();
	size_t n;

	if (taking) {
		n = magazine_pop_batch(&magazines, 16, some);
		inside -= (ptrdiff_t)n;
		if (n == 0)
			magazine_set_empty(&magazines, cpu, 2 * NR);
		taking = n != 0;
	} else {
		n = magazine_push(&magazines, &inside);
		inside += (ptrdiff_t)n;
		taking = n == 0 && !magazine_raise_full(&magazines, cpu, 8 * NR);
	}
}

static void *work(void *arg)
{
	void (*const *use)(void) = arg;

	while (!atomic_load_explicit(&enough, memory_order_relaxed)) {
		for (int i = 0; i < 100; i++)
			(*use)();
	}
	return NULL;
}

static void all_is_counted(void)
{
	assert_int_equal(percpu_count(&stacks) + magazine_count(&magazines), inside);
	assert_int_equal(percpu_counter_sum(&counter), counted);
}

static void restart(void (*use)(void))
{
	uint64_t before = atomic_load(&os_percpu_aborts);
	pthread_t thread;

	if (!os_percpu_lockless())
		skip();
	inside = 0;
	counted = 0;
	assert_int_equal(percpu_stacks_init(&stacks, NR), 0);
	assert_int_equal(percpu_counter_init(&counter), 0);
	assert_int_equal(magazine_create(&magazines, NR, 1), 0);
	assert_int_equal(magazine_let_grow(&magazines, 8 * NR), 0);
	atomic_store(&enough, false);
	assert_int_equal(pthread_create(&thread, NULL, work, &use), 0);
	/* The bound is only for a system that never does. */
	for (int i = 0;
	     i < 10000000 && atomic_load(&os_percpu_aborts) < before + RESTARTS; i++) {
		os_restart_sequences();
		sched_yield();
	}
	atomic_store(&enough, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(atomic_load(&os_percpu_aborts) >= before + RESTARTS);
	all_is_counted();
	assert_true(magazine_check(&magazines));
	magazine_destroy(&magazines);
	percpu_counter_destroy(&counter);
	percpu_stacks_destroy(&stacks);
}

/* Often enough that some attempt is interrupted between stamp and push. */
static void test_stamped_is_left_behind(void **state)
{
	(void)state;
	for (int i = 0; i < 100 && left_behind == 0; i++)
		restart(use_stamped);
	print_message("%lu stamps left behind\n", left_behind);
}

#define RESTART(use_)                         \
	static void test_##use_(void **state) \
	{                                     \
		(void)state;                  \
		restart(use_);                \
	}
RESTART(use_stack)
RESTART(use_stack_batches)
RESTART(use_stamped)
RESTART(use_counter)
RESTART(use_magazine)
RESTART(use_magazine_batches)
RESTART(use_magazine_bounds)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_use_stack),
		cmocka_unit_test(test_use_stack_batches),
		cmocka_unit_test(test_use_stamped),
		cmocka_unit_test(test_stamped_is_left_behind),
		cmocka_unit_test(test_use_counter),
		cmocka_unit_test(test_use_magazine),
		cmocka_unit_test(test_use_magazine_batches),
		cmocka_unit_test(test_use_magazine_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
