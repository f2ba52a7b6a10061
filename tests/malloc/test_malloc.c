/* SPDX-License-Identifier: MIT */
/* The promises of malloc(3): sizes, alignments, contents, errno, failure. */
#include "malloc_test.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "allocators/malloc/malloc_internal.h"
#include "tests/os/percpu_report.h"
#include <kmem/page_alloc.h>

static const size_t sizes[] = {
	0,	1,	15,	 16,	  17,	   32,	    33,	     100,
	1000,	4095,	4096,	 4097,	  16384,   16385,   100000,  131072,
	131073, 200000, 1 << 20, 4194303, 4194304, 4194305, 5000000, 17 << 20,
};

static void test_every_size(void **state)
{
	(void)state;
	malloc_test_start("");
	for (size_t size = 0; size < 20000; size += 1 + size / 300) {
		char *p = kmem_malloc(size);

		assert_non_null(p);
		assert_int_equal((uintptr_t)p % 16, 0);
		assert_true(kmem_usable_size(p) >= size);
		memset(p, 0xa5, kmem_usable_size(p));
		kmem_free(p);
	}
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(sizes); i++) {
		char *p = kmem_malloc(sizes[i]);

		assert_non_null(p);
		assert_int_equal((uintptr_t)p % 16, 0);
		assert_true(kmem_usable_size(p) >= sizes[i]);
		memset(p, 0xa5, sizes[i]);
		kmem_free(p);
	}
	kmem_free(NULL);
	assert_int_equal(kmem_usable_size(NULL), 0);
	malloc_test_stop();
}

static void test_zero_is_unique(void **state)
{
	void *p[100];

	(void)state;
	malloc_test_start("");
	for (int i = 0; i < 100; i++) {
		p[i] = i % 2 ? kmem_malloc(0) : kmem_calloc(0, 7);
		assert_non_null(p[i]);
		for (int j = 0; j < i; j++)
			assert_ptr_not_equal(p[i], p[j]);
	}
	for (int i = 0; i < 100; i++)
		kmem_free(p[i]);
	malloc_test_stop();
}

static void test_calloc_is_zero(void **state)
{
	(void)state;
	malloc_test_start("");
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < KMEM_ARRAY_SIZE(sizes); i++) {
			unsigned char *p = kmem_calloc(1, sizes[i]);

			assert_non_null(p);
			/* All bytes equal the first. */
			if (sizes[i] > 0)
				assert_int_equal(p[0], 0);
			if (sizes[i] > 1)
				assert_int_equal(memcmp(p, p + 1, sizes[i] - 1), 0);
			memset(p, 0xff, sizes[i]);
			kmem_free(p);
		}
	}
	malloc_test_stop();
}

static void test_too_much(void **state)
{
	static const size_t too_large[] = {SIZE_MAX, SIZE_MAX - 4096,
					   (size_t)PTRDIFF_MAX + 1, PTRDIFF_MAX,
					   (size_t)1 << 60};
	char *p;

	(void)state;
	malloc_test_start("");
	p = kmem_malloc(100);
	memset(p, 7, 100);
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(too_large); i++) {
		errno = 0;
		assert_null(kmem_malloc(too_large[i]));
		assert_int_equal(errno, ENOMEM);
		errno = 0;
		assert_null(kmem_calloc(1, too_large[i]));
		assert_int_equal(errno, ENOMEM);
		errno = 0;
		assert_null(kmem_memalign(64, too_large[i]));
		assert_int_equal(errno, ENOMEM);
		errno = 0;
		assert_null(kmem_realloc(p, too_large[i]));
		assert_int_equal(errno, ENOMEM);
	}
	errno = 0;
	assert_null(kmem_calloc(SIZE_MAX / 2 + 2, 2));
	assert_int_equal(errno, ENOMEM);
	for (int i = 0; i < 100; i++)
		assert_int_equal(p[i], 7);
	kmem_free(p);
	malloc_test_stop();
}

/* Calls that succeed leave errno alone, whatever they did inside. */
static void test_errno(void **state)
{
	(void)state;
	malloc_test_start("");
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(sizes); i++) {
		void *p;

		errno = 4711;
		p = kmem_malloc(sizes[i]);
		p = kmem_realloc(p, sizes[i] * 3 + 1);
		kmem_free(p);
		kmem_free(kmem_memalign(4096, sizes[i]));
		assert_int_equal(errno, 4711);
	}
	malloc_test_stop();
}

static void test_alignment(void **state)
{
	(void)state;
	malloc_test_start("");
	for (size_t align = 1; align <= 64 * MIB; align *= 2) {
		size_t some[] = {0, 1, align / 2, align, align + 1, 3 * align};

		for (size_t i = 0; i < KMEM_ARRAY_SIZE(some); i++) {
			char *p = kmem_memalign(align, some[i]);

			assert_non_null(p);
			assert_int_equal((uintptr_t)p % align, 0);
			assert_true(kmem_usable_size(p) >= some[i]);
			malloc_test_fill(p, some[i], 1);
			kmem_free(p);
		}
	}
	errno = 0;
	assert_null(kmem_memalign(24, 100));
	assert_int_equal(errno, EINVAL);
	assert_null(kmem_memalign(0, 100));
	malloc_test_stop();
}

/* From every size to every size: contents survive, whatever the kinds. */
static void test_realloc_contents(void **state)
{
	(void)state;
	malloc_test_start("");
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(sizes); i++) {
		for (size_t j = 0; j < KMEM_ARRAY_SIZE(sizes); j++) {
			size_t from = sizes[i], to = sizes[j] + (sizes[j] == 0);
			char *p = kmem_malloc(from);

			malloc_test_fill(p, from, (unsigned int)(i + j));
			p = kmem_realloc(p, to);
			assert_non_null(p);
			assert_true(kmem_usable_size(p) >= to);
			assert_true(malloc_test_filled(p, from < to ? from : to, from,
						       (unsigned int)(i + j)));
			memset(p, 1, to);
			kmem_free(p);
		}
	}
	malloc_test_stop();
}

static void test_realloc_edges(void **state)
{
	char *p, *q;

	(void)state;
	malloc_test_start("");
	p = kmem_realloc(NULL, 100);
	assert_non_null(p);
	q = kmem_realloc(p, 112); /* the same class */
	assert_ptr_equal(p, q);
	q = kmem_realloc(p, 65);
	assert_ptr_equal(p, q);
	q = kmem_realloc(p, 20); /* less than half: moves to a smaller one */
	assert_true(kmem_usable_size(q) < 112);
	assert_null(kmem_realloc(q, 0));

	/* A buffer that grows above 4 MiB is not copied. */
	p = kmem_malloc(5 * MIB);
	malloc_test_fill(p, 5 * MIB, 3);
	for (size_t size = 5 * MIB; size <= 40 * MIB; size += MIB) {
		p = kmem_realloc(p, size);
		assert_non_null(p);
		p[size - 1] = 1;
	}
	assert_true(malloc_test_filled(p, 5 * MIB - 1000, 5 * MIB, 3));
	kmem_free(p);
	malloc_test_stop();
}

/* When memory is out: NULL, ENOMEM, nothing lost, and all is well once it is freed. */
static void test_exhaustion(void **state)
{
	static const size_t some[] = {32, 4096, 60000, 128 << 10};

	(void)state;
	for (size_t s = 0; s < KMEM_ARRAY_SIZE(some); s++) {
		size_t counts[3];

		malloc_test_start("memory=16M");
		for (int round = 0; round < 3; round++) {
			void **list = NULL, **p;
			size_t n = 0;

			while ((p = kmem_malloc(some[s])) != NULL) {
				*p = list;
				list = p;
				n++;
			}
			assert_int_equal(errno, ENOMEM);
			counts[round] = n;
			while (list != NULL) {
				p = *list;
				kmem_free(list);
				list = p;
			}
		}
		/* Page blocks that are in pieces stay so a while: nearly as many. */
		assert_true(counts[0] * some[s] > 12 * MIB);
		assert_true(counts[2] >= counts[0] - counts[0] / 8);
		malloc_test_stop();
	}
}

/* Blocks of pages that do not fit become mappings. */
static void test_overflow_to_mappings(void **state)
{
	struct kmem_malloc_stats stats;
	char *p[40];

	(void)state;
	malloc_test_start("memory=16M,large_cache=0");
	for (int i = 0; i < 40; i++) {
		p[i] = kmem_malloc(MIB);
		assert_non_null(p[i]);
		malloc_test_fill(p[i], MIB, (unsigned int)i);
	}
	kmem_malloc_stats(&stats);
	assert_true(stats.large_live >= 24);
	for (int i = 0; i < 40; i++) {
		assert_true(malloc_test_filled(p[i], MIB, MIB, (unsigned int)i));
		p[i] = kmem_realloc(p[i], i % 2 ? 300000 : 2 * MIB);
		assert_true(malloc_test_filled(p[i], 300000, MIB, (unsigned int)i));
		kmem_free(p[i]);
	}
	kmem_malloc_stats(&stats);
	assert_int_equal(stats.large_live, 0);
	assert_int_equal(stats.large_live_bytes, 0);
	malloc_test_stop();
}

/* Blocks while starting: in the array, aligned, and known afterwards. */
static void test_bootstrap(void **state)
{
	char *p = bootstrap_alloc(100, 0), *q = bootstrap_alloc(10, 64), *r;

	(void)state;
	malloc_test_start("");
	assert_int_equal((uintptr_t)p % 16, 0);
	assert_int_equal((uintptr_t)q % 64, 0);
	memset(p, 1, 100);
	memset(q, 2, 10);
	assert_int_equal(kmem_usable_size(p), 100);
	assert_int_equal(kmem_usable_size(q), 10);
	assert_null(bootstrap_alloc((size_t)1 << 20, 0));
	r = kmem_realloc(p, 1000);
	assert_ptr_not_equal(p, r);
	for (int i = 0; i < 100; i++)
		assert_int_equal(r[i], 1);
	kmem_free(r);
	kmem_free(p);
	kmem_free(q);
	malloc_test_stop();
}

static void test_starts_by_itself(void **state)
{
	void *p;

	(void)state;
	assert_int_equal(kmem_malloc_trim(), 0);
	assert_int_equal(kmem_malloc_check(), 0);
	kmem_free(NULL);
	p = kmem_realloc(NULL, 10);
	assert_non_null(p);
	kmem_free(p);
	assert_int_equal(malloc_test_try(""), -EBUSY);
	malloc_test_stop();
}

/* A limit of address space is halved with what is not ours; the rest starts all the same.
 */
static void test_limited_address_space(void **state)
{
	static const int limits[] = {RLIMIT_AS, RLIMIT_DATA};
	int status = 0;

	(void)state;
#if KMEM_SANITIZED
	skip(); /* their shadows need the address space */
#endif
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(limits); i++) {
		pid_t pid = fork();

		if (pid == 0) {
			struct rlimit limit = {(rlim_t)4 << 30, (rlim_t)4 << 30};
			struct buddy_stats stats;

			if (setrlimit(limits[i], &limit) != 0)
				_exit(1);
			if (malloc_test_try("") != 0)
				_exit(2);
			buddy_stats(NUMA_NO_NODE, MAX_NR_ZONES, &stats);
			if (stats.total_pages > limit.rlim_cur / 2 / PAGE_SIZE ||
			    stats.total_pages < limit.rlim_cur / 4 / PAGE_SIZE)
				_exit(3);
			_exit(kmem_malloc(100 * MIB) != NULL ? 0 : 4);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 0);
	}
}

/* The array has an end; nothing is up that could be ended. */
static void test_bootstrap_ends(void **state)
{
	void *p;
	int n = 0;

	(void)state;
	do
		p = bootstrap_alloc(4000, 0);
	while (p != NULL && ++n < 1000);
	assert_null(p);
	assert_in_range(n, 1, 999);
	kmem_malloc_exit();
	kmem_malloc_exit();
	malloc_test_start("");
	malloc_test_stop();
}

/* The smallest of the variants that options choose. */
static void test_variants(void **state)
{
	static const char *const variants[] = {"percpu=off", "debug=on", "pcp=off",
					       "limit=2", "trim=0,large_cache=0"};

	(void)state;
	for (size_t v = 0; v < KMEM_ARRAY_SIZE(variants); v++) {
		malloc_test_start(variants[v]);
		for (size_t i = 0; i < KMEM_ARRAY_SIZE(sizes); i++) {
			char *p = kmem_malloc(sizes[i]), *q = kmem_malloc(sizes[i]);

			memset(p, 1, sizes[i]);
			q = kmem_realloc(q, sizes[i] + 1000);
			memset(q, 1, sizes[i] + 1000);
			kmem_free(p);
			kmem_free(q);
		}
		malloc_test_stop();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_starts_by_itself),
		cmocka_unit_test(test_every_size),
		cmocka_unit_test(test_zero_is_unique),
		cmocka_unit_test(test_calloc_is_zero),
		cmocka_unit_test(test_too_much),
		cmocka_unit_test(test_errno),
		cmocka_unit_test(test_alignment),
		cmocka_unit_test(test_realloc_contents),
		cmocka_unit_test(test_realloc_edges),
		cmocka_unit_test(test_exhaustion),
		cmocka_unit_test(test_overflow_to_mappings),
		cmocka_unit_test(test_bootstrap),
		cmocka_unit_test(test_variants),
		cmocka_unit_test(test_limited_address_space),
		cmocka_unit_test(test_bootstrap_ends),
	};

	return cmocka_run_group_tests_name("malloc", tests, NULL, NULL);
}
