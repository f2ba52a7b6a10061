/* SPDX-License-Identifier: MIT */
/* Structures and inner functions of the page allocator; theory: page_alloc.c. */
#ifndef KMEM_BUDDY_INTERNAL_H
#define KMEM_BUDDY_INTERNAL_H

#include "allocators/buddy/rows.h"
#include "allocators/os/percpu_stamped.h"
#include "allocators/os/spinlock.h"
#include "allocators/phys/phys_internal.h"

#include <kmem/page_alloc.h>

/* What may happen to a page while it is in use (Linux 2.6.24); with option mobility. */
enum migratetype {
	MIGRATE_UNMOVABLE,
	MIGRATE_RECLAIMABLE,
	MIGRATE_MOVABLE,
	MIGRATE_TYPES
};

/*
 * A kind of blocks, for which there is a per-CPU list: the order in the lower four
 * bits, the migrate type above. Without mobility grouping a kind is an order.
 */
#define KIND_SHIFT 4
#define NR_SLOTS   (1 << KIND_SHIFT) /* orders, and some more that are none */
#define NR_KINDS   (MIGRATE_TYPES << KIND_SHIFT)

static KMEM_ALWAYS_INLINE unsigned int kind_order(unsigned int kind)
{
	return kind & ((1u << KIND_SHIFT) - 1);
}

static KMEM_ALWAYS_INLINE unsigned int kind_of(unsigned int order, unsigned int type)
{
	return order | type << KIND_SHIFT;
}

/* Free blocks of one order; the newest is first, so that it is used first. */
struct free_area {
	struct page *first;
	unsigned long nr_free; /* of order MAX_ORDER - 1: with the untouched blocks */
};

/* 64 groups, a bit each; a line of its own, for a CPU takes free groups from one. */
struct region {
	row_word taken; /* not wholly free; also: beyond the end of the zone */
	/* Has room, but is not wholly free, and no CPU's own: by the group's type. */
	row_word open[MIGRATE_TYPES];
	row_word touched;	/* used since its memory was last given back */
	row_word aged;		/* found wholly free by the last round of purging */
	_Atomic uint32_t taker; /* the CPU that takes free groups from here, plus one */
} KMEM_CACHELINE_ALIGNED;

/*
 * What a zone keeps for its rows (rows.c). All of it is shared and lock-free. `taken` of
 * the regions, `state` and `row` are the truth; the others are hints that say where to
 * look.
 */
struct rows {
	struct region *region;
	struct group_state *state; /* of the zone's first group */
	row_word *row;		   /* of its first row */
	unsigned int nr_groups, nr_regions;
	_Atomic uint8_t *type; /* enum migratetype of what a group was last opened for */
	struct rows_cpu *cpu;  /* of CPU 0 */
	/* No region before this one had a free (an open) group a moment ago. In a line
	 * that nobody reads who finds what he wants in a group of his own. */
	_Atomic unsigned int free_from KMEM_CACHELINE_ALIGNED, open_from[MIGRATE_TYPES];
};

#define ZONE_BYTES 2048
#define ROW_BYTES  16

/*
 * A hit reads of a zone the list of an order and the state of its allocated blocks. Both
 * arrays have elements of 16 bytes, and a zone is 2048 bytes long, so that one number,
 * counted in words, leads to both without a multiplication: zone_row().
 */
struct zone {
	/* --- read-only after buddy_init(), but for two that change seldom --- */
	/* Kinds below buddy.pcp_kinds; all others are all zero. */
	struct percpu_stacks pcp[NR_KINDS];
	/* By order: of a block from here that is held once. */
	struct percpu_from allocated[NR_SLOTS];
	_Atomic bool below_low; /* free_pages <= pages_low; lists: written under lock */
	_Atomic bool plenty;	/* rows: CPUs may have credits (credit.c); under lock */
	uint8_t nid;
	uint8_t type;		       /* enum zone_type */
	uint16_t pcp_batch[MAX_ORDER]; /* blocks moved at a time */
	unsigned long start_pfn, end_pfn;
	unsigned long pages_min, pages_low, pages_high;
	/* A CPU's credit at most; none at or below; again above. In pages. */
	unsigned long credit_max, credit_floor, credit_again;
	struct rows rows; /* where buddy.rows; its pointers */

	/* --- rows: changed by anybody; lists: under lock, but read without it --- */
	/* Without the credits of CPUs, of which there are none near the marks. */
	_Atomic unsigned long free_pages KMEM_CACHELINE_ALIGNED;

	/* --- lists: under lock --- */
	struct kmem_spinlock lock;
	/* Whole largest blocks from here to end_pfn have never been used: they are
	 * free, but their descriptors are still untouched and on no list. */
	unsigned long fresh_pfn;
	struct free_area free_area[MAX_ORDER];

	/* --- statistics: relaxed, off the hit path --- */
	_Atomic uint64_t
		pcp_misses[MAX_ORDER]; /* popped here for another node's request */
	struct percpu_counter pcp_refills, pcp_drains;
	_Atomic uint64_t kswapd_wakes;
} __attribute__((aligned(ZONE_BYTES)));
_Static_assert(sizeof(struct zone) == ZONE_BYTES &&
		       sizeof(struct percpu_stacks) == ROW_BYTES &&
		       sizeof(struct percpu_from) == ROW_BYTES,
	       "zone_row() counts on it");

/* The mode of the gate before the rows (rows_gate.c). With lists it is always the first.
 * What a thread without a CPU number (-1, -2) makes of the last is no mode. */
enum { ROWS_MODE_SHARED, ROWS_MODE_CLOSED, ROWS_MODE_ALONE = 16 /* + cpu */ };
#pragma GCC visibility push(hidden)
extern _Atomic uint32_t rows_mode;
#pragma GCC visibility pop

/* Zones to try, in order; NULL ends. */
struct zonelist {
	struct zone *zones[PHYS_NR_ZONE_IDS + 1];
};

/* Pages that did not come through percpu_pop() of a per-CPU list; see stats.c. */
struct node_stats {
	_Atomic uint64_t hit, miss, foreign, local, other, interleave, stalls;
	_Atomic uint64_t pageoutruns, pgsteal_kswapd, pgsteal_direct, slabs_scanned,
		purged_pages;
} KMEM_CACHELINE_ALIGNED;

#define GFP_ZONEMASK   (__GFP_DMA | __GFP_HIGHMEM)
#define GFP_ZONE_KINDS 3 /* DMA, NORMAL, HIGHMEM: the highest zone allowed */

/* The whole allocator. The first part is all that the hit path reads. */
struct buddy {
	struct page *mem_map;
	char *direct_base;
	unsigned long hit_frames; /* nr_frames; 0: frees have to look at groups */
	const uint8_t *block_zone;
	bool forked;	 /* in a child: counters may have been between two additions */
	gfp_t miss_mask; /* flags that change something even if a page is at hand */
	unsigned int pcp_orders; /* orders with per-CPU lists: 0 .. this - 1 */
	unsigned long nr_frames; /* 0: not set up */
	unsigned int nr_nodes;
	bool rows;     /* the lower level: rows, or lists */
	bool mobility; /* blocks are grouped by migrate type */
	unsigned int pcp_kinds;
	/* First zone for a request without __GFP_DMA, without [0] and with [1] HIGHMEM.
	 */
	struct zone *preferred[MAX_NUMNODES][2];

	struct zonelist *zonelists; /* [nid * GFP_ZONE_KINDS + kind] */
	size_t zonelists_bytes;
};
/* Hidden: without the global offset table. */
#pragma GCC visibility push(hidden)
extern struct buddy buddy;
extern struct zone buddy_zones[PHYS_NR_ZONE_IDS]; /* by zone id; nr of pages 0: absent */
/* buddy.preferred of the CPU's node, as zone_words(); before the set-up the first zone,
 * which has no lists then. */
extern uint32_t buddy_cpu_zone[OS_MAX_CPUS][2];
#pragma GCC visibility pop
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
/* Set while the calling thread reclaims: its requests are served below the marks. */
extern __thread bool buddy_in_reclaim;

/* The hooks stay the caller's, who keeps them; NULL: none. */
void buddy_set_reclaim_hooks(const struct buddy_reclaim_hooks *hooks);

#define for_each_zone(zone_)                   \
	for (struct zone *zone_ = buddy_zones; \
	     zone_ < buddy_zones + buddy.nr_nodes * MAX_NR_ZONES; zone_++)

static inline bool zone_present(const struct zone *zone)
{
	return zone->end_pfn != zone->start_pfn;
}

/* By which the flags of a block from there name it. */
static inline unsigned int zone_id(const struct zone *zone)
{
	return (unsigned int)(zone - buddy_zones);
}

/* All-zero where there are none at all. */
static inline bool zone_has_list(const struct zone *zone, unsigned int kind)
{
	return zone->pcp[kind].limit != 0;
}

/* At least so many are free, and just so many near the marks: credit.c. */
static inline unsigned long zone_free_pages(const struct zone *zone)
{
	return atomic_load_explicit(&zone->free_pages, memory_order_relaxed);
}

/* From the first zone to this one, in words. */
static KMEM_ALWAYS_INLINE uint32_t zone_words(unsigned int id)
{
	return id * (uint32_t)(ZONE_BYTES / sizeof(uint64_t));
}

static inline uint32_t page_flags(const struct page *page)
{
	return atomic_load_explicit(&page->flags, memory_order_relaxed);
}

static inline void set_page_flags(struct page *page, uint32_t flags)
{
	atomic_store_explicit(&page->flags, flags, memory_order_relaxed);
}

/* The zone of a managed frame: its number, and itself. */
static KMEM_ALWAYS_INLINE unsigned int pfn_zone_id(unsigned long pfn)
{
	return buddy.block_zone[pfn >> PHYS_BLOCK_ORDER];
}

static KMEM_ALWAYS_INLINE struct zone *pfn_zone(unsigned long pfn)
{
	return &buddy_zones[pfn_zone_id(pfn)];
}

/* struct page's flags and reference count as one word. */
#define PAGE_STATE(flags_, count_) ((uint64_t)(count_) << 32 | (flags_))
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ &&
		       offsetof(struct page, _refcount) ==
			       offsetof(struct page, flags) + 4,
	       "PAGE_STATE() has the count in the upper half");

static inline uint64_t page_state(const struct page *page)
{
	return atomic_load_explicit(&page->state, memory_order_relaxed);
}

/* Flags of the first page of a block of an order. */
static KMEM_ALWAYS_INLINE uint32_t block_flags(uint32_t flag, unsigned int order)
{
	return flag | order << PG_ORDER_SHIFT;
}

static KMEM_ALWAYS_INLINE unsigned int flags_order(uint32_t flags)
{
	return flags >> PG_ORDER_SHIFT & PG_ORDER_MASK;
}

/* The state of an allocated block of a zone that is held once. */
static KMEM_ALWAYS_INLINE uint64_t allocated_state(unsigned int id, unsigned int order)
{
	return PAGE_STATE(PG_head, 1) +
	       (((uint64_t)id << (PG_ZONE_SHIFT - PG_ORDER_SHIFT) | order)
		<< PG_ORDER_SHIFT);
}

/* The state of a block that has been freed, and is on no list. */
static KMEM_ALWAYS_INLINE uint64_t freed_state(unsigned int order)
{
	return PAGE_STATE(block_flags(PG_freed, order), 0);
}

_Static_assert(PG_head + PERCPU_STAMP_ADDS == PG_pcp,
	       "a block on a per-CPU list has its slot's stamp");

/* The state of a block of the zone that is allocated and held once. */
static KMEM_ALWAYS_INLINE uint64_t zone_allocated(const struct zone *zone,
						  unsigned int order)
{
	return zone->allocated[order].state;
}

/* Turns a block of the zone that only the caller knows of into an allocated one. */
static KMEM_ALWAYS_INLINE void prep_new_block(const struct zone *zone, struct page *page,
					      unsigned int order)
{
	atomic_store_explicit(&page->state, zone_allocated(zone, order),
			      memory_order_relaxed);
}

/*
 * Entries of the per-CPU lists. A block that was freed is stamped with its slot; one
 * that a refill has brought is marked by the pointer's lowest bit, so that its descriptor
 * need not be touched before it is wanted: the lower level gives out each block once.
 */
#define PCP_FRESH ((uintptr_t)1)

static KMEM_ALWAYS_INLINE struct page *pcp_block(void *entry)
{
	return (struct page *)((uintptr_t)entry & ~PCP_FRESH);
}

static KMEM_ALWAYS_INLINE bool pcp_fresh_valid(const struct page *page)
{
	return (page_flags(page) & (PG_head | PG_pcp)) == 0;
}

/* The block is in nobody else's hands: see page_free.c. allocated: zone_allocated(). */
static KMEM_ALWAYS_INLINE bool pcp_entry_valid(void *entry, void *const *slot,
					       uint64_t allocated)
{
	return ((uintptr_t)entry & PCP_FRESH) != 0
		       ? pcp_fresh_valid(pcp_block(entry))
		       : page_state(entry) == percpu_stamp(slot, allocated);
}

static inline void stat_add(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* --- lower.c: the lower level, whichever it is --- */

/*
 * Takes up to n blocks of a kind, but leaves at least `mark` pages free.
 * Their descriptors stay as they are: no flag is set. Returns how many.
 */
size_t zone_take_blocks(struct zone *zone, unsigned int kind, unsigned long mark,
			size_t n, struct page **out);
/* Gives n blocks of an order back, merging them with their buddies. */
void zone_free_blocks(struct zone *zone, unsigned int order, size_t n,
		      struct page **blocks);
/* An allocated block is going to be freed in pieces. */
void zone_split_block(struct zone *zone, struct page *page, unsigned int order);
/* Puts all zones under management, every block untouched; 0 or -ENOMEM with a text. */
int zones_init_free(void);
void zones_exit_free(void);
/* Free blocks per order. */
void zone_count_blocks(struct zone *zone, unsigned long *blocks);
/* Kind of an allocated block of an order. */
unsigned int zone_page_kind(const struct zone *zone, const struct page *page,
			    unsigned int order);
/* The page lies in a free block; a look at a moving target. */
bool zone_page_free(struct zone *zone, unsigned long pfn);

/* --- credit.c: how many pages are free --- */

/* Takes up to n blocks' worth of pages off those that are free, of which `mark` are left;
 * returns for how many blocks. alone: nobody else does either meanwhile. */
size_t zone_promise(struct zone *zone, unsigned int order, unsigned long mark, size_t n,
		    bool alone);
/* The opposite, without a mark. */
void zone_add_free(struct zone *zone, unsigned long pages, bool alone);
/* free_pages has changed: brings below_low in line. */
void zone_note_free(struct zone *zone);
/* With the credits; what is being moved meanwhile may be missed, or counted twice. */
unsigned long zone_free_pages_snapshot(const struct zone *zone);
/* The same of a zone that nobody uses meanwhile: whatever it says, for the walker. */
unsigned long zone_free_pages_quiescent(const struct zone *zone);
/* Adds the credits to free_pages, and waits for who is doing so; before a request fails.
 * Not by one who is inside the gate. */
void zone_call_in_credits(struct zone *zone);
/* After watermarks_init(). */
void zone_credit_init(struct zone *zone);

/* --- free_area.c: the same with lists, under zone->lock --- */
size_t area_take_blocks(struct zone *zone, unsigned int order, unsigned long mark,
			size_t n, struct page **out);
void area_free_blocks(struct zone *zone, unsigned int order, size_t n,
		      struct page **blocks);
void area_init_free(struct zone *zone);
bool area_page_free(struct zone *zone, unsigned long pfn);
unsigned long area_trim(struct zone *zone);

/* --- pcp.c --- */

/* A batch at most: what a refill or a flush moves, and what it keeps on its stack. */
#define PCP_BATCH_MAX 256

int pcp_init(struct zone *zone, const struct buddy_config *config);
void pcp_exit(struct zone *zone);
/* A block of this CPU's list; NULL: none. */
struct page *pcp_pop(struct zone *zone, unsigned int kind);
/* Up to n of them. */
size_t pcp_pop_batch(struct zone *zone, unsigned int kind, size_t n, struct page **out);
/* For the caller, and a batch for this CPU's list. NULL: nothing above the mark. */
struct page *pcp_refill(struct zone *zone, unsigned int kind, unsigned long mark);
/* Gives a batch of this CPU's list back; false: it had nothing. */
bool pcp_flush(struct zone *zone, unsigned int kind);
/* zone_take_blocks(), without those that are in use: they are reported. */
size_t take_unused(struct zone *zone, unsigned int kind, unsigned long mark, size_t n,
		   struct page **out);
unsigned long zone_pcp_pages(const struct zone *zone);
/* Empties all lists of a zone; returns how many pages they held. */
unsigned long pcp_drain_zone(struct zone *zone);

/* Single pages too: after three quarters of 200 MiB in blocks of 1 to 32 KiB were freed
 * at random, 65 MiB stay resident instead of 98 with a bound of 64 KiB, for 4,000 system
 * calls of 1 us; a process is trimmed when it rests or has shrunk, not all the time. */
#define TRIM_ORDER_MIN 0

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

/* --- page_free.c --- */

/*
 * Ends a block's life as allocated: true, and the caller alone owns it, marked
 * PG_freed; false when it must be left alone (another reference, or misuse, reported).
 */
bool free_prepare(struct page *page, unsigned int order);
/* The block was on a list, or free, but another free has it. */
void report_stale(const struct page *page, unsigned int order);

/* --- trim.c --- */

/* Empties the per-CPU lists and gives the memory of free blocks of at least 64 KiB
 * back to the system; they read as zeroes. Returns how many pages. */
unsigned long buddy_trim(void);

/* --- fork.c: os/os_fork.h has the theory --- */

/* Outermost: a request that empties other CPUs' lists holds it. */
extern struct kmem_spinlock buddy_drain_lock;

void buddy_fork_init(void);
void buddy_fork_exit(void);

/* --- stats.c --- */

/* Counts pages that `zone` served to a request for nid by another way than a pop. */
void count_served(struct zone *zone, int nid, unsigned long pages);
/* Corrects what the list counts as served to its own node. */
void count_popped_elsewhere(struct zone *zone, int nid, unsigned int order);

#endif /* KMEM_BUDDY_INTERNAL_H */
