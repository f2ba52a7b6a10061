/* SPDX-License-Identifier: MIT */
/* Grouping by mobility: what stays for good does not keep huge pages from becoming free.
 */
#include "tests/buddy/buddy_test.h"

#define MEMORY "memory=64M,dma=0,highmem=0,topology=numa:1 pu:1,lower=rows"

enum { NR_PAGES = 12000 };

static struct page *pages[NR_PAGES];

/*
 * One unmovable page among 16 movable ones; then the movable ones go. Returns how many
 * huge pages are free.
 */
static uint64_t huge_pages_left(const char *options)
{
	struct buddy_stats s;
	uint64_t free;

	mm_up(options);
	for (int i = 0; i < NR_PAGES; i++) {
		pages[i] = alloc_page(i % 16 == 0 ? GFP_KERNEL
						  : GFP_USER | __GFP_MOVABLE);
		assert_non_null(pages[i]);
	}
	check();
	for (int i = 0; i < NR_PAGES; i++) {
		if (i % 16 != 0)
			__free_page(pages[i]);
	}
	drain_all_pages();
	check();
	s = all_stats();
	free = s.free_blocks[9] + 2 * s.free_blocks[10];
	for (int i = 0; i < NR_PAGES; i += 16)
		__free_page(pages[i]);
	mm_down();
	return free;
}

static void test_unmovable_pages_stay_together(void **state)
{
	(void)state;
	/* 750 unmovable pages need two of the 32 huge pages. */
	assert_in_range(huge_pages_left(MEMORY ",mobility=on"), 29, 30);
	assert_in_range(huge_pages_left(MEMORY ",mobility=off"), 0, 9);
	assert_in_range(huge_pages_left(MEMORY ",mobility=on,pcp=off"), 29, 30);
}

/* A free goes onto the list of the type that the page's group has. */
static void test_lists_by_type(void **state)
{
	const struct zone *zone;
	struct page *page;
	size_t movable, unmovable;

	(void)state;
	mm_up(MEMORY ",mobility=on");
	zone = &buddy_zones[ZONE_NORMAL];
	page = alloc_page(GFP_USER | __GFP_MOVABLE);
	movable = percpu_count(&zone->pcp[kind_of(0, MIGRATE_MOVABLE)]);
	unmovable = percpu_count(&zone->pcp[kind_of(0, MIGRATE_UNMOVABLE)]);
	__free_page(page);
	assert_int_equal(percpu_count(&zone->pcp[kind_of(0, MIGRATE_MOVABLE)]),
			 movable + 1);
	assert_int_equal(percpu_count(&zone->pcp[kind_of(0, MIGRATE_UNMOVABLE)]),
			 unmovable);
	mm_down();
}

/* When there is no other place, types share one. */
static void test_fallback(void **state)
{
	size_t n = 0;

	(void)state;
	mm_up(MEMORY ",mobility=on");
	for (int i = 0; i < 400; i++)
		pages[n++] = alloc_page(GFP_KERNEL | __GFP_RECLAIMABLE);
	while (n < NR_PAGES &&
	       (pages[n] = alloc_page(GFP_KERNEL | __GFP_MOVABLE)) != NULL)
		n++;
	while (n < KMEM_ARRAY_SIZE(pages) &&
	       (pages[n] = alloc_pages(GFP_KERNEL, 0)) != NULL)
		n++;
	assert_int_equal(n, NR_PAGES);
	check();
	while (n > 0)
		__free_page(pages[--n]);
	mm_down();
}

static void test_refused(void **state)
{
	(void)state;
	configure(
		"memory=64M,dma=0,highmem=0,topology=numa:1 pu:1,mobility=on,lower=lists");
	assert_int_equal(phys_init(&test_config.phys), 0);
	assert_int_equal(buddy_init(&test_config.buddy), -EINVAL);
	assert_non_null(strstr(kmem_last_error(), "needs lower=rows"));
	test_config.buddy.mobility = false;
	test_config.buddy.purge_ms = 10;
	assert_int_equal(buddy_init(&test_config.buddy), -EINVAL);
	assert_non_null(strstr(kmem_last_error(), "needs lower=rows and kswapd=on"));
	phys_exit();
	kmem_options_release(test_groups, &test_config);
	assert_int_equal(gfp_check(__GFP_MOVABLE | __GFP_RECLAIMABLE), -EINVAL);
	assert_int_equal(gfp_check(GFP_USER | __GFP_MOVABLE), 0);
}

/* Also where a page is at hand, and nobody looks at the kind of it. */
static void test_contradictions_are_refused(void **state)
{
	static const char *const variants[] = {"mobility=off", "mobility=on", "pcp=off"};

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(variants); i++) {
		mm_up(variants[i]);
		__free_page(alloc_page(GFP_KERNEL));
		assert_null(alloc_page(GFP_KERNEL | __GFP_MOVABLE | __GFP_RECLAIMABLE));
		mm_down();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unmovable_pages_stay_together),
		cmocka_unit_test(test_lists_by_type),
		cmocka_unit_test(test_fallback),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_contradictions_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
