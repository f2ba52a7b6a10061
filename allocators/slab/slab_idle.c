/* SPDX-License-Identifier: MIT */
/*
 * What CPUs keep of caches that they have stopped using goes back to the slabs, and slabs
 * that are then free to the page allocator. Idle is what has not moved between two calls:
 * the state of an array changes with every push and pop, the counters of a depot with
 * every refill and flush. Whoever has a clock calls; malloc/ does so at the end of an
 * epoch.
 *
 * slab_drain_here() is for who is about to use more memory than ever before: what one CPU
 * keeps of forty caches may be as much as is missing in one of them, and an object that
 * waits in a magazine keeps a slab from becoming free. A CPU can take from its own
 * magazines without stopping anybody.
 */
#include "allocators/slab/slab_internal.h"

struct idle_batch {
	struct kmem_cache *cache;
	size_t n;
	void *objects[SLAB_BATCH_MAX];
};

static void put_batch(struct idle_batch *batch)
{
	if (batch->n > 0)
		slab_lists_put(batch->cache, batch->n, batch->objects);
	batch->n = 0;
}

static void put_one(void *object, void *arg)
{
	struct idle_batch *batch = arg;

	batch->objects[batch->n++] = object;
	if (batch->n == SLAB_BATCH_MAX)
		put_batch(batch);
}

/* Whether nothing has moved there since the last call; looks as if something had where
 * nobody has ever been, and writes nothing there. */
static bool cpu_is_idle(struct kmem_cache *cache, unsigned int cpu)
{
	struct slab_depot *d = slab_depot_of_cpu(cache, cpu);
	uint64_t now = magazine_state(&cache->mag, cpu);
	bool same;

	if (now == 0 && atomic_load_explicit(&d->pages, memory_order_relaxed) == 0)
		return false;
	spin_word_lock(&d->lock);
	/* Each of them alone may repeat itself, not both at once in practice. */
	now += (d->refills + d->flushes + d->stolen) * 0x9e3779b97f4a7c15ULL;
	same = now == d->seen;
	d->seen = now;
	spin_word_unlock(&d->lock);
	return same;
}

static void drain_cpu(struct kmem_cache *cache, unsigned int cpu)
{
	struct idle_batch batch = {.cache = cache};

	magazine_drain_cpu(&cache->mag, cpu, put_one, &batch);
	for (unsigned int nid = 0; nid < slab_nr_nodes; nid++) {
		if (cache->node[nid].alien.base)
			percpu_drain_cpu(&cache->node[nid].alien, cpu, put_one, &batch);
	}
	put_batch(&batch);
	slab_depot_drain_one(cache, slab_depot_of_cpu(cache, cpu), slab_lists_put);
}

size_t kmem_cache_reap_idle(void)
{
	struct kmem_cache *cache;
	size_t released = 0;

	/* A destructor may have come here while its cache is being drained. */
	if (!slab_chain_trylock())
		return 0;
	/* As kmem_cache_reap(): the descriptors of others' slabs lie in caches made
	 * earlier.
	 */
	for (struct list_head *at = slab_cache_chain.prev; at != &slab_cache_chain;
	     at = at->prev) {
		bool drained = false;

		cache = list_entry(at, struct kmem_cache, next);
		if (!cache->depots || (cache->flags & SLAB_NO_REAP))
			continue;
		for (unsigned int cpu = 0; cpu < os_nr_cpus(); cpu++) {
			if (!cpu_is_idle(cache, cpu))
				continue;
			drain_cpu(cache, cpu);
			drained = true;
		}
		if (drained)
			released += slab_release_free(cache);
	}
	slab_chain_unlock();
	return released;
}

/* What is there now, not what others put there meanwhile. */
static void drain_own(struct kmem_cache *cache)
{
	size_t left = (cache->mag.in != cache->mag.out ? 2 : 1) *
		      (size_t)cache->limit_max;
	void *objects[32]; /* little stack: this comes in the midst of malloc() */
	size_t got;

	do {
		got = magazine_pop_batch(
			&cache->mag,
			left < KMEM_ARRAY_SIZE(objects) ? left : KMEM_ARRAY_SIZE(objects),
			objects);
		slab_lists_put(cache, got, objects);
		left -= got;
	} while (got > 0);
	/* What is forgotten about its limit must not stand in its slots. */
	magazine_set_empty(&cache->mag, os_cpu_id(), cache->limit);
	slab_depot_drain_one(cache, slab_depot_of_cpu(cache, os_cpu_id()),
			     slab_lists_put);
}

/* Whether its magazines have, on this CPU. */
static bool has_grown(const struct kmem_cache *cache)
{
	unsigned int cpu = os_cpu_id();

	return magazine_state(&cache->mag, cpu) != 0 &&
	       slab_magazine_limit(cache, slab_depot_of_cpu(cache, cpu)) > cache->limit;
}

size_t slab_drain_here(bool grown)
{
	size_t released = 0;

	if (slab_nr_nodes == 0 || !slab_chain_trylock())
		return 0;
	for (struct list_head *at = slab_cache_chain.prev; at != &slab_cache_chain;
	     at = at->prev) {
		struct kmem_cache *cache = list_entry(at, struct kmem_cache, next);

		if (!cache->depots || (cache->flags & SLAB_NO_REAP))
			continue;
		/* They are in use, and would have to grow again. */
		if (!grown && has_grown(cache))
			continue;
		/* Where this CPU has never been nothing is read for the first time. */
		if (magazine_state(&cache->mag, os_cpu_id()) != 0)
			drain_own(cache);
		released += slab_release_free(cache);
	}
	slab_chain_unlock();
	return released;
}
