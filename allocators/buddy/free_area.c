/* SPDX-License-Identifier: MIT */
/*
 * The buddy system proper: free lists per order, splitting and merging.
 *
 * A block of order k starts at a pfn that is a multiple of 2^k; its buddy is the
 * one whose pfn differs in bit k. Zones begin and end at multiples of the
 * largest block, so a buddy always lies in the same zone.
 *
 * Locking: all of it runs under zone->lock, which nests inside nothing.
 */
#include "allocators/buddy/buddy_internal.h"

#define TOP_ORDER (MAX_ORDER - 1)

static void add_free(struct zone *zone, struct page *page, unsigned int order)
{
	struct free_area *area = &zone->free_area[order];

	page->lru.prev = NULL;
	page->lru.next = area->first;
	if (area->first != NULL)
		area->first->lru.prev = page;
	area->first = page;
	area->nr_free++;
	set_page_flags(page, block_flags(PG_buddy, order));
}

static void del_free(struct zone *zone, struct page *page, unsigned int order)
{
	struct free_area *area = &zone->free_area[order];

	if (page->lru.prev != NULL)
		page->lru.prev->lru.next = page->lru.next;
	else
		area->first = page->lru.next;
	if (page->lru.next != NULL)
		page->lru.next->lru.prev = page->lru.prev;
	area->nr_free--;
	set_page_flags(page, 0);
}

static void set_free_pages(struct zone *zone, unsigned long pages)
{
	atomic_store_explicit(&zone->free_pages, pages, memory_order_relaxed);
	zone_note_free(zone);
}

/* The smallest free block of at least this order, off its list; NULL: none. */
static struct page *take_smallest(struct zone *zone, unsigned int order,
				  unsigned int *found)
{
	for (*found = order; *found < MAX_ORDER; (*found)++) {
		struct page *page = zone->free_area[*found].first;

		if (page == NULL)
			continue;
		del_free(zone, page, *found);
		return page;
	}
	if (zone->fresh_pfn == zone->end_pfn)
		return NULL;
	*found = TOP_ORDER;
	zone->fresh_pfn += MAX_ORDER_NR_PAGES;
	zone->free_area[TOP_ORDER].nr_free--;
	return buddy.mem_map + zone->fresh_pfn - MAX_ORDER_NR_PAGES;
}

/*
 * Gives back what lies behind the first `used` pages of a block: the largest
 * aligned blocks that fit, from there to the end. With `used` = 2^order this is
 * the kernel's expand().
 */
static void expand(struct zone *zone, struct page *page, unsigned int order,
		   unsigned long used)
{
	unsigned long end = 1UL << order;

	while (used < end) {
		unsigned int piece = (unsigned int)__builtin_ctzl(used);

		add_free(zone, page + used, piece);
		used += 1UL << piece;
	}
}

/*
 * A batch is carved out of as few blocks as possible, in one go: a refill of 64
 * pages from one large block costs one list operation, not 64 splits.
 */
size_t area_take_blocks(struct zone *zone, unsigned int order, unsigned long mark,
			size_t n, struct page **out)
{
	unsigned long free;
	size_t got = 0, allowed;

	spin_lock(&zone->lock);
	free = zone_free_pages(zone);
	allowed = free > mark ? (free - mark) >> order : 0;
	if (n > allowed)
		n = allowed;
	while (got < n) {
		unsigned int found;
		struct page *page = take_smallest(zone, order, &found);
		size_t count;

		if (page == NULL)
			break;
		count = 1UL << (found - order);
		if (count > n - got)
			count = n - got;
		for (size_t i = 0; i < count; i++)
			out[got++] = page + (i << order);
		expand(zone, page, found, count << order);
	}
	if (got != 0)
		set_free_pages(zone, free - (got << order));
	spin_unlock(&zone->lock);
	return got;
}

static void free_one_block(struct zone *zone, struct page *page, unsigned int order)
{
	unsigned long pfn = (unsigned long)(page - buddy.mem_map);

	set_page_flags(page, 0);
	while (order < TOP_ORDER) {
		struct page *other = buddy.mem_map + (pfn ^ (1UL << order));

		if (page_flags(other) != block_flags(PG_buddy, order))
			break;
		del_free(zone, other, order);
		pfn &= ~(1UL << order);
		order++;
	}
	add_free(zone, buddy.mem_map + pfn, order);
}

void area_free_blocks(struct zone *zone, unsigned int order, size_t n,
		      struct page **blocks)
{
	spin_lock(&zone->lock);
	for (size_t i = 0; i < n; i++)
		free_one_block(zone, blocks[i], order);
	set_free_pages(zone, zone_free_pages(zone) + (n << order));
	spin_unlock(&zone->lock);
}

void area_init_free(struct zone *zone)
{
	unsigned long pages = zone->end_pfn - zone->start_pfn;

	spin_lock(&zone->lock);
	zone->fresh_pfn = zone->start_pfn;
	zone->free_area[TOP_ORDER].nr_free = pages >> TOP_ORDER;
	set_free_pages(zone, pages);
	spin_unlock(&zone->lock);
}

bool area_page_free(struct zone *zone, unsigned long pfn)
{
	bool found = false;

	spin_lock(&zone->lock);
	for (unsigned int order = 0; order < MAX_ORDER && !found; order++) {
		struct page *head = buddy.mem_map + KMEM_ALIGN_DOWN(pfn, 1UL << order);

		found = (page_flags(head) & PG_buddy) != 0 &&
			flags_order(page_flags(head)) >= order;
	}
	spin_unlock(&zone->lock);
	return found || pfn >= zone->fresh_pfn;
}

unsigned long area_trim(struct zone *zone)
{
	unsigned long pages = 0;

	spin_lock(&zone->lock);
	for (unsigned int order = TRIM_ORDER_MIN; order < MAX_ORDER; order++) {
		for (struct page *page = zone->free_area[order].first; page != NULL;
		     page = page->lru.next) {
			unsigned long pfn = (unsigned long)(page - buddy.mem_map);

			if (phys_discard_frames(pfn, 1UL << order) == 0)
				pages += 1UL << order;
		}
	}
	spin_unlock(&zone->lock);
	return pages;
}
