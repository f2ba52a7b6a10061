/* SPDX-License-Identifier: MIT */
/*
 * Large blocks: a mapping each, straight from the system.
 *
 *   | header page ...... | struct large | block, page aligned ........ |
 *   map = block - 4096                  usable, a multiple of 4096
 *
 * The system's overcommit policy counts them, so that an absurd size fails at once,
 * as with other mallocs. They grow and shrink by mremap(2), which moves page tables
 * instead of bytes.
 *
 * A freed block stays mapped for a while, within a bound of bytes and of age:
 * touching 16 MiB again costs microseconds, mapping and faulting them in anew
 * milliseconds. The smallest that fits is taken again, if a fifth of it at most
 * would be idle.
 *
 * With hardened=on a page that nobody may touch follows each block, and blocks are
 * resized by a copy.
 *
 * Locking: one lock over the kept blocks and the counters, a leaf; system calls on
 * blocks are made without it.
 */
#include "allocators/malloc/malloc_internal.h"
#include "allocators/os/os_mem.h"
#include "allocators/slab/slab_harden.h"

#include <errno.h>
#include <kmem/error.h>
#include <string.h>
#include <sys/mman.h>

/* The header says what the block is; both depend on its address, so that a copied
 * header is none. */
#define LIVE_MAGIC   ((uint64_t)0x6b6d656d6c697665)
#define CACHED_MAGIC ((uint64_t)0x6b6d656d66726565)

struct large {
	_Atomic uint64_t magic;
	size_t usable;
	char unused[48];
};
_Static_assert(sizeof(struct large) == 64, "a cache line before the block");

/* Enough for a program that works on a dozen buffers at once; a search of the table
 * is 16 comparisons. */
#define CACHE_SLOTS 16

struct cached {
	char *block;
	size_t usable;
	uint64_t freed_ms;
};

static struct kmem_spinlock lock;
static struct cached cache[CACHE_SLOTS]; /* oldest first; under lock, as all below */
static size_t nr_cached, cached_bytes;
static uint64_t nr_live, live_bytes, hits;

static struct large *header_of(const void *block)
{
	return (struct large *)((uintptr_t)block - sizeof(struct large));
}

static void set_magic(void *block, uint64_t magic)
{
	atomic_store_explicit(&header_of(block)->magic, magic ^ (uintptr_t)block,
			      memory_order_relaxed);
}

static bool has_magic(const void *block, uint64_t magic)
{
	return atomic_load_explicit(&header_of(block)->magic, memory_order_relaxed) ==
	       (magic ^ (uintptr_t)block);
}

/* The system call is little beside what else a large block costs. */
static bool is_live(const void *block, const char *call)
{
	if ((uintptr_t)block % PAGE_SIZE != 0 || (uintptr_t)block < 2 * PAGE_SIZE ||
	    !os_readable(&header_of(block)->magic))
		kmem_bug("%s of %p, which malloc did not return", call, block);
	else if (has_magic(block, CACHED_MAGIC))
		kmem_bug("%s of %p, which was freed already", call, block);
	else if (!has_magic(block, LIVE_MAGIC))
		kmem_bug("%s of %p, which malloc did not return", call, block);
	else
		return true;
	return false;
}

static size_t guard_bytes(void)
{
	return slab_hardened() ? PAGE_SIZE : 0;
}

static void unmap_block(char *block, size_t usable)
{
	os_unmap(block - PAGE_SIZE, PAGE_SIZE + usable + guard_bytes());
}

/* --- kept blocks; under lock --- */

static struct cached cache_remove(size_t index)
{
	struct cached entry = cache[index];

	nr_cached--;
	memmove(&cache[index], &cache[index + 1],
		(nr_cached - index) * sizeof(struct cached));
	cached_bytes -= entry.usable;
	return entry;
}

static char *cache_take(size_t bytes, size_t align)
{
	size_t best = CACHE_SLOTS;

	for (size_t i = 0; i < nr_cached; i++) {
		const struct cached *c = &cache[i];

		if (c->usable < bytes || c->usable - bytes > c->usable / 5 ||
		    (uintptr_t)c->block % align != 0)
			continue;
		if (best == CACHE_SLOTS || c->usable <= cache[best].usable)
			best = i;
	}
	if (best == CACHE_SLOTS)
		return NULL;
	hits++;
	return cache_remove(best).block;
}

/* Those that have to go, oldest first, move to out[]: to make room for one more block
 * (room_bytes 0: for none), and for their age. */
static size_t cache_evict(size_t room_bytes, uint64_t older_than_ms, struct cached *out)
{
	size_t n = 0;

	while (nr_cached > 0) {
		bool full = room_bytes != 0 &&
			    (nr_cached == CACHE_SLOTS ||
			     cached_bytes + room_bytes > malloc_config.large_cache_bytes);

		if (!full && cache[0].freed_ms > older_than_ms)
			break;
		out[n++] = cache_remove(0);
	}
	return n;
}

static void count_live(long blocks, size_t bytes)
{
	nr_live += (uint64_t)blocks;
	live_bytes += (uint64_t)blocks * bytes;
}

/* --- the calls --- */

static char *map_block(size_t bytes, size_t align)
{
	/* One alignment more, of which the header needs a page: see the picture. */
	size_t guard = guard_bytes(), total = bytes + align + guard, front, tail;
	char *map = os_map_counted(total);
	char *block;

	if (map == NULL)
		return NULL;
	block = (char *)KMEM_ALIGN_UP((uintptr_t)map + PAGE_SIZE, align);
	front = (size_t)(block - map) - PAGE_SIZE;
	tail = total - PAGE_SIZE - front - bytes - guard;
	if (front != 0)
		os_unmap(map, front);
	if (tail != 0)
		os_unmap(block + bytes + guard, tail);
	if (guard != 0)
		os_protect(block + bytes, guard, PROT_NONE);
	header_of(block)->usable = bytes;
	return block;
}

void *large_alloc(size_t size, size_t align, bool zero)
{
	size_t bytes = KMEM_ALIGN_UP(size, PAGE_SIZE);
	bool fresh;
	char *block;

	if (align < PAGE_SIZE)
		align = PAGE_SIZE;
	spin_lock(&lock);
	block = cache_take(bytes, align);
	spin_unlock(&lock);
	fresh = block == NULL;
	if (fresh)
		block = map_block(bytes, align);
	if (block == NULL)
		return NULL;
	set_magic(block, LIVE_MAGIC);
	spin_lock(&lock);
	count_live(1, header_of(block)->usable);
	spin_unlock(&lock);
	if (zero && !fresh)
		memset(block, 0, size);
	return block;
}

bool large_free(void *ptr)
{
	struct cached evicted[CACHE_SLOTS];
	uint64_t expected = LIVE_MAGIC ^ (uintptr_t)ptr;
	size_t usable, n = 0;
	bool keep;

	/* Of two racing frees the second finds the header changed. */
	if (!is_live(ptr, "free") ||
	    !atomic_compare_exchange_strong(&header_of(ptr)->magic, &expected,
					    CACHED_MAGIC ^ (uintptr_t)ptr))
		return false;
	usable = header_of(ptr)->usable;
	/* One block must not drive all others out. */
	keep = usable <= malloc_config.large_cache_bytes / 2;
	spin_lock(&lock);
	count_live(-1, usable);
	if (keep) {
		n = cache_evict(usable, 0, evicted);
		cache[nr_cached++] = (struct cached){ptr, usable, malloc_now_ms()};
		cached_bytes += usable;
	}
	spin_unlock(&lock);
	for (size_t i = 0; i < n; i++)
		unmap_block(evicted[i].block, evicted[i].usable);
	if (!keep)
		unmap_block(ptr, usable);
	return true;
}

size_t large_usable_size(const void *ptr)
{
	return is_live(ptr, "size") ? header_of(ptr)->usable : 0;
}

/* The guard would be left behind, or in the middle. */
static void *resize_by_copy(void *ptr, size_t usable, size_t bytes)
{
	void *block = large_alloc(bytes, 0, false);

	if (block == NULL)
		return bytes < usable ? ptr : NULL;
	memcpy(block, ptr, usable < bytes ? usable : bytes);
	large_free(ptr);
	return block;
}

void *large_resize(void *ptr, size_t size)
{
	size_t bytes = KMEM_ALIGN_UP(size, PAGE_SIZE);
	size_t usable = header_of(ptr)->usable;
	char *map, *block;

	/* See spans_grow.c: what grows once will again. Untouched, it costs address
	 * space. */
	if (bytes <= usable && usable - bytes <= usable / 8)
		return ptr;
	if (guard_bytes() != 0)
		return resize_by_copy(ptr, usable, bytes);
	if (bytes > usable && bytes < usable + usable / 8)
		bytes = KMEM_ALIGN_UP(usable + usable / 8, PAGE_SIZE);
	map = os_remap((char *)ptr - PAGE_SIZE, usable + PAGE_SIZE, bytes + PAGE_SIZE);
	if (map == NULL)
		return bytes < usable ? ptr : NULL;
	block = map + PAGE_SIZE;
	header_of(block)->usable = bytes;
	set_magic(block, LIVE_MAGIC);
	spin_lock(&lock);
	count_live(-1, usable);
	count_live(1, bytes);
	spin_unlock(&lock);
	return block;
}

size_t large_release(uint64_t max_age_ms)
{
	struct cached evicted[CACHE_SLOTS];
	uint64_t now = malloc_now_ms();
	size_t n, bytes = 0;

	spin_lock(&lock);
	n = cache_evict(0, max_age_ms <= now ? now - max_age_ms : 0, evicted);
	spin_unlock(&lock);
	for (size_t i = 0; i < n; i++) {
		unmap_block(evicted[i].block, evicted[i].usable);
		bytes += evicted[i].usable;
	}
	return bytes;
}

size_t large_cached_bytes(void)
{
	size_t bytes;

	spin_lock(&lock);
	bytes = cached_bytes;
	spin_unlock(&lock);
	return bytes;
}

void large_stats(struct kmem_malloc_stats *stats)
{
	spin_lock(&lock);
	stats->large_live += nr_live;
	stats->large_live_bytes += live_bytes;
	stats->large_cached += nr_cached;
	stats->large_cached_bytes += cached_bytes;
	stats->large_hits += hits;
	spin_unlock(&lock);
}

void large_fork_lock(void)
{
	spin_lock(&lock);
}

void large_fork_unlock(void)
{
	spin_unlock(&lock);
}
