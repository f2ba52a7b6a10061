/* SPDX-License-Identifier: MIT */
/*
 * Credits of free pages, in all orders in which CPUs can take their steps.
 *
 * The source itself is compiled here, with a switch of threads before every access to a
 * shared word and one CPU for each thread. As in test_rows_interleave.c threads are
 * coroutines, a schedule is a list of choices, and the search goes through all lists,
 * depth first, up to a number of preemptions (waiting for the lock is none).
 *
 * After each step: no mark is undercut. After each schedule: nothing is lost, nobody has
 * a credit where pages are scarce, no flag says that there are more than there are, and
 * nobody was refused what was there.
 */
/* The library's own are linked too. */
#define zone_promise		  small_promise
#define zone_add_free		  small_add_free
#define zone_note_free		  small_note_free
#define zone_free_pages_snapshot  small_snapshot
#define zone_free_pages_quiescent small_quiescent
#define zone_call_in_credits	  small_call_in_credits
#define zone_credit_init	  small_credit_init
#include "allocators/buddy/rows_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include <cmocka.h>

enum { THREADS_MAX = 3, STACK_BYTES = 65536, DEPTH_MAX = 512 };

static void switch_threads(void);
static unsigned int running_cpu(void);
static void wait_for_lock(struct kmem_spinlock *l);

/* Sequentially consistent, whatever is asked for. Each compiler takes pointers to _Atomic
 * in its own functions only. */
#undef atomic_load
#undef atomic_load_explicit
#undef atomic_store
#undef atomic_store_explicit
#undef atomic_fetch_add
#undef atomic_exchange
#undef atomic_compare_exchange_weak
#define SEQ __ATOMIC_SEQ_CST
#ifdef __clang__
#define DO_LOAD(p)	     __c11_atomic_load(p, SEQ)
#define DO_STORE(p, v)	     __c11_atomic_store(p, v, SEQ)
#define DO_ADD(p, v)	     __c11_atomic_fetch_add(p, v, SEQ)
#define DO_EXCHANGE(p, v)    __c11_atomic_exchange(p, v, SEQ)
#define DO_SWAP(p, from, to) __c11_atomic_compare_exchange_strong(p, from, to, SEQ, SEQ)
#else
#define DO_LOAD(p)	     __atomic_load_n(p, SEQ)
#define DO_STORE(p, v)	     __atomic_store_n(p, v, SEQ)
#define DO_ADD(p, v)	     __atomic_fetch_add(p, v, SEQ)
#define DO_EXCHANGE(p, v)    __atomic_exchange_n(p, v, SEQ)
#define DO_SWAP(p, from, to) __atomic_compare_exchange_n(p, from, to, false, SEQ, SEQ)
#endif
#define atomic_load(p)				  (switch_threads(), DO_LOAD(p))
#define atomic_load_explicit(p, order)		  atomic_load(p)
#define atomic_store(p, v)			  (switch_threads(), DO_STORE(p, v))
#define atomic_store_explicit(p, v, order)	  atomic_store(p, v)
#define atomic_fetch_add(p, v)			  (switch_threads(), DO_ADD(p, v))
#define atomic_exchange(p, v)			  (switch_threads(), DO_EXCHANGE(p, v))
#define atomic_compare_exchange_weak(p, from, to) (switch_threads(), DO_SWAP(p, from, to))
#define zone_free_pages(zone_)			  atomic_load(&(zone_)->free_pages)
#define os_nr_cpus()				  THREADS_MAX
#define os_cpu_id()				  running_cpu()
#define spin_lock(l)				  wait_for_lock(l)
#define rows_enter()				  ROWS_SHARED
#define rows_leave(visit)			  ((void)(visit))
#include "allocators/buddy/credit.c"

/* --- what is shared --- */
static struct zone zone;
static struct rows_cpu cpus[THREADS_MAX];

/* --- threads --- */
typedef void (*program_fn)(void);

static struct thread {
	ucontext_t context;
	char *stack;
	program_fn program;
	bool done;
	struct kmem_spinlock *waits; /* it cannot go on before this is free */
	unsigned long taken;
} threads[THREADS_MAX];
static ucontext_t scheduler;
static int nr_threads, running;

static void switch_threads(void)
{
	if (running >= 0)
		swapcontext(&threads[running].context, &scheduler);
}

static unsigned int running_cpu(void)
{
	return running >= 0 ? (unsigned int)running : 0;
}

static void wait_for_lock(struct kmem_spinlock *l)
{
	switch_threads();
	while (l->locked != 0) {
		threads[running].waits = l;
		switch_threads();
	}
	l->locked = 1;
}

static void run_program(void)
{
	threads[running].program();
	threads[running].done = true;
}

/* --- the search --- */
static struct {
	int choice[DEPTH_MAX], choices[DEPTH_MAX];
	int depth, preemptions, preemptions_max;
	unsigned long schedules, steps;
} search;

static bool can_run(int t)
{
	struct thread *thread = &threads[t];

	if (thread->waits != NULL && thread->waits->locked == 0)
		thread->waits = NULL;
	return !thread->done && thread->waits == NULL;
}

/* The threads that may go on: the running one first, then, bound permitting, the rest. */
static int list_choices(int last, int *list)
{
	int n = 0;
	bool can_stay = last >= 0 && can_run(last);

	if (can_stay)
		list[n++] = last;
	for (int t = 0; t < nr_threads; t++) {
		if (t != last && can_run(t) &&
		    (!can_stay || search.preemptions < search.preemptions_max))
			list[n++] = t;
	}
	return n;
}

static int choose(int last)
{
	int list[THREADS_MAX], n = list_choices(last, list), at = search.depth;

	if (n == 0)
		return -1;
	assert_true(at < DEPTH_MAX);
	if (search.choices[at] == 0) {
		search.choices[at] = n;
		search.choice[at] = 0;
	}
	assert_int_equal(search.choices[at], n);
	search.depth++;
	if (last >= 0 && can_run(last) && list[search.choice[at]] != last)
		search.preemptions++;
	return list[search.choice[at]];
}

static bool advance(void)
{
	for (int at = search.depth; at-- > 0;) {
		search.choice[at]++;
		if (search.choice[at] < search.choices[at])
			return true;
		search.choices[at] = 0;
	}
	return false;
}

/* --- one schedule --- */

enum { ALL = 1000, LOW = 40, FLOOR = 60, AGAIN = 120, CREDIT = 20 };

static unsigned long start_free;
static bool start_plenty;
static unsigned long start_credit[THREADS_MAX];

static void start_thread(struct thread *thread, program_fn program)
{
	thread->program = program;
	thread->done = false;
	thread->waits = NULL;
	thread->taken = 0;
	getcontext(&thread->context);
	thread->context.uc_stack.ss_sp = thread->stack;
	thread->context.uc_stack.ss_size = STACK_BYTES;
	thread->context.uc_link = &scheduler;
	makecontext(&thread->context, run_program, 0);
}

static void set_up(const program_fn *programs)
{
	memset(&zone, 0, sizeof(zone));
	memset(cpus, 0, sizeof(cpus));
	zone.end_pfn = ALL;
	zone.rows.cpu = cpus;
	zone.pages_low = LOW;
	zone.credit_floor = FLOOR;
	zone.credit_again = AGAIN;
	zone.credit_max = CREDIT;
	zone.free_pages = start_free;
	zone.plenty = start_plenty;
	zone.below_low = start_free <= LOW;
	search.depth = search.preemptions = 0;
	running = -1;
	for (int t = 0; t < nr_threads; t++) {
		cpus[t].credit = start_credit[t];
		start_thread(&threads[t], programs[t]);
	}
}

static unsigned long credits(void)
{
	unsigned long sum = 0;

	for (int t = 0; t < nr_threads; t++)
		sum += cpus[t].credit;
	return sum;
}

static void check_end(void)
{
	unsigned long taken = 0, start = start_free;

	for (int t = 0; t < nr_threads; t++) {
		assert_true(threads[t].done); /* else: all wait for each other */
		assert_true(cpus[t].credit <= CREDIT);
		taken += threads[t].taken;
		start += start_credit[t];
	}
	assert_int_equal(zone.free_pages + credits() + taken, start);
	assert_int_equal(zone.below_low, zone.free_pages <= LOW);
	if (zone.free_pages <= FLOOR)
		assert_false(zone.plenty);
	if (!zone.plenty)
		assert_int_equal(credits(), 0);
}

static void explore(const char *name, const program_fn *programs, int n, int preemptions)
{
	memset(&search, 0, sizeof(search));
	search.preemptions_max = preemptions;
	nr_threads = n;
	do {
		int last = -1;

		set_up(programs);
		for (int t = choose(last); t >= 0; t = choose(last)) {
			running = t;
			swapcontext(&scheduler, &threads[t].context);
			running = -1;
			last = t;
			search.steps++;
			/* The mark of all here. */
			assert_true(zone.free_pages >= LOW);
		}
		search.schedules++;
		check_end();
	} while (advance());
	print_message("%s: %lu schedules, %lu steps\n", name, search.schedules,
		      search.steps);
}

/* --- programs --- */

static bool take(unsigned long mark, unsigned long pages)
{
	struct thread *self = &threads[running];
	size_t n = zone_promise(&zone, 0, mark, pages, false);

	self->taken += n;
	return n == pages;
}

static void put(unsigned long pages)
{
	threads[running].taken -= pages;
	zone_add_free(&zone, pages, false);
}

/* As alloc_slow.c does: a second look before it fails. */
static void must_take(void)
{
	if (take(LOW, 5))
		return;
	zone_call_in_credits(&zone);
	assert_true(take(LOW, 5));
}

/* Most of what is above the mark, and more than it may have as credit. */
static void take_most(void)
{
	take(LOW, 16);
}

static void take_few(void)
{
	take(LOW, 3);
}

static void take_many(void)
{
	take(LOW, 12);
}

static void take_plenty_of_them(void)
{
	take(LOW, 80);
}

static void take_and_put(void)
{
	if (take(LOW, 3))
		put(3);
}

/* Held since before: 30 pages. */
static void put_many(void)
{
	put(30);
}

static void put_few(void)
{
	put(3);
}

static void put_twice(void)
{
	put(3);
	put(3);
}

#define EXPLORE(preemptions, ...)                                                 \
	do {                                                                      \
		static const program_fn programs_[] = {__VA_ARGS__};              \
                                                                                  \
		explore(#__VA_ARGS__, programs_, (int)KMEM_ARRAY_SIZE(programs_), \
			preemptions);                                             \
	} while (0)

static void start(unsigned long shared, unsigned long a, unsigned long b, unsigned long c)
{
	start_free = shared;
	start_plenty = shared > FLOOR;
	start_credit[0] = a;
	start_credit[1] = b;
	start_credit[2] = c;
}

/* One takes the last that is plenty while the others use their credits. */
static void crossing(void **state)
{
	(void)state;
	start(FLOOR + 10, 0, 4, 4);
	EXPLORE(4, take_many, put_few);
	EXPLORE(4, take_many, take_few);
	EXPLORE(4, take_many, take_and_put);
	EXPLORE(4, take_many, take_many);
	EXPLORE(3, take_many, put_twice);
	EXPLORE(2, take_many, put_few, take_and_put);
	EXPLORE(2, take_many, take_many, put_few);
	start(FLOOR + 10, 0, CREDIT, CREDIT);
	EXPLORE(4, take_many, put_few);
	EXPLORE(2, take_many, put_few, put_few);
}

/* From scarce to plenty, and back at the same time. */
static void both_ways(void **state)
{
	(void)state;
	start(AGAIN - 25, 0, 0, 0);
	start_plenty = false;
	EXPLORE(4, put_many, take_many);
	EXPLORE(4, put_many, put_few);
	EXPLORE(2, put_many, take_many, put_few);
	EXPLORE(3, put_many, take_plenty_of_them);
	start(FLOOR, 0, 0, 0);
	EXPLORE(4, put_many, take_many);
	EXPLORE(4, put_many, put_many);
	EXPLORE(2, put_many, put_many, take_many);
}

/* The shared count alone has 5 pages above the mark when one has taken most of it. */
static void nobody_is_refused(void **state)
{
	(void)state;
	start(FLOOR + 1, 10, 0, 0);
	EXPLORE(4, take_most, must_take);
	EXPLORE(2, take_most, must_take, must_take);
	start(FLOOR + 1, 0, 0, 8);
	EXPLORE(2, take_most, must_take, take_few);
}

static int make_stacks(void **state)
{
	(void)state;
	for (int t = 0; t < THREADS_MAX; t++)
		threads[t].stack = malloc(STACK_BYTES);
	return 0;
}

static int free_stacks(void **state)
{
	(void)state;
	for (int t = 0; t < THREADS_MAX; t++)
		free(threads[t].stack);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crossing),
		cmocka_unit_test(both_ways),
		cmocka_unit_test(nobody_is_refused),
	};

	return cmocka_run_group_tests(tests, make_stacks, free_stacks);
}
