/* SPDX-License-Identifier: MIT */
/*
 * The vtable adapter `vmalloc`: every block is an area of whole pages.
 *
 * A process has one physical memory, so there is one instance at a time.
 */
#include "allocators/vmalloc/layers_ops.h"

static struct allocator instance;

static struct allocator *vmalloc_create(const struct allocator_ops *ops,
					const void *config,
					const struct allocator_env *env)
{
	(void)env;
	if (layers_init(config, true) != 0)
		return NULL;
	instance.ops = ops;
	return &instance;
}

static void vmalloc_destroy(struct allocator *a)
{
	(void)a;
	layers_exit(true);
}

static void *ops_alloc(struct allocator *a, size_t size, size_t align, gfp_t gfp,
		       int node)
{
	(void)a;
	/* vmalloc() itself asks for HIGHMEM first; only DMA pages must lie elsewhere. */
	if (!(gfp & __GFP_DMA))
		gfp |= __GFP_HIGHMEM;
	return __vmalloc_aligned(size, align != 0 ? align : 1, gfp, node);
}

static void ops_free(struct allocator *a, void *ptr, size_t size)
{
	(void)a;
	(void)size;
	vfree(ptr);
}

static void *ops_zalloc(struct allocator *a, size_t size)
{
	(void)a;
	return vzalloc(size);
}

static size_t ops_usable_size(struct allocator *a, void *ptr)
{
	(void)a;
	return kvsize(ptr);
}

static void ops_stats(struct allocator *a, allocator_stat_fn fn, void *arg)
{
	struct vmalloc_stats v;

	(void)a;
	vmalloc_stats(&v);
	fn("areas", (double)v.areas, arg);
	fn("area_pages", (double)v.area_pages, arg);
	fn("lazy_areas", (double)v.lazy_areas, arg);
	fn("lazy_pages", (double)v.lazy_pages, arg);
	fn("map_calls", (double)v.map_calls, arg);
	fn("unmap_calls", (double)v.unmap_calls, arg);
	fn("purges", (double)v.purges, arg);
	fn("range_bytes", (double)v.range_bytes, arg);
	fn("largest_hole_bytes", (double)v.largest_hole_bytes, arg);
	layers_page_stats(fn, arg);
}

static void ops_trim(struct allocator *a)
{
	(void)a;
	vm_unmap_aliases();
	kmem_cache_reap();
	drain_all_pages();
}

static int ops_check(struct allocator *a)
{
	(void)a;
	return layers_check(true);
}

static const struct allocator_ops vmalloc_ops = {
	.abi_version = ALLOCATOR_OPS_VERSION,
	.name = "vmalloc",
	.description =
		"libkmem's vmalloc: single pages, HIGHMEM first, mapped to contiguous "
		"addresses with a guard page",
	.caps = CAP_VRANGE | CAP_NODE | CAP_ALIGN | CAP_USABLE_SIZE | CAP_STATS |
		CAP_TRIM | CAP_MIXED_SIZE | CAP_DISTINCT | CAP_REMOTE_FREE,
	.options = layers_options,
	.config_size = sizeof(struct layers_config),
	.create = vmalloc_create,
	.destroy = vmalloc_destroy,
	.alloc = ops_alloc,
	.free = ops_free,
	.zalloc = ops_zalloc,
	.usable_size = ops_usable_size,
	.stats = ops_stats,
	.trim = ops_trim,
	.check = ops_check,
};
ALLOCATOR_REGISTER(vmalloc_ops);
