/* SPDX-License-Identifier: MIT */
/*
 * From an address to its cache's magazines.
 *
 * A free knows an address only. Its page's descriptor would tell the cache, but that
 * is a line of 64 bytes for two pages, and the cache another line: in a program with
 * mixed sizes both are often cold. So `page_id` holds one byte for each page frame, the
 * number of the magazine into which objects of that page are freed: a line of it covers
 * 256 KiB of memory. Pages of caches without magazines have 0, which is always empty and
 * always full: everything unusual goes to the slow path without a test of its own. That
 * is also the state before the start.
 *
 *   address --> page_id[pfn] --> magazine_push_hit()
 *   size ----> class table ----> magazine_pop_hit()
 */
#ifndef KMEM_SLAB_PAGES_H
#define KMEM_SLAB_PAGES_H

#include <kmem/mm_types.h>
#include "allocators/os/magazine_fast.h"
#include "allocators/slab/slab_grid.h"

/* What a free reads first, in one line. Written by kmem_cache_init() and _exit(). */
struct slab_pages {
	_Atomic uint8_t *page_id; /* by pfn */
	const char *base;	  /* address of pfn 0 */
	unsigned long nr_frames;  /* 0: not initialised */
} KMEM_CACHELINE_ALIGNED;

/* Hidden, so that no address comes from the global offset table. */
#pragma GCC visibility push(hidden)
extern struct slab_pages slab_pages;
/* By number: where objects start (struct slab_grid, its members apart: fewer
 * instructions), and whose magazine it is. Under slab_chain_mutex. */
extern struct slab_grids {
	uint64_t mask[MAGAZINE_NR];
	uint64_t reciprocal[MAGAZINE_NR];
} slab_grids;
extern struct kmem_cache *slab_id_caches[MAGAZINE_NR];
#pragma GCC visibility pop

/* Number of the magazine that the address is freed into; 0: none. */
static KMEM_ALWAYS_INLINE size_t slab_id_of(const void *addr)
{
	unsigned long pfn = (unsigned long)((const char *)addr - slab_pages.base) >>
			    PAGE_SHIFT;

	if (KMEM_UNLIKELY(pfn >= slab_pages.nr_frames))
		return 0;
	return atomic_load_explicit(&slab_pages.page_id[pfn], memory_order_relaxed);
}

/* Whether an object starts there, in a page whose number is id, not 0. */
static KMEM_ALWAYS_INLINE bool slab_starts_object(size_t id, const void *addr)
{
	return slab_grid_has(slab_grids.mask[id], slab_grids.reciprocal[id],
			     (uintptr_t)addr);
}

/* True when the object has gone into this CPU's magazine of that number. */
static KMEM_ALWAYS_INLINE bool slab_free_hit(size_t id, void *object)
{
	return KMEM_LIKELY(slab_starts_object(id, object)) &&
	       KMEM_LIKELY(magazine_push_hit(id, object));
}

#endif /* KMEM_SLAB_PAGES_H */
