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

/* Of claim_block(): the block is ours; it is not allocated like this; nothing done, for
 * the gate is in the way; swapped, but the mode has changed about it. */
enum claim { CLAIMED, CLAIM_DIFFERS, CLAIM_ELSEWHERE, CLAIM_DOUBTFUL };

#if OS_PERCPU_RSEQ
/*
 * A sequence that looks at the mode of the gate (who changes it has them all restarted)
 * and ends in the store that claims. A thread without a CPU number, -1 or -2, fits no
 * mode.
 */
static KMEM_ALWAYS_INLINE enum claim claim_alone(struct page *page, uint64_t allocated,
						 uint64_t freed)
{
	switch (rseq_change_alone(&page->state, allocated, freed, &rows_mode,
				  ROWS_MODE_ALONE)) {
	case 0: return CLAIMED;
	case 1: return CLAIM_DIFFERS;
	default: return CLAIM_ELSEWHERE;
	}
}
#endif

static KMEM_ALWAYS_INLINE bool gate_open_to_all(void)
{
	return KMEM_LIKELY(atomic_load_explicit(&rows_mode, memory_order_relaxed) ==
			   ROWS_MODE_SHARED);
}

/*
 * Who is alone on its CPU (rows_gate.c) needs no locked instruction to decide: another
 * thread there would have restarted the sequence. One elsewhere swaps, and looks at the
 * mode after that: if it was open to all until then, nobody has been between look and
 * store.
 */
static KMEM_ALWAYS_INLINE enum claim try_claim(unsigned int id, struct page *page,
					       unsigned int order)
{
	uint64_t allocated = allocated_state(id, order);

#if OS_PERCPU_RSEQ
	if (!gate_open_to_all())
		return claim_alone(page, allocated, freed_state(order) | PG_alone);
	if (!atomic_compare_exchange_strong(&page->state, &allocated, freed_state(order)))
		return CLAIM_DIFFERS;
	return gate_open_to_all() ? CLAIMED : CLAIM_DOUBTFUL;
#else
	return atomic_compare_exchange_strong(&page->state, &allocated,
					      freed_state(order))
		       ? CLAIMED
		       : CLAIM_DIFFERS;
#endif
}

/* The rest of claim_block(): CLAIM_ELSEWHERE and CLAIM_DOUBTFUL. */
bool __claim_block(unsigned int id, struct page *page, unsigned int order,
		   enum claim claim);

/*
 * Decides who ends the life of a block of a zone: of two callers one. False, and nothing
 * done: it is not allocated with this order, from this zone, and held once. An impossible
 * order matches no state.
 */
static KMEM_ALWAYS_INLINE bool claim_block(unsigned int id, struct page *page,
					   unsigned int order)
{
	enum claim claim = try_claim(id, page, order);

	if (KMEM_LIKELY(claim <= CLAIM_DIFFERS))
		return claim == CLAIMED;
	return __claim_block(id, page, order, claim);
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
