/* SPDX-License-Identifier: MIT */
/*
 * The slab layer: slabs on their node's lists. Everything here runs under a node's
 * list_lock, except making and unmaking slabs: pages, descriptors, constructors and
 * destructors are dealt with while no lock is held.
 */
#include "allocators/slab/slab_internal.h"
#include <kmem/error.h>
#include <kmem/page_alloc.h>
#include <string.h>

void slab_list3_init(struct kmem_cache *cache, int nid)
{
	struct kmem_list3 *l3 = &cache->node[nid];

	memset(l3, 0, sizeof(*l3));
	spin_lock_init(&l3->list_lock);
	INIT_LIST_HEAD(&l3->slabs_partial);
	INIT_LIST_HEAD(&l3->slabs_full);
	INIT_LIST_HEAD(&l3->slabs_free);
}

/* Of large objects a few batches are a megabyte, in each of twenty caches. */
#define FREE_LIMIT_BYTES ((size_t)128 << 10)

void slab_free_limit_init(struct kmem_cache *cache, int nid)
{
	struct kmem_list3 *l3 = &cache->node[nid];
	uint64_t cpus = 0, bound = FREE_LIMIT_BYTES / cache->stride, batches;

	for (unsigned int cpu = 0; cpu < os_nr_cpus(); cpu++)
		cpus += cpu_to_node(cpu) == nid;
	/* As Linux: one batch for each CPU and one more, and a slab. A megabyte
	 * instead made batches of 10,000 objects 6 % faster, those of 1000 and of
	 * 100,000 not at all: not worth the memory. */
	batches = (1 + cpus) * cache->batchcount;
	l3->free_limit = (batches < bound ? batches : bound) + cache->num;
}

/* --- making and unmaking a slab; no lock held --- */

static void mark_pages(struct kmem_cache *cache, struct slab *slab, struct page *page,
		       bool owned)
{
	for (size_t i = 0; i < (size_t)1 << cache->gfporder; i++) {
		/* The pages are ours alone, so load and store need not be one step. */
		uint32_t flags = atomic_load_explicit(&page[i].flags,
						      memory_order_relaxed);

		atomic_store_explicit(&slab_pages.page_id[page_to_pfn(page + i)],
				      owned ? cache->page_id : 0, memory_order_relaxed);
		page[i].slab_cache = owned ? cache : NULL;
		page[i].slab = owned ? slab : NULL;
		flags = owned ? flags | PG_slab : flags & ~(uint32_t)PG_slab;
		atomic_store_explicit(&page[i].flags, flags, memory_order_relaxed);
	}
}

static struct page *slab_first_page(const struct kmem_cache *cache,
				    const struct slab *slab)
{
	unsigned long pfn = virt_to_pfn(slab->s_mem);

	return pfn_to_page(pfn & ~((1UL << cache->gfporder) - 1));
}

static void slab_free_pages(struct kmem_cache *cache, struct slab *slab)
{
	struct page *page = slab_first_page(cache, slab);

	mark_pages(cache, slab, page, false);
	__free_pages(page, cache->gfporder);
}

static void slab_destroy(struct kmem_cache *cache, struct slab *slab)
{
	if (cache->dtor) {
		for (unsigned int i = 0; i < cache->num; i++)
			cache->dtor(slab_object(cache, slab, i));
	}
	slab_free_pages(cache, slab);
	if (cache->slabp_cache)
		kmem_cache_free(cache->slabp_cache, slab);
}

static size_t slab_destroy_list(struct kmem_cache *cache, struct list_head *dead)
{
	struct slab *slab;
	size_t n = 0;

	list_for_each_entry_safe (slab, dead, list) {
		slab_destroy(cache, slab);
		n++;
	}
	return n;
}

/* Constructs every object and chains them, those first that share a page with the
 * descriptor: of a slab of several pages that is used a little, fewer are touched. */
static void slab_init_objects(struct kmem_cache *cache, struct slab *slab)
{
	unsigned int num = cache->num;
	bool down = cache->geometry.desc != 0;

	for (unsigned int i = 0; i < num; i++) {
		if (cache->ctor)
			cache->ctor(slab_object(cache, slab, i));
		if (cache->debug)
			slab_debug_init_object(cache, slab_object(cache, slab, i));
		slab->bufctl[i] = (kmem_bufctl_t)(down ? i - 1 : i + 1);
	}
	slab->bufctl[down ? 0 : num - 1] = BUFCTL_END;
	slab->free = (kmem_bufctl_t)(down ? num - 1 : 0);
	slab->inuse = 0;
	if (slab_config.shuffle)
		slab_shuffle(cache, slab);
}

/* The next colour of the node, in steps of colour_off. */
static uint16_t slab_next_colour(struct kmem_cache *cache, struct kmem_list3 *l3)
{
	uint32_t colour;

	spin_lock(&l3->list_lock);
	colour = l3->colour_next;
	l3->colour_next = colour + 1 < cache->geometry.colours ? colour + 1 : 0;
	spin_unlock(&l3->list_lock);
	return (uint16_t)colour;
}

int slab_grow(struct kmem_cache *cache, gfp_t gfp, int nid)
{
	struct page *page;
	struct kmem_list3 *l3;
	struct slab *slab;
	uint16_t colour;
	char *start;

	page = alloc_pages_node(nid, (gfp & ~__GFP_ZERO) | cache->gfpflags,
				cache->gfporder);
	if (!page)
		return -1;
	nid = slab_nr_nodes > 1 ? page_to_nid(page) : 0;
	l3 = &cache->node[nid];
	colour = slab_next_colour(cache, l3);
	start = (char *)page_address(page) + colour * cache->geometry.colour_off;
	if (cache->slabp_cache) {
		slab = kmem_cache_alloc_node(
			cache->slabp_cache,
			gfp & ~(__GFP_DMA | __GFP_ZERO | __GFP_THISNODE), nid);
		if (!slab) {
			__free_pages(page, cache->gfporder);
			return -1;
		}
	} else {
		slab = (struct slab *)(start + cache->geometry.desc);
	}
	slab->s_mem = start + cache->geometry.first + cache->geometry.left_pad;
	slab->nid = (uint8_t)nid;
	slab->trimmed = 0;
	slab->colour = colour;
	mark_pages(cache, slab, page, true);
	slab_init_objects(cache, slab);

	spin_lock(&l3->list_lock);
	list_add_tail(&slab->list, &l3->slabs_free);
	l3->nr_slabs++;
	l3->nr_free_slabs++;
	l3->free_objects += cache->num;
	l3->grown++;
	spin_unlock(&l3->list_lock);
	return nid;
}

/* --- taking --- */

/* Takes from one slab; fills out[] downwards from its end, so that the lowest
 * address comes to lie on top of a stack. Under list_lock. */
static size_t slab_take(struct kmem_cache *cache, struct slab *slab, size_t n, void **end)
{
	size_t got = 0;

	while (got < n && slab->free < cache->num) {
		kmem_bufctl_t index = slab->free;

		slab->free = slab->bufctl[index];
		slab->bufctl[index] = BUFCTL_ACTIVE;
		*--end = slab_object(cache, slab, index);
		got++;
	}
	slab->inuse = (uint16_t)(slab->inuse + got);
	return got;
}

/* The chain leads out of the slab: somebody has written over the descriptor. What is left
 * on the slab counts as live for ever. Under list_lock. */
static void slab_withdraw(struct kmem_cache *cache, struct kmem_list3 *l3,
			  struct slab *slab)
{
	l3->free_objects -= cache->num - slab->inuse;
	slab->inuse = (uint16_t)cache->num;
	slab->free = BUFCTL_END;
}

/* *damaged: a slab that was withdrawn and is to be reported, without the lock. */
static size_t slabs_take(struct kmem_cache *cache, struct kmem_list3 *l3, size_t n,
			 void **out, struct slab **damaged)
{
	size_t got = 0;

	while (got < n) {
		struct slab *slab;

		if (!list_empty(&l3->slabs_partial)) {
			slab = list_entry(l3->slabs_partial.next, struct slab, list);
		} else if (!list_empty(&l3->slabs_free)) {
			slab = list_entry(l3->slabs_free.next, struct slab, list);
			l3->nr_free_slabs--;
			list_move(&slab->list, &l3->slabs_partial);
		} else {
			break;
		}
		got += slab_take(cache, slab, n - got, out + n - got);
		if (KMEM_UNLIKELY(slab->free >= cache->num && slab->free != BUFCTL_END)) {
			slab_withdraw(cache, l3, slab);
			*damaged = slab;
		}
		if (slab->free == BUFCTL_END)
			list_move(&slab->list, &l3->slabs_full);
	}
	l3->free_objects -= got;
	if (got < n)
		memmove(out, out + n - got, got * sizeof(*out));
	return got;
}

size_t slab_node_take(struct kmem_cache *cache, int nid, size_t n, void **out)
{
	struct kmem_list3 *l3 = &cache->node[nid];
	struct slab *damaged = NULL;
	size_t got = slab_depot_take_node(cache, nid, n, out);

	if (got > 0)
		return got;
	spin_lock(&l3->list_lock);
	l3->refills++;
	got = slabs_take(cache, l3, n, out, &damaged);
	spin_unlock(&l3->list_lock);
	if (KMEM_UNLIKELY(damaged != NULL))
		kmem_bug(
			"cache '%s': the descriptor of the slab at %p is overwritten, at %p",
			cache->name, (void *)damaged->s_mem, (void *)damaged);
	return got;
}

/* --- giving back --- */

enum put_result { PUT_OK, PUT_NOT_OBJECT, PUT_TWICE };

/* Puts one object on its slab's free chain; a slab that is empty and not worth
 * keeping moves to `dead`. Under list_lock. */
static enum put_result slab_put(struct kmem_cache *cache, struct kmem_list3 *l3,
				void *object, struct list_head *dead)
{
	struct slab *slab = slab_of(cache, object);
	long index = slab ? slab_index(cache, slab, object) : -1;

	if (KMEM_UNLIKELY(index < 0))
		return PUT_NOT_OBJECT;
	if (KMEM_UNLIKELY(slab->bufctl[index] < BUFCTL_BUSY ||
			  slab->bufctl[index] == BUFCTL_END))
		return PUT_TWICE;
	slab->bufctl[index] = slab->free;
	slab->free = (kmem_bufctl_t)index;
	slab->inuse--;
	slab->trimmed = 0;
	l3->free_objects++;
	if (slab->inuse > 0) {
		/* To the tail, as Linux does: it gets time to become empty. */
		if (slab->inuse == cache->num - 1)
			list_move_tail(&slab->list, &l3->slabs_partial);
	} else if (l3->free_objects > l3->free_limit) {
		list_move(&slab->list, dead);
		l3->free_objects -= cache->num;
		l3->nr_slabs--;
		l3->reaped++;
	} else {
		list_move(&slab->list, &l3->slabs_free);
		l3->nr_free_slabs++;
	}
	return PUT_OK;
}

/* Objects of one node to their slabs. Reports are made without the lock, so
 * that a handler may allocate. */
static void slabs_put(struct kmem_cache *cache, struct kmem_list3 *l3, size_t n,
		      void *const *objects)
{
	struct list_head dead;
	size_t i = 0;

	INIT_LIST_HEAD(&dead);
	while (i < n) {
		enum put_result result = PUT_OK;

		spin_lock(&l3->list_lock);
		l3->flushes += i == 0;
		while (i < n && result == PUT_OK)
			result = slab_put(cache, l3, objects[i++], &dead);
		spin_unlock(&l3->list_lock);
		if (result == PUT_TWICE)
			slab_report_double_free(cache, objects[i - 1]);
		else if (result == PUT_NOT_OBJECT)
			slab_report_not_object(cache, slab_of(cache, objects[i - 1]),
					       objects[i - 1]);
	}
	slab_destroy_list(cache, &dead);
}

static int object_nid(const void *object)
{
	return slab_nr_nodes > 1 ? page_to_nid(virt_to_page(object)) : 0;
}

/* Cuts the objects into runs of one node each. */
static void put_by_node(struct kmem_cache *cache, size_t n, void *const *objects,
			bool depot)
{
	size_t start = 0;

	while (start < n) {
		int nid = object_nid(objects[start]);
		size_t end = start + 1, rest;

		if (slab_nr_nodes == 1)
			end = n;
		while (end < n && object_nid(objects[end]) == nid)
			end++;
		rest = end - start;
		if (depot)
			rest = slab_depot_put(cache, nid, rest, objects + start);
		if (rest > 0)
			slabs_put(cache, &cache->node[nid], rest, objects + start);
		start = end;
	}
}

void slab_node_put(struct kmem_cache *cache, size_t n, void *const *objects)
{
	put_by_node(cache, n, objects, true);
}

void slab_lists_put(struct kmem_cache *cache, size_t n, void *const *objects)
{
	put_by_node(cache, n, objects, false);
}

/* --- draining and releasing --- */

struct drain_batch {
	struct kmem_cache *cache;
	size_t n;
	void *objects[SLAB_BATCH_MAX];
};

static void drain_flush(struct drain_batch *batch)
{
	slab_lists_put(batch->cache, batch->n, batch->objects);
	batch->n = 0;
}

static void drain_one(void *object, void *arg)
{
	struct drain_batch *batch = arg;

	batch->objects[batch->n++] = object;
	if (batch->n == SLAB_BATCH_MAX)
		drain_flush(batch);
}

void slab_drain(struct kmem_cache *cache, bool quiescent)
{
	struct drain_batch batch = {.cache = cache};

	if (cache->limit == 0)
		return;
	magazine_drain_all(&cache->mag, quiescent, drain_one, &batch);
	for (unsigned int nid = 0; nid < slab_nr_nodes; nid++)
		percpu_drain_all(&cache->node[nid].alien, quiescent, drain_one, &batch);
	drain_flush(&batch);
	slab_depot_drain(cache, slab_lists_put);
}

size_t slab_release_node(struct kmem_cache *cache, int nid, size_t max)
{
	struct kmem_list3 *l3 = &cache->node[nid];
	struct list_head dead;
	size_t n = 0;

	INIT_LIST_HEAD(&dead);
	spin_lock(&l3->list_lock);
	for (; n < max && !list_empty(&l3->slabs_free); n++) {
		list_move(l3->slabs_free.next, &dead);
		l3->free_objects -= cache->num;
		l3->nr_slabs--;
		l3->nr_free_slabs--;
		l3->reaped++;
	}
	spin_unlock(&l3->list_lock);
	return slab_destroy_list(cache, &dead);
}

size_t slab_release_free(struct kmem_cache *cache)
{
	size_t released = 0;

	for (unsigned int nid = 0; nid < slab_nr_nodes; nid++)
		released += slab_release_node(cache, (int)nid, SIZE_MAX);
	return released;
}

void slab_release_all(struct kmem_cache *cache)
{
	for (unsigned int nid = 0; nid < slab_nr_nodes; nid++) {
		struct kmem_list3 *l3 = &cache->node[nid];
		struct list_head *lists[] = {&l3->slabs_partial, &l3->slabs_full,
					     &l3->slabs_free};
		struct slab *slab;

		for (size_t i = 0; i < KMEM_ARRAY_SIZE(lists); i++) {
			list_for_each_entry_safe (slab, lists[i], list) {
				slab_free_pages(cache, slab);
			}
			INIT_LIST_HEAD(lists[i]);
		}
	}
}
