/* SPDX-License-Identifier: MIT */
/*
 * The whole stack as malloc.
 *
 * THEORY
 *
 * Concepts. A block is one of three kinds, by its size:
 *
 *   up to 128 KiB     an object of a general cache     (slab/)
 *   up to 128 MiB     a span of pages that are kept    (spans.c; option span_max)
 *   above             a mapping of its own             (large.c)
 *
 * The first lie in the direct map, one range of private memory that is reserved at
 * the start, as large as the machine's memory, and used only as far as it is
 * touched; the second in a range of their own. So an address tells its kind: inside
 * the direct map the page's descriptor knows everything, outside both ranges it is a
 * mapping with a header. With span_max=0 blocks of pages (buddy/) serve up to 4 MiB.
 * What cannot be had, because a range is full, becomes a mapping too.
 *
 * Allocation. malloc_fast.h: pop from this CPU's array of the class. Everything
 * else comes here: start, other sizes, alignments, refills. When nothing is to be
 * had, all that is kept for later is given back and the search repeated once.
 * General caches are aligned to what powers of two divide their size, and so are blocks
 * of pages, so an aligned request is served by rounding its size up to a multiple.
 *
 * Free. Push onto this CPU's array, after a look at the page's descriptor. Misuse
 * is caught where the layer below catches it, see slab.c and page_alloc.c.
 *
 * Memory goes back to the system where it has not been used for some time
 * (trim.c), and by malloc_trim(3).
 *
 * Start-up. The first call starts everything, whoever makes it: the dynamic linker,
 * a library's constructor. Starting asks the system for nothing that would
 * allocate (no stdio, no hwloc: one node, placed by first touch). Should the C
 * library allocate in there all the same, the calling thread is served from a
 * small array (bootstrap.c); other threads wait. Nothing is torn down at exit.
 *
 * Fork. os/os_fork.c freezes the per-CPU arrays and takes every lock, in lock order:
 *   1. trim lock           (trim.c)
 *   2. slab_chain_mutex, buddy_drain_lock
 *   3. the arrays' freeze  (os/percpu.c)
 *   4. the lock of the large blocks (large.c), list_locks, zone locks
 *   5. the per-CPU area's lock
 *
 * Where this differs from others. From kernel kmalloc(): starts by itself, sets
 * errno, no gfp flags. From glibc: no arenas, no per-thread state, so threads come
 * and go for nothing, and a block freed by any thread serves the CPU that freed it.
 * A program that calls mlockall(MCL_CURRENT) makes the system touch the whole
 * direct map: such programs are given a bound by 'ulimit -v'.
 *
 * References: slab.c, page_alloc.c; the C standard, 7.22.3; POSIX posix_memalign();
 * malloc(3) of glibc 2.36 for what they leave open.
 */
#include "allocators/malloc/malloc_fast.h"
#include "allocators/malloc/spans_fast.h"

#include <errno.h>
#include <string.h>
#include <time.h>

uint64_t malloc_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* --- allocation --- */

/* caller: whom SLAB_STORE_USER remembers. */
static void *try_alloc(size_t size, size_t align, bool zero, const void *caller)
{
	size_t need = kmalloc_aligned_size(size, align);
	void *p;

	if (need > KMALLOC_MAX_CACHE_SIZE && need <= malloc_config.span_max_bytes) {
		if (align == 0 && !zero && (p = span_alloc_cached(size)) != NULL)
			return p;
		p = span_alloc(size, align, zero);
		return p != NULL ? p : large_alloc(size, align, zero);
	}
	if (need <= KMALLOC_MAX_SIZE) {
		p = kmalloc_slow(need, GFP_KERNEL | __GFP_NOWARN, NUMA_NO_NODE, caller);
		if (p != NULL) {
			if (zero)
				memset(p, 0, size);
			return p;
		}
		/* Smaller ones would soon meet the bound on the number of mappings. */
		if (need <= KMALLOC_MAX_CACHE_SIZE)
			return NULL;
	}
	return large_alloc(size, align, zero);
}

/* Nothing was to be had: true when something that was kept for later is free now. */
static KMEM_COLD bool release_kept(size_t need)
{
	size_t released = large_release(0);

	spans_drain(false, 0);
	released += spans_decay(0) + spans_make_unusable();
	if (need <= KMALLOC_MAX_SIZE)
		released += kmem_cache_reap();
	return released != 0;
}

KMEM_NOINLINE void *malloc_slow(size_t size, size_t align, bool zero)
{
	/* The program's, as long as malloc() and its kin end in a jump to here. */
	const void *caller = __builtin_return_address(0);
	int saved_errno = errno;
	enum malloc_start start;
	void *p;

	/* No object is larger (the difference of two pointers into it would overflow). */
	if (size > PTRDIFF_MAX || align > PTRDIFF_MAX) {
		errno = ENOMEM;
		return NULL;
	}
	start = malloc_start();
	if (KMEM_UNLIKELY(start != MALLOC_READY)) {
		p = start == MALLOC_STARTING ? bootstrap_alloc(size, align) : NULL;
		errno = p != NULL ? saved_errno : ENOMEM;
		return p;
	}
	p = try_alloc(size, align, zero, caller);
	if (KMEM_UNLIKELY(p == NULL) && release_kept(size > align ? size : align))
		p = try_alloc(size, align, zero, caller);
	trim_tick(false, caller);
	errno = p != NULL ? saved_errno : ENOMEM;
	return p;
}

size_t malloc_hit_max;

/* Everything that no array served at once; apart, so that hits save no register. */
KMEM_NOINLINE void *malloc_miss(size_t size)
{
	void *object = NULL;

	if (slab_hardened())
		object = slab_hardened_alloc(size);
	else if (size <= KMALLOC_SMALL_MAX && magazine_rseq_offset != 0)
		object = magazine_pop_exchanged(kmalloc_small_out(size));
	return KMEM_LIKELY(object != NULL) ? object : malloc_slow(size, 0, false);
}

/* A block came up that may have been freed twice. */
static KMEM_NOINLINE void *malloc_doubtful(size_t size, void *block, void *slot)
{
	block = span_accept(block, slot);
	return block != NULL ? block : malloc_slow(size, 0, false);
}

/* Where blocks are hardened, none of these classes has an array. */
KMEM_NOINLINE void *malloc_large(size_t size)
{
	void *object, *doubtful = NULL, **slot;

	if (KMEM_UNLIKELY(size > malloc_hit_max))
		return malloc_miss(size);
	if (size <= KMALLOC_MAX_CACHE_SIZE) {
		object = magazine_pop_hit(kmalloc_large_out(size));
	} else {
		object = span_alloc_hit(size, &doubtful, &slot);
		if (KMEM_UNLIKELY(doubtful != NULL))
			return malloc_doubtful(size, doubtful, slot);
	}
	return KMEM_LIKELY(object != NULL) ? object : malloc_miss(size);
}

void *kmem_malloc(size_t size)
{
	return malloc_fast(size);
}

void *kmem_calloc(size_t n, size_t size)
{
	size_t total;
	void *p;

	if (KMEM_UNLIKELY(__builtin_mul_overflow(n, size, &total))) {
		errno = ENOMEM;
		return NULL;
	}
	if (total > KMALLOC_SMALL_MAX)
		return malloc_slow(total, 0, true);
	p = malloc_fast(total);
	if (KMEM_LIKELY(p != NULL))
		memset(p, 0, total);
	return p;
}

void *kmem_memalign(size_t align, size_t size)
{
	if (KMEM_UNLIKELY((align & (align - 1)) != 0 || align == 0)) {
		errno = EINVAL;
		return NULL;
	}
	if (KMEM_LIKELY(size <= KMALLOC_SMALL_MAX && align <= KMALLOC_SMALL_MAX))
		return malloc_fast(kmalloc_aligned_size(size, align));
	return malloc_slow(size, align, false);
}

/* --- free --- */

KMEM_NOINLINE void free_slow(void *ptr)
{
	int saved_errno;

	if (slab_hardened() && slab_hardened_free(ptr))
		return;
	if (ptr == NULL)
		return;
	saved_errno = errno;
	if (virt_addr_valid(ptr))
		slab_free_slow(NULL, ptr, __builtin_return_address(0));
	else if (span_owns(ptr))
		span_free(ptr);
	else if (!bootstrap_owns(ptr))
		large_free(ptr);
	if (malloc_is_up())
		trim_tick(!span_owns(ptr), __builtin_return_address(0));
	errno = saved_errno;
}

KMEM_NOINLINE void free_outside(void *ptr)
{
	if (KMEM_LIKELY(span_owns(ptr)) && KMEM_LIKELY(span_free_hit(ptr)))
		return;
	free_slow(ptr);
}

void kmem_free(void *ptr)
{
	free_fast(ptr);
}

/* --- size --- */

size_t kmem_usable_size(const void *ptr)
{
	if (ptr == NULL)
		return 0;
	if (virt_addr_valid(ptr))
		return ksize(ptr);
	if (span_owns(ptr))
		return span_usable_size(ptr);
	if (bootstrap_owns(ptr))
		return bootstrap_usable_size(ptr);
	return large_usable_size(ptr);
}

/* A block keeps its place while at least half of it stays in use. */
static bool fits_in_place(size_t usable, size_t size)
{
	return size <= usable && (size > usable / 2 || usable <= KMALLOC_MIN_SIZE);
}

static bool is_mapping(const void *ptr)
{
	return !virt_addr_valid(ptr) && !span_owns(ptr) && !bootstrap_owns(ptr);
}

/* A block that has grown to this and finds no place with room will be moved again, and a
 * mapping moves without a copy. */
#define REALLOC_MAPPING_MIN ((size_t)4 << 20)

/* For a block that has to be moved because it grows; NULL: nothing particular. */
static void *alloc_growing(size_t usable, size_t size)
{
	void *p = NULL;

	if (size > KMALLOC_MAX_CACHE_SIZE && size <= malloc_config.span_max_bytes)
		p = span_alloc_growing(size);
	if (p == NULL && usable >= REALLOC_MAPPING_MIN && size <= PTRDIFF_MAX)
		p = large_alloc(size, 0, false);
	return p;
}

static void *move_block(void *ptr, size_t usable, size_t size)
{
	void *p = size > usable ? alloc_growing(usable, size) : NULL;

	if (p == NULL)
		p = malloc_fast(size);
	if (p == NULL)
		return size <= usable ? ptr : NULL; /* shrinking never fails */
	memcpy(p, ptr, usable < size ? usable : size);
	free_fast(ptr);
	return p;
}

static void *resize(void *ptr, size_t size)
{
	size_t usable;
	void *p;

	if (ptr == NULL)
		return malloc_fast(size);
	if (size == 0) {
		free_fast(ptr);
		return NULL;
	}
	usable = kmem_usable_size(ptr);
	if (KMEM_UNLIKELY(usable == 0)) {
		errno = ENOMEM; /* not ours, and reported */
		return NULL;
	}
	/* A span gives its tail back, down to what half of the largest cache serves. */
	if (span_owns(ptr)) {
		if (size > KMALLOC_MAX_CACHE_SIZE / 2 && size <= PTRDIFF_MAX &&
		    span_resize(ptr, size))
			return ptr;
	} else if (is_mapping(ptr)) {
		if (size > KMALLOC_MAX_SIZE && size <= PTRDIFF_MAX) {
			p = large_resize(ptr, size);
			if (p == NULL)
				errno = ENOMEM;
			return p;
		}
	} else if (fits_in_place(usable, size)) {
		return ptr;
	}
	return move_block(ptr, usable, size);
}

/* On the way calls may fail that others make good. */
void *kmem_realloc(void *ptr, size_t size)
{
	int saved_errno = errno;
	void *p = resize(ptr, size);

	if (p != NULL)
		errno = saved_errno;
	return p;
}
