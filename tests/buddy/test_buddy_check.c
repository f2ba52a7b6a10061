/* SPDX-License-Identifier: MIT */
/* buddy_check() fails for each thing it walks over, and passes once that is mended. */
#include "tests/buddy/buddy_test.h"
#include "allocators/buddy/rows_internal.h"

#define MEMORY "memory=16M,dma=4M,highmem=0,topology=numa:1 pu:1"
#define SMALL  MEMORY ",lower=lists"

static void assert_broken(const char *part)
{
	assert_int_equal(buddy_check(), -EFAULT);
	if (strstr(kmem_last_error(), part) == NULL)
		fail_msg("'%s' is not about '%s'", kmem_last_error(), part);
}

static void test_free_lists(void **state)
{
	struct page *page, *first;
	struct zone *zone;

	(void)state;
	mm_up(SMALL ",pcp=off");
	page = alloc_page(GFP_KERNEL);
	zone = pfn_zone(page_to_pfn(page));
	first = zone->free_area[3].first;
	first->lru.prev = page;
	assert_broken("its link back does not match");
	first->lru.prev = NULL;
	zone->free_area[3].first = NULL;
	assert_broken("nr_free differs");
	zone->free_area[3].first = first + 1;
	assert_broken("its descriptor says otherwise");
	zone->free_area[3].first = first;
	zone->below_low = !zone->below_low;
	assert_broken("below_low differs");
	zone->below_low = !zone->below_low;
	check();
	__free_page(page);
	mm_down();
}

static void test_numa_counters(void **state)
{
	(void)state;
	mm_up(SMALL);
	buddy_node_stats[0].miss++;
	assert_broken("numa_miss of all nodes is 1, numa_foreign 0");
	buddy_node_stats[0].foreign++;
	assert_broken("numa_hit 0, local_node 0");
	buddy_node_stats[0].other++;
	mm_down();
}

/* Puts a block on a list of its zone, and nothing more. */
static void put_unjoined(struct zone *zone, struct page *page, unsigned int order)
{
	struct free_area *area = &zone->free_area[order];

	set_page_flags(page, block_flags(PG_buddy, order));
	page->lru.next = area->first;
	page->lru.prev = NULL;
	if (area->first != NULL)
		area->first->lru.prev = page;
	area->first = page;
	area->nr_free++;
	atomic_fetch_add(&zone->free_pages, 1UL << order);
}

/* Two free halves that nobody joined, as a forgotten merge would leave them. */
static void test_forgotten_merge(void **state)
{
	struct page *page, *block, *half;
	struct zone *zone;

	(void)state;
	mm_up(SMALL ",pcp=off");
	page = alloc_page(GFP_KERNEL);
	zone = pfn_zone(page_to_pfn(page));
	assert_int_equal(zone_take_blocks(zone, 3, 0, 1, &block), 1);
	assert_null(zone->free_area[3].first);
	half = block + 4;
	put_unjoined(zone, half, 2);
	put_unjoined(zone, block, 2);
	assert_broken("the block and its buddy are both free");
	mm_drop();
}

static void test_blocks(void **state)
{
	uint32_t links;
	struct page *page;

	(void)state;
	mm_up(SMALL ",pcp=off");
	page = alloc_pages(GFP_KERNEL, 3);
	links = page_flags(page) & PG_ZONE_MASK << PG_ZONE_SHIFT;
	/* What a stale mark of a free block would bring about is a merge with it. */
	set_page_flags(page + 4, PG_buddy);
	assert_broken("marked as the first of one");
	set_page_flags(page + 4, 0);
	atomic_store(&page[7]._refcount, 1);
	assert_broken("marked as the first of one");
	atomic_store(&page[7]._refcount, 0);
	set_page_flags(page, links | block_flags(PG_head, 2));
	assert_broken("the page is in no block");
	set_page_flags(page, 0);
	assert_broken("the page is in no block");
	set_page_flags(page, links | block_flags(PG_head, 15));
	assert_broken("impossible order");
	set_page_flags(page, (links ^ 2 << PG_ZONE_SHIFT) | block_flags(PG_head, 3));
	assert_broken("another zone's");
	set_page_flags(page, links | block_flags(PG_head, 3));
	check();
	__free_pages(page, 3);
	mm_down();
}

static void test_percpu_lists(void **state)
{
	struct page *page, *dma;
	struct zone *zone;

	(void)state;
	mm_up(SMALL);
	page = alloc_page(GFP_KERNEL);
	dma = alloc_page(GFP_DMA);
	zone = pfn_zone(page_to_pfn(page));
	check();
	/* A block that a refill has brought, and one that has been freed. */
	for (int freed = 0; freed < 2; freed++) {
		void *const *slot, *const *dma_slot;
		struct page *listed;
		uint64_t stamp;
		void *entry;

		if (freed)
			__free_page(alloc_page(GFP_KERNEL));
		entry = percpu_pop_slot(&zone->pcp[0], &slot);
		assert_non_null(entry);
		assert_int_equal(((uintptr_t)entry & PCP_FRESH) == 0, freed);
		listed = pcp_block(entry);
		stamp = page_state(listed);
		assert_broken("is on no list");
		assert_true(percpu_push(&zone->pcp[0], entry));
		check();
		set_page_flags(listed, freed ? PG_freed : PG_head);
		assert_broken("its descriptor says otherwise");
		atomic_store(&listed->state, stamp ^ (uint64_t)PG_pcp);
		assert_broken("its descriptor says otherwise");
		atomic_store(&listed->state, stamp);
		check();
		assert_true(percpu_push(&zone->pcp[0], dma));
		assert_broken("per-CPU list of another zone");
		assert_ptr_equal(percpu_pop_slot(&zone->pcp[0], &dma_slot), dma);
		/* The right block in the wrong slot. */
		entry = percpu_pop(&zone->pcp[0]);
		assert_true(percpu_push(&zone->pcp[0], entry));
		if (freed) {
			atomic_store(&listed->state,
				     percpu_stamp(dma_slot, zone_allocated(zone, 0)));
			assert_broken("its descriptor says otherwise");
			atomic_store(&listed->state, stamp);
		}
		check();
	}
	__free_page(dma);
	__free_page(page);
	mm_down();
}

static void test_rows(void **state)
{
	uint32_t links;
	struct page *page, *whole;
	struct zone *zone;
	struct rows *rows;

	(void)state;
	mm_up(MEMORY ",pcp=off,lower=rows");
	page = alloc_pages(GFP_KERNEL, 3);
	links = page_flags(page) & PG_ZONE_MASK << PG_ZONE_SHIFT;
	whole = alloc_pages(GFP_KERNEL, 9);
	zone = pfn_zone(page_to_pfn(page));
	rows = &zone->rows;
	check();
	atomic_fetch_xor(&rows->row[1], 1);
	assert_broken("used differs from the taken bits");
	atomic_fetch_xor(&rows->row[1], 1);
	atomic_fetch_xor(&rows->region[0].taken, 1);
	assert_broken("free by its region, but in use");
	atomic_fetch_xor(&rows->region[0].taken, 1);
	atomic_fetch_xor(&rows->state[0].used, GROUP_OPEN);
	assert_broken("impossible state of a group");
	atomic_fetch_xor(&rows->state[0].used, GROUP_OPEN);
	atomic_fetch_and(&rows->region[0].touched, ~(uint64_t)1);
	assert_broken("not marked as touched");
	atomic_fetch_or(&rows->region[0].touched, 1);
	for (unsigned int cpu = 0; cpu < os_nr_cpus(); cpu++) {
		for (unsigned int own = 0; own < NR_OWN_GROUPS; own++)
			atomic_store(rows_current(rows, cpu, own), 0);
	}
	assert_broken("neither open nor any CPU's own");
	rows_note_open(rows, 0, false);
	zone->below_low = !zone->below_low;
	assert_broken("below_low differs");
	zone->below_low = !zone->below_low;
	atomic_fetch_add(&zone->free_pages, 1);
	assert_broken("free_pages differs from the rows");
	atomic_fetch_sub(&zone->free_pages, 1);
	set_page_flags(page, 0);
	assert_broken("the page is in no block");
	set_page_flags(page, links | block_flags(PG_head, 4));
	assert_broken("inside a block, but free");
	set_page_flags(page, links | block_flags(PG_head, 3));
	atomic_store(&page[7]._refcount, 1);
	assert_broken("marked as the first of one");
	atomic_store(&page[7]._refcount, 0);
	atomic_fetch_or(&rows->row[(page_to_pfn(whole) - zone->start_pfn) / ROW_PAGES],
			1);
	assert_broken("taken whole and in parts");
	atomic_fetch_and(&rows->row[(page_to_pfn(whole) - zone->start_pfn) / ROW_PAGES],
			 ~(uint64_t)1);
	check();
	__free_pages(whole, 9);
	__free_pages(page, 3);
	mm_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_free_lists),
		cmocka_unit_test(test_numa_counters),
		cmocka_unit_test(test_forgotten_merge),
		cmocka_unit_test(test_blocks),
		cmocka_unit_test(test_percpu_lists),
		cmocka_unit_test(test_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
