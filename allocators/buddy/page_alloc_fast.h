/* SPDX-License-Identifier: MIT */
/* The inlined hit paths of the page allocator; theory: page_alloc.c. */
#ifndef KMEM_PAGE_ALLOC_FAST_H
#define KMEM_PAGE_ALLOC_FAST_H

#include "allocators/buddy/buddy_internal.h"

/* A block of this CPU's list in the preferred zone, or NULL. lockless: a constant. */
static KMEM_ALWAYS_INLINE struct page *pop_preferred(unsigned int nid, gfp_t gfp,
						     unsigned int order, bool lockless)
{
	struct zone *zone = buddy.preferred[nid][(gfp & __GFP_HIGHMEM) != 0];
	struct page *page;

	if (KMEM_UNLIKELY(atomic_load_explicit(&zone->below_low, memory_order_relaxed)))
		return NULL;
	page = lockless ? percpu_try_pop(&zone->pcp[order])
			: percpu_pop(&zone->pcp[order]);
	if (KMEM_LIKELY(page != NULL))
		prep_new_block(zone, page, order);
	return page;
}

/* alloc_pages() for a hit; NULL: everything else. */
static KMEM_ALWAYS_INLINE struct page *alloc_pages_hit(gfp_t gfp, unsigned int order)
{
	if (KMEM_UNLIKELY((gfp & ~buddy.hit_mask) != 0 || order >= buddy.pcp_orders))
		return NULL;
	return pop_preferred(phys_cpu_node[os_cpu_id_lockless()], gfp, order, true);
}

/*
 * Decides who ends the life of a block of a zone: of two callers one. False, and nothing
 * done: it is not allocated with this order, from this zone, and held once. An impossible
 * order matches no state.
 */
static KMEM_ALWAYS_INLINE bool claim_block(unsigned int id, struct page *page,
					   unsigned int order)
{
	uint64_t allocated = allocated_state(id, order);

	return KMEM_LIKELY(atomic_compare_exchange_strong(&page->state, &allocated,
							  freed_state(order)));
}

/* What claim_block() has left open, and the way onto a list: false, and nothing done
 * but the claim: for __free_claimed(). */
static KMEM_ALWAYS_INLINE bool free_claimed_hit(unsigned int id, struct page *page,
						unsigned int order)
{
	const struct zone *zone = &buddy_zones[id];

	/* free_orders: none where the page's group has to be looked at first. */
	return KMEM_LIKELY(
		atomic_load_explicit(&page->_mapcount, memory_order_relaxed) == 0 &&
		order < buddy.free_orders && percpu_try_push(&zone->pcp[order], page));
}

/* The rest of free for a block that is the caller's by claim_block(). */
void __free_claimed(struct page *page, unsigned int order);

#endif /* KMEM_PAGE_ALLOC_FAST_H */
