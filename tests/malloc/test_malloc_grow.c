/* SPDX-License-Identifier: MIT */
/* Spans that grow: where they are put, what they move, whom they hinder, what they give
 * back. */
#include "spans_test.h"

#include "tests/os/os_faults.h"
#include <sys/resource.h>

static long page_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt;
}

#define NR_BLOCKS 8

struct grown {
	char *p;
	size_t size;
	int moves; /* of what was a span already */
};

static void grow_to(struct grown *b, size_t size)
{
	bool was_span = span_owns(b->p);
	char *before = b->p;

	b->p = kmem_realloc(b->p, size);
	assert_non_null(b->p);
	assert_true(kmem_usable_size(b->p) >= size);
	b->moves += was_span && b->p != before;
	if (b->size != 0)
		assert_true(malloc_test_filled(b->p, b->size, b->size, 3));
	malloc_test_fill(b->p, size, 3);
	b->size = size;
}

/* Blocks that grow in turns lie apart, and stay where they are for six doublings. */
static void test_growing_together(void **state)
{
	struct grown b[NR_BLOCKS] = {{NULL, 0, 0}};

	(void)state;
	malloc_test_start("trim=0");
	for (size_t size = 1000; size <= 16 * MIB; size *= 2) {
		for (int i = 0; i < NR_BLOCKS; i++)
			grow_to(&b[i], size);
		assert_int_equal(kmem_malloc_check(), 0);
	}
	for (int i = 0; i < NR_BLOCKS; i++) {
		assert_true(span_owns(b[i].p));
		assert_int_equal(b[i].moves, 0);
		kmem_free(b[i].p);
	}
	malloc_test_stop();
}

/* By small steps, with others in between that stay. */
static void test_small_steps(void **state)
{
	struct grown b = {NULL, 0, 0};
	static char *others[2100];
	size_t n = 0;

	(void)state;
	malloc_test_start("trim=0");
	for (size_t size = 100 * KIB; size < 8 * MIB; size += 4 * KIB) {
		grow_to(&b, size);
		others[n] = kmem_malloc(130 * KIB + n % 7 * 100 * KIB);
		n++;
	}
	assert_int_equal(b.moves, 0);
	assert_int_equal(kmem_malloc_check(), 0);
	kmem_free(b.p);
	while (n > 0)
		kmem_free(others[--n]);
	malloc_test_stop();
}

/* What was malloc()ed and finds something behind it moves once. */
static void test_moves_once(void **state)
{
	struct grown b = {NULL, 0, 0};
	char *wall;

	(void)state;
	malloc_test_start("trim=0");
	b.p = kmem_malloc(5 * MIB);
	wall = kmem_malloc(MIB);
	b.size = 5 * MIB;
	malloc_test_fill(b.p, b.size, 3);
	for (size_t size = 6 * MIB; size < 100 * MIB; size += size / 3)
		grow_to(&b, size);
	assert_int_equal(b.moves, 1);
	assert_true(span_of(b.p)->grows);
	kmem_free(b.p);
	kmem_free(wall);
	malloc_test_stop();
}

/* The same again finds the same pages. */
static void test_pages_are_found_again(void **state)
{
	long faults = 0;

	(void)state;
	malloc_test_start("trim=0");
	for (int round = 0; round < 4; round++) {
		struct grown b[NR_BLOCKS] = {{NULL, 0, 0}};

		faults = page_faults();
		for (size_t size = 64 * KIB; size <= 4 * MIB; size *= 2) {
			for (int i = 0; i < NR_BLOCKS; i++) {
				b[i].p = kmem_realloc(b[i].p, size);
				memset(b[i].p + size / 2, 1, size / 2);
			}
		}
		for (int i = 0; i < NR_BLOCKS; i++)
			kmem_free(b[i].p);
		faults = page_faults() - faults;
	}
	/* 8192 pages were touched. */
	assert_in_range(faults, 0, 800);
	malloc_test_stop();
}

/* Room is nobody's: when there is nothing else, it goes to whoever asks, and the block
 * before it moves or becomes a mapping. */
static void test_room_is_given_up(void **state)
{
	struct grown b = {NULL, 0, 0};
	static char *p[4000];
	size_t n = 0, bytes = 0;

	(void)state;
	malloc_test_start("trim=0,large_slots=0");
	spans_give_up(256 * MIB);
	grow_to(&b, 100 * KIB);
	grow_to(&b, 300 * KIB);
	assert_true(span_owns(b.p) && span_of(b.p)->grows);
	for (;;) {
		p[n] = kmem_malloc(500 * KIB);
		if (!span_owns(p[n]))
			break;
		bytes += kmem_usable_size(p[n++]);
	}
	kmem_free(p[n]);
	assert_true(bytes > 253 * MIB);
	assert_int_equal(kmem_malloc_check(), 0);
	grow_to(&b, 6 * MIB);
	assert_false(span_owns(b.p)); /* no room anywhere */
	for (size_t i = 0; i < n; i += 2)
		kmem_free(p[i]);
	for (size_t i = 1; i < n; i += 2)
		kmem_free(p[i]);
	kmem_free(b.p);
	malloc_test_stop();
}

/* Many blocks that grow share what range there is. */
static void test_little_range(void **state)
{
	struct grown b[64] = {{NULL, 0, 0}};

	(void)state;
	malloc_test_start("trim=0");
	spans_give_up(64 * MIB);
	for (size_t size = 64 * KIB; size <= MIB; size += size / 4) {
		for (int i = 0; i < 64; i++)
			grow_to(&b[i], size);
		assert_int_equal(kmem_malloc_check(), 0);
	}
	for (int i = 0; i < 64; i++)
		kmem_free(b[i].p);
	malloc_test_stop();
}

/* A limit at run time gives up the rooms at the top, too. */
static void test_give_up_rooms(void **state)
{
	struct grown b = {NULL, 0, 0};

	(void)state;
	malloc_test_start("trim=0");
	grow_to(&b, 100 * KIB);
	grow_to(&b, 300 * KIB);
	spans_give_up(0);
	assert_true(spans.bytes <= 4 * MIB);
	assert_int_equal(kmem_malloc_check(), 0);
	grow_to(&b, 10 * MIB);
	kmem_free(b.p);
	malloc_test_stop();
}

/* The room of a freed block serves everybody; a smaller tail than an eighth stays. */
static void test_shrinking(void **state)
{
	struct grown b = {NULL, 0, 0};
	size_t usable;

	(void)state;
	malloc_test_start("trim=0");
	grow_to(&b, 100 * KIB);
	for (size_t size = 200 * KIB; size <= 64 * MIB; size *= 2)
		grow_to(&b, size);
	usable = kmem_usable_size(b.p);
	b.p = kmem_realloc(b.p, usable - usable / 9);
	assert_int_equal(kmem_usable_size(b.p), usable);
	b.p = kmem_realloc(b.p, usable - usable / 7);
	assert_true(kmem_usable_size(b.p) < usable - usable / 7 + SPAN_UNIT);
	assert_true(stats_now().large_cached_bytes >= usable / 7 - SPAN_UNIT);
	assert_true(malloc_test_filled(b.p, kmem_usable_size(b.p), b.size, 3));
	spans_decay(0);
	assert_int_equal(stats_now().large_cached_bytes, 0);
	b.p = kmem_realloc(b.p, 300 * KIB);
	assert_true(kmem_usable_size(b.p) < 300 * KIB + SPAN_UNIT);
	assert_false(span_of(b.p)->grows);
	kmem_free(b.p);
	malloc_test_stop();
}

/* The system refuses memory at the n-th call: the block is as it was, or has grown. */
static void test_refused(void **state)
{
	(void)state;
	for (long n = 1; n < 6; n++) {
		struct grown b = {NULL, 0, 0};
		char *p;

		malloc_test_start("trim=0");
		grow_to(&b, 200 * KIB);
		os_faults_arm(n, ENOMEM);
		for (size_t size = 400 * KIB; size <= 64 * MIB; size *= 2) {
			p = kmem_realloc(b.p, size);
			if (p == NULL)
				break;
			b.p = p;
		}
		os_faults_disarm();
		assert_true(malloc_test_filled(b.p, 200 * KIB, 200 * KIB, 3));
		kmem_free(b.p);
		malloc_test_stop();
	}
}

/* Too much is dirty: what nobody has wanted for a while goes, not what is in use. */
static void test_stale_goes_first(void **state)
{
	char *p, *q, *wall;

	(void)state;
	malloc_test_start("trim=0,large_slots=0,large_cache=40M");
	p = kmem_malloc(30 * MIB);
	wall = kmem_malloc(200 * KIB);
	q = kmem_malloc(20 * MIB);
	memset(q, 1, 20 * MIB);
	kmem_free(p);
	sleep_ms(150);
	kmem_free(q);
	assert_int_equal(span_state(span_of(p)), SPAN_ZERO);
	assert_int_equal(span_state(span_of(q)), SPAN_DIRTY);
	assert_int_equal(stats_now().large_cached_bytes, 20 * MIB);
	kmem_free(wall);
	malloc_test_stop();
}

/* A small span that is used again and again does not keep a large neighbour from its
 * time. */
static void test_age_of_joined(void **state)
{
	char *p, *q;

	(void)state;
	malloc_test_start("trim=0,large_slots=0");
	p = kmem_malloc(30 * MIB);
	q = kmem_malloc(MIB);
	kmem_free(p);
	sleep_ms(60);
	kmem_free(q);
	assert_true(spans_decay(50) >= 31 * MIB);
	malloc_test_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_growing_together),
		cmocka_unit_test(test_small_steps),
		cmocka_unit_test(test_moves_once),
		cmocka_unit_test(test_pages_are_found_again),
		cmocka_unit_test(test_room_is_given_up),
		cmocka_unit_test(test_little_range),
		cmocka_unit_test(test_give_up_rooms),
		cmocka_unit_test(test_shrinking),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_stale_goes_first),
		cmocka_unit_test(test_age_of_joined),
	};

	return cmocka_run_group_tests_name("malloc_grow", tests, NULL, NULL);
}
