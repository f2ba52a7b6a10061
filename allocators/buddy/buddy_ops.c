/* SPDX-License-Identifier: MIT */
/* The allocator `buddy`: the page allocator behind the common hooks. */
#include "allocators/buddy/page_alloc_fast.h"

#include <errno.h>
#include <kmem/allocator.h>
#include <kmem/error.h>
#include <stdio.h>

struct buddy_ops_config {
	struct phys_config phys;
	struct buddy_config buddy;
};

static const struct kmem_option_group groups[] = {
	{phys_options, offsetof(struct buddy_ops_config, phys)},
	{buddy_options, offsetof(struct buddy_ops_config, buddy)},
	{NULL, 0},
};

static struct allocator instance; /* one process has one physical memory */

static struct allocator *ops_create(const struct allocator_ops *ops, const void *config,
				    const struct allocator_env *env)
{
	const struct buddy_ops_config *c = config;

	(void)env;
	if (phys_init(&c->phys) != 0)
		return NULL;
	if (buddy_init(&c->buddy) != 0) {
		phys_exit();
		return NULL;
	}
	instance.ops = ops;
	return &instance;
}

static void ops_destroy(struct allocator *a)
{
	(void)a;
	buddy_exit();
	phys_exit();
}

/* A block is aligned to its own size: a larger alignment needs a larger block. */
static KMEM_ALWAYS_INLINE unsigned int order_for(size_t size, size_t align)
{
	return get_order(size > align ? size : align);
}

static KMEM_NOINLINE void *alloc_miss(unsigned int order, gfp_t gfp, int node,
				      const struct page *stale)
{
	struct page *page;

	if (KMEM_UNLIKELY((gfp & __GFP_HIGHMEM) != 0)) {
		kmem_error(-EINVAL,
			   "buddy hands out addresses, which __GFP_HIGHMEM pages do not "
			   "have; use the allocator 'vmalloc'");
		return NULL;
	}
	page = stale != NULL ? alloc_pages_miss(node, gfp, order, stale)
			     : alloc_pages_node(node, gfp, order);
	return KMEM_LIKELY(page != NULL) ? direct_address(page) : NULL;
}

static void *ops_alloc(struct allocator *a, size_t size, size_t align, gfp_t gfp,
		       int node)
{
	unsigned int order = order_for(size, align);
	struct page *stale = NULL;

	(void)a;
	if (KMEM_LIKELY(node == NUMA_NO_NODE && (gfp & __GFP_HIGHMEM) == 0)) {
		struct page *page = alloc_pages_hit(gfp, order, &stale);

		if (KMEM_LIKELY(page != NULL))
			return direct_address(page);
	}
	return alloc_miss(order, gfp, node, stale);
}

/* The size is not known, or does not say it all, or there is nothing to free. */
static KMEM_NOINLINE void free_unsized(void *ptr, size_t size)
{
	unsigned int order = size != 0 ? get_order(size) : 0;
	int real;

	if (ptr == NULL)
		return;
	real = virt_addr_valid(ptr) ? page_block_order(virt_to_page(ptr)) : -1;
	/* A block enlarged for its alignment is not what its size says. */
	free_pages((unsigned long)ptr, real > (int)order || (size == 0 && real >= 0)
					       ? (unsigned int)real
					       : order);
}

/* Everything but a hit, which ends with this call and so saves no registers. */
static KMEM_NOINLINE void free_miss(void *ptr, size_t size, uint64_t left)
{
	unsigned int order = get_order(size);

	if (left != 0 || (virt_addr_valid(ptr) && ((uintptr_t)ptr & ~PAGE_MASK) == 0 &&
			  page_block_order(virt_to_page(ptr)) == (int)order))
		free_pages_slow(virt_to_page(ptr), order, left);
	else
		free_unsized(ptr, size);
}

/* The same where there might have been one: the hit has no registers for its arguments.
 */
static KMEM_NOINLINE void free_no_hit(struct page *page, unsigned int order,
				      uint64_t left)
{
	free_miss(direct_address(page), PAGE_SIZE << order, left);
}

static void ops_free(struct allocator *a, void *ptr, size_t size)
{
	unsigned long offset = (unsigned long)((const char *)ptr - buddy.direct_base);
	unsigned long pfn = offset >> PAGE_SHIFT;
	unsigned int order = get_order(size);
	struct page *page = buddy.mem_map + pfn;
	uint64_t left;

	(void)a;
	/* Size 0 has no order, and never matches. */
	if (KMEM_UNLIKELY((offset & ~PAGE_MASK) != 0 || !free_may_hit(pfn, page, order)))
		free_miss(ptr, size, 0);
	else if (KMEM_UNLIKELY(!free_pages_hit(pfn, page, order, &left)))
		free_no_hit(page, order, left);
}

/* The hooks speak of addresses, the allocator of descriptors: converted in rounds. */
#define BULK_ROUND 256

static size_t ops_alloc_bulk(struct allocator *a, size_t size, gfp_t gfp, size_t n,
			     void **out)
{
	unsigned int order = get_order(size);
	size_t got = 0;

	(void)a;
	if ((gfp & __GFP_HIGHMEM) != 0)
		return 0;
	while (got < n) {
		size_t want = n - got < BULK_ROUND ? n - got : BULK_ROUND;
		/* The addresses take the place of the descriptors in the caller's array.
		 */
		struct page **pages = (struct page **)(out + got);
		size_t taken = buddy_alloc_bulk(NUMA_NO_NODE, gfp, order, want, pages);

		for (size_t i = 0; i < taken; i++)
			out[got + i] = direct_address(pages[i]);
		got += taken;
		if (taken < want)
			break;
	}
	return got;
}

static void ops_free_bulk(struct allocator *a, size_t size, size_t n, void **ptrs)
{
	struct page *pages[BULK_ROUND];
	unsigned int order = get_order(size);
	size_t held = 0;

	(void)a;
	for (size_t i = 0; i < n; i++) {
		if (KMEM_UNLIKELY(((uintptr_t)ptrs[i] & ~PAGE_MASK) != 0 ||
				  !virt_addr_valid(ptrs[i]))) {
			free_pages((unsigned long)ptrs[i], order); /* reports it */
			continue;
		}
		pages[held++] = virt_to_page(ptrs[i]);
		if (held == BULK_ROUND) {
			buddy_free_bulk(order, held, pages);
			held = 0;
		}
	}
	buddy_free_bulk(order, held, pages);
}

static void ops_stats(struct allocator *a, allocator_stat_fn fn, void *arg)
{
	struct buddy_stats s, high;

	(void)a;
	buddy_stats(NUMA_NO_NODE, MAX_NR_ZONES, &s);
	buddy_stats(NUMA_NO_NODE, ZONE_HIGHMEM, &high);
	fn("free_pages_highmem", (double)high.free_pages, arg);
	fn("total_pages", (double)s.total_pages, arg);
	fn("free_pages", (double)s.free_pages, arg);
	fn("pcp_pages", (double)s.pcp_pages, arg);
	fn("pcp_refills", (double)s.pcp_refills, arg);
	fn("pcp_drains", (double)s.pcp_drains, arg);
	fn("alloc_stalls", (double)s.alloc_stalls, arg);
	fn("kswapd_wakes", (double)s.kswapd_wakes, arg);
	fn("thp_bytes", (double)phys_hugepage_bytes(), arg);
	fn("thp_map_bytes", (double)phys_hugepage_map_bytes(), arg);
	fn("pages_min", (double)s.pages_min, arg);
	fn("pages_low", (double)s.pages_low, arg);
	fn("pages_high", (double)s.pages_high, arg);
	fn("pageoutrun", (double)s.pageoutrun, arg);
	fn("pgsteal_kswapd", (double)s.pgsteal_kswapd, arg);
	fn("pgsteal_direct", (double)s.pgsteal_direct, arg);
	fn("slabs_scanned", (double)s.slabs_scanned, arg);
	fn("purged_pages", (double)s.purged_pages, arg);
	for (int i = 0; i < NR_NUMA_STAT_ITEMS; i++)
		fn(numa_stat_name(i), (double)s.numa[i], arg);
	for (int order = 0; order < MAX_ORDER; order++) {
		char name[32];

		snprintf(name, sizeof(name), "free_blocks_order_%d", order);
		fn(name, (double)s.free_blocks[order], arg);
	}
}

static void ops_trim(struct allocator *a)
{
	(void)a;
	buddy_trim();
}

static int ops_check(struct allocator *a)
{
	(void)a;
	return buddy_check();
}

static const struct allocator_ops buddy_allocator = {
	.abi_version = ALLOCATOR_OPS_VERSION,
	.name = "buddy",
	.description =
		"page allocator of the Linux kernel: buddy system with per-CPU lists, zones "
		"and nodes",
	.caps = CAP_PAGE | CAP_NODE | CAP_BULK | CAP_SIZED_FREE | CAP_STATS | CAP_TRIM |
		CAP_MIXED_SIZE | CAP_DISTINCT | CAP_REMOTE_FREE,
	.size_max_bytes = MAX_ORDER_NR_PAGES << PAGE_SHIFT,
	.options = groups,
	.config_size = sizeof(struct buddy_ops_config),
	.create = ops_create,
	.destroy = ops_destroy,
	.alloc = ops_alloc,
	.free = ops_free,
	.alloc_bulk = ops_alloc_bulk,
	.free_bulk = ops_free_bulk,
	.stats = ops_stats,
	.trim = ops_trim,
	.check = ops_check,
};

ALLOCATOR_REGISTER(buddy_allocator);
