/* SPDX-License-Identifier: MIT */
/*
 * The allocator `kmem`: the whole stack as malloc behind the common hooks, as
 * libkmem-malloc.so has it under a program: private frames, and one node unless the
 * option topology, which that library has not, says otherwise.
 */
#include "allocators/malloc/malloc_fast.h"
#include "allocators/phys/phys_internal.h"
#include "allocators/vmalloc/layers_ops.h"

struct ops_config {
	struct kmem_malloc_config kmem;
	const char *topology;
};

static const struct kmem_option topology_options[] = {
	{.name = "topology",
	 .type = KMEM_OPT_STRING,
	 .offset = offsetof(struct ops_config, topology),
	 .initial = "flat",
	 .help = "nodes of blocks up to 128 KiB: flat: one; empty: this machine's; an hwloc "
		 "description (numa:4 core:2 pu:1), or an hwloc XML file"},
	KMEM_OPTION_END,
};

#define OF_KMEM(member_) \
	offsetof(struct ops_config, kmem) + offsetof(struct kmem_malloc_config, member_)
static const struct kmem_option_group groups[] = {
	{kmem_malloc_options, OF_KMEM(malloc)},
	{topology_options, 0},
	{buddy_options, OF_KMEM(buddy)},
	{slab_options, OF_KMEM(slab)},
	{NULL, 0},
};

/* The one instance: a process has one physical memory. */
static struct allocator instance;

static struct allocator *ops_create(const struct allocator_ops *ops, const void *config,
				    const struct allocator_env *env)
{
	const struct ops_config *c = config;
	int err;

	(void)env;
	/* The start alone reads it. */
	malloc_topology = c->topology;
	err = kmem_malloc_init(&c->kmem);
	malloc_topology = PHYS_TOPOLOGY_FLAT;
	if (err != 0)
		return NULL;
	instance.ops = ops;
	return &instance;
}

static void ops_destroy(struct allocator *a)
{
	(void)a;
	kmem_malloc_exit();
}

/* gfp flags and nodes are not malloc's. Every block is aligned to KMALLOC_MIN_ALIGN. */
static void *ops_alloc(struct allocator *a, size_t size, size_t align, gfp_t gfp,
		       int node)
{
	(void)a, (void)gfp, (void)node;
	if (KMEM_LIKELY(align <= KMALLOC_MIN_ALIGN))
		return malloc_fast(size);
	return kmem_memalign(align, size);
}

static void ops_free(struct allocator *a, void *ptr, size_t size)
{
	(void)a, (void)size;
	free_fast(ptr);
}

static void *ops_realloc(struct allocator *a, void *ptr, size_t old_size, size_t new_size)
{
	(void)a, (void)old_size;
	return kmem_realloc(ptr, new_size);
}

static void *ops_zalloc(struct allocator *a, size_t size)
{
	(void)a;
	return kmem_calloc(1, size);
}

static size_t ops_usable_size(struct allocator *a, void *ptr)
{
	(void)a;
	return kmem_usable_size(ptr);
}

static void ops_stats(struct allocator *a, allocator_stat_fn fn, void *arg)
{
	struct kmem_malloc_stats stats;

	(void)a;
	layers_slab_stats(fn, arg);
	layers_page_stats(fn, arg);
	kmem_malloc_stats(&stats);
	fn("large_live", (double)stats.large_live, arg);
	fn("large_live_bytes", (double)stats.large_live_bytes, arg);
	fn("large_cached_bytes", (double)stats.large_cached_bytes, arg);
	fn("large_hits", (double)stats.large_hits, arg);
	fn("large_purged_bytes", (double)stats.large_purged_bytes, arg);
	fn("background_starts", (double)stats.background_starts, arg);
	fn("trims", (double)stats.trims, arg);
	fn("trimmed_bytes", (double)stats.trimmed_bytes, arg);
}

static void ops_trim(struct allocator *a)
{
	(void)a;
	kmem_malloc_trim();
}

static int ops_check(struct allocator *a)
{
	(void)a;
	return kmem_malloc_check();
}

static const struct allocator_ops kmem_allocator = {
	.abi_version = ALLOCATOR_OPS_VERSION,
	.name = "kmem",
	.description =
		"the whole stack as malloc: slab, spans of pages to 128 MiB, mappings above; "
		"also under whole programs (exec)",
	.caps = CAP_OBJECT | CAP_ALIGN | CAP_USABLE_SIZE | CAP_STATS | CAP_TRIM |
		CAP_MIXED_SIZE | CAP_DISTINCT | CAP_REMOTE_FREE,
	.options = groups,
	.config_size = sizeof(struct ops_config),
	.create = ops_create,
	.destroy = ops_destroy,
	.alloc = ops_alloc,
	.free = ops_free,
	.realloc = ops_realloc,
	.zalloc = ops_zalloc,
	.usable_size = ops_usable_size,
	.stats = ops_stats,
	.trim = ops_trim,
	.check = ops_check,
};

ALLOCATOR_REGISTER(kmem_allocator);
