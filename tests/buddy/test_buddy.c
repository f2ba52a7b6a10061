/* SPDX-License-Identifier: MIT */
/* The calls one by one: orders, splitting and merging, flags, references, bulk, trim. */
#include "tests/buddy/buddy_test.h"
#include "tests/os/cpu_modes.h"

#define SMALL "memory=32M,dma=0,highmem=0,topology=numa:1 pu:1,min_free=128K"

static void test_split_and_merge(void **state)
{
	struct buddy_stats s;
	struct page *page;

	(void)state;
	mm_up(SMALL ",pcp=off");
	page = alloc_pages(GFP_KERNEL, 3);
	assert_non_null(page);
	assert_int_equal(page_to_pfn(page) % 8, 0);
	s = all_stats();
	assert_int_equal(s.free_pages, s.total_pages - 8);
	/* The rest of one largest block: a piece of each order from 3 to 9. */
	for (int order = 0; order < MAX_ORDER; order++)
		assert_int_equal(s.free_blocks[order], order < 3    ? 0
						       : order < 10 ? 1
								    : 7);
	check();
	__free_pages(page, 3);
	assert_int_equal(all_stats().free_blocks[10], 8);
	mm_down();
}

static void test_smallest_fitting_block_is_taken(void **state)
{
	struct page *big, *small;

	(void)state;
	mm_up(SMALL ",pcp=off,lower=lists");
	big = alloc_pages(GFP_KERNEL, 4);
	small = alloc_pages(GFP_KERNEL, 2);
	/* Out of the order-4 remainder next to it, not out of a larger block. */
	assert_int_equal(page_to_pfn(small), page_to_pfn(big) + 16);
	__free_pages(big, 4);
	__free_pages(small, 2);
	mm_down();
}

static void test_every_order(void **state)
{
	static const char *const setups[] = {SMALL, SMALL ",pcp=off",
					     SMALL ",pcp_order_max=10"};

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(setups); i++) {
		mm_up(setups[i]);
		for (unsigned int order = 0; order < MAX_ORDER; order++) {
			struct page *page = alloc_pages(GFP_KERNEL, order);

			assert_non_null(page);
			assert_int_equal(page_to_pfn(page) & ((1UL << order) - 1), 0);
			assert_int_equal(page_block_order(page), order);
			assert_true(order == 0 || page_block_order(page + 1) == -1);
			memset(page_address(page), 0x11, PAGE_SIZE << order);
			__free_pages(page, order);
			assert_int_equal(page_block_order(page), -1);
		}
		assert_null(alloc_pages(GFP_KERNEL, MAX_ORDER));
		assert_non_null(strstr(kmem_last_error(), "order 11 is too large"));
		mm_down();
	}
}

static void test_by_address(void **state)
{
	unsigned long addr;
	char *page;

	(void)state;
	mm_up(SMALL);
	addr = __get_free_pages(GFP_KERNEL, 10);
	assert_int_equal(addr % (4 << 20), 0);
	memset((void *)addr, 0xff, 4 << 20);
	free_pages(addr, 10);
	drain_all_pages();
	/* What was just dirtied comes back zeroed. */
	page = (char *)get_zeroed_page(GFP_KERNEL);
	for (size_t i = 0; i < PAGE_SIZE; i++)
		assert_int_equal(page[i], 0);
	free_page((unsigned long)page);
	free_pages(0, 0);
	assert_int_equal(__get_free_pages(GFP_KERNEL | __GFP_HIGHMEM, 0), 0);
	assert_non_null(strstr(kmem_last_error(), "use alloc_pages() or vmalloc()"));
	mm_down();
}

static void test_zeroed_highmem(void **state)
{
	struct page *page;
	char *window;

	(void)state;
	mm_up("memory=32M,dma=0,highmem=8M,topology=numa:1 pu:1");
	page = alloc_pages(GFP_HIGHUSER, 1);
	assert_int_equal(page_zonenum(page), ZONE_HIGHMEM);
	window = phys_map_frames(page_to_pfn(page), 2);
	memset(window, 0xff, 2 * PAGE_SIZE);
	phys_unmap_frames(window, page_to_pfn(page), 2);
	__free_pages(page, 1);
	page = alloc_pages(GFP_HIGHUSER | __GFP_ZERO, 1);
	window = phys_map_frames(page_to_pfn(page), 2);
	for (size_t i = 0; i < 2 * PAGE_SIZE; i++)
		assert_int_equal(window[i], 0);
	phys_unmap_frames(window, page_to_pfn(page), 2);
	__free_pages(page, 1);
	mm_down();
}

static void test_exact(void **state)
{
	struct buddy_stats before, s;
	char *p;

	(void)state;
	mm_up(SMALL ",pcp=off");
	before = all_stats();
	p = alloc_pages_exact(5 * PAGE_SIZE - 1, GFP_KERNEL);
	assert_non_null(p);
	s = all_stats();
	assert_int_equal(before.free_pages - s.free_pages, 5);
	memset(p, 1, 5 * PAGE_SIZE);
	check();
	free_pages_exact(p, 5 * PAGE_SIZE - 1);
	p = alloc_pages_exact((size_t)4 << 20, GFP_KERNEL);
	assert_non_null(p);
	free_pages_exact(p, (size_t)4 << 20);
	free_pages_exact(NULL, PAGE_SIZE);
	assert_null(alloc_pages_exact(((size_t)4 << 20) + 1, GFP_KERNEL));
	assert_null(alloc_pages_exact(0, GFP_KERNEL));
	mm_down();
}

static void test_references(void **state)
{
	struct page *page;

	(void)state;
	mm_up(SMALL ",pcp=off");
	page = alloc_pages(GFP_KERNEL, 2);
	get_page(page);
	__free_pages(page, 2);
	assert_int_equal(page_block_order(page), 2);
	check();
	put_page(page);
	assert_int_equal(page_block_order(page), -1);
	mm_down();
}

static void test_bulk(void **state)
{
	static struct page *pages[6000];
	static const char *const setups[] = {SMALL, SMALL ",pcp=off"};

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(setups); i++) {
		size_t n;

		mm_up(setups[i]);
		n = alloc_pages_bulk(GFP_KERNEL | __GFP_ZERO, 6000, pages);
		assert_int_equal(n, 6000);
		for (size_t k = 0; k < n; k++) {
			assert_int_equal(page_block_order(pages[k]), 0);
			/* Were a page given twice, the second would not be zero. */
			assert_int_equal(*(char *)page_address(pages[k]), 0);
			*(char *)page_address(pages[k]) = 1;
		}
		check();
		free_pages_bulk(n, pages);
		check();
		assert_int_equal(all_stats().free_pages + all_stats().pcp_pages, 8192);
		/* More than there is: what there is above the watermark, and no more. */
		n = buddy_alloc_bulk(NUMA_NO_NODE, GFP_KERNEL, 2, 6000, pages);
		assert_true(n > 1900 && n < 2048);
		buddy_free_bulk(2, n, pages);
		assert_int_equal(alloc_pages_bulk(GFP_KERNEL, 0, pages), 0);
		mm_down();
	}
}

static void test_drain(void **state)
{
	struct page *page;

	(void)state;
	mm_up(SMALL);
	page = alloc_page(GFP_KERNEL);
	__free_page(page);
	assert_true(all_stats().pcp_pages > 0);
	assert_int_equal(all_stats().free_pages + all_stats().pcp_pages, 8192);
	drain_all_pages();
	assert_int_equal(all_stats().pcp_pages, 0);
	assert_int_equal(all_stats().free_pages, 8192);
	mm_down();
}

static void test_cold_pages_leave_the_lists_alone(void **state)
{
	struct page *hot, *cold;
	uint64_t listed;

	(void)state;
	mm_up(SMALL);
	hot = alloc_page(GFP_KERNEL);
	listed = all_stats().pcp_pages;
	cold = alloc_page(GFP_KERNEL | __GFP_COLD);
	assert_non_null(cold);
	assert_int_equal(all_stats().pcp_pages, listed);
	__free_page(hot);
	__free_page(cold);
	mm_down();
}

static void test_gfp_check(void **state)
{
	(void)state;
	assert_int_equal(gfp_check(GFP_KERNEL), 0);
	assert_int_equal(gfp_check(__GFP_BITS_MASK & ~(__GFP_DMA | __GFP_REPEAT |
						       __GFP_NORETRY | __GFP_MOVABLE)),
			 0);
	assert_int_equal(gfp_check(0x8), -EINVAL);
	assert_int_equal(gfp_check(0x80000000u), -EINVAL);
	assert_non_null(strstr(kmem_last_error(), "unknown bits"));
	assert_int_equal(gfp_check(__GFP_DMA | __GFP_HIGHMEM), -EINVAL);
	assert_int_equal(gfp_check(__GFP_WAIT | __GFP_NOFAIL | __GFP_NORETRY), -EINVAL);
	assert_int_equal(gfp_check(__GFP_WAIT | __GFP_REPEAT | __GFP_NORETRY), -EINVAL);
	assert_int_equal(gfp_check(__GFP_WAIT | __GFP_NOFAIL | __GFP_REPEAT), -EINVAL);
	assert_int_equal(gfp_check(__GFP_NOFAIL), -EINVAL);
	assert_int_equal(gfp_check(__GFP_WAIT | __GFP_NOFAIL), 0);
	mm_up(SMALL);
	assert_null(alloc_page(__GFP_DMA | __GFP_HIGHMEM));
	assert_null(alloc_page(0x80000000u));
	assert_null(alloc_pages_node(1, GFP_KERNEL, 0));
	assert_non_null(strstr(kmem_last_error(), "node 1 does not exist"));
	assert_null(alloc_pages_node(-2, GFP_KERNEL, 0));
	mm_down();
}

static void test_trim(void **state)
{
	char *p;

	(void)state;
	mm_up(SMALL);
	p = (char *)__get_free_pages(GFP_KERNEL, 10);
	memset(p, 1, (size_t)4 << 20);
	free_pages((unsigned long)p, 10);
	assert_true(buddy_trim() >= 1024);
	assert_int_equal(p[123456], 0);
	mm_down();
}

static void test_life(void **state)
{
	(void)state;
	assert_null(alloc_page(GFP_KERNEL));
	assert_non_null(strstr(kmem_last_error(), "not set up"));
	configure(SMALL);
	assert_int_equal(buddy_init(&test_config.buddy), -EINVAL);
	kmem_options_release(test_groups, &test_config);
	mm_up(SMALL);
	assert_int_equal(buddy_init(&test_config.buddy), -EBUSY);
	alloc_pages(GFP_KERNEL, 5);
	alloc_page(GFP_KERNEL);
	buddy_exit();
	/* Set up anew over the same memory: nothing of the old state is left. */
	assert_int_equal(buddy_init(&test_config.buddy), 0);
	check();
	mm_down();
	configure(SMALL ",min_free=30M");
	assert_int_equal(phys_init(&test_config.phys), 0);
	assert_int_equal(buddy_init(&test_config.buddy), -EINVAL);
	assert_non_null(strstr(kmem_last_error(), "lower it"));
	mm_drop();
}

static void test_private_backing(void **state)
{
	char *p;

	(void)state;
	mm_up(SMALL ",backing=private");
	p = (char *)__get_free_pages(GFP_KERNEL, 4);
	memset(p, 7, PAGE_SIZE << 4);
	free_pages((unsigned long)p, 4);
	buddy_trim();
	mm_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_split_and_merge),
		cmocka_unit_test(test_smallest_fitting_block_is_taken),
		BOTH_MODES(test_every_order),
		cmocka_unit_test(test_by_address),
		cmocka_unit_test(test_zeroed_highmem),
		cmocka_unit_test(test_exact),
		cmocka_unit_test(test_references),
		BOTH_MODES(test_bulk),
		BOTH_MODES(test_drain),
		cmocka_unit_test(test_cold_pages_leave_the_lists_alone),
		cmocka_unit_test(test_gfp_check),
		cmocka_unit_test(test_trim),
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_private_backing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
