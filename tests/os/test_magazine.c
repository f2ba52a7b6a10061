/* SPDX-License-Identifier: MIT */
/* Magazines: order, bounds, change of places, numbers, and no object lost or doubled
 * while threads outnumber CPUs and others drain and freeze. */
#include "allocators/os/magazine_fast.h"
#include "allocators/os/os_cpu.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static void *object(uintptr_t n)
{
	return (void *)((n + 1) << 4);
}

/* Keeps the thread where it is, so that what was pushed can be popped again. */
static void stay_on_one_cpu(bool on)
{
	static cpu_set_t before;
	cpu_set_t one;

	if (on) {
		assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
		CPU_ZERO(&one);
		CPU_SET(sched_getcpu(), &one);
		assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	} else {
		assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
	}
}

static int use_rseq(void **state)
{
	(void)state;
	os_cpu_force_mode(true);
	return 0;
}

static int use_locks(void **state)
{
	(void)state;
	os_cpu_force_mode(false);
	return 0;
}

static bool push(const struct magazines *m, void *p)
{
	return magazine_push_hit(m->in, p) || magazine_push_batch(m, 1, &p) == 1;
}

static void *pop(const struct magazines *m)
{
	void *p = magazine_pop_hit(m->out);

	return p ? p : magazine_pop(m);
}

static void test_nobodys_number(void **state)
{
	struct magazines none = {.out = 0};
	void *p = object(1);

	(void)state;
	assert_null(magazine_pop_hit(0));
	assert_false(magazine_push_hit(0, p));
	assert_null(magazine_pop(&none));
	assert_false(magazine_push(&none, p));
	assert_int_equal(magazine_fill_batch(&none, 1, &p), 0);
	assert_int_equal(magazine_pop_batch(&none, 1, &p), 0);
	assert_int_equal(magazine_take_batch(&none, 1, &p), 0);
	assert_int_equal(magazine_count(&none), 0);
	assert_true(magazine_freeze(&none));
	magazine_destroy(&none);
	assert_int_equal(magazine_create(&none, 0, 0), -EINVAL);
	assert_int_equal(magazine_create(&none, PERCPU_LIMIT_MAX, 0), -EINVAL);
}

static void test_one(void **state)
{
	struct magazines m;

	(void)state;
	stay_on_one_cpu(true);
	assert_int_equal(magazine_create(&m, 100, 0), 0);
	assert_int_equal(m.in, m.out);
	assert_null(pop(&m));
	for (uintptr_t i = 0; i < 100; i++)
		assert_true(push(&m, object(i)));
	assert_false(push(&m, object(100)));
	assert_int_equal(magazine_count(&m), 100);
	for (uintptr_t i = 100; i-- > 0;)
		assert_ptr_equal(pop(&m), object(i));
	assert_null(pop(&m));
	assert_int_equal(magazine_count(&m), 0);
	magazine_destroy(&m);
	stay_on_one_cpu(false);
}

static void test_two(void **state)
{
	struct magazines m;

	(void)state;
	stay_on_one_cpu(true);
	assert_int_equal(magazine_create(&m, 10, 4), 0);
	assert_int_equal(m.in, m.out + 1);
	assert_int_equal(m.out % 2, 0);
	for (uintptr_t i = 0; i < 3; i++)
		assert_true(push(&m, object(i)));
	/* Too few to change places for one, but not for a batch. */
	assert_null(pop(&m));
	assert_null(magazine_pop_exchanged(m.out));
	assert_true(push(&m, object(3)));
	assert_ptr_equal(pop(&m), object(3));
	/* What is freed now is not what is handed out next. */
	for (uintptr_t i = 10; i < 20; i++)
		assert_true(push(&m, object(i)));
	assert_false(push(&m, object(20)));
	assert_int_equal(magazine_count(&m), 13);
	for (uintptr_t i = 3; i-- > 0;)
		assert_ptr_equal(pop(&m), object(i));
	for (uintptr_t i = 20; i-- > 10;)
		assert_ptr_equal(pop(&m), object(i));
	assert_null(pop(&m));
	/* Whichever is `in` holds its limit. */
	for (int round = 0; round < 2; round++) {
		for (uintptr_t i = 0; i < 10; i++)
			assert_true(push(&m, object(i)));
		assert_false(push(&m, object(10)));
		assert_ptr_equal(pop(&m), object(9));
		for (uintptr_t i = 9; i-- > 0;)
			assert_ptr_equal(pop(&m), object(i));
	}
	magazine_destroy(&m);
	stay_on_one_cpu(false);
}

static void test_batches(void **state)
{
	struct magazines m;
	void *in[40], *out[40];

	(void)state;
	stay_on_one_cpu(true);
	assert_int_equal(magazine_create(&m, 30, 20), 0);
	for (uintptr_t i = 0; i < 40; i++)
		in[i] = object(i);
	assert_int_equal(magazine_pop_batch(&m, 10, out), 0);
	assert_int_equal(magazine_push_batch(&m, 0, in), 0);
	assert_int_equal(magazine_fill_batch(&m, 20, in), 20);
	assert_int_equal(magazine_fill_batch(&m, 20, in + 20), 10);
	assert_int_equal(magazine_push_batch(&m, 5, in + 30), 5);
	assert_int_equal(magazine_take_batch(&m, 2, out), 2);
	assert_ptr_equal(out[0], object(34));
	assert_ptr_equal(out[1], object(33));
	/* A batch takes the rest from the other magazine, however little. */
	assert_int_equal(magazine_pop_batch(&m, 40, out), 33);
	assert_ptr_equal(out[0], object(29));
	assert_ptr_equal(out[29], object(0));
	assert_ptr_equal(out[30], object(32));
	assert_int_equal(magazine_count(&m), 0);
	magazine_destroy(&m);
	stay_on_one_cpu(false);
}

/* All numbers are given once, come back, and their slots with them; a recycled magazine
 * knows nothing of its predecessor's bounds. */
static void test_numbers(void **state)
{
	static struct magazines m[MAGAZINE_NR];
	struct magazines more;
	size_t n;

	(void)state;
	stay_on_one_cpu(true);
	for (int round = 0; round < 3; round++) {
		for (n = 0; n < MAGAZINE_NR; n++) {
			uint32_t limit = 2 + (uint32_t)(n * 7 + (size_t)round * 31) % 90;
			int err = magazine_create(&m[n], limit, n % 3 == 0);

			if (err == -ENOSPC)
				break;
			assert_int_equal(err, 0);
		}
		assert_in_range(n, 150, MAGAZINE_NR - 1);
		while (magazine_create(&m[n], 5, 0) == 0)
			n++;
		assert_int_equal(magazine_create(&more, 5, 0), -ENOSPC);
		assert_int_equal(magazine_create(&more, 5, 1), -ENOSPC);
		for (size_t i = 0; i < n; i++) {
			for (uint32_t k = 0; k < m[i].limit; k++)
				assert_true(push(&m[i], object(i)));
			assert_false(push(&m[i], object(i)));
		}
		for (size_t i = 0; i < n; i++) {
			assert_int_equal(magazine_count(&m[i]), m[i].limit);
			for (uint32_t k = 0; k < m[i].limit; k++)
				assert_ptr_equal(pop(&m[i]), object(i));
			assert_null(pop(&m[i]));
		}
		for (size_t i = 0; i < n; i++)
			magazine_destroy(&m[i * 7 % n]);
		for (size_t i = 0; i < n; i++)
			magazine_destroy(&m[i]);
	}
	stay_on_one_cpu(false);
}

struct seen {
	uintptr_t sum;
	size_t n;
};

static void see(void *p, void *arg)
{
	struct seen *seen = arg;

	seen->sum += (uintptr_t)p;
	seen->n++;
}

static void test_drain(void **state)
{
	struct magazines m;

	(void)state;
	stay_on_one_cpu(true);
	for (unsigned int kind = 0; kind < 4; kind++) {
		struct seen walked = {0, 0}, seen = {0, 0};
		bool quiescent = kind & 1;
		uint64_t states[2];
		uintptr_t sum = 0;

		assert_int_equal(magazine_create(&m, 500, kind & 2), 0);
		for (uintptr_t i = 0; i < 300; i++) {
			assert_true(push(&m, object(i)));
			sum += (uintptr_t)object(i);
		}
		sum -= (uintptr_t)pop(&m);
		assert_true(push(&m, object(1000)));
		sum += (uintptr_t)object(1000);
		magazine_walk(&m, see, &walked);
		assert_int_equal(walked.n, 300);
		assert_int_equal(walked.sum, sum);
		magazine_drain_all(&m, quiescent, see, &seen);
		assert_int_equal(seen.n, 300);
		assert_int_equal(seen.sum, sum);
		assert_int_equal(magazine_count(&m), 0);
		magazine_drain_all(&m, quiescent, see, &seen);
		assert_int_equal(seen.n, 300);
		states[0] = magazine_state(&m, os_cpu_id());
		assert_int_not_equal(states[0], 0);
		assert_true(push(&m, object(0)));
		states[1] = magazine_state(&m, os_cpu_id());
		assert_int_not_equal(states[0], states[1]);
		magazine_drain_cpu(&m, os_cpu_id(), see, &seen);
		assert_int_equal(seen.n, 301);
		assert_int_equal(magazine_count(&m), 0);
		magazine_destroy(&m);
	}
	stay_on_one_cpu(false);
}

/* As fork handlers do it: nothing comes in or goes out, and all is as it was before. */
static void test_freeze(void **state)
{
	struct magazines m;
	void *out[4];

	(void)state;
	stay_on_one_cpu(true);
	assert_int_equal(magazine_create(&m, 8, 2), 0);
	for (uintptr_t i = 0; i < 3; i++)
		assert_true(push(&m, object(i)));
	assert_ptr_equal(pop(&m), object(2));
	assert_true(push(&m, object(3)));
	magazine_fork_lock();
	while (!magazine_freeze(&m))
		os_restart_sequences();
	if (magazine_rseq_offset != 0) { /* with locks the calls would wait */
		assert_null(pop(&m));
		assert_false(magazine_push_hit(m.in, object(5)));
		assert_null(magazine_pop_exchanged(m.out));
		assert_int_equal(magazine_pop_batch(&m, 4, out), 0);
	}
	magazine_thaw(&m);
	magazine_fork_unlock();
	assert_int_equal(magazine_count(&m), 3);
	assert_ptr_equal(pop(&m), object(1));
	assert_ptr_equal(pop(&m), object(0));
	assert_int_equal(magazine_pop_batch(&m, 4, out), 1);
	assert_ptr_equal(out[0], object(3));
	magazine_destroy(&m);
	stay_on_one_cpu(false);
}

/* --- stress: many more threads than CPUs --- */

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define OPS_PER_THREAD 40000
#else
#define OPS_PER_THREAD 600000
#endif

enum { NR_THREADS = 12, NR_TOKENS = 3000, HOLD = 32 };

static struct token {
	_Atomic int held;
} __attribute__((aligned(16))) tokens[NR_TOKENS];
static struct magazines shared;
static _Atomic unsigned long doubled;
static _Atomic bool done;

static void hold(void *p)
{
	if (atomic_exchange_explicit(&((struct token *)p)->held, 1,
				     memory_order_relaxed) != 0)
		atomic_fetch_add(&doubled, 1);
}

static void release(void *p)
{
	atomic_store_explicit(&((struct token *)p)->held, 0, memory_order_relaxed);
}

/* Pushes what fits; returns how many are left, held again, at the front. */
static size_t put_back(void **held, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		release(held[i]);
		if (push(&shared, held[i]))
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
		p = n < HOLD ? pop(&shared) : NULL;
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

#define BOTH_MODES(test_) \
	cmocka_unit_test_setup(test_, use_rseq), cmocka_unit_test_setup(test_, use_locks)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH_MODES(test_nobodys_number),
		BOTH_MODES(test_one),
		BOTH_MODES(test_two),
		BOTH_MODES(test_batches),
		BOTH_MODES(test_numbers),
		BOTH_MODES(test_drain),
		BOTH_MODES(test_freeze),
		BOTH_MODES(test_stress_one),
		BOTH_MODES(test_stress_two),
		BOTH_MODES(test_stress_small),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
