/* SPDX-License-Identifier: MIT */
/* The inlined hit paths of the page allocator; theory: page_alloc.c, page_free.c. */
#ifndef KMEM_PAGE_ALLOC_FAST_H
#define KMEM_PAGE_ALLOC_FAST_H

#include "allocators/buddy/buddy_internal.h"

/* What a hit reads of a zone; order below NR_SLOTS. */
struct zone_row {
	const struct percpu_stacks *pcp;
	const struct percpu_from *allocated;
};

/* The first zone. Here and below compilers are kept from folding offsets into addresses
 * and from taking sums apart again, which costs registers that a hit has not. */
static KMEM_ALWAYS_INLINE const uint64_t *zones_base(void)
{
	const uint64_t *base = (const uint64_t *)buddy_zones;

	__asm__("" : "+r"(base));
	return base;
}

/* words: zone_words(). */
static KMEM_ALWAYS_INLINE struct zone_row zone_row(const uint64_t *base, uint32_t words,
						   unsigned int order)
{
	const uint64_t *at = base +
			     (words + order * (uint32_t)(ROW_BYTES / sizeof(*base)));

	__asm__("" : "+r"(at));
	return (struct zone_row){
		.pcp = (const void *)(at + offsetof(struct zone, pcp) / sizeof(*at)),
		.allocated = (const void *)(at + offsetof(struct zone, allocated) /
							 sizeof(*at))};
}

static KMEM_ALWAYS_INLINE bool zone_below_low(const uint64_t *base, uint32_t words)
{
	const struct zone *zone = (const void *)(base + words);

	return atomic_load_explicit(&zone->below_low, memory_order_relaxed);
}

/*
 * A block of this CPU's list of the zone (zone_words()), or NULL; order below NR_SLOTS.
 * *stale: one that was on it, but is not free any more, to be reported. lockless: a
 * constant.
 */
static KMEM_ALWAYS_INLINE struct page *pop_preferred(uint32_t words, unsigned int order,
						     bool lockless, struct page **stale)
{
	const uint64_t *base = zones_base();
	struct zone_row row = zone_row(base, words, order);
	struct page *page;
	void *const *slot;
	void *entry;
	bool valid;

	if (KMEM_UNLIKELY(zone_below_low(base, words)))
		return NULL;
	entry = lockless ? percpu_try_pop_slot(row.pcp, &slot)
			 : percpu_pop_slot(row.pcp, &slot);
	if (KMEM_UNLIKELY(entry == NULL))
		return NULL;
	/* As pcp_entry_valid(), which would find out about the mark twice. */
	if (((uintptr_t)entry & PCP_FRESH) != 0) {
		page = pcp_block(entry);
		valid = pcp_fresh_valid(page);
	} else {
		page = entry;
		valid = page_state(page) == percpu_slot_stamp(slot, row.allocated);
	}
	if (KMEM_UNLIKELY(!valid)) {
		*stale = page;
		return NULL;
	}
	atomic_store_explicit(&page->state, row.allocated->state, memory_order_relaxed);
	if (page == NULL)
		__builtin_unreachable(); /* callers need no second test */
	return page;
}

/* The zone for requests from this CPU; the flag, 2, is used as it is. */
static KMEM_ALWAYS_INLINE uint32_t cpu_zone(unsigned int cpu, gfp_t gfp)
{
	size_t i = 4 * cpu + (gfp & __GFP_HIGHMEM);

	__asm__("" : "+r"(i));
	return *(const uint32_t *)(const void *)((const uint16_t *)(const void *)
							 buddy_cpu_zone +
						 i);
}
_Static_assert(sizeof(buddy_cpu_zone[0]) == 4 * sizeof(uint16_t),
	       "cpu_zone() takes the flag for 4 bytes, counted in twos");

/* alloc_pages() for a hit; NULL: everything else, with *stale for alloc_pages_miss(). */
static KMEM_ALWAYS_INLINE struct page *alloc_pages_hit(gfp_t gfp, unsigned int order,
						       struct page **stale)
{
	*stale = NULL;
	if (KMEM_UNLIKELY((gfp & buddy.miss_mask) != 0 || order >= NR_SLOTS))
		return NULL;
	return pop_preferred(cpu_zone(os_cpu_id_lockless(), gfp), order, true, stale);
}

/* alloc_pages_node() when there was no hit. */
struct page *alloc_pages_miss(int nid, gfp_t gfp, unsigned int order,
			      const struct page *stale);

/* The number of its frame; beyond every frame, if it is not in mem_map or not at a
 * multiple of a descriptor's size. */
static KMEM_ALWAYS_INLINE unsigned long page_pfn(const struct page *page)
{
	size_t offset = (size_t)((const char *)page - (const char *)buddy.mem_map);

	/* Rotated, low bits of a misaligned pointer become high ones. */
	return offset >> 5 | offset << 59;
}
_Static_assert(sizeof(struct page) == 1 << 5, "page_pfn() shifts by this");

static KMEM_ALWAYS_INLINE bool page_valid(const struct page *page)
{
	return page_pfn(page) < buddy.nr_frames;
}

/* Of a frame of the direct map. */
static KMEM_ALWAYS_INLINE void *direct_address(const struct page *page)
{
	size_t offset = (size_t)((const char *)page - (const char *)buddy.mem_map);

	return buddy.direct_base + offset * (PAGE_SIZE / sizeof(*page));
}

static KMEM_ALWAYS_INLINE bool page_is_mapped(const struct page *page)
{
	return atomic_load_explicit(&page->_mapcount, memory_order_relaxed) != 0;
}

/* The block can be a hit: it is mapped nowhere, and the order may be one. */
static KMEM_ALWAYS_INLINE bool free_may_hit(unsigned long pfn, const struct page *page,
					    unsigned int order)
{
	return KMEM_LIKELY(pfn < buddy.hit_frames) &&
	       KMEM_LIKELY(!page_is_mapped(page) && order < NR_SLOTS);
}

/*
 * __free_pages() for a hit, where there may be one: the block of the frame is allocated
 * with this order, from the frame's zone, held once, and there is room on this CPU's
 * list. False: everything else, with *left for free_pages_slow().
 */
static KMEM_ALWAYS_INLINE bool free_pages_hit(unsigned long pfn, struct page *page,
					      unsigned int order, uint64_t *left)
{
	struct zone_row row = zone_row(zones_base(), zone_words(pfn_zone_id(pfn)), order);

	return KMEM_LIKELY(percpu_try_push_stamped(row.pcp, page, row.allocated, left));
}

/* __free_pages() when there was no hit. */
void free_pages_slow(struct page *page, unsigned int order, uint64_t left);

#endif /* KMEM_PAGE_ALLOC_FAST_H */
