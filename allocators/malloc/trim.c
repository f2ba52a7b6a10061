/* SPDX-License-Identifier: MIT */
/*
 * When unused memory goes back to the system.
 *
 * Blocks above 128 KiB have a time each at which they were freed: spans_purge.c and
 * large.c give back those that nobody has taken again for malloc_config.trim_ms.
 *
 * For pages and slabs, time is cut into epochs of trim_ms. Of each, the highest number
 * of pages in use is noted; `touched` is the highest since the last trim, and so a
 * bound of what free memory is resident. When an epoch ends and its peak has stayed
 * well below `touched`, what lies between has not been needed for a whole epoch: free
 * blocks are given back. In the same way free objects inside of slabs are watched by
 * their lowest number. A program that allocates and frees the same again and again
 * therefore never pays for it, and one that has freed for good pays once. In an epoch
 * in which next to nothing was called, everything is given back, per-CPU arrays first.
 *
 * A program that grows cannot wait for the end of an epoch: when more pages are in use
 * than ever, the CPU that sees it empties its own magazines, whose objects may be what is
 * missing or all that keeps a slab from being free, and large blocks that have been free
 * for some time go back. One that uses again what it had pays nothing.
 *
 * Somebody has to look: the background thread (background.c), which is started when
 * much is free; without it, calls that take the slow path, which is once in some
 * dozens of calls.
 */
#include "allocators/buddy/buddy_internal.h"
#include "allocators/malloc/malloc_internal.h"
#include "allocators/slab/slab_internal.h"

/* 4 MiB: below that a process is hardly smaller and soon larger again. An eighth of
 * the peak above: bounds the share of memory that is touched anew. */
#define TRIM_MIN_PAGES	((unsigned long)1024)
#define TRIM_PEAK_SHARE 8
/* A process at rest: so few calls in a second that magazines did not serve, some dozens
 * of all calls each, and what is worth a system call then. */
#define REST_CALLS ((uint64_t)100)
#define REST_PAGES ((unsigned long)64)
/* 4 MiB: what a program has to free for somebody to look whether it rests. */
#define LOOK_PAGES ((unsigned long)1024)
/* A CPU empties its magazines when the program uses more than ever, and has either made
 * so many slow calls since the last time, of up to 128 objects each: fewer objects are
 * moved then than these calls have moved, as magazines that have grown are left out; or
 * grown by so much since it has emptied these, too. */
#define GROWTH_CALLS	 64u
#define GROWTH_MIN_PAGES ((unsigned long)128)
#define GROWTH_SHARE	 16
/* Large blocks that are that share of trim_ms old go back then. */
#define GROWTH_AGE_SHARE 5
/* Flushes of a thread, of up to 128 objects each, after which somebody looks at slabs. */
#define LOOK_FLUSHES 128

/* By CPU: its slow calls since then, and the pages in use from which on it does so again;
 * 0: it has not looked yet. */
static struct growth {
	_Atomic uint32_t calls;
	_Atomic unsigned long at;
} growth[OS_MAX_CPUS] KMEM_SPARSE;

static struct kmem_spinlock lock; /* held by the one that trims, over system calls */
static _Atomic unsigned long touched, epoch_peak;
static _Atomic uint64_t epoch_end_ms;
static _Atomic uint64_t trims, trimmed_pages;

/* Under lock. In slabs: free pages at the last look, and those known to be given back. */
static unsigned long slack_before, slack_trimmed;
static uint64_t calls_before;

static unsigned long used_pages(void)
{
	unsigned long used = 0;

	for_each_zone (zone)
		used += zone->end_pfn - zone->start_pfn - zone_free_pages_snapshot(zone);
	return used;
}

/* The same as the thread has found it lately: a snapshot reads a line for each CPU that
 * may have a credit of pages, so where there are many, it is not made each time. */
static unsigned long used_pages_lately(void)
{
	static _Thread_local unsigned int ticks;
	static _Thread_local unsigned long used;

	if (ticks++ % (1 + os_nr_cpus() / 8) == 0)
		used = used_pages();
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

static unsigned long slack_pages(void)
{
	return slab_idle_bytes() >> PAGE_SHIFT;
}

/* Under lock. */
static void new_epoch(unsigned long used, uint64_t now)
{
	atomic_store_explicit(&epoch_peak, used, memory_order_relaxed);
	atomic_store_explicit(&epoch_end_ms, now + malloc_config.trim_ms,
			      memory_order_relaxed);
}

/* Everything that is free in slabs and pages. Under lock. */
static unsigned long trim_all(void)
{
	unsigned long pages;

	kmem_cache_reap();
	pages = slab_discard_free() + buddy_trim();
	atomic_fetch_add_explicit(&trims, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&trimmed_pages, pages, memory_order_relaxed);
	atomic_store_explicit(&touched, used_pages(), memory_order_relaxed);
	slack_trimmed = slack_before = slack_pages();
	return pages;
}

/* Calls that magazines did not serve. */
static uint64_t calls_so_far(void)
{
	struct slab_stats stats;

	slab_stats(&stats);
	return stats.refills + stats.flushes;
}

/* Whether an epoch that is over leaves pages or slabs to be trimmed. Under lock. */
static bool worth_trimming(bool *at_rest)
{
	unsigned long peak = load(&epoch_peak), slack = slack_pages();
	unsigned long slack_low = slack < slack_before ? slack : slack_before;
	uint64_t calls = calls_so_far();
	unsigned long gain = 0, threshold;

	*at_rest = (calls - calls_before) * 1000 < REST_CALLS * malloc_config.trim_ms;
	calls_before = calls;
	slack_before = slack;
	/* What is used again is not there any more to be trimmed. */
	if (slack < slack_trimmed)
		slack_trimmed = slack;
	if (load(&touched) > peak)
		gain = load(&touched) - peak;
	if (slack_low > slack_trimmed)
		gain += slack_low - slack_trimmed;
	threshold = *at_rest ? REST_PAGES : trim_threshold(peak);
	return gain > threshold;
}

/* Under lock; at_rest as the last epoch was. True when pages or slabs were trimmed. */
static bool end_epoch(uint64_t now, bool *at_rest)
{
	bool trim = worth_trimming(at_rest);

	if (trim)
		trim_all();
	new_epoch(used_pages(), now);
	return trim;
}

/* Possibly time for it; once in an epoch. */
static KMEM_NOINLINE void look_myself(void)
{
	uint64_t now = malloc_now_ms();
	bool at_rest;

	if (now < atomic_load_explicit(&epoch_end_ms, memory_order_relaxed) ||
	    !spin_trylock(&lock))
		return;
	large_release(malloc_config.trim_ms);
	kmem_cache_reap_idle();
	spans_drain(true, now);
	spans_decay(malloc_config.trim_ms);
	end_epoch(now, &at_rest);
	spin_unlock(&lock);
}

bool trim_look(bool epoch_over)
{
	bool at_rest = false, trimmed = true;
	uint64_t now;

	spin_lock(&lock);
	now = malloc_now_ms();
	if (epoch_over) {
		/* As old as they have been idle. */
		spans_drain(true, now - malloc_config.trim_ms);
		kmem_cache_reap_idle();
		trimmed = end_epoch(now, &at_rest);
	}
	large_release(malloc_config.trim_ms);
	spans_decay(malloc_config.trim_ms);
	spin_unlock(&lock);
	return trimmed || !at_rest || spans_dirty_bytes() != 0 ||
	       large_cached_bytes() != 0;
}

/* Whether there may be something to give back. Free objects are not counted here: a
 * thread that has flushed its arrays often enough has freed many. */
static bool much_is_free(unsigned long used, bool small_free)
{
	static _Thread_local unsigned int flushes;

	if (load(&touched) - used + (spans_free_bytes() >> PAGE_SHIFT) >= LOOK_PAGES)
		return true;
	if (KMEM_LIKELY(!small_free || ++flushes < LOOK_FLUSHES))
		return false;
	flushes = 0;
	return true;
}

/* More is in use than ever since the last trim: what this CPU keeps in magazines is used
 * before memory that has not been touched. Returns the pages in use then. */
static KMEM_NOINLINE unsigned long program_grows(struct growth *g, unsigned long used)
{
	bool much = used >= load(&g->at);

	if (slab_drain_here(much) > 0)
		used = used_pages();
	if (malloc_config.trim_ms != 0)
		spans_decay(malloc_config.trim_ms / GROWTH_AGE_SHARE);
	atomic_store_explicit(&g->calls, 0, memory_order_relaxed);
	if (much) {
		unsigned long share = used / GROWTH_SHARE;

		atomic_store_explicit(
			&g->at,
			used + (share > GROWTH_MIN_PAGES ? share : GROWTH_MIN_PAGES),
			memory_order_relaxed);
	}
	return used;
}

void trim_tick(bool small_free, const void *caller)
{
	struct growth *g = &growth[os_cpu_id()];
	uint32_t calls = atomic_load_explicit(&g->calls, memory_order_relaxed);
	unsigned long used = used_pages_lately();

	atomic_store_explicit(&g->calls, calls + 1, memory_order_relaxed);
	if (KMEM_UNLIKELY(used > load(&touched)) &&
	    (calls >= GROWTH_CALLS || used >= load(&g->at)))
		used = program_grows(g, used);
	raise_to(&epoch_peak, used);
	raise_to(&touched, used);
	/* Nothing to be gained: not even a look at the clock. */
	if (KMEM_LIKELY(!much_is_free(used, small_free)) || malloc_config.trim_ms == 0)
		return;
	if (!background_start(caller))
		look_myself();
}

void trim_reset(void)
{
	spin_lock(&lock);
	atomic_store_explicit(&touched, 0, memory_order_relaxed);
	slack_before = slack_trimmed = 0;
	calls_before = 0;
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
	spans_drain(false, malloc_now_ms());
	bytes += spans_decay(0);
	bytes += trim_all() << PAGE_SHIFT;
	new_epoch(used_pages(), malloc_now_ms());
	spin_unlock(&lock);
	return bytes;
}

void trim_stats(struct kmem_malloc_stats *stats)
{
	stats->trims = atomic_load_explicit(&trims, memory_order_relaxed);
	stats->trimmed_bytes = atomic_load_explicit(&trimmed_pages, memory_order_relaxed)
			       << PAGE_SHIFT;
	stats->background_starts = background_starts();
}

void trim_lock(void)
{
	spin_lock(&lock);
}

void trim_unlock(void)
{
	spin_unlock(&lock);
}
