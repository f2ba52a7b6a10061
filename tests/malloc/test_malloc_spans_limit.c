/* SPDX-License-Identifier: MIT */
/*
 * Large blocks under a limit on data, which counts what is writable, touched or not: a
 * block that is refused leaves the limit as it was, and what is not in use any more makes
 * room before a request fails.
 */
#include "spans_test.h"

#include "allocators/os/os_mem.h"
#include <sys/mman.h>

#define CHUNK (16 * MIB)

static size_t writable, limit; /* bytes since the start of the test */
static bool no_way_back;

/* Spans' memory and mappings; a reservation is put back over the former. */
static void *limited_mmap(void *addr, size_t size, int prot, int flags, int fd,
			  off_t offset)
{
	size_t more = (prot & PROT_WRITE) != 0 ? size : 0;
	bool back = (flags & MAP_FIXED) != 0 && more == 0;

	if (writable + more > limit || (back && no_way_back)) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	writable += more;
	writable -= back ? size : 0;
	return os_hooks_system.mmap(addr, size, prot, flags, fd, offset);
}

static void start(size_t chunks)
{
	static const struct os_hooks hooks = {.mmap = limited_mmap};

	malloc_test_start("trim=0,large_slots=0");
	writable = 0;
	limit = chunks * CHUNK;
	no_way_back = false;
	os_set_hooks(&hooks);
}

static void stop(void)
{
	os_set_hooks(NULL);
	malloc_test_stop();
}

/* All of it or nothing. */
static void test_refused(void **state)
{
	char *p;

	(void)state;
	start(6);
	p = kmem_malloc(20 * MIB);
	assert_int_equal(writable, 2 * CHUNK);
	assert_null(span_alloc(120 * MIB, 0, false));
	assert_int_equal(writable, 2 * CHUNK);
	assert_int_equal(kmem_malloc_check(), 0);
	/* Into what was refused as a whole. */
	kmem_free(p);
	p = kmem_malloc(90 * MIB);
	assert_non_null(p);
	assert_true(span_owns(p));
	assert_int_equal(writable, limit);
	kmem_free(p);
	stop();
}

/* Two blocks that are free, on both sides of one that is not. */
static char *leave_two_free(char **wall)
{
	char *low = kmem_malloc(70 * MIB), *high;

	*wall = kmem_malloc(MIB);
	high = kmem_malloc(70 * MIB);
	assert_ptr_equal(high, low + 71 * MIB);
	memset(low, 1, 70 * MIB);
	memset(high, 1, 70 * MIB);
	memset(*wall, 7, MIB);
	kmem_free(low);
	kmem_free(high);
	assert_int_equal(writable, 9 * CHUNK);
	return high;
}

/* None of them is large enough, and the limit has no room for both and one more. */
static void test_makes_room(void **state)
{
	char *wall, *p, *high;

	(void)state;
	start(10);
	high = leave_two_free(&wall);
	p = kmem_calloc(1, 120 * MIB);
	assert_ptr_equal(p, high);
	assert_true(writable <= limit);
	assert_true(all_zero(p, 120 * MIB));
	memset(p, 2, 120 * MIB);
	assert_true(wall[0] == 7 && wall[MIB - 1] == 7);
	kmem_free(p);
	/* What was given back is used again, as zeroes. */
	limit = 20 * CHUNK;
	p = kmem_calloc(1, 60 * MIB);
	assert_true(all_zero(p, 60 * MIB));
	memset(p, 3, 60 * MIB);
	kmem_free(p);
	kmem_free(wall);
	stop();
}

/* Only what nobody uses, a chunk at a time; refused, it stays usable. */
static void test_gives_back(void **state)
{
	char *wall, *p;

	(void)state;
	start(10);
	leave_two_free(&wall);
	assert_int_equal(spans_make_unusable(), 0); /* dirty */
	assert_int_equal(spans_decay(0), 140 * MIB);
	no_way_back = true;
	assert_int_equal(spans_make_unusable(), 0);
	no_way_back = false;
	/* Not the first, where no block begins at 0, and not those of the block in use
	 * and of the end. */
	assert_int_equal(spans_make_unusable(), 6 * CHUNK);
	assert_int_equal(writable, 3 * CHUNK);
	assert_int_equal(spans_make_unusable(), 0);
	assert_int_equal(wall[MIB - 1], 7);
	p = kmem_malloc(60 * MIB);
	memset(p, 3, 60 * MIB);
	kmem_free(p);
	kmem_free(wall);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_makes_room),
		cmocka_unit_test(test_gives_back),
	};

	return cmocka_run_group_tests_name("malloc_spans_limit", tests, NULL, NULL);
}
