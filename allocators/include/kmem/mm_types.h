/* SPDX-License-Identifier: MIT */
/*
 * Page frames and their descriptors, after Linux <linux/mm_types.h>.
 *
 * Frames of 4 KiB are numbered by pfn, without holes, node after node. A
 * node's frames lie in one reserved range, all ranges in one "direct map":
 *
 *   direct map                              8 MiB       vmalloc range
 *   |DMA|   NORMAL   |HIGHMEM| NORMAL |HIGHMEM|..gap..|START ........ END|
 *    '------ node 0 ---------'  '-- node 1 --'
 *
 * A HIGHMEM frame has a place in the numbering but no permanent mapping: its
 * part of the direct map is inaccessible, and page_address() is NULL unless
 * kmap() gave it a window.
 */
#ifndef KMEM_MM_TYPES_H
#define KMEM_MM_TYPES_H

#include <kmem/compiler.h>
#include <kmem/gfp.h>

#define PAGE_SHIFT 12
#define PAGE_SIZE  ((size_t)1 << PAGE_SHIFT)
#define PAGE_MASK  (~(PAGE_SIZE - 1))

/* Orders 0 .. MAX_ORDER - 1 are served; the largest block is 4 MiB. */
#define MAX_ORDER	   11
#define MAX_ORDER_NR_PAGES ((unsigned long)1 << (MAX_ORDER - 1))

/* Gap between the end of the direct map and VMALLOC_START: catches overruns. */
#define VMALLOC_OFFSET ((size_t)8 << 20)

#define MAX_NUMNODES 64

enum zone_type { ZONE_DMA, ZONE_NORMAL, ZONE_HIGHMEM, MAX_NR_ZONES };

struct kmem_cache;
struct vm_struct;
struct page;

/*
 * One descriptor per frame, 32 bytes. An all-zero descriptor is a valid one: a
 * frame inside some larger block. Zone and node are looked up by the 4 MiB block, so
 * that start-up need not touch every descriptor; those that the flags of an allocated
 * block hold are a check: it was handed out by the zone that it lies in.
 *
 *   0        4          8                16               24        28     32
 *   | flags  | refcount | lru.next       | lru.prev       | private | mapcount
 *                       | slab_cache     | slab           |
 */
struct page {
	union {
		struct {
			_Atomic uint32_t flags; /* enum page_flag; the block's holder */
			_Atomic int32_t _refcount; /* 0: free, or inside a larger block */
		};
		_Atomic uint64_t state; /* both at once: the page allocator only */
	};
	union {
		struct { /* free block's head: under zone->lock */
			struct page *next;
			struct page *prev;
		} lru;
		struct { /* PG_slab: set while the slab owns the page */
			struct kmem_cache *slab_cache;
			void *slab;
		};
	};
	uint32_t private_;	   /* the block's holder's own */
	_Atomic int32_t _mapcount; /* vmalloc areas and windows that map the frame */
};
_Static_assert(sizeof(struct page) == 32, "struct page is budgeted at 32 bytes");

enum page_flag {
	PG_head = 1 << 0,  /* first page of an allocated block */
	PG_buddy = 1 << 1, /* first page of a block on a free_area list */
	PG_pcp = 1 << 2,   /* first page of a block on a per-CPU list */
	PG_slab = 1 << 3,  /* owned by the slab allocator */
	PG_freed = 1 << 4, /* first page of a block that was freed, and is on no list */
};

/* Above the flags: the order of the block whose first page this is. */
#define PG_ORDER_SHIFT 8
#define PG_ORDER_BIT   (1u << PG_ORDER_SHIFT)
#define PG_ORDER_MASK  15u
/* Above that, on an allocated block: the zone that it came from, node * MAX_NR_ZONES +
 * zone. */
#define PG_ZONE_SHIFT 16
#define PG_ZONE_MASK  255u

/* --- conversions; O(1); the argument must be a managed frame --- */
extern KMEM_API struct page *kmem_mem_map; /* indexed by pfn */
extern KMEM_API char *kmem_direct_base;	   /* address of pfn 0 */
extern KMEM_API unsigned long kmem_nr_frames;

static inline unsigned long page_to_pfn(const struct page *page)
{
	return (unsigned long)(page - kmem_mem_map);
}

static inline struct page *pfn_to_page(unsigned long pfn)
{
	return kmem_mem_map + pfn;
}

static inline bool pfn_valid(unsigned long pfn)
{
	return pfn < kmem_nr_frames;
}

/* Of the direct map only: not of vmalloc or kmap addresses. */
static inline unsigned long virt_to_pfn(const void *addr)
{
	return (unsigned long)((const char *)addr - kmem_direct_base) >> PAGE_SHIFT;
}

static inline struct page *virt_to_page(const void *addr)
{
	return pfn_to_page(virt_to_pfn(addr));
}

static inline bool virt_addr_valid(const void *addr)
{
	return pfn_valid(virt_to_pfn(addr));
}

/* Direct-map address of a frame, whatever its zone. */
static inline void *pfn_to_virt(unsigned long pfn)
{
	return kmem_direct_base + (pfn << PAGE_SHIFT);
}

/* NULL for a HIGHMEM frame, but while kmap() has it mapped. */
KMEM_API void *page_address(const struct page *page);
KMEM_API int page_to_nid(const struct page *page);
KMEM_API enum zone_type page_zonenum(const struct page *page);

/* Smallest order whose block holds size bytes; size >= 1. */
static inline unsigned int get_order(size_t size)
{
	size = (size - 1) >> PAGE_SHIFT;
	return size == 0 ? 0 : 64 - (unsigned int)__builtin_clzl(size);
}

#endif /* KMEM_MM_TYPES_H */
