/* SPDX-License-Identifier: MIT */
/* Magazines: no object lost or doubled while threads outnumber CPUs and others drain and
 * freeze. */
#include "allocators/os/magazine_fast.h"
#include "allocators/os/os_cpu.h"
#include "tests/os/percpu_report.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/os/percpu_test.h"
#include "tests/os/tokens.h"

#if KMEM_SANITIZED
#define OPS_PER_THREAD 40000
#else
#define OPS_PER_THREAD 600000
#endif

#define NR_STOPS 500

enum { NR_THREADS = 12, NR_TOKENS = 3000, HOLD = 32 };

static struct token tokens[NR_TOKENS];
static struct magazines shared;
static _Atomic bool done;

/* Pushes what fits; returns how many are left, held again, at the front. */
static size_t put_back(void **held, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		release(held[i]);
		if (mag_push(&shared, held[i]))
			continue;
		hold(held[i]);
		held[kept++] = held[i];
	}
	return kept;
}

static size_t one_step(unsigned int dice, void **held, size_t n)
{
	size_t k;
	void *p;

	switch (dice % 8) {
	case 0:
		if (n + 8 > HOLD)
			return n;
		k = dice & 64 ? magazine_pop_batch(&shared, 8, held + n)
			      : magazine_take_batch(&shared, 8, held + n);
		for (size_t i = 0; i < k; i++)
			hold(held[n + i]);
		return n + k;
	case 1:
		if (n < 8)
			return n;
		for (size_t i = n - 8; i < n; i++)
			release(held[i]);
		k = dice & 64 ? magazine_fill_batch(&shared, 8, held + n - 8)
			      : magazine_push_batch(&shared, 8, held + n - 8);
		for (size_t i = k; i < 8; i++) {
			held[n - 8 + i - k] = held[n - 8 + i];
			hold(held[n - 8 + i - k]);
		}
		return n - k;
	case 2:
	case 3:
	case 4:
		p = n < HOLD ? mag_pop(&shared) : NULL;
		if (p) {
			hold(p);
			held[n++] = p;
		}
		return n;
	default: return n > 0 ? n - 1 + put_back(held + n - 1, 1) : 0;
	}
}

struct hand {
	void *held[HOLD];
	size_t n;
	unsigned int seed;
};

static void *work(void *arg)
{
	struct hand *hand = arg;

	for (int i = 0; i < OPS_PER_THREAD; i++) {
		hand->seed = hand->seed * 1103515245 + 12345;
		hand->n = one_step(hand->seed >> 8, hand->held, hand->n);
	}
	return NULL;
}

static void *drained[NR_TOKENS];
static size_t nr_drained;

static void keep(void *p, void *arg)
{
	(void)arg;
	hold(p);
	drained[nr_drained++] = p;
}

/* Drains and freezes while the others work, and puts back what it got. */
static void *disturb(void *arg)
{
	(void)arg;
	while (!atomic_load(&done)) {
		magazine_drain_all(&shared, false, keep, NULL);
		nr_drained = put_back(drained, nr_drained);
		magazine_fork_lock();
		while (!magazine_freeze(&shared))
			os_restart_sequences();
		magazine_thaw(&shared);
		magazine_fork_unlock();
		usleep(200); /* with locks the others would starve */
	}
	return NULL;
}

static void stress(uint32_t limit, uint32_t least)
{
	static struct hand hands[NR_THREADS];
	pthread_t threads[NR_THREADS], disturber;
	struct seen seen = {0, 0};
	size_t in_hand = 0;

	assert_int_equal(magazine_create(&shared, limit, least), 0);
	atomic_store(&done, false);
	nr_drained = 0;
	for (size_t i = 0; i < NR_TOKENS; i++) {
		hold(&tokens[i]);
		drained[nr_drained++] = &tokens[i];
	}
	nr_drained = put_back(drained, nr_drained);
	assert_int_equal(pthread_create(&disturber, NULL, disturb, NULL), 0);
	for (unsigned int i = 0; i < NR_THREADS; i++) {
		hands[i] = (struct hand){.seed = i * 7919 + 1};
		assert_int_equal(pthread_create(&threads[i], NULL, work, &hands[i]), 0);
	}
	for (size_t i = 0; i < NR_THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	atomic_store(&done, true);
	assert_int_equal(pthread_join(disturber, NULL), 0);
	for (size_t i = 0; i < NR_THREADS; i++)
		in_hand += hands[i].n;
	magazine_walk(&shared, see, &seen);
	assert_int_equal(atomic_load(&doubled), 0);
	assert_int_equal(seen.n + in_hand + nr_drained, NR_TOKENS);
	assert_int_equal(magazine_count(&shared), seen.n);
	for (size_t i = 0; i < NR_TOKENS; i++)
		release(&tokens[i]);
	magazine_destroy(&shared);
}

static void test_stress_one(void **state)
{
	(void)state;
	stress(600, 0);
}

static void test_stress_two(void **state)
{
	(void)state;
	stress(600, 16);
}

/* Often empty, so that they often change places while somebody drains them. */
static void test_stress_small(void **state)
{
	(void)state;
	stress(5, 1);
}

/* --- a stop from another CPU in the middle of a change of places --- */

static _Atomic size_t pushed, popped;

/* Every pop finds `out` empty and lets the two change places. */
static void *exchange(void *arg)
{
	(void)arg;
	while (!atomic_load_explicit(&done, memory_order_relaxed)) {
		atomic_fetch_add(&pushed, mag_push(&shared, &tokens[0]));
		atomic_fetch_add(&popped, mag_pop(&shared) != NULL);
	}
	return NULL;
}

static void test_stop_meets_exchange(void **state)
{
	struct seen seen = {0, 0};
	pthread_t thread;

	(void)state;
	atomic_store(&done, false);
	atomic_store(&pushed, 0);
	atomic_store(&popped, 0);
	assert_int_equal(magazine_create(&shared, 8, 1), 0);
	assert_int_equal(pthread_create(&thread, NULL, exchange, NULL), 0);
	while (seen.n < NR_STOPS) {
		size_t before = seen.n;

		magazine_drain_all(&shared, false, see, &seen);
		if (seen.n == before)
			sched_yield();
	}
	atomic_store(&done, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
	magazine_drain_all(&shared, true, see, &seen);
	assert_int_equal(atomic_load(&pushed), atomic_load(&popped) + seen.n);
	magazine_destroy(&shared);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH_MODES(test_stress_one),
		BOTH_MODES(test_stress_two),
		BOTH_MODES(test_stress_small),
		BOTH_MODES(test_stop_meets_exchange),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
