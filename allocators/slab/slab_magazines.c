/* SPDX-License-Identifier: MIT */
/*
 * How large a CPU's magazines are.
 *
 * They begin small. Misses tell what a CPU does with a cache: it frees many and allocates
 * many in turn (a run of misses at the full end, then one at the empty end), or wanders
 * about some number of live objects (either end, as the dice fall), or goes one way. Only
 * the first is served by more room, and only it has long runs at both ends, again and
 * again. So whenever the end changes, two long runs in a row are worth a point, anything
 * else costs two: with what is called long here, a random walk has at most three such
 * changes in five, and so loses. Enough points double the limit, the more the larger that
 * is; the lack of as many halves it. Where a batch is of one size, as many as it takes of
 * it come one after the other.
 *
 * The number kept here is what is wanted. The magazines follow it when they can do so
 * with one store (os/magazine_grow.c): upwards one that is full, at a free's miss; any
 * way one that is empty, at an allocation's. Nothing is copied, and no object leaves a
 * magazine for it. A CPU whose magazines are drained, for it has not used them for an
 * epoch of malloc/trim.c or memory is low, begins anew.
 *
 * All growth of arrays and depots together is bounded (slab_tune.c).
 */
#include "allocators/slab/slab_internal.h"

/* A run is long that moves as much as a quarter of the magazine holds. With a batch of b
 * of a limit L, a random walk gets that far from an end with a probability of about
 * e^-1/4, and at both ends with 0.6. Two at least, or every miss would be; sixteen at
 * most, for then the misses cost, and no walk comes there. */
#define LONG_SHARE 4
#define LONG_LEAST 2
#define LONG_MOST  16

/* Points for doubling: that four batches in a row have been alike is no chance any more,
 * and one more for each so many bytes, so that memory follows work. */
#define POINTS_LEAST	8
#define BYTES_PER_POINT ((uint64_t)64 << 10)
/* What is missing for halving; twice as much each time, as what is to and fro between two
 * limits is better off with the larger one. */
#define POINTS_LACKING 32
#define SHRINKS_MOST   6
/* A magazine of so few bytes is worth growing for a walk, too. */
#define WALK_BYTES ((uint64_t)16 << 10)

static bool grows(const struct kmem_cache *cache)
{
	return cache->limit_max > cache->limit;
}

static uint64_t bytes_of(const struct kmem_cache *cache, uint32_t objects)
{
	return (uint64_t)objects * cache->stride *
	       (cache->mag.in != cache->mag.out ? 2 : 1);
}

static void set_limit(struct kmem_cache *cache, struct slab_depot *d, uint32_t limit)
{
	atomic_store_explicit(&d->magazine.grown, limit - cache->limit,
			      memory_order_relaxed);
	d->magazine.score = 0;
}

static void grow(struct kmem_cache *cache, struct slab_depot *d, uint32_t limit)
{
	int points = POINTS_LEAST + (int)(bytes_of(cache, limit) / BYTES_PER_POINT);

	if (d->magazine.score < points)
		return;
	if (limit <= cache->limit_max / 2 && slab_take_budget(bytes_of(cache, limit)))
		limit *= 2;
	set_limit(cache, d, limit);
}

static void shrink(struct kmem_cache *cache, struct slab_depot *d, uint32_t limit)
{
	if (d->magazine.score > -(POINTS_LACKING << d->magazine.shrinks))
		return;
	if (limit > cache->limit) {
		d->magazine.shrinks += d->magazine.shrinks < SHRINKS_MOST;
		slab_give_budget(bytes_of(cache, limit / 2));
		limit /= 2;
	}
	set_limit(cache, d, limit);
}

static bool is_long(const struct kmem_cache *cache, const struct slab_depot *d)
{
	uint32_t limit = slab_magazine_limit(cache, d);
	uint32_t least = 1 + limit / slab_batch_of(cache, d) / LONG_SHARE;

	if (least < LONG_LEAST)
		least = LONG_LEAST;
	return d->magazine.run >= (least < LONG_MOST ? least : LONG_MOST);
}

static void count_miss(struct kmem_cache *cache, struct slab_depot *d, bool full)
{
	struct slab_magazine_tune *m = &d->magazine;
	bool now, walk;

	if (full == m->full) {
		m->run = (uint16_t)(m->run + (m->run < UINT16_MAX));
		return;
	}
	now = is_long(cache, d);
	walk = (uint64_t)slab_magazine_limit(cache, d) * cache->stride < WALK_BYTES;
	m->score = (int16_t)(m->score + ((now && m->long_before) || walk ? 1 : -2));
	m->long_before = now;
	m->full = full;
	m->run = 1;
	grow(cache, d, slab_magazine_limit(cache, d));
	shrink(cache, d, slab_magazine_limit(cache, d));
}

void slab_magazine_empty(struct kmem_cache *cache, struct slab_depot *d, unsigned int cpu)
{
	if (!grows(cache))
		return;
	count_miss(cache, d, false);
	magazine_set_empty(&cache->mag, cpu, slab_magazine_limit(cache, d));
}

bool slab_magazine_full(struct kmem_cache *cache, struct slab_depot *d, unsigned int cpu)
{
	if (!grows(cache))
		return false;
	count_miss(cache, d, true);
	return magazine_raise_full(&cache->mag, cpu, slab_magazine_limit(cache, d));
}

void slab_magazine_forget(struct kmem_cache *cache, struct slab_depot *d)
{
	uint32_t limit = slab_magazine_limit(cache, d);

	if (limit > cache->limit)
		slab_give_budget(bytes_of(cache, limit - cache->limit));
	set_limit(cache, d, cache->limit);
	d->magazine.shrinks = 0;
}
