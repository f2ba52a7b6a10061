/* SPDX-License-Identifier: MIT */
/*
 * How many objects are kept near the CPUs.
 *
 * The limit of an array follows the size of the objects, and is lower where there are so
 * many CPUs that full arrays would take up an ARRAYS_SHARE of the memory. What is beyond
 * it lies in depots. Option `limits`:
 *
 *   fixed    of a depot: DEPOT_BATCHES batches
 *   depots   one batch at first, more where misses show that it is too few
 *   auto     so the arrays too: few objects at first, more as slab_magazines.c says
 *
 * A depot that is empty again after it had to turn objects away has been too small, and
 * doubles: up to DEPOT_MAX_BYTES of objects, and as long as all the growth together stays
 * within a DEPOT_SHARE of the memory. What has lain in it through an epoch of DEPOT_EPOCH
 * moves without being needed is too much: half of that goes back to the slabs, and as
 * much of what it has grown; so does room beyond twice the most that has been there.
 * (Bonwick & Adams give back the minimum of the last 15 seconds; counting moves needs no
 * clock.) A depot that is drained is as small as a new one.
 */
#include "allocators/os/percpu_area.h"
#include "allocators/slab/slab_internal.h"
#include <kmem/error.h>
#include <errno.h>

/* Most objects of an array by default, and objects of about how many bytes: a program
 * that frees and allocates 1600 small blocks at a time takes a third of the time with
 * limit=2048 that it takes with 512 and the depot (one run on a busy machine). The price
 * is at most 128 KiB of free objects for each CPU and class in use. */
#define DEFAULT_LIMIT_MAX   2048u
#define DEFAULT_ARRAY_BYTES ((size_t)128 << 10)
/* Objects moved at a time: long enough to pay for the lock, short enough to stay
 * in the first-level cache. */
#define DEFAULT_BATCH_MAX 128u
/* 40 full arrays for each CPU, as many as there are sizes with classes=four, are at most
 * an eighth of the memory. */
#define ARRAYS_SHARE (8u * 40u)

/* Where arrays tune themselves, they begin with so many objects of so many bytes at most,
 * small ones with more of them: two magazines change places once for as many as there
 * are. */
#define FIRST_LIMIT	  128u
#define FIRST_BYTES	  ((size_t)128 << 10)
#define FIRST_LIMIT_SMALL 256u
#define FIRST_BYTES_SMALL ((size_t)16 << 10)
/* And end with these: batches of 20,000 objects of 64 bytes lie in an array. */
#define MAGAZINE_MAX_BYTES ((size_t)2 << 20)
#define MAGAZINE_MAX	   32768u

/* Fixed, as Linux's `shared`; and in bytes, so that CPUs do not sit on megabytes of large
 * objects each. At least one batch. What tunes itself begins with that: in `age`, whose
 * sizes drift, 8 batches to begin with are 2 % more memory and no faster. */
#define DEPOT_BATCHES 8u
#define DEPOT_BYTES   ((size_t)256 << 10)
/* Batches of 20,000 objects of 64 bytes stay within it. */
#define DEPOT_MAX_BYTES ((size_t)2 << 20)
#define DEPOT_SHARE	32
/* Long enough for a batch of DEPOT_MAX_BYTES to come and go, or it would look idle. */
#define DEPOT_EPOCH 1024

/* --- sizes of the arrays --- */

/* The number of Linux 2.6.28 (enable_cpucache) where that is larger: few for large
 * objects, so that an array holds a few hundred KiB at most. */
uint32_t slab_default_limit(size_t size)
{
	size_t share = ((size_t)kmem_nr_frames << PAGE_SHIFT) / os_nr_cpus() /
		       ARRAYS_SHARE;
	size_t limit = (share < DEFAULT_ARRAY_BYTES ? share : DEFAULT_ARRAY_BYTES) / size;
	size_t linux_limit = 120;

	if (size > 128 * 1024)
		linux_limit = 1;
	else if (size > PAGE_SIZE)
		linux_limit = 8;
	else if (size > 1024)
		linux_limit = 24;
	else if (size > 256)
		linux_limit = 54;
	if (limit < linux_limit)
		limit = linux_limit;
	return limit < DEFAULT_LIMIT_MAX ? (uint32_t)limit : DEFAULT_LIMIT_MAX;
}

static size_t lower(size_t a, size_t b)
{
	return a < b ? a : b;
}

uint32_t slab_first_limit(size_t size, uint32_t fixed)
{
	size_t limit = lower(FIRST_BYTES / size, FIRST_LIMIT);
	size_t small = lower(FIRST_BYTES_SMALL / size, FIRST_LIMIT_SMALL);
	size_t least = size > 8 * PAGE_SIZE ? 2 : 4;

	if (limit < small)
		limit = small;
	if (limit < least)
		limit = least;
	return (uint32_t)lower(limit, fixed);
}

static void choose_limits(struct kmem_cache *cache)
{
	uint64_t batch = slab_config.batchcount;

	cache->limit = (uint32_t)slab_config.limit;
	if (cache->limit == 0)
		cache->limit = slab_default_limit(cache->object_size);
	cache->limit_max = cache->limit;
	if (slab_config.limit == 0 && slab_config.limits == SLAB_LIMITS_AUTO &&
	    slab_config.depot == SLAB_DEPOT_PERCPU) {
		cache->limit = slab_first_limit(cache->object_size, cache->limit);
		cache->limit_max = (uint32_t)lower(MAGAZINE_MAX_BYTES / cache->stride,
						   MAGAZINE_MAX);
		if (cache->limit < batch)
			cache->limit = (uint32_t)batch;
	}
	cache->batch_max = (uint32_t)batch;
	if (batch == 0) {
		batch = (cache->limit + 1) / 2;
		if (batch > DEFAULT_BATCH_MAX)
			batch = DEFAULT_BATCH_MAX;
		cache->batch_max = DEFAULT_BATCH_MAX;
	}
	if (batch > cache->limit)
		batch = cache->limit;
	cache->batchcount = batch < SLAB_BATCH_MAX ? (uint32_t)batch : SLAB_BATCH_MAX;
}

/* --- depots --- */

/*
 * The depots of caches lie side by side: a CPU that uses ten of them in a short program
 * would touch ten pages, and look at as many of another CPU's. A word has where the next
 * one is to be, and in its low bits how many more there is room for.
 */
#define DEPOTS_TOGETHER 32u
_Static_assert(DEPOTS_TOGETHER < KMEM_CACHELINE, "the count has the low bits of a line");
static _Atomic uintptr_t depot_room;

static char *depots_alloc(void)
{
	const size_t size = sizeof(struct slab_depot), all = DEPOTS_TOGETHER * size;
	uintptr_t room = atomic_load_explicit(&depot_room, memory_order_relaxed);

	for (;;) {
		size_t left = room % KMEM_CACHELINE;
		char *fresh = NULL, *next = (char *)(room - left);

		if (left == 0) {
			next = fresh = percpu_area_alloc(all, all);
			if (!fresh)
				return NULL;
			left = DEPOTS_TOGETHER;
		}
		if (atomic_compare_exchange_strong(
			    &depot_room, &room,
			    left > 1 ? (uintptr_t)next + size + left - 1 : 0))
			return next;
		percpu_area_free(fresh, all);
	}
}

static int depots_init(struct kmem_cache *cache)
{
	bool grows = slab_config.limits != SLAB_LIMITS_FIXED;
	uint32_t limit = (grows ? 1 : DEPOT_BATCHES) * cache->batchcount;
	size_t bytes_limit = DEPOT_BYTES / cache->stride;

	if (slab_config.depot == SLAB_DEPOT_OFF)
		return 0;
	if (limit > bytes_limit)
		limit = bytes_limit > cache->batchcount ? (uint32_t)bytes_limit
							: cache->batchcount;
	if (slab_config.depot == SLAB_DEPOT_PERCPU) {
		cache->depots = depots_alloc();
		if (!cache->depots)
			return -ENOMEM;
	}
	cache->depot_limit = limit;
	if (grows && DEPOT_MAX_BYTES / cache->stride > limit)
		cache->depot_max = (uint32_t)(DEPOT_MAX_BYTES / cache->stride);
	return 0;
}

/* Bytes of objects by which arrays and depots have grown, all together. */
static _Atomic uint64_t grown_bytes;

bool slab_take_budget(uint64_t bytes)
{
	uint64_t max = ((uint64_t)kmem_nr_frames << PAGE_SHIFT) / DEPOT_SHARE;
	uint64_t before = atomic_fetch_add_explicit(&grown_bytes, bytes,
						    memory_order_relaxed);

	if (before + bytes <= max)
		return true;
	atomic_fetch_sub_explicit(&grown_bytes, bytes, memory_order_relaxed);
	return false;
}

void slab_give_budget(uint64_t bytes)
{
	atomic_fetch_sub_explicit(&grown_bytes, bytes, memory_order_relaxed);
}

void slab_depot_shrink(struct kmem_cache *cache, struct slab_depot *d, uint32_t n)
{
	if (n > d->grown)
		n = d->grown;
	d->grown -= n;
	slab_give_budget((uint64_t)n * cache->stride);
}

void slab_depot_grow(struct kmem_cache *cache, struct slab_depot *d)
{
	uint32_t limit = slab_depot_limit(cache, d), more = limit;

	if (d->spilled == 0 || limit >= cache->depot_max)
		return;
	if (more > cache->depot_max - limit)
		more = cache->depot_max - limit;
	if (slab_take_budget((uint64_t)more * cache->stride))
		d->grown += more;
	d->spilled = 0;
}

uint32_t slab_depot_end_epoch(struct kmem_cache *cache, struct slab_depot *d)
{
	uint32_t surplus = d->low / 2, limit = slab_depot_limit(cache, d);

	if (cache->depot_max == 0 || ++d->moves < DEPOT_EPOCH)
		return 0;
	d->moves = 0;
	if (limit / 2 > d->high)
		slab_depot_shrink(cache, d, limit / 2 - d->high);
	d->high = atomic_load_explicit(&d->avail, memory_order_relaxed);
	d->low = d->high;
	if (surplus < cache->batchcount)
		return 0;
	return surplus;
}

/* --- life --- */

/* By default only where a magazine full of objects, of which any may be next, stays in
 * the first-level cache. */
#define TWO_MAGAZINES_MAX 64u

/* A few objects are not worth an exchange now and one more soon. 0: one magazine. */
static uint32_t exchange_least(const struct kmem_cache *cache)
{
	if (slab_config.magazines == SLAB_MAGAZINES_ONE ||
	    (slab_config.magazines == SLAB_MAGAZINES_AUTO &&
	     cache->object_size > TWO_MAGAZINES_MAX))
		return 0;
	return cache->batchcount / 4 + 1;
}

int slab_percpu_init(struct kmem_cache *cache)
{
	uint32_t limit;
	int err;

	choose_limits(cache);
	limit = cache->limit;
	err = magazine_create(&cache->mag, limit, exchange_least(cache));
	if (err == 0 && cache->limit_max > limit)
		err = magazine_let_grow(&cache->mag, cache->limit_max);
	if (err == 0 && depots_init(cache) == 0 && slab_alien_init(cache) == 0)
		return 0;
	slab_percpu_destroy(cache);
	cache->batchcount = 1;
	if (err == -ENOSPC) /* more caches than numbers: this one does without */
		return 0;
	return kmem_error(
		-ENOMEM,
		"cache '%s': no memory for magazines of '%u' objects, lower limit",
		cache->name, limit);
}

void slab_percpu_destroy(struct kmem_cache *cache)
{
	slab_alien_destroy(cache);
	for (unsigned int i = 0; i < slab_nr_depots(cache); i++) {
		struct slab_depot *d = slab_depot_number(cache, i);

		if (d->grown > 0)
			slab_depot_shrink(cache, d, d->grown);
		if (slab_magazine_limit(cache, d) > cache->limit)
			slab_magazine_forget(cache, d);
	}
	if (cache->depots)
		percpu_area_free(cache->depots, sizeof(struct slab_depot));
	cache->depots = NULL;
	cache->depot_limit = 0;
	magazine_destroy(&cache->mag);
	cache->limit = 0;
}
