/* SPDX-License-Identifier: MIT */
/*
 * Large blocks that several threads free at once: no block is handed out twice, and every
 * free too many is told, at the call or when its entry comes up.
 */
#include "spans_test.h"

#include "allocators/os/magazine_internal.h"
#include "tests/os/percpu_report.h"
#include <pthread.h>
#include <sched.h>

#define THREADS 3
#define BLOCKS	8

static _Atomic int reports;

static void count_report(const char *text, void *arg)
{
	(void)arg;
	/* "did not return" where the block has been joined with one before it. */
	if (strstr(text, "free of") != NULL)
		atomic_fetch_add(&reports, 1);
}

struct race {
	void *blocks[BLOCKS];
	_Atomic int arrived, gone;
	int rounds;
	size_t size;
};

/* All threads between two rounds; by yielding, for there may be one CPU. */
static void meet(_Atomic int *count, int round)
{
	atomic_fetch_add(count, 1);
	while (atomic_load(count) < (round + 1) * THREADS)
		sched_yield();
}

static void *free_all(void *arg)
{
	struct race *r = arg;

	for (int round = 0; round < r->rounds; round++) {
		meet(&r->arrived, round);
		for (int i = 0; i < BLOCKS; i++)
			kmem_free(r->blocks[i]);
		meet(&r->gone, round);
	}
	return NULL;
}

static int by_address(const void *a, const void *b)
{
	uintptr_t x = *(const uintptr_t *)a, y = *(const uintptr_t *)b;

	return x < y ? -1 : x > y;
}

/* More than all arrays hold, so that every entry comes up. */
static void assert_apart(size_t size)
{
	enum { MORE = 64 };
	void *p[MORE];

	for (int i = 0; i < MORE; i++)
		p[i] = kmem_malloc(size);
	qsort(p, MORE, sizeof(p[0]), by_address);
	for (int i = 1; i < MORE; i++)
		assert_true((char *)p[i - 1] + size <= (char *)p[i]);
	for (int i = 0; i < MORE; i++)
		kmem_free(p[i]);
}

static void race(size_t size, const char *options, int rounds)
{
	static struct race r;
	pthread_t threads[THREADS];

	malloc_test_start(options);
	kmem_set_bug_handler(count_report, NULL);
	r = (struct race){.rounds = rounds, .size = size};
	for (int i = 0; i < THREADS - 1; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, free_all, &r), 0);
	for (int round = 0; round < rounds; round++) {
		int before = atomic_load(&reports);

		for (int i = 0; i < BLOCKS; i++)
			r.blocks[i] = kmem_malloc(size);
		meet(&r.arrived, round);
		for (int i = 0; i < BLOCKS; i++)
			kmem_free(r.blocks[i]);
		meet(&r.gone, round);
		/* Whatever is on an array comes up. */
		spans_drain(false, malloc_now_ms());
		assert_int_equal(atomic_load(&reports) - before, (THREADS - 1) * BLOCKS);
		if (round % 16 == 0)
			assert_apart(size);
	}
	for (int i = 0; i < THREADS - 1; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(stats_now().large_live, 0);
	malloc_test_stop();
}

static void test_race(void **state)
{
	(void)state;
	race(200 * KIB, "trim=0", 1500);
	race(3 * MIB, "trim=0", 500);
	race(6 * MIB, "trim=0", 300); /* has no array */
	race(200 * KIB, "trim=0,large_slots=0", 300);
}

static void test_race_with_locks(void **state)
{
	(void)state;
	os_cpu_force_mode(false);
	race(200 * KIB, "trim=0", 300);
	os_cpu_force_mode(true);
}

/* --- the marks, one interleaving after the other --- */

static void *other_cpu_entry; /* keeps the compiler from knowing */

/* A free that stopped between its look at the mark and its sequence, and goes on now:
 * what is left of it. */
static void free_goes_on(void *ptr)
{
#if OS_PERCPU_RSEQ
	struct span *span = span_of(ptr);

	assert_true(rseq_magazine_push_marked(magazine_rseq_offset, &magazine_table[2],
					      span->id, ptr, &span->mark));
#endif
	other_cpu_entry = ptr;
}

/* The entry made last is the good one, the other is told. */
static void test_two_entries(void **state)
{
	cpu_set_t before;
	void *p, *q, *r;

	(void)state;
	if (!os_percpu_lockless())
		skip();
	stay_on_one_cpu(&before);
	malloc_test_start("trim=0");
	kmem_free(kmem_malloc(MIB * 3 / 4)); /* the array's first use */
	p = kmem_malloc(200 * KIB);
	kmem_free(p);
	p = kmem_malloc(200 * KIB);
	kmem_free(p);
	free_goes_on(p);
	q = kmem_malloc(200 * KIB);
	assert_ptr_equal(p, q);
	r = kmem_malloc(200 * KIB);
	assert_ptr_not_equal(q, r);
	malloc_test_expect_report("freed already");
	kmem_free(q);
	kmem_free(r);
	malloc_test_stop();
	sched_setaffinity(0, sizeof(before), &before);
}

/* The block has gone back to the bins meanwhile. */
static void test_entry_of_free_span(void **state)
{
	cpu_set_t before;
	void *p, *q;

	(void)state;
	if (!os_percpu_lockless())
		skip();
	stay_on_one_cpu(&before);
	malloc_test_start("trim=0");
	p = kmem_malloc(200 * KIB);
	kmem_free(p);
	p = kmem_malloc(200 * KIB);
	kmem_free(p);
	spans_drain(false, malloc_now_ms());
	assert_int_equal(span_state(span_of(p)), SPAN_DIRTY);
	free_goes_on(p);
	q = kmem_malloc(200 * KIB); /* of the bins: the same, but once */
	malloc_test_expect_report("freed already");
	assert_ptr_equal(p, q);
	free_goes_on(p); /* late enough to be the new owner's */
	assert_ptr_equal(kmem_malloc(200 * KIB), p);
	kmem_free(p);
	malloc_test_stop();
	sched_setaffinity(0, sizeof(before), &before);
}

/* Draining tells, too, and gives the block back once. */
static void test_drain_of_two_entries(void **state)
{
	cpu_set_t before;
	void *p;

	(void)state;
	if (!os_percpu_lockless())
		skip();
	stay_on_one_cpu(&before);
	malloc_test_start("trim=0");
	p = kmem_malloc(200 * KIB);
	kmem_free(p);
	free_goes_on(p);
	spans_drain(false, malloc_now_ms());
	malloc_test_expect_report("freed already");
	assert_int_equal(span_state(span_of(p)), SPAN_DIRTY);
	assert_int_equal(stats_now().large_live, 0);
	malloc_test_stop();
	sched_setaffinity(0, sizeof(before), &before);
}

/* What the report's block was when it was told. */
static void *told_of;
static enum span_state state_when_told;

static void note_state(const char *text, void *arg)
{
	(void)text, (void)arg;
	state_when_told = span_state(span_of(told_of));
}

static bool go_to_cpu(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set) == 0;
}

/* Entries on two CPUs; the first that is drained is not the good one, and must leave the
 * block to the other. */
static void test_drain_of_two_cpus(void **state)
{
	cpu_set_t before;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	if (!os_percpu_lockless() || !CPU_ISSET(0, &before) || !CPU_ISSET(1, &before))
		skip();
	malloc_test_start("trim=0");
	for (int cpu = 1; cpu >= 0; cpu--) {
		assert_true(go_to_cpu(cpu));
		kmem_free(kmem_malloc(200 * KIB)); /* the array's first use */
	}
	told_of = kmem_malloc(200 * KIB);
	kmem_free(told_of);
	assert_true(go_to_cpu(1));
	free_goes_on(told_of);
	kmem_set_bug_handler(note_state, NULL);
	state_when_told = SPAN_HELD;
	spans_drain(false, malloc_now_ms());
	assert_int_equal(state_when_told, SPAN_LIVE);
	assert_int_equal(stats_now().large_live, 0);
	malloc_test_stop();
	sched_setaffinity(0, sizeof(before), &before);
}

/* A look at arrays has met the address in a slot that was used before, while a free that
 * found no room on its array gives the block back. */
static void test_free_that_is_looked_at(void **state)
{
	struct span *span;

	(void)state;
	malloc_test_start("");
	span = span_of(kmem_malloc(200 * KIB));
	span_set_mark(span, SPAN_MARK_SEEN);
	assert_true(span_release(span, SPAN_MARK_PUSHED, (uint32_t)malloc_now_ms()));
	assert_int_equal(stats_now().large_live, 0);
	malloc_test_stop();
}

static void *alloc_one(void *arg)
{
	(void)arg;
	return kmem_malloc(200 * KIB);
}

static void *free_one(void *arg)
{
	kmem_free(arg);
	return NULL;
}

/* Runs a call while the block is in the hands of another, which lets it be. */
static void *call_while_held(void *(*call)(void *), struct span *span, void *arg)
{
	pthread_t thread;
	void *result;

	spin_lock(&spans_lock);
	span_set_state(span, SPAN_HELD);
	assert_int_equal(pthread_create(&thread, NULL, call, arg), 0);
	sleep_ms(20);
	span_set_state(span, SPAN_LIVE);
	spin_unlock(&spans_lock);
	assert_int_equal(pthread_join(thread, &result), 0);
	return result;
}

/* A free too many looks at the block while the right one goes on, or its entry is taken.
 */
static void test_block_in_hands(void **state)
{
	cpu_set_t before;
	void *p;

	(void)state;
	stay_on_one_cpu(&before);
	malloc_test_start("trim=0");
	kmem_free(kmem_malloc(MIB * 3 / 4)); /* the array's first use */
	p = kmem_malloc(6 * MIB);	     /* has no array: a free looks at the state */
	call_while_held(free_one, span_of(p), p);
	assert_int_equal(stats_now().large_live, 0);
	p = kmem_malloc(200 * KIB);
	kmem_free(p);
	p = kmem_malloc(200 * KIB);
	kmem_free(p);
	assert_true(on_array(p));
	assert_ptr_equal(call_while_held(alloc_one, span_of(p), NULL), p);
	kmem_free(p);
	assert_int_equal(stats_now().large_live, 0);
	malloc_test_stop();
	sched_setaffinity(0, sizeof(before), &before);
}

/* A block of each size that may have a magazine, given back. */
static void use_all_magazines(void)
{
	for (size_t size = 8; size <= 128 * KIB; size += size < 64 ? 8 : size / 8)
		kmem_free(kmem_malloc(size));
}

/* An instance without spans finds nothing of those before it: the numbers of their
 * arrays are those of other magazines now. */
static void test_starts_without_spans(void **state)
{
	static const char *const without[] = {"span_max=0", "hardened=on"};
	char *p;

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(without); i++) {
		malloc_test_start("classes=pow2");
		kmem_free(kmem_malloc(144 * KIB));
		malloc_test_stop();
		malloc_test_start(without[i]);
		use_all_magazines();
		for (size_t size = 130 * KIB; size < 4 * MIB; size += size / 9) {
			p = kmem_malloc(size);
			assert_true(kmem_usable_size(p) >= size);
			memset(p, 1, size);
			kmem_free(p);
		}
		malloc_test_stop();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_race),
		cmocka_unit_test(test_race_with_locks),
		cmocka_unit_test(test_two_entries),
		cmocka_unit_test(test_entry_of_free_span),
		cmocka_unit_test(test_drain_of_two_entries),
		cmocka_unit_test(test_drain_of_two_cpus),
		cmocka_unit_test(test_free_that_is_looked_at),
		cmocka_unit_test(test_block_in_hands),
		cmocka_unit_test(test_starts_without_spans),
	};

	return cmocka_run_group_tests_name("malloc_spans_race", tests, NULL, NULL);
}
