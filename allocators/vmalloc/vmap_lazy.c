/* SPDX-License-Identifier: MIT */
/*
 * Freed areas: kept mapped with their pages, handed out again, unmapped in
 * batches.
 *
 * Taking a mapping away costs an interrupt of every other CPU that runs the
 * process, 20 us, however small the area. So vfree() keeps it, and the next
 * vmalloc() of the same size (node, zone, alignment) gets it back for the price
 * of a pop. Linux keeps freed addresses (lazy purge, 2.6.28) but never pages,
 * since the kernel can wait for no one to give pages back; here they count as
 * used until a purge, which any request that runs out brings about, or until the page
 * allocator asks for them (vmap_shrink.c).
 *
 * Two tiers. Small areas lie on stacks, one per CPU, node and number of pages (option
 * percpu_areas).
 * What does not fit, or is larger, lies in the pool: a hash by key and one list
 * by age. When the pool is over its limit, its oldest areas go until it is half
 * full: unmapping half of it at a time makes neighbours likely, and leaves what
 * was used last.
 */
#include "allocators/os/os_mem.h"
#include "allocators/vmalloc/vmalloc_internal.h"
#include <kmem/error.h>
#include <kmem/phys.h>

#include <errno.h>

/*
 * A CPU's stacks get an equal share of half of lazy_bytes, but 1 MiB (16 sizes)
 * even where so many CPUs share that the sum is more than lazy_bytes.
 */
#define PERCPU_BUDGET_PAGES_MIN 256u
/* More entries of one size than a burst of some threads frees gain nothing. */
#define PERCPU_SLOTS_MAX 64u

/* --- the pool --- */

static struct vmap_area **bucket_of(uint64_t key)
{
	return &vmap_layer.pool.bucket[key * 0x9e3779b97f4a7c15u >> 56];
}
_Static_assert(VMAP_POOL_BUCKETS == 256, "bucket_of() takes the upper 8 bits");

/* Of one whose pages lie on several, the first one's. */
static unsigned int area_node(const struct vmap_area *area)
{
	return vmap_layer.nr_nodes == 1 ? 0
					: (unsigned int)page_to_nid(area->vm.pages[0]);
}

static void pool_link(struct vmap_area *area)
{
	struct vmap_pool *pool = &vmap_layer.pool;
	struct vmap_area **bucket = bucket_of(area->key);

	area->bucket_next = *bucket;
	area->bucket_link = bucket;
	if (*bucket != NULL)
		(*bucket)->bucket_link = &area->bucket_next;
	*bucket = area;

	area->newer = NULL;
	area->older = pool->newest;
	*(pool->newest != NULL ? &pool->newest->newer : &pool->oldest) = area;
	pool->newest = area;
	pool->pages += area->vm.nr_pages;
	pool->node_pages[area_node(area)] += area->vm.nr_pages;
	pool->areas++;
}

static void pool_unlink(struct vmap_area *area)
{
	struct vmap_pool *pool = &vmap_layer.pool;

	*area->bucket_link = area->bucket_next;
	if (area->bucket_next != NULL)
		area->bucket_next->bucket_link = area->bucket_link;
	*(area->older != NULL ? &area->older->newer : &pool->oldest) = area->newer;
	*(area->newer != NULL ? &area->newer->older : &pool->newest) = area->older;
	pool->pages -= area->vm.nr_pages;
	pool->node_pages[area_node(area)] -= area->vm.nr_pages;
	pool->areas--;
}

static void chain_push(struct vmap_area **chain, struct vmap_area *area)
{
	atomic_store_explicit(&area->state, VMAP_GOING, memory_order_relaxed);
	area->newer = *chain;
	*chain = area;
}

struct vmap_area *vmap_pool_take(uint64_t key)
{
	struct vmap_pool *pool = &vmap_layer.pool;
	struct vmap_area *area;

	spin_lock(&pool->lock);
	for (area = *bucket_of(key); area != NULL; area = area->bucket_next)
		if (area->key == key)
			break;
	if (area != NULL)
		pool_unlink(area);
	spin_unlock(&pool->lock);
	return area;
}

void vmap_pool_put(struct vmap_area *area)
{
	struct vmap_pool *pool = &vmap_layer.pool;
	struct vmap_area *chain = NULL;
	bool over;

	if (area->vm.nr_pages > pool->limit_pages) {
		chain_push(&chain, area);
		vmap_release_chain(chain);
		return;
	}
	spin_lock(&pool->lock);
	pool_link(area);
	over = pool->pages > pool->limit_pages;
	if (over) {
		atomic_fetch_add(&vmap_layer.releasing, 1);
		/* The newest stays: it alone is within the limit. */
		while (pool->pages > pool->limit_pages / 2 &&
		       pool->oldest != pool->newest) {
			struct vmap_area *oldest = pool->oldest;

			pool_unlink(oldest);
			chain_push(&chain, oldest);
		}
	}
	spin_unlock(&pool->lock);
	if (over) {
		atomic_fetch_add_explicit(&vmap_layer.purges, 1, memory_order_relaxed);
		vmap_release_chain(chain);
		atomic_fetch_sub(&vmap_layer.releasing, 1);
	}
}

void vmap_pool_put_back(struct vmap_area *area)
{
	atomic_store_explicit(&area->state, VMAP_CACHED, memory_order_relaxed);
	spin_lock(&vmap_layer.pool.lock);
	pool_link(area);
	spin_unlock(&vmap_layer.pool.lock);
}

/* --- everything --- */

static void push_to_chain(void *entry, void *chain)
{
	chain_push(chain, entry);
}

struct vmap_area *vmap_take_all_cached(bool quiescent)
{
	struct vmap_pool *pool = &vmap_layer.pool;
	struct vmap_area *chain = NULL;

	for (unsigned int nid = 0; nid < vmap_layer.nr_nodes; nid++) {
		for (unsigned int nr = 1; nr <= vmap_layer.percpu_pages_max; nr++) {
			const struct percpu_stacks *stacks = vmap_percpu(nid, nr);

			if (percpu_count(stacks) != 0)
				percpu_drain_all(stacks, quiescent, push_to_chain,
						 &chain);
		}
	}
	spin_lock(&pool->lock);
	while (pool->oldest != NULL) {
		struct vmap_area *area = pool->oldest;

		pool_unlink(area);
		chain_push(&chain, area);
	}
	spin_unlock(&pool->lock);
	return chain;
}

/* --- a node's --- */

uint64_t vmap_lazy_pages(unsigned int nid)
{
	uint64_t pages;

	spin_lock(&vmap_layer.pool.lock);
	pages = vmap_layer.pool.node_pages[nid];
	spin_unlock(&vmap_layer.pool.lock);
	for (unsigned int nr = 1; nr <= vmap_layer.percpu_pages_max; nr++)
		pages += (uint64_t)percpu_count(vmap_percpu(nid, nr)) * nr;
	return pages;
}

struct taken {
	struct vmap_area *chain;
	uint64_t pages;
};

static void push_taken(void *entry, void *arg)
{
	struct vmap_area *area = entry;
	struct taken *taken = arg;

	taken->pages += area->vm.nr_pages;
	chain_push(&taken->chain, area);
}

/* Oldest first. */
static void take_from_pool(unsigned int nid, uint64_t nr_pages, struct taken *taken)
{
	struct vmap_pool *pool = &vmap_layer.pool;
	struct vmap_area *area, *newer;

	spin_lock(&pool->lock);
	for (area = pool->oldest; area != NULL && taken->pages < nr_pages; area = newer) {
		newer = area->newer;
		if (area_node(area) != nid)
			continue;
		pool_unlink(area);
		push_taken(area, taken);
	}
	spin_unlock(&pool->lock);
}

/* Another size first each time. */
static void take_from_stacks(unsigned int nid, uint64_t nr_pages, struct taken *taken)
{
	static _Atomic unsigned int hand;
	unsigned int sizes = vmap_layer.percpu_pages_max;

	for (unsigned int i = 0; i < sizes && taken->pages < nr_pages; i++) {
		unsigned int at = atomic_fetch_add_explicit(&hand, 1,
							    memory_order_relaxed);
		const struct percpu_stacks *stacks = vmap_percpu(nid, 1 + at % sizes);

		for (unsigned int cpu = 0; cpu < os_nr_cpus() && taken->pages < nr_pages;
		     cpu++)
			percpu_drain_cpu(stacks, cpu, push_taken, taken);
	}
}

struct vmap_area *vmap_take_cached(unsigned int nid, uint64_t nr_pages)
{
	struct taken taken = {NULL, 0};

	take_from_pool(nid, nr_pages, &taken);
	take_from_stacks(nid, nr_pages, &taken);
	return taken.chain;
}

/* --- purges --- */

/* Page arrays of large areas are areas too: they are cached when their owner goes. */
#define PURGE_ROUNDS_MAX 4

bool vmap_purge_all(bool quiescent)
{
	bool any = false;

	for (int round = 0; round < PURGE_ROUNDS_MAX; round++) {
		struct vmap_area *chain;

		atomic_fetch_add(&vmap_layer.releasing, 1);
		chain = vmap_take_all_cached(quiescent);
		if (chain != NULL) {
			any = true;
			atomic_fetch_add_explicit(&vmap_layer.purges, 1,
						  memory_order_relaxed);
			vmap_release_chain(chain);
		}
		atomic_fetch_sub(&vmap_layer.releasing, 1);
		if (chain == NULL)
			break;
	}
	return any;
}

/* Some milliseconds of yielding: a purge of lazy_bytes takes about as long. */
#define WAIT_ROUNDS_MAX 2000

bool vmap_make_room(bool may_wait, uint64_t releases_seen)
{
	bool purged = vmap_purge_all(false);
	/* Read after the purge: what it did not find, another thread may have taken out
	 * before, and is unmapping; until that is done it counts as used. */
	bool others = atomic_load(&vmap_layer.releasing) != 0;

	if (others && may_wait) {
		for (int i = 0;
		     i < WAIT_ROUNDS_MAX && atomic_load(&vmap_layer.releasing) != 0; i++)
			sched_yield();
		return true;
	}
	return purged || atomic_load(&vmap_layer.releases) != releases_seen;
}

uint64_t vmap_lazy_count(uint64_t *pages)
{
	uint64_t areas;

	spin_lock(&vmap_layer.pool.lock);
	areas = vmap_layer.pool.areas;
	*pages = vmap_layer.pool.pages;
	spin_unlock(&vmap_layer.pool.lock);
	for (unsigned int nid = 0; nid < vmap_layer.nr_nodes; nid++) {
		for (unsigned int nr = 1; nr <= vmap_layer.percpu_pages_max; nr++) {
			size_t count = percpu_count(vmap_percpu(nid, nr));

			areas += count;
			*pages += (uint64_t)count * nr;
		}
	}
	return areas;
}

/* --- start and end --- */

/*
 * Sizes that a budget has room for. Each of c sizes gets 1/c of it, which must
 * hold an area of c pages, the largest: c is the square root.
 */
static unsigned int sizes_for(uint64_t budget_pages)
{
	unsigned int n = 0;

	while (n < VMAP_PERCPU_PAGES_MAX && (uint64_t)(n + 1) * (n + 1) <= budget_pages)
		n++;
	return n;
}

static uint32_t slots_for(uint64_t budget_pages, unsigned int sizes,
			  unsigned int nr_pages)
{
	uint64_t slots = budget_pages / sizes / nr_pages;

	return slots < PERCPU_SLOTS_MAX ? (uint32_t)slots : PERCPU_SLOTS_MAX;
}

int vmap_lazy_init(void)
{
	uint64_t lazy_pages = vmap_layer.config.lazy_bytes >> PAGE_SHIFT;
	uint64_t budget = lazy_pages / 2 / os_nr_cpus() / vmap_layer.nr_nodes;
	unsigned int sizes;

	vmap_layer.pool.limit_pages = lazy_pages;
	if (!vmap_layer.config.percpu_areas)
		return 0;
	vmap_layer.pool.limit_pages = lazy_pages - lazy_pages / 2;
	if (budget < PERCPU_BUDGET_PAGES_MIN)
		budget = lazy_pages / 2 < PERCPU_BUDGET_PAGES_MIN
				 ? 0
				 : PERCPU_BUDGET_PAGES_MIN;
	sizes = sizes_for(budget);
	if (sizes == 0)
		return 0;
	vmap_layer.percpu_bytes = KMEM_ALIGN_UP(vmap_layer.nr_nodes *
							(VMAP_PERCPU_PAGES_MAX + 1) *
							sizeof(struct percpu_stacks),
						PAGE_SIZE);
	vmap_layer.percpu = os_map_anon(vmap_layer.percpu_bytes);
	if (vmap_layer.percpu == NULL)
		goto out_memory;
	for (unsigned int nid = 0; nid < vmap_layer.nr_nodes; nid++)
		for (unsigned int nr = 1; nr <= sizes; nr++)
			if (percpu_stacks_init(
				    (struct percpu_stacks *)vmap_percpu(nid, nr),
				    slots_for(budget, sizes, nr)) != 0)
				goto out_memory;
	vmap_layer.percpu_pages_max = sizes;
	vmap_layer.percpu_bytes_max = (size_t)sizes << PAGE_SHIFT;
	return 0;

out_memory:
	return kmem_error(-ENOMEM,
			  "no memory for the per-CPU stacks of vmalloc: set option "
			  "'lazy_bytes' to 0");
}

void vmap_lazy_exit(void)
{
	if (vmap_layer.percpu == NULL)
		return;
	for (unsigned int nid = 0; nid < vmap_layer.nr_nodes; nid++)
		for (unsigned int nr = 1; nr <= VMAP_PERCPU_PAGES_MAX; nr++)
			percpu_stacks_destroy(
				(struct percpu_stacks *)vmap_percpu(nid, nr));
	os_unmap(vmap_layer.percpu, vmap_layer.percpu_bytes);
	vmap_layer.percpu = NULL;
}
