/* SPDX-License-Identifier: MIT */
/*
 * Free slabs under memory pressure: the slab allocator's shrinker.
 *
 * What can be had is counted by node: the pages of free slabs, and what the objects in
 * magazines and depots would fill, since draining may empty their slabs. A scan gives
 * free slabs back first, which costs nobody anything, and then empties one cache after
 * the other until it has what it was asked for; the next scan goes on where this one
 * ended, so that the same cache is not always the one that pays. Caches with
 * SLAB_NO_REAP are left alone.
 *
 * The thread that scans may be on its way to a new slab itself: no list_lock is held
 * where pages are asked for, and the lock of the chain is not waited for without end
 * (slab_chain_lock_in_reclaim()). Destructors of others' objects run in whichever thread
 * reclaims, as in the kernel.
 */
#include "allocators/slab/slab_internal.h"

#include <kmem/reclaim.h>

/* Caches that are left out before the first, from the end of the chain; under the
 * chain's lock. */
static unsigned int hand;

static unsigned long objects_pages(const struct kmem_cache *cache, uint64_t objects)
{
	return (unsigned long)((objects * cache->stride + PAGE_SIZE - 1) >> PAGE_SHIFT);
}

static unsigned long cache_freeable(struct kmem_cache *cache, int nid)
{
	struct kmem_list3 *l3 = &cache->node[nid];
	uint64_t objects = magazine_count(&cache->mag) + slab_depot_sum(cache).objects +
			   slab_alien_sum(cache).objects;
	unsigned long pages;

	spin_lock(&l3->list_lock);
	pages = (unsigned long)(l3->nr_free_slabs << cache->gfporder);
	spin_unlock(&l3->list_lock);
	return pages + objects_pages(cache, objects);
}

static unsigned long count(struct shrinker *s, int nid)
{
	struct kmem_cache *cache;
	unsigned long pages = 0;

	(void)s;
	if (!slab_chain_lock_in_reclaim())
		return 0;
	list_for_each_entry (cache, &slab_cache_chain, next) {
		if (!(cache->flags & SLAB_NO_REAP))
			pages += cache_freeable(cache, nid);
	}
	slab_chain_unlock();
	return pages;
}

/* Pages of the cache's slabs that have gone back so far, of all nodes. */
static unsigned long reaped_pages(struct kmem_cache *cache)
{
	uint64_t reaped = 0;

	for (unsigned int nid = 0; nid < slab_nr_nodes; nid++) {
		spin_lock(&cache->node[nid].list_lock);
		reaped += cache->node[nid].reaped;
		spin_unlock(&cache->node[nid].list_lock);
	}
	return (unsigned long)(reaped << cache->gfporder);
}

static unsigned long release(struct kmem_cache *cache, int nid, unsigned long nr)
{
	size_t slabs = (nr + (1UL << cache->gfporder) - 1) >> cache->gfporder;

	return slab_release_node(cache, nid, slabs) << cache->gfporder;
}

/* Draining gives slabs back by itself where there are many free objects. */
static unsigned long drain(struct kmem_cache *cache, int nid, unsigned long nr)
{
	unsigned long before = reaped_pages(cache);

	if (cache_freeable(cache, nid) == 0)
		return 0;
	slab_drain(cache, false);
	release(cache, nid, nr);
	return reaped_pages(cache) - before;
}

/*
 * Once round the chain from its end: the descriptors of slabs go back to caches made
 * earlier. Returns how many pages, and how many caches were passed until there were
 * enough of them.
 */
static unsigned long go_round(int nid, unsigned long nr, unsigned int *passed,
			      unsigned long (*give)(struct kmem_cache *cache, int nid,
						    unsigned long nr))
{
	struct list_head *at = &slab_cache_chain;
	unsigned int nr_caches = 0;
	unsigned long freed = 0;

	for (struct list_head *c = slab_cache_chain.next; c != &slab_cache_chain;
	     c = c->next)
		nr_caches++;
	for (unsigned int i = hand % nr_caches + 1; i > 0; i--)
		at = at->prev;
	for (*passed = 0; *passed < nr_caches && freed < nr; ++*passed) {
		struct kmem_cache *cache = list_entry(at, struct kmem_cache, next);

		if (!(cache->flags & SLAB_NO_REAP))
			freed += give(cache, nid, nr - freed);
		at = at->prev != &slab_cache_chain ? at->prev : slab_cache_chain.prev;
	}
	return freed;
}

static unsigned long scan(struct shrinker *s, int nid, unsigned long nr, gfp_t gfp)
{
	unsigned long freed;
	unsigned int passed;

	(void)s, (void)gfp;
	if (!slab_chain_lock_in_reclaim())
		return 0;
	freed = go_round(nid, nr, &passed, release);
	if (freed < nr) {
		freed += go_round(nid, nr - freed, &passed, drain);
		hand += passed;
	}
	slab_chain_unlock();
	return freed;
}

static struct shrinker shrinker = {.count = count, .scan = scan};

/* It fails only where the page allocator is not up, or this has been called already. */
void slab_reclaim_init(void)
{
	register_shrinker(&shrinker);
}

void slab_reclaim_exit(void)
{
	unregister_shrinker(&shrinker);
}
