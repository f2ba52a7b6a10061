/* SPDX-License-Identifier: MIT */
/*
 * The hit path of malloc and free: a byte of the class table and one pop; a byte
 * of the page table and one push. There is no test for "not started yet": until
 * then the arrays have no CPUs and memory has no frames, so that both go to the
 * slow path by themselves.
 */
#ifndef KMEM_MALLOC_FAST_H
#define KMEM_MALLOC_FAST_H

#include "allocators/malloc/malloc_internal.h"
#include "allocators/slab/slab_fast.h"

static KMEM_ALWAYS_INLINE void *malloc_fast(size_t size)
{
	void *object;

	if (KMEM_UNLIKELY(size > KMALLOC_SMALL_MAX))
		return malloc_large(size);
	object = magazine_pop_hit(kmalloc_small_out(size));
	return KMEM_LIKELY(object != NULL) ? object : malloc_miss(size);
}

static KMEM_ALWAYS_INLINE void free_fast(void *ptr)
{
	/* As slab_id_of(), but what is no page of the direct map needs no array tried. */
	unsigned long pfn = (unsigned long)((const char *)ptr - slab_pages.base) >>
			    PAGE_SHIFT;

	if (KMEM_UNLIKELY(pfn >= slab_pages.nr_frames)) {
		free_outside(ptr);
		return;
	}
	if (KMEM_LIKELY(slab_free_hit(
		    atomic_load_explicit(&slab_pages.page_id[pfn], memory_order_relaxed),
		    ptr)))
		return;
	free_slow(ptr);
}

#endif /* KMEM_MALLOC_FAST_H */
