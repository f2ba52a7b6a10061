/* SPDX-License-Identifier: MIT */
/*
 * The vtable adapter `vmalloc`: every block is an area of whole pages.
 *
 * A process has one physical memory, so there is one instance at a time.
 */
#include <kmem/allocator.h>
#include <kmem/error.h>
#include <kmem/page_alloc.h>
#include <kmem/phys.h>
#include <kmem/slab.h>
#include <kmem/vmalloc.h>

struct vmalloc_ops_config {
	struct phys_config phys;
	struct buddy_config buddy;
	struct slab_config slab;
	struct vmalloc_config vmalloc;
};

static const struct kmem_option_group option_groups[] = {
	{phys_options, offsetof(struct vmalloc_ops_config, phys)},
	{buddy_options, offsetof(struct vmalloc_ops_config, buddy)},
	{slab_options, offsetof(struct vmalloc_ops_config, slab)},
	{vmalloc_options, offsetof(struct vmalloc_ops_config, vmalloc)},
	{NULL, 0},
};

static struct allocator instance;

static struct allocator *vmalloc_create(const struct allocator_ops *ops,
					const void *config,
					const struct allocator_env *env)
{
	const struct vmalloc_ops_config *c = config;

	(void)env;
	if (phys_init(&c->phys) != 0)
		return NULL;
	if (buddy_init(&c->buddy) != 0)
		goto out_phys;
	if (kmem_cache_init(&c->slab) != 0)
		goto out_buddy;
	if (vmalloc_init(&c->vmalloc) != 0)
		goto out_slab;
	instance.ops = ops;
	return &instance;

out_slab:
	kmem_cache_exit();
out_buddy:
	buddy_exit();
out_phys:
	phys_exit();
	return NULL;
}

static void vmalloc_destroy(struct allocator *a)
{
	(void)a;
	vmalloc_exit();
	kmem_cache_exit();
	buddy_exit();
	phys_exit();
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
	struct buddy_stats b;

	(void)a;
	vmalloc_stats(&v);
	buddy_stats(NUMA_NO_NODE, MAX_NR_ZONES, &b);
	fn("areas", (double)v.areas, arg);
	fn("area_pages", (double)v.area_pages, arg);
	fn("lazy_areas", (double)v.lazy_areas, arg);
	fn("lazy_pages", (double)v.lazy_pages, arg);
	fn("map_calls", (double)v.map_calls, arg);
	fn("unmap_calls", (double)v.unmap_calls, arg);
	fn("purges", (double)v.purges, arg);
	fn("range_bytes", (double)v.range_bytes, arg);
	fn("largest_hole_bytes", (double)v.largest_hole_bytes, arg);
	fn("free_pages", (double)b.free_pages, arg);
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
	int err = vmalloc_check();

	(void)a;
	if (err == 0)
		err = slab_check();
	return err == 0 ? buddy_check() : err;
}

static const struct allocator_ops vmalloc_ops = {
	.abi_version = ALLOCATOR_OPS_VERSION,
	.name = "vmalloc",
	.description =
		"libkmem's vmalloc: single pages, HIGHMEM first, mapped to contiguous "
		"addresses with a guard page",
	.caps = CAP_VRANGE | CAP_NODE | CAP_ALIGN | CAP_USABLE_SIZE | CAP_STATS |
		CAP_TRIM | CAP_MIXED_SIZE | CAP_DISTINCT | CAP_REMOTE_FREE,
	.options = option_groups,
	.config_size = sizeof(struct vmalloc_ops_config),
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
