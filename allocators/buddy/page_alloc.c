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
 * Free: page_free.c.
 *
 * States of a block's first page:
 *   PG_head, count >= 1   allocated
 *   PG_pcp                freed, on a per-CPU list: the stamp of the slot that it stands
 *                         in (os/percpu_stamped.h); there is no count
 *   PG_freed, count 0     freed, and on no list: a mark only, which stays for as long
 *                         as nobody else needs the state
 *   PG_buddy, count 0     on a free list, under zone->lock
 *   none, count 0         inside some block, or free: freeing it is an error
 *
 * With rows the lower level neither reads nor writes it. Nor does a refill: what it
 * brings is marked in the list (PCP_FRESH), and the request that takes it makes sure
 * that it is not in use. The order and the zone that handed it out are part of the
 * flags, so one comparison checks them too: a block of another node that has got onto
 * a list is caught by the free, which goes by the frame's own place.
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
struct zone buddy_zones[PHYS_NR_ZONE_IDS] KMEM_SPARSE;
uint32_t buddy_cpu_zone[OS_MAX_CPUS][2] KMEM_SPARSE;

/* The hit path where the lists have locks. */
static struct page *alloc_pages_locked(gfp_t gfp, unsigned int order)
{
	struct page *stale = NULL;
	struct page *page = pop_preferred(cpu_zone(os_cpu_id(), gfp), order, false,
					  &stale);

	if (KMEM_UNLIKELY(stale != NULL))
		report_stale(stale, order);
	return page;
}

KMEM_NOINLINE struct page *alloc_pages_miss(int nid, gfp_t gfp, unsigned int order,
					    const struct page *stale)
{
	if (KMEM_UNLIKELY(stale != NULL))
		report_stale(stale, order);
	if (KMEM_UNLIKELY(!os_percpu_lockless()) && nid == NUMA_NO_NODE &&
	    (gfp & buddy.miss_mask) == 0 && order < buddy.pcp_orders) {
		struct page *page = alloc_pages_locked(gfp, order);

		if (page != NULL)
			return page;
	}
	return alloc_pages_slow(nid, gfp, order);
}

/* No calls but the one at the end: the hit path saves no registers. */
struct page *alloc_pages(gfp_t gfp, unsigned int order)
{
	struct page *stale;
	struct page *page = alloc_pages_hit(gfp, order, &stale);

	if (KMEM_LIKELY(page != NULL))
		return page;
	return alloc_pages_miss(NUMA_NO_NODE, gfp, order, stale);
}

struct page *alloc_pages_node(int nid, gfp_t gfp, unsigned int order)
{
	unsigned int n = (unsigned int)nid;
	struct page *stale = NULL;

	if (nid == NUMA_NO_NODE)
		return alloc_pages(gfp, order);
	if (KMEM_LIKELY((gfp & buddy.miss_mask & ~__GFP_THISNODE) == 0 &&
			order < NR_SLOTS && n < buddy.nr_nodes)) {
		struct zone *zone = buddy.preferred[n][(gfp & __GFP_HIGHMEM) != 0];
		/* Only from the node itself: __GFP_THISNODE is kept, and the list counts
		 * a hit. */
		struct page *page = zone->nid == n
					    ? pop_preferred(zone_words(zone_id(zone)),
							    order, true, &stale)
					    : NULL;

		if (KMEM_LIKELY(page != NULL))
			return page;
	}
	return alloc_pages_miss(nid, gfp, order, stale);
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
	return (unsigned long)direct_address(page);
}

unsigned long get_zeroed_page(gfp_t gfp)
{
	return __get_free_pages(gfp | __GFP_ZERO, 0);
}

int page_block_order(const struct page *page)
{
	uint32_t flags = page_flags(page);

	return (flags & PG_head) != 0 ? (int)flags_order(flags) : -1;
}
