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

static KMEM_ALWAYS_INLINE void *kmem_cache_alloc_fast(struct kmem_cache *cache, gfp_t gfp)
{
	if (KMEM_LIKELY(!(gfp & SLAB_GFP_SLOW))) {
		void *object = magazine_pop_hit(cache->hit_out);

		if (KMEM_LIKELY(object != NULL))
			return object;
	}
	return slab_alloc_slow(cache, gfp, NUMA_NO_NODE, __builtin_return_address(0));
}

static KMEM_ALWAYS_INLINE void kmem_cache_free_fast(struct kmem_cache *cache,
						    void *object)
{
	size_t id = slab_id_of(object);

	/* Number 0 never hits. */
	if (KMEM_LIKELY(id == cache->mag.in) && slab_free_hit(id, object))
		return;
	slab_free_slow(cache, object, __builtin_return_address(0));
}

/* --- general caches --- */

/* Two byte tables turn a size into the number of its cache: steps of 16 bytes up to
 * 16 KiB (1 KiB of table, of which small sizes touch a line), of 1 KiB above. 0, which
 * always misses: nobody has asked for that size yet. */
#define KMALLOC_SMALL_MAX  ((size_t)16 << 10)
#define KMALLOC_SMALL_STEP 4
#define KMALLOC_LARGE_STEP 10

#pragma GCC visibility push(hidden)
extern _Atomic uint8_t kmalloc_small_id[(KMALLOC_SMALL_MAX >> KMALLOC_SMALL_STEP) + 1];
extern _Atomic uint8_t
	kmalloc_large_id[(KMALLOC_MAX_CACHE_SIZE >> KMALLOC_LARGE_STEP) + 1];
#pragma GCC visibility pop

/* Number of the magazine that the size is taken from. size <= KMALLOC_SMALL_MAX; 0 before
 * the start. */
static KMEM_ALWAYS_INLINE size_t kmalloc_small_out(size_t size)
{
	return atomic_load_explicit(
		&kmalloc_small_id[(size + (1u << KMALLOC_SMALL_STEP) - 1) >>
				  KMALLOC_SMALL_STEP],
		memory_order_relaxed);
}

/* size <= KMALLOC_MAX_CACHE_SIZE */
static KMEM_ALWAYS_INLINE size_t kmalloc_large_out(size_t size)
{
	return atomic_load_explicit(
		&kmalloc_large_id[(size + (1u << KMALLOC_LARGE_STEP) - 1) >>
				  KMALLOC_LARGE_STEP],
		memory_order_relaxed);
}

/* Everything the hit path does not serve; slower, and complete. */
void *kmalloc_slow(size_t size, gfp_t gfp, int nid, const void *caller);

static KMEM_ALWAYS_INLINE void *kmalloc_fast(size_t size, gfp_t gfp)
{
	if (KMEM_LIKELY(size <= KMALLOC_SMALL_MAX && !(gfp & SLAB_GFP_SLOW))) {
		void *object = magazine_pop_hit(kmalloc_small_out(size));

		if (KMEM_LIKELY(object != NULL))
			return object;
	}
	return kmalloc_slow(size, gfp, NUMA_NO_NODE, __builtin_return_address(0));
}

static KMEM_ALWAYS_INLINE void kfree_fast(void *object)
{
	if (KMEM_LIKELY(slab_free_hit(slab_id_of(object), object)))
		return;
	slab_free_slow(NULL, object, __builtin_return_address(0));
}

/* Bytes to ask for so that the block is aligned to align, 0 or a power of two: classes
 * between two powers of two 2^k and 2^(k+1) are multiples of 2^(k-2), or are none at
 * all, so that what is a multiple of the alignment is served by a class that is. */
static KMEM_ALWAYS_INLINE size_t kmalloc_aligned_size(size_t size, size_t align)
{
	if (KMEM_LIKELY(align <= KMALLOC_MIN_ALIGN))
		return size;
	return size <= align ? align : KMEM_ALIGN_UP(size, align);
}

#endif /* KMEM_SLAB_FAST_H */
