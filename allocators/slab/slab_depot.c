/* SPDX-License-Identifier: MIT */
/*
 * Depots: what lies between a CPU's array and the slabs.
 *
 * THEORY
 *
 * A depot is a stack of pages full of pointers. An array that is empty takes a batch from
 * it and one that is full leaves a batch there: one copy, straight between the two, and
 * one uncontended lock for a batch. There are two kinds (option `depot`):
 *
 *   percpu   one for each CPU. What a CPU frees it gets back itself; neighbours on a
 *            slab stay with the CPU that was given them. One whose depot is empty steals
 *            a whole batch from another CPU of its node: from the one that it stole from
 *            last, which in a chain of producer and consumer is the right one, else from
 *            the next ones. Before a node grows, all of them are looked at. The node's
 *            own depot gets only what other nodes send home.
 *   shared   one for each node, as Linux's array_cache `shared`.
 *
 * How much lies in them is for slab_tune.c to say.
 *
 * Locking. A depot's lock lies below slab_chain_mutex and above the locks of arrays, of
 * the lists and of the page allocator. Hot paths give up after some rounds and go
 * elsewhere: a holder may have lost its CPU, and fork takes all these locks before it
 * stops the arrays. That is also why a thief may ask for a second one while it holds its
 * own, and two thieves for each other's.
 */
#include "allocators/slab/slab_depot.h"
#include "allocators/slab/slab_internal.h"
#include <kmem/page_alloc.h>
#include <string.h>

/* Rounds of waiting for a depot: about as long as a batch takes to be copied. */
#define DEPOT_SPINS 64
/* Other CPUs that an empty depot is refilled from before the slabs are asked. */
#define DEPOT_VICTIMS 4u

/* Of the CPU at hand. */
static struct slab_depot *depot_of(struct kmem_cache *cache, unsigned int cpu)
{
	if (cache->depots)
		return slab_depot_of_cpu(cache, cpu);
	return &cache->node[slab_nr_nodes > 1 ? cpu_to_node(cpu) : 0].depot;
}

static uint32_t depot_avail(const struct slab_depot *d)
{
	return atomic_load_explicit(&d->avail, memory_order_relaxed);
}

static bool depot_trylock(struct slab_depot *d)
{
	for (int round = 0; round < DEPOT_SPINS; round++) {
		if (atomic_load_explicit(&d->lock, memory_order_relaxed) == 0 &&
		    spin_word_trylock(&d->lock))
			return true;
		spin_pause();
	}
	return false;
}

static void depot_unlock(struct slab_depot *d)
{
	spin_word_unlock(&d->lock);
}

/* --- one depot, under its lock --- */

static void set_pages(struct slab_depot *d, int more)
{
	uint32_t pages = atomic_load_explicit(&d->pages, memory_order_relaxed);

	atomic_store_explicit(&d->pages, pages + (uint32_t)more, memory_order_relaxed);
}

void slab_depot_free_page(struct slab_depot *d, struct depot_page *page)
{
	set_pages(d, -1);
	__free_pages(virt_to_page(page), 0);
}

/* A page with room on top; false: there is none to be had without waiting. */
static bool depot_make_room(struct slab_depot *d, int nid)
{
	struct depot_page *page = d->spare;

	if (d->top && d->fill < DEPOT_PAGE_SLOTS)
		return true;
	if (page) {
		d->spare = NULL;
	} else {
		struct page *fresh = alloc_pages_node(nid, GFP_NOWAIT | __GFP_NOWARN, 0);

		if (!fresh)
			return false;
		page = page_address(fresh);
		set_pages(d, 1);
	}
	page->below = d->top;
	d->top = page;
	d->fill = 0;
	return true;
}

/* Where up to *n objects may be written, which is then lowered to what there is room
 * for; NULL: for none. depot_added() makes them count. */
static void **depot_room(struct kmem_cache *cache, struct slab_depot *d, int nid,
			 size_t *n)
{
	uint32_t avail = depot_avail(d), limit = slab_depot_limit(cache, d);

	if (avail >= limit || !depot_make_room(d, nid))
		return NULL;
	if (*n > limit - avail)
		*n = limit - avail;
	if (*n > DEPOT_PAGE_SLOTS - d->fill)
		*n = DEPOT_PAGE_SLOTS - d->fill;
	return &d->top->slot[d->fill];
}

/* The top page is empty: it is kept for the next time, a second one goes. */
static void drop_top(struct slab_depot *d)
{
	struct depot_page *page = d->top;

	d->top = page->below;
	d->fill = d->top ? DEPOT_PAGE_SLOTS : 0;
	if (d->spare)
		slab_depot_free_page(d, page);
	else
		d->spare = page;
}

/* n may be 0: what was to come has gone elsewhere meanwhile. */
static void depot_added(struct slab_depot *d, size_t n)
{
	uint32_t avail = depot_avail(d) + (uint32_t)n;

	d->fill += (uint32_t)n;
	atomic_store_explicit(&d->avail, avail, memory_order_relaxed);
	if (avail > d->high)
		d->high = avail;
	if (KMEM_UNLIKELY(d->fill == 0))
		drop_top(d);
}

/* The newest n objects are gone; n <= fill. */
static void depot_taken(struct slab_depot *d, size_t n)
{
	uint32_t avail = depot_avail(d) - (uint32_t)n;

	atomic_store_explicit(&d->avail, avail, memory_order_relaxed);
	if (avail < d->low)
		d->low = avail;
	d->fill -= (uint32_t)n;
	if (d->fill == 0)
		drop_top(d);
}

size_t slab_depot_pop(struct slab_depot *d, size_t n, void **out)
{
	size_t got = 0;

	while (got < n && d->top) {
		size_t run = n - got < d->fill ? n - got : d->fill;

		memcpy(out + got, &d->top->slot[d->fill - run], run * sizeof(*out));
		depot_taken(d, run);
		got += run;
	}
	return got;
}

/* From the depot into this CPU's magazine, one for the caller. */
static void *depot_to_array(struct kmem_cache *cache, struct slab_depot *d)
{
	size_t run = slab_batch_now(cache, d);
	size_t pushed, left;
	void **slots, *object;

	if (run > d->fill)
		run = d->fill;
	slots = &d->top->slot[d->fill - run];
	object = slots[run - 1];
	pushed = magazine_fill_batch(&cache->mag, run - 1, slots);
	/* Another thread has filled the magazine meanwhile. */
	left = run - 1 - pushed;
	memmove(slots, slots + pushed, left * sizeof(*slots));
	depot_taken(d, run - left);
	return object;
}

static void release(struct kmem_cache *cache, struct slab_depot *d, size_t n)
{
	void *objects[SLAB_BATCH_MAX];

	while (n > 0 && depot_trylock(d)) {
		size_t want = n < SLAB_BATCH_MAX ? n : SLAB_BATCH_MAX;
		size_t got = slab_depot_pop(d, want, objects);

		slab_depot_shrink(cache, d, (uint32_t)got);
		depot_unlock(d);
		slab_lists_put(cache, got, objects);
		n = got == want ? n - got : 0;
	}
}

/* --- refill --- */

/* The top page of `from` becomes that of `to`, which has none; both are locked. */
static void move_page(struct slab_depot *from, struct slab_depot *to)
{
	struct depot_page *page = from->top;
	uint32_t left = depot_avail(from) - from->fill;

	to->top = page;
	to->fill = from->fill;
	atomic_store_explicit(&to->avail, to->fill, memory_order_relaxed);
	if (to->fill > to->high)
		to->high = to->fill;
	set_pages(to, 1);
	from->top = page->below;
	from->fill = from->top ? DEPOT_PAGE_SLOTS : 0;
	atomic_store_explicit(&from->avail, left, memory_order_relaxed);
	set_pages(from, -1);
	if (left < from->low)
		from->low = left;
	page->below = NULL;
}

/*
 * Fills an empty, locked depot with a page of another one of nid, after a look at no more
 * than `tries` others. A whole page, because a visit to another CPU's lines costs as much
 * as hundreds of objects; and nothing is copied while two depots are locked.
 */
static bool steal(struct kmem_cache *cache, struct slab_depot *thief, int nid,
		  unsigned int tries)
{
	unsigned int nr_cpus = os_nr_cpus();
	unsigned int cpu = thief->victim;

	for (unsigned int i = 0; i < nr_cpus && tries > 0; i++, cpu++) {
		struct slab_depot *d;

		if (cpu >= nr_cpus)
			cpu = 0;
		d = slab_depot_of_cpu(cache, cpu);
		if (d == thief || (slab_nr_nodes > 1 && cpu_to_node(cpu) != nid))
			continue;
		tries--;
		if (depot_avail(d) == 0 || !depot_trylock(d))
			continue;
		if (d->top) {
			move_page(d, thief);
			/* Its owner may never come back for more, the thief will. */
			if (!d->top)
				slab_depot_grow(cache, d);
			depot_unlock(d);
			thief->victim = cpu;
			thief->stolen++;
			return true;
		}
		depot_unlock(d);
	}
	return false;
}

/* This CPU's depot, locked and not empty; NULL: neither it nor others have anything.
 * `missed`: for a magazine that was found empty. */
static struct slab_depot *find_stock(struct kmem_cache *cache, bool missed)
{
	unsigned int cpu = os_cpu_id();
	struct slab_depot *d = depot_of(cache, cpu);

	if (cache->depot_limit == 0 || !depot_trylock(d))
		return NULL;
	if (missed && cache->depots)
		slab_magazine_empty(cache, d, cpu);
	if (d->top) {
		d->refills++;
		return d;
	}
	slab_depot_grow(cache, d);
	if (cache->depots && steal(cache, d, slab_this_node(), DEPOT_VICTIMS))
		return d;
	depot_unlock(d);
	return NULL;
}

void *slab_depot_refill(struct kmem_cache *cache)
{
	struct slab_depot *d = find_stock(cache, true);
	uint32_t surplus;
	void *object;

	if (!d)
		return NULL;
	object = depot_to_array(cache, d);
	surplus = slab_depot_end_epoch(cache, d);
	depot_unlock(d);
	if (KMEM_UNLIKELY(surplus > 0))
		release(cache, d, surplus);
	return object;
}

size_t slab_depot_take(struct kmem_cache *cache, size_t n, void **out)
{
	struct slab_depot *d = find_stock(cache, false);
	uint32_t surplus;
	size_t got;

	if (!d)
		return 0;
	got = slab_depot_pop(d, n, out);
	surplus = slab_depot_end_epoch(cache, d);
	depot_unlock(d);
	if (KMEM_UNLIKELY(surplus > 0))
		release(cache, d, surplus);
	return got;
}

size_t slab_depot_take_node(struct kmem_cache *cache, int nid, size_t n, void **out)
{
	struct slab_depot *d = &cache->node[nid].depot;
	size_t got = 0;

	if (depot_avail(d) == 0 || !depot_trylock(d))
		return 0;
	got = slab_depot_pop(d, n, out);
	d->refills += got > 0;
	depot_unlock(d);
	return got;
}

size_t slab_depot_steal_node(struct kmem_cache *cache, int nid, size_t n, void **out)
{
	struct slab_depot *d = &cache->node[nid].depot;
	size_t got = 0;

	if (!cache->depots || !depot_trylock(d))
		return 0;
	if (d->top || steal(cache, d, nid, UINT32_MAX))
		got = slab_depot_pop(d, n, out);
	depot_unlock(d);
	return got;
}

/* --- flush --- */

/* Moves objects of other nodes than nid from in[] to out[]; returns how many stay. */
static size_t sort_out(int nid, size_t n, void **in, void **out)
{
	size_t kept = 0, strangers = 0;

	for (size_t i = 0; i < n; i++) {
		if (page_to_nid(virt_to_page(in[i])) == nid)
			in[kept++] = in[i];
		else
			out[strangers++] = in[i];
	}
	return kept;
}

size_t slab_depot_flush(struct kmem_cache *cache, void **out)
{
	unsigned int cpu = os_cpu_id();
	int nid = slab_nr_nodes > 1 ? cpu_to_node(cpu) : 0;
	struct slab_depot *d = depot_of(cache, cpu);
	size_t n = cache->batchcount, taken = 0, kept = 0;
	uint32_t surplus;
	void **slots;

	if (cache->depot_limit == 0 || !depot_trylock(d))
		return magazine_take_batch(&cache->mag, n, out);
	if (cache->depots && slab_magazine_full(cache, d, cpu)) {
		depot_unlock(d);
		return 0;
	}
	n = slab_batch_now(cache, d);
	slots = depot_room(cache, d, nid, &n);
	if (slots) {
		taken = magazine_take_batch(&cache->mag, n, slots);
		kept = slab_nr_nodes > 1 ? sort_out(nid, taken, slots, out) : taken;
		depot_added(d, kept);
		d->flushes++;
	} else if (d->spilled < UINT32_MAX - n) {
		d->spilled += (uint32_t)n;
	}
	surplus = slab_depot_end_epoch(cache, d);
	depot_unlock(d);
	if (KMEM_UNLIKELY(surplus > 0))
		release(cache, d, surplus);
	return slots ? taken - kept : magazine_take_batch(&cache->mag, n, out);
}

size_t slab_depot_put(struct kmem_cache *cache, int nid, size_t n, void *const *objects)
{
	unsigned int cpu = os_cpu_id();
	bool here = slab_nr_nodes == 1 || cpu_to_node(cpu) == nid;
	struct slab_depot *d = cache->depots && here ? slab_depot_of_cpu(cache, cpu)
						     : &cache->node[nid].depot;
	bool moved = false;

	if (cache->depot_limit == 0 || !depot_trylock(d))
		return n;
	while (n > 0) {
		size_t run = n;
		void **slots = depot_room(cache, d, nid, &run);

		if (!slots)
			break;
		memcpy(slots, objects + n - run, run * sizeof(*slots));
		depot_added(d, run);
		n -= run;
		moved = true;
	}
	d->flushes += moved;
	if (d->spilled < UINT32_MAX - n)
		d->spilled += (uint32_t)n;
	depot_unlock(d);
	return n;
}
