/* SPDX-License-Identifier: MIT */
/* The inlined hit paths of the page allocator; theory: page_alloc.c, page_free.c. */
#ifndef KMEM_PAGE_ALLOC_FAST_H
#define KMEM_PAGE_ALLOC_FAST_H

#include "allocators/buddy/buddy_internal.h"

/*
 * A block of this CPU's list in the preferred zone, or NULL. *stale: one that was on it,
 * but is not free any more, to be reported. lockless: a constant.
 */
static KMEM_ALWAYS_INLINE struct page *pop_preferred(unsigned int nid, gfp_t gfp,
						     unsigned int order, bool lockless,
						     struct page **stale)
{
	struct zone *zone = buddy.preferred[nid][(gfp & __GFP_HIGHMEM) != 0];
	uint64_t allocated;
	struct page *page;
	void *const *slot;
	void *entry;
	bool valid;

	if (KMEM_UNLIKELY(atomic_load_explicit(&zone->below_low, memory_order_relaxed)))
		return NULL;
	entry = lockless ? percpu_try_pop_slot(&zone->pcp[order], &slot)
			 : percpu_pop_slot(&zone->pcp[order], &slot);
	if (KMEM_UNLIKELY(entry == NULL))
		return NULL;
	allocated = zone_allocated(zone, order);
	/* As pcp_entry_valid(), which would find out about the mark twice. */
	if (((uintptr_t)entry & PCP_FRESH) != 0) {
		page = pcp_block(entry);
		valid = pcp_fresh_valid(page);
	} else {
		page = entry;
		valid = page_state(page) == percpu_stamp(slot, allocated);
	}
	if (KMEM_UNLIKELY(!valid)) {
		*stale = page;
		return NULL;
	}
	prep_new_block(zone, page, order);
	if (page == NULL)
		__builtin_unreachable(); /* callers need no second test */
	return page;
}

/* alloc_pages() for a hit; NULL: everything else, with *stale for alloc_pages_miss(). */
static KMEM_ALWAYS_INLINE struct page *alloc_pages_hit(gfp_t gfp, unsigned int order,
						       struct page **stale)
{
	*stale = NULL;
	if (KMEM_UNLIKELY((gfp & ~buddy.hit_mask) != 0 || order >= buddy.pcp_orders))
		return NULL;
	return pop_preferred(phys_cpu_node[os_cpu_id_lockless()], gfp, order, true,
			     stale);
}

/* alloc_pages_node() when there was no hit. */
struct page *alloc_pages_miss(int nid, gfp_t gfp, unsigned int order,
			      const struct page *stale);

/* It lies in mem_map, at a multiple of a descriptor's size. */
static KMEM_ALWAYS_INLINE bool page_valid(const struct page *page)
{
	size_t offset = (size_t)((const char *)page - (const char *)buddy.mem_map);

	/* Rotated, low bits of a misaligned pointer become high ones. */
	return (offset >> 5 | offset << 59) < buddy.nr_frames;
}
_Static_assert(sizeof(struct page) == 1 << 5, "page_valid() shifts by this");

static KMEM_ALWAYS_INLINE bool page_is_mapped(const struct page *page)
{
	return atomic_load_explicit(&page->_mapcount, memory_order_relaxed) != 0;
}

/*
 * __free_pages() for a hit: the block of a zone is allocated with this order, from this
 * zone, held once, mapped nowhere, and there is room on this CPU's list. An impossible
 * order matches nothing. False: everything else, with *left, 0 before, for
 * free_pages_slow().
 */
static KMEM_ALWAYS_INLINE bool free_pages_hit(unsigned int id, struct page *page,
					      unsigned int order, uint64_t *left)
{
	const struct zone *zone = &buddy_zones[id];

	/* free_orders: none where the page's group has to be looked at first. */
	return KMEM_LIKELY(!page_is_mapped(page) && order < buddy.free_orders) &&
	       KMEM_LIKELY(percpu_try_push_stamped(&zone->pcp[order], page,
						   zone_allocated(zone, order), left));
}

/* __free_pages() when there was no hit. */
void free_pages_slow(struct page *page, unsigned int order, uint64_t left);

#endif /* KMEM_PAGE_ALLOC_FAST_H */
