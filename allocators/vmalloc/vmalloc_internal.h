/* SPDX-License-Identifier: MIT */
/*
 * Structures shared by the files of the vmalloc layer; see the theory comment
 * of vmalloc.c.
 */
#ifndef KMEM_VMALLOC_INTERNAL_H
#define KMEM_VMALLOC_INTERNAL_H

#include "allocators/os/percpu_fast.h"
#include "allocators/os/spinlock.h"
#include "allocators/vmalloc/vm_range.h"
#include <kmem/vmalloc.h>

/*
 * Areas of up to this many pages are kept per CPU. 64 pages (256 KiB) are the
 * documents' "small" areas: module sections, file tables, buffers. A larger one
 * costs microseconds to fill, beside which the pool's lock does not count.
 */
#define VMAP_PERCPU_PAGES_MAX 64u

enum vmap_state {
	VMAP_LIVE,   /* the caller's */
	VMAP_CACHED, /* freed, still mapped: on a per-CPU stack or in the pool */
	VMAP_GOING,  /* being unmapped by one thread, which owns it */
};

/* Where an area's pages may come from; part of the key for reuse. */
enum vmap_kind { VMAP_KIND_HIGHMEM, VMAP_KIND_NORMAL, VMAP_KIND_DMA };

/*
 * One area. Everything but `state` and the links is written before the area is
 * published in the table, and not changed while it is there. The first cache
 * line is all that the hit paths read.
 */
struct vmap_area {
	struct vm_struct vm; /* first: find_vm_area() returns it */
	_Atomic uint32_t state;
	uint32_t nr_maps; /* mappings made: runs of neighbouring frames */
	const struct percpu_stacks *percpu; /* vfree() puts it there; NULL: in the pool */
	uint64_t key; /* equal keys are interchangeable; vmap_key() */

	/* In the pool, under its lock; on a private chain, by its owner. */
	struct vmap_area *older, *newer; /* in order of vfree() */
	struct vmap_area *bucket_next;	 /* same hash of the key, newest first */
	struct vmap_area **bucket_link;	 /* the pointer that points here */

	bool is_page_array; /* VM_VPAGES of another area, which frees it */
};
_Static_assert(offsetof(struct vmap_area, key) + sizeof(uint64_t) <= KMEM_CACHELINE,
	       "the hit paths read one line");

#define VMAP_POOL_BUCKETS 256u

/* Freed areas that no per-CPU stack has room for. The lock is a leaf. */
struct vmap_pool {
	struct kmem_spinlock lock;
	struct vmap_area *oldest, *newest;
	uint64_t pages, areas;
	uint64_t node_pages[MAX_NUMNODES];
	uint64_t limit_pages; /* constant; 0: eager, nothing stays here */
	struct vmap_area *bucket[VMAP_POOL_BUCKETS];
};

struct vmap_layer {
	/* --- properties: constant between vmalloc_init() and vmalloc_exit() --- */
	char *base;		 /* VMALLOC_START */
	size_t range_bytes;	 /* 0: the layer is down */
	size_t percpu_bytes_max; /* areas up to here have per-CPU stacks; 0: none */
	unsigned int percpu_pages_max;
	unsigned int nr_nodes;
	_Atomic(struct vmap_area *) *table; /* by page of the range: the area there */
	struct percpu_stacks *percpu; /* [node][pages], VMAP_PERCPU_PAGES_MAX + 1 a row */
	struct kmem_cache *area_cache;
	int fd;		   /* of the memory file */
	bool exiting;	   /* in vmalloc_exit(): what cannot be unmapped is dropped */
	uint64_t maps_max; /* mappings that the layer allows itself */
	struct vmalloc_config config;
	void *node_memory;
	size_t table_bytes, node_bytes, percpu_bytes;

	/* --- ranges: under lock, a leaf --- */
	struct kmem_spinlock lock;
	struct vm_ranges ranges;
	uint64_t areas, area_pages; /* live and cached, without guards */

	/* --- counters --- */
	_Atomic uint64_t maps; /* mappings in being, counted high: neighbours may merge */
	/* Areas in use as page arrays of other areas. */
	_Atomic uint64_t array_areas, array_pages;
	/* Threads that hold cached areas which they took out to unmap them; raised before
	 * the areas leave the cache, so that nobody finds them nowhere. */
	_Atomic uint32_t releasing;
	_Atomic uint64_t releases; /* chains of areas given back so far */
	_Atomic uint64_t map_calls, unmap_calls, purges;

	struct vmap_pool pool;
};
extern struct vmap_layer vmap_layer;

/* --- hit paths --- */

static KMEM_ALWAYS_INLINE const struct percpu_stacks *vmap_percpu(unsigned int nid,
								  unsigned int nr_pages)
{
	return &vmap_layer.percpu[nid * (VMAP_PERCPU_PAGES_MAX + 1) + nr_pages];
}

/* The area that covers a page of the range, or NULL; addr lies anywhere. */
static KMEM_ALWAYS_INLINE struct vmap_area *vmap_lookup(const void *addr)
{
	size_t offset = (size_t)((uintptr_t)addr - (uintptr_t)vmap_layer.base);

	if (KMEM_UNLIKELY(offset >= vmap_layer.range_bytes))
		return NULL;
	return atomic_load_explicit(&vmap_layer.table[offset >> PAGE_SHIFT],
				    memory_order_acquire);
}

static inline uint32_t vmap_page_index(const void *addr)
{
	return (uint32_t)((size_t)((const char *)addr - vmap_layer.base) >> PAGE_SHIFT);
}

/* --- vmap_alloc.c: making and unmaking areas --- */

struct vmap_request {
	const char *caller; /* the public function, for texts */
	size_t size_bytes;
	uint32_t nr_pages;
	uint32_t align_pages;
	gfp_t gfp;
	int nid; /* NUMA_NO_NODE: no preference */
};

uint64_t vmap_key(const struct vmap_request *req, unsigned int nid);

/* A fresh area with pages of its own, mapped; NULL with an error text, nothing taken. */
struct vmap_area *vmap_area_create(const struct vmap_request *req);
/* The same around the caller's pages. */
struct vmap_area *vmap_area_wrap(struct page **pages, unsigned int count,
				 unsigned int flags);

/* Checks the request, tries what is cached, then a fresh area. The way of every miss. */
void *vmap_alloc_slow(const char *caller, size_t size, size_t align, gfp_t gfp, int nid);

/*
 * Unmaps the areas of a chain (linked by `newer`, VMAP_GOING, owned by the
 * caller), neighbours by one call, and frees everything they hold. Areas that
 * the system refuses to unmap go to the pool, to be tried again. Returns how many pages
 * have gone back to the page allocator.
 */
uint64_t vmap_release_chain(struct vmap_area *chain);

/* --- vmap_map.c: page tables --- */

/* Sorts by frame number, so that neighbouring frames are mapped by one call. */
void vmap_sort_pages(struct page **pages, uint32_t nr);
/* Maps the area's pages; 0 or -ENOMEM with an error text and nothing mapped. */
int vmap_map_pages(struct vmap_area *area);
/* Makes [addr, addr + size) inaccessible and drops its mappings. 0 or -errno. */
int vmap_unmap_range(char *addr, size_t size);
/* Reads vm.max_map_count and sets aside what the rest of the process may need. */
uint64_t vmap_maps_allowed(void);

/* --- vmap_lazy.c: freed areas --- */

int vmap_lazy_init(void);
void vmap_lazy_exit(void);
struct vmap_area *vmap_pool_take(uint64_t key);
/* Takes over a VMAP_CACHED area; may purge. */
void vmap_pool_put(struct vmap_area *area);
/* The same for an area that could not be unmapped: never purges. */
void vmap_pool_put_back(struct vmap_area *area);
/* Every cached area, as a chain of VMAP_GOING ones. quiescent: nobody else is calling. */
struct vmap_area *vmap_take_all_cached(bool quiescent);
/* A node's cached areas of nr_pages together, or a little more, as far as there are so
 * many: a chain of VMAP_GOING ones. */
struct vmap_area *vmap_take_cached(unsigned int nid, uint64_t nr_pages);
/* Pages of a node's cached areas. */
uint64_t vmap_lazy_pages(unsigned int nid);
/* Unmaps everything cached; true when there was something. */
bool vmap_purge_all(bool quiescent);
/*
 * For a request that failed: purges, and with may_wait lets purges of other threads end.
 * releases_seen: vmap_layer.releases before the request was tried. True when trying again
 * may help, which it also does when somebody has given areas back in the meantime.
 */
bool vmap_make_room(bool may_wait, uint64_t releases_seen);
uint64_t vmap_lazy_count(uint64_t *pages);

/* --- vmap_shrink.c: under memory pressure --- */
void vmap_shrink_init(void);
void vmap_shrink_exit(void);
/* Keeps the shrinker from taking areas; waits for one that does. */
void vmap_shrink_stop(void);
void vmap_shrink_go_on(void);
/* Nobody who shrinks is in the child. */
void vmap_shrink_fork_child(void);

/* --- vmalloc_fork.c --- */
void vmap_fork_init(void);
void vmap_fork_exit(void);

/* --- vmalloc_check.c --- */

/* Calls fn for each area in address order until it returns non-zero; quiescent only. */
int vmap_each_area(int (*fn)(struct vmap_area *area, void *arg), void *arg);

#endif /* KMEM_VMALLOC_INTERNAL_H */
