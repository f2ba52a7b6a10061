/* SPDX-License-Identifier: MIT */
/*
 * Caches: making them, unmaking them, giving their free memory back; and the
 * bootstrap of the whole allocator.
 */
#include "allocators/buddy/buddy_internal.h"
#include "allocators/os/os_mem.h"
#include "allocators/slab/slab_fast.h"
#include <kmem/error.h>
#include <kmem/page_alloc.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct slab_config slab_config;
struct slab_grids slab_grids KMEM_SPARSE;
struct kmem_cache *slab_id_caches[MAGAZINE_NR] KMEM_SPARSE;
struct slab_pages slab_pages;
unsigned int slab_nr_nodes;
struct list_head slab_cache_chain = {&slab_cache_chain, &slab_cache_chain};

static pthread_mutex_t slab_chain_mutex = PTHREAD_MUTEX_INITIALIZER;

/* The cache of caches; static, since it cannot come from itself. */
static union {
	struct kmem_cache cache;
	char bytes[sizeof(struct kmem_cache) + MAX_NUMNODES * sizeof(struct kmem_list3)];
} cache_cache KMEM_SPARSE;

/* How often this thread has it: a destructor runs under the lock, and may allocate, free,
 * look, reap, and need a general cache that has to be made. */
static _Thread_local unsigned int chain_depth;

void slab_chain_lock(void)
{
	if (chain_depth == 0)
		pthread_mutex_lock(&slab_chain_mutex);
	chain_depth++;
}

bool slab_chain_lock_in_reclaim(void)
{
	enum { TRIES = 50 };

	/* Who holds it is about to give memory back, mostly: worth a little waiting. */
	for (int i = 0; i < TRIES && chain_depth == 0; i++) {
		if (slab_chain_trylock())
			return true;
		os_yield((unsigned int)i);
	}
	return false;
}

bool slab_chain_trylock(void)
{
	if (chain_depth != 0 || pthread_mutex_trylock(&slab_chain_mutex) != 0)
		return false;
	chain_depth = 1;
	return true;
}

void slab_chain_unlock(void)
{
	if (--chain_depth == 0)
		pthread_mutex_unlock(&slab_chain_mutex);
}

/* --- creation --- */

/* Everything but the name's uniqueness. `cache` is zeroed memory. */
static int cache_setup(struct kmem_cache *cache, const char *name, size_t size,
		       size_t align, unsigned int flags, kmem_cache_ctor ctor,
		       kmem_cache_ctor dtor, gfp_t gfp)
{
	size_t colour_off = slab_config.colour_off_bytes;
	struct slab_geometry *g = &cache->geometry;

	if (!slab_config.colour)
		colour_off = 0;
	else if (colour_off == 0)
		colour_off = KMEM_CACHELINE;
	if (flags & SLAB_EXACT)
		colour_off = 0;
	if (slab_hardened() && align < SLAB_MARK_BYTES)
		align = SLAB_MARK_BYTES;
	if (slab_config.descriptors == SLAB_DESCRIPTORS_ON)
		flags |= SLAB_DESC_ON_SLAB;
	else if (slab_config.descriptors == SLAB_DESCRIPTORS_OFF)
		flags |= SLAB_DESC_OFF_SLAB;
	/* Poison would destroy what the constructor made. */
	if (ctor)
		flags &= ~SLAB_POISON;
	strncpy(cache->name, name, sizeof(cache->name) - 1);
	if (slab_geometry_compute(g, size, align, flags, colour_off) != 0)
		return kmem_error(
			-EINVAL,
			"cache '%s': objects of '%zu' bytes aligned to '%zu' fit into no "
			"slab of at most %zu bytes",
			name, size, align, KMALLOC_MAX_SIZE);
	cache->object_size = (uint32_t)g->object_size;
	cache->stride = (uint32_t)g->stride;
	cache->reciprocal = UINT64_MAX / g->stride + 1;
	cache->num = g->num;
	cache->gfporder = g->gfporder;
	cache->flags = flags & SLAB_PUBLIC_FLAGS;
	cache->gfpflags = flags & SLAB_CACHE_DMA ? __GFP_DMA : 0;
	cache->ctor = ctor;
	cache->dtor = dtor;
	cache->debug = (flags & SLAB_DEBUG_FLAGS) != 0;
	if (g->off_slab) {
		cache->slabp_cache = kmalloc_cache_of(g->desc_bytes, gfp);
		if (!cache->slabp_cache)
			return -ENOMEM;
	}
	cache->batchcount = 1;
	for (unsigned int nid = 0; nid < slab_nr_nodes; nid++)
		slab_list3_init(cache, (int)nid);
	if (slab_config.percpu && !cache->debug && cache != &cache_cache.cache &&
	    slab_percpu_init(cache) != 0)
		return -ENOMEM;
	for (unsigned int nid = 0; nid < slab_nr_nodes; nid++)
		slab_free_limit_init(cache, (int)nid);
	return 0;
}

static struct kmem_cache *find_cache(const char *name)
{
	struct kmem_cache *cache;

	list_for_each_entry (cache, &slab_cache_chain, next) {
		if (strncmp(cache->name, name, sizeof(cache->name)) == 0)
			return cache;
	}
	return NULL;
}

/* Lets frees of the cache's objects take the hit path. */
static void open_hit_path(struct kmem_cache *cache)
{
	struct slab_grid grid;

	if (cache->mag.in == 0)
		return;
	slab_id_caches[cache->mag.in] = cache;
	slab_grid_of(&grid, &cache->geometry);
	slab_grids.mask[cache->mag.in] = grid.mask;
	slab_grids.reciprocal[cache->mag.in] = grid.reciprocal;
	if (slab_hardened())
		return;
	cache->hit_out = cache->mag.out;
	cache->page_id = slab_nr_nodes == 1 ? cache->mag.in : 0;
}

struct kmem_cache *slab_cache_new(const char *name, size_t size, size_t align,
				  unsigned int flags, kmem_cache_ctor ctor,
				  kmem_cache_ctor dtor, gfp_t gfp,
				  struct kmem_cache *_Atomic *slot)
{
	struct kmem_cache *cache = kmem_cache_alloc(&cache_cache.cache, gfp);
	struct kmem_cache *there;
	bool taken;

	if (!cache) {
		kmem_error(-ENOMEM,
			   "cache '%s': no memory for its description, free some or "
			   "raise option 'memory'",
			   name);
		return NULL;
	}
	memset(cache, 0, cache_cache.cache.object_size);
	if (cache_setup(cache, name, size, align, flags, ctor, dtor, gfp) != 0) {
		kmem_cache_free(&cache_cache.cache, cache);
		return NULL;
	}
	slab_chain_lock();
	there = slot ? *slot : find_cache(name);
	taken = there || (!slot && kmalloc_owns_name(name));
	if (!taken) {
		open_hit_path(cache);
		list_add_tail(&cache->next, &slab_cache_chain);
		if (slot)
			kmalloc_publish(slot, cache);
	}
	slab_chain_unlock();
	if (!taken)
		return cache;
	slab_percpu_destroy(cache);
	kmem_cache_free(&cache_cache.cache, cache);
	if (slot)
		return there;
	kmem_error(-EEXIST, "a cache named '%s' exists, choose another name", name);
	return NULL;
}

static int check_create(const char *name, size_t size, size_t align, unsigned int flags)
{
	if (slab_nr_nodes == 0)
		return kmem_error(-EINVAL,
				  "the slab allocator is not up, call kmem_cache_init");
	if (!name || !*name || strlen(name) >= SLAB_NAME_MAX)
		return kmem_error(-EINVAL, "cache name '%s': use 1 to %d characters",
				  name ? name : "", SLAB_NAME_MAX - 1);
	if (size == 0 || size > KMALLOC_MAX_SIZE)
		return kmem_error(-EINVAL,
				  "cache '%s': object size '%zu' is not in 1 to %zu",
				  name, size, KMALLOC_MAX_SIZE);
	if (align & (align - 1))
		return kmem_error(
			-EINVAL,
			"cache '%s': alignment '%zu' is no power of two, use one or 0",
			name, align);
	if (flags & ~SLAB_PUBLIC_FLAGS)
		return kmem_error(
			-EINVAL,
			"cache '%s': unknown flags '0x%x', use the SLAB_ names only",
			name, flags & ~SLAB_PUBLIC_FLAGS);
	return 0;
}

struct kmem_cache *kmem_cache_create(const char *name, size_t size, size_t align,
				     unsigned int flags, kmem_cache_ctor ctor,
				     kmem_cache_ctor dtor)
{
	struct kmem_cache *cache = NULL;

	if (check_create(name, size, align, flags) == 0) {
		if (slab_config.debug)
			flags |= slab_debug_flags(slab_config.debug);
		cache = slab_cache_new(name, size, align, flags, ctor, dtor, GFP_KERNEL,
				       NULL);
	}
	if (!cache && (flags & SLAB_PANIC)) {
		kmem_bug("cannot create cache '%s': %s", name ? name : "",
			 kmem_last_error());
		abort();
	}
	return cache;
}

/* --- giving back --- */

static uint64_t cache_live_objects(struct kmem_cache *cache)
{
	uint64_t live = 0;

	for (unsigned int nid = 0; nid < slab_nr_nodes; nid++) {
		struct kmem_list3 *l3 = &cache->node[nid];

		spin_lock(&l3->list_lock);
		live += l3->nr_slabs * cache->num - l3->free_objects;
		spin_unlock(&l3->list_lock);
	}
	return live;
}

int kmem_cache_destroy(struct kmem_cache *cache)
{
	uint64_t live;

	if (!cache)
		return 0;
	if (chain_depth != 0)
		return kmem_error(
			-EBUSY,
			"cache '%s' cannot be destroyed from a destructor, or while "
			"slabinfo() looks: do it afterwards",
			cache->name);
	slab_chain_lock();
	slab_drain(cache, true);
	slab_release_free(cache);
	live = cache_live_objects(cache);
	if (live == 0)
		list_del(&cache->next);
	slab_chain_unlock();
	if (live > 0)
		return kmem_error(-EBUSY,
				  "cache '%s' still has %llu objects, free them first",
				  cache->name, (unsigned long long)live);
	slab_percpu_destroy(cache);
	kmem_cache_free(&cache_cache.cache, cache);
	return 0;
}

static uint64_t cache_reaped(struct kmem_cache *cache)
{
	uint64_t reaped = 0;

	for (unsigned int nid = 0; nid < slab_nr_nodes; nid++) {
		spin_lock(&cache->node[nid].list_lock);
		reaped += cache->node[nid].reaped;
		spin_unlock(&cache->node[nid].list_lock);
	}
	return reaped;
}

size_t kmem_cache_shrink(struct kmem_cache *cache)
{
	/* Draining gives slabs back by itself when there are many free objects, so
	 * the count is taken from the statistics. */
	uint64_t before = cache_reaped(cache);

	slab_drain(cache, false);
	slab_release_free(cache);
	return (size_t)(cache_reaped(cache) - before);
}

size_t kmem_cache_reap(void)
{
	struct kmem_cache *cache;
	size_t reaped = 0;

	slab_chain_lock();
	/* The descriptors of others' slabs go back to caches made earlier: backwards. */
	for (struct list_head *at = slab_cache_chain.prev; at != &slab_cache_chain;
	     at = at->prev) {
		cache = list_entry(at, struct kmem_cache, next);
		if (!(cache->flags & SLAB_NO_REAP))
			reaped += kmem_cache_shrink(cache);
	}
	slab_chain_unlock();
	return reaped;
}

size_t kmem_cache_size(const struct kmem_cache *cache)
{
	return cache->object_size;
}

const char *kmem_cache_name(const struct kmem_cache *cache)
{
	return cache->name;
}

/* --- start and end --- */

static int check_config(const struct slab_config *config)
{
	uint64_t colour_off = config->colour_off_bytes;

	if (colour_off & (colour_off - 1))
		return kmem_error(-EINVAL,
				  "colour_off '%llu' is no power of two, use one or 0",
				  (unsigned long long)colour_off);
	if (config->limit > PERCPU_LIMIT_MAX)
		return kmem_error(-EINVAL, "limit '%llu' is above %u, lower it",
				  (unsigned long long)config->limit, PERCPU_LIMIT_MAX);
	if (config->batchcount > SLAB_BATCH_MAX)
		return kmem_error(-EINVAL, "batchcount '%llu' is above %u, lower it",
				  (unsigned long long)config->batchcount, SLAB_BATCH_MAX);
	if (config->limit && config->batchcount > config->limit)
		return kmem_error(-EINVAL,
				  "batchcount '%llu' is above limit '%llu', lower it",
				  (unsigned long long)config->batchcount,
				  (unsigned long long)config->limit);
	return 0;
}

/* Lets cache_cache describe itself: it is set up like any other cache, with
 * room for the nodes there are. */
static int bootstrap(void)
{
	size_t size = sizeof(struct kmem_cache) +
		      slab_nr_nodes * sizeof(struct kmem_list3);
	unsigned int flags = SLAB_NO_REAP | SLAB_DESC_ON_SLAB;

	/* Private, so that a child of fork() has its own; not touched before it is used.
	 */
	slab_pages.page_id = os_map_anon(kmem_nr_frames);
	if (!slab_pages.page_id)
		return kmem_error(-ENOMEM,
				  "no memory for a byte for each of %lu page frames, "
				  "lower option 'memory' or raise 'ulimit -v'",
				  kmem_nr_frames);
	slab_pages.base = kmem_direct_base;
	slab_pages.nr_frames = kmem_nr_frames;
	if (slab_config.hardened && slab_marks_init() != 0)
		return -ENOMEM;
	/* As far as there are nodes: the rest is not touched. */
	memset(&cache_cache, 0, size);
	if (cache_setup(&cache_cache.cache, "kmem_cache", size, KMEM_CACHELINE, flags,
			NULL, NULL, GFP_KERNEL) != 0)
		return -ENOMEM;
	list_add_tail(&cache_cache.cache.next, &slab_cache_chain);
	return kmalloc_init();
}

int slab_start(const struct slab_config *config)
{
	static const struct kmem_option_group groups[] = {{slab_options, 0}, {NULL, 0}};
	struct slab_config defaults;
	int err;

	if (slab_nr_nodes > 0)
		return kmem_error(
			-EBUSY,
			"the slab allocator is up already, call kmem_cache_exit first");
	/* Not buddy_stats(), which counts the free pages: start-up is all that a short
	 * program waits for. */
	if (buddy.nr_frames == 0)
		return kmem_error(-EINVAL, "there are no pages to take, call phys_init "
					   "and buddy_init first");
	if (!config) {
		err = kmem_options_defaults(groups, &defaults);
		if (err)
			return err;
		config = &defaults;
	}
	err = check_config(config);
	if (err)
		return err;
	slab_config = *config;
	slab_nr_nodes = (unsigned int)phys_nr_nodes();
	err = bootstrap();
	if (err) {
		kmem_cache_exit();
		return err;
	}
	slab_fork_init();
	slab_reclaim_init();
	return 0;
}

int kmem_cache_init(const struct slab_config *config)
{
	int err = slab_start(config);

	if (err != 0)
		return err;
	if (!kmalloc_make_all()) {
		kmem_cache_exit();
		return -ENOMEM;
	}
	return 0;
}

/*
 * Whatever is live goes. Backwards, because descriptors of later caches lie in
 * slabs of earlier ones, and all kmem_cache structures in those of cache_cache,
 * which is first.
 */
void kmem_cache_exit(void)
{
	if (slab_nr_nodes == 0)
		return;
	slab_reclaim_exit();
	slab_fork_exit();
	while (!list_empty(&slab_cache_chain)) {
		struct kmem_cache *cache = list_entry(slab_cache_chain.prev,
						      struct kmem_cache, next);

		slab_drain(cache, true);
		slab_release_free(cache);
		slab_release_all(cache);
		list_del(&cache->next);
		slab_percpu_destroy(cache);
	}
	kmalloc_exit();
	if (slab_pages.page_id)
		os_unmap(slab_pages.page_id, kmem_nr_frames);
	slab_marks_exit();
	slab_pages = (struct slab_pages){.page_id = NULL};
	slab_nr_nodes = 0;
}
