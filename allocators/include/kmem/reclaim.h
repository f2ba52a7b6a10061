/* SPDX-License-Identifier: MIT */
/*
 * Reclaim: how caches give pages back when memory runs low.
 *
 * Whoever keeps pages that can be had again (a page cache, free slabs, an LRU of
 * anonymous pages) registers a shrinker. It is called by kswapd, the background
 * thread of a node, when a zone has fallen below its low watermark, and by requests
 * that may wait and have found nothing above the min watermark (Linux 2.6.28
 * mm/vmscan.c; count and scan as two calls as in Linux 3.12).
 */
#ifndef KMEM_RECLAIM_H
#define KMEM_RECLAIM_H

#include <kmem/gfp.h>

/* Effort to make a page again, as the kernel weighs caches against each other. */
#define DEFAULT_SEEKS 2

/* Owned by the caller, who keeps it until unregister_shrinker() has returned. */
struct shrinker {
	/*
	 * How many pages of a node could be given back. No locks of the page allocator
	 * are held; it must not allocate.
	 */
	unsigned long (*count)(struct shrinker *s, int nid);
	/*
	 * Gives up to nr of them back, of that node if it can tell, and returns how many
	 * it did. It may allocate: such a request ignores the watermarks, for it is
	 * there to free more. It must not wait for a lock under which its owner allocates
	 * with __GFP_WAIT.
	 */
	unsigned long (*scan)(struct shrinker *s, int nid, unsigned long nr, gfp_t gfp);
	int seeks; /* 0: DEFAULT_SEEKS */
	void *arg; /* the owner's */
	/* The rest is the list's. */
	struct shrinker *next;
};

/*
 * Any thread, after buddy_init(); may sleep. The first request that finds a zone low
 * starts kswapd, one thread per node, unless option kswapd is off; where the system has
 * no thread to give, requests reclaim themselves, and try again to start it once a
 * second. 0, or -EINVAL with a text. A shrinker must not fork.
 */
KMEM_API int register_shrinker(struct shrinker *s);
/* No call of its functions is under way or will be made once this has returned. */
KMEM_API void unregister_shrinker(struct shrinker *s);

/*
 * Reclaims for a request now: as many pages as a block of the order has, at least 32.
 * Returns how many were given back.
 */
KMEM_API unsigned long try_to_free_pages(int nid, gfp_t gfp, unsigned int order);

#endif /* KMEM_RECLAIM_H */
