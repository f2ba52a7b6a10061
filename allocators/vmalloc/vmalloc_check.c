/* SPDX-License-Identifier: MIT */
/* Statistics of the vmalloc layer, and the walker that checks every invariant. */
#include "allocators/vmalloc/vmalloc_internal.h"
#include <kmem/error.h>

#include <errno.h>

static uint64_t less(uint64_t count, uint64_t part)
{
	return count > part ? count - part : 0;
}

void vmalloc_stats(struct vmalloc_stats *stats)
{
	uint64_t lazy_pages = 0, lazy_areas;

	*stats = (struct vmalloc_stats){.range_bytes = vmap_layer.range_bytes};
	if (vmap_layer.range_bytes == 0)
		return;
	lazy_areas = vmap_lazy_count(&lazy_pages);
	spin_lock(&vmap_layer.lock);
	stats->areas = vmap_layer.areas;
	stats->area_pages = vmap_layer.area_pages;
	stats->largest_hole_bytes = (uint64_t)vm_range_largest(&vmap_layer.ranges)
				    << PAGE_SHIFT;
	spin_unlock(&vmap_layer.lock);
	stats->lazy_areas = lazy_areas;
	stats->lazy_pages = lazy_pages;
	/* While others run, the counts are of different moments; none goes below 0. */
	stats->areas = less(stats->areas,
			    lazy_areas + atomic_load(&vmap_layer.array_areas));
	stats->area_pages = less(stats->area_pages,
				 lazy_pages + atomic_load(&vmap_layer.array_pages));
	stats->map_calls = atomic_load(&vmap_layer.map_calls);
	stats->unmap_calls = atomic_load(&vmap_layer.unmap_calls);
	stats->purges = atomic_load(&vmap_layer.purges);
}

/* --- walking --- */

struct area_walk {
	int (*fn)(struct vmap_area *area, void *arg);
	void *arg;
	uint32_t page; /* everything below has been visited */
	int result;
};

/* Visits the areas between the walk's page and `end`; they lie wall to wall there. */
static bool walk_areas_to(struct area_walk *walk, uint32_t end)
{
	while (walk->result == 0 && walk->page < end) {
		struct vmap_area *area = atomic_load(&vmap_layer.table[walk->page]);

		if (area == NULL || vmap_page_index(area->vm.addr) != walk->page) {
			walk->result = kmem_error(
				-EFAULT,
				"page %u of the vmalloc range is taken by no area",
				walk->page);
			break;
		}
		walk->page += (uint32_t)(area->vm.size_bytes >> PAGE_SHIFT);
		walk->result = walk->fn(area, walk->arg);
	}
	return walk->result == 0;
}

static bool walk_hole(uint32_t start, uint32_t size, void *arg)
{
	struct area_walk *walk = arg;

	if (!walk_areas_to(walk, start))
		return false;
	if (walk->page != start || atomic_load(&vmap_layer.table[start]) != NULL ||
	    atomic_load(&vmap_layer.table[start + size - 1]) != NULL) {
		walk->result = kmem_error(
			-EFAULT,
			"an area reaches into the hole at page %u of the vmalloc range",
			start);
		return false;
	}
	walk->page = start + size;
	return true;
}

int vmap_each_area(int (*fn)(struct vmap_area *area, void *arg), void *arg)
{
	struct area_walk walk = {.fn = fn, .arg = arg};

	vm_range_each_hole(&vmap_layer.ranges, walk_hole, &walk);
	if (walk.result == 0)
		walk_areas_to(&walk, vmap_layer.ranges.nr_pages);
	return walk.result;
}

/* --- checking --- */

struct area_totals {
	uint64_t areas, pages, cached, maps;
};

static int check_pages(const struct vmap_area *area, uint32_t start)
{
	for (uint32_t i = 0; i < area->vm.nr_pages; i++) {
		struct page *page = area->vm.pages[i];

		if (atomic_load(&vmap_layer.table[start + i]) != area)
			return kmem_error(-EFAULT,
					  "page %u of the area at %p is not in the table",
					  i, area->vm.addr);
		if (page < kmem_mem_map || !pfn_valid(page_to_pfn(page)))
			return kmem_error(-EFAULT, "page %u of the area at %p is no page",
					  i, area->vm.addr);
		if (atomic_load(&page->_mapcount) < 1)
			return kmem_error(
				-EFAULT,
				"pfn %lu is mapped by the area at %p, but its mapcount "
				"is %d",
				page_to_pfn(page), area->vm.addr,
				atomic_load(&page->_mapcount));
	}
	return 0;
}

static int check_area(struct vmap_area *area, void *arg)
{
	struct area_totals *totals = arg;
	uint32_t start = vmap_page_index(area->vm.addr);
	uint32_t state = atomic_load(&area->state);

	if (area->vm.size_bytes != ((size_t)area->vm.nr_pages + 1) << PAGE_SHIFT)
		return kmem_error(-EFAULT, "the area at %p has %u pages in %zu bytes",
				  area->vm.addr, area->vm.nr_pages, area->vm.size_bytes);
	if (state != VMAP_LIVE && state != VMAP_CACHED)
		return kmem_error(-EFAULT,
				  "the area at %p is in state %u, neither live nor freed",
				  area->vm.addr, state);
	if (atomic_load(&vmap_layer.table[start + area->vm.nr_pages]) != NULL)
		return kmem_error(-EFAULT,
				  "the guard page of the area at %p is in the table",
				  area->vm.addr);
	totals->areas++;
	totals->pages += area->vm.nr_pages;
	totals->maps += area->nr_maps;
	if (state == VMAP_CACHED)
		totals->cached++;
	return check_pages(area, start);
}

static int check_pool(void)
{
	const struct vmap_pool *pool = &vmap_layer.pool;
	const struct vmap_area *older = NULL;
	uint64_t areas = 0, pages = 0, hashed = 0, of_nodes = 0;

	for (const struct vmap_area *a = pool->oldest; a != NULL;
	     older = a, a = a->newer) {
		if (a->older != older || ++areas > pool->areas ||
		    atomic_load(&a->state) != VMAP_CACHED || *a->bucket_link != a)
			return kmem_error(-EFAULT,
					  "pool of freed areas: %p is linked wrongly",
					  a->vm.addr);
		pages += a->vm.nr_pages;
	}
	for (unsigned int nid = 0; nid < vmap_layer.nr_nodes; nid++)
		of_nodes += pool->node_pages[nid];
	for (unsigned int i = 0; i < VMAP_POOL_BUCKETS; i++)
		for (const struct vmap_area *a = pool->bucket[i]; a != NULL;
		     a = a->bucket_next)
			if (++hashed > pool->areas)
				break;
	if (pool->newest != older || areas != pool->areas || pages != pool->pages ||
	    of_nodes != pages || hashed != areas)
		return kmem_error(
			-EFAULT,
			"pool of freed areas: %llu areas of %llu pages in the list, "
			"%llu in the hash, %llu of %llu counted",
			(unsigned long long)areas, (unsigned long long)pages,
			(unsigned long long)hashed, (unsigned long long)pool->areas,
			(unsigned long long)pool->pages);
	return 0;
}

struct stack_walk {
	const struct percpu_stacks *stacks;
	const void *bad;
};

static void check_entry(void *entry, void *arg)
{
	const struct vmap_area *area = entry;
	struct stack_walk *walk = arg;

	if (atomic_load(&area->state) != VMAP_CACHED || area->percpu != walk->stacks)
		walk->bad = area->vm.addr;
}

static int check_stacks(void)
{
	for (unsigned int nid = 0; nid < vmap_layer.nr_nodes; nid++) {
		for (unsigned int nr = 1; nr <= vmap_layer.percpu_pages_max; nr++) {
			struct stack_walk walk = {.stacks = vmap_percpu(nid, nr)};

			percpu_walk(walk.stacks, check_entry, &walk);
			if (walk.bad != NULL)
				return kmem_error(
					-EFAULT,
					"area %p is on the stack of freed areas of %u "
					"pages and does not belong there",
					walk.bad, nr);
		}
	}
	return 0;
}

static int check_all(void)
{
	struct area_totals totals = {0};
	uint64_t lazy_pages;
	int err;

	err = vm_range_check(&vmap_layer.ranges);
	if (err == 0)
		err = vmap_each_area(check_area, &totals);
	if (err == 0)
		err = check_pool();
	if (err == 0)
		err = check_stacks();
	if (err != 0)
		return err;
	if (totals.areas != vmap_layer.areas || totals.pages != vmap_layer.area_pages)
		return kmem_error(
			-EFAULT,
			"%llu vmalloc areas of %llu pages found, %llu of %llu counted",
			(unsigned long long)totals.areas,
			(unsigned long long)totals.pages,
			(unsigned long long)vmap_layer.areas,
			(unsigned long long)vmap_layer.area_pages);
	if (totals.cached != vmap_lazy_count(&lazy_pages))
		return kmem_error(
			-EFAULT,
			"%llu vmalloc areas are marked as freed, but not all of them "
			"wait for reuse",
			(unsigned long long)totals.cached);
	if (totals.maps != atomic_load(&vmap_layer.maps))
		return kmem_error(-EFAULT,
				  "vmalloc areas have %llu mappings, %llu are counted",
				  (unsigned long long)totals.maps,
				  (unsigned long long)atomic_load(&vmap_layer.maps));
	return 0;
}

int vmalloc_check(void)
{
	int err;

	if (vmap_layer.range_bytes == 0)
		return kmem_error(-EINVAL, "'vmalloc_check' before vmalloc_init()");
	vmap_shrink_stop(); /* nobody else is calling, but for kswapd */
	err = check_all();
	vmap_shrink_go_on();
	return err;
}
