/* SPDX-License-Identifier: MIT */
/* Everything that concerns all depots of a cache at once; slab_depot.c has the theory. */
#include "allocators/slab/slab_internal.h"
#include <kmem/error.h>
#include <errno.h>

static uint32_t depot_avail(const struct slab_depot *d)
{
	return atomic_load_explicit(&d->avail, memory_order_relaxed);
}

typedef void (*depot_batch_fn)(struct kmem_cache *cache, size_t n, void *const *objects);

void slab_depot_drain_one(struct kmem_cache *cache, struct slab_depot *d,
			  depot_batch_fn fn)
{
	void *objects[SLAB_BATCH_MAX];
	size_t left = SIZE_MAX, got;

	/* Nothing is written where nobody has been. */
	if (atomic_load_explicit(&d->pages, memory_order_relaxed) == 0 &&
	    slab_magazine_limit(cache, d) == cache->limit)
		return;
	do {
		spin_word_lock(&d->lock);
		/* Not what others put there meanwhile: that could go on for ever. */
		if (left > depot_avail(d))
			left = depot_avail(d);
		got = slab_depot_pop(d, left < SLAB_BATCH_MAX ? left : SLAB_BATCH_MAX,
				     objects);
		left -= got;
		if (left == 0) {
			if (d->spare)
				slab_depot_free_page(d, d->spare);
			d->spare = NULL;
			slab_depot_shrink(cache, d, d->grown);
			slab_magazine_forget(cache, d);
			d->spilled = 0;
		}
		spin_word_unlock(&d->lock);
		fn(cache, got, objects);
	} while (left > 0);
}

void slab_depot_drain(struct kmem_cache *cache, depot_batch_fn fn)
{
	for (unsigned int i = 0; i < slab_nr_depots(cache); i++) {
		slab_depot_drain_one(cache, slab_depot_number(cache, i), fn);
	}
}

static void walk_one(struct slab_depot *d, void (*fn)(void *object, void *arg), void *arg)
{
	uint32_t fill = d->fill;

	for (struct depot_page *page = d->top; page; page = page->below) {
		for (uint32_t i = 0; i < fill; i++)
			fn(page->slot[i], arg);
		fill = DEPOT_PAGE_SLOTS;
	}
}

void slab_depot_walk(struct kmem_cache *cache, void (*fn)(void *object, void *arg),
		     void *arg)
{
	for (unsigned int i = 0; i < slab_nr_depots(cache); i++)
		walk_one(slab_depot_number(cache, i), fn, arg);
}

static int check_counts(struct kmem_cache *cache, unsigned int i)
{
	struct slab_depot *d = slab_depot_number(cache, i);
	uint32_t pages = d->spare != NULL, objects = d->top ? d->fill : 0;

	for (struct depot_page *page = d->top; page; page = page->below) {
		pages++;
		if (page->below)
			objects += (uint32_t)DEPOT_PAGE_SLOTS;
	}
	if (objects == depot_avail(d) && pages == d->pages &&
	    (objects <= slab_depot_limit(cache, d) || objects <= DEPOT_PAGE_SLOTS) &&
	    (!d->top || (d->fill > 0 && d->fill <= DEPOT_PAGE_SLOTS)))
		return 0;
	return kmem_error(
		-EFAULT,
		"cache '%s': depot %u counts %u objects (%u are there, %u may be) "
		"and %u pages (%u)",
		cache->name, i, depot_avail(d), objects, slab_depot_limit(cache, d),
		d->pages, pages);
}

struct node_check {
	int nid;
	void *stranger;
};

static void check_node(void *object, void *arg)
{
	struct node_check *check = arg;

	if (virt_addr_valid(object) && page_to_nid(virt_to_page(object)) != check->nid)
		check->stranger = object;
}

/* A depot has objects of its own node only. */
static int check_home(struct kmem_cache *cache, unsigned int i)
{
	struct node_check check = {
		.nid = i < slab_nr_nodes ? (int)i : cpu_to_node(i - slab_nr_nodes)};

	if (slab_nr_nodes > 1)
		walk_one(slab_depot_number(cache, i), check_node, &check);
	if (!check.stranger)
		return 0;
	return kmem_error(-EFAULT,
			  "cache '%s': depot %u of node %d has object %p of node %d",
			  cache->name, i, check.nid, check.stranger,
			  page_to_nid(virt_to_page(check.stranger)));
}

int slab_depot_check(struct kmem_cache *cache)
{
	int err = 0;

	for (unsigned int i = 0; i < slab_nr_depots(cache) && err == 0; i++) {
		err = check_counts(cache, i);
		if (err == 0)
			err = check_home(cache, i);
	}
	return err;
}

struct slab_depot_sums slab_depot_sum(struct kmem_cache *cache)
{
	struct slab_depot_sums sums = {.magazine_limit = cache->limit,
				       .batch = cache->batchcount};

	for (unsigned int i = 0; i < slab_nr_depots(cache); i++) {
		struct slab_depot *d = slab_depot_number(cache, i);

		spin_word_lock(&d->lock);
		sums.objects += depot_avail(d);
		sums.limit += slab_depot_limit(cache, d);
		sums.refills += d->refills;
		sums.flushes += d->flushes;
		sums.stolen += d->stolen;
		if (slab_magazine_limit(cache, d) > sums.magazine_limit) {
			sums.magazine_limit = slab_magazine_limit(cache, d);
			sums.batch = slab_batch_of(cache, d);
		}
		spin_word_unlock(&d->lock);
	}
	return sums;
}

void slab_depot_lock_all(struct kmem_cache *cache)
{
	for (unsigned int i = 0; i < slab_nr_depots(cache); i++)
		spin_word_lock(&slab_depot_number(cache, i)->lock);
}

void slab_depot_unlock_all(struct kmem_cache *cache)
{
	for (unsigned int i = 0; i < slab_nr_depots(cache); i++)
		spin_word_unlock(&slab_depot_number(cache, i)->lock);
}
