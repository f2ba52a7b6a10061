/* SPDX-License-Identifier: MIT */
/* Large blocks in spans: reuse, zeroes, growth in place, decay, arrays. */
#include "spans_test.h"

#include "tests/os/os_faults.h"
#include <sched.h>
#include <sys/mman.h>

/* Pages of a block that have memory. */
static size_t resident_pages(void *p, size_t size)
{
	static unsigned char map[1 << 16];
	size_t n = 0, pages = size / PAGE_SIZE;

	assert_true(pages <= sizeof(map));
	assert_int_equal(mincore(p, size, map), 0);
	for (size_t i = 0; i < pages; i++)
		n += map[i] & 1;
	return n;
}

/* --- bins --- */

static void test_bins(void **state)
{
	unsigned int last = 0;

	(void)state;
	for (uint64_t units = 1; units <= UINT32_MAX; units += 1 + units / 9) {
		unsigned int bin = span_bin((uint32_t)units);

		assert_true(bin >= last && bin < SPAN_NR_BINS);
		last = bin;
	}
	assert_int_equal(span_bin(7), 7);
	assert_int_equal(span_bin(8), 8);
	assert_int_equal(span_bin(9), 8);
	assert_int_equal(span_bin(UINT32_MAX), SPAN_NR_BINS - 1);
}

/* --- sizes and arrays --- */

static void test_sizes(void **state)
{
	(void)state;
	malloc_test_start("");
	for (size_t size = 128 * KIB + 1; size < 9 * MIB; size += size / 50) {
		char *p = kmem_malloc(size);
		size_t usable = kmem_usable_size(p);

		assert_true(span_owns(p));
		assert_int_equal((uintptr_t)p % SPAN_UNIT, 0);
		/* A fifth at most is not used. */
		assert_true(usable >= size && usable - size <= usable / 5);
		memset(p, 1, size);
		kmem_free(p);
	}
	malloc_test_stop();
}

/* Pairs of every class come from the array; a block more than it holds is not lost. */
static void test_arrays(void **state)
{
	static const size_t some[] = {129 * KIB, 200 * KIB, 512 * KIB, 513 * KIB,
				      MIB,	 2 * MIB,   4 * MIB};
	cpu_set_t before;
	char *p[6], *q;

	(void)state;
	stay_on_one_cpu(&before);
	malloc_test_start("background=off");
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(some); i++) {
		for (int j = 0; j < 6; j++)
			p[j] = kmem_malloc(some[i]);
		for (int j = 0; j < 6; j++)
			kmem_free(p[j]);
		assert_int_equal(kmem_malloc_check(), 0);
		/* One of those that were freed first: the array was full after. */
		q = kmem_malloc(some[i]);
		assert_true(q == p[0] || q == p[1] || q == p[2] || q == p[3]);
		kmem_free(q);
		assert_true(on_array(q));
	}
	assert_int_equal(stats_now().large_live, 0);
	assert_int_equal(stats_now().large_live_bytes, 0);
	assert_true(stats_now().large_cached_bytes > 10 * MIB);
	kmem_malloc_trim();
	assert_int_equal(stats_now().large_cached, 0);
	assert_int_equal(stats_now().large_cached_bytes, 0);
	malloc_test_stop();
	sched_setaffinity(0, sizeof(before), &before);
}

static void test_no_arrays(void **state)
{
	char *p, *q;

	(void)state;
	malloc_test_start("large_slots=0");
	p = kmem_malloc(MIB);
	kmem_free(p);
	assert_int_equal(span_state(span_of(p)), SPAN_DIRTY);
	q = kmem_malloc(MIB);
	assert_ptr_equal(p, q);
	kmem_free(q);
	malloc_test_stop();
}

/* The same memory again, without a page fault. */
static void test_reuse_is_resident(void **state)
{
	static const size_t some[] = {200 * KIB, MIB, 4 * MIB, 16 * MIB, 64 * MIB};

	(void)state;
	malloc_test_start("trim=0");
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(some); i++) {
		char *p = kmem_malloc(some[i]);

		memset(p, 1, some[i]);
		kmem_free(p);
		p = kmem_malloc(some[i]);
		assert_int_equal(resident_pages(p, KMEM_ALIGN_DOWN(some[i], PAGE_SIZE)),
				 some[i] / PAGE_SIZE);
		kmem_free(p);
		kmem_malloc_trim();
	}
	malloc_test_stop();
}

/* --- zeroes --- */

static void test_calloc_fresh_is_not_written(void **state)
{
	char *p;

	(void)state;
	malloc_test_start("trim=0");
	p = kmem_calloc(1, 8 * MIB);
	assert_true(resident_pages(p, 8 * MIB) < 16);
	assert_true(all_zero(p, 8 * MIB));
	memset(p, 0xee, 8 * MIB);
	kmem_free(p);
	/* The same memory, written before: so much is given back, less is zeroed. */
	p = kmem_calloc(1, 8 * MIB);
	assert_true(resident_pages(p, 8 * MIB) < 16);
	assert_true(all_zero(p, 8 * MIB));
	memset(p, 0xee, 8 * MIB);
	kmem_free(p);
	p = kmem_calloc(1, 3 * MIB);
	assert_int_equal(resident_pages(p, 3 * MIB), 3 * MIB / PAGE_SIZE);
	assert_true(all_zero(p, 3 * MIB));
	kmem_free(p);
	p = kmem_malloc(8 * MIB);
	memset(p, 0xee, 8 * MIB);
	kmem_free(p);
	/* Given back, it is zero again without being written. */
	kmem_malloc_trim();
	p = kmem_calloc(1, 8 * MIB);
	assert_true(resident_pages(p, 8 * MIB) < 16);
	assert_true(all_zero(p, 8 * MIB));
	kmem_free(p);
	malloc_test_stop();
}

/* Neighbours of both kinds, cut and joined: never a byte of what was there before. */
static void test_calloc_among_dirty(void **state)
{
	enum { N = 24 };
	char *p[N] = {NULL};
	uint32_t seed = 7;

	(void)state;
	malloc_test_start("trim=0,large_slots=1");
	for (int step = 0; step < 3000; step++) {
		uint32_t r = seed = seed * 1664525u + 1013904223u;
		size_t i = (r >> 8) % N, size = 129 * KIB + (r >> 12) % (2 * MIB);

		if (step % 200 == 199)
			kmem_malloc_trim();
		if (p[i] != NULL) {
			kmem_free(p[i]);
			p[i] = NULL;
			continue;
		}
		p[i] = kmem_calloc(1, size);
		assert_non_null(p[i]);
		assert_true(all_zero(p[i], size));
		memset(p[i], 0xff, kmem_usable_size(p[i]));
	}
	for (int i = 0; i < N; i++)
		kmem_free(p[i]);
	malloc_test_stop();
}

/* --- realloc --- */

static void test_grows_in_place(void **state)
{
	char *p, *q, *r;

	(void)state;
	malloc_test_start("");
	p = kmem_malloc(300 * KIB);
	malloc_test_fill(p, 300 * KIB, 1);
	/* It is the last: as far as it likes. */
	for (size_t size = 400 * KIB; size < 60 * MIB; size += size / 3) {
		q = kmem_realloc(p, size);
		assert_ptr_equal(p, q);
		assert_true(kmem_usable_size(p) >= size);
		q[size - 1] = 1;
	}
	assert_true(malloc_test_filled(p, 300 * KIB, 300 * KIB, 1));
	/* Smaller: the tail serves others. */
	q = kmem_realloc(p, 300 * KIB);
	assert_ptr_equal(p, q);
	assert_true(kmem_usable_size(p) < 300 * KIB + SPAN_UNIT);
	assert_int_equal(kmem_malloc_check(), 0);
	r = kmem_malloc(10 * MIB);
	assert_ptr_equal(r, p + kmem_usable_size(p));
	/* Something lives behind it now. */
	q = kmem_realloc(p, 600 * KIB);
	assert_ptr_not_equal(p, q);
	assert_true(malloc_test_filled(q, 300 * KIB, 300 * KIB, 1));
	kmem_free(r);
	kmem_free(q);
	malloc_test_stop();
}

/* Blocks that find no place with room become mappings, which move without a copy. */
static void test_grows_as_mapping(void **state)
{
	char *p, *wall;

	(void)state;
	malloc_test_start("");
	p = kmem_malloc(9 * MIB);
	wall = kmem_malloc(MIB);
	spans_give_up(0);
	malloc_test_fill(p, 9 * MIB, 2);
	p = kmem_realloc(p, 20 * MIB);
	assert_false(span_owns(p));
	p = kmem_realloc(p, 40 * MIB);
	assert_true(malloc_test_filled(p, 9 * MIB, 9 * MIB, 2));
	p = kmem_realloc(p, MIB); /* and back */
	assert_true(span_owns(p));
	assert_true(malloc_test_filled(p, MIB, 9 * MIB, 2));
	kmem_free(p);
	kmem_free(wall);
	malloc_test_stop();
}

/* --- decay --- */

static void test_background(void **state)
{
	(void)state;
	malloc_test_start("trim=40");
	/* Little: no thread. */
	free_some(2 * MIB, 200 * KIB);
	assert_int_equal(stats_now().background_starts, background_starts());
	assert_false(background_runs());
	/* Much: it comes, gives all back while we do nothing, and goes. */
	free_some(40 * MIB, 200 * KIB);
	assert_true(background_runs());
	assert_true(decays());
	for (int i = 0; i < 500 && background_runs(); i++)
		sleep_ms(10);
	assert_false(background_runs());
	/* And again. */
	free_some(40 * MIB, MIB);
	assert_true(background_runs());
	assert_true(decays());
	free_some(40 * MIB, 5 * MIB);
	malloc_test_stop(); /* while it runs */
	assert_false(background_runs());
}

static void test_no_background(void **state)
{
	uint64_t starts = background_starts();

	(void)state;
	malloc_test_start("trim=40,background=off");
	free_some(40 * MIB, 200 * KIB);
	sleep_ms(100);
	assert_true(stats_now().large_cached_bytes > 30 * MIB);
	/* A call that takes the slow path looks, and those that are idle by then go. */
	for (int i = 0; i < 40; i++) {
		sleep_ms(10);
		kmem_free(kmem_malloc(9 * MIB));
	}
	assert_true(stats_now().large_cached_bytes < 20 * MIB);
	assert_int_equal(background_starts(), starts);
	malloc_test_stop();
}

/* Arrays that have served something since the last look stay as they are. */
static void test_idle_arrays(void **state)
{
	cpu_set_t before;
	char *p;

	(void)state;
	stay_on_one_cpu(&before);
	malloc_test_start("trim=0");
	for (int i = 0; i < 3; i++) {
		p = kmem_malloc(MIB);
		kmem_free(p);
		kmem_free(kmem_malloc(MIB));
		spans_drain(true, malloc_now_ms());
		assert_true(on_array(p));
	}
	/* This look finds that nothing has happened. */
	spans_drain(true, malloc_now_ms() - 500);
	assert_int_equal(span_state(span_of(p)), SPAN_DIRTY);
	assert_int_equal(spans_decay(10000), 0);
	assert_true(spans_decay(400) >= MIB);
	assert_int_equal(span_state(span_of(p)), SPAN_ZERO);
	malloc_test_stop();
	sched_setaffinity(0, sizeof(before), &before);
}

static void test_bound_of_dirty(void **state)
{
	(void)state;
	malloc_test_start("large_cache=20M,large_slots=0,trim=0");
	free_some(100 * MIB, 5 * MIB);
	assert_true(stats_now().large_cached_bytes <= 20 * MIB);
	assert_true(stats_now().large_purged_bytes >= 80 * MIB);
	malloc_test_stop();
}

/* The system refuses to take memory back: it stays dirty, and is zeroed for calloc(). */
static void test_purge_fails(void **state)
{
	char *p;

	(void)state;
	malloc_test_start("trim=0,large_slots=0");
	p = kmem_malloc(6 * MIB);
	memset(p, 1, 6 * MIB);
	kmem_free(p);
	os_faults_arm(1, ENOMEM);
	spans_decay(0);
	os_faults_disarm();
	assert_int_equal(kmem_malloc_check(), 0);
	assert_int_equal(stats_now().large_cached_bytes, 6 * MIB);
	p = kmem_calloc(1, 6 * MIB);
	assert_true(all_zero(p, 6 * MIB));
	kmem_free(p);
	malloc_test_stop();
}

/* The range cannot be extended: a mapping serves. */
static void test_extend_fails(void **state)
{
	char *p;

	(void)state;
	malloc_test_start("trim=0");
	os_faults_arm(1, ENOMEM);
	p = kmem_malloc(6 * MIB);
	os_faults_disarm();
	assert_non_null(p);
	assert_false(span_owns(p));
	kmem_free(p);
	p = kmem_malloc(6 * MIB);
	assert_true(span_owns(p));
	kmem_free(p);
	malloc_test_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bins),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_arrays),
		cmocka_unit_test(test_no_arrays),
		cmocka_unit_test(test_reuse_is_resident),
		cmocka_unit_test(test_calloc_fresh_is_not_written),
		cmocka_unit_test(test_calloc_among_dirty),
		cmocka_unit_test(test_grows_in_place),
		cmocka_unit_test(test_grows_as_mapping),
		cmocka_unit_test(test_background),
		cmocka_unit_test(test_no_background),
		cmocka_unit_test(test_idle_arrays),
		cmocka_unit_test(test_bound_of_dirty),
		cmocka_unit_test(test_purge_fails),
		cmocka_unit_test(test_extend_fails),
	};

	return cmocka_run_group_tests_name("malloc_spans", tests, NULL, NULL);
}
