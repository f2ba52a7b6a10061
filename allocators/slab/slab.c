/* SPDX-License-Identifier: MIT */
/*
 * The slab allocator.
 *
 * THEORY
 *
 * Concepts. A cache hands out objects of one size. It takes blocks of pages
 * from the page allocator and cuts each into a slab of equal objects. Objects
 * keep their constructed state while they are free: an object is constructed
 * when its slab is made and destroyed when its slab goes, not at each
 * allocation. So nothing is ever written into a free object (except in
 * debugging caches); the free objects of a slab are chained by index in an
 * array beside the descriptor, the bufctl.
 *
 * Structures, from the hit path down:
 *
 *   kmem_cache --- mag: one or two magazines of object pointers for each CPU
 *        |                 (os/magazine_fast.h: rseq, or a lock)
 *        |   refill ^  | flush        batchcount objects at a time
 *        |          |  v
 *        +- depots: pages of pointers, for each CPU  (slab_depot.c, slab_tune.c)
 *        |     | when one is empty: another CPU's, of the same node
 *        |          ^  | when one is full
 *        |          |  v
 *        +- node[] - slabs_partial  slabs_full  slabs_free
 *                      each slab: descriptor, bufctl[num], objects
 *                    depot, alien: of what other nodes free (slab_alien.c)
 *
 * An object finds its slab and cache through its page's descriptor: every page
 * of a slab has PG_slab set and points to both. slab_geometry.h draws a slab. The hit
 * path of a free reads neither: a byte for each page frame holds the number of the
 * cache's magazine (slab_pages.h).
 *
 * Allocation. Pop from this CPU's magazine. Caches of small objects have two, and free
 * into the other; when the first is empty they change places, if the other has enough.
 * Otherwise: up to batchcount objects from a depot, else from partial slabs, else from
 * free slabs, else a new slab is made (slab_grow) and the search repeated; one object is
 * returned, the others go into the magazine. A new slab of a node starts its objects one
 * colour further than the slab before it did, so that equal fields of equal objects
 * spread over the sets of the processor's caches.
 *
 * Free. Push into this CPU's magazine. When it is full and may not grow
 * (slab_magazines.c), its newest batchcount objects move to its depot; what that has no
 * room for goes back to its slabs. A slab that becomes empty while the node has more free
 * objects than free_limit is given back to the page allocator at once, others when
 * somebody calls kmem_cache_shrink() or kmem_cache_reap().
 *
 * Nodes. The arrays of a CPU hold objects of the CPU's own node. Where there are
 * several nodes, every free looks up the object's node, out of line; an object
 * of another node goes home through an alien cache. A thread that is moved to
 * another node's CPU between the test and the push can leave a stranger on an
 * array; that costs locality, nothing else, and kmem_cache_alloc_node() does
 * not use the arrays. When a node is out of memory, free objects of the other
 * nodes are used, nearest first, before a slab is made elsewhere.
 *
 * Locking, in lock order:
 *   1. slab_chain_mutex   the list of caches; creation, destruction, reaping
 *   2. a depot's lock     hot paths do not wait for it for long (slab_depot.c)
 *   3. list_lock          one node of one cache: slabs, bufctls
 * The magazines have no lock of their own but in the mode without rseq; those locks
 * are taken inside 1 and 2 only. No call to the page allocator, to a constructor or
 * destructor or into another cache is made with a list_lock held. Bug reports
 * are made without any lock.
 *
 * Descriptors that lie off the slab come from the general caches of up to
 * SLAB_DESC_MAX_BYTES, which keep their own on the slab: making a slab can
 * need an object of another cache, and that a slab of its own, and there it
 * ends. cache_cache, the cache of caches, is a static object that describes
 * itself; all others come from it.
 *
 * What misuse is caught, by default: at the call, a free of an address outside the
 * managed memory, in no slab, in a slab of another cache (kmem_cache_free), and of one
 * where no object starts. The last is exact for the general caches between two powers of
 * two and for all caches without colours (slab_grid.h); elsewhere an address passes that
 * is as aligned as an object: for the general caches of powers of two only in the slab's
 * descriptor or slack, for others in the middle of an object too. The rest, a double free
 * or what passed above, is found when the address reaches its slab, at a flush past the
 * depots; until then it lies on an array or in a depot and may be handed out, a second
 * time. slab_check() finds it there. Free objects hold no pointers of ours, so there is
 * none to overwrite: arrays and depots are apart from all objects, chains are numbers in
 * the descriptor, and one that leads out of its slab is reported, the slab withdrawn.
 *
 * With hardened=on every double free and every free of what is no object is caught at the
 * call (slab_harden.c). With SLAB_RED_ZONE, SLAB_POISON or SLAB_STORE_USER, or the option
 * debug, a cache has no arrays and no depot, and caught are: double frees, at the call;
 * writes past either end (red zone; at the free), writes after the free (poison; at the
 * next allocation of the object), all with the last caller (store user). A damaged object
 * is reported and never used again. A read after the free is not seen by any of these.
 *
 * Fork and start-up. Nothing works before kmem_cache_init(). With the
 * private backing a child has its own copy of everything. It is whole if no other
 * thread is inside a call; slab_fork.c sees to that for the fork handlers of malloc/.
 *
 * Differences. From Linux 2.6.28: per-CPU arrays without disabling interrupts
 * (restartable sequences); a flush moves the newest objects, not the oldest,
 * since a stack gives only these; depots (Linux: `shared`) are each CPU's own by
 * default; nothing reaps by the clock; the place of the
 * descriptor follows the waste, not the object's size; slabs of up to eight
 * pages are used to have eight objects in each, as SLUB does; general caches
 * are aligned to their size, as Linux guarantees since 5.4; SLAB_POISON is
 * ignored for caches with a constructor, as in SLUB. From Bonwick & Adams:
 * magazines change places on a CPU, but none travels to the depot, objects are copied in
 * batches; magazines and depots tune themselves by what misses show, not by contention.
 *
 * References: J. Bonwick, "The Slab Allocator", USENIX Summer 1994; J. Bonwick
 * and J. Adams, "Magazines and Vmem", USENIX 2001; Linux 2.6.28 mm/slab.c.
 */
#include "allocators/slab/slab_fast.h"
#include <kmem/error.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* --- allocation --- */

/* False with an error text for what a slab cannot be asked. */
static bool slab_gfp_ok(const struct kmem_cache *cache, gfp_t gfp, int nid)
{
	if (KMEM_LIKELY(!(gfp & SLAB_GFP_SLOW) && nid == NUMA_NO_NODE))
		return true;
	if (gfp_check(gfp) != 0)
		return false;
	if (gfp & __GFP_HIGHMEM) {
		kmem_error(
			-EINVAL,
			"cache '%s': objects need a permanent address, drop __GFP_HIGHMEM",
			cache->name);
		return false;
	}
	if ((gfp & __GFP_DMA) && !(cache->flags & SLAB_CACHE_DMA)) {
		kmem_error(-EINVAL,
			   "cache '%s' has no DMA memory, create it with SLAB_CACHE_DMA",
			   cache->name);
		return false;
	}
	if ((gfp & __GFP_ZERO) && cache->ctor) {
		kmem_error(-EINVAL, "cache '%s' has a constructor, drop __GFP_ZERO",
			   cache->name);
		return false;
	}
	if (nid != NUMA_NO_NODE && (nid < 0 || (unsigned int)nid >= slab_nr_nodes)) {
		kmem_error(-EINVAL,
			   "node '%d' does not exist, use 0 to %u or NUMA_NO_NODE", nid,
			   slab_nr_nodes - 1);
		return false;
	}
	return true;
}

/* The node after `last` in order of distance from nid; -1 when there is none. */
static int next_nearest_node(int nid, int last)
{
	int best = -1;

	for (int node = 0; node < (int)slab_nr_nodes; node++) {
		int d = node_distance(nid, node), dl = node_distance(nid, last);

		if (node == nid)
			continue;
		/* A table may call another node as near as the node itself. */
		if (last != nid && (d < dl || (d == dl && node <= last)))
			continue;
		if (best < 0 || d < node_distance(nid, best))
			best = node;
	}
	return best;
}

/* One object from any node but nid, which has nothing left. */
static size_t slab_fallback(struct kmem_cache *cache, gfp_t gfp, int nid, void **out)
{
	int node;

	for (node = next_nearest_node(nid, nid); node >= 0;
	     node = next_nearest_node(nid, node)) {
		if (slab_node_take(cache, node, 1, out) == 1)
			return 1;
	}
	while ((node = slab_grow(cache, gfp, nid)) >= 0) {
		if (slab_node_take(cache, node, 1, out) == 1)
			return 1;
	}
	return 0;
}

/* How to ask for a page of this very node before looking elsewhere: no long
 * search, no report. */
static gfp_t slab_local_gfp(gfp_t gfp)
{
	if (slab_nr_nodes == 1 || (gfp & __GFP_THISNODE))
		return gfp;
	gfp &= ~(__GFP_REPEAT | __GFP_NOFAIL);
	if (gfp & __GFP_WAIT)
		gfp |= __GFP_NORETRY;
	return gfp | __GFP_THISNODE | __GFP_NOWARN;
}

/*
 * Up to n objects of node nid, made if there are none; if none can be made, one
 * of another node unless the mask forbids it. The last of out[] is the hottest.
 */
static size_t slab_take_or_grow(struct kmem_cache *cache, gfp_t gfp, int nid, size_t n,
				void **out)
{
	size_t got;

	while ((got = slab_node_take(cache, nid, n, out)) == 0) {
		got = slab_depot_steal_node(cache, nid, n, out);
		if (got > 0 || slab_grow(cache, slab_local_gfp(gfp), nid) < 0)
			break;
	}
	if (got == 0 && slab_nr_nodes > 1 && !(gfp & __GFP_THISNODE))
		got = slab_fallback(cache, gfp, nid, out);
	return got;
}

static void *slab_refill(struct kmem_cache *cache, gfp_t gfp)
{
	void *objects[SLAB_BATCH_MAX];
	size_t want = cache->limit ? slab_batch_here(cache) : 1;
	size_t got, pushed;
	void *object = slab_depot_refill(cache);

	if (object)
		return object;
	got = slab_take_or_grow(cache, gfp, slab_this_node(), want, objects);
	if (got == 0)
		return NULL;
	if (got > 1) {
		pushed = magazine_fill_batch(&cache->mag, got - 1, objects);
		/* Another thread has filled it meanwhile. */
		if (pushed < got - 1)
			slab_node_put(cache, got - 1 - pushed, objects + pushed);
	}
	return objects[got - 1];
}

static void *slab_alloc_one(struct kmem_cache *cache, gfp_t gfp, int nid)
{
	void *object;

	if (slab_nr_nodes > 1 && (nid != NUMA_NO_NODE || (gfp & __GFP_THISNODE))) {
		if (nid == NUMA_NO_NODE)
			nid = numa_node_id();
		return slab_take_or_grow(cache, gfp, nid, 1, &object) ? object : NULL;
	}
	object = magazine_pop(&cache->mag);
	return object ? object : slab_refill(cache, gfp);
}

KMEM_NOINLINE void *slab_alloc_slow(struct kmem_cache *cache, gfp_t gfp, int nid,
				    const void *caller)
{
	void *object;

	if (KMEM_LIKELY(!(gfp & SLAB_GFP_SLOW) && nid == NUMA_NO_NODE &&
			!slab_hardened())) {
		object = magazine_pop_exchanged(cache->mag.out);
		if (object)
			return object;
	}
	if (!slab_gfp_ok(cache, gfp, nid))
		return NULL;
	do {
		object = slab_alloc_one(cache, gfp, nid);
		if (!object)
			return NULL;
		/* A damaged object is withdrawn, and the next one tried. */
		if (KMEM_UNLIKELY(cache->debug))
			object = slab_debug_alloc(cache, object, caller);
	} while (!object);
	if (slab_hardened())
		slab_mark_object(cache, object);
	if (gfp & __GFP_ZERO)
		memset(object, 0, cache->object_size);
	return object;
}

void *kmem_cache_alloc(struct kmem_cache *cache, gfp_t gfp)
{
	return kmem_cache_alloc_fast(cache, gfp);
}

void *kmem_cache_alloc_node(struct kmem_cache *cache, gfp_t gfp, int nid)
{
	return slab_alloc_slow(cache, gfp, nid, __builtin_return_address(0));
}

size_t kmem_cache_alloc_bulk(struct kmem_cache *cache, gfp_t gfp, size_t n,
			     void **objects)
{
	size_t got = 0;

	if (KMEM_UNLIKELY((gfp & SLAB_GFP_SLOW) || cache->debug || slab_hardened())) {
		while (got < n) {
			objects[got] = slab_alloc_slow(cache, gfp, NUMA_NO_NODE,
						       __builtin_return_address(0));
			if (!objects[got])
				break;
			got++;
		}
		return got;
	}
	got = magazine_pop_batch(&cache->mag, n, objects);
	while (got < n) {
		/* Pieces, so that the list_lock is not held for long. */
		size_t want = n - got < SLAB_BATCH_MAX ? n - got : SLAB_BATCH_MAX;
		size_t more = slab_depot_take(cache, want, objects + got);

		if (more == 0)
			more = slab_take_or_grow(cache, gfp, slab_this_node(), want,
						 objects + got);
		if (more == 0)
			break;
		got += more;
	}
	return got;
}

/* --- free --- */

/* Makes room on a full array: its newest objects go to the depot, what that does not
 * take to the slabs. */
void slab_flush(struct kmem_cache *cache, void *object)
{
	void *objects[SLAB_BATCH_MAX + 1];
	size_t n = 0;

	n = slab_depot_flush(cache, objects);
	/* Newest first as they were taken; the newest goes last. */
	for (size_t i = 0; i < n / 2; i++) {
		void *tmp = objects[i];

		objects[i] = objects[n - 1 - i];
		objects[n - 1 - i] = tmp;
	}
	if (!magazine_push(&cache->mag, object))
		objects[n++] = object;
	if (n > 0)
		slab_node_put(cache, n, objects);
}

KMEM_NOINLINE void slab_free_slow(struct kmem_cache *cache, void *object,
				  const void *caller)
{
	struct slab *slab;

	if (!object)
		return;
	slab = slab_hardened() ? slab_free_marked(&cache, object)
			       : slab_free_lookup(&cache, object);
	if (!slab)
		return;
	if (cache->debug)
		slab_debug_free(cache, slab, object, caller);
	else if (slab_nr_nodes > 1 && slab->nid != numa_node_id())
		slab_alien_free(cache, slab->nid, object);
	else if (!magazine_push(&cache->mag, object))
		slab_flush(cache, object);
}

void kmem_cache_free(struct kmem_cache *cache, void *object)
{
	kmem_cache_free_fast(cache, object);
}

/* The cache whose slab the address lies in; NULL when it lies in none. */
static struct kmem_cache *owner_of(const void *object)
{
	struct page *page = virt_to_page(object);

	if (!virt_addr_valid(object) ||
	    !(atomic_load_explicit(&page->flags, memory_order_relaxed) & PG_slab))
		return NULL;
	return page->slab_cache;
}

/* Length of the run of objects at the front that need no further look. */
static size_t plain_run(const struct kmem_cache *cache, size_t n, void *const *objects)
{
	size_t i = 0, id = cache ? cache->page_id : 0;

	if (n > SLAB_BATCH_MAX)
		n = SLAB_BATCH_MAX;
	while (id != 0 && i < n && slab_id_of(objects[i]) == id &&
	       slab_starts_object(id, objects[i]))
		i++;
	return i;
}

void kmem_cache_free_bulk(struct kmem_cache *cache, size_t n, void **objects)
{
	size_t i = 0;

	while (i < n) {
		struct kmem_cache *c = cache ? cache : owner_of(objects[i]);
		size_t run = plain_run(c, n - i, objects + i);
		size_t pushed = run ? magazine_push_batch(&c->mag, run, objects + i) : 0;

		if (pushed < run)
			slab_node_put(c, run - pushed, objects + i + pushed);
		i += run;
		if (run == 0)
			slab_free_slow(cache, objects[i++], __builtin_return_address(0));
	}
}
