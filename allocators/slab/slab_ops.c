/* SPDX-License-Identifier: MIT */
/*
 * The allocator `slab`: kmalloc and its relations behind the common hooks, with
 * vmalloc for what no block of pages can hold.
 *
 *   up to 128 KiB    a general cache
 *   up to 4 MiB      a block of pages; vmalloc where there is no such block
 *   above            vmalloc
 *
 * A kmalloc block of a multiple of some power of two is aligned to that, so an alignment
 * is had by rounding the size up. What was served by vmalloc is told from the
 * rest by its address.
 */
#include "allocators/buddy/buddy_internal.h"
#include "allocators/slab/slab_fast.h"
#include "allocators/vmalloc/layers_ops.h"
#include <kmem/allocator.h>
#include <kmem/error.h>
#include <kmem/page_alloc.h>
#include <kmem/vmalloc.h>
#include <errno.h>
#include <string.h>

/* The one instance: a process has one physical memory. */
static struct {
	struct allocator base;
	bool vmalloc; /* up; not with the private backing */
} instance;

/* --- life --- */

static struct allocator *ops_create(const struct allocator_ops *ops, const void *config,
				    const struct allocator_env *env)
{
	const struct layers_config *c = config;
	/* Private frames cannot be mapped twice: then 4 MiB is the largest block. */
	bool with_vmalloc = c->phys.backing == PHYS_MEMFD;

	(void)env;
	if (layers_init(c, with_vmalloc) != 0)
		return NULL;
	instance.vmalloc = with_vmalloc;
	instance.base.ops = ops;
	return &instance.base;
}

static void ops_destroy(struct allocator *a)
{
	(void)a;
	layers_exit(instance.vmalloc);
}

/* --- allocation --- */

/* Everything but an object of the calling thread's node from a general cache. */
static KMEM_NOINLINE void *alloc_slow(size_t size, size_t align, gfp_t gfp, int node)
{
	size_t need = kmalloc_aligned_size(size, align);
	void *p = NULL;

	if (need <= KMALLOC_MAX_SIZE) {
		gfp_t attempt = gfp;

		/* Where vmalloc can follow, a block is not worth a long search. */
		if (instance.vmalloc && need > PAGE_SIZE)
			attempt = (gfp & ~(__GFP_NOFAIL | __GFP_REPEAT)) | __GFP_NOWARN |
				  (gfp & __GFP_WAIT ? __GFP_NORETRY : 0);
		p = kmalloc_slow(need, attempt, node, __builtin_return_address(0));
	}
	if (p)
		return p;
	/* ops_free() trusts that small sizes are never vmalloc's. */
	if (size <= PAGE_SIZE) {
		if (need > KMALLOC_MAX_SIZE)
			kmem_error(-EINVAL,
				   "no block of at most a page is aligned to '%zu'; ask "
				   "for more bytes, or align to %zu at most",
				   align, KMALLOC_MAX_SIZE);
		return NULL;
	}
	if (!instance.vmalloc) {
		kmem_error(
			-ENOMEM,
			"no block of '%zu' bytes; with backing=memfd vmalloc could serve it",
			need);
		return NULL;
	}
	return __vmalloc_aligned(size, align > PAGE_SIZE ? align : PAGE_SIZE,
				 gfp & __GFP_DMA ? gfp : gfp | __GFP_HIGHMEM, node);
}

static void *ops_alloc(struct allocator *a, size_t size, size_t align, gfp_t gfp,
		       int node)
{
	size_t need = kmalloc_aligned_size(size, align);

	(void)a;
	if (KMEM_LIKELY(need <= KMALLOC_SMALL_MAX && node == NUMA_NO_NODE))
		return kmalloc_fast(need, gfp);
	return alloc_slow(size, align, gfp, node);
}

/* A size of at most a page says that the block is not vmalloc's. */
static void ops_free(struct allocator *a, void *ptr, size_t size)
{
	(void)a;
	if (KMEM_LIKELY(size != 0 && size <= PAGE_SIZE))
		kfree_fast(ptr);
	else if (is_vmalloc_addr(ptr))
		vfree(ptr);
	else
		kfree_fast(ptr);
}

static size_t ops_usable_size(struct allocator *a, void *ptr)
{
	(void)a;
	return kvsize(ptr);
}

/* Stays in place while at least half of the block is in use. */
static void *ops_realloc(struct allocator *a, void *ptr, size_t old_size, size_t new_size)
{
	size_t usable = kvsize(ptr);
	void *p;

	if (new_size <= usable && (new_size > usable / 2 || usable <= KMALLOC_MIN_SIZE))
		return ptr;
	p = ops_alloc(a, new_size, 0, GFP_KERNEL, NUMA_NO_NODE);
	if (p) {
		memcpy(p, ptr, old_size < new_size ? old_size : new_size);
		ops_free(a, ptr, 0);
	}
	return p;
}

static void *ops_zalloc(struct allocator *a, size_t size)
{
	(void)a;
	return alloc_slow(size, 0, GFP_KERNEL | __GFP_ZERO, NUMA_NO_NODE);
}

static size_t ops_alloc_bulk(struct allocator *a, size_t size, gfp_t gfp, size_t n,
			     void **out)
{
	struct kmem_cache *cache;
	size_t got = 0;

	if (size <= KMALLOC_MAX_CACHE_SIZE && !(gfp & __GFP_DMA)) {
		cache = kmalloc_cache_of(size, gfp);
		return cache ? kmem_cache_alloc_bulk(cache, gfp, n, out) : 0;
	}
	while (got < n && (out[got] = ops_alloc(a, size, 0, gfp, NUMA_NO_NODE)) != NULL)
		got++;
	return got;
}

static void ops_free_bulk(struct allocator *a, size_t size, size_t n, void **ptrs)
{
	if (size != 0 && size <= PAGE_SIZE) {
		kmem_cache_free_bulk(NULL, n, ptrs);
		return;
	}
	for (size_t i = 0; i < n; i++)
		ops_free(a, ptrs[i], size);
}

/* --- the rest --- */

static void ops_stats(struct allocator *a, allocator_stat_fn fn, void *arg)
{
	struct slab_stats slab;
	struct buddy_stats pages;

	(void)a;
	slab_stats(&slab);
	fn("caches", (double)slab.caches, arg);
	fn("total_objects", (double)slab.total_objects, arg);
	fn("grown", (double)slab.grown, arg);
	fn("reaped", (double)slab.reaped, arg);
	fn("stolen", (double)slab.stolen, arg);
	fn("alien", (double)slab.alien, arg);
	layers_slab_stats(fn, arg);
	layers_page_stats(fn, arg);
	buddy_stats(NUMA_NO_NODE, MAX_NR_ZONES, &pages);
	for (int i = 0; i < NR_NUMA_STAT_ITEMS; i++)
		fn(numa_stat_name(i), (double)pages.numa[i], arg);
}

static void ops_trim(struct allocator *a)
{
	(void)a;
	if (instance.vmalloc)
		vm_unmap_aliases();
	kmem_cache_reap();
	buddy_trim();
}

static int ops_check(struct allocator *a)
{
	(void)a;
	return layers_check(instance.vmalloc);
}

static const struct allocator_ops slab_allocator = {
	.abi_version = ALLOCATOR_OPS_VERSION,
	.name = "slab",
	.description =
		"slab allocator of the Linux kernel: kmalloc on per-CPU object arrays, "
		"vmalloc above 4 MiB",
	.caps = CAP_OBJECT | CAP_NODE | CAP_BULK | CAP_SIZED_FREE | CAP_ALIGN |
		CAP_USABLE_SIZE | CAP_STATS | CAP_TRIM | CAP_MIXED_SIZE | CAP_DISTINCT |
		CAP_REMOTE_FREE,
	.options = layers_options,
	.config_size = sizeof(struct layers_config),
	.create = ops_create,
	.destroy = ops_destroy,
	.alloc = ops_alloc,
	.free = ops_free,
	.realloc = ops_realloc,
	.zalloc = ops_zalloc,
	.alloc_bulk = ops_alloc_bulk,
	.free_bulk = ops_free_bulk,
	.usable_size = ops_usable_size,
	.stats = ops_stats,
	.trim = ops_trim,
	.check = ops_check,
};

ALLOCATOR_REGISTER(slab_allocator);
