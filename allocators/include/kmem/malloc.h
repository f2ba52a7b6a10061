/* SPDX-License-Identifier: MIT */
/*
 * The whole stack as malloc(3). Needs no set-up: the first call starts physical
 * memory (private backing), page allocator and slab allocator with the defaults.
 * A program that sets these up by itself does not use this header.
 *
 * Any thread may call at any time; a child of fork(2) may go on, also when the
 * parent has many threads. Not for signal handlers. Blocks are aligned to 16 bytes
 * at least. Failure is NULL with errno ENOMEM (or EINVAL where said); errno is left
 * alone by calls that succeed.
 */
#ifndef KMEM_MALLOC_H
#define KMEM_MALLOC_H

#include <kmem/compiler.h>
#include <kmem/options.h>
#include <kmem/page_alloc.h>
#include <kmem/slab.h>

struct malloc_config {
	/* Most that blocks up to 128 KiB can take together, in bytes, touched or not; 0:
	 * the machine's memory and swap, or half of a limit on address space. */
	uint64_t memory_bytes;
	uint64_t span_max_bytes;    /* largest block in a span; 0: page blocks to 4 MiB */
	uint64_t large_slots;	    /* blocks of a class that a CPU keeps; 0: none */
	uint64_t large_cache_bytes; /* freed blocks above 128 KiB that stay resident */
	uint64_t trim_ms;	    /* unused for so long, memory goes back; 0: never */
	bool background;	    /* a thread sees to it, while much is free */
};

extern KMEM_API const struct kmem_option kmem_malloc_options[];

struct kmem_malloc_config {
	struct malloc_config malloc;
	struct buddy_config buddy;
	struct slab_config slab;
};

/*
 * Starts with other settings than the defaults, before the first allocation. 0,
 * -EBUSY when physical memory is in use already, -EINVAL, -ENOMEM, with an error text.
 */
KMEM_API int kmem_malloc_init(const struct kmem_malloc_config *config);
/* Gives everything back but mappings that are still live; no other thread
 * may be calling. The next allocation starts anew. */
KMEM_API void kmem_malloc_exit(void);

/* A block of at least size bytes, also when that is 0. */
KMEM_API void *kmem_malloc(size_t size);
/* n * size bytes, all zero. */
KMEM_API void *kmem_calloc(size_t n, size_t size);
/* As kmem_malloc(size) for ptr NULL; size 0 frees and returns NULL, as glibc does.
 * When it fails the old block stays as it is. */
KMEM_API void *kmem_realloc(void *ptr, size_t size);
/* Aligned to align, a power of two of any size; otherwise NULL with errno EINVAL. */
KMEM_API void *kmem_memalign(size_t align, size_t size);
/* NULL is ignored. What is no block is reported by kmem_bug() and left alone. */
KMEM_API void kmem_free(void *ptr);
/* Bytes of the block that may be used; 0 for NULL. */
KMEM_API size_t kmem_usable_size(const void *ptr);
/* Gives unused memory back to the system now; returns how many bytes. */
KMEM_API size_t kmem_malloc_trim(void);

/* Walks every invariant; no other thread may be calling. 0, or -EFAULT with a text. */
KMEM_API int kmem_malloc_check(void);

struct kmem_malloc_stats {
	/* Spans and mappings together: */
	uint64_t large_live, large_live_bytes;
	uint64_t large_cached, large_cached_bytes; /* freed, may be resident */
	uint64_t large_hits;	       /* served from those, but for per-CPU arrays */
	uint64_t large_purged_bytes;   /* of spans, given back so far */
	uint64_t trims, trimmed_bytes; /* of pages and slabs */
	uint64_t background_starts;    /* of the thread that trims */
};
KMEM_API void kmem_malloc_stats(struct kmem_malloc_stats *stats);

#endif /* KMEM_MALLOC_H */
