/* SPDX-License-Identifier: MIT */
/* Small programs: groups shared by all orders, short batches, descriptors given back. */
#include "buddy_test.h"

#include "allocators/buddy/rows_internal.h"
#include <sys/mman.h>

#define MEMORY "memory=256M,highmem=0,dma=0,kswapd=off,lower=rows"

static unsigned long group_of(const struct page *page)
{
	return page_to_pfn(page) / GROUP_PAGES;
}

/* With little in use one group holds blocks of all orders; with more each class of orders
 * has its own. */
static void test_orders_share_groups(void **state)
{
	struct page *page[4], *huge[40], *more[2];

	(void)state;
	mm_up(MEMORY ",pcp=off");
	for (unsigned int i = 0; i < 4; i++)
		page[i] = alloc_pages(GFP_KERNEL, 2 * i);
	for (unsigned int i = 1; i < 4; i++)
		assert_int_equal(group_of(page[i]), group_of(page[0]));
	for (unsigned int i = 0; i < KMEM_ARRAY_SIZE(huge); i++)
		assert_non_null(huge[i] = alloc_pages(GFP_KERNEL, GROUP_ORDER));
	more[0] = alloc_pages(GFP_KERNEL, 0);
	more[1] = alloc_pages(GFP_KERNEL, 3);
	assert_int_equal(group_of(more[0]), group_of(page[0]));
	assert_int_not_equal(group_of(more[1]), group_of(page[0]));
	check();
	__free_pages(more[0], 0);
	__free_pages(more[1], 3);
	for (unsigned int i = 0; i < KMEM_ARRAY_SIZE(huge); i++)
		__free_pages(huge[i], GROUP_ORDER);
	for (unsigned int i = 0; i < 4; i++)
		__free_pages(page[i], 2 * i);
	mm_down();
}

/* The next group is the lowest free one, not the neighbour of the one that is full. */
static void test_lowest_group_first(void **state)
{
	struct page *low[GROUP_PAGES / 8], *next[GROUP_PAGES / 8], *page;

	(void)state;
	mm_up(MEMORY ",pcp=off");
	for (unsigned int i = 0; i < KMEM_ARRAY_SIZE(low); i++)
		low[i] = alloc_pages(GFP_KERNEL, 3);
	for (unsigned int i = 0; i < KMEM_ARRAY_SIZE(next); i++)
		next[i] = alloc_pages(GFP_KERNEL, 3);
	page = alloc_pages(GFP_KERNEL, 0);
	assert_int_equal(group_of(low[0]), 0);
	assert_int_equal(group_of(next[0]), 1);
	assert_int_equal(group_of(page), 2);
	for (unsigned int i = 0; i < KMEM_ARRAY_SIZE(low); i++)
		__free_pages(low[i], 3);
	for (unsigned int i = 0; i < GROUP_PAGES - 1; i++)
		assert_int_equal(group_of(alloc_pages(GFP_KERNEL, 0)), 2);
	/* Group 3 has never been touched. */
	low[0] = alloc_pages(GFP_KERNEL, 0);
	assert_int_equal(group_of(low[0]), 0);
	check();
	mm_drop();
}

/* A list gets no megabyte from a program that uses a page. */
static void test_short_batches(void **state)
{
	struct page *page, *single;

	(void)state;
	mm_up(MEMORY);
	page = alloc_pages(GFP_KERNEL, 3);
	assert_in_range(all_stats().pcp_pages, 1, ROW_PAGES);
	single = alloc_pages(GFP_KERNEL, 0);
	assert_in_range(all_stats().pcp_pages, ROW_PAGES, 2 * ROW_PAGES);
	__free_pages(single, 0);
	__free_pages(page, 3);
	mm_down();
}

static size_t resident_descriptors(const struct page *page)
{
	enum { PAGES = GROUP_PAGES * sizeof(struct page) / PAGE_SIZE };
	unsigned char map[PAGES];
	size_t n = 0;

	assert_int_equal(mincore((void *)(uintptr_t)page, PAGES * PAGE_SIZE, map), 0);
	for (size_t i = 0; i < PAGES; i++)
		n += map[i] & 1;
	return n;
}

/* The descriptors of frames that go back go with them; frees are told from misuse. */
static void test_descriptors_go_back(void **state)
{
	struct page *page[GROUP_PAGES], *first;

	(void)state;
	mm_up(MEMORY ",pcp=off");
	capture_bugs(true);
	for (unsigned int i = 0; i < GROUP_PAGES; i++)
		page[i] = alloc_pages(GFP_KERNEL, 0);
	first = pfn_to_page(page_to_pfn(page[0]) & ~(GROUP_PAGES - 1ul));
	assert_true(resident_descriptors(first) > 0);
	for (unsigned int i = 0; i < GROUP_PAGES; i++) {
		assert_int_equal(group_of(page[i]), group_of(page[0]));
		*(char *)page_address(page[i]) = 1;
		__free_pages(page[i], 0);
	}
	assert_int_equal(buddy_trim(), GROUP_PAGES);
	assert_int_equal(resident_descriptors(first), 0);
	__free_pages(page[7], 0);
	assert_int_equal(reports, 1);
	check();
	for (unsigned int i = 0; i < GROUP_PAGES; i++) {
		page[i] = alloc_pages(GFP_KERNEL, 0);
		assert_int_equal(*(char *)page_address(page[i]), 0);
	}
	check();
	for (unsigned int i = 0; i < GROUP_PAGES; i++)
		__free_pages(page[i], 0);
	capture_bugs(false);
	mm_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_orders_share_groups),
		cmocka_unit_test(test_lowest_group_first),
		cmocka_unit_test(test_short_batches),
		cmocka_unit_test(test_descriptors_go_back),
	};

	return cmocka_run_group_tests_name("rows_few", tests, NULL, NULL);
}
