/* SPDX-License-Identifier: MIT */
/*
 * Allocation flags, with the names and meanings of Linux 2.6.28 <linux/gfp.h>.
 * The values are this library's own; only the names are an interface.
 */
#ifndef KMEM_GFP_H
#define KMEM_GFP_H

#include <kmem/compiler.h>

typedef uint32_t gfp_t;

/* Zone modifiers: where the page may come from. At most one of them. */
#define __GFP_DMA     ((gfp_t)0x0001u)
#define __GFP_HIGHMEM ((gfp_t)0x0002u)
/* What the allocator may do to find it. */
#define __GFP_WAIT     ((gfp_t)0x0010u) /* may reclaim and sleep */
#define __GFP_HIGH     ((gfp_t)0x0020u) /* may use part of the emergency reserve */
#define __GFP_COLD     ((gfp_t)0x0040u) /* a cache-cold page is wanted */
#define __GFP_NOWARN   ((gfp_t)0x0080u) /* no failure report */
#define __GFP_REPEAT   ((gfp_t)0x0100u) /* try harder, may still fail */
#define __GFP_NOFAIL   ((gfp_t)0x0200u) /* retry for ever */
#define __GFP_NORETRY  ((gfp_t)0x0400u) /* reclaim once at most, no retry */
#define __GFP_ZERO     ((gfp_t)0x0800u) /* zeroed memory */
#define __GFP_THISNODE ((gfp_t)0x1000u) /* no fallback to another node */
#define __GFP_MEMALLOC                                                  \
	((gfp_t)0x2000u) /* ignore the watermarks: the reclaimer itself \
			  */

/* How a page may be got back, for grouping by mobility (Linux 2.6.24); at most one.
 * Neither: not at all, until its holder frees it. */
#define __GFP_RECLAIMABLE ((gfp_t)0x4000u) /* by a shrinker */
#define __GFP_MOVABLE	  ((gfp_t)0x8000u) /* its contents can be moved, or swapped out */

#define GFP_NOWAIT   ((gfp_t)0)
#define GFP_ATOMIC   (__GFP_HIGH)
#define GFP_KERNEL   (__GFP_WAIT)
#define GFP_USER     (__GFP_WAIT)
#define GFP_HIGHUSER (__GFP_WAIT | __GFP_HIGHMEM)
#define GFP_DMA	     (__GFP_DMA)

#define __GFP_BITS_MASK ((gfp_t)0xfff3u)

/* "Any node": the node of the calling CPU comes first. */
#define NUMA_NO_NODE (-1)

/*
 * Returns 0, or -EINVAL with an error text for unknown bits and for
 * combinations that contradict each other (DMA with HIGHMEM; RECLAIMABLE with
 * MOVABLE; NOFAIL, REPEAT and NORETRY are mutually exclusive; NOFAIL, REPEAT, NORETRY
 * need WAIT).
 */
KMEM_API int gfp_check(gfp_t gfp);

#endif /* KMEM_GFP_H */
