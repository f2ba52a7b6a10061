/* SPDX-License-Identifier: MIT */
/* Structures of the slab allocator; slab.c has the theory. */
#ifndef KMEM_SLAB_INTERNAL_H
#define KMEM_SLAB_INTERNAL_H

#include <kmem/mm_types.h>
#include <kmem/phys.h>
#include <kmem/slab.h>
#include "allocators/os/magazine_fast.h"
#include "allocators/os/spinlock.h"
#include "allocators/slab/slab_depot.h"
#include "allocators/slab/slab_geometry.h"
#include "allocators/slab/slab_harden.h"
#include "allocators/slab/slab_list.h"
#include "allocators/slab/slab_pages.h"

/* Most objects moved between an array, the depot and the slabs at a time; such
 * a batch lies on the stack of the mover. */
#define SLAB_BATCH_MAX 256u
#define SLAB_NAME_MAX  64
/* Misses in a row at one end of a magazine after which objects are taken to go one way.
 */
#define SLAB_ONE_WAY 4u

#define SLAB_DEBUG_FLAGS (SLAB_RED_ZONE | SLAB_POISON | SLAB_STORE_USER)
#define SLAB_PUBLIC_FLAGS                                                  \
	(SLAB_HWCACHE_ALIGN | SLAB_NO_REAP | SLAB_CACHE_DMA | SLAB_PANIC | \
	 SLAB_DEBUG_FLAGS)

/*
 * Descriptor of one slab. Every page of the slab has PG_slab set and points to
 * the cache and to this descriptor.
 */
struct slab {
	struct list_head list; /* on one list of its node; under list_lock */
	char *s_mem;	       /* first object (behind its left pad); constant */
	uint8_t nid;	       /* constant */
	/* Its free pages have gone back to the system, and no object has been freed
	 * since; under list_lock. */
	uint8_t trimmed;
	uint16_t inuse;	    /* objects not on the free chain; under list_lock */
	kmem_bufctl_t free; /* first of the free chain; under list_lock */
	uint16_t colour;    /* in steps of colour_off; constant */
	kmem_bufctl_t
		bufctl[]; /* free: next free; else a BUFCTL state; under list_lock */
};
_Static_assert(sizeof(struct slab) == 32, "a slab's descriptor is budgeted at 32 bytes");

/* Slabs of one node: everything under list_lock but the lock and what says otherwise. */
struct kmem_list3 {
	struct kmem_spinlock list_lock;
	struct list_head slabs_partial; /* searched first */
	struct list_head slabs_full;
	struct list_head slabs_free;
	uint64_t free_objects; /* on the free chains */
	uint64_t nr_slabs;
	uint64_t nr_free_slabs;
	uint64_t free_limit; /* more free objects than this: empty slabs go back; constant
			      */
	uint32_t colour_next;
	/* statistics; of refills and flushes those that depots did not serve */
	uint64_t refills, flushes, grown, reaped;
	/* Objects of this node that other nodes' CPUs have freed; all-zero: no alien
	 * caches. Constant, the stacks belong to their CPUs. */
	struct percpu_stacks alien;
	struct slab_depot depot KMEM_CACHELINE_ALIGNED; /* under its own lock */
};

struct kmem_cache {
	/* --- hit path: constant after creation, one line --- */
	struct magazines mag; /* numbers 0: none */
	/* What page_id says of its pages: mag.in, or 0 where no free may take the hit
	 * path (debugging, several nodes, hardened=on). */
	uint8_t page_id;
	uint8_t hit_out; /* mag.out, or 0 where no allocation may (hardened=on) */
	uint32_t object_size;
	uint32_t stride;
	uint64_t reciprocal; /* 2^64 / stride, rounded up: division by multiplication */
	uint32_t num;	     /* objects per slab */
	uint32_t gfporder;
	gfp_t gfpflags; /* added for pages */
	uint32_t flags; /* SLAB_* */

	/* --- properties: constant after creation --- */
	struct kmem_cache *slabp_cache; /* of off-slab descriptors; NULL: on the slab */
	kmem_cache_ctor ctor, dtor;
	struct slab_geometry geometry;
	uint32_t limit;	      /* objects of a magazine that has not grown; 0: none */
	uint32_t limit_max;   /* that it may grow to; as `limit`: it is fixed */
	uint32_t batchcount;  /* objects moved at a time, to or from such a magazine */
	uint32_t batch_max;   /* and from one that has grown */
	uint32_t depot_limit; /* objects in a depot that has not grown; 0: no depots */
	uint32_t depot_max;   /* that it may grow to; 0: limits are fixed */
	char *depots;	      /* CPU 0's, as in a per-CPU area; NULL: the nodes' only */
	bool debug;	      /* any of SLAB_DEBUG_FLAGS */
	char name[SLAB_NAME_MAX];

	struct list_head next; /* on slab_cache_chain; under slab_chain_mutex */

	/* --- slab layer --- */
	struct kmem_list3 node[]; /* slab_nr_nodes of them */
};

/* --- state of the allocator: written by kmem_cache_init() only --- */
extern struct slab_config slab_config;
extern unsigned int slab_nr_nodes; /* 0: not initialised */
extern struct list_head slab_cache_chain;
/* Whoever has it may take it again. */
void slab_chain_lock(void);
void slab_chain_unlock(void);
/* False where anybody has it, the caller included. */
bool slab_chain_trylock(void);
/* For reclaim, which may be called with the lock held, by this thread or another: false
 * when it is not to be had within a millisecond or so. */
bool slab_chain_lock_in_reclaim(void);

/* --- slab_lists.c: slabs --- */

/* Takes up to n objects of node nid, its own depot first, then slabs; never grows.
 * out is in stack order: the last one is best used first. */
size_t slab_node_take(struct kmem_cache *cache, int nid, size_t n, void **out);
/* Gives objects back to their own nodes, depots first; the last one is the hottest. */
void slab_node_put(struct kmem_cache *cache, size_t n, void *const *objects);
/* The same past the depots. */
void slab_lists_put(struct kmem_cache *cache, size_t n, void *const *objects);
/* Adds one slab, from nid if it can be. Returns its node, or -1. */
int slab_grow(struct kmem_cache *cache, gfp_t gfp, int nid);
/* Empties arrays, alien caches and depots into the slabs. quiescent: nobody else uses the
 * cache. */
void slab_drain(struct kmem_cache *cache, bool quiescent);
/* Gives wholly free slabs back to the page allocator; returns how many. */
size_t slab_release_free(struct kmem_cache *cache);
/* The same for up to max slabs of one node. */
size_t slab_release_node(struct kmem_cache *cache, int nid, size_t max);
/* Gives every slab back, whatever is live: for kmem_cache_exit(). */
void slab_release_all(struct kmem_cache *cache);
/* Both for a new cache; the limit follows the batches. */
void slab_list3_init(struct kmem_cache *cache, int nid);
void slab_free_limit_init(struct kmem_cache *cache, int nid);

/* --- slab_alien.c: objects on their way to another node --- */

/* 0, or -ENOMEM; without option alien, or with one node, there are none. */
int slab_alien_init(struct kmem_cache *cache);
void slab_alien_destroy(struct kmem_cache *cache);
/* Frees an object of node nid, which is not the caller's. */
void slab_alien_free(struct kmem_cache *cache, int nid, void *object);

struct slab_alien_sums {
	uint64_t objects; /* there now */
	uint64_t sent;	  /* that have gone home in batches */
};
struct slab_alien_sums slab_alien_sum(const struct kmem_cache *cache);

/* --- slab_tune.c: how much is kept where --- */

/* Arrays, alien caches and depots of a new cache. 0, or -ENOMEM with a text. */
int slab_percpu_init(struct kmem_cache *cache);
/* They are empty, or what is in them is forgotten. */
void slab_percpu_destroy(struct kmem_cache *cache);
/* Objects of size bytes in an array unless somebody says otherwise; where that tunes
 * itself, at first, of a cache that would have `fixed`. */
uint32_t slab_default_limit(size_t size);
uint32_t slab_first_limit(size_t size, uint32_t fixed);
/* Of the memory that all magazines and depots together may have grown by. */
bool slab_take_budget(uint64_t bytes);
void slab_give_budget(uint64_t bytes);

/* --- slab.c --- */
void *slab_alloc_slow(struct kmem_cache *cache, gfp_t gfp, int nid, const void *caller);
/* cache NULL: whichever owns the object, large blocks included (kfree). */
void slab_free_slow(struct kmem_cache *cache, void *object, const void *caller);
/* The slab of the object that is freed, *cachep its cache; NULL: there is nothing more to
 * do, after a report or for a large block. slab_free_check.c; the second: hardened=on. */
struct slab *slab_free_lookup(struct kmem_cache **cachep, void *object);
struct slab *slab_free_marked(struct kmem_cache **cachep, void *object);
/* Puts an object onto this CPU's array, which was full, or onto its slab. */
void slab_flush(struct kmem_cache *cache, void *object);

/* --- slab_debug.c: red zones, poison, reports --- */
void slab_debug_init_object(const struct kmem_cache *cache, char *object);
void *slab_debug_alloc(struct kmem_cache *cache, void *object, const void *caller);
void slab_debug_free(struct kmem_cache *cache, struct slab *slab, void *object,
		     const void *caller);
/* SLAB_* for the option debug. */
unsigned int slab_debug_flags(int debug);
/* Checks a free object's patterns without repair; false after a report to `text`. */
bool slab_debug_check_free(const struct kmem_cache *cache, const char *object, char *text,
			   size_t size);
bool slab_debug_check_active(const struct kmem_cache *cache, const char *object,
			     char *text, size_t size);
void slab_report_double_free(const struct kmem_cache *cache, const void *object);
void slab_report_not_object(const struct kmem_cache *cache, const struct slab *slab,
			    const void *addr);
/* What ksize() refuses. */
void slab_report_bad_size(const void *addr);

/* --- slab_cache.c --- */
/* kmem_cache_init() without the general caches: each is made when it is first needed, by
 * a request that waits for the lock of the list of caches, whatever its flags. */
int slab_start(const struct slab_config *config);
/* gfp: how memory for its description is had. slot: of a general cache, where it is to be
 * found from then on; who finds one there already, because another thread has been
 * faster, gets that. NULL: a cache like any other, whose name must be new. NULL with an
 * error text. */
struct kmem_cache *slab_cache_new(const char *name, size_t size, size_t align,
				  unsigned int flags, kmem_cache_ctor ctor,
				  kmem_cache_ctor dtor, gfp_t gfp,
				  struct kmem_cache *_Atomic *slot);

/* --- slab_fork.c: os/os_fork.h has the theory --- */
void slab_fork_init(void);
void slab_fork_exit(void);

/* --- slab_trim.c: free memory inside of slabs --- */

/* Bytes of free objects, those on arrays included. */
size_t slab_idle_bytes(void);
/* Gives the pages of partly used slabs back to the system that only free objects lie on;
 * returns how many. */
size_t slab_discard_free(void);

/* --- slab_idle.c --- */

/* Empties this CPU's magazines and depots of all caches into the slabs, and gives free
 * slabs back to the page allocator; returns how many. grown: also of caches whose
 * magazines have grown here. Without a system call; it does nothing where somebody holds
 * the chain's lock. */
size_t slab_drain_here(bool grown);

/* --- slab_reclaim.c: free slabs go back when pages run low --- */
void slab_reclaim_init(void);
void slab_reclaim_exit(void);

/* --- kmalloc.c --- */
int kmalloc_init(void);
void kmalloc_exit(void);
/* Makes all general caches that there are not yet; false with an error text. */
bool kmalloc_make_all(void);
/* Size of the general cache that serves size bytes; size <= KMALLOC_MAX_CACHE_SIZE. */
size_t kmalloc_class_size(size_t size);
/* Made if need be, with memory as gfp says, so not under a lock of this layer. NULL with
 * an error text: no memory, or __GFP_DMA where there is no such zone. */
struct kmem_cache *kmalloc_cache_of(size_t size, gfp_t gfp);
/* A general cache is there from now on. Under the lock of the list of caches. */
void kmalloc_publish(struct kmem_cache *_Atomic *slot, struct kmem_cache *cache);
/* Whether a general cache has that name, or will have. */
bool kmalloc_owns_name(const char *name);
/* Frees a block that kmalloc() took from the page allocator; false: it is none. */
bool kmalloc_large_free(void *object);

/* --- small helpers --- */

static inline char *slab_object(const struct kmem_cache *cache, const struct slab *slab,
				unsigned int index)
{
	return slab->s_mem + (size_t)index * cache->stride;
}

/*
 * Index of the object that starts at addr, or -1. The multiplication divides
 * exactly: offset * stride < 2^64 for offsets within a slab.
 */
static inline long slab_index(const struct kmem_cache *cache, const struct slab *slab,
			      const void *addr)
{
	size_t offset = (size_t)((const char *)addr - slab->s_mem);
	size_t index = (size_t)(((unsigned __int128)offset * cache->reciprocal) >> 64);

	if ((const char *)addr < slab->s_mem || index >= cache->num ||
	    index * cache->stride != offset)
		return -1;
	return (long)index;
}

/* The slab that owns addr's page if that belongs to the cache, else NULL. */
static inline struct slab *slab_of(const struct kmem_cache *cache, const void *addr)
{
	struct page *page = virt_to_page(addr);

	if (!(atomic_load_explicit(&page->flags, memory_order_relaxed) & PG_slab) ||
	    page->slab_cache != cache)
		return NULL;
	return page->slab;
}

static inline uint32_t slab_depot_limit(const struct kmem_cache *cache,
					const struct slab_depot *d)
{
	return cache->depot_limit + d->grown;
}

/* Objects that a magazine may hold on the CPU of that depot. */
static inline uint32_t slab_magazine_limit(const struct kmem_cache *cache,
					   const struct slab_depot *d)
{
	return cache->limit +
	       atomic_load_explicit(&d->magazine.grown, memory_order_relaxed);
}

/* Only where the cache has depots for CPUs. */
static inline struct slab_depot *slab_depot_of_cpu(const struct kmem_cache *cache,
						   unsigned int cpu)
{
	return (struct slab_depot *)(cache->depots + ((size_t)cpu << PERCPU_AREA_SHIFT));
}

/* Objects to move at a time to or from magazines of that CPU. */
static inline uint32_t slab_batch_of(const struct kmem_cache *cache,
				     const struct slab_depot *d)
{
	uint32_t half = slab_magazine_limit(cache, d) / 2;

	if (half <= cache->batchcount)
		return cache->batchcount;
	return half < cache->batch_max ? half : cache->batch_max;
}

/* The same under the depot's lock: where objects go one way, the whole magazine. */
static inline uint32_t slab_batch_now(const struct kmem_cache *cache,
				      const struct slab_depot *d)
{
	uint32_t all = slab_magazine_limit(cache, d);

	if (d->magazine.run < SLAB_ONE_WAY)
		return slab_batch_of(cache, d);
	return all < cache->batch_max ? all : cache->batch_max;
}

static inline uint32_t slab_batch_here(const struct kmem_cache *cache)
{
	return cache->depots ? slab_batch_of(cache, slab_depot_of_cpu(cache, os_cpu_id()))
			     : cache->batchcount;
}

/* All depots by number: those of the nodes, then those of the CPUs. */
static inline unsigned int slab_nr_depots(const struct kmem_cache *cache)
{
	return slab_nr_nodes + (cache->depots ? os_nr_cpus() : 0);
}

static inline struct slab_depot *slab_depot_number(struct kmem_cache *cache,
						   unsigned int i)
{
	if (i < slab_nr_nodes)
		return &cache->node[i].depot;
	return slab_depot_of_cpu(cache, i - slab_nr_nodes);
}

static inline int slab_this_node(void)
{
	return slab_nr_nodes > 1 ? numa_node_id() : 0;
}

#endif /* KMEM_SLAB_INTERNAL_H */
