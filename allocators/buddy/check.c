/* SPDX-License-Identifier: MIT */
/* Walks every invariant of a quiescent allocator. */
#include "allocators/buddy/rows_internal.h"

#include <errno.h>
#include <kmem/error.h>

static int broken(const struct zone *zone, unsigned long pfn, const char *what)
{
	return kmem_error(-EFAULT, "buddy: node %d zone %d pfn %lu: %s", zone->nid,
			  zone->type, pfn, what);
}

static bool in_used_part(const struct zone *zone, unsigned long pfn)
{
	return pfn >= zone->start_pfn && pfn < zone->fresh_pfn;
}

static int check_free_block(const struct zone *zone, const struct page *page,
			    const struct page *prev, unsigned int order)
{
	unsigned long pfn = (unsigned long)(page - buddy.mem_map);

	if (!in_used_part(zone, pfn))
		return broken(zone, pfn,
			      "on the free list of a zone that it is not part of");
	if (page_flags(page) != block_flags(PG_buddy, order))
		return broken(zone, pfn,
			      "on a free list, but its descriptor says otherwise");
	if (page->lru.prev != prev)
		return broken(zone, pfn, "its link back does not match the list");
	if ((pfn & ((1UL << order) - 1)) != 0)
		return broken(zone, pfn, "a free block is not naturally aligned");
	if (order < MAX_ORDER - 1) {
		const struct page *other = buddy.mem_map + (pfn ^ (1UL << order));

		if (page_flags(other) == block_flags(PG_buddy, order))
			return broken(zone, pfn, "the block and its buddy are both free");
	}
	return 0;
}

/* Each list in itself, and its length against nr_free. */
static int check_lists(const struct zone *zone)
{
	unsigned long free = 0;

	for (unsigned int order = 0; order < MAX_ORDER; order++) {
		const struct free_area *area = &zone->free_area[order];
		const struct page *prev = NULL;
		unsigned long count = 0;

		for (const struct page *page = area->first; page != NULL;
		     page = page->lru.next) {
			int err = check_free_block(zone, page, prev, order);

			if (err != 0)
				return err;
			prev = page;
			count++;
		}
		if (order == MAX_ORDER - 1)
			count += (zone->end_pfn - zone->fresh_pfn) >> order;
		if (count != area->nr_free)
			return broken(zone, zone->start_pfn,
				      "nr_free differs from the list");
		free += count << order;
	}
	if (free != zone_free_pages(zone))
		return broken(zone, zone->start_pfn, "free_pages differs from the lists");
	if (atomic_load(&zone->below_low) != (free <= zone->pages_low))
		return broken(zone, zone->start_pfn, "below_low differs from free_pages");
	return 0;
}

struct list_walk {
	const struct zone *zone;
	unsigned int order;
	unsigned long pages;
	int err;
};

static void check_list_entry(void *entry, void *const *slot, void *arg)
{
	struct page *page = pcp_block(entry);
	struct list_walk *walk = arg;
	unsigned long pfn = (unsigned long)(page - buddy.mem_map);

	if (walk->err != 0)
		return;
	if (pfn >= buddy.nr_frames || pfn_zone(pfn) != walk->zone)
		walk->err = broken(walk->zone, pfn, "on a per-CPU list of another zone");
	else if (!pcp_entry_valid(entry, slot, zone_allocated(walk->zone, walk->order)))
		walk->err =
			broken(walk->zone, pfn,
			       "on a per-CPU list, but its descriptor says otherwise");
	else if (((uintptr_t)entry & PCP_FRESH) != 0)
		/* A refill touches no descriptor: marked for the walk that follows. */
		set_page_flags(page, block_flags(PG_freed, walk->order));
	walk->pages += 1UL << walk->order;
}

/* Only a block's first page says what it is: a mark on another would join blocks that
 * are in use. The slab allocator marks each of its pages. */
static int check_inner_pages(const struct zone *zone, unsigned long pfn,
			     unsigned long pages)
{
	for (unsigned long i = 1; i < pages; i++) {
		const struct page *page = buddy.mem_map + pfn + i;

		/* Rows leave on a free page what it was last. */
		if ((page_flags(page) & (buddy.rows ? PG_head : PG_head | PG_buddy)) !=
			    0 ||
		    atomic_load(&page->_refcount) != 0)
			return broken(zone, pfn + i,
				      "inside a block, but marked as the first of one");
	}
	return 0;
}

/* Pages from pfn on that are free by the rows, and say nothing else; 0: not free. */
static unsigned long free_by_rows(const struct zone *zone, unsigned long pfn, int *err)
{
	unsigned int g = (unsigned int)((pfn - zone->start_pfn) >> GROUP_ORDER);

	if (!buddy.rows || !rows_page_free(zone, pfn))
		return 0;
	if (rows_group_free(&zone->rows, g))
		return GROUP_PAGES; /* its descriptors may never have been touched */
	if ((page_flags(buddy.mem_map + pfn) & PG_head) != 0)
		*err = broken(zone, pfn, "free, but its descriptor says otherwise");
	return 1;
}

/* The block that starts at pfn and is not free by the rows: 0, and its length. */
static int check_block(const struct zone *zone, unsigned long pfn, unsigned long *pages)
{
	const struct page *page = buddy.mem_map + pfn;
	uint32_t flags = page_flags(page);
	bool used = (flags & PG_head) != 0;

	*pages = 1UL << flags_order(flags);
	if (flags_order(flags) >= MAX_ORDER || (pfn & (*pages - 1)) != 0)
		return broken(zone, pfn, "a block of impossible order starts there");
	if (!used && (flags & (PG_pcp | PG_freed)) == 0 &&
	    ((flags & PG_buddy) == 0 || buddy.rows))
		return broken(zone, pfn, "the page is in no block");
	/* On a list the count is part of the stamp, which has been looked at. */
	if ((flags & PG_pcp) == 0 && used != (atomic_load(&page->_refcount) > 0))
		return broken(zone, pfn,
			      "reference count and flags contradict each other");
	if (used && (flags >> PG_ZONE_SHIFT & PG_ZONE_MASK) != zone_id(zone))
		return broken(zone, pfn, "its flags say that it is another zone's");
	if (pfn + *pages > zone->end_pfn)
		return broken(zone, pfn, "a block goes beyond its zone");
	for (unsigned long i = 1; buddy.rows && i < *pages; i++) {
		if (rows_page_free(zone, pfn + i))
			return broken(zone, pfn + i, "inside a block, but free");
	}
	return check_inner_pages(zone, pfn, *pages);
}

/* Goes through the zone block by block: each page is part of exactly one. */
static int check_blocks(const struct zone *zone, unsigned long listed)
{
	unsigned long end = buddy.rows ? zone->end_pfn : zone->fresh_pfn;
	unsigned long pfn = zone->start_pfn, pcp = 0, free = zone->end_pfn - end;

	while (pfn < end) {
		uint32_t flags = page_flags(buddy.mem_map + pfn);
		int err = 0;
		unsigned long pages = free_by_rows(zone, pfn, &err);

		if (pages != 0) {
			free += pages;
		} else {
			err = check_block(zone, pfn, &pages);
			if ((flags & (PG_pcp | PG_freed)) != 0)
				pcp += pages;
			if ((flags & PG_buddy) != 0)
				free += pages;
		}
		if (err != 0)
			return err;
		pfn += pages;
	}
	if (free != zone_free_pages_quiescent(zone))
		return broken(zone, zone->start_pfn, "free blocks and free_pages differ");
	if (pcp != listed)
		return broken(zone, zone->start_pfn,
			      "a block marked PG_pcp is on no list");
	return 0;
}

static int check_zone(const struct zone *zone)
{
	struct list_walk walk = {.zone = zone};
	int err = buddy.rows ? rows_check(zone) : check_lists(zone);

	for (unsigned int kind = 0; err == 0 && kind < buddy.pcp_kinds; kind++) {
		if (!zone_has_list(zone, kind))
			continue;
		walk.order = kind_order(kind);
		percpu_walk_slots(&zone->pcp[kind], check_list_entry, &walk);
		err = walk.err;
	}
	return err != 0 ? err : check_blocks(zone, walk.pages);
}

/* A page that one node was asked for and another one gave is counted on both, and every
 * page is local or not; in a child, unless another thread was about to count. */
static int check_numa(void)
{
	unsigned long long miss, foreign;
	struct buddy_stats s;

	buddy_stats(NUMA_NO_NODE, MAX_NR_ZONES, &s);
	miss = s.numa[NUMA_MISS];
	foreign = s.numa[NUMA_FOREIGN];
	if (buddy.forked)
		return 0;
	if (miss == foreign &&
	    s.numa[NUMA_HIT] + miss == s.numa[NUMA_LOCAL] + s.numa[NUMA_OTHER])
		return 0;
	return kmem_error(-EFAULT,
			  "numa_miss of all nodes is %llu, numa_foreign %llu, "
			  "numa_hit %llu, local_node %llu, other_node %llu",
			  miss, foreign, (unsigned long long)s.numa[NUMA_HIT],
			  (unsigned long long)s.numa[NUMA_LOCAL],
			  (unsigned long long)s.numa[NUMA_OTHER]);
}

int buddy_check(void)
{
	for_each_zone (zone) {
		int err = zone_present(zone) ? check_zone(zone) : 0;

		if (err != 0)
			return err;
	}
	return check_numa();
}
