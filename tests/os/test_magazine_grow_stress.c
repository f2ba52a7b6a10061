/* SPDX-License-Identifier: MIT */
/* Magazines whose bounds move while threads outnumber CPUs and others drain and freeze
 * them: no object lost or doubled. */
#include "allocators/os/magazine_internal.h"
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

static struct magazines m;

static void count_one(void *p, void *arg)
{
	(void)p;
	++*(size_t *)arg;
}

#if KMEM_SANITIZED
#define OPS_PER_THREAD 50000
#else
#define OPS_PER_THREAD 3000000
#endif

enum { NR_THREADS = 8, NR_TOKENS = 4000, HOLD = 400 };

static struct token tokens[NR_TOKENS];
static _Atomic unsigned long raised;
static _Atomic bool done;

static bool put_one(void *p)
{
	release(p);
	if (mag_push(&m, p))
		return true;
	hold(p);
	return false;
}

struct hand {
	void *held[NR_TOKENS];
	size_t n;
	unsigned int seed;
	bool taking;
};

/* What was drained, on its way back to the workers. */
static pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER;
static struct hand pool;

static void take_from_pool(struct hand *hand)
{
	pthread_mutex_lock(&pool_lock);
	while (hand->n < HOLD && pool.n > 0)
		hand->held[hand->n++] = pool.held[--pool.n];
	pthread_mutex_unlock(&pool_lock);
}

/* As many as it can hold, then all of them back, and so on; at each miss the bounds are
 * moved, whichever CPU that is on by then. */
static void step(struct hand *hand)
{
	unsigned int dice = hand->seed = hand->seed * 1103515245 + 12345;
	void *p;

	if (hand->taking) {
		p = mag_pop(&m);
		if (p) {
			hold(p);
			hand->held[hand->n++] = p;
		} else {
			magazine_set_empty(&m, os_cpu_id(), 4u << (dice >> 16) % 5);
			take_from_pool(hand);
		}
		hand->taking = hand->n < HOLD && (p || hand->n == 0);
	} else if (put_one(hand->held[hand->n - 1])) {
		hand->taking = --hand->n == 0;
	} else if (magazine_raise_full(&m, os_cpu_id(), 4096)) {
		atomic_fetch_add(&raised, 1);
	} else {
		hand->taking = hand->n < HOLD;
	}
}

static void *work(void *arg)
{
	for (int i = 0; i < OPS_PER_THREAD; i++)
		step(arg);
	return NULL;
}

static void keep(void *p, void *arg)
{
	struct hand *hand = arg;

	hold(p);
	hand->held[hand->n++] = p;
}

static void *disturb(void *arg)
{
	(void)arg;
	while (!atomic_load(&done)) {
		pthread_mutex_lock(&pool_lock);
		magazine_drain_all(&m, false, keep, &pool);
		pthread_mutex_unlock(&pool_lock);
		magazine_fork_lock();
		while (!magazine_freeze(&m))
			os_restart_sequences();
		magazine_thaw(&m);
		magazine_fork_unlock();
		usleep(500); /* with locks the others would starve */
	}
	return NULL;
}

static void stress(uint32_t least)
{
	static struct hand hands[NR_THREADS];
	pthread_t threads[NR_THREADS], disturber;
	size_t in_hand = 0, walked = 0;

	assert_int_equal(magazine_create(&m, 4, least), 0);
	assert_int_equal(magazine_let_grow(&m, 4096), 0);
	atomic_store(&done, false);
	atomic_store(&raised, 0);
	atomic_store(&doubled, 0);
	pool.n = 0;
	for (size_t i = 0; i < NR_TOKENS; i++)
		keep(&tokens[i], &pool);
	for (unsigned int i = 0; i < NR_THREADS; i++) {
		hands[i] = (struct hand){.seed = i * 7919 + 1, .taking = true};
		assert_int_equal(pthread_create(&threads[i], NULL, work, &hands[i]), 0);
	}
	assert_int_equal(pthread_create(&disturber, NULL, disturb, NULL), 0);
	for (size_t i = 0; i < NR_THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	atomic_store(&done, true);
	assert_int_equal(pthread_join(disturber, NULL), 0);
	for (size_t i = 0; i < NR_THREADS; i++)
		in_hand += hands[i].n;
	magazine_walk(&m, count_one, &walked);
	assert_int_equal(atomic_load(&doubled), 0);
	assert_true(atomic_load(&raised) > 0);
	assert_int_equal(walked + in_hand + pool.n, NR_TOKENS);
	assert_true(magazine_check(&m));
	for (size_t i = 0; i < NR_TOKENS; i++)
		atomic_store(&tokens[i].held, 0);
	magazine_destroy(&m);
}

static void test_stress_one(void **state)
{
	(void)state;
	stress(0);
}

static void test_stress_two(void **state)
{
	(void)state;
	stress(2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH_MODES(test_stress_one),
		BOTH_MODES(test_stress_two),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
