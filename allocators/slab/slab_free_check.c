/* SPDX-License-Identifier: MIT */
/* Which object a free concerns, and what is told to who frees something else. */
#include "allocators/slab/slab_fast.h"
#include <kmem/error.h>
#include <stdio.h>

static const char *cache_or_kfree(const struct kmem_cache *cache, char *buf, size_t size)
{
	if (!cache)
		return "kfree";
	snprintf(buf, size, "cache '%s'", cache->name);
	return buf;
}

/* The slab that a free of this address concerns, after every check that can be
 * made without a lock; NULL after a report, or after a large block was freed. With
 * hardened=on only for what has no mark, or the wrong one. */
KMEM_NOINLINE struct slab *slab_free_lookup(struct kmem_cache **cachep, void *object)
{
	struct kmem_cache *cache = *cachep, *owner;
	struct page *page = virt_to_page(object);
	struct slab *slab;
	char who[SLAB_NAME_MAX + 16];

	if (!virt_addr_valid(object)) {
		kmem_bug("%s: free of %p, which is outside the managed memory",
			 cache_or_kfree(cache, who, sizeof(who)), object);
		return NULL;
	}
	/* A slab that is just going back, under a free of what is in it, has neither. */
	owner = page->slab_cache;
	slab = page->slab;
	if (!(atomic_load_explicit(&page->flags, memory_order_relaxed) & PG_slab) ||
	    !owner || !slab) {
		if (!cache && !slab_hardened() && kmalloc_large_free(object))
			return NULL;
		kmem_bug("%s: free of %p, which is in no slab",
			 cache_or_kfree(cache, who, sizeof(who)), object);
		return NULL;
	}
	if (cache && owner != cache) {
		kmem_bug("cache '%s': free of %p, which belongs to cache '%s'",
			 cache->name, object, owner->name);
		return NULL;
	}
	if (slab_index(owner, slab, object) < 0) {
		slab_report_not_object(owner, slab, object);
		return NULL;
	}
	*cachep = owner;
	return slab;
}

/* The same with hardened=on: the mark decides, the rest is for the report. */
KMEM_NOINLINE struct slab *slab_free_marked(struct kmem_cache **cachep, void *object)
{
	uint8_t mark = slab_mark_take(*cachep, object);

	if (mark == SLAB_MARK_LARGE) {
		kmalloc_large_free(object);
		return NULL;
	}
	if (mark != 0) {
		*cachep = virt_to_page(object)->slab_cache;
		return virt_to_page(object)->slab;
	}
	if (slab_free_lookup(cachep, object))
		slab_report_double_free(*cachep, object);
	return NULL;
}
