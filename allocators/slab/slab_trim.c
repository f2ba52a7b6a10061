/* SPDX-License-Identifier: MIT */
/*
 * Memory of slabs that are partly used, back to the system. Free objects hold nothing
 * (their chain lies in the descriptor), so a page that free objects alone cover can be
 * given back while the slab stays as it is: the page comes back, zero, when an object
 * on it is used again.
 *
 * Not for caches with a constructor or debugging: there free objects have contents.
 */
#include "allocators/phys/phys_internal.h"
#include "allocators/slab/slab_internal.h"

#include <limits.h>
#include <string.h>

/* Slabs that are looked at in one hold of the list_lock: some ten system calls. */
#define SLABS_AT_A_TIME 8

size_t slab_idle_bytes(void)
{
	struct kmem_cache *cache;
	size_t bytes = 0;

	slab_chain_lock();
	list_for_each_entry (cache, &slab_cache_chain, next) {
		uint64_t objects = magazine_count(&cache->mag);

		for (unsigned int nid = 0; nid < slab_nr_nodes; nid++) {
			spin_lock(&cache->node[nid].list_lock);
			objects += cache->node[nid].free_objects;
			spin_unlock(&cache->node[nid].list_lock);
		}
		bytes += objects * cache->stride;
	}
	slab_chain_unlock();
	return bytes;
}

#define SLAB_PAGES_MAX 1024u /* of the largest page block */

/* Marks the pages that objects in use lie on, from the slab's first page on. */
static void mark_used(const struct kmem_cache *cache, const struct slab *slab,
		      const char *first, uint8_t *used)
{
	kmem_bufctl_t index = slab->free;
	uint8_t objects[USHRT_MAX / 8 + 1];

	memset(objects, 0, cache->num / 8 + 1);
	for (; index != BUFCTL_END; index = slab->bufctl[index])
		objects[index / 8] |= (uint8_t)(1u << index % 8);
	for (unsigned int i = 0; i < cache->num; i++) {
		size_t from = (size_t)(slab_object(cache, slab, i) - first);
		size_t to = from + cache->stride - 1;

		if (objects[i / 8] >> i % 8 & 1)
			continue;
		for (size_t page = from >> PAGE_SHIFT; page <= to >> PAGE_SHIFT; page++)
			used[page] = 1;
	}
}

/* Gives back what can be of one slab, under list_lock; pages. */
static size_t discard_slab(const struct kmem_cache *cache, struct slab *slab)
{
	unsigned long nr = 1UL << cache->gfporder, run, discarded = 0;
	unsigned long pfn = virt_to_pfn(slab->s_mem) & ~(nr - 1);
	const char *first = pfn_to_virt(pfn);
	uint8_t used[SLAB_PAGES_MAX];
	size_t from, to;

	if (slab->trimmed ||
	    (size_t)(cache->num - slab->inuse) * cache->stride < PAGE_SIZE)
		return 0;
	/* Only what the objects' area covers wholly: the descriptor may lie on either
	 * side. */
	memset(used, 1, nr);
	from = KMEM_ALIGN_UP((size_t)(slab->s_mem - first), PAGE_SIZE) >> PAGE_SHIFT;
	to = (size_t)(slab->s_mem - first + (size_t)cache->num * cache->stride) >>
	     PAGE_SHIFT;
	if (from >= to)
		return 0;
	memset(used + from, 0, to - from);
	mark_used(cache, slab, first, used);
	slab->trimmed = 1;
	for (unsigned long page = 0; page < nr; page += run) {
		for (run = 0; page + run < nr && !used[page + run]; run++)
			;
		if (run != 0 && phys_discard_frames(pfn + page, run) == 0)
			discarded += run;
		else if (run != 0)
			slab->trimmed = 0;
		run += run == 0;
	}
	return discarded;
}

/* One round through the partial slabs, which end in the order they had. */
static size_t discard_partial(struct kmem_cache *cache, struct kmem_list3 *l3)
{
	size_t pages = 0, left = 0;
	struct slab *slab;

	spin_lock(&l3->list_lock);
	list_for_each_entry (slab, &l3->slabs_partial, list)
		left++;
	while (left > 0 && !list_empty(&l3->slabs_partial)) {
		slab = list_entry(l3->slabs_partial.next, struct slab, list);
		pages += discard_slab(cache, slab);
		list_move_tail(&slab->list, &l3->slabs_partial);
		if (--left % SLABS_AT_A_TIME == 0) {
			spin_unlock(&l3->list_lock);
			spin_lock(&l3->list_lock);
		}
	}
	spin_unlock(&l3->list_lock);
	return pages;
}

size_t slab_discard_free(void)
{
	struct kmem_cache *cache;
	size_t pages = 0;

	slab_chain_lock();
	list_for_each_entry (cache, &slab_cache_chain, next) {
		/* Of one page little is left when it is not wholly free. */
		if (cache->ctor || cache->debug || (cache->flags & SLAB_NO_REAP) ||
		    cache->gfporder == 0 || 1UL << cache->gfporder > SLAB_PAGES_MAX)
			continue;
		for (unsigned int nid = 0; nid < slab_nr_nodes; nid++)
			pages += discard_partial(cache, &cache->node[nid]);
	}
	slab_chain_unlock();
	return pages;
}
