/* SPDX-License-Identifier: MIT */
/* Memory in hand is used before memory that has never been touched. */
#include "spans_test.h"

#include "allocators/slab/slab_internal.h"
#include <kmem/page_alloc.h>
#include <sched.h>

/* What one CPU keeps is looked at: the thread stays where it is. */
static void stay_here(void)
{
	cpu_set_t cpus;
	int cpu = sched_getcpu();

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	assert_int_equal(sched_setaffinity(0, sizeof(cpus), &cpus), 0);
}

/* --- slabs --- */

/* Bytes of free objects of at least so many bytes in magazines and depots. */
static size_t kept_bytes(size_t least)
{
	struct kmem_cache *cache;
	size_t bytes = 0;

	list_for_each_entry (cache, &slab_cache_chain, next) {
		if (cache->object_size >= least)
			bytes += (magazine_count(&cache->mag) +
				  slab_depot_sum(cache).objects) *
				 cache->object_size;
	}
	return bytes;
}

static unsigned long pages_in_use(void)
{
	struct buddy_stats stats;

	buddy_stats(NUMA_NO_NODE, MAX_NR_ZONES, &stats);
	return (unsigned long)(stats.total_pages - stats.free_pages - stats.pcp_pages);
}

static void use_large_sizes(void)
{
	for (size_t size = 16 * KIB; size <= 128 * KIB; size += 8 * KIB)
		kmem_free(kmem_malloc(size));
}

/* A program that grows empties what its CPU keeps; one that only uses again what it had
 * does not. */
static void test_growth_empties_magazines(void **state)
{
	enum { N = 4000, SIZE = 4000 };
	static char *p[N];

	(void)state;
	malloc_test_start("trim=0,background=off");
	stay_here();
	use_large_sizes();
	assert_true(kept_bytes(16 * KIB) > 0);
	for (int i = 0; i < N; i++)
		p[i] = kmem_malloc(SIZE);
	assert_int_equal(kept_bytes(16 * KIB), 0);

	for (int i = 0; i < N / 2; i++)
		kmem_free(p[i]);
	use_large_sizes();
	assert_true(kept_bytes(16 * KIB) > 500 * KIB);
	for (int i = 0; i < N / 4; i++)
		p[i] = kmem_malloc(SIZE);
	assert_true(kept_bytes(16 * KIB) > 500 * KIB);

	for (int i = 0; i < N; i++) {
		if (i < N / 4 || i >= N / 2)
			kmem_free(p[i]);
	}
	malloc_test_stop();
}

/* What magazines held back is not in use any more: growth begins from what is left. */
static void test_growth_begins_below(void **state)
{
	enum { N = 4000, SIZE = 4000, OTHER = 2000, MORE = 400 };
	static char *p[N], *q[MORE];
	unsigned long before = 0, left;
	size_t n = 0;

	(void)state;
	/* With locks magazines and batches are others, and the figures below are not. */
	if (!os_percpu_lockless())
		skip();
	malloc_test_start("trim=0,background=off");
	stay_here();
	for (int i = 0; i < 8; i++)
		use_large_sizes();
	while (n < N && kept_bytes(16 * KIB) > 0) {
		before = pages_in_use();
		p[n++] = kmem_malloc(SIZE);
	}
	left = pages_in_use();
	assert_true(n < N);
	/* Room for all that comes. */
	assert_true(before - left > MORE * OTHER * 5 / 4 / PAGE_SIZE);
	for (size_t i = 0; i < 100; i++)
		kmem_free(p[--n]);
	assert_true(kept_bytes(SIZE) > 10 * SIZE);
	for (int i = 0; i < MORE; i++)
		q[i] = kmem_malloc(OTHER);
	assert_true(pages_in_use() < before);
	assert_int_equal(kept_bytes(SIZE), 0);
	for (int i = 0; i < MORE; i++)
		kmem_free(q[i]);
	while (n > 0)
		kmem_free(p[--n]);
	malloc_test_stop();
}

/* When it grows, large blocks that have been free for some time go back to the system. */
static void test_growth_purges_spans(void **state)
{
	enum { N = 2000, SIZE = 4000 };
	static char *p[N];
	char *old;

	(void)state;
	malloc_test_start("trim=3600000,background=off");
	stay_here();
	old = kmem_malloc(8 * MIB);
	memset(old, 1, 8 * MIB);
	kmem_free(old);
	for (int i = 0; i < N / 2; i++)
		p[i] = kmem_malloc(SIZE);
	assert_int_equal(span_heap.dirty.spans, 1);
	span_of(old)->freed_ms = (uint32_t)malloc_now_ms() - 3600000 / 4;
	for (int i = N / 2; i < N; i++)
		p[i] = kmem_malloc(SIZE);
	assert_int_equal(span_heap.dirty.spans, 0);
	for (int i = 0; i < N; i++)
		kmem_free(p[i]);
	malloc_test_stop();
}

/* --- spans --- */

/* Four neighbours on an array make room for a block of another class. */
static void test_spans_leave_arrays(void **state)
{
	char *p[4], *large;
	uint32_t top;

	(void)state;
	malloc_test_start("trim=0,background=off");
	stay_here();
	for (int i = 0; i < 4; i++)
		p[i] = kmem_malloc(512 * KIB);
	for (int i = 0; i < 4; i++)
		kmem_free(p[i]);
	assert_int_equal(magazine_count(&spans.arrays[span_class(512 * KIB)]), 4);
	top = span_heap.top;
	large = kmem_malloc(2 * MIB);
	assert_ptr_equal(large, p[0]);
	assert_int_equal(span_heap.top, top);
	assert_int_equal(magazine_count(&spans.arrays[span_class(512 * KIB)]), 0);
	kmem_free(large);
	malloc_test_stop();
}

/* What is freed beside an old, larger span does not make that young, on whichever side.
 */
static void test_joined_spans_keep_their_age(void **state)
{
	char *old, *young[2], *guard;
	uint64_t now;

	(void)state;
	for (int side = 0; side < 2; side++) {
		malloc_test_start("trim=0,background=off");
		young[0] = kmem_malloc(200 * KIB);
		old = kmem_malloc(8 * MIB);
		young[1] = kmem_malloc(200 * KIB);
		guard = kmem_malloc(200 * KIB);
		assert_true(young[0] < old && old < young[1] && young[1] < guard);
		now = malloc_now_ms();
		kmem_free(old);
		span_of(old)->freed_ms = (uint32_t)now - 5000;
		kmem_free(young[side]);
		spans_drain(false, now);
		assert_int_equal(span_heap.dirty.spans, 1);
		assert_true(spans_decay(4000) >= 8 * MIB);
		kmem_free(young[1 - side]);
		kmem_free(guard);
		malloc_test_stop();
	}
}

/* Of a CPU that works, the arrays that have served nothing are emptied. */
static void test_idle_classes(void **state)
{
	const struct magazines *idle, *busy;

	(void)state;
	malloc_test_start("trim=0,background=off");
	stay_here();
	idle = &spans.arrays[span_class(200 * KIB)];
	busy = &spans.arrays[span_class(400 * KIB)];
	/* New blocks first, then those on the arrays. */
	for (int i = 0; i < 3; i++) {
		kmem_free(kmem_malloc(200 * KIB));
		kmem_free(kmem_malloc(400 * KIB));
	}
	spans_drain(true, 0);
	assert_int_equal(magazine_count(idle), 1);
	assert_int_equal(magazine_count(busy), 1);
	kmem_free(kmem_malloc(400 * KIB));
	spans_drain(true, 0);
	assert_int_equal(magazine_count(idle), 0);
	assert_int_equal(magazine_count(busy), 1);
	malloc_test_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_growth_empties_magazines),
		cmocka_unit_test(test_growth_begins_below),
		cmocka_unit_test(test_growth_purges_spans),
		cmocka_unit_test(test_spans_leave_arrays),
		cmocka_unit_test(test_joined_spans_keep_their_age),
		cmocka_unit_test(test_idle_classes),
	};

	return cmocka_run_group_tests_name("malloc_growth", tests, NULL, NULL);
}
