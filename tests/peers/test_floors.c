/* SPDX-License-Identifier: MIT */
/* The floors null, bump and freelist, and mmap: what each promises, and no more. */
#include <pthread.h>
#include <sys/mman.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <kmem/allocator.h>
#include <kmem/error.h>
#include <kmem/mm_types.h>

static struct allocator *start(const char *spec, size_t size_max, bool check)
{
	struct allocator_env env = {
		.size_max_bytes = size_max, .threads = 1, .check = check};
	struct allocator *a = allocator_new(spec, &env);

	assert_non_null(a);
	if (a->ops->thread_enter != NULL)
		a->ops->thread_enter(a);
	return a;
}

static void stop(struct allocator *a)
{
	if (a->ops->thread_exit != NULL)
		a->ops->thread_exit(a);
	allocator_delete(a);
}

static char *take(struct allocator *a, size_t size, size_t align)
{
	return a->ops->alloc(a, size, align, GFP_KERNEL, NUMA_NO_NODE);
}

static void assert_aligned(const void *p, size_t align)
{
	assert_non_null(p);
	assert_int_equal((uintptr_t)p & (align - 1), 0);
}

/* --- null --- */

static void null_hands_out_one_address(void **state)
{
	struct allocator *a = start("null", 4 << 20, false);
	char *p = take(a, 64, 0);

	(void)state;
	assert_aligned(p, 4 << 20);
	assert_ptr_equal(take(a, 4 << 20, 0), p);
	p[(4 << 20) - 1] = 1;
	assert_ptr_equal(a->ops->realloc(a, p, 64, 128), p);
	a->ops->free(a, p, 0);
	assert_null(take(a, (4 << 20) + 1, 0));
	stop(a);
}

static void *enter_and_take(void *arg)
{
	struct allocator *a = arg;
	void *p;

	a->ops->thread_enter(a);
	p = take(a, 64, 0);
	assert_ptr_equal(take(a, 128, 0), p);
	return p; /* leaves without thread_exit(): its place stays taken */
}

/* Threads that touch their blocks must not meet on one cache line. */
static void null_gives_each_thread_its_own(void **state)
{
	struct allocator_env env = {.size_max_bytes = 4096, .threads = 2};
	struct allocator *a = allocator_new("null", &env);
	void *p[5];

	(void)state;
	assert_non_null(a);
	for (int i = 0; i < 5; i++) {
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, enter_and_take, a), 0);
		assert_int_equal(pthread_join(thread, &p[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		for (int k = 0; k < i; k++)
			assert_true(labs((char *)p[i] - (char *)p[k]) >= 4096);
	}
	assert_ptr_equal(p[4], p[0]); /* more threads than places share the first */
	/* A place that was given back is taken again. */
	a->ops->thread_enter(a);
	a->ops->thread_exit(a);
	allocator_delete(a);
}

/* --- bump --- */

static void bump_goes_on_and_aligns(void **state)
{
	struct allocator *a = start("bump", 1 << 16, false);
	char *first = take(a, 1, 0);
	char *second = take(a, 17, 0);

	(void)state;
	assert_ptr_equal(second, first + 16);
	assert_ptr_equal(take(a, 1, 0), second + 32);
	a->ops->free(a, first, 1);
	assert_ptr_not_equal(take(a, 1, 0), first);
	for (size_t align = 16; align <= PAGE_SIZE; align *= 2)
		assert_aligned(take(a, 24, align), align);
	/* A power-of-two number of pages is a page block, others are ranges. */
	assert_aligned(take(a, 1 << 16, 0), 1 << 16);
	assert_aligned(take(a, 3 * PAGE_SIZE, 0), PAGE_SIZE);
	stop(a);
}

static void bump_begins_again_at_the_end(void **state)
{
	struct allocator *a = start("bump:region_bytes=1M", 1024, false);
	char *first = take(a, 1024, 0);

	(void)state;
	for (int i = 1; i < 1024; i++)
		assert_ptr_equal(take(a, 1024, 0), first + (ptrdiff_t)i * 1024);
	assert_ptr_equal(take(a, 1024, 0), first);
	assert_null(take(a, 2 << 20, 0));
	assert_null(take(a, SIZE_MAX, 0));
	assert_null(take(a, SIZE_MAX - 8, 0));
	stop(a);
}

static void bump_ends_where_contents_count(void **state)
{
	struct allocator *a = start("bump:region_bytes=1M", 1024, true);

	(void)state;
	for (int i = 0; i < 1024; i++)
		assert_non_null(take(a, 1024, 0));
	assert_null(take(a, 1024, 0));
	assert_null(take(a, 1, 0));
	stop(a);
}

static void *take_two(void *arg)
{
	struct allocator *a = ((void **)arg)[0];

	a->ops->thread_enter(a);
	((void **)arg)[1] = take(a, 64, 0);
	((void **)arg)[2] = take(a, 64, 0);
	a->ops->thread_exit(a);
	return NULL;
}

static void run_thread(void *(*body)(void *), void *arg)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, body, arg), 0);
	pthread_join(thread, NULL);
}

static void bump_regions_pass_to_the_next_thread(void **state)
{
	struct allocator *a = start("bump:region_bytes=1M", 64, false);
	char *mine = take(a, 64, 0);
	void *first[3] = {a}, *second[3] = {a};

	(void)state;
	run_thread(take_two, first);
	run_thread(take_two, second);
	/* The second thread goes on where the first ended: its blocks may be live. */
	assert_ptr_equal(second[1], (char *)first[2] + 64);
	assert_ptr_equal(take(a, 64, 0), mine + 64);
	stop(a);
}

/* --- freelist --- */

static void freelist_is_last_in_first_out(void **state)
{
	struct allocator *a = start("freelist", 100, false);
	char *p[4];

	(void)state;
	for (int i = 0; i < 4; i++) {
		p[i] = take(a, 100, 0);
		assert_aligned(p[i], KMEM_CACHELINE);
		memset(p[i], i + 1, 100);
	}
	for (int i = 0; i < 4; i++)
		a->ops->free(a, p[i], 100);
	for (int i = 3; i >= 0; i--) {
		assert_ptr_equal(take(a, 1, 0), p[i]);
		/* Free blocks are not written to. */
		assert_int_equal(p[i][0], i + 1);
		assert_int_equal(p[i][99], i + 1);
	}
	assert_null(take(a, 129, 0));
	assert_non_null(take(a, 128, 0));
	assert_null(take(a, 64, 128));
	stop(a);
}

static void freelist_blocks_of_pages_are_naturally_aligned(void **state)
{
	static const size_t sizes[] = {4096, 8192, 65536, 1 << 20, 4 << 20};

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(sizes); i++) {
		struct allocator *a = start("freelist", sizes[i], false);
		char *p = take(a, sizes[i], 0), *q = take(a, sizes[i], sizes[i]);

		assert_aligned(p, sizes[i]);
		assert_aligned(q, sizes[i]);
		p[sizes[i] - 1] = q[0] = 1;
		stop(a);
	}
}

static void freelist_goes_on_to_further_regions(void **state)
{
	/* 16 blocks are reserved at a time. */
	struct allocator *a = start("freelist", 64 << 20, false);
	char *p[40];

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(p); i++) {
		p[i] = take(a, 64 << 20, 0);
		assert_non_null(p[i]);
		for (size_t j = 0; j < i; j++)
			assert_true(p[i] >= p[j] + (64 << 20) ||
				    p[j] >= p[i] + (64 << 20));
	}
	stop(a);
}

static void freelist_must_know_the_size(void **state)
{
	struct allocator_env env = {.threads = 1};

	(void)state;
	assert_null(allocator_new("freelist", &env));
	assert_non_null(
		strstr(kmem_last_error(), "serves one size, which must be known before"));
	env.size_max_bytes = SIZE_MAX;
	assert_null(allocator_new("freelist", &env));
}

static void *take_two_and_free(void *arg)
{
	struct allocator *a = ((void **)arg)[0];

	a->ops->thread_enter(a);
	((void **)arg)[1] = take(a, 64, 0);
	((void **)arg)[2] = take(a, 64, 0);
	a->ops->free(a, ((void **)arg)[1], 64);
	a->ops->free(a, ((void **)arg)[2], 64);
	a->ops->thread_exit(a);
	return NULL;
}

static void freelist_blocks_pass_to_the_next_thread(void **state)
{
	struct allocator *a = start("freelist", 64, false);
	void *first[3] = {a}, *second[3] = {a};

	(void)state;
	run_thread(take_two_and_free, first);
	run_thread(take_two_and_free, second);
	assert_ptr_equal(second[1], first[2]);
	assert_ptr_equal(second[2], first[1]);
	stop(a);
}

/* A thread that comes without thread_enter() is served, and loses nothing. */
static void freelist_attaches_late(void **state)
{
	struct allocator *a = start("freelist", 64, false);
	char *p = take(a, 64, 0), *q = take(a, 64, 0);

	(void)state;
	a->ops->thread_exit(a);
	a->ops->free(a, p, 64);
	a->ops->free(a, q, 64);
	assert_ptr_equal(take(a, 64, 0), p);
	assert_ptr_equal(take(a, 64, 0), q);
	stop(a);
}

static void one_instance_lives_at_a_time(void **state)
{
	static const char *const names[] = {"bump", "freelist"};
	struct allocator_env env = {.size_max_bytes = 64, .threads = 1};

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(names); i++) {
		struct allocator *a = start(names[i], 64, false);

		assert_null(allocator_new(names[i], &env));
		assert_non_null(strstr(kmem_last_error(), "delete it first"));
		stop(a);
		stop(start(names[i], 64, false));
	}
}

/* --- mmap --- */

static void mmap_blocks_are_aligned_zero_and_sized(void **state)
{
	struct allocator *a = start("mmap", 0, false);

	(void)state;
	for (size_t order = 0; order < MAX_ORDER; order++) {
		size_t size = PAGE_SIZE << order;
		char *p = take(a, size, 0);

		assert_aligned(p, size);
		assert_int_equal(a->ops->usable_size(a, p), size);
		assert_int_equal(p[0] | p[size - 1], 0);
		p[size - 1] = 1;
		/* With and without the size. */
		a->ops->free(a, p, order % 2 == 0 ? size : 0);
	}
	assert_null(take(a, SIZE_MAX, 0));
	assert_null(take(a, (size_t)1 << 46, 0));
	stop(a);
}

static void mmap_option_leaves_alignment_out(void **state)
{
	struct allocator *a = start("mmap:natural=off", 0, false);
	char *p[8];

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(p); i++)
		assert_aligned(p[i] = take(a, 1 << 20, 0), PAGE_SIZE);
	assert_aligned(p[0], 1);
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(p); i++)
		a->ops->free(a, p[i], 1 << 20);
	p[0] = take(a, 100, 1 << 20);
	assert_aligned(p[0], 1 << 20);
	a->ops->free(a, p[0], 100);
	stop(a);
}

static size_t resident_pages(void *p, size_t bytes)
{
	unsigned char resident[64];
	size_t n = 0;

	assert_int_equal(mincore(p, bytes, resident), 0);
	for (size_t i = 0; i < bytes / PAGE_SIZE; i++)
		n += resident[i] & 1;
	return n;
}

/* Aligned blocks, too, which are mapped in another way. */
static void mmap_populates_where_asked(void **state)
{
	(void)state;
	for (int on = 0; on < 2; on++) {
		struct allocator *a = start(on ? "mmap:natural=off,populate=on"
					       : "mmap:natural=off",
					    0, false);

		for (size_t align = 0; align <= 64 << 10; align += 64 << 10) {
			char *p = take(a, 20 * PAGE_SIZE, align);

			assert_int_equal(resident_pages(p, 20 * PAGE_SIZE), on ? 20 : 0);
			p[0] = p[20 * PAGE_SIZE - 1] = 1;
			a->ops->free(a, p, 20 * PAGE_SIZE);
		}
		stop(a);
	}
}

static void mmap_realloc_keeps_contents(void **state)
{
	struct allocator *a = start("mmap", 0, false);
	char *p = take(a, 5000, 0), *q;

	(void)state;
	memset(p, 7, 5000);
	assert_ptr_equal(a->ops->realloc(a, p, 5000, 8000), p);
	q = a->ops->realloc(a, p, 8000, 3 << 20);
	assert_non_null(q);
	assert_int_equal(q[4999], 7);
	assert_int_equal(q[(3 << 20) - 1], 0);
	assert_int_equal(a->ops->usable_size(a, q), 3 << 20);
	q = a->ops->realloc(a, q, 3 << 20, 1);
	assert_int_equal(q[0], 7);
	assert_int_equal(a->ops->usable_size(a, q), PAGE_SIZE);
	assert_null(a->ops->realloc(a, q, 1, SIZE_MAX));
	a->ops->free(a, q, 1);
	stop(a);
}

static unsigned int bugs;

static void count_bug(const char *report, void *arg)
{
	(void)arg;
	assert_non_null(strstr(report, "no live block starts there"));
	bugs++;
}

static void mmap_reports_frees_of_nothing(void **state)
{
	struct allocator *a = start("mmap", 0, false);
	char *p = take(a, 3 * PAGE_SIZE, 0);

	(void)state;
	kmem_set_bug_handler(count_bug, NULL);
	a->ops->free(a, NULL, 0); /* as free(3) */
	a->ops->free(a, p + PAGE_SIZE, 0);
	a->ops->free(a, p + 1, 0);
	a->ops->free(a, p, 0);
	a->ops->free(a, p, 0);
	a->ops->free(a, (void *)(UINTPTR_MAX - PAGE_SIZE + 1), 0);
	kmem_set_bug_handler(NULL, NULL);
	assert_int_equal(bugs, 4);
	stop(a);
}

#define MAPPERS 4

static void *map_and_unmap(void *arg)
{
	struct allocator *a = arg;

	for (size_t i = 0; i < 300; i++) {
		size_t size = PAGE_SIZE << (i % 5);
		char *p = take(a, size, 0);

		if (p == NULL || a->ops->usable_size(a, p) != size)
			abort();
		p[0] = 1;
		a->ops->free(a, p, 0);
	}
	return NULL;
}

static void mmap_serves_threads_at_once(void **state)
{
	struct allocator *a = start("mmap", 0, false);
	pthread_t threads[MAPPERS];

	(void)state;
	for (int i = 0; i < MAPPERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, map_and_unmap, a), 0);
	for (int i = 0; i < MAPPERS; i++)
		pthread_join(threads[i], NULL);
	stop(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(null_hands_out_one_address),
		cmocka_unit_test(null_gives_each_thread_its_own),
		cmocka_unit_test(bump_goes_on_and_aligns),
		cmocka_unit_test(bump_begins_again_at_the_end),
		cmocka_unit_test(bump_ends_where_contents_count),
		cmocka_unit_test(bump_regions_pass_to_the_next_thread),
		cmocka_unit_test(freelist_is_last_in_first_out),
		cmocka_unit_test(freelist_blocks_of_pages_are_naturally_aligned),
		cmocka_unit_test(freelist_goes_on_to_further_regions),
		cmocka_unit_test(freelist_must_know_the_size),
		cmocka_unit_test(freelist_blocks_pass_to_the_next_thread),
		cmocka_unit_test(freelist_attaches_late),
		cmocka_unit_test(one_instance_lives_at_a_time),
		cmocka_unit_test(mmap_blocks_are_aligned_zero_and_sized),
		cmocka_unit_test(mmap_option_leaves_alignment_out),
		cmocka_unit_test(mmap_populates_where_asked),
		cmocka_unit_test(mmap_realloc_keeps_contents),
		cmocka_unit_test(mmap_reports_frees_of_nothing),
		cmocka_unit_test(mmap_serves_threads_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
