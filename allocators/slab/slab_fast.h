/* SPDX-License-Identifier: MIT */
/*
 * The hit path: one test of the gfp mask or of the address, one push or pop on
 * this CPU's array. For code inside the library and the adapters, which save a
 * call by inlining it; everybody else calls the functions of <kmem/slab.h>.
 */
#ifndef KMEM_SLAB_FAST_H
#define KMEM_SLAB_FAST_H

#include "allocators/slab/slab_internal.h"

/* Flags that say only how to get pages: a cached object satisfies them as it is.
 * Any other flag, unknown bits too, is looked at in the slow path. */
#define SLAB_GFP_HIT \
	(__GFP_WAIT | __GFP_HIGH | __GFP_COLD | __GFP_NOWARN | __GFP_MEMALLOC)
#define SLAB_GFP_SLOW (~SLAB_GFP_HIT)

/*
 * Only restartable sequences are inlined. In the mode with locks everything
 * takes the slow path, which pops and pushes by itself: so the hit path makes
 * no call but its last one and needs no stack frame.
 */
static KMEM_ALWAYS_INLINE void *slab_pop_hit(const struct percpu_stacks *arrays)
{
#if OS_PERCPU_RSEQ
	if (KMEM_LIKELY(os_percpu_use_rseq))
		return percpu_pop_rseq(arrays);
#endif
	(void)arrays;
	return NULL;
}

static KMEM_ALWAYS_INLINE bool slab_push_hit(const struct percpu_stacks *arrays,
					     void *object)
{
#if OS_PERCPU_RSEQ
	if (KMEM_LIKELY(os_percpu_use_rseq))
		return percpu_push_rseq(arrays, object);
#endif
	(void)arrays, (void)object;
	return false;
}

static KMEM_ALWAYS_INLINE void *kmem_cache_alloc_fast(struct kmem_cache *cache, gfp_t gfp)
{
	if (KMEM_LIKELY(!(gfp & SLAB_GFP_SLOW))) {
		void *object = slab_pop_hit(&cache->percpu);

		if (KMEM_LIKELY(object != NULL))
			return object;
	}
	return slab_alloc_slow(cache, gfp, NUMA_NO_NODE, __builtin_return_address(0));
}

/* True when the object has gone onto this CPU's array. The caller knows that
 * the object's page belongs to the cache. */
static KMEM_ALWAYS_INLINE bool slab_free_hit(struct kmem_cache *cache, void *object)
{
	return KMEM_LIKELY(((uintptr_t)object & cache->free_mask) == 0) &&
	       KMEM_LIKELY(slab_push_hit(&cache->percpu, object));
}

static KMEM_ALWAYS_INLINE void kmem_cache_free_fast(struct kmem_cache *cache,
						    void *object)
{
	unsigned long pfn = virt_to_pfn(object);

	/* A page on a buddy list has its links where a slab page has the cache;
	 * a link points to a page, so it never equals a cache. */
	if (KMEM_LIKELY(pfn_valid(pfn) && pfn_to_page(pfn)->slab_cache == cache) &&
	    slab_free_hit(cache, object))
		return;
	slab_free_slow(cache, object, __builtin_return_address(0));
}

/* --- general caches --- */

/* Two byte tables turn a size into a class: steps of 8 bytes up to 16 KiB (2 KiB of
 * table, 32 lines, of which small sizes touch two), steps of 1 KiB above. */
#define KMALLOC_SMALL_MAX  ((size_t)16 << 10)
#define KMALLOC_SMALL_STEP 3
#define KMALLOC_LARGE_STEP 10
#define KMALLOC_NR_CLASSES 13

/* Hidden, so that no address comes from the global offset table. */
#pragma GCC visibility push(hidden)
extern uint8_t kmalloc_small_class[(KMALLOC_SMALL_MAX >> KMALLOC_SMALL_STEP) + 1];
extern uint8_t kmalloc_large_class[(KMALLOC_MAX_CACHE_SIZE >> KMALLOC_LARGE_STEP) + 1];
/* Copies of the caches' array descriptions: they save the hit path a pointer. */
extern struct percpu_stacks kmalloc_percpu[KMALLOC_NR_CLASSES];
#pragma GCC visibility pop

/* Everything the hit path does not serve; slower, and complete. */
void *kmalloc_slow(size_t size, gfp_t gfp, int nid, const void *caller);

static KMEM_ALWAYS_INLINE void *kmalloc_fast(size_t size, gfp_t gfp)
{
	if (KMEM_LIKELY(size <= KMALLOC_SMALL_MAX && !(gfp & SLAB_GFP_SLOW))) {
		size_t step = (size + (1u << KMALLOC_SMALL_STEP) - 1) >>
			      KMALLOC_SMALL_STEP;
		void *object = slab_pop_hit(&kmalloc_percpu[kmalloc_small_class[step]]);

		if (KMEM_LIKELY(object != NULL))
			return object;
	}
	return kmalloc_slow(size, gfp, NUMA_NO_NODE, __builtin_return_address(0));
}

static KMEM_ALWAYS_INLINE void kfree_fast(void *object)
{
	unsigned long pfn = virt_to_pfn(object);

	if (KMEM_LIKELY(pfn_valid(pfn))) {
		struct page *page = pfn_to_page(pfn);

		if (KMEM_LIKELY(atomic_load_explicit(&page->flags, memory_order_relaxed) &
				PG_slab) &&
		    slab_free_hit(page->slab_cache, object))
			return;
	}
	slab_free_slow(NULL, object, __builtin_return_address(0));
}

#endif /* KMEM_SLAB_FAST_H */
