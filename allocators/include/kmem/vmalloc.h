/* SPDX-License-Identifier: MIT */
/*
 * Virtually contiguous memory, with the interface of Linux <linux/vmalloc.h>.
 *
 * Needs kmem_cache_init() and the memfd backing. Any thread may call. A fresh
 * area costs system calls that edit page tables, microseconds; a freed area of
 * the same size is handed out again for some nanoseconds (lazy_bytes). Sizes are
 * in bytes and rounded up to pages; addresses are page-aligned; contents are
 * undefined unless zeroes are asked for. Set-up returns negative errno values,
 * allocation NULL, both with an error text; misuse is reported by kmem_bug().
 */
#ifndef KMEM_VMALLOC_H
#define KMEM_VMALLOC_H

#include <kmem/mm_types.h>
#include <kmem/options.h>

#define VM_IOREMAP 0x0001u /* aligned to the power of two of its size, at most 16 MiB */
#define VM_ALLOC   0x0002u /* pages belong to the area: vmalloc() */
#define VM_MAP	   0x0004u /* pages belong to the caller: vmap() */
#define VM_VPAGES  0x0010u /* the page array itself came from vmalloc */

/* One area. Nothing here changes while it lives. */
struct vm_struct {
	void *addr;
	size_t size_bytes; /* with the guard page */
	unsigned int flags;
	struct page **pages;   /* in order of address */
	unsigned int nr_pages; /* without the guard page */
};

struct vmalloc_config {
	/* VMALLOC_END - VMALLOC_START; halved until the system has it. */
	uint64_t range_bytes;
	/* First fit by 0: balanced tree, 1: list walk (Linux 2.4), 2: radix tree. */
	int search;
	/* Freed areas kept mapped for reuse; 0: eager. */
	uint64_t lazy_bytes;
	/* Small ones on stacks of the CPUs; else all in one pool under a lock. */
	bool percpu_areas;
	/* Neighbouring frames are mapped by one call. */
	bool runs;
	/* Page tables are filled at once, as the kernel does. */
	bool populate;
};

extern KMEM_API const struct kmem_option vmalloc_options[];

/*
 * config NULL: the defaults. 0; -EBUSY when up already; -EINVAL with the private backing,
 * or without phys_init(); -ENOMEM. One thread, after kmem_cache_init().
 */
KMEM_API int vmalloc_init(const struct vmalloc_config *config);
/* Releases everything, live areas too; no other thread may be calling. */
KMEM_API void vmalloc_exit(void);

/*
 * Pages come from HIGHMEM first (GFP_KERNEL | __GFP_HIGHMEM). NULL, with a text
 * and nothing taken, for size 0, more pages than there are, no range, no pages,
 * and too many mappings (vm.max_map_count). Linux 2.6.28 mm/vmalloc.c.
 */
KMEM_API void *vmalloc(size_t size);
/* Pages of node nid first. */
KMEM_API void *vmalloc_node(size_t size, int nid);
KMEM_API void *vzalloc(size_t size);
/* Only from the zones that gfp allows: without __GFP_HIGHMEM, pages have an address. */
KMEM_API void *__vmalloc(size_t size, gfp_t gfp);
/* Like __vmalloc(), aligned to a power of two, on a node; for aligned ranges. */
KMEM_API void *__vmalloc_aligned(size_t size, size_t align, gfp_t gfp, int nid);
/*
 * NULL is ignored. An address that starts no live area of vmalloc(), and a
 * second vfree(), are reported and ignored. The addresses stay accessible until
 * the area is unmapped, with lazy_bytes=0 at once.
 */
KMEM_API void vfree(const void *addr);

/*
 * Maps the caller's pages in the given order; flags VM_MAP or VM_IOREMAP. The
 * pages stay the caller's, who must vunmap() before freeing them. The array is
 * copied. NULL with a text, as vmalloc().
 */
KMEM_API void *vmap(struct page **pages, unsigned int count, unsigned int flags);
/* Unmapped on return. Misuse is reported as by vfree(). */
KMEM_API void vunmap(const void *addr);
/* The page behind any address of a live area; NULL elsewhere and for guard pages. */
KMEM_API struct page *vmalloc_to_page(const void *addr);
/* Whether addr lies between VMALLOC_START and VMALLOC_END, whatever is there. */
KMEM_API bool is_vmalloc_addr(const void *addr);
/* The live area that starts at addr, or NULL. Valid until it is freed. */
KMEM_API struct vm_struct *find_vm_area(const void *addr);

/* Unmaps and frees everything that lazy freeing has put off. Other threads may run. */
KMEM_API void vm_unmap_aliases(void);

/*
 * kmalloc() where it can (up to KMALLOC_MAX_SIZE), vmalloc() where it must.
 * NULL with a text when both fail, and for size 0. Linux 4.12 mm/util.c.
 */
KMEM_API void *kvmalloc(size_t size, gfp_t gfp);
KMEM_API void *kvzalloc(size_t size, gfp_t gfp);
/* NULL is ignored. */
KMEM_API void kvfree(void *addr);
/* Usable bytes: of the area without its guard page, or ksize(). 0: no live block. */
KMEM_API size_t kvsize(const void *addr);

/* Pages without guard pages. Exact when no other thread is calling. */
struct vmalloc_stats {
	/* Live; page arrays of large areas are left out. */
	uint64_t areas, area_pages;
	/* Freed and still mapped. */
	uint64_t lazy_areas, lazy_pages;
	/* Since vmalloc_init(). */
	uint64_t map_calls, unmap_calls, purges;
	uint64_t range_bytes, largest_hole_bytes;
};
KMEM_API void vmalloc_stats(struct vmalloc_stats *stats);

/* Walks every invariant; no other thread may be calling. 0, or -EFAULT with a text. */
KMEM_API int vmalloc_check(void);

#endif /* KMEM_VMALLOC_H */
