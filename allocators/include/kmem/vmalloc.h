/* SPDX-License-Identifier: MIT */
/*
 * Virtually contiguous memory, with the interface of Linux <linux/vmalloc.h>.
 * Needs kmem_cache_init() and the memfd backing. Any thread may call; vmalloc()
 * and vfree() edit page tables by system calls, so they cost microseconds.
 */
#ifndef KMEM_VMALLOC_H
#define KMEM_VMALLOC_H

#include <kmem/mm_types.h>
#include <kmem/options.h>

/* Gap between the end of the direct map and VMALLOC_START: catches overruns. */
#define VMALLOC_OFFSET ((size_t)8 << 20)

#define VM_IOREMAP 0x0001u /* aligned to the power of two of its size, at most 16 MiB */
#define VM_ALLOC   0x0002u /* pages belong to the area: vmalloc() */
#define VM_MAP     0x0004u /* pages belong to the caller: vmap() */
#define VM_VPAGES  0x0010u /* the page array itself came from vmalloc */

/* One area. Address and size do not change while it lives. */
struct vm_struct {
	void *addr;
	size_t size_bytes; /* with the guard page */
	unsigned int flags;
	struct page **pages;
	unsigned int nr_pages;
};

struct vmalloc_config {
	uint64_t range_bytes; /* VMALLOC_END - VMALLOC_START */
	int search;           /* 0: augmented balanced tree, 1: first-fit list walk (Linux 2.4) */
	uint64_t lazy_bytes;  /* unmapped areas wait until this much is purged; 0: eager */
	bool runs;            /* neighbouring frames are mapped by one call */
};

extern KMEM_API const struct kmem_option vmalloc_options[];

KMEM_API int vmalloc_init(const struct vmalloc_config *config);
KMEM_API void vmalloc_exit(void);

/* NULL, with a text, for size 0, more pages than there are, no range, too many mappings. */
KMEM_API void *vmalloc(size_t size);
KMEM_API void *vmalloc_node(size_t size, int nid);
KMEM_API void *vzalloc(size_t size);
KMEM_API void *__vmalloc(size_t size, gfp_t gfp);
/* Like vmalloc(), aligned (power of two), kept for benchmarks of aligned ranges. */
KMEM_API void *__vmalloc_aligned(size_t size, size_t align, gfp_t gfp, int nid);
/* NULL is ignored; an address that starts no area is reported and ignored. */
KMEM_API void vfree(const void *addr);

/* Maps the caller's pages; flags VM_MAP or VM_IOREMAP. */
KMEM_API void *vmap(struct page **pages, unsigned int count, unsigned int flags);
KMEM_API void vunmap(const void *addr);
KMEM_API struct page *vmalloc_to_page(const void *addr);
KMEM_API bool is_vmalloc_addr(const void *addr);
/* The area that starts at addr, or NULL. Valid until it is freed. */
KMEM_API struct vm_struct *find_vm_area(const void *addr);

/* Unmaps and frees everything that lazy freeing has put off. */
KMEM_API void vm_unmap_aliases(void);

/* kmalloc() where it can, vmalloc() where it must. */
KMEM_API void *kvmalloc(size_t size, gfp_t gfp);
KMEM_API void *kvzalloc(size_t size, gfp_t gfp);
KMEM_API void kvfree(void *addr);
KMEM_API size_t kvsize(const void *addr);

struct vmalloc_stats {
	uint64_t areas, area_pages;
	uint64_t lazy_areas, lazy_pages;
	uint64_t map_calls, unmap_calls, purges;
	uint64_t range_bytes, largest_hole_bytes;
};
KMEM_API void vmalloc_stats(struct vmalloc_stats *stats);

KMEM_API int vmalloc_check(void);

#endif /* KMEM_VMALLOC_H */
