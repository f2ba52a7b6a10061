/* SPDX-License-Identifier: MIT */
/*
 * realloc() and errno: one that succeeds leaves it alone, whatever was refused on the way
 * to it; one that fails sets ENOMEM, whatever the system said, and leaves the block as it
 * is.
 */
#include "spans_test.h"

#include "allocators/os/os_mem.h"
#include <sys/mman.h>

#define BEFORE 4711 /* of no meaning to anybody */

/* A size of each kind: two of slabs, one of arrays of large blocks, one of spans alone,
 * a mapping. */
static const size_t sizes[] = {100, 100 * KIB, 3 * MIB, 60 * MIB, 140 * MIB};
#define NR_SIZES KMEM_ARRAY_SIZE(sizes)

/* --- the system refuses all memory --- */

static _Atomic unsigned int refused;

static void *no_mmap(void *addr, size_t size, int prot, int flags, int fd, off_t offset)
{
	(void)addr, (void)size, (void)prot, (void)flags, (void)fd, (void)offset;
	refused++;
	errno = EPERM; /* of all that it may say, not what realloc() says */
	return MAP_FAILED;
}

static void *no_mremap(void *addr, size_t old_size, size_t new_size, int flags)
{
	(void)addr, (void)old_size, (void)new_size, (void)flags;
	refused++;
	errno = EAGAIN; /* locked memory */
	return MAP_FAILED;
}

static const struct os_hooks no_memory = {.mmap = no_mmap, .mremap = no_mremap};

/* The same for spans' memory alone, which is put over what is reserved. */
static void *no_mmap_fixed(void *addr, size_t size, int prot, int flags, int fd,
			   off_t offset)
{
	return (flags & MAP_FIXED) != 0
		       ? no_mmap(addr, size, prot, flags, fd, offset)
		       : os_hooks_system.mmap(addr, size, prot, flags, fd, offset);
}

static const struct os_hooks no_spans = {.mmap = no_mmap_fixed};

static void refuse(const struct os_hooks *hooks)
{
	refused = 0;
	os_set_hooks(hooks);
}

/* --- success --- */

static char *resized(char *p, size_t size)
{
	errno = BEFORE;
	p = kmem_realloc(p, size);
	assert_int_equal(errno, BEFORE);
	return p;
}

/* From each kind to each, in place and not, from nothing and to nothing. */
static void test_success(void **state)
{
	char *p, *wall[NR_SIZES];

	(void)state;
	malloc_test_start("trim=0");
	for (size_t i = 0; i < NR_SIZES; i++) {
		wall[i] = kmem_malloc(sizes[i]);
		for (size_t k = 0; k < NR_SIZES; k++) {
			size_t less = sizes[i] < sizes[k] ? sizes[i] : sizes[k];

			assert_non_null(p = resized(NULL, sizes[i]));
			malloc_test_fill(p, sizes[i], 3);
			assert_non_null(p = resized(p, sizes[k]));
			assert_true(malloc_test_filled(p, less, sizes[i], 3));
			assert_non_null(p = resized(p, sizes[k] + sizes[k] / 2));
			assert_non_null(p = resized(p, sizes[k] - sizes[k] / 3));
			assert_null(resized(p, 0));
		}
	}
	for (size_t i = 0; i < NR_SIZES; i++)
		kmem_free(wall[i]);
	malloc_test_stop();
}

/* Spans have no memory to grow into: the block becomes a mapping. */
static void test_refused_on_the_way(void **state)
{
	char *p;

	(void)state;
	malloc_test_start("trim=0");
	p = kmem_malloc(100 * KIB);
	malloc_test_fill(p, 100 * KIB, 4);
	refuse(&no_spans);
	p = resized(p, 70 * MIB);
	assert_true(refused > 0);
	os_set_hooks(NULL);
	assert_false(span_owns(p));
	assert_true(malloc_test_filled(p, 100 * KIB, 100 * KIB, 4));
	kmem_free(p);
	/* A span that cannot grow where it is. */
	p = kmem_malloc(9 * MIB);
	assert_true(span_owns(p));
	refuse(&no_spans);
	p = resized(p, 70 * MIB);
	assert_true(refused > 0);
	os_set_hooks(NULL);
	assert_false(span_owns(p));
	kmem_free(p);
	malloc_test_stop();
}

/* What cannot be made smaller stays. */
static void test_shrinking_never_fails(void **state)
{
	char *p, *mapping;

	(void)state;
	malloc_test_start("trim=0,memory=8M");
	mapping = kmem_malloc(140 * MIB);
	malloc_test_fill(mapping, MIB, 5);
	p = kmem_malloc(9 * MIB);
	malloc_test_fill(p, MIB, 6);
	/* No object of a slab is left for a smaller one. */
	while (kmem_malloc(100 * KIB) != NULL)
		;
	while (kmem_malloc(50 * KIB) != NULL)
		;
	refuse(&no_memory);
	assert_ptr_equal(resized(mapping, 20 * MIB), mapping);
	assert_int_equal(refused, 1);
	assert_ptr_equal(resized(mapping, 50 * KIB), mapping);
	assert_ptr_equal(resized(p, 50 * KIB), p);
	os_set_hooks(NULL);
	assert_true(malloc_test_filled(mapping, 50 * KIB, MIB, 5));
	assert_true(malloc_test_filled(p, 50 * KIB, MIB, 6));
	kmem_free(mapping);
	kmem_free(p);
	malloc_test_stop();
}

/* --- failure --- */

static void assert_refused(char *p, size_t was, size_t size)
{
	size_t usable = kmem_usable_size(p);

	errno = BEFORE;
	assert_null(kmem_realloc(p, size));
	assert_int_equal(errno, ENOMEM);
	assert_int_equal(kmem_usable_size(p), usable);
	assert_true(malloc_test_filled(p, was, was, 7));
}

static void test_failure(void **state)
{
	static const size_t absurd[] = {PTRDIFF_MAX, (size_t)PTRDIFF_MAX + 1, SIZE_MAX};
	char *p[NR_SIZES];

	(void)state;
	malloc_test_start("trim=0,memory=8M");
	for (size_t i = 0; i < NR_SIZES; i++) {
		assert_non_null(p[i] = kmem_malloc(sizes[i]));
		malloc_test_fill(p[i], sizes[i], 7);
		for (size_t k = 0; k < KMEM_ARRAY_SIZE(absurd); k++)
			assert_refused(p[i], sizes[i], absurd[k]);
	}
	/* Where the system says no. */
	spans_give_up(0);
	refuse(&no_memory);
	for (size_t i = 0; i < NR_SIZES; i++)
		assert_refused(p[i], sizes[i], 200 * MIB);
	assert_true(refused >= NR_SIZES);
	errno = BEFORE;
	assert_null(kmem_realloc(NULL, 200 * MIB));
	assert_int_equal(errno, ENOMEM);
	os_set_hooks(NULL);
	for (size_t i = 0; i < NR_SIZES; i++)
		kmem_free(p[i]);
	malloc_test_stop();
}

/* What is no block is reported, and nothing else happens to it. */
static void test_no_block(void **state)
{
	static char text[2 * PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));

	(void)state;
	malloc_test_start("trim=0");
	errno = BEFORE;
	assert_null(kmem_realloc(text + 16, 100));
	assert_int_equal(errno, ENOMEM);
	malloc_test_expect_report("which malloc did not return");
	malloc_test_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_success),
		cmocka_unit_test(test_refused_on_the_way),
		cmocka_unit_test(test_shrinking_never_fails),
		cmocka_unit_test(test_failure),
		cmocka_unit_test(test_no_block),
	};

	return cmocka_run_group_tests_name("malloc_errno", tests, NULL, NULL);
}
