/* SPDX-License-Identifier: MIT */
/*
 * When unused memory goes back to the system.
 *
 * Time is cut into epochs of malloc_config.trim_ms. Of each, the highest number of
 * pages in use is noted; `touched` is the highest since the last trim, and so a
 * bound of what free memory is resident. When an epoch ends and its peak has
 * stayed well below `touched`, what lies between has not been needed for a whole
 * epoch: free blocks are given back. A program that allocates and frees the same
 * again and again therefore never pays for it, and one that has freed for good
 * pays once.
 *
 * Pages are looked at when a call takes the slow path, which is once in some dozens
 * of calls; there is no thread that would do it, so a process that calls neither
 * malloc() nor free() keeps what it has.
 */
#include "allocators/buddy/buddy_internal.h"
#include "allocators/malloc/malloc_internal.h"

/* 16 MiB: below that a process is hardly smaller and soon larger again. An eighth of
 * the peak above: bounds the share of memory that is touched anew. */
#define TRIM_MIN_PAGES	((unsigned long)4096)
#define TRIM_PEAK_SHARE 8

static struct kmem_spinlock lock; /* held by the one that trims, over system calls */
static _Atomic unsigned long touched, epoch_peak;
static _Atomic uint64_t epoch_end_ms;
static _Atomic uint64_t trims, trimmed_pages;

static unsigned long used_pages(void)
{
	unsigned long used = 0;

	for_each_zone (zone)
		used += zone->end_pfn - zone->start_pfn - zone_free_pages(zone);
	return used;
}

static unsigned long load(const _Atomic unsigned long *value)
{
	return atomic_load_explicit(value, memory_order_relaxed);
}

/* Two threads that do so at once may lose the smaller step: it is an estimate. */
static void raise_to(_Atomic unsigned long *value, unsigned long n)
{
	if (n > load(value))
		atomic_store_explicit(value, n, memory_order_relaxed);
}

static unsigned long trim_threshold(unsigned long peak)
{
	unsigned long share = peak / TRIM_PEAK_SHARE;

	return share > TRIM_MIN_PAGES ? share : TRIM_MIN_PAGES;
}

/* Under lock. */
static void new_epoch(unsigned long used, uint64_t now)
{
	atomic_store_explicit(&epoch_peak, used, memory_order_relaxed);
	atomic_store_explicit(&epoch_end_ms, now + malloc_config.trim_ms,
			      memory_order_relaxed);
}

/* Under lock. */
static unsigned long trim_pages(void)
{
	unsigned long pages = buddy_trim();

	atomic_fetch_add_explicit(&trims, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&trimmed_pages, pages, memory_order_relaxed);
	atomic_store_explicit(&touched, used_pages(), memory_order_relaxed);
	return pages;
}

/* Possibly time for it; once in an epoch. */
static KMEM_NOINLINE void end_epoch(void)
{
	uint64_t now = malloc_now_ms();
	unsigned long peak;

	if (now < atomic_load_explicit(&epoch_end_ms, memory_order_relaxed) ||
	    !spin_trylock(&lock))
		return;
	peak = load(&epoch_peak);
	large_release(malloc_config.trim_ms);
	kmem_cache_reap_idle();
	if (load(&touched) > peak + trim_threshold(peak))
		trim_pages();
	new_epoch(used_pages(), now);
	spin_unlock(&lock);
}

void trim_tick(void)
{
	unsigned long used = used_pages();

	raise_to(&epoch_peak, used);
	raise_to(&touched, used);
	/* Nothing to be gained: not even a look at the clock. */
	if (KMEM_LIKELY(load(&touched) - used < TRIM_MIN_PAGES) ||
	    malloc_config.trim_ms == 0)
		return;
	end_epoch();
}

void trim_reset(void)
{
	spin_lock(&lock);
	atomic_store_explicit(&touched, 0, memory_order_relaxed);
	new_epoch(0, malloc_now_ms());
	spin_unlock(&lock);
}

size_t kmem_malloc_trim(void)
{
	size_t bytes;

	if (!malloc_is_up())
		return 0;
	spin_lock(&lock);
	bytes = large_release(0);
	kmem_cache_reap();
	bytes += trim_pages() << PAGE_SHIFT;
	new_epoch(used_pages(), malloc_now_ms());
	spin_unlock(&lock);
	return bytes;
}

void trim_stats(struct kmem_malloc_stats *stats)
{
	stats->trims = atomic_load_explicit(&trims, memory_order_relaxed);
	stats->trimmed_bytes = atomic_load_explicit(&trimmed_pages, memory_order_relaxed)
			       << PAGE_SHIFT;
}

void trim_fork_lock(void)
{
	spin_lock(&lock);
}

void trim_fork_unlock(void)
{
	spin_unlock(&lock);
}
