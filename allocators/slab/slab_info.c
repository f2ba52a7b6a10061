/* SPDX-License-Identifier: MIT */
/* What the allocator tells about itself: slabinfo, statistics, and the walk over every
 * invariant. */
#include "allocators/slab/slab_internal.h"
#include <kmem/error.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* --- slabinfo and statistics --- */

/* Sums over the nodes, each read under its lock. */
struct node_sums {
	uint64_t slabs, free_slabs, free_objects, depot_objects;
	uint64_t depot_limit, alien_objects;
	uint32_t magazine_limit, batch;
	uint64_t refills, flushes, grown, reaped, stolen, alien_sent;
};

static struct node_sums sum_nodes(struct kmem_cache *cache)
{
	struct slab_depot_sums depots = slab_depot_sum(cache);
	struct slab_alien_sums alien = slab_alien_sum(cache);
	struct node_sums sums = {
		.depot_objects = depots.objects,
		.depot_limit = depots.limit,
		.magazine_limit = depots.magazine_limit,
		.batch = depots.batch,
		.refills = depots.refills + depots.stolen,
		.flushes = depots.flushes,
		.stolen = depots.stolen,
		.alien_objects = alien.objects,
		.alien_sent = alien.sent,
	};

	for (unsigned int nid = 0; nid < slab_nr_nodes; nid++) {
		struct kmem_list3 *l3 = &cache->node[nid];

		spin_lock(&l3->list_lock);
		sums.slabs += l3->nr_slabs;
		sums.free_slabs += l3->nr_free_slabs;
		sums.free_objects += l3->free_objects;
		sums.refills += l3->refills;
		sums.flushes += l3->flushes;
		sums.grown += l3->grown;
		sums.reaped += l3->reaped;
		spin_unlock(&l3->list_lock);
	}
	return sums;
}

/* Objects in callers' hands; other threads may be at work, so not below 0. */
static uint64_t active_objects(const struct kmem_cache *cache,
			       const struct node_sums *sums, uint64_t arrays)
{
	uint64_t total = sums->slabs * cache->num;
	uint64_t cached = sums->free_objects + sums->depot_objects + sums->alien_objects +
			  arrays;

	return total > cached ? total - cached : 0;
}

void slabinfo(void (*fn)(const struct kmem_cache_info *info, void *arg), void *arg)
{
	struct kmem_cache *cache;

	slab_chain_lock();
	list_for_each_entry (cache, &slab_cache_chain, next) {
		struct node_sums sums = sum_nodes(cache);
		struct kmem_cache_info info = {
			.name = cache->name,
			.active_objs = active_objects(cache, &sums,
						      magazine_count(&cache->mag)),
			.num_objs = sums.slabs * cache->num,
			.objsize_bytes = cache->stride,
			.objperslab = cache->num,
			.pagesperslab = (uint64_t)1 << cache->gfporder,
			.limit = sums.magazine_limit,
			.batchcount = sums.batch,
			.sharedfactor = sums.depot_limit / sums.batch,
			.sharedavail = sums.depot_objects,
			.active_slabs = sums.slabs - sums.free_slabs,
			.num_slabs = sums.slabs,
			.colours = cache->geometry.colours,
			.colour_off_bytes = cache->geometry.colour_off,
			.slack_bytes = cache->geometry.slack,
			.off_slab = cache->slabp_cache != NULL,
		};

		fn(&info, arg);
	}
	slab_chain_unlock();
}

int slabinfo_format(const struct kmem_cache_info *info, char *buf, size_t size)
{
	if (!info)
		return snprintf(buf, size,
				"slabinfo - version: 2.1\n"
				"# name            <active_objs> <num_objs> <objsize> "
				"<objperslab> <pagesperslab> : tunables <limit> "
				"<batchcount> <sharedfactor> : slabdata "
				"<active_slabs> <num_slabs> <sharedavail>\n");
	return snprintf(
		buf, size,
		"%-17s %6llu %6llu %6llu %4llu %4llu : tunables %4llu %4llu %4llu : "
		"slabdata %6llu %6llu %6llu\n",
		info->name, (unsigned long long)info->active_objs,
		(unsigned long long)info->num_objs,
		(unsigned long long)info->objsize_bytes,
		(unsigned long long)info->objperslab,
		(unsigned long long)info->pagesperslab, (unsigned long long)info->limit,
		(unsigned long long)info->batchcount,
		(unsigned long long)info->sharedfactor,
		(unsigned long long)info->active_slabs,
		(unsigned long long)info->num_slabs,
		(unsigned long long)info->sharedavail);
}

void slab_stats(struct slab_stats *stats)
{
	struct kmem_cache *cache;

	memset(stats, 0, sizeof(*stats));
	slab_chain_lock();
	list_for_each_entry (cache, &slab_cache_chain, next) {
		struct node_sums sums = sum_nodes(cache);
		uint64_t arrays = magazine_count(&cache->mag);

		stats->caches++;
		stats->slabs += sums.slabs;
		stats->slab_pages += sums.slabs << cache->gfporder;
		stats->active_objects += active_objects(cache, &sums, arrays);
		stats->total_objects += sums.slabs * cache->num;
		stats->percpu_objects += arrays + sums.depot_objects + sums.alien_objects;
		stats->stolen += sums.stolen;
		stats->alien += sums.alien_sent;
		stats->refills += sums.refills;
		stats->flushes += sums.flushes;
		stats->grown += sums.grown;
		stats->reaped += sums.reaped;
	}
	slab_chain_unlock();
}

/* --- the check --- */

#define check_fail(cache, ...) check_error((cache)->name, __VA_ARGS__)

static int check_error(const char *name, const char *what, unsigned long long a,
		       unsigned long long b)
{
	return kmem_error(-EFAULT, "cache '%s': %s (%llu, expected %llu)", name, what, a,
			  b);
}

static int check_pages(struct kmem_cache *cache, struct slab *slab)
{
	unsigned long pfn = virt_to_pfn(slab->s_mem) & ~((1UL << cache->gfporder) - 1);

	for (unsigned long i = 0; i < 1UL << cache->gfporder; i++) {
		struct page *page = pfn_to_page(pfn + i);

		if (slab_of(cache, pfn_to_virt(pfn + i)) != slab)
			return check_fail(cache, "page does not belong to its slab",
					  pfn + i, pfn);
		if (slab_nr_nodes > 1 && page_to_nid(page) != slab->nid)
			return check_fail(cache, "slab is on the wrong node's list",
					  slab->nid,
					  (unsigned long long)page_to_nid(page));
	}
	return 0;
}

/* The free chain has exactly the objects that are not in use, once each. */
static int check_chain(struct kmem_cache *cache, struct slab *slab)
{
	unsigned int on_chain = 0, states = 0;
	char text[256];

	for (kmem_bufctl_t i = slab->free; i != BUFCTL_END; i = slab->bufctl[i]) {
		if (i >= cache->num || ++on_chain > cache->num)
			return check_fail(cache, "free chain is broken at index", i,
					  cache->num);
		if (cache->debug &&
		    !slab_debug_check_free(cache, slab_object(cache, slab, i), text,
					   sizeof(text)))
			return kmem_error(-EFAULT, "%s", text);
	}
	for (unsigned int i = 0; i < cache->num; i++) {
		if (slab->bufctl[i] < BUFCTL_QUARANTINE || slab->bufctl[i] == BUFCTL_END)
			continue;
		states++;
		if (cache->debug && slab->bufctl[i] == BUFCTL_ACTIVE &&
		    !slab_debug_check_active(cache, slab_object(cache, slab, i), text,
					     sizeof(text)))
			return kmem_error(-EFAULT, "%s", text);
	}
	if (on_chain + states != cache->num)
		return check_fail(cache, "objects free and in use", on_chain + states,
				  cache->num);
	if (states != slab->inuse)
		return check_fail(cache, "objects in use on a slab", slab->inuse, states);
	return 0;
}

/* One list; `low` and `high` bound the objects in use on its slabs. */
static int check_list(struct kmem_cache *cache, struct list_head *head, unsigned int low,
		      unsigned int high, struct node_sums *sums)
{
	struct slab *slab;
	int err;

	list_for_each_entry (slab, head, list) {
		if (slab->inuse < low || slab->inuse > high)
			return check_fail(cache,
					  "slab is on the wrong list with objects in use",
					  slab->inuse, low);
		err = check_pages(cache, slab);
		if (err == 0)
			err = check_chain(cache, slab);
		if (err)
			return err;
		sums->slabs++;
		sums->free_slabs += slab->inuse == 0;
		sums->free_objects += cache->num - slab->inuse;
	}
	return 0;
}

struct array_check {
	struct kmem_cache *cache;
	int err;
};

/*
 * What lies on an array must be an object of the cache, in use for its slab, and
 * lie on one array only: each is marked BUFCTL_BUSY, which nothing else is while
 * nobody is calling.
 */
static void check_cached_object(void *object, void *arg)
{
	struct array_check *check = arg;
	struct kmem_cache *cache = check->cache;
	struct slab *slab;

	if (check->err)
		return;
	slab = virt_addr_valid(object) ? slab_of(cache, object) : NULL;
	if (!slab || slab_index(cache, slab, object) < 0)
		check->err = kmem_error(
			-EFAULT, "cache '%s': %p on an array is none of its objects",
			cache->name, object);
	else if (slab->bufctl[slab_index(cache, slab, object)] == BUFCTL_BUSY)
		check->err = kmem_error(-EFAULT,
					"cache '%s': object %p is on arrays twice",
					cache->name, object);
	else if (slab->bufctl[slab_index(cache, slab, object)] != BUFCTL_ACTIVE)
		check->err = kmem_error(-EFAULT,
					"cache '%s': object %p is on an array and free",
					cache->name, object);
	else
		slab->bufctl[slab_index(cache, slab, object)] = BUFCTL_BUSY;
}

/* Undoes the marks of check_cached_object(), also where it has stopped half-way. */
static void unmark_slabs(struct list_head *head, unsigned int num)
{
	struct slab *slab;

	list_for_each_entry (slab, head, list) {
		for (unsigned int i = 0; i < num; i++) {
			if (slab->bufctl[i] == BUFCTL_BUSY)
				slab->bufctl[i] = BUFCTL_ACTIVE;
		}
	}
}

static int check_node(struct kmem_cache *cache, struct kmem_list3 *l3)
{
	struct node_sums sums = {0};
	int err;

	err = check_list(cache, &l3->slabs_free, 0, 0, &sums);
	/* Where a slab has one object, no slab is partial: the bounds then exclude all.
	 */
	if (err == 0)
		err = check_list(cache, &l3->slabs_partial, 1, cache->num - 1, &sums);
	if (err == 0)
		err = check_list(cache, &l3->slabs_full, cache->num, cache->num, &sums);
	if (err)
		return err;
	if (sums.slabs != l3->nr_slabs)
		return check_fail(cache, "slabs of a node", l3->nr_slabs, sums.slabs);
	if (sums.free_slabs != l3->nr_free_slabs)
		return check_fail(cache, "free slabs of a node", l3->nr_free_slabs,
				  sums.free_slabs);
	if (sums.free_objects != l3->free_objects)
		return check_fail(cache, "free objects of a node", l3->free_objects,
				  sums.free_objects);
	return 0;
}

/* hardened=on, while objects on arrays are BUFCTL_BUSY. */
static int check_marks(const struct kmem_cache *cache, struct kmem_list3 *l3)
{
	struct list_head *lists[] = {&l3->slabs_partial, &l3->slabs_full,
				     &l3->slabs_free};
	struct slab *slab;

	for (size_t i = 0; i < KMEM_ARRAY_SIZE(lists); i++) {
		list_for_each_entry (slab, lists[i], list) {
			int err = slab_marks_check(cache, slab);

			if (err)
				return err;
		}
	}
	return 0;
}

/* Everything that is free and on no slab's chain: depots, per-CPU arrays, aliens. */
static int check_cached_objects(struct kmem_cache *cache)
{
	struct array_check check = {.cache = cache};

	check.err = slab_depot_check(cache);
	if (check.err)
		return check.err;
	if (!magazine_check(&cache->mag))
		return kmem_error(-EFAULT, "cache '%s': a magazine has lost its bounds",
				  cache->name);
	slab_depot_walk(cache, check_cached_object, &check);
	magazine_walk(&cache->mag, check_cached_object, &check);
	for (unsigned int nid = 0; nid < slab_nr_nodes; nid++)
		percpu_walk(&cache->node[nid].alien, check_cached_object, &check);
	for (unsigned int nid = 0; nid < slab_nr_nodes && slab_hardened(); nid++) {
		if (check.err == 0)
			check.err = check_marks(cache, &cache->node[nid]);
	}
	for (unsigned int nid = 0; nid < slab_nr_nodes; nid++) {
		unmark_slabs(&cache->node[nid].slabs_partial, cache->num);
		unmark_slabs(&cache->node[nid].slabs_full, cache->num);
	}
	return check.err;
}

static int check_cache(struct kmem_cache *cache)
{
	struct node_sums sums;
	int err = 0;

	for (unsigned int nid = 0; nid < slab_nr_nodes && err == 0; nid++)
		err = check_node(cache, &cache->node[nid]);
	if (err == 0)
		err = check_cached_objects(cache);
	if (err)
		return err;
	/* Fewer objects in use than cached ones: some object is cached twice. */
	sums = sum_nodes(cache);
	if (sums.slabs * cache->num - sums.free_objects <
	    sums.depot_objects + sums.alien_objects + magazine_count(&cache->mag))
		return check_fail(cache, "objects on arrays", sums.depot_objects,
				  sums.slabs * cache->num - sums.free_objects);
	return 0;
}

int slab_check(void)
{
	struct kmem_cache *cache;
	int err = 0;

	slab_chain_lock();
	list_for_each_entry (cache, &slab_cache_chain, next) {
		err = check_cache(cache);
		if (err)
			break;
	}
	slab_chain_unlock();
	return err;
}
