/* SPDX-License-Identifier: MIT */
/* Large blocks: misuse is told, and the walker finds what is wrong. */
#include "spans_test.h"

static void test_misuse(void **state)
{
	char *p, *q;

	(void)state;
	malloc_test_start("trim=0");
	p = kmem_malloc(300 * KIB); /* has an array */
	q = kmem_malloc(6 * MIB);   /* has none */
	kmem_free(p + SPAN_UNIT);
	malloc_test_expect_report("did not return");
	kmem_free(p + 16);
	malloc_test_expect_report("did not return");
	kmem_free(q + 6 * MIB - SPAN_UNIT); /* the last unit has a mark */
	malloc_test_expect_report("did not return");
	kmem_free(spans.base + spans.bytes - SPAN_UNIT);
	malloc_test_expect_report("did not return");
	assert_int_equal(kmem_usable_size(p + SPAN_UNIT), 0);
	malloc_test_expect_report("did not return");
	kmem_free(p);
	kmem_free(p);
	malloc_test_expect_report("freed already");
	kmem_free(q);
	kmem_free(q);
	malloc_test_expect_report("freed already");
	assert_null(kmem_realloc(q, 100));
	malloc_test_expect_report("freed already");
	malloc_test_stop();
}

static void assert_found(const char *part)
{
	assert_int_equal(kmem_malloc_check(), -EFAULT);
	if (strstr(kmem_last_error(), part) == NULL)
		fail_msg("'%s' is not in '%s'", part, kmem_last_error());
}

static void test_walker_finds(void **state)
{
	struct span *span, *next;
	char *p, *q, *wall;

	(void)state;
	malloc_test_start("trim=0,large_slots=0");
	p = kmem_malloc(6 * MIB);
	q = kmem_malloc(6 * MIB);
	wall = kmem_malloc(200 * KIB);
	span = span_of(p);
	span->units++;
	assert_found("last unit does not say so");
	span->units--;
	span->units = span_heap.top;
	assert_found("units, and");
	span->units = 6 * MIB >> SPAN_UNIT_SHIFT;
	span_set_state(span + 3, SPAN_LIVE);
	assert_found("inside of span");
	span_set_state(span + 3, SPAN_INSIDE);
	span_set_state(span, SPAN_LAST);
	assert_found("begins none");
	span_set_state(span, SPAN_LIVE);
	span->grows = true;
	span->class = 3;
	assert_found("grows, and has class");
	span->grows = false;
	span->class = SPAN_NO_CLASS;
	span_heap.out_units++;
	assert_found("are out");
	span_heap.out_units--;
	assert_int_equal(kmem_malloc_check(), 0);
	kmem_free(p);
	next = span_of(q);
	span_set_state(next, SPAN_DIRTY);
	assert_found("not joined");
	span_set_state(next, SPAN_LIVE);
	span_heap.dirty.used[0] ^= 1;
	assert_found("its bit is wrong");
	span_heap.dirty.used[0] ^= 1;
	span->prev = 1;
	assert_found("is not of it");
	span->prev = 0;
	span_heap.dirty.spans++;
	assert_found("free spans of kind");
	span_heap.dirty.spans--;
	kmem_free(q);
	kmem_free(wall);
	malloc_test_stop();
}

static void test_walker_finds_on_arrays(void **state)
{
	struct span *span;
	char *p;

	(void)state;
	malloc_test_start("trim=0");
	p = kmem_malloc(200 * KIB);
	kmem_free(p);
	span = span_of(p);
	assert_true(on_array(p));
	span->class ++;
	assert_found("on arrays of spans");
	span->class --;
	span_set_mark(span, SPAN_MARK_NONE);
	assert_found("on arrays of spans");
	span_set_mark(span, SPAN_MARK_PUSHED);
	assert_int_equal(kmem_malloc_check(), 0);
	/* Nobody but who has the mark gives it back. */
	assert_false(span_release(span, SPAN_MARK_SEEN, 0));
	assert_true(on_array(p));
	malloc_test_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_misuse),
		cmocka_unit_test(test_walker_finds),
		cmocka_unit_test(test_walker_finds_on_arrays),
	};

	return cmocka_run_group_tests_name("malloc_spans_check", tests, NULL, NULL);
}
