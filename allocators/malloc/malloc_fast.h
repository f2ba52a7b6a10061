/* SPDX-License-Identifier: MIT */
/*
 * The hit path of malloc and free: a byte of the class table and one pop; the
 * page's descriptor and one push. There is no test for "not started yet": until
 * then the arrays have no CPUs and memory has no frames, so that both go to the
 * slow path by themselves.
 */
#ifndef KMEM_MALLOC_FAST_H
#define KMEM_MALLOC_FAST_H

#include "allocators/malloc/malloc_internal.h"
#include "allocators/slab/slab_fast.h"

static KMEM_ALWAYS_INLINE void *malloc_fast(size_t size)
{
	if (KMEM_LIKELY(size <= KMALLOC_SMALL_MAX)) {
		size_t step = (size + (1u << KMALLOC_SMALL_STEP) - 1) >>
			      KMALLOC_SMALL_STEP;
		void *object = slab_pop_hit(&kmalloc_percpu[kmalloc_small_class[step]]);

		if (KMEM_LIKELY(object != NULL))
			return object;
	}
	return malloc_slow_plain(size);
}

static KMEM_ALWAYS_INLINE void free_fast(void *ptr)
{
	unsigned long pfn = virt_to_pfn(ptr);

	if (KMEM_LIKELY(pfn_valid(pfn))) {
		struct page *page = pfn_to_page(pfn);

		if (KMEM_LIKELY(atomic_load_explicit(&page->flags, memory_order_relaxed) &
				PG_slab) &&
		    slab_free_hit(page->slab_cache, ptr))
			return;
	}
	free_slow(ptr);
}

#endif /* KMEM_MALLOC_FAST_H */
