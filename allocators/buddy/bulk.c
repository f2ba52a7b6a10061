/* SPDX-License-Identifier: MIT */
/* Many blocks at a time: one round of the per-CPU list, one of the zone lock. */
#include "allocators/buddy/page_alloc_fast.h"

#include <kmem/error.h>

/* Pages that one round takes or frees under the zone lock: bounds the time that
 * others wait for it to some 10 us. */
#define BULK_ROUND 512

static size_t zero_blocks(struct page **pages, size_t n, unsigned int order)
{
	for (size_t i = 0; i < n; i++) {
		unsigned long pfn = (unsigned long)(pages[i] - buddy.mem_map);

		if (phys_zero_frames(pfn, 1UL << order) != 0) {
			buddy_free_bulk(order, n - i, pages + i);
			return i;
		}
	}
	return n;
}

/* The preferred zone's part: what this CPU's list has, then the zone itself. */
static size_t take_preferred(struct zone *zone, int nid, unsigned int order, size_t n,
			     struct page **pages)
{
	size_t got = 0;

	if (zone_has_list(zone, order) && zone_free_pages(zone) > zone->pages_low)
		got = pcp_pop_batch(zone, order, n, pages);
	while (got < n) {
		size_t round = n - got < BULK_ROUND ? n - got : BULK_ROUND;
		size_t taken = take_unused(zone, order, zone->pages_low, round,
					   pages + got);

		if (taken == 0)
			break;
		count_served(zone, nid, taken << order);
		got += taken;
	}
	for (size_t i = 0; i < got; i++)
		prep_new_block(zone, pages[i], order);
	return got;
}

size_t buddy_alloc_bulk(int nid, gfp_t gfp, unsigned int order, size_t n,
			struct page **pages)
{
	gfp_t each = gfp & ~__GFP_ZERO;
	size_t got = 0;
	struct zone *zone;

	if (alloc_check(nid, gfp, order) != 0)
		return 0;
	if (nid == NUMA_NO_NODE)
		nid = numa_node_id();
	zone = buddy.preferred[nid][(gfp & __GFP_HIGHMEM) != 0];
	if ((gfp & buddy.miss_mask & ~__GFP_THISNODE) == 0 && zone->nid == nid)
		got = take_preferred(zone, nid, order, n, pages);
	while (got < n) {
		pages[got] = alloc_pages_node(nid, each, order);
		if (pages[got] == NULL)
			break;
		got++;
	}
	return (gfp & __GFP_ZERO) != 0 ? zero_blocks(pages, got, order) : got;
}

/* Descriptors are fetched so many blocks ahead: a processor sees some five frees at once
 * by itself. */
#define AHEAD 16

/* On its way onto this CPU's list, one by one; false: there is none for it. */
static bool free_listed(struct page *page, unsigned int order)
{
	unsigned long pfn = page_pfn(page);
	uint64_t left = 0;

	/* Not a frame: free_prepare() reports it. */
	if (KMEM_UNLIKELY(pfn >= buddy.nr_frames) || order >= buddy.pcp_orders ||
	    !zone_has_list(pfn_zone(pfn), order))
		return false;
	if (!free_may_hit(pfn, page, order) || !free_pages_hit(pfn, page, order, &left))
		free_pages_slow(page, order, left);
	return true;
}

void buddy_free_bulk(unsigned int order, size_t n, struct page **pages)
{
	struct page *round[BULK_ROUND];
	struct zone *zone = NULL;
	size_t held = 0;

	for (size_t i = 0; i < n; i++) {
		struct zone *of;

		__builtin_prefetch(pages[i + AHEAD < n ? i + AHEAD : i], 1);
		if (free_listed(pages[i], order) || !free_prepare(pages[i], order))
			continue;
		of = pfn_zone((unsigned long)(pages[i] - buddy.mem_map));
		if (held != 0 && (of != zone || held == BULK_ROUND)) {
			zone_free_blocks(zone, order, held, round);
			held = 0;
		}
		zone = of;
		round[held++] = pages[i];
	}
	if (held != 0)
		zone_free_blocks(zone, order, held, round);
}

size_t alloc_pages_bulk(gfp_t gfp, size_t n, struct page **pages)
{
	return buddy_alloc_bulk(NUMA_NO_NODE, gfp, 0, n, pages);
}

void free_pages_bulk(size_t n, struct page **pages)
{
	buddy_free_bulk(0, n, pages);
}
