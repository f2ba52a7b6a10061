/* SPDX-License-Identifier: MIT */
/* Structures and inner functions of the page allocator; theory: page_alloc.c. */
#ifndef KMEM_BUDDY_INTERNAL_H
#define KMEM_BUDDY_INTERNAL_H

#include "allocators/os/percpu_fast.h"
#include "allocators/os/spinlock.h"
#include "allocators/phys/phys_internal.h"

#include <kmem/page_alloc.h>

/* Free blocks of one order; the newest is first, so that it is used first. */
struct free_area {
	struct page *first;
	unsigned long nr_free; /* of order MAX_ORDER - 1: with the untouched blocks */
};

struct zone {
	/* --- read-only after buddy_init(), but for below_low --- */
	_Atomic bool below_low; /* free_pages <= pages_low; written under lock, when it
				   changes */
	uint8_t nid;
	uint8_t type;			     /* enum zone_type */
	struct percpu_stacks pcp[MAX_ORDER]; /* orders below buddy.pcp_orders */
	uint16_t pcp_batch[MAX_ORDER];	     /* blocks moved at a time */
	unsigned long start_pfn, end_pfn;
	unsigned long pages_min, pages_low, pages_high;

	/* --- under lock; free_pages is read without it --- */
	struct kmem_spinlock lock;
	_Atomic unsigned long free_pages;
	/* Whole largest blocks from here to end_pfn have never been used: they are
	 * free, but their descriptors are still untouched and on no list. */
	unsigned long fresh_pfn;
	struct free_area free_area[MAX_ORDER];

	/* --- statistics: relaxed, off the hit path --- */
	_Atomic uint64_t
		pcp_misses[MAX_ORDER]; /* popped here for another node's request */
	_Atomic uint64_t pcp_refills, pcp_drains;
	_Atomic uint64_t kswapd_wakes;
} KMEM_CACHELINE_ALIGNED;

/* Zones to try, in order; NULL ends. */
struct zonelist {
	struct zone *zones[PHYS_NR_ZONE_IDS + 1];
};

/* Pages that did not come through percpu_pop() of a per-CPU list; see stats.c. */
struct node_stats {
	_Atomic uint64_t hit, miss, foreign, local, other, stalls;
} KMEM_CACHELINE_ALIGNED;

#define GFP_ZONEMASK   (__GFP_DMA | __GFP_HIGHMEM)
#define GFP_ZONE_KINDS 3 /* DMA, NORMAL, HIGHMEM: the highest zone allowed */

/* The whole allocator. The first part is all that the hit path reads. */
struct buddy {
	struct page *mem_map;
	unsigned long nr_frames; /* 0: not set up */
	const uint8_t *block_zone;
	unsigned int pcp_orders; /* orders with per-CPU lists: 0 .. this - 1 */
	unsigned int nr_nodes;
	/* First zone for a request without __GFP_DMA, without [0] and with [1] HIGHMEM.
	 */
	struct zone *preferred[MAX_NUMNODES][2];

	struct zonelist *zonelists; /* [nid * GFP_ZONE_KINDS + kind] */
	size_t zonelists_bytes;
};
extern struct buddy buddy;
extern struct zone buddy_zones[PHYS_NR_ZONE_IDS]; /* by zone id; nr of pages 0: absent */
extern struct node_stats buddy_node_stats[MAX_NUMNODES];

/*
 * What the reclaimer brings; all NULL until it does. wake_kswapd() is called for
 * each zone that a request found below its low mark, reclaim() by a request that
 * may wait and found nothing above the min mark: it returns how many pages it freed.
 */
struct buddy_reclaim_hooks {
	void (*wake_kswapd)(int nid, unsigned int order);
	unsigned long (*reclaim)(int nid, gfp_t gfp, unsigned int order);
};
/* Copies the hooks; NULL: none. No request may be under way. */
void buddy_set_reclaim_hooks(const struct buddy_reclaim_hooks *hooks);

#define for_each_zone(zone_)                   \
	for (struct zone *zone_ = buddy_zones; \
	     zone_ < buddy_zones + buddy.nr_nodes * MAX_NR_ZONES; zone_++)

static inline bool zone_present(const struct zone *zone)
{
	return zone->end_pfn != zone->start_pfn;
}

static inline unsigned long zone_free_pages(const struct zone *zone)
{
	return atomic_load_explicit(&zone->free_pages, memory_order_relaxed);
}

static inline uint32_t page_flags(const struct page *page)
{
	return atomic_load_explicit(&page->flags, memory_order_relaxed);
}

static inline void set_page_flags(struct page *page, uint32_t flags)
{
	atomic_store_explicit(&page->flags, flags, memory_order_relaxed);
}

/* The zone of a managed frame. */
static KMEM_ALWAYS_INLINE struct zone *pfn_zone(unsigned long pfn)
{
	return &buddy_zones[buddy.block_zone[pfn >> PHYS_BLOCK_ORDER]];
}

/* struct page's flags and reference count as one word. */
#define PAGE_STATE(flags_, count_) ((uint64_t)(count_) << 32 | (flags_))
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ &&
		       offsetof(struct page, _refcount) ==
			       offsetof(struct page, flags) + 4,
	       "PAGE_STATE() has the count in the upper half");

/* Turns a block that only the caller knows of into an allocated one. */
static KMEM_ALWAYS_INLINE void prep_new_block(struct page *page)
{
	atomic_store_explicit(&page->state, PAGE_STATE(PG_head, 1), memory_order_relaxed);
}

static inline void stat_add(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* --- free_area.c --- */

/*
 * Takes up to n blocks of an order, but leaves at least `mark` pages free.
 * Their descriptors carry the order and `flags`. Returns how many.
 */
size_t zone_take_blocks(struct zone *zone, unsigned int order, unsigned long mark,
			size_t n, uint32_t flags, struct page **out);
/* Gives n blocks of an order back, merging them with their buddies. */
void zone_free_blocks(struct zone *zone, unsigned int order, size_t n,
		      struct page **blocks);
/* Puts one whole zone under management, every block untouched. */
void zone_init_free(struct zone *zone);

/* --- pcp.c --- */

/* A batch at most: what a refill or a flush moves, and what it keeps on its stack. */
#define PCP_BATCH_MAX 256

int pcp_init(struct zone *zone, const struct buddy_config *config);
void pcp_exit(struct zone *zone);
/* For the caller, and a batch for this CPU's list. NULL: nothing above the mark. */
struct page *pcp_refill(struct zone *zone, unsigned int order, unsigned long mark);
/* The list was full: makes room for the block, which is marked PG_pcp. */
void pcp_flush(struct zone *zone, unsigned int order, struct page *page);
unsigned long zone_pcp_pages(const struct zone *zone);
/* Empties all lists of a zone; returns how many pages they held. */
unsigned long pcp_drain_zone(struct zone *zone);

/* --- zonelist.c --- */
int zonelists_init(const struct buddy_config *config);
void zonelists_exit(void);

/* --- watermark.c --- */
void watermarks_init(const struct buddy_config *config);

/* --- alloc_slow.c --- */

/* Everything the hit path cannot do. nid as the caller gave it. */
struct page *alloc_pages_slow(int nid, gfp_t gfp, unsigned int order);
/* nid, order and gfp make sense: 0, or -EINVAL with an error text. */
int alloc_check(int nid, gfp_t gfp, unsigned int order);

/* --- bulk.c: the same as page_alloc.h's, of any order and node --- */
size_t buddy_alloc_bulk(int nid, gfp_t gfp, unsigned int order, size_t n,
			struct page **pages);
void buddy_free_bulk(unsigned int order, size_t n, struct page **pages);

/* --- page_alloc.c --- */

/*
 * Ends a block's life as allocated: true, and the caller alone owns it, marked
 * PG_pcp; false when it must be left alone (another reference, or misuse, reported).
 */
bool free_prepare(struct page *page, unsigned int order);

/* --- trim.c --- */

/* Empties the per-CPU lists and gives the memory of free blocks of at least 64 KiB
 * back to the system; they read as zeroes. Returns how many pages. */
unsigned long buddy_trim(void);

/* --- fork.c: around fork(2), in this order --- */

/* Outermost: a request that empties other CPUs' lists holds it. */
extern struct kmem_spinlock buddy_drain_lock;

void buddy_fork_lock_drain(void);
/* Once more until all lists are frozen: percpu_freeze(). */
bool buddy_fork_freeze(void);
/* Takes every zone lock; no list_lock of a slab cache is taken after this. */
void buddy_fork_lock_zones(void);
/* Undoes all three; in the parent and in the child. */
void buddy_fork_unlock(void);

/* --- stats.c --- */

/* Counts pages that `zone` served to a request for nid by another way than a pop. */
void count_served(struct zone *zone, int nid, unsigned long pages);
/* Corrects what the list counts as served to its own node. */
void count_popped_elsewhere(struct zone *zone, int nid, unsigned int order);

#endif /* KMEM_BUDDY_INTERNAL_H */
