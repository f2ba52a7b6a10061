/* SPDX-License-Identifier: MIT */
/* Per-CPU stacks: order, bounds, counts, areas, and no entry lost or doubled. */
#include "allocators/os/os_cpu.h"
#include "allocators/os/percpu_area.h"
#include "allocators/os/percpu_stamped.h"
#include "tests/os/percpu_report.h"

#include <kmem/mm_types.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/os/percpu_test.h"
#include "tests/os/tokens.h"

static void *entry(uintptr_t n)
{
	return (void *)((n + 1) << 4);
}

static void test_cpu_numbers(void **state)
{
	(void)state;
	assert_true(os_nr_cpus() >= 1);
	stay_on_one_cpu(true);
	assert_int_equal(os_cpu_id(), sched_getcpu());
	assert_int_equal(os_cpu_id_slow(), sched_getcpu());
	stay_on_one_cpu(false);
}

static void test_limits_are_checked(void **state)
{
	struct percpu_stacks s;

	(void)state;
	assert_int_equal(percpu_stacks_init(&s, 0), -22);
	assert_int_equal(percpu_stacks_init(&s, PERCPU_LIMIT_MAX + 1), -22);
	assert_int_equal(percpu_stacks_init(&s, PERCPU_LIMIT_MAX), 0);
	percpu_stacks_destroy(&s);
}

static void test_last_in_first_out(void **state)
{
	struct percpu_stacks s;
	uint64_t pops;

	(void)state;
	stay_on_one_cpu(true);
	assert_int_equal(percpu_stacks_init(&s, 100), 0);
	pops = percpu_pops(&s, os_cpu_id());
	assert_int_equal(pops, 0);
	assert_null(percpu_pop(&s));
	for (uintptr_t i = 0; i < 100; i++)
		assert_true(percpu_push(&s, entry(i)));
	assert_false(percpu_push(&s, entry(100)));
	assert_int_equal(percpu_count(&s), 100);
	for (uintptr_t i = 100; i-- > 0;)
		assert_ptr_equal(percpu_pop(&s), entry(i));
	assert_null(percpu_pop(&s));
	assert_int_equal(percpu_pops(&s, os_cpu_id()), 100);
	percpu_stacks_destroy(&s);
	stay_on_one_cpu(false);
}

static void test_batches(void **state)
{
	struct percpu_stacks s;
	void *in[40], *out[40];

	(void)state;
	stay_on_one_cpu(true);
	assert_int_equal(percpu_stacks_init(&s, 64), 0);
	for (uintptr_t i = 0; i < 40; i++)
		in[i] = entry(i);
	assert_int_equal(percpu_pop_batch(&s, 10, out), 0);
	assert_int_equal(percpu_push_batch(&s, 0, in), 0);
	assert_int_equal(percpu_push_batch(&s, 40, in), 40);
	assert_int_equal(percpu_push_batch(&s, 40, in), 24);
	assert_int_equal(percpu_push_batch(&s, 40, in), 0);
	assert_int_equal(percpu_take_batch(&s, 24, out), 24);
	for (uintptr_t i = 0; i < 24; i++)
		assert_ptr_equal(out[i], entry(23 - i));
	assert_int_equal(percpu_pops(&s, os_cpu_id()), 0);
	assert_int_equal(percpu_pop_batch(&s, 3, out), 3);
	assert_ptr_equal(out[0], entry(39));
	assert_ptr_equal(out[2], entry(37));
	assert_int_equal(percpu_pop_batch(&s, 40, out), 37);
	assert_ptr_equal(out[36], entry(0));
	assert_int_equal(percpu_pops(&s, os_cpu_id()), 40);
	assert_int_equal(percpu_count(&s), 0);
	percpu_stacks_destroy(&s);
	stay_on_one_cpu(false);
}

/* As fork handlers do it: nothing comes in or goes out, and all is as it was before. */
static void test_freeze(void **state)
{
	struct percpu_stacks s = {.base = NULL};
	void *out[4];

	(void)state;
	assert_int_equal(percpu_stacks_init(&s, 8), 0);
	stay_on_one_cpu(true);
	for (uintptr_t i = 0; i < 3; i++)
		assert_true(percpu_push(&s, entry(i)));
	assert_ptr_equal(percpu_pop(&s), entry(2));
	while (!percpu_freeze(&s))
		os_restart_sequences();
	if (os_percpu_lockless()) { /* with locks the calls would wait */
		assert_null(percpu_pop(&s));
		assert_false(percpu_push(&s, entry(5)));
		assert_int_equal(percpu_pop_batch(&s, 4, out), 0);
		assert_int_equal(percpu_push_batch(&s, 4, out), 0);
	}
	percpu_thaw(&s);
	assert_int_equal(percpu_count(&s), 2);
	assert_ptr_equal(percpu_pop(&s), entry(1));
	assert_ptr_equal(percpu_pop(&s), entry(0));
	assert_null(percpu_pop(&s));
	assert_int_equal(percpu_pops(&s, (unsigned int)sched_getcpu()), 3);
	stay_on_one_cpu(false);
	percpu_stacks_destroy(&s);
}

static void test_drain(void **state)
{
	struct percpu_stacks s;

	(void)state;
	for (int quiescent = 0; quiescent < 2; quiescent++) {
		struct seen walked = {0, 0}, seen = {0, 0};
		uintptr_t sum = 0;

		assert_int_equal(percpu_stacks_init(&s, 500), 0);
		for (uintptr_t i = 0; i < 300; i++) {
			assert_true(percpu_push(&s, entry(i)));
			sum += (uintptr_t)entry(i);
		}
		percpu_walk(&s, see, &walked);
		assert_int_equal(walked.n, 300);
		percpu_drain_all(&s, quiescent, see, &seen);
		assert_int_equal(seen.n, 300);
		assert_int_equal(seen.sum, sum);
		assert_int_equal(percpu_count(&s), 0);
		percpu_drain_all(&s, quiescent, see, &seen);
		assert_int_equal(seen.n, 300);
		assert_true(percpu_push(&s, entry(0)));
		percpu_stacks_destroy(&s);
	}
}

/* A recycled range starts empty, and neighbours do not overlap. */
static void test_areas(void **state)
{
	enum { NR = 200 };
	struct percpu_stacks s[NR];

	(void)state;
	stay_on_one_cpu(true);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < NR; i++) {
			assert_int_equal(
				percpu_stacks_init(&s[i], 1 + (uint32_t)(i * 37 % 3000)),
				0);
			assert_int_equal((uintptr_t)s[i].base % KMEM_CACHELINE, 0);
			assert_int_equal(percpu_count(&s[i]), 0);
			assert_null(percpu_pop(&s[i]));
		}
		for (int i = 0; i < NR; i++) {
			while (percpu_push(&s[i], entry((uintptr_t)i)))
				;
		}
		for (int i = 0; i < NR; i++) {
			assert_int_equal(percpu_count(&s[i]), s[i].limit);
			assert_ptr_equal(percpu_pop(&s[i]), entry((uintptr_t)i));
		}
		for (int i = 0; i < NR; i++)
			percpu_stacks_destroy(&s[(i * 7 + round) % NR]);
	}
	stay_on_one_cpu(false);
}

static void test_freed_areas_join(void **state)
{
	size_t part = PERCPU_AREA_BYTES / 4;
	char *p[4];

	(void)state;
	assert_null(percpu_area_alloc(PERCPU_AREA_BYTES + 1, 16));
	assert_null(percpu_area_alloc(0, 16));
	for (int i = 0; i < 4; i++)
		assert_non_null(p[i] = percpu_area_alloc(part, 16));
	for (int i = 1; i < 4; i++) {
		if (p[i] != p[0] + (size_t)i * part) {
			/* The chunk had less room left: then nothing is known of
			 * neighbours. */
			for (int j = 0; j < 4; j++)
				percpu_area_free(p[j], part);
			return;
		}
	}
	percpu_area_free(p[1], part);
	percpu_area_free(p[3], part);
	percpu_area_free(p[2], part);
	assert_ptr_equal(percpu_area_alloc(3 * part, 16), p[1]);
	percpu_area_free(p[1], 3 * part);
	percpu_area_free(p[0], part);
}

/* --- stress: many more threads than CPUs --- */

#if KMEM_SANITIZED
#define OPS_PER_THREAD 40000
#else
#define OPS_PER_THREAD 2000000
#endif

enum { NR_THREADS = 16, NR_TOKENS = 3000, HOLD = 32 };

static struct token tokens[NR_TOKENS];
static struct percpu_stacks shared;
static _Atomic bool done;

/* Tokens that found no room at the end; protected by the mutex. */
static pthread_mutex_t left_lock = PTHREAD_MUTEX_INITIALIZER;
static size_t left_over;

static void put_back(void **held, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		release(held[i]);
		if (!percpu_push(&shared, held[i])) {
			pthread_mutex_lock(&left_lock);
			left_over++;
			pthread_mutex_unlock(&left_lock);
		}
	}
}

static size_t one_step(unsigned int dice, void **held, size_t n)
{
	size_t k;

	if (dice % 4 == 0 && n + 8 <= HOLD) {
		k = dice % 8 < 4 ? percpu_pop_batch(&shared, 8, held + n)
				 : percpu_take_batch(&shared, 8, held + n);
		for (size_t i = 0; i < k; i++)
			hold(held[n + i]);
		return n + k;
	}
	if (dice % 4 == 1 && n >= 8) {
		for (size_t i = n - 8; i < n; i++)
			release(held[i]);
		k = percpu_push_batch(&shared, 8, held + n - 8);
		for (size_t i = k; i < 8; i++) {
			held[n - 8 + i - k] = held[n - 8 + i];
			hold(held[n - 8 + i - k]);
		}
		return n - k;
	}
	if ((dice % 4 == 2 || n == 0) && n < HOLD) {
		void *p = percpu_pop(&shared);

		if (p != NULL) {
			hold(p);
			held[n++] = p;
		}
		return n;
	}
	if (n > 0) {
		release(held[n - 1]);
		if (percpu_push(&shared, held[n - 1]))
			return n - 1;
		hold(held[n - 1]);
	}
	return n;
}

static void *stress_thread(void *arg)
{
	uint64_t random = (uintptr_t)arg * 0x9e3779b97f4a7c15u + 1;
	void *held[HOLD];
	size_t n = 0;

	for (int i = 0; i < OPS_PER_THREAD; i++) {
		random = random * 6364136223846793005u + 1442695040888963407u;
		n = one_step((unsigned int)(random >> 33), held, n);
	}
	put_back(held, n);
	return NULL;
}

struct drained {
	void *entries[NR_TOKENS];
	size_t n;
};

static void take_drained(void *p, void *arg)
{
	struct drained *d = arg;

	hold(p);
	d->entries[d->n++] = p;
}

static void *drain_thread(void *arg)
{
	static struct drained both[2];
	struct drained *d = &both[(uintptr_t)arg];

	while (!atomic_load(&done)) {
		d->n = 0;
		percpu_drain_all(&shared, false, take_drained, d);
		put_back(d->entries, d->n);
		sched_yield();
	}
	return NULL;
}

static void test_stress(void **state)
{
	pthread_t threads[NR_THREADS], drainers[2];
	struct drained *all = calloc(1, sizeof(*all));

	(void)state;
	left_over = 0;
	atomic_store(&done, false);
	assert_int_equal(percpu_stacks_init(&shared, NR_TOKENS), 0);
	for (int i = 0; i < NR_TOKENS; i++) {
		atomic_store(&tokens[i].held, 0);
		assert_true(percpu_push(&shared, &tokens[i]));
	}
	for (uintptr_t i = 0; i < NR_THREADS; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, stress_thread, (void *)i), 0);
	for (uintptr_t i = 0; i < 2; i++)
		assert_int_equal(
			pthread_create(&drainers[i], NULL, drain_thread, (void *)i), 0);
	for (int i = 0; i < NR_THREADS; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&done, true);
	for (int i = 0; i < 2; i++)
		pthread_join(drainers[i], NULL);
	assert_int_equal(atomic_load(&doubled), 0);
	percpu_drain_all(&shared, true, take_drained, all);
	assert_int_equal(atomic_load(&doubled), 0);
	assert_int_equal(all->n + left_over, NR_TOKENS);
	percpu_stacks_destroy(&shared);
	free(all);
}

/* Its lock is nobody's affair: a child of fork() may find it taken by a thread that it
 * does not have. */
static void test_no_room_no_lock(void **state)
{
	struct percpu_stacks s, none;
	void *p = entry(1);

	(void)state;
	assert_int_equal(percpu_stacks_init(&s, 1), 0);
	none = s;
	none.limit = 0;
	for (unsigned int cpu = 0; cpu < os_nr_cpus(); cpu++)
		percpu_stack_of(&none, cpu)->lock = 1;
	alarm(20);
	assert_null(percpu_pop(&none));
	assert_false(percpu_push(&none, p));
	assert_int_equal(percpu_pop_batch(&none, 1, &p), 0);
	assert_int_equal(percpu_push_batch(&none, 1, &p), 0);
	alarm(0);
	for (unsigned int cpu = 0; cpu < os_nr_cpus(); cpu++)
		percpu_stack_of(&none, cpu)->lock = 0;
	percpu_stacks_destroy(&s);
}

/* Refused, for another state or for want of room, an entry stays as it is, and what an
 * interrupted attempt may have left is said to be nothing. */
static void test_stamped_refused(void **state)
{
	_Atomic uint64_t entries[3] = {5, 9, 5};
	struct percpu_stacks s;
	void *const *slot;
	uint64_t left;

	(void)state;
	assert_int_equal(percpu_stacks_init(&s, 1), 0);
	stay_on_one_cpu(true);
	left = 77;
	assert_false(percpu_push_stamped(&s, &entries[1], 5, &left));
	assert_int_equal(left, 0);
	while (!percpu_push_stamped(&s, &entries[0], 5, &left)) {
		assert_int_not_equal(left, 0); /* interrupted */
		entries[0] = 5;
	}
	left = 77;
	assert_false(percpu_push_stamped(&s, &entries[0], 5, &left));
	assert_int_equal(left, 0);
	left = 77;
	assert_false(percpu_push_stamped(&s, &entries[2], 5, &left));
	assert_int_equal(left, 0);
	assert_ptr_equal(percpu_pop_slot(&s, &slot), &entries[0]);
	assert_int_equal(entries[0], percpu_stamp(slot, 5));
	assert_int_equal(entries[1], 9);
	assert_int_equal(entries[2], 5);
	stay_on_one_cpu(false);
	percpu_stacks_destroy(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH_MODES(test_cpu_numbers),
		cmocka_unit_test(test_limits_are_checked),
		cmocka_unit_test_setup(test_no_room_no_lock, use_locks),
		BOTH_MODES(test_last_in_first_out),
		BOTH_MODES(test_batches),
		BOTH_MODES(test_drain),
		BOTH_MODES(test_freeze),
		BOTH_MODES(test_areas),
		cmocka_unit_test(test_freed_areas_join),
		BOTH_MODES(test_stamped_refused),
		BOTH_MODES(test_stress),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
