/* SPDX-License-Identifier: MIT */
/*
 * Ages of large blocks that lie free: what joined spans count as, what goes back to the
 * system when, and that none is taken for old because it was freed a moment ago.
 */
#include "spans_test.h"

#include "allocators/os/os_mem.h"
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define OPTIONS "trim=0,large_slots=0"
#define OLD_MS	1000u

static uint32_t now(void)
{
	return (uint32_t)malloc_now_ms();
}

static void release(void *block, uint32_t freed_ms)
{
	assert_true(span_release(span_of(block), SPAN_MARK_NONE, freed_ms));
}

static bool is_dirty(const void *block)
{
	return span_state(span_of(block)) == SPAN_DIRTY;
}

static bool is_zero(const void *block)
{
	return span_state(span_of(block)) == SPAN_ZERO;
}

/* Blocks next to each other, upwards: nothing has been used yet. */
static void take_row(size_t n, const size_t *mib, char **block)
{
	for (size_t i = 0; i < n; i++) {
		assert_non_null(block[i] = kmem_malloc(mib[i] * MIB));
		if (i > 0)
			assert_ptr_equal(block[i], block[i - 1] + mib[i - 1] * MIB);
	}
}

/* --- joined spans --- */

/* Two neighbours, the first of which was there before, below or above the other. What
 * they count as, in ms before now. */
static uint32_t joined(size_t there_mib, uint32_t there_age, size_t comes_mib,
		       uint32_t comes_age, bool above)
{
	size_t mib[3] = {comes_mib, there_mib, 1};
	uint32_t at, joined_ms;
	char *block[3];

	if (above) {
		mib[0] = there_mib;
		mib[1] = comes_mib;
	}
	malloc_test_start(OPTIONS);
	take_row(3, mib, block);
	at = now();
	release(block[above ? 0 : 1], at - there_age);
	release(block[above ? 1 : 0], at - comes_age);
	assert_int_equal(span_of(block[0])->units,
			 (there_mib + comes_mib) * MIB >> SPAN_UNIT_SHIFT);
	joined_ms = at - span_of(block[0])->freed_ms;
	kmem_free(block[2]);
	malloc_test_stop();
	return joined_ms;
}

static void test_joined(void **state)
{
	(void)state;
	for (int above = 0; above <= 1; above++) {
		/* About alike: the later of the two, whichever it is. */
		assert_int_equal(joined(8, 500, 8, 20, above), 20);
		assert_int_equal(joined(8, 500, 4, 20, above), 20);
		assert_int_equal(joined(4, 500, 8, 20, above), 20);
		assert_int_equal(joined(8, 20, 8, 500, above), 20);
		/* A small one does not keep a large one from its time. */
		assert_int_equal(joined(8, 500, 2, 20, above), 500);
		assert_int_equal(joined(8, 500, 3, 20, above), 20);
		assert_int_equal(joined(2, 20, 8, 500, above), 500);
		/* Nor does it take the large one with it. */
		assert_int_equal(joined(8, 20, 2, 500, above), 20);
		assert_int_equal(joined(2, 500, 8, 20, above), 20);
	}
}

/* Around the clock's end. */
static void test_joined_at_the_wrap(void **state)
{
	static const size_t mib[] = {8, 8, 1};
	char *block[3];

	(void)state;
	malloc_test_start(OPTIONS);
	take_row(3, mib, block);
	release(block[0], UINT32_MAX - 5);
	release(block[1], 7);
	assert_int_equal(span_of(block[0])->freed_ms, 7);
	kmem_free(block[2]);
	malloc_test_stop();
}

/* What is cut off a free span is as old as it was. */
static void test_cut(void **state)
{
	static const size_t mib[] = {20, 1};
	char *block[2], *part;
	uint32_t at;

	(void)state;
	malloc_test_start(OPTIONS);
	take_row(2, mib, block);
	at = now();
	release(block[0], at - OLD_MS);
	part = kmem_malloc(8 * MIB);
	assert_ptr_equal(part, block[0]);
	assert_int_equal(span_of(part + 8 * MIB)->freed_ms, at - OLD_MS);
	kmem_free(part);
	/* In front of an aligned one, too. */
	at = now();
	part = kmem_memalign(4 * MIB, 5 * MIB);
	assert_true(part >= block[0] && part < block[1]);
	if (part != block[0])
		assert_true(at - span_of(block[0])->freed_ms < OLD_MS / 2);
	kmem_free(part);
	kmem_free(block[1]);
	malloc_test_stop();
}

/* --- what goes --- */

static void test_decay(void **state)
{
	static const size_t mib[] = {8, 1, 8, 1, 8, 1};
	char *block[6];
	uint32_t at;

	(void)state;
	malloc_test_start(OPTIONS);
	take_row(6, mib, block);
	at = now();
	release(block[0], at - 3000);
	release(block[2], at - 2000);
	release(block[4], at);
	assert_int_equal(spans_decay(10000), 0);
	assert_int_equal(spans_decay(2500), 8 * MIB);
	assert_true(is_zero(block[0]) && is_dirty(block[2]) && is_dirty(block[4]));
	assert_int_equal(spans_decay(1500), 8 * MIB);
	assert_true(is_zero(block[2]) && is_dirty(block[4]));
	assert_int_equal(spans_decay(0), 8 * MIB);
	assert_true(is_zero(block[4]));
	for (int i = 1; i < 6; i += 2)
		kmem_free(block[i]);
	malloc_test_stop();
}

/* The first call of a decay lets time go by, and somebody frees a block. */
static char *freed_meanwhile;

static int free_meanwhile(void *addr, size_t size, int advice)
{
	char *block = freed_meanwhile;

	freed_meanwhile = NULL;
	if (block != NULL) {
		sleep_ms(30); /* several ticks of the coarse clock */
		kmem_free(block);
	}
	return os_hooks_system.madvise(addr, size, advice);
}

/* More old spans than are taken at a time: the next look has a clock of its own. */
static void test_freed_between_two_looks(void **state)
{
	static const struct os_hooks hooks = {.madvise = free_meanwhile};
	enum { N = 40 };
	char *old[N], *wall[N], *fresh, *last;
	uint32_t at;

	(void)state;
	malloc_test_start(OPTIONS);
	for (int i = 0; i < N; i++) {
		old[i] = kmem_malloc(MIB);
		wall[i] = kmem_malloc(MIB);
	}
	fresh = freed_meanwhile = kmem_malloc(8 * MIB);
	last = kmem_malloc(MIB);
	at = now();
	for (int i = 0; i < N; i++)
		release(old[i], at - OLD_MS);
	os_set_hooks(&hooks);
	assert_int_equal(spans_decay(OLD_MS / 2), N * MIB);
	os_set_hooks(NULL);
	assert_null(freed_meanwhile);
	assert_true(is_dirty(fresh));
	for (int i = 0; i < N; i++) {
		assert_true(is_zero(old[i]));
		kmem_free(wall[i]);
	}
	kmem_free(last);
	malloc_test_stop();
}

static _Atomic pid_t decayer;

static void *decay(void *arg)
{
	decayer = gettid();
	*(size_t *)arg = spans_decay(OLD_MS);
	return NULL;
}

/* Asleep, as it only is where it waits for the lock. */
static bool sleeps(pid_t tid)
{
	char path[64], state = 'R';
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)tid);
	f = fopen(path, "re");
	if (f != NULL) {
		if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
			state = 'R';
		fclose(f);
	}
	return state == 'S';
}

/* A block is freed while the decay waits for the lock: it is not older than the clock. */
static void test_freed_before_the_lock(void **state)
{
	size_t bytes = 1;
	pthread_t thread;
	struct span *span;
	char *fresh, *wall;
	int seen = 0;

	(void)state;
	malloc_test_start(OPTIONS);
	fresh = kmem_malloc(8 * MIB);
	wall = kmem_malloc(MIB);
	decayer = 0;
	spin_lock(&spans_lock);
	assert_int_equal(pthread_create(&thread, NULL, decay, &bytes), 0);
	while (seen < 3) {
		sleep_ms(1);
		seen += decayer != 0 && sleeps(decayer);
	}
	sleep_ms(30);
	/* What span_release() does, whose lock is held here. */
	span = span_of(fresh);
	span_heap.out_spans--;
	span_heap.out_units -= span->units;
	span_insert(span, SPAN_DIRTY, now());
	spin_unlock(&spans_lock);
	pthread_join(thread, NULL);
	assert_int_equal(bytes, 0);
	assert_true(is_dirty(fresh));
	kmem_free(wall);
	malloc_test_stop();
}

/* --- too much of it --- */

/* Beyond the bound a stale span goes, if it is as large as what has been freed, else
 * that. */
static void stale_or_freed(size_t freed_mib, bool stale_goes)
{
	const size_t mib[] = {12, 1, 8, 1, freed_mib, 1};
	char *block[6];
	uint32_t at;

	malloc_test_start(OPTIONS ",large_cache=24M");
	take_row(6, mib, block);
	at = now();
	release(block[0], at);
	release(block[2], at - OLD_MS);
	release(block[4], at);
	assert_true(is_dirty(block[0]));
	assert_true(stale_goes ? is_zero(block[2]) : is_dirty(block[2]));
	assert_true(stale_goes ? is_dirty(block[4]) : is_zero(block[4]));
	for (int i = 1; i < 6; i += 2)
		kmem_free(block[i]);
	malloc_test_stop();
}

static void test_stale(void **state)
{
	(void)state;
	stale_or_freed(8, true);
	stale_or_freed(9, false);
}

/* A block from an idle array counts as freed long ago; others are not stale for that. */
static void test_fresh_is_not_stale(void **state)
{
	static const size_t mib[] = {16, 1, 9, 1};
	char *block[4];
	uint32_t at;

	(void)state;
	malloc_test_start(OPTIONS ",large_cache=24M");
	take_row(4, mib, block);
	at = now();
	release(block[0], at);
	release(block[2], at - OLD_MS);
	assert_true(is_dirty(block[0]) && is_zero(block[2]));
	kmem_free(block[1]);
	kmem_free(block[3]);
	malloc_test_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_joined),
		cmocka_unit_test(test_joined_at_the_wrap),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_decay),
		cmocka_unit_test(test_freed_between_two_looks),
		cmocka_unit_test(test_freed_before_the_lock),
		cmocka_unit_test(test_stale),
		cmocka_unit_test(test_fresh_is_not_stale),
	};

	return cmocka_run_group_tests_name("malloc_spans_ages", tests, NULL, NULL);
}
