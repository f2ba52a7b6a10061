/* SPDX-License-Identifier: MIT */
/*
 * Memory pools: a reserve of elements for those who must not fail, with the interface
 * of Linux 2.6 <linux/mempool.h>. A pool of min_nr elements guarantees that so many
 * can be in use at once, whatever becomes of the allocator behind it. mempool.c has
 * the theory. Any thread may call, for any pool.
 */
#ifndef KMEM_MEMPOOL_H
#define KMEM_MEMPOOL_H

#include <kmem/gfp.h>
#include <kmem/slab.h>

typedef struct mempool mempool_t;

/* One element, or NULL; may sleep only where the mask has __GFP_WAIT. */
typedef void *(*mempool_alloc_t)(gfp_t gfp, void *pool_data);
typedef void (*mempool_free_t)(void *element, void *pool_data);

/* Most elements of a reserve. */
#define MEMPOOL_MIN_NR_MAX (1 << 24)

/*
 * Makes a pool and fills its reserve, min_nr elements, 1 to MEMPOOL_MIN_NR_MAX; may
 * sleep. NULL with an error text when not all of them are to be had.
 */
KMEM_API mempool_t *mempool_create(int min_nr, mempool_alloc_t alloc_fn,
				   mempool_free_t free_fn, void *pool_data);
/*
 * Gives the reserve and the pool back; no other thread may be using it. 0, or -EBUSY
 * with a text when elements of the reserve are still in use: the pool stays usable.
 * NULL is ignored.
 */
KMEM_API int mempool_destroy(mempool_t *pool);
/*
 * Changes the size of the reserve; may sleep. 0, or -EINVAL, -ENOMEM with a text.
 * Where elements are not to be had now, those that are freed fill the reserve.
 */
KMEM_API int mempool_resize(mempool_t *pool, int new_min_nr);
/*
 * One element: from the allocator, else from the reserve. With __GFP_WAIT it waits for
 * others to free elements and never returns NULL; without, NULL when the reserve is
 * used up. __GFP_ZERO is refused (an element of the reserve is not zero), as are masks
 * that gfp_check() refuses: NULL with a text.
 */
KMEM_API void *mempool_alloc(mempool_t *pool, gfp_t gfp);
/* Fills the reserve first, then gives back to the allocator. NULL is ignored. */
KMEM_API void mempool_free(void *element, mempool_t *pool);

/* Ready-made: pool_data is a struct kmem_cache. */
KMEM_API void *mempool_alloc_slab(gfp_t gfp, void *pool_data);
KMEM_API void mempool_free_slab(void *element, void *pool_data);
/* Ready-made: pool_data is the size in bytes, as a pointer. */
KMEM_API void *mempool_kmalloc(gfp_t gfp, void *pool_data);
KMEM_API void mempool_kfree(void *element, void *pool_data);

static inline mempool_t *mempool_create_slab_pool(int min_nr, struct kmem_cache *cache)
{
	return mempool_create(min_nr, mempool_alloc_slab, mempool_free_slab, cache);
}

static inline mempool_t *mempool_create_kmalloc_pool(int min_nr, size_t size)
{
	return mempool_create(min_nr, mempool_kmalloc, mempool_kfree,
			      (void *)(uintptr_t)size);
}

struct mempool_stats {
	int min_nr, curr_nr;   /* reserve: wanted, there */
	uint64_t from_reserve; /* allocations that the reserve served */
	uint64_t refills;      /* frees that filled it again */
	uint64_t waits;	       /* times that somebody slept */
	uint64_t failures;     /* NULL was returned */
};
KMEM_API void mempool_stats(mempool_t *pool, struct mempool_stats *stats);

#endif /* KMEM_MEMPOOL_H */
