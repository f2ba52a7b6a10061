/* SPDX-License-Identifier: MIT */
/* What the tests of kmap share: the stack with windows on top, and HIGHMEM pages. */
#ifndef TESTS_VMALLOC_KMAP_TEST_H
#define TESTS_VMALLOC_KMAP_TEST_H

#include "allocators/vmalloc/kmap_internal.h"
#include "tests/vmalloc/vmalloc_test.h"

#define KMAP_PAGES_MAX 4096

/* HIGHMEM pages of the test; 16 MiB are 4096. */
static struct page *high[KMAP_PAGES_MAX];
static size_t nr_high;

static inline void assert_kmap_sound(void)
{
	if (kmap_check() != 0)
		fail_msg("%s", kmem_last_error());
}

static inline struct kmap_stats kmap_stats_now(void)
{
	struct kmap_stats stats;

	kmap_stats(&stats);
	return stats;
}

/* The stack, a window of `slots`, and nr HIGHMEM pages. */
static inline void kmap_up(const char *options, uint64_t slots, bool flush, size_t nr)
{
	const struct kmap_config config = {.pkmap_slots = slots, .pkmap_flush = flush};

	stack_up(options);
	if (kmap_init(&config) != 0)
		fail_msg("%s", kmem_last_error());
	nr_high = alloc_pages_bulk(GFP_HIGHUSER, nr, high);
	assert_int_equal(nr_high, nr);
	for (size_t i = 0; i < nr; i++) {
		assert_int_equal(page_zonenum(high[i]), ZONE_HIGHMEM);
		assert_null(page_address(high[i]));
	}
}

/* No page may be mapped. */
static inline void kmap_down(void)
{
	assert_kmap_sound();
	assert_int_equal(kmap_stats_now().pkmap_used, 0);
	for (size_t i = 0; i < nr_high; i++)
		assert_int_equal(atomic_load(&high[i]->_mapcount), 0);
	free_pages_bulk(nr_high, high);
	nr_high = 0;
	kmap_exit();
	stack_down();
}

/* After each test: takes down what a failed one left up. */
static inline int kmap_abandon(void **state)
{
	os_set_hooks(NULL);
	kmem_set_bug_handler(NULL, NULL);
	kmap_exit();
	return stack_abandon(state);
}
#define kmap_test(f) cmocka_unit_test_teardown(f, kmap_abandon)

#endif /* TESTS_VMALLOC_KMAP_TEST_H */
