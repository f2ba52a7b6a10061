/* SPDX-License-Identifier: MIT */
/*
 * The page allocator: hit paths of allocation and free, and the public calls.
 *
 * THEORY
 *
 * Concepts. Every node's memory is divided into zones; a zone keeps its free
 * blocks of 2^k pages on one list per order k (free_area.c). A request names a
 * node, an order and gfp flags; the zonelist of that node and of the highest
 * zone the flags allow says which zones to try (zonelist.c). In front of each
 * zone lie per-CPU lists of small blocks (pcp.c, os/percpu_fast.h).
 *
 * Allocation. The hit path looks at one zone, the first of the zonelist: if it
 * is not below its low watermark and this CPU's list has a block, that is all.
 * Everything else is alloc_slow.c: refill, fallback, watermarks, reclaim.
 *
 * Free. One compare-and-swap of flags and reference count together, from
 * "allocated with this order, held once, by nobody in particular" to "on a list",
 * decides who frees a block, so of two racing frees one is reported; then mappings
 * are checked on memory that is the caller's alone, and the block goes to this
 * CPU's list, or, when that is full, to its zone with a batch.
 *
 * States of a block's first page:
 *   PG_head, count >= 1   allocated
 *   PG_pcp, count 0       freed, on a per-CPU list
 *   PG_buddy, count 0     on a free list, under zone->lock
 *   none, count 0         inside some block, or free, or on a per-CPU list where no
 *                         request has touched it yet: freeing it is an error
 * The order and the zone that handed it out are part of the flags, so one comparison
 * checks them too: a block of another node that has got onto a list is caught by the
 * free, which goes by the frame's own place.
 *
 * Locking. zone->lock only, one at a time, held for the list work of one batch.
 * The lists are per CPU and need none. Counters that the hit path would share
 * between CPUs do not exist: the NUMA statistics are derived from the pops that
 * each list counts as it goes (stats.c).
 *
 * Fork. With the private backing a child has its own copy of everything. It is
 * whole if no other thread is inside a call; fork.c sees to that for the fork
 * handlers of malloc/.
 *
 * Where this differs from the kernel (2.6.28). Lists hold orders up to 3, not 0
 * alone, and give up their newest blocks when full, not the coldest (5.13 has
 * the first). A zone's low mark is checked by a flag that changes only when it
 * is crossed. A watermark is one comparison, without the per-order test that
 * 2.6 adds and 2.4 has not. Lists of other CPUs are emptied before any request
 * fails, not only by those that reclaim. __GFP_COLD takes from the zone. There
 * is no lowmem_reserve. Misuse is reported and the block leaked; the kernel
 * carries on with a tainted page.
 *
 * References: Knowlton, "A Fast Storage Allocator", CACM 8(10), 1965; Linux
 * 2.4.22 and 2.6.28 mm/page_alloc.c; Bonwick & Adams, "Magazines and Vmem",
 * USENIX 2001, for batches in front of a lock.
 */
#include "allocators/buddy/page_alloc_fast.h"
#include "allocators/buddy/rows_internal.h"

#include <errno.h>
#include <kmem/error.h>

struct buddy buddy;
struct zone buddy_zones[PHYS_NR_ZONE_IDS];

/* The hit path where the lists have locks. */
static KMEM_NOINLINE struct page *alloc_pages_locked(gfp_t gfp, unsigned int order)
{
	struct page *page = pop_preferred((unsigned int)numa_node_id(), gfp, order,
					  false);

	return page != NULL ? page : alloc_pages_slow(NUMA_NO_NODE, gfp, order);
}

/* No calls but those at the end: the hit path saves no registers. */
struct page *alloc_pages(gfp_t gfp, unsigned int order)
{
	struct page *page = alloc_pages_hit(gfp, order);

	if (KMEM_LIKELY(page != NULL))
		return page;
	if (KMEM_UNLIKELY(!os_percpu_lockless()) && (gfp & ~buddy.hit_mask) == 0 &&
	    order < buddy.pcp_orders)
		return alloc_pages_locked(gfp, order);
	return alloc_pages_slow(NUMA_NO_NODE, gfp, order);
}

struct page *alloc_pages_node(int nid, gfp_t gfp, unsigned int order)
{
	unsigned int n = (unsigned int)nid;

	if (nid == NUMA_NO_NODE)
		return alloc_pages(gfp, order);
	/* Only from the node itself: __GFP_THISNODE is kept, and the list counts a hit.
	 */
	if (KMEM_LIKELY((gfp & ~(buddy.hit_mask | __GFP_THISNODE)) == 0 &&
			order < buddy.pcp_orders && n < buddy.nr_nodes &&
			buddy.preferred[n][(gfp & __GFP_HIGHMEM) != 0]->nid == n)) {
		struct page *page = pop_preferred(n, gfp, order, true);

		if (KMEM_LIKELY(page != NULL))
			return page;
	}
	return alloc_pages_slow(nid, gfp, order);
}

/* --- free --- */

static KMEM_COLD void report_not_allocated(const struct page *page, unsigned int order)
{
	unsigned long pfn = (unsigned long)(page - buddy.mem_map);

	if ((page_flags(page) & (PG_buddy | PG_pcp)) != 0 ||
	    zone_page_free(pfn_zone(pfn), pfn))
		kmem_bug("double free of pfn %lu, order %u", pfn, order);
	else
		kmem_bug("free of pfn %lu, order %u: no allocated block starts there",
			 pfn, order);
}

/* The block is allocated but cannot be freed: says why, and it stays as it is. */
static KMEM_COLD void report_refused(const struct page *page, unsigned int order)
{
	unsigned long pfn = (unsigned long)(page - buddy.mem_map);
	unsigned int links = page_flags(page) >> PG_ZONE_SHIFT & PG_ZONE_MASK;
	const struct zone *zone = pfn_zone(pfn);
	int32_t mapped = atomic_load_explicit(&page->_mapcount, memory_order_relaxed);
	uint32_t flags = page_flags(page);

	if (mapped != 0)
		kmem_bug("free of pfn %lu, order %u: still mapped at %d places", pfn,
			 order, mapped);
	else if ((flags & PG_head) != 0 && flags_order(flags) != order)
		kmem_bug("free of pfn %lu with order %u: the block has order %u", pfn,
			 order, flags_order(flags));
	else if ((flags & PG_head) != 0 && links != zone_id(zone))
		kmem_bug("free of pfn %lu, order %u: it was handed out by node %u zone "
			 "%u, but is a frame of node %u zone %u",
			 pfn, order, links / MAX_NR_ZONES, links % MAX_NR_ZONES,
			 zone->nid, zone->type);
	else
		kmem_bug(
			"free of pfn %lu, order %u: still in use by its owner (flags 0x%x)",
			pfn, order, flags & (PG_ORDER_BIT - 1));
}

static KMEM_COLD void report_bad_page(const struct page *page, unsigned int order)
{
	if (order >= MAX_ORDER)
		kmem_bug("free of a block of order %u: orders are 0 to %d", order,
			 MAX_ORDER - 1);
	else
		kmem_bug(
			"free of %p, order %u: bad pfn, no descriptor of a frame is there",
			(const void *)page, order);
}

/*
 * Doubtful: one who was alone may have looked before our swap and stored after it. Then
 * he has left his mark, and the block is his. Once the gate is open to all no such store
 * is under way any more.
 */
KMEM_NOINLINE bool __claim_block(unsigned int id, struct page *page, unsigned int order,
				 enum claim claim)
{
	uint64_t allocated = allocated_state(id, order);
	enum rows_visit visit;
	bool claimed;

	if (claim == CLAIM_ELSEWHERE && rows_knock()) {
		claim = try_claim(id, page, order);
		if (claim <= CLAIM_DIFFERS)
			return claim == CLAIMED;
	}
	visit = rows_keep_open();
	if (claim == CLAIM_DOUBTFUL)
		claimed = page_state(page) == freed_state(order);
	else
		claimed = atomic_compare_exchange_strong(&page->state, &allocated,
							 freed_state(order));
	rows_leave(visit);
	return claimed;
}

/*
 * Not "allocated, held once" a moment ago: drops a reference, or reports. True
 * when the other holders have let go meanwhile, so that this one ends the life.
 */
static KMEM_COLD bool free_unusual(unsigned int id, struct page *page, unsigned int order)
{
	enum rows_visit visit;
	uint64_t state;

	if (order >= MAX_ORDER) {
		report_bad_page(page, order);
		return false;
	}
	visit = rows_keep_open();
	state = atomic_load_explicit(&page->state, memory_order_relaxed);
	for (;;) {
		int32_t count = (int32_t)(state >> 32);
		bool last = state == allocated_state(id, order);

		if (!last && (count <= 1 || flags_order((uint32_t)state) != order))
			break;
		if (atomic_compare_exchange_weak(&page->state, &state,
						 last ? freed_state(order)
						      : state - PAGE_STATE(0, 1))) {
			rows_leave(visit);
			return last;
		}
	}
	rows_leave(visit);
	if (state >> 32 != 0)
		report_refused(page, order);
	else
		report_not_allocated(page, order);
	return false;
}

/* It lies in mem_map, at a multiple of a descriptor's size. */
static KMEM_ALWAYS_INLINE bool page_valid(const struct page *page)
{
	size_t offset = (size_t)((const char *)page - (const char *)buddy.mem_map);

	/* Rotated, low bits of a misaligned pointer become high ones. */
	return (offset >> 5 | offset << 59) < buddy.nr_frames;
}
_Static_assert(sizeof(struct page) == 1 << 5, "page_valid() shifts by this");

/* The block was allocated, but is mapped: puts it back. */
static bool refuse_mapped(unsigned int id, struct page *page, unsigned int order)
{
	if (KMEM_LIKELY(atomic_load_explicit(&page->_mapcount, memory_order_relaxed) ==
			0))
		return false;
	report_refused(page, order);
	atomic_store_explicit(&page->state, allocated_state(id, order),
			      memory_order_release);
	return true;
}

bool free_prepare(struct page *page, unsigned int order)
{
	unsigned int id;

	if (KMEM_UNLIKELY(!page_valid(page))) {
		report_bad_page(page, order);
		return false;
	}
	id = pfn_zone_id((unsigned long)(page - buddy.mem_map));
	if (!claim_block(id, page, order) && !free_unusual(id, page, order))
		return false;
	return !refuse_mapped(id, page, order);
}

/* Not for the list, a list with locks, or no room on it; or it is mapped. */
KMEM_NOINLINE void __free_claimed(struct page *page, unsigned int order)
{
	struct zone *zone = pfn_zone((unsigned long)(page - buddy.mem_map));
	unsigned int kind = zone_page_kind(zone, page, order);

	if (refuse_mapped(zone_id(zone), page, order))
		return;
	if (!zone_has_list(zone, kind))
		zone_free_blocks(zone, order, 1, &page);
	/* Lists with locks have not been tried yet: see percpu_try_push(). */
	else if ((os_percpu_lockless() && kind == order) ||
		 !percpu_push(&zone->pcp[kind], page))
		pcp_flush(zone, kind, page);
}

/* Everything but a block that one look has claimed. */
static KMEM_NOINLINE void free_unclaimed(unsigned int id, struct page *page,
					 unsigned int order, enum claim claim)
{
	if ((claim > CLAIM_DIFFERS && __claim_block(id, page, order, claim)) ||
	    free_unusual(id, page, order)) {
		if (!free_claimed_hit(id, page, order))
			__free_claimed(page, order);
	}
}

void __free_pages(struct page *page, unsigned int order)
{
	enum claim claim;
	unsigned int id;

	if (KMEM_UNLIKELY(!page_valid(page))) {
		report_bad_page(page, order);
		return;
	}
	id = pfn_zone_id((unsigned long)(page - buddy.mem_map));
	claim = try_claim(id, page, order);
	if (KMEM_UNLIKELY(claim != CLAIMED))
		free_unclaimed(id, page, order, claim);
	else if (KMEM_UNLIKELY(!free_claimed_hit(id, page, order)))
		__free_claimed(page, order);
}

void get_page(struct page *page)
{
	atomic_fetch_add_explicit(&page->_refcount, 1, memory_order_relaxed);
}

void put_page(struct page *page)
{
	int order = page_valid(page) ? page_block_order(page) : 0;

	__free_pages(page, order < 0 ? 0 : (unsigned int)order);
}

/* --- by address --- */

unsigned long __get_free_pages(gfp_t gfp, unsigned int order)
{
	struct page *page;

	if (KMEM_UNLIKELY((gfp & __GFP_HIGHMEM) != 0)) {
		kmem_error(-EINVAL,
			   "__get_free_pages() with __GFP_HIGHMEM: such a page has no "
			   "address; use alloc_pages() or vmalloc()");
		return 0;
	}
	page = alloc_pages(gfp, order);
	if (KMEM_UNLIKELY(page == NULL))
		return 0;
	return (unsigned long)kmem_direct_base +
	       ((unsigned long)(page - buddy.mem_map) << PAGE_SHIFT);
}

unsigned long get_zeroed_page(gfp_t gfp)
{
	return __get_free_pages(gfp | __GFP_ZERO, 0);
}

void free_pages(unsigned long addr, unsigned int order)
{
	unsigned long offset = addr - (unsigned long)kmem_direct_base;

	if (addr == 0)
		return;
	if (KMEM_UNLIKELY((offset & ~PAGE_MASK) != 0 ||
			  offset >> PAGE_SHIFT >= buddy.nr_frames)) {
		kmem_bug(
			"free of address 0x%lx, order %u: bad pfn, not the start of a page of "
			"the direct map",
			addr, order);
		return;
	}
	__free_pages(buddy.mem_map + (offset >> PAGE_SHIFT), order);
}

int page_block_order(const struct page *page)
{
	uint32_t flags = page_flags(page);

	return (flags & PG_head) != 0 ? (int)flags_order(flags) : -1;
}
