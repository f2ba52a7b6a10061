/* SPDX-License-Identifier: MIT */
/*
 * Depots: stacks of objects between the arrays and the slabs, one for each CPU or one
 * for each node. slab_depot.c has the theory.
 */
#ifndef KMEM_SLAB_DEPOT_H
#define KMEM_SLAB_DEPOT_H

#include <kmem/mm_types.h>
#include <stdatomic.h>
#include <stddef.h>

struct kmem_cache;

#define DEPOT_PAGE_SLOTS (PAGE_SIZE / sizeof(void *) - 1)

struct depot_page {
	struct depot_page *below; /* full */
	void *slot[DEPOT_PAGE_SLOTS];
};
_Static_assert(sizeof(struct depot_page) == PAGE_SIZE, "a depot is made of pages");

/* What slab_magazines.c knows of a CPU's magazines. All-zero: they have not grown. */
struct slab_magazine_tune {
	_Atomic uint32_t grown; /* objects beyond the cache's `limit`; read by others */
	uint16_t run;		/* misses in a row on the same side */
	bool full;		/* that was the upper one */
	bool long_before;	/* the run before it was a long one */
	uint8_t shrinks;	/* how often they have shrunk */
	int16_t score;		/* of long runs against short ones */
};

/* All-zero is a valid empty one. Everything is under `lock` but where it says otherwise.
 */
struct slab_depot {
	_Atomic uint32_t lock;
	_Atomic uint32_t avail; /* objects; others look at it without the lock */
	uint32_t fill;		/* objects on the top page; above 0 if avail is */
	uint32_t grown;		/* objects it may have beyond the cache's depot_limit */
	uint32_t low;		/* fewest objects since the epoch began */
	uint32_t high;		/* most */
	uint32_t moves;		/* refills and flushes since then */
	uint32_t spilled;	/* objects it had no room for since it last grew */
	struct depot_page *top;
	struct depot_page *spare;
	_Atomic uint32_t pages; /* that it has, the spare one too */
	/* The line above is a thief's, too; what follows is for this CPU only. */
	uint32_t victim KMEM_CACHELINE_ALIGNED; /* whose depot was stolen from last */
	struct slab_magazine_tune magazine;
	/* statistics: of its own objects, and pages of others that it has stolen */
	uint64_t refills, flushes, stolen;
	uint64_t seen; /* the state of the CPU at the last kmem_cache_reap_idle() */
};
_Static_assert(offsetof(struct slab_depot, victim) == KMEM_CACHELINE,
	       "a thief needs one line");

/*
 * One object for the caller, and up to a batch onto this CPU's array: from its depot,
 * else from another one of its node. NULL: there is none.
 */
void *slab_depot_refill(struct kmem_cache *cache);
/* Up to n objects as slab_depot_refill() finds them; the array is left alone. */
size_t slab_depot_take(struct kmem_cache *cache, size_t n, void **out);
/* Up to n objects of node nid's own depot, else of any CPU's of that node. */
size_t slab_depot_take_node(struct kmem_cache *cache, int nid, size_t n, void **out);
size_t slab_depot_steal_node(struct kmem_cache *cache, int nid, size_t n, void **out);
/*
 * Makes room on this CPU's array: a batch of its newest objects goes onto the depot.
 * What must go elsewhere comes back in out[], which has room for SLAB_BATCH_MAX.
 */
size_t slab_depot_flush(struct kmem_cache *cache, void **out);
/* Objects of one node onto the depot that is nearest to the caller; the last of them
 * first. Returns how many, counted from the front, it has no room for. */
size_t slab_depot_put(struct kmem_cache *cache, int nid, size_t n, void *const *objects);

/* Of one depot, under its lock: the newest n objects or fewer; a page without objects. */
size_t slab_depot_pop(struct slab_depot *d, size_t n, void **out);
void slab_depot_free_page(struct slab_depot *d, struct depot_page *page);

/* --- slab_depot_all.c --- */

/* Empties the depots through fn, a batch at a time; they keep nothing, grown or not. */
void slab_depot_drain(struct kmem_cache *cache,
		      void (*fn)(struct kmem_cache *cache, size_t n,
				 void *const *objects));
/* Counts and pages agree, and no depot has more than it may; 0 or -EFAULT with a text.
 * Nobody else is using the cache. */
int slab_depot_check(struct kmem_cache *cache);
/* Of one of them. */
void slab_depot_drain_one(struct kmem_cache *cache, struct slab_depot *d,
			  void (*fn)(struct kmem_cache *cache, size_t n,
				     void *const *objects));
/* Calls fn for each object; nobody else is using the cache. */
void slab_depot_walk(struct kmem_cache *cache, void (*fn)(void *object, void *arg),
		     void *arg);

struct slab_depot_sums {
	uint64_t objects, refills, flushes, stolen;
	uint64_t limit;		 /* objects that may lie in depots */
	uint32_t magazine_limit; /* of the CPU that has the largest */
	uint32_t batch;		 /* of the same CPU */
};
struct slab_depot_sums slab_depot_sum(struct kmem_cache *cache);

/* Around fork(2): every depot of the cache. */
void slab_depot_lock_all(struct kmem_cache *cache);
void slab_depot_unlock_all(struct kmem_cache *cache);

/* --- slab_tune.c: limits; under the depot's lock --- */

/* The depot is empty, and somebody wants of it what it once had no room for. */
void slab_depot_grow(struct kmem_cache *cache, struct slab_depot *d);
/* Takes up to n from what it has grown. */
void slab_depot_shrink(struct kmem_cache *cache, struct slab_depot *d, uint32_t n);
/* Counts a move; returns how many objects are to go back to the slabs. */
uint32_t slab_depot_end_epoch(struct kmem_cache *cache, struct slab_depot *d);

/* --- slab_magazines.c: limits of the magazines of the depot's CPU, which is the
 * caller's; under the depot's lock, and for a depot of a CPU only --- */

/* After a miss of an allocation, and before the refill. */
void slab_magazine_empty(struct kmem_cache *cache, struct slab_depot *d,
			 unsigned int cpu);
/* After a miss of a free; true: there is room now. */
bool slab_magazine_full(struct kmem_cache *cache, struct slab_depot *d, unsigned int cpu);
/* They have been drained: they begin anew. Of any CPU. */
void slab_magazine_forget(struct kmem_cache *cache, struct slab_depot *d);

#endif /* KMEM_SLAB_DEPOT_H */
