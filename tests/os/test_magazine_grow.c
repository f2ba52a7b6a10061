/* SPDX-License-Identifier: MIT */
/* Magazines with bounds that move: up, down, with everything that drains and freezes
 * them. */
#include "allocators/os/magazine_internal.h"
#include "allocators/os/os_mem.h"

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/os/percpu_test.h"

static struct magazines m;
static unsigned int cpu;

static void *object(uintptr_t n)
{
	return (void *)((n + 1) << 4);
}

static void start(uint32_t limit, uint32_t max, uint32_t least)
{
	stay_on_one_cpu(true);
	cpu = os_cpu_id();
	assert_int_equal(magazine_create(&m, limit, least), 0);
	assert_int_equal(magazine_let_grow(&m, max), 0);
}

static void finish(void)
{
	assert_true(magazine_check(&m));
	magazine_destroy(&m);
	stay_on_one_cpu(false);
}

/* Pushes until it is full; what is in it must be all of `expected`. */
static void fill(uintptr_t expected)
{
	uintptr_t n = magazine_count(&m);

	assert_true(n <= expected);

	while (n < expected && mag_push(&m, object(n)))
		n++;
	assert_int_equal(n, expected);
	assert_false(mag_push(&m, object(n)));
	assert_int_equal(magazine_count(&m), expected);
	assert_true(magazine_check(&m));
}

static void empty(void)
{
	for (uintptr_t n = magazine_count(&m); n-- > 0;)
		assert_ptr_equal(mag_pop(&m), object(n));
	assert_null(mag_pop(&m));
	assert_true(magazine_check(&m));
}

static void touch(void)
{
	void *p;

	assert_true(mag_push(&m, object(0)));
	assert_int_equal(magazine_pop_batch(&m, 1, &p), 1);
	assert_ptr_equal(p, object(0));
}

/* The same as fill() where lower bounds of former times may stand. */
static void grow_to(uintptr_t expected)
{
	uintptr_t n = magazine_count(&m);

	while (n < expected) {
		if (mag_push(&m, object(n)))
			n++;
		else
			assert_true(magazine_raise_full(&m, cpu, (uint32_t)expected));
	}
	fill(expected);
}

static void test_up_and_down(void **state)
{
	(void)state;
	start(10, 100, 0); /* 10, 20, 40, 80 */
	assert_int_equal(magazine_limit(&m, cpu), 0);
	magazine_set_empty(&m, cpu, 40); /* not there yet */
	fill(10);
	magazine_set_empty(&m, cpu, 40); /* full, and small */
	assert_false(magazine_raise_full(&m, cpu, 40));
	fill(10);
	assert_int_equal(magazine_limit(&m, cpu), 10);
	empty();
	magazine_set_empty(&m, cpu, 40);
	assert_int_equal(magazine_limit(&m, cpu), 40);
	fill(40);
	assert_false(magazine_raise_full(&m, cpu, 79));
	assert_true(magazine_raise_full(&m, cpu, 1000));
	assert_false(magazine_raise_full(&m, cpu, 1000)); /* is not full */
	assert_int_equal(magazine_limit(&m, cpu), 80);
	fill(80);
	assert_false(magazine_raise_full(&m, cpu, 1000));
	magazine_set_empty(&m, cpu, 20); /* is not empty */
	empty();
	assert_int_equal(magazine_limit(&m, cpu), 80);
	magazine_set_empty(&m, cpu, 20);
	fill(20);
	empty();
	magazine_set_empty(&m, cpu, 10);
	fill(10);
	empty();
	/* The bound at 20 still stands there, and is moved. */
	magazine_set_empty(&m, cpu, 80);
	fill(20);
	assert_true(magazine_raise_full(&m, cpu, 80));
	fill(40);
	grow_to(80);
	finish();
}

/* Each of the two has slots and bounds of its own, wherever it is. */
static void test_two(void **state)
{
	(void)state;
	if (!MAGAZINE_TWO)
		skip();
	start(8, 64, 2);
	touch();
	magazine_set_empty(&m, cpu, 32); /* both are empty */
	for (int round = 0; round < 5; round++) {
		for (uintptr_t i = 0; i < 32; i++)
			assert_true(mag_push(&m, object(i)));
		assert_false(mag_push(&m, object(32)));
		for (uintptr_t i = 32; i-- > 0;)
			assert_ptr_equal(mag_pop(&m), object(i));
		assert_null(mag_pop(&m));
		assert_true(magazine_check(&m));
	}
	/* One of them becomes small, the other is in use. */
	for (uintptr_t i = 0; i < 32; i++)
		assert_true(mag_push(&m, object(i)));
	assert_ptr_equal(mag_pop(&m), object(31)); /* they have changed places */
	magazine_set_empty(&m, cpu, 8);
	for (uintptr_t i = 0; i < 8; i++)
		assert_true(mag_push(&m, object(i)));
	assert_false(mag_push(&m, object(8)));
	assert_false(magazine_raise_full(&m, cpu, 64)); /* small */
	assert_int_equal(magazine_limit(&m, cpu), 32);
	assert_int_equal(magazine_count(&m), 31 + 8);
	for (uintptr_t i = 31; i-- > 0;)
		assert_ptr_equal(mag_pop(&m), object(i));
	for (uintptr_t i = 8; i-- > 0;)
		assert_ptr_equal(mag_pop(&m), object(i));
	finish();
}

static void test_what_is_refused(void **state)
{
	struct magazines none = {.out = 0};

	(void)state;
	assert_int_equal(magazine_let_grow(&none, 100), -EINVAL);
	magazine_set_empty(&none, 0, 100);
	assert_false(magazine_raise_full(&none, 0, 100));
	assert_int_equal(magazine_limit(&none, 0), 0);
	assert_true(magazine_check(&none));
	start(10, 19, 0); /* no doubling below that */
	assert_int_equal(magazine_let_grow(&m, PERCPU_LIMIT_MAX + 1), -EINVAL);
	touch();
	magazine_set_empty(&m, cpu, 1000);
	fill(10);
	finish();
}

static void count_one(void *p, void *arg)
{
	(void)p;
	++*(size_t *)arg;
}

/* Drained they are small again, and their memory is gone. */
static void test_drained(void **state)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	(void)state;
	for (int quiescent = 0; quiescent < 2; quiescent++) {
		size_t seen = 0, walked = 0;
		unsigned char there;
		void **bottom;

		start(16, 32768, 0);
		touch();
		magazine_set_empty(&m, cpu, 32768);
		fill(32768);
		bottom = place_of(cpu, m.in, load_top(cpu_of(cpu), m.in)).bottom;
		magazine_walk(&m, count_one, &walked);
		assert_int_equal(walked, 32768);
		magazine_drain_all(&m, quiescent, count_one, &seen);
		assert_int_equal(seen, 32768);
		assert_int_equal(magazine_limit(&m, cpu), 16);
		if (!quiescent && lockless()) {
			char *middle = (char *)((uintptr_t)(bottom + 16384) &
						~(page - 1));

			assert_int_equal(mincore(middle, page, &there), 0);
			assert_false(there & 1);
		}
		fill(16);
		empty();
		magazine_set_empty(&m, cpu, 64);
		grow_to(64);
		empty();
		/* An empty one is small after that, too. */
		magazine_drain_cpu(&m, cpu, count_one, &seen);
		assert_int_equal(magazine_limit(&m, cpu), 16);
		finish();
	}
}

static void test_frozen(void **state)
{
	(void)state;
	start(8, 64, 0);
	touch();
	magazine_set_empty(&m, cpu, 16);
	fill(16);
	magazine_fork_lock();
	while (!magazine_freeze(&m))
		os_restart_sequences();
	if (lockless()) { /* with locks the calls would wait */
		magazine_set_empty(&m, cpu, 64);
		assert_false(magazine_raise_full(&m, cpu, 64));
	}
	magazine_thaw(&m);
	magazine_fork_unlock();
	assert_int_equal(magazine_limit(&m, cpu), 16);
	assert_true(magazine_raise_full(&m, cpu, 64));
	fill(32);
	empty();
	finish();
}

/* Slots that others have had, with their bounds and objects in them. */
static void test_recycled(void **state)
{
	(void)state;
	for (uint32_t limit = 4; limit < 60; limit += 3) {
		start(limit, 64 * limit, limit % 2);
		touch();
		for (uint32_t n = limit * 2; n <= limit * 64; n *= 4) {
			magazine_set_empty(&m, cpu, n);
			grow_to(n);
			empty();
		}
		finish();
	}
}

/* Who has looked and was then overtaken changes nothing. */
static void test_overtaken(void **state)
{
	void **top, *slot = NULL, *word = NULL;

	(void)state;
	start(8, 64, 0);
	touch();
	top = load_top(cpu_of(cpu), m.in);
	assert_true(mag_push(&m, object(0)));
#if OS_PERCPU_RSEQ
	if (lockless()) {
		assert_false(rseq_magazine_bound(magazine_rseq_offset, &magazine_table[2],
						 m.in, top, &slot, &word, top));
		assert_true(rseq_magazine_bound(magazine_rseq_offset, &magazine_table[2],
						m.in, top + 1, &slot, &word, top));
		assert_int_equal((uintptr_t)slot, MAGAZINE_FULL);
		assert_ptr_equal(word, top);
	}
#endif
	(void)slot, (void)word, (void)top;
	assert_ptr_equal(mag_pop(&m), object(0));
	finish();
}

/* The walker finds what it is there for. */
static void test_damage(void **state)
{
	void **bottom;

	(void)state;
	start(8, 64, 0);
	touch();
	magazine_set_empty(&m, cpu, 16);
	fill(16);
	bottom = place_of(cpu, m.in, load_top(cpu_of(cpu), m.in)).bottom;
	bottom[16] = NULL;
	assert_false(magazine_check(&m));
	bottom[16] = (void *)(uintptr_t)MAGAZINE_FULL;
	bottom[-1] = object(1);
	assert_false(magazine_check(&m));
	bottom[-1] = NULL;
	finish();
}

static void *no_mmap(void *addr, size_t size, int prot, int flags, int fd, off_t offset)
{
	(void)addr, (void)size, (void)prot, (void)flags, (void)fd, (void)offset;
	errno = ENOMEM;
	return MAP_FAILED;
}

/* Without address space for large slots they stay small, and nothing else happens. */
static void test_no_memory(void **state)
{
	const struct os_hooks hooks = {.mmap = no_mmap};
	static struct magazines others[64];
	size_t n = 0;

	(void)state;
	start(8, 32768, 0);
	touch();
	os_set_hooks(&hooks);
	/* What is there already is used up first. */
	while (n < KMEM_ARRAY_SIZE(others) && magazine_create(&others[n], 30000, 0) == 0)
		n++;
	assert_true(n < KMEM_ARRAY_SIZE(others));
	magazine_set_empty(&m, cpu, 32768);
	os_set_hooks(NULL);
	fill(8);
	empty();
	while (n > 0)
		magazine_destroy(&others[--n]);
	magazine_set_empty(&m, cpu, 64);
	fill(64);
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH_MODES(test_up_and_down),	  BOTH_MODES(test_two),
		BOTH_MODES(test_what_is_refused), BOTH_MODES(test_drained),
		BOTH_MODES(test_frozen),	  BOTH_MODES(test_recycled),
		BOTH_MODES(test_overtaken),	  BOTH_MODES(test_damage),
		BOTH_MODES(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
