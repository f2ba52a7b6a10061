/* SPDX-License-Identifier: MIT */
/*
 * The slab allocator, with the interface of Linux 2.6 <linux/slab.h>.
 * Needs buddy_init(). Any thread may call; nothing sleeps unless the gfp mask
 * has __GFP_WAIT.
 */
#ifndef KMEM_SLAB_H
#define KMEM_SLAB_H

#include <kmem/mm_types.h>
#include <kmem/options.h>

#define SLAB_HWCACHE_ALIGN 0x0001u /* objects start on cache lines */
#define SLAB_NO_REAP	   0x0002u /* never shrunk under pressure */
#define SLAB_CACHE_DMA	   0x0004u /* pages from ZONE_DMA */
#define SLAB_PANIC	   0x0008u /* abort when the cache cannot be created */
#define SLAB_POISON	   0x0010u /* fill free objects, verify on allocation */
#define SLAB_RED_ZONE	   0x0020u /* guard words around each object */
#define SLAB_STORE_USER	   0x0040u /* remember the last caller */

#define KMALLOC_MIN_SIZE ((size_t)32)
/* Every block is aligned to this at least. */
#define KMALLOC_MIN_ALIGN      ((size_t)16)
#define KMALLOC_MAX_CACHE_SIZE ((size_t)128 << 10)
/* Largest kmalloc(): above the caches the page allocator serves. */
#define KMALLOC_MAX_SIZE (PAGE_SIZE << (MAX_ORDER - 1))

/* Sizes of the general caches; kmalloc.c has them in full. */
enum slab_classes {
	SLAB_CLASSES_AUTO, /* FOUR under malloc, else POW2 */
	SLAB_CLASSES_POW2,
	SLAB_CLASSES_LINUX,
	SLAB_CLASSES_FOUR,
};

/* Where slabs have their descriptors: where it wastes less, on them, off them. */
enum slab_descriptors {
	SLAB_DESCRIPTORS_AUTO,
	SLAB_DESCRIPTORS_ON,
	SLAB_DESCRIPTORS_OFF,
};

/* Per-CPU caches of one magazine or two (os/magazine_fast.h). */
enum slab_magazines { SLAB_MAGAZINES_AUTO, SLAB_MAGAZINES_ONE, SLAB_MAGAZINES_TWO };

/* What lies between the magazines and the slabs; slab_depot.c has the theory. */
enum slab_depots {
	SLAB_DEPOT_OFF,
	SLAB_DEPOT_SHARED, /* one for each node */
	SLAB_DEPOT_PERCPU, /* one for each CPU */
};

/* Who holds as many objects as are seen to be needed: nobody, the depots, which else hold
 * eight batches, or the magazines too, where slab_config.limit is 0 and depots are CPUs'.
 */
enum slab_limits {
	SLAB_LIMITS_FIXED,
	SLAB_LIMITS_DEPOTS,
	SLAB_LIMITS_AUTO,
};

struct slab_config {
	int descriptors;	   /* enum slab_descriptors */
	int classes;		   /* enum slab_classes */
	bool percpu;		   /* per-CPU object caches */
	int magazines;		   /* enum slab_magazines */
	bool colour;		   /* cache colouring */
	uint64_t colour_off_bytes; /* step between colours; 0: the cache line */
	uint64_t limit;		   /* objects per CPU and cache; 0: by size, see limits */
	uint64_t batchcount; /* objects moved at a time; 0: half of limit, at most 128 */
	int depot;	     /* enum slab_depots */
	int limits;	     /* enum slab_limits */
	bool alien;	     /* objects of other nodes go home in batches */
	int debug; /* 0 off, 1 red zones, poison and last user on every cache; more: some
		    */
	bool hardened; /* every double and invalid free is caught at the call */
	bool shuffle;  /* objects of a new slab in random order */
};

extern KMEM_API const struct kmem_option slab_options[];

/* config NULL: the defaults. 0, or -EBUSY, -EINVAL, -ENOMEM with an error text. By one
 * thread, after buddy_init(). */
KMEM_API int kmem_cache_init(const struct slab_config *config);
/* Gives every page back, whatever is live. By one thread, before buddy_exit(). */
KMEM_API void kmem_cache_exit(void);

typedef void (*kmem_cache_ctor)(void *object);

/*
 * Makes a cache of objects of size bytes, 1 to KMALLOC_MAX_SIZE; may sleep. align
 * is a power of two, 0: the natural word. The constructor runs once for each
 * object when its slab is made, the destructor when the slab goes; an object
 * is to be freed in its constructed state. The name is copied and must be
 * unique. SLAB_POISON is ignored where there is a constructor. NULL with an
 * error text.
 */
KMEM_API struct kmem_cache *kmem_cache_create(const char *name, size_t size, size_t align,
					      unsigned int flags, kmem_cache_ctor ctor,
					      kmem_cache_ctor dtor);
/*
 * 0, or -EBUSY with a text that counts the live objects; the cache then stays
 * usable. No other thread may be using the cache. NULL is ignored. -EBUSY also from a
 * destructor of objects, and from what slabinfo() calls.
 */
KMEM_API int kmem_cache_destroy(struct kmem_cache *cache);
/*
 * One object, or NULL: no memory, or flags that make no sense here (then with an
 * error text). Of the calling CPU's node where there is memory.
 */
KMEM_API void *kmem_cache_alloc(struct kmem_cache *cache, gfp_t gfp);
/* Of node nid where there is memory, only there with __GFP_THISNODE. */
KMEM_API void *kmem_cache_alloc_node(struct kmem_cache *cache, gfp_t gfp, int nid);
/* A wrong pointer is reported through kmem_bug() and ignored; slab.c says when. */
KMEM_API void kmem_cache_free(struct kmem_cache *cache, void *object);
/* Fills objects[0..n); returns how many it got. */
KMEM_API size_t kmem_cache_alloc_bulk(struct kmem_cache *cache, gfp_t gfp, size_t n,
				      void **objects);
/* cache NULL: each object's own, as kfree() does (Linux 4.6). */
KMEM_API void kmem_cache_free_bulk(struct kmem_cache *cache, size_t n, void **objects);
/* Empties the arrays and gives empty slabs back to the page allocator; returns how
 * many. Others may go on using the cache. Costs microseconds for each CPU. */
KMEM_API size_t kmem_cache_shrink(struct kmem_cache *cache);
/* The same for every cache without SLAB_NO_REAP. */
KMEM_API size_t kmem_cache_reap(void);
/*
 * Gives back what CPUs keep of caches that they have not used since the last call, for
 * whoever has a timer; returns how many slabs went back to the page allocator. With
 * depot=percpu only. Costs microseconds for each CPU and cache that is idle.
 */
KMEM_API size_t kmem_cache_reap_idle(void);
/* Bytes of an object that the caller may use. */
KMEM_API size_t kmem_cache_size(const struct kmem_cache *cache);
KMEM_API const char *kmem_cache_name(const struct kmem_cache *cache);

/*
 * General caches: 32 B .. 128 KiB in powers of two (option `classes` has finer ones),
 * then pages to KMALLOC_MAX_SIZE. A block is aligned to the largest power of two that
 * divides its ksize(). Size 0 gets the smallest object. NULL: no
 * memory, too large or senseless flags (the latter with an error text).
 */
KMEM_API void *kmalloc(size_t size, gfp_t gfp);
KMEM_API void *kmalloc_node(size_t size, gfp_t gfp, int nid);
KMEM_API void *kzalloc(size_t size, gfp_t gfp);
/* The old block stays where it is when it is large enough, or when there is no
 * memory (NULL). object NULL: kmalloc(). size 0: kfree(), NULL. */
KMEM_API void *krealloc(void *object, size_t size, gfp_t gfp);
/* Bytes that the block really has; 0 for NULL, and after a report for what is no block.
 */
KMEM_API size_t ksize(const void *object);
/* Of an object of any cache too. NULL is ignored; a wrong pointer is reported
 * through kmem_bug() and ignored. */
KMEM_API void kfree(void *object);

struct slab_stats {
	uint64_t caches, slabs, slab_pages;
	uint64_t active_objects, total_objects;
	uint64_t percpu_objects; /* in magazines, depots and alien caches */
	uint64_t refills, flushes, grown, reaped;
	uint64_t stolen; /* pages of objects from another CPU's depot */
	uint64_t alien;	 /* objects sent to another node in batches */
};
KMEM_API void slab_stats(struct slab_stats *stats);

/* The kernel's /proc/slabinfo columns, with colours and slack added. active_objs are
 * those in callers' hands: objects on arrays are not counted (Linux counts them). */
struct kmem_cache_info {
	const char *name;
	uint64_t active_objs, num_objs;
	uint64_t objsize_bytes, objperslab, pagesperslab;
	uint64_t limit, batchcount; /* now, on the CPU that has the largest */
	uint64_t sharedfactor;	    /* batches that its depots may hold, together */
	uint64_t sharedavail;	    /* objects in depots */
	uint64_t active_slabs, num_slabs;
	uint64_t colours, colour_off_bytes,
		slack_bytes; /* slack: unused bytes of one slab */
	bool off_slab;	     /* descriptor outside the slab */
};
/*
 * Writes a line as /proc/slabinfo version 2.1 has it into buf; info NULL: the two head
 * lines. Linux counts objects on arrays as active, this does not. As snprintf().
 */
KMEM_API int slabinfo_format(const struct kmem_cache_info *info, char *buf, size_t size);
/* Calls fn for each cache, under the list lock; fn must not allocate from slabs. */
KMEM_API void slabinfo(void (*fn)(const struct kmem_cache_info *info, void *arg),
		       void *arg);

/* Walks every invariant of every cache; no other thread may be calling. 0, or -EFAULT
 * with a text. */
KMEM_API int slab_check(void);

#endif /* KMEM_SLAB_H */
