/* SPDX-License-Identifier: MIT */
/* Magazines: order, bounds, change of places, numbers, draining and freezing. */
#include "allocators/os/magazine_fast.h"
#include "allocators/os/os_cpu.h"

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/os/percpu_test.h"

static void *object(uintptr_t n)
{
	return (void *)((n + 1) << 4);
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
	assert_null(mag_pop(&m));
	for (uintptr_t i = 0; i < 100; i++)
		assert_true(mag_push(&m, object(i)));
	assert_false(mag_push(&m, object(100)));
	assert_int_equal(magazine_count(&m), 100);
	for (uintptr_t i = 100; i-- > 0;)
		assert_ptr_equal(mag_pop(&m), object(i));
	assert_null(mag_pop(&m));
	assert_int_equal(magazine_count(&m), 0);
	magazine_destroy(&m);
	stay_on_one_cpu(false);
}

static void test_two(void **state)
{
	struct magazines m;

	(void)state;
	if (!MAGAZINE_TWO)
		skip();
	stay_on_one_cpu(true);
	assert_int_equal(magazine_create(&m, 10, 4), 0);
	assert_int_equal(m.in, m.out + 1);
	assert_int_equal(m.out % 2, 0);
	for (uintptr_t i = 0; i < 3; i++)
		assert_true(mag_push(&m, object(i)));
	/* Too few to change places for one, but not for a batch. */
	assert_null(mag_pop(&m));
	assert_null(magazine_pop_exchanged(m.out));
	assert_true(mag_push(&m, object(3)));
	assert_ptr_equal(mag_pop(&m), object(3));
	/* What is freed now is not what is handed out next. */
	for (uintptr_t i = 10; i < 20; i++)
		assert_true(mag_push(&m, object(i)));
	assert_false(mag_push(&m, object(20)));
	assert_int_equal(magazine_count(&m), 13);
	for (uintptr_t i = 3; i-- > 0;)
		assert_ptr_equal(mag_pop(&m), object(i));
	for (uintptr_t i = 20; i-- > 10;)
		assert_ptr_equal(mag_pop(&m), object(i));
	assert_null(mag_pop(&m));
	/* Whichever is `in` holds its limit. */
	for (int round = 0; round < 2; round++) {
		for (uintptr_t i = 0; i < 10; i++)
			assert_true(mag_push(&m, object(i)));
		assert_false(mag_push(&m, object(10)));
		assert_ptr_equal(mag_pop(&m), object(9));
		for (uintptr_t i = 9; i-- > 0;)
			assert_ptr_equal(mag_pop(&m), object(i));
	}
	magazine_destroy(&m);
	stay_on_one_cpu(false);
}

/* Where two cannot change places there is one, which hands out the newest. */
static void test_least_is_ignored(void **state)
{
	struct magazines m;

	(void)state;
	if (MAGAZINE_TWO)
		skip();
	stay_on_one_cpu(true);
	assert_int_equal(magazine_create(&m, 10, 1), 0);
	assert_int_equal(m.in, m.out);
	for (uintptr_t i = 0; i < 10; i++)
		assert_true(mag_push(&m, object(i)));
	assert_false(mag_push(&m, object(10)));
	for (uintptr_t i = 10; i-- > 0;)
		assert_ptr_equal(mag_pop(&m), object(i));
	assert_null(magazine_pop_exchanged(m.out));
	magazine_destroy(&m);
	stay_on_one_cpu(false);
}

static void test_batches(void **state)
{
	struct magazines m;
	void *in[40], *out[40];
	/* The first is full when there is another for the 5 that are pushed. */
	size_t first = MAGAZINE_TWO ? 30 : 25;

	(void)state;
	stay_on_one_cpu(true);
	assert_int_equal(magazine_create(&m, 30, 20), 0);
	for (uintptr_t i = 0; i < 40; i++)
		in[i] = object(i);
	assert_int_equal(magazine_pop_batch(&m, 10, out), 0);
	assert_int_equal(magazine_push_batch(&m, 0, in), 0);
	assert_int_equal(magazine_fill_batch(&m, 20, in), 20);
	assert_int_equal(magazine_fill_batch(&m, first - 20, in + 20), first - 20);
	assert_int_equal(magazine_fill_batch(&m, 20, in + first), 30 - first);
	if (!MAGAZINE_TWO)
		assert_int_equal(magazine_take_batch(&m, 5, out), 5);
	assert_int_equal(magazine_push_batch(&m, 5, in + 30), 5);
	assert_int_equal(magazine_take_batch(&m, 2, out), 2);
	assert_ptr_equal(out[0], object(34));
	assert_ptr_equal(out[1], object(33));
	/* A batch takes the rest from the other magazine, however little. */
	assert_int_equal(magazine_pop_batch(&m, 40, out), first + 3);
	if (MAGAZINE_TWO) {
		assert_ptr_equal(out[0], object(29));
		assert_ptr_equal(out[29], object(0));
		assert_ptr_equal(out[30], object(32));
	} else {
		assert_ptr_equal(out[0], object(32));
		assert_ptr_equal(out[3], object(24));
		assert_ptr_equal(out[27], object(0));
	}
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
				assert_true(mag_push(&m[i], object(i)));
			assert_false(mag_push(&m[i], object(i)));
		}
		for (size_t i = 0; i < n; i++) {
			assert_int_equal(magazine_count(&m[i]), m[i].limit);
			for (uint32_t k = 0; k < m[i].limit; k++)
				assert_ptr_equal(mag_pop(&m[i]), object(i));
			assert_null(mag_pop(&m[i]));
		}
		for (size_t i = 0; i < n; i++)
			magazine_destroy(&m[i * 7 % n]);
		for (size_t i = 0; i < n; i++)
			magazine_destroy(&m[i]);
	}
	stay_on_one_cpu(false);
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
			assert_true(mag_push(&m, object(i)));
			sum += (uintptr_t)object(i);
		}
		sum -= (uintptr_t)mag_pop(&m);
		assert_true(mag_push(&m, object(1000)));
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
		assert_true(mag_push(&m, object(0)));
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
		assert_true(mag_push(&m, object(i)));
	assert_ptr_equal(mag_pop(&m), object(2));
	assert_true(mag_push(&m, object(3)));
	magazine_fork_lock();
	while (!magazine_freeze(&m))
		os_restart_sequences();
	if (magazine_rseq_offset != 0) { /* with locks the calls would wait */
		assert_null(mag_pop(&m));
		assert_false(magazine_push_hit(m.in, object(5)));
		assert_null(magazine_pop_exchanged(m.out));
		assert_int_equal(magazine_pop_batch(&m, 4, out), 0);
	}
	magazine_thaw(&m);
	magazine_fork_unlock();
	assert_int_equal(magazine_count(&m), 3);
	assert_int_equal(magazine_pop_batch(&m, 4, out), 3);
	assert_ptr_equal(out[0], object(MAGAZINE_TWO ? 1 : 3));
	assert_ptr_equal(out[1], object(MAGAZINE_TWO ? 0 : 1));
	assert_ptr_equal(out[2], object(MAGAZINE_TWO ? 3 : 0));
	magazine_destroy(&m);
	stay_on_one_cpu(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH_MODES(test_nobodys_number),
		BOTH_MODES(test_one),
		BOTH_MODES(test_two),
		BOTH_MODES(test_least_is_ignored),
		BOTH_MODES(test_batches),
		BOTH_MODES(test_numbers),
		BOTH_MODES(test_drain),
		BOTH_MODES(test_freeze),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
