/* SPDX-License-Identifier: MIT */
/*
 * Areas: made in the two steps of Linux's __vmalloc(), and unmade.
 *
 * First a range of addresses, then the pages, one by one and HIGHMEM first
 * where the caller allows it, then the mapping. Whatever fails, everything
 * taken so far is given back in reverse order.
 */
#include "allocators/vmalloc/vmalloc_internal.h"
#include <kmem/error.h>
#include <kmem/page_alloc.h>
#include <kmem/phys.h>
#include <kmem/slab.h>

#include <errno.h>
#include <string.h>

/* VM_IOREMAP areas are aligned to their size, to 16 MiB at most (Linux:
 * IOREMAP_MAX_ORDER). */
#define IOREMAP_ALIGN_PAGES_MAX ((16u << 20) >> PAGE_SHIFT)

/* What of a request's flags concerns the area's own descriptors. */
static gfp_t meta_gfp(gfp_t gfp)
{
	return gfp &
	       ~(__GFP_DMA | __GFP_HIGHMEM | __GFP_ZERO | __GFP_THISNODE | __GFP_COLD);
}

static enum vmap_kind kind_of(gfp_t gfp)
{
	if (gfp & __GFP_HIGHMEM)
		return VMAP_KIND_HIGHMEM;
	return gfp & __GFP_DMA ? VMAP_KIND_DMA : VMAP_KIND_NORMAL;
}

/*
 * 63            32 31        16 15         8 7      0
 * |   nr_pages    | node + 1   | log2 align |  kind |
 */
uint64_t vmap_key(const struct vmap_request *req, unsigned int nid)
{
	return (uint64_t)req->nr_pages << 32 | (uint64_t)(nid + 1) << 16 |
	       (uint64_t)__builtin_ctz(req->align_pages) << 8 |
	       (uint64_t)kind_of(req->gfp);
}

/* --- range --- */

/* Takes the addresses of nr_pages and the guard page. 0 or -ENOMEM. */
static int take_range(struct vmap_area *area, uint32_t nr_pages, uint32_t align_pages)
{
	uint32_t start = 0, largest = 0;
	bool found;

	spin_lock(&vmap_layer.lock);
	found = vm_range_alloc(&vmap_layer.ranges, nr_pages + 1, align_pages, &start);
	if (found) {
		vmap_layer.areas++;
		vmap_layer.area_pages += nr_pages;
	} else {
		largest = vm_range_largest(&vmap_layer.ranges);
	}
	spin_unlock(&vmap_layer.lock);
	if (!found)
		return kmem_error(
			-ENOMEM,
			"no hole of %u pages in the vmalloc range, the largest has %u: "
			"free areas, or raise option 'range_bytes'",
			nr_pages + 1, largest);
	area->vm.addr = vmap_layer.base + ((size_t)start << PAGE_SHIFT);
	area->vm.size_bytes = ((size_t)nr_pages + 1) << PAGE_SHIFT;
	area->vm.nr_pages = nr_pages;
	return 0;
}

/* Gives the ranges of a chain back under one hold of the lock. */
static void give_ranges_back(struct vmap_area *chain)
{
	spin_lock(&vmap_layer.lock);
	for (struct vmap_area *area = chain; area != NULL; area = area->newer) {
		uint32_t start = vmap_page_index(area->vm.addr);

		if (!vm_range_free(&vmap_layer.ranges, start, area->vm.nr_pages + 1))
			kmem_bug("vmalloc range of area %p (%u pages) is not taken",
				 area->vm.addr, area->vm.nr_pages);
		vmap_layer.areas--;
		vmap_layer.area_pages -= area->vm.nr_pages;
	}
	spin_unlock(&vmap_layer.lock);
}

/* --- descriptors --- */

/* Page arrays are areas that no caller knows of; the statistics leave them out. */
static void mark_page_array(const void *addr, bool is_one)
{
	struct vmap_area *array = vmap_lookup(addr);
	uint64_t pages = array->vm.nr_pages;

	array->is_page_array = is_one;
	atomic_fetch_add(&vmap_layer.array_areas, is_one ? 1 : UINT64_MAX);
	atomic_fetch_add(&vmap_layer.array_pages, is_one ? pages : -pages);
}

/* A descriptor with room for nr page pointers: from kmalloc, or vmalloc past one page. */
static struct vmap_area *new_descriptor(uint32_t nr, gfp_t gfp)
{
	size_t bytes = (size_t)nr * sizeof(struct page *);
	struct vmap_area *area = kmem_cache_alloc(vmap_layer.area_cache, gfp);

	if (area == NULL)
		goto out_memory;
	*area = (struct vmap_area){.vm = {.flags = 0}};
	if (bytes <= PAGE_SIZE) {
		area->vm.pages = kmalloc(bytes, gfp);
	} else {
		area->vm.pages = vmap_alloc_slow("vmalloc of a page array", bytes,
						 PAGE_SIZE, gfp | __GFP_HIGHMEM,
						 NUMA_NO_NODE);
		area->vm.flags |= VM_VPAGES;
		if (area->vm.pages != NULL)
			mark_page_array(area->vm.pages, true);
	}
	if (area->vm.pages != NULL)
		return area;
	kmem_cache_free(vmap_layer.area_cache, area);
out_memory:
	kmem_error(-ENOMEM,
		   "no memory for the descriptor of an area of %u pages: free some, or "
		   "raise option 'memory'",
		   nr);
	return NULL;
}

static void free_descriptor(struct vmap_area *area)
{
	if (area->vm.flags & VM_VPAGES) {
		mark_page_array(area->vm.pages, false);
		vfree(area->vm.pages);
	} else {
		kfree(area->vm.pages);
	}
	kmem_cache_free(vmap_layer.area_cache, area);
}

/* --- pages --- */

static int take_pages(struct vmap_area *area, const struct vmap_request *req)
{
	gfp_t gfp = req->gfp & ~__GFP_ZERO;
	size_t got = 0, nr = req->nr_pages;

	if (req->nid == NUMA_NO_NODE) {
		got = alloc_pages_bulk(gfp, nr, area->vm.pages);
	} else {
		while (got < nr) {
			struct page *page = alloc_pages_node(req->nid, gfp, 0);

			if (page == NULL)
				break;
			area->vm.pages[got++] = page;
		}
	}
	if (got == nr)
		return 0;
	free_pages_bulk(got, area->vm.pages);
	return kmem_error(
		-ENOMEM,
		"only %zu of %zu pages for %s of %zu bytes: free some, or raise option "
		"'memory'",
		got, nr, req->caller, req->size_bytes);
}

/* The node that all pages lie on, or NUMA_NO_NODE. */
static int common_node(const struct vmap_area *area)
{
	int nid;

	if (vmap_layer.nr_nodes == 1)
		return 0;
	nid = page_to_nid(area->vm.pages[0]);
	for (uint32_t i = 1; i < area->vm.nr_pages; i++)
		if (page_to_nid(area->vm.pages[i]) != nid)
			return NUMA_NO_NODE;
	return nid;
}

/*
 * Decides where vfree() will put the area. One whose pages lie on several nodes
 * is what nobody asks for: its key matches no request, and it is unmapped in
 * its turn.
 */
static void set_reuse(struct vmap_area *area, const struct vmap_request *req)
{
	int nid = common_node(area);

	if (nid == NUMA_NO_NODE)
		return;
	area->key = vmap_key(req, (unsigned int)nid);
	if (area->vm.nr_pages <= vmap_layer.percpu_pages_max && req->align_pages == 1 &&
	    kind_of(req->gfp) == VMAP_KIND_HIGHMEM)
		area->percpu = vmap_percpu((unsigned int)nid, area->vm.nr_pages);
}

/* --- making --- */

/* Counts the mapping of each frame and makes the area known at all its addresses. */
static void publish(struct vmap_area *area)
{
	uint32_t start = vmap_page_index(area->vm.addr);

	atomic_store_explicit(&area->state, VMAP_LIVE, memory_order_relaxed);
	for (uint32_t i = 0; i < area->vm.nr_pages; i++) {
		atomic_fetch_add_explicit(&area->vm.pages[i]->_mapcount, 1,
					  memory_order_relaxed);
		atomic_store_explicit(&vmap_layer.table[start + i], area,
				      memory_order_release);
	}
}

static void withdraw(struct vmap_area *area)
{
	uint32_t start = vmap_page_index(area->vm.addr);

	for (uint32_t i = 0; i < area->vm.nr_pages; i++) {
		atomic_store_explicit(&vmap_layer.table[start + i], NULL,
				      memory_order_relaxed);
		atomic_fetch_sub_explicit(&area->vm.pages[i]->_mapcount, 1,
					  memory_order_relaxed);
	}
	atomic_fetch_sub(&vmap_layer.maps, area->nr_maps);
}

struct vmap_area *vmap_area_create(const struct vmap_request *req)
{
	struct vmap_area *area = new_descriptor(req->nr_pages, meta_gfp(req->gfp));

	if (area == NULL)
		return NULL;
	area->vm.flags |= VM_ALLOC;
	if (take_range(area, req->nr_pages, req->align_pages) != 0)
		goto out_descriptor;
	if (take_pages(area, req) != 0)
		goto out_range;
	if (vmap_layer.config.runs)
		vmap_sort_pages(area->vm.pages, area->vm.nr_pages);
	if (vmap_map_pages(area) != 0)
		goto out_pages;
	set_reuse(area, req);
	publish(area);
	return area;

out_pages:
	free_pages_bulk(area->vm.nr_pages, area->vm.pages);
out_range:
	give_ranges_back(area);
out_descriptor:
	free_descriptor(area);
	return NULL;
}

/* The power of two that VM_IOREMAP aligns to. */
static uint32_t ioremap_align(uint32_t nr_pages)
{
	uint32_t align = 1;

	while (align < nr_pages && align < IOREMAP_ALIGN_PAGES_MAX)
		align *= 2;
	return align;
}

struct vmap_area *vmap_area_wrap(struct page **pages, unsigned int count,
				 unsigned int flags)
{
	uint32_t align = flags & VM_IOREMAP ? ioremap_align(count) : 1;
	struct vmap_area *area = new_descriptor(count, GFP_KERNEL);

	if (area == NULL)
		return NULL;
	area->vm.flags |= flags;
	memcpy(area->vm.pages, pages, count * sizeof(pages[0]));
	if (take_range(area, count, align) != 0)
		goto out_descriptor;
	if (vmap_map_pages(area) != 0)
		goto out_range;
	publish(area);
	return area;

out_range:
	give_ranges_back(area);
out_descriptor:
	free_descriptor(area);
	return NULL;
}

/* --- the way of every miss --- */

static int check_request(struct vmap_request *req, size_t align)
{
	if (vmap_layer.range_bytes == 0)
		return kmem_error(-EINVAL, "'%s' before vmalloc_init()", req->caller);
	if (req->size_bytes == 0)
		return kmem_error(-EINVAL, "'%s' of 0 bytes: ask for 1 at least",
				  req->caller);
	if (align == 0 || (align & (align - 1)) != 0)
		return kmem_error(-EINVAL, "'%s' with alignment %zu: use a power of two",
				  req->caller, align);
	if (req->nid != NUMA_NO_NODE &&
	    (req->nid < 0 || (unsigned int)req->nid >= vmap_layer.nr_nodes))
		return kmem_error(-EINVAL,
				  "'%s' on node %d: use 0 to %u, or NUMA_NO_NODE",
				  req->caller, req->nid, vmap_layer.nr_nodes - 1);
	/* Compared in bytes, so that no rounding can wrap. */
	if (req->size_bytes > kmem_nr_frames << PAGE_SHIFT)
		return kmem_error(
			-ENOMEM,
			"'%s' of %zu bytes: there are %lu pages in all; raise option "
			"'memory', or ask for less",
			req->caller, req->size_bytes, kmem_nr_frames);
	if (align > vmap_layer.range_bytes)
		return kmem_error(
			-ENOMEM,
			"'%s' aligned to %zu bytes in a vmalloc range of %zu: raise "
			"option 'range_bytes'",
			req->caller, align, vmap_layer.range_bytes);
	req->nr_pages = (uint32_t)((req->size_bytes + PAGE_SIZE - 1) >> PAGE_SHIFT);
	req->align_pages = align <= PAGE_SIZE ? 1 : (uint32_t)(align >> PAGE_SHIFT);
	return gfp_check(req->gfp);
}

/* A freed area that is exactly what the request asks for, or NULL. */
static struct vmap_area *reuse(const struct vmap_request *req)
{
	unsigned int nid = (unsigned int)(req->nid == NUMA_NO_NODE ? numa_node_id()
								   : req->nid);
	struct vmap_area *area = NULL;

	if (req->nr_pages <= vmap_layer.percpu_pages_max && req->align_pages == 1 &&
	    kind_of(req->gfp) == VMAP_KIND_HIGHMEM)
		area = percpu_pop(vmap_percpu(nid, req->nr_pages));
	if (area == NULL && vmap_layer.pool.limit_pages != 0)
		area = vmap_pool_take(vmap_key(req, nid));
	if (area != NULL)
		atomic_store_explicit(&area->state, VMAP_LIVE, memory_order_relaxed);
	return area;
}

/* What a purge sets free, other threads may take first, and cache again. */
#define ATTEMPTS_MAX 16

void *vmap_alloc_slow(const char *caller, size_t size, size_t align, gfp_t gfp, int nid)
{
	struct vmap_request req = {
		.caller = caller, .size_bytes = size, .gfp = gfp, .nid = nid};
	struct vmap_area *area;

	if (check_request(&req, align) != 0)
		return NULL;
	area = reuse(&req);
	/* Pages, addresses or mappings may be short because freed areas hold them. */
	for (int i = 0; area == NULL && i < ATTEMPTS_MAX; i++) {
		uint64_t releases = atomic_load(&vmap_layer.releases);

		area = vmap_area_create(&req);
		if (area == NULL && !vmap_make_room((gfp & __GFP_WAIT) != 0, releases))
			break;
	}
	if (area == NULL)
		return NULL;
	if (gfp & __GFP_ZERO)
		memset(area->vm.addr, 0, (size_t)req.nr_pages << PAGE_SHIFT);
	return area->vm.addr;
}

/* --- unmaking --- */

/* Returns how many were its own. */
static uint64_t pages_go(struct vmap_area *area)
{
	withdraw(area);
	if (!(area->vm.flags & VM_ALLOC))
		return 0;
	free_pages_bulk(area->vm.nr_pages, area->vm.pages);
	return area->vm.nr_pages;
}

/* Merge sort of a chain by address. */
static struct vmap_area *sort_chain(struct vmap_area *chain)
{
	struct vmap_area *half = chain, *fast, *merged = NULL, **tail = &merged;

	if (chain == NULL || chain->newer == NULL)
		return chain;
	for (fast = chain->newer; fast != NULL && fast->newer != NULL;
	     fast = fast->newer->newer)
		half = half->newer;
	fast = half->newer;
	half->newer = NULL;
	half = sort_chain(fast);
	chain = sort_chain(chain);
	while (chain != NULL && half != NULL) {
		struct vmap_area **lower = chain->vm.addr < half->vm.addr ? &chain
									  : &half;

		*tail = *lower;
		tail = &(*lower)->newer;
		*lower = *tail;
	}
	*tail = chain != NULL ? chain : half;
	return merged;
}

/* End of the neighbours that start at `first`: each begins where the one before ends. */
static struct vmap_area *last_neighbour(struct vmap_area *first)
{
	struct vmap_area *last = first;

	while (last->newer != NULL && (char *)last->vm.addr + last->vm.size_bytes ==
					      (char *)last->newer->vm.addr)
		last = last->newer;
	return last;
}

/* Moves first .. last from the chain at *link to the front of *to. */
static void move_group(struct vmap_area **link, struct vmap_area *first,
		       struct vmap_area *last, struct vmap_area **to)
{
	*link = last->newer;
	last->newer = *to;
	*to = first;
}

uint64_t vmap_release_chain(struct vmap_area *chain)
{
	struct vmap_area *gone = NULL, *stuck = NULL, *next;
	uint64_t pages = 0;

	atomic_fetch_add(&vmap_layer.releasing, 1);
	chain = sort_chain(chain);
	while (chain != NULL) {
		struct vmap_area *first = chain, *last = last_neighbour(first);
		char *end = (char *)last->vm.addr + last->vm.size_bytes - PAGE_SIZE;
		char *start = first->vm.addr;
		bool unmapped = vmap_unmap_range(start, (size_t)(end - start)) == 0;

		move_group(&chain, first, last,
			   unmapped || vmap_layer.exiting ? &gone : &stuck);
	}
	for (struct vmap_area *area = stuck; area != NULL; area = next) {
		next = area->newer;
		vmap_pool_put_back(area);
	}
	for (struct vmap_area *area = gone; area != NULL; area = area->newer)
		pages += pages_go(area);
	give_ranges_back(gone);
	atomic_fetch_add(&vmap_layer.releases, 1);
	atomic_fetch_sub(&vmap_layer.releasing, 1);
	for (struct vmap_area *area = gone; area != NULL; area = next) {
		next = area->newer;
		free_descriptor(area);
	}
	return pages;
}
