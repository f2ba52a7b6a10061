/* SPDX-License-Identifier: MIT */
/* Memory taken from and given back to the system; misuse; a model of random calls. */
#include "malloc_test.h"

#include "allocators/malloc/malloc_internal.h"
#include "allocators/slab/slab_internal.h"
#include "tests/os/os_faults.h"
#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* ThreadSanitizer keeps bytes of its own for each byte that was touched once. */
#define RESIDENT_TELLS (!MALLOC_TEST_TSAN)

static size_t resident_bytes(void)
{
	unsigned long size = 0, resident = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%lu %lu", &size, &resident), 2);
	fclose(f);
	return resident * PAGE_SIZE;
}

static void sleep_ms(long ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

/* --- large blocks --- */

static void test_large_kept(void **state)
{
	struct kmem_malloc_stats stats;
	char *p, *q;

	(void)state;
	malloc_test_start("span_max=0,large_cache=64M");
	p = kmem_malloc(16 * MIB);
	memset(p, 1, 16 * MIB);
	kmem_free(p);
	kmem_malloc_stats(&stats);
	assert_int_equal(stats.large_cached, 1);
	assert_int_equal(stats.large_cached_bytes, 16 * MIB);

	q = kmem_malloc(15 * MIB); /* near enough */
	assert_ptr_equal(p, q);
	kmem_free(q);
	q = kmem_malloc(8 * MIB); /* half of it would be idle */
	assert_ptr_not_equal(p, q);
	kmem_free(q);
	kmem_malloc_stats(&stats);
	assert_int_equal(stats.large_hits, 1);
	assert_int_equal(stats.large_live, 0);
	assert_int_equal(stats.large_cached_bytes, 24 * MIB);
	assert_true(kmem_malloc_trim() >= 24 * MIB);
	kmem_malloc_stats(&stats);
	assert_int_equal(stats.large_cached_bytes, 0);
	malloc_test_stop();
}

/* The bounds of what is kept: bytes, blocks, age; one block of half the bytes. */
static void test_large_bounds(void **state)
{
	struct kmem_malloc_stats stats;
	char *p[30];

	(void)state;
	malloc_test_start("span_max=0,large_cache=100M,trim=20,background=off");
	kmem_free(kmem_malloc(51 * MIB));
	kmem_malloc_stats(&stats);
	assert_int_equal(stats.large_cached, 0);
	for (int i = 0; i < 30; i++) {
		p[i] = kmem_malloc((size_t)(5 + i) * MIB);
		assert_non_null(p[i]);
	}
	for (int i = 0; i < 30; i++) {
		kmem_free(p[i]);
		kmem_malloc_stats(&stats);
		assert_true(stats.large_cached_bytes <= 100 * MIB);
		assert_true(stats.large_cached <= 16);
	}
	assert_true(stats.large_cached >= 2);
	sleep_ms(50);
	assert_true(large_release(20) > 0);
	kmem_malloc_stats(&stats);
	assert_int_equal(stats.large_cached, 0);
	malloc_test_stop();
}

/* --- trimming --- */

static void churn_slow_paths(void)
{
	void *p[64];

	for (int i = 0; i < 64; i++)
		p[i] = kmem_malloc(150000);
	for (int i = 0; i < 64; i++)
		kmem_free(p[i]);
}

static void test_trims_by_itself(void **state)
{
	static char *p[4000];
	struct kmem_malloc_stats stats;
	size_t before;

	(void)state;
	malloc_test_start("trim=50,background=off");
	before = resident_bytes();
	for (int i = 0; i < 4000; i++) {
		p[i] = kmem_malloc(30000);
		memset(p[i], 1, 30000);
	}
	assert_true(resident_bytes() > before + 100 * MIB);
	for (int i = 0; i < 4000; i++)
		kmem_free(p[i]);
	for (int i = 0; i < 10; i++) {
		sleep_ms(30);
		churn_slow_paths();
	}
	kmem_malloc_stats(&stats);
	assert_true(stats.trims >= 1);
	assert_true(!RESIDENT_TELLS || resident_bytes() < before + 30 * MIB);
	malloc_test_stop();
}

/* What is used again and again is not given back in between. */
static void test_no_trim_in_use(void **state)
{
	struct kmem_malloc_stats first, last;
	struct timespec t;
	uint64_t end;

	(void)state;
	malloc_test_start("span_max=0,trim=20");
	kmem_malloc_stats(&first);
	clock_gettime(CLOCK_MONOTONIC, &t);
	end = malloc_now_ms() + 200;
	while (malloc_now_ms() < end) {
		char *p[20];

		for (int i = 0; i < 20; i++) {
			p[i] = kmem_malloc(2 * MIB);
			p[i][0] = 1;
		}
		for (int i = 0; i < 20; i++)
			kmem_free(p[i]);
	}
	kmem_malloc_stats(&last);
	/* One round that was suspended for an epoch may look idle. */
	assert_true(last.trims - first.trims <= 2);
	malloc_test_stop();
}

static void test_trim_when_asked(void **state)
{
	static char *p[3000];
	size_t before;

	(void)state;
	malloc_test_start("trim=0");
	before = resident_bytes();
	for (int i = 0; i < 3000; i++) {
		p[i] = kmem_malloc(20000);
		memset(p[i], 1, 20000);
	}
	for (int i = 0; i < 3000; i++)
		kmem_free(p[i]);
	kmem_malloc_trim();
	assert_true(!RESIDENT_TELLS || resident_bytes() < before + 16 * MIB);
	p[0] = kmem_malloc(20000);
	memset(p[0], 2, 20000);
	kmem_free(p[0]);
	malloc_test_stop();
}

/* Slabs of which each keeps an object: the pages between go back, what is kept stays. */
static void test_trims_inside_slabs(void **state)
{
	enum { N = 16000, SIZE = 2000 };
	static char *p[N];
	size_t before, kept = 0, idle;

	(void)state;
	malloc_test_start("trim=0");
	for (int i = 0; i < N; i++) {
		p[i] = kmem_malloc(SIZE);
		malloc_test_fill(p[i], SIZE, (unsigned int)i);
	}
	before = resident_bytes();
	for (int i = 0; i < N; i++) {
		/* One page of two stays, so that no slab is wholly free. */
		if ((uintptr_t)p[i] >> PAGE_SHIFT & 1) {
			kmem_free(p[i]);
			p[i] = NULL;
		} else {
			kept++;
		}
	}
	kmem_cache_reap();
	idle = slab_idle_bytes();
	assert_true(idle > (N - kept) * SIZE * 3 / 4);
	kmem_malloc_trim();
	assert_true(!RESIDENT_TELLS || resident_bytes() < before - idle / 2);
	/* What is given back already is not given back again. */
	assert_int_equal(slab_discard_free(), 0);
	for (int i = 0; i < N; i++) {
		if (p[i] == NULL) {
			p[i] = kmem_malloc(SIZE);
			malloc_test_fill(p[i], SIZE, (unsigned int)i);
		}
	}
	for (int i = 0; i < N; i++) {
		assert_true(malloc_test_filled(p[i], SIZE, SIZE, (unsigned int)i));
		kmem_free(p[i]);
	}
	malloc_test_stop();
}

/* A program that frees much in small blocks, and rests: the thread gives all back. */
static void test_trims_at_rest(void **state)
{
	enum { N = 100000 };
	static char *p[N];
	size_t before;

	(void)state;
	malloc_test_start("trim=40");
	before = resident_bytes();
	for (int i = 0; i < N; i++) {
		p[i] = kmem_malloc(300);
		memset(p[i], 1, 300);
	}
	for (int i = 0; i < N; i++)
		kmem_free(p[i]);
	for (int i = 0; i < 500 && resident_bytes() > before + 4 * MIB; i++)
		sleep_ms(10);
	assert_true(!RESIDENT_TELLS || resident_bytes() < before + 4 * MIB);
	malloc_test_stop();
}

/* --- misuse --- */

static void test_misuse(void **state)
{
	char *p, *q;

	(void)state;
	malloc_test_start("");
	p = kmem_malloc(8 * MIB);
	kmem_free(p);
	kmem_free(p);
	malloc_test_expect_report("freed already");
	q = kmem_malloc(8 * MIB);
	kmem_free(q + PAGE_SIZE);
	malloc_test_expect_report("did not return");
	kmem_free(q + 8);
	malloc_test_expect_report("did not return");
	assert_null(kmem_realloc(q + 64, 100));
	malloc_test_expect_report("did not return");
	kmem_free(q);
	p = kmem_malloc(100);
	kmem_free(p + 8); /* no object is aligned to less than 16 */
	malloc_test_expect_report("free of");
	kmem_free(p);
	p = kmem_malloc(128);
	kmem_free(p + 64); /* these are aligned to 128 */
	malloc_test_expect_report("free of");
	kmem_free(p);
	p = kmem_malloc(200000);
	kmem_free(p + PAGE_SIZE);
	malloc_test_expect_report("free of");
	kmem_free(p);
	kmem_free(p);
	malloc_test_expect_report("free of");
	malloc_test_stop();
}

/* --- failing system calls --- */

/* Each system call of the start in turn fails once: no memory then, and memory later. */
static void test_start_fails(void **state)
{
	(void)state;
	for (long n = 1; n < 40; n++) {
		long calls;
		char *p;

		os_faults_arm(n, ENOMEM);
		p = kmem_malloc(100);
		calls = os_faults.calls;
		os_faults_disarm();
		if (p == NULL)
			p = kmem_malloc(100);
		assert_non_null(p);
		memset(p, 1, 100);
		kmem_free(p);
		malloc_test_report[0] = '\0';
		malloc_test_stop();
		if (calls < n)
			break;
	}
}

/* Large blocks when the system refuses: the old block stays whole, no mapping is lost. */
static void test_large_fails(void **state)
{
	char *p, *q;

	(void)state;
	malloc_test_start("span_max=0,large_cache=0");
	os_faults.mapped_bytes = 0;
	os_faults_arm(0, 0);
	p = kmem_malloc(6 * MIB);
	malloc_test_fill(p, 6 * MIB, 5);

	os_faults_arm(1, ENOMEM);
	errno = 0;
	assert_null(kmem_realloc(p, 9 * MIB));
	assert_int_equal(errno, ENOMEM);
	assert_true(malloc_test_filled(p, 6 * MIB, 6 * MIB, 5));
	os_faults_arm(1, ENOMEM);
	assert_ptr_equal(kmem_realloc(p, 5 * MIB), p); /* shrinking does not fail */
	os_faults_arm(1, ENOMEM);
	errno = 0;
	assert_null(kmem_malloc(7 * MIB));
	assert_int_equal(errno, ENOMEM);

	os_faults_arm(0, 0);
	q = kmem_memalign(8 * MIB, 5 * MIB);
	assert_non_null(q);
	p = kmem_realloc(p, 12 * MIB);
	assert_true(malloc_test_filled(p, 5 * MIB, 6 * MIB, 5));
	kmem_free(p);
	kmem_free(q);
	os_faults_disarm();
	assert_int_equal(os_faults.mapped_bytes, 0);
	malloc_test_stop();
}

/* --- model --- */

#define MODEL_BLOCKS 300

static uint32_t model_random(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

static size_t model_size(uint32_t *seed)
{
	switch (model_random(seed) % 64) {
	case 0: return model_random(seed) % (6 * MIB);
	case 1:
	case 2: return model_random(seed) % 400000;
	default: return model_random(seed) % ((size_t)1 << model_random(seed) % 14);
	}
}

struct model_block {
	char *p;
	size_t size;
	unsigned int seed;
};

static void model_change(struct model_block *b, uint32_t *seed)
{
	size_t size = model_size(seed);

	if (b->p == NULL) {
		size_t align = (size_t)1 << model_random(seed) % 15;
		bool aligned = model_random(seed) % 4 == 0;

		b->p = aligned ? kmem_memalign(align, size) : kmem_malloc(size);
		assert_non_null(b->p);
		assert_int_equal((uintptr_t)b->p % (aligned ? align : 16), 0);
	} else {
		assert_true(malloc_test_filled(b->p, b->size, b->size, b->seed));
		if (model_random(seed) % 2) {
			kmem_free(b->p);
			b->p = NULL;
			return;
		}
		b->p = kmem_realloc(b->p, size + 1);
		assert_non_null(b->p);
		assert_true(malloc_test_filled(b->p, b->size < size ? b->size : size,
					       b->size, b->seed));
		size++;
	}
	b->size = size;
	b->seed = model_random(seed);
	assert_true(kmem_usable_size(b->p) >= size);
	malloc_test_fill(b->p, size, b->seed);
}

static void test_model(void **state)
{
	static struct model_block blocks[MODEL_BLOCKS];
	uint32_t seed = 12345;

	(void)state;
	malloc_test_start("");
	for (int step = 0; step < 30000; step++)
		model_change(&blocks[model_random(&seed) % MODEL_BLOCKS], &seed);
	assert_int_equal(kmem_malloc_check(), 0);
	for (int i = 0; i < MODEL_BLOCKS; i++) {
		if (blocks[i].p != NULL)
			assert_true(malloc_test_filled(blocks[i].p, blocks[i].size,
						       blocks[i].size, blocks[i].seed));
		kmem_free(blocks[i].p);
	}
	malloc_test_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_large_kept),
		cmocka_unit_test(test_large_bounds),
		cmocka_unit_test(test_trims_by_itself),
		cmocka_unit_test(test_no_trim_in_use),
		cmocka_unit_test(test_trim_when_asked),
		cmocka_unit_test(test_trims_inside_slabs),
		cmocka_unit_test(test_trims_at_rest),
		cmocka_unit_test(test_misuse),
		cmocka_unit_test(test_start_fails),
		cmocka_unit_test(test_large_fails),
		cmocka_unit_test(test_model),
	};

	return cmocka_run_group_tests_name("malloc_memory", tests, NULL, NULL);
}
