/* SPDX-License-Identifier: MIT */
/*
 * The slow path of allocation: refill, fallback, watermarks, reclaim.
 *
 * The passes of Linux 2.4's and 2.6's __alloc_pages(), each over the whole zonelist:
 *   1. zones that keep more than their low mark free; with __GFP_THISNODE,
 *      __GFP_NORETRY and __GFP_NOWARN (2.6.28's GFP_THISNODE) no more than that: who asks
 *      so, as slab does, has other nodes to try before this one is worth reclaiming from;
 *   2. the background reclaimer of the zones that are below is woken;
 *   3. the same against min: half of it for __GFP_HIGH (2.6), a quarter for requests
 *      that cannot wait (2.4);
 *   4. __GFP_MEMALLOC, and whoever is reclaiming: without a mark; they reclaim nothing,
 *      and __GFP_NOFAIL waits for others to free something;
 *   5. blocks on other CPUs' lists are brought back, and the last pass is repeated;
 *   6. a request that may wait reclaims directly and repeats 3: __GFP_NORETRY
 *      once; others while reclaim makes progress, up to COSTLY_ORDER, or, with
 *      __GFP_REPEAT, until as many pages as asked for have been reclaimed;
 *      __GFP_NOFAIL for ever.
 * Where 2.6 would kill a process for want of progress, the request fails.
 */
#include "allocators/buddy/buddy_internal.h"

#include <errno.h>
#include <kmem/error.h>
#include <time.h>

/* Above this order a block is not worth reclaiming without end (as in 2.6.28). */
#define COSTLY_ORDER 3

/* How long a __GFP_NOFAIL request waits for others to free something. */
#define NOFAIL_WAIT_NS 1000000L

struct request {
	gfp_t gfp;
	unsigned int order;
	unsigned int kind; /* of blocks: the order and what the flags say */
	int nid;	   /* preferred node */
	const struct zonelist *zonelist;
};

/* A look at one node, no effort. */
#define GFP_LOOK (__GFP_THISNODE | __GFP_NORETRY | __GFP_NOWARN)

enum mark { MARK_LOW, MARK_MIN, MARK_NONE };

struct kmem_spinlock buddy_drain_lock;

static const struct buddy_reclaim_hooks no_hooks;
static _Atomic(const struct buddy_reclaim_hooks *) hooks = &no_hooks;

void buddy_set_reclaim_hooks(const struct buddy_reclaim_hooks *h)
{
	atomic_store(&hooks, h != NULL ? h : &no_hooks);
}

int alloc_check(int nid, gfp_t gfp, unsigned int order)
{
	if (KMEM_UNLIKELY(buddy.nr_frames == 0))
		return kmem_error(
			-EINVAL, "the page allocator is not set up; call phys_init() and "
				 "buddy_init() first");
	if (KMEM_UNLIKELY(order >= MAX_ORDER))
		return kmem_error(
			-EINVAL,
			"order %u is too large; blocks go up to order %d (4 MiB)", order,
			MAX_ORDER - 1);
	if (KMEM_UNLIKELY(nid != NUMA_NO_NODE &&
			  (nid < 0 || (unsigned int)nid >= buddy.nr_nodes)))
		return kmem_error(
			-EINVAL,
			"node %d does not exist; nodes are 0 to %u, or NUMA_NO_NODE", nid,
			buddy.nr_nodes - 1);
	return gfp_check(gfp);
}

static unsigned long zone_mark(const struct zone *zone, gfp_t gfp, enum mark mark)
{
	if (mark == MARK_NONE)
		return 0;
	if (mark == MARK_LOW)
		return zone->pages_low;
	if ((gfp & __GFP_WAIT) == 0)
		return zone->pages_min / 4;
	return (gfp & __GFP_HIGH) != 0 ? zone->pages_min / 2 : zone->pages_min;
}

/*
 * One block, now allocated, of a zone that keeps more than its mark free. A block from a
 * list is not part of the free pages, but a zone below the mark gives nothing.
 */
static struct page *zone_alloc(struct zone *zone, const struct request *rq,
			       enum mark which)
{
	unsigned long mark = zone_mark(zone, rq->gfp, which);
	struct page *page;

	if (which != MARK_NONE && zone_free_pages(zone) <= mark + (1UL << rq->order))
		return NULL;
	if (zone_has_list(zone, rq->kind) && (rq->gfp & __GFP_COLD) == 0) {
		page = pcp_pop(zone, rq->kind);
		if (page == NULL)
			page = pcp_refill(zone, rq->kind, mark);
		if (page != NULL) {
			count_popped_elsewhere(zone, rq->nid, rq->order);
			prep_new_block(zone, page, rq->order);
			return page;
		}
	}
	/* No list; or what a refill brought was gone before we could take it. */
	if (take_unused(zone, rq->kind, mark, 1, &page) == 0)
		return NULL; /* page may be one that is in use */
	count_served(zone, rq->nid, 1UL << rq->order);
	prep_new_block(zone, page, rq->order);
	return page;
}

static bool zone_allowed(const struct zone *zone, const struct request *rq)
{
	return (rq->gfp & __GFP_THISNODE) == 0 || zone->nid == rq->nid;
}

static struct page *try_zonelist(const struct request *rq, enum mark mark)
{
	for (struct zone *const *z = rq->zonelist->zones; *z != NULL; z++) {
		struct page *page;

		if (!zone_allowed(*z, rq))
			continue;
		page = zone_alloc(*z, rq, mark);
		if (page != NULL)
			return page;
	}
	return NULL;
}

static void wake_reclaimers(const struct request *rq)
{
	const struct buddy_reclaim_hooks *h = atomic_load(&hooks);

	for (struct zone *const *z = rq->zonelist->zones; *z != NULL; z++) {
		if (!zone_allowed(*z, rq) ||
		    zone_free_pages(*z) > (*z)->pages_low + (1UL << rq->order))
			continue;
		/* The reclaimer is awake. */
		if (buddy_in_reclaim)
			return;
		stat_add(&(*z)->kswapd_wakes, 1);
		if (h->wake_kswapd != NULL)
			h->wake_kswapd((*z)->nid, rq->order);
	}
}

/*
 * Brings back what other CPUs' lists hold of the request's zones. One request at
 * a time: whoever waited finds in the zones what the one before has put there.
 */
static void drain_zonelist(const struct request *rq)
{
	static __thread bool draining;

	if (draining) /* the handler of a report allocates in the midst of this */
		return;
	draining = true;
	spin_lock(&buddy_drain_lock);
	for (struct zone *const *z = rq->zonelist->zones; *z != NULL; z++) {
		if (!zone_allowed(*z, rq))
			continue;
		if (zone_pcp_pages(*z) != 0)
			pcp_drain_zone(*z);
		zone_call_in_credits(*z);
	}
	spin_unlock(&buddy_drain_lock);
	draining = false;
}

static void wait_a_little(void)
{
	struct timespec t = {.tv_nsec = NOFAIL_WAIT_NS};

	nanosleep(&t, NULL);
}

/* Step 5, for requests with __GFP_WAIT. */
static struct page *reclaim_and_retry(const struct request *rq)
{
	const struct buddy_reclaim_hooks *h = atomic_load(&hooks);
	unsigned long reclaimed = 0;

	stat_add(&buddy_node_stats[rq->nid].stalls, 1);
	for (;;) {
		unsigned long progress = 0;
		struct page *page;

		if (h->reclaim != NULL)
			progress = h->reclaim(rq->nid, rq->gfp, rq->order);
		reclaimed += progress;
		drain_zonelist(rq);
		page = try_zonelist(rq, MARK_MIN);
		if (page != NULL || (rq->gfp & __GFP_NORETRY) != 0)
			return page;
		if ((rq->gfp & __GFP_NOFAIL) != 0) {
			if (progress == 0)
				wait_a_little();
			continue;
		}
		if (progress == 0)
			return NULL;
		if (rq->order > COSTLY_ORDER &&
		    ((rq->gfp & __GFP_REPEAT) == 0 || reclaimed >= 1UL << rq->order))
			return NULL;
	}
}

/* Who ignores the marks, must not reclaim and may not fail: until others free something
 * (Linux 2.6.28, nofail_alloc). */
static struct page *wait_for_frees(const struct request *rq)
{
	struct page *page;

	do {
		wait_a_little();
		drain_zonelist(rq);
		page = try_zonelist(rq, MARK_NONE);
	} while (page == NULL);
	return page;
}

static struct page *find_block(const struct request *rq)
{
	bool memalloc = (rq->gfp & __GFP_MEMALLOC) != 0;
	struct page *page = try_zonelist(rq, MARK_LOW);

	if (KMEM_LIKELY(page != NULL) || ((rq->gfp & GFP_LOOK) == GFP_LOOK && !memalloc))
		return page;
	wake_reclaimers(rq);
	page = try_zonelist(rq, MARK_MIN);
	if (page == NULL && memalloc)
		page = try_zonelist(rq, MARK_NONE);
	if (page != NULL)
		return page;
	drain_zonelist(rq);
	page = try_zonelist(rq, memalloc ? MARK_NONE : MARK_MIN);
	if (page == NULL && memalloc && (rq->gfp & __GFP_NOFAIL) != 0)
		return wait_for_frees(rq);
	/* The reclaimer itself must not reclaim in order to reclaim. */
	if (page != NULL || memalloc || (rq->gfp & __GFP_WAIT) == 0)
		return page;
	return reclaim_and_retry(rq);
}

static KMEM_COLD void report_failure(const struct request *rq)
{
	unsigned long free = 0, min = 0;

	for (struct zone *const *z = rq->zonelist->zones; *z != NULL; z++) {
		if (!zone_allowed(*z, rq))
			continue;
		free += zone_free_pages(*z);
		min += (*z)->pages_min;
	}
	kmem_error(-ENOMEM,
		   "page allocation failure: order %u, mode 0x%x, node %d: of the zones "
		   "allowed %lu pages are free, %lu are the reserve; free some, or raise "
		   "option 'memory'",
		   rq->order, rq->gfp, rq->nid, free, min);
}

static enum migratetype gfp_migratetype(gfp_t gfp)
{
	if ((gfp & __GFP_MOVABLE) != 0)
		return MIGRATE_MOVABLE;
	return (gfp & __GFP_RECLAIMABLE) != 0 ? MIGRATE_RECLAIMABLE : MIGRATE_UNMOVABLE;
}

static unsigned int gfp_zone_kind(gfp_t gfp)
{
	if ((gfp & __GFP_DMA) != 0)
		return ZONE_DMA;
	return (gfp & __GFP_HIGHMEM) != 0 ? ZONE_HIGHMEM : ZONE_NORMAL;
}

struct page *alloc_pages_slow(int nid, gfp_t gfp, unsigned int order)
{
	struct request rq = {.gfp = gfp, .order = order, .nid = nid};
	struct page *page;

	if (KMEM_UNLIKELY(alloc_check(nid, gfp, order) != 0))
		return NULL;
	rq.kind = kind_of(order, buddy.mobility ? gfp_migratetype(gfp) : 0);
	if (nid == NUMA_NO_NODE)
		rq.nid = numa_node_id();
	if (KMEM_UNLIKELY(buddy_in_reclaim))
		rq.gfp |= __GFP_MEMALLOC;
	rq.zonelist = &buddy.zonelists[rq.nid * GFP_ZONE_KINDS + (int)gfp_zone_kind(gfp)];
	page = find_block(&rq);
	if (page == NULL) {
		if ((gfp & __GFP_NOWARN) == 0)
			report_failure(&rq);
		return NULL;
	}
	if ((gfp & __GFP_ZERO) != 0 &&
	    phys_zero_frames((unsigned long)(page - buddy.mem_map), 1UL << order) != 0) {
		__free_pages(page, order);
		return NULL;
	}
	return page;
}
