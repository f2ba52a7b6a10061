/* SPDX-License-Identifier: MIT */
/*
 * The buddy page allocator, with the interface of Linux <linux/gfp.h>.
 *
 * Any thread may call at any time between buddy_init() and buddy_exit(). No
 * function sleeps unless __GFP_WAIT is set. A failed allocation is NULL (or 0) and
 * leaves an error text, unless __GFP_NOWARN is set; nonsensical flags or orders always
 * leave one. Freeing what is not allocated is reported through kmem_bug() and otherwise
 * ignored.
 */
#ifndef KMEM_PAGE_ALLOC_H
#define KMEM_PAGE_ALLOC_H

#include <kmem/mm_types.h>
#include <kmem/options.h>

enum buddy_lower {
	BUDDY_ROWS,  /* a bitmap of rows of 64 pages, lock-free */
	BUDDY_LISTS, /* a list of free blocks per order, under the zone's lock */
};

struct buddy_config {
	bool pcp;		 /* per-CPU page lists in front of the zone lock */
	uint64_t pcp_batch;	 /* pages moved between a list and the zone at a time */
	uint64_t pcp_high;	 /* a list of more pages than this gives up a batch */
	uint64_t pcp_order_max;	 /* highest order that the lists hold */
	uint64_t pcp_huge;	 /* blocks of 2 MiB on one CPU's list; 0: no such list */
	bool mobility;		 /* groups of blocks by what can be done to them */
	bool kswapd;		 /* a background reclaimer per node */
	uint64_t purge_ms;	 /* free huge pages go back to the system; 0: never */
	int lower;		 /* enum buddy_lower */
	int zonelist;		 /* 0: node order by distance, 1: the ring of Linux 2.4 */
	uint64_t min_free_bytes; /* watermark "min" of all zones; 0: Linux's square-root
				    rule */
};

extern KMEM_API const struct kmem_option buddy_options[];

/* config NULL: the defaults. 0, or -EBUSY, -EINVAL, -ENOMEM with an error text. */
KMEM_API int buddy_init(const struct buddy_config *config);
KMEM_API void buddy_exit(void);

KMEM_API struct page *alloc_pages_node(int nid, gfp_t gfp, unsigned int order);
KMEM_API struct page *alloc_pages(gfp_t gfp, unsigned int order);
/* From the nodes in turn, each thread by itself (Linux alloc_page_interleave()); another
 * node serves where the one whose turn it is cannot. */
KMEM_API struct page *alloc_pages_interleave(gfp_t gfp, unsigned int order);
static inline struct page *alloc_page(gfp_t gfp)
{
	return alloc_pages(gfp, 0);
}
KMEM_API void __free_pages(struct page *page, unsigned int order);
static inline void __free_page(struct page *page)
{
	__free_pages(page, 0);
}

/*
 * Holds an allocated block (by its first page) once more, and lets it go:
 * __free_pages() and put_page() free it only with the last reference.
 */
KMEM_API void get_page(struct page *page);
KMEM_API void put_page(struct page *page);

/* The same by direct-map address; __GFP_HIGHMEM is refused. 0: no memory. */
KMEM_API unsigned long __get_free_pages(gfp_t gfp, unsigned int order);
static inline unsigned long __get_free_page(gfp_t gfp)
{
	return __get_free_pages(gfp, 0);
}
KMEM_API unsigned long get_zeroed_page(gfp_t gfp);
KMEM_API void free_pages(unsigned long addr, unsigned int order);
static inline void free_page(unsigned long addr)
{
	free_pages(addr, 0);
}

/* Exactly size bytes in whole pages: the tail of the block is given back. */
KMEM_API void *alloc_pages_exact(size_t size, gfp_t gfp);
KMEM_API void free_pages_exact(void *addr, size_t size);

/* Fills pages[0..n) with single pages; returns how many it got. */
KMEM_API size_t alloc_pages_bulk(gfp_t gfp, size_t n, struct page **pages);
KMEM_API void free_pages_bulk(size_t n, struct page **pages);

/*
 * Frees every page of the per-CPU lists to its zone. Interrupts every CPU that runs
 * the process (membarrier(2)) once per list that holds something.
 */
KMEM_API void drain_all_pages(void);

/* Order of the allocated block that starts at page; -1 when none does. */
KMEM_API int page_block_order(const struct page *page);

/* --- statistics --- */
enum numa_stat_item {
	NUMA_HIT,	     /* served by the preferred node; counted there */
	NUMA_MISS,	     /* served here although another node was preferred */
	NUMA_FOREIGN,	     /* preferred here, served by another node */
	NUMA_INTERLEAVE_HIT, /* interleaving asked for this node and got it */
	NUMA_LOCAL,	     /* served here to a thread running here */
	NUMA_OTHER,	     /* served here to a thread running elsewhere */
	NR_NUMA_STAT_ITEMS,
};
KMEM_API const char *numa_stat_name(enum numa_stat_item item);

struct buddy_stats {
	uint64_t total_pages, free_pages;
	uint64_t free_blocks[MAX_ORDER]; /* per order, per-CPU lists not counted */
	uint64_t pcp_pages;		 /* on per-CPU lists */
	uint64_t pcp_refills, pcp_drains;
	uint64_t alloc_stalls, kswapd_wakes;
	uint64_t pages_min, pages_low, pages_high; /* watermarks */
	/* As the kernel's vmstat names them: runs of kswapd; pages it reclaimed, and
	 * requests did; pages that shrinkers were asked for. And pages purged. */
	uint64_t pageoutrun, pgsteal_kswapd, pgsteal_direct, slabs_scanned, purged_pages;
	uint64_t numa[NR_NUMA_STAT_ITEMS]; /* in pages */
};
/* nid NUMA_NO_NODE: of all nodes. zone MAX_NR_ZONES: of all zones; of a single zone the
 * NUMA counters and stalls, which are a node's, stay 0. */
KMEM_API void buddy_stats(int nid, int zone, struct buddy_stats *stats);

/* The line of a zone in the kernel's /proc/buddyinfo, without its end; as snprintf(). */
KMEM_API int buddyinfo_format(int nid, int zone, char *buf, size_t size);
/* Calls fn for each counter of a node (NUMA_NO_NODE: of all) under the name that the
 * kernel's vmstat and numastat have for it; those they have not are named pcp_*, kswapd_*
 * and purged_pages. */
KMEM_API void buddy_vmstat(int nid,
			   void (*fn)(const char *name, uint64_t value, void *arg),
			   void *arg);

/* Walks every invariant; no other thread may be calling. 0, or -EFAULT with a text. */
KMEM_API int buddy_check(void);

#endif /* KMEM_PAGE_ALLOC_H */
