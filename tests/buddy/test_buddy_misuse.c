/* SPDX-License-Identifier: MIT */
/* What callers do wrong: each report to the letter, and no harm done. */
#include "tests/buddy/buddy_test.h"

#include <pthread.h>

#define SMALL "memory=32M,dma=0,highmem=0,topology=numa:1 pu:1,min_free=128K"

/* Before there is anything, and first of all: no hit is found in what has never been. */
static void test_not_set_up(void **state)
{
	static struct page page;

	(void)state;
	capture_bugs(true);
	for (unsigned int order = 0; order < 20; order++) {
		assert_null(alloc_pages(0, order));
		assert_null(alloc_pages(GFP_KERNEL, order));
		assert_null(alloc_pages(__GFP_HIGHMEM, order));
		assert_null(alloc_pages_node(0, 0, order));
	}
	__free_page(&page);
	assert_report("free of %p, order 0: bad pfn, no descriptor of a frame is there",
		      (void *)&page);
	capture_bugs(false);
}

static void setup(const char *options)
{
	mm_up(options);
	capture_bugs(true);
}

static void teardown(void)
{
	assert_int_equal(reports, 0);
	capture_bugs(false);
	mm_down();
}

/* The second free finds the page on a list, in a zone, or inside a larger free block. */
static void test_double_free(void **state)
{
	struct page *page;
	unsigned long pfn;

	(void)state;
	setup(SMALL);
	page = alloc_page(GFP_KERNEL);
	pfn = page_to_pfn(page);
	__free_page(page);
	__free_page(page);
	assert_report("double free of pfn %lu, order 0", pfn);
	drain_all_pages();
	__free_page(page);
	assert_report("double free of pfn %lu, order 0", pfn);
	free_page((unsigned long)pfn_to_virt(pfn));
	assert_report("double free of pfn %lu, order 0", pfn);
	put_page(page);
	assert_report("double free of pfn %lu, order 0", pfn);
	page = alloc_pages(GFP_KERNEL, 7);
	pfn = page_to_pfn(page);
	__free_pages(page, 7);
	__free_pages(page, 7);
	assert_report("double free of pfn %lu, order 7", pfn);
	teardown();
}

/* Numbers that are no order: some that the tables of the hit path have, some beyond. */
static void test_no_order(void **state)
{
	static const char *const variants[] = {
		SMALL, SMALL ",pcp=off", SMALL ",mobility=on", SMALL ",lower=lists"};
	static const unsigned int orders[] = {11, 15, 16, 48, 1u << 30, 1u << 31, ~0u};

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(variants); i++) {
		struct page *page;

		setup(variants[i]);
		page = alloc_pages(GFP_KERNEL, 1);
		for (size_t k = 0; k < KMEM_ARRAY_SIZE(orders); k++) {
			assert_null(alloc_pages(GFP_KERNEL, orders[k]));
			assert_null(alloc_pages_node(0, GFP_KERNEL, orders[k]));
			/* The second is inside the block: nothing is known of it. */
			for (int at = 0; at < 2; at++) {
				__free_pages(page + at, orders[k]);
				assert_report("free of a block of order %u: orders are "
					      "0 to 10",
					      orders[k]);
			}
		}
		assert_int_equal(page_block_order(page), 1);
		__free_pages(page, 1);
		teardown();
	}
}

static void test_double_free_in_bulk(void **state)
{
	struct page *pages[4];

	(void)state;
	setup(SMALL);
	assert_int_equal(alloc_pages_bulk(GFP_KERNEL, 3, pages), 3);
	pages[3] = pages[1];
	free_pages_bulk(4, pages);
	assert_report("double free of pfn %lu, order 0", page_to_pfn(pages[1]));
	teardown();
}

static void test_wrong_order(void **state)
{
	struct page *page;

	(void)state;
	setup(SMALL);
	page = alloc_pages(GFP_KERNEL, 3);
	__free_pages(page, 2);
	assert_report("free of pfn %lu with order 2: the block has order 3",
		      page_to_pfn(page));
	__free_pages(page, 4);
	assert_report("free of pfn %lu with order 4: the block has order 3",
		      page_to_pfn(page));
	__free_pages(page, 11);
	assert_report("free of a block of order 11: orders are 0 to 10");
	check();
	__free_pages(page, 3);
	teardown();
}

static void test_inside_a_block(void **state)
{
	struct page *page;

	(void)state;
	setup(SMALL);
	page = alloc_pages(GFP_KERNEL, 3);
	__free_pages(page + 4, 2);
	assert_report("free of pfn %lu, order 2: no allocated block starts there",
		      page_to_pfn(page + 4));
	__free_pages(page, 3);
	teardown();
}

static void test_bad_pfn(void **state)
{
	unsigned long end;
	struct page *past;

	(void)state;
	setup(SMALL);
	past = pfn_to_page(kmem_nr_frames);
	end = (unsigned long)phys_direct_end();
	__free_page(past);
	assert_report("free of %p, order 0: bad pfn, no descriptor of a frame is there",
		      (void *)past);
	__free_page(NULL);
	assert_report(
		"free of (nil), order 0: bad pfn, no descriptor of a frame is there");
	past = (struct page *)((char *)pfn_to_page(3) + 8);
	__free_page(past);
	assert_report("free of %p, order 0: bad pfn, no descriptor of a frame is there",
		      (void *)past);
	/* A size that cannot be: one report, not one for each page of it. */
	free_pages_exact(kmem_direct_base, SIZE_MAX);
	assert_report(
		"free of %zu bytes at %p: alloc_pages_exact() serves 1 byte to 4 MiB, "
		"and no other size can come back",
		SIZE_MAX, (void *)kmem_direct_base);
	free_pages_exact(NULL, SIZE_MAX);
	free_pages(end, 1);
	assert_report(
		"free of address 0x%lx, order 1: bad pfn, not the start of a page of the "
		"direct map",
		end);
	free_pages((unsigned long)kmem_direct_base + 5, 0);
	assert_report(
		"free of address 0x%lx, order 0: bad pfn, not the start of a page of the "
		"direct map",
		(unsigned long)kmem_direct_base + 5);
	teardown();
}

static void test_mapped_and_owned_pages(void **state)
{
	struct page *page;

	(void)state;
	setup(SMALL);
	page = alloc_page(GFP_KERNEL);
	atomic_fetch_add(&page->_mapcount, 2);
	__free_page(page);
	assert_report("free of pfn %lu, order 0: still mapped at 2 places",
		      page_to_pfn(page));
	atomic_fetch_sub(&page->_mapcount, 2);
	atomic_fetch_or(&page->flags, PG_slab);
	__free_page(page);
	assert_report("free of pfn %lu, order 0: still in use by its owner (flags 0x9)",
		      page_to_pfn(page));
	atomic_fetch_and(&page->flags, ~(uint32_t)PG_slab);
	__free_page(page);
	teardown();
}

/* A block of one node on a list of another, by a stray store or a wild free: who gets
 * it cannot give it back as if nothing had been. */
static void free_through_the_wrong_node(const char *options, bool bulk)
{
	struct page *stray, *page = NULL;
	struct zone *wrong;
	uint64_t left = 0;

	setup(options);
	stray = alloc_pages_node(1, GFP_KERNEL, 0);
	assert_int_equal(page_to_nid(stray), 1);
	wrong = &buddy_zones[ZONE_NORMAL];
	/* The lists come into being with the first page. */
	__free_page(alloc_pages_node(0, GFP_KERNEL, 0));
	assert_true(free_prepare(stray, 0));
	/* As a free would stamp it that takes it for one of that zone. */
	atomic_store(&stray->state, zone_allocated(wrong, 0));
	assert_true(percpu_push_stamped(&wrong->pcp[0], stray, zone_allocated(wrong, 0),
					&left));
	assert_int_equal(buddy_check(), -EFAULT);
	assert_non_null(strstr(kmem_last_error(), "per-CPU list of another zone"));
	/* As the newest it is handed out next, whichever way. */
	if (bulk)
		assert_int_equal(buddy_alloc_bulk(0, GFP_KERNEL, 0, 1, &page), 1);
	else
		page = alloc_pages_node(0, GFP_KERNEL, 0);
	assert_ptr_equal(page, stray);
	assert_int_equal(buddy_check(), -EFAULT);
	assert_non_null(strstr(kmem_last_error(), "another zone's"));
	__free_page(page);
	assert_report("free of pfn %lu, order 0: it was handed out by node 0 zone 1, but "
		      "is a frame of node 1 zone 1",
		      page_to_pfn(page));
	free_pages_bulk(1, &page);
	assert_report("free of pfn %lu, order 0: it was handed out by node 0 zone 1, but "
		      "is a frame of node 1 zone 1",
		      page_to_pfn(page));
	get_page(page);
	put_page(page);
	assert_int_equal(reports, 0);
	put_page(page);
	assert_report("free of pfn %lu, order 0: it was handed out by node 0 zone 1, but "
		      "is a frame of node 1 zone 1",
		      page_to_pfn(page));
	/* It is left alone, and all others work on. */
	assert_int_equal(page_block_order(page), 0);
	set_page_flags(page,
		       block_flags(PG_head, 0) | zone_id(pfn_zone(page_to_pfn(page)))
							 << PG_ZONE_SHIFT);
	__free_page(page);
	teardown();
}

static void test_wrong_node(void **state)
{
	cpu_set_t one, before;
	static const char two_nodes[] =
		"memory=32M,dma=0,highmem=0,topology=numa:2 core:1 pu:1,min_free=128K";

	(void)state;
	/* The list that it is pushed to is the one that it is popped from. */
	sched_getaffinity(0, sizeof(before), &before);
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	free_through_the_wrong_node(two_nodes, false);
	free_through_the_wrong_node(two_nodes, true);
	sched_setaffinity(0, sizeof(before), &before);
}

/* A descriptor that was overwritten. */
static void test_damaged_flags(void **state)
{
	struct page *page;

	(void)state;
	setup(SMALL);
	page = alloc_pages(GFP_KERNEL, 2);
	atomic_fetch_xor(&page->flags, 7 << PG_ZONE_SHIFT);
	__free_pages(page, 2);
	assert_report("free of pfn %lu, order 2: it was handed out by node 2 zone 0, but "
		      "is a frame of node 0 zone 1",
		      page_to_pfn(page));
	atomic_fetch_xor(&page->flags, 7 << PG_ZONE_SHIFT);
	__free_pages(page, 2);
	teardown();
}

/* buddy_check() names what was damaged. */
static void test_check_finds_damage(void **state)
{
	struct page *page, *other;
	struct zone *zone;

	(void)state;
	setup(SMALL ",pcp=off,lower=lists");
	page = alloc_page(GFP_KERNEL);
	other = alloc_page(GFP_KERNEL);
	zone = pfn_zone(page_to_pfn(page));
	zone->free_area[1].nr_free++;
	assert_int_equal(buddy_check(), -EFAULT);
	assert_non_null(strstr(kmem_last_error(), "nr_free differs from the list"));
	zone->free_area[1].nr_free--;
	atomic_fetch_add(&zone->free_pages, 1);
	assert_int_equal(buddy_check(), -EFAULT);
	assert_non_null(strstr(kmem_last_error(), "free_pages differs"));
	atomic_fetch_sub(&zone->free_pages, 1);
	atomic_store(&page->_refcount, 0);
	assert_int_equal(buddy_check(), -EFAULT);
	assert_non_null(strstr(kmem_last_error(), "contradict each other"));
	atomic_store(&page->_refcount, 1);
	set_page_flags(zone->free_area[3].first, block_flags(PG_buddy, 4));
	assert_int_equal(buddy_check(), -EFAULT);
	assert_non_null(strstr(kmem_last_error(), "its descriptor says otherwise"));
	set_page_flags(zone->free_area[3].first, block_flags(PG_buddy, 3));
	__free_page(page);
	__free_page(other);
	teardown();
}

/* --- two threads free the same block: exactly one succeeds --- */

enum { RACES = 2000 };

static struct page *contested[RACES];
static pthread_barrier_t barrier;

static void *free_all(void *arg)
{
	(void)arg;
	for (int i = 0; i < RACES; i++) {
		if (i % 50 == 0)
			pthread_barrier_wait(&barrier);
		__free_page(contested[i]);
	}
	return NULL;
}

static _Atomic unsigned int racing_reports;

static void count_report(const char *report, void *arg)
{
	(void)arg;
	if (strstr(report, "double free") != NULL)
		atomic_fetch_add(&racing_reports, 1);
}

static void test_racing_double_free(void **state)
{
	pthread_t threads[2];

	(void)state;
	mm_up(SMALL);
	kmem_set_bug_handler(count_report, NULL);
	for (int i = 0; i < RACES; i++)
		assert_non_null(contested[i] = alloc_page(GFP_KERNEL));
	pthread_barrier_init(&barrier, NULL, 2);
	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, free_all, NULL);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&barrier);
	assert_int_equal(atomic_load(&racing_reports), RACES);
	kmem_set_bug_handler(NULL, NULL);
	mm_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_not_set_up),
		cmocka_unit_test(test_double_free),
		cmocka_unit_test(test_no_order),
		cmocka_unit_test(test_double_free_in_bulk),
		cmocka_unit_test(test_wrong_order),
		cmocka_unit_test(test_inside_a_block),
		cmocka_unit_test(test_bad_pfn),
		cmocka_unit_test(test_mapped_and_owned_pages),
		cmocka_unit_test(test_wrong_node),
		cmocka_unit_test(test_damaged_flags),
		cmocka_unit_test(test_check_finds_damage),
		cmocka_unit_test(test_racing_double_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
