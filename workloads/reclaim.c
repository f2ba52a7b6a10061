/* SPDX-License-Identifier: MIT */
/*
 * reclaim: a page cache that is larger than memory.
 *
 * Each thread reads random pages of its part of a file of file_bytes: a page that is in
 * the cache is marked as used, one that is not is allocated and put there. Nobody
 * takes pages out but the page allocator: it finds its zones below the low watermark,
 * wakes kswapd, and in the end reclaims directly, through the shrinker that the cache
 * has registered. The shrinker goes round like the hand of a clock and takes pages
 * that have not been used since it came by last (second chance, an approximation of
 * LRU). hot_percent of the reads go to a tenth of the file.
 *
 * The file is read once from end to end before the clock starts, so that memory is full
 * by then. An allocator that is not of this library never asks for anything back; it
 * serves all of the file, and its figures are those without pressure. What an
 * allocation that fails brings is counted: the reader then takes a page out itself.
 *
 * One operation is one page read. Contents are not touched unless the touch rule says
 * so: a swap device is not modelled, a page's bytes are lost with it.
 */
#include <stdatomic.h>
#include <string.h>

#include <kmem/reclaim.h>

#include "workloads/harness/arena.h"
#include "workloads/harness/page_size.h"
#include "workloads/harness/reclaim_figures.h"
#include "workloads/harness/worker_fast.h"

#define READS_PER_QUANTUM 2048u
/* Random reads drawn beforehand and used in turn. Those that are not of the hot tenth
 * are shifted further after each turn: the same sequence again would find all its pages
 * in the cache. */
#define NR_DRAWN   (1u << 16)
#define COLD	   (1u << 31)
#define REFERENCED ((uintptr_t)1)

struct reclaim_params {
	uint64_t file_bytes;
	uint64_t hot_percent;
};

static const struct kmem_option reclaim_options[] = {
	{
		.name = "file_bytes",
		.type = KMEM_OPT_SIZE,
		.offset = offsetof(struct reclaim_params, file_bytes),
		.initial = "3G",
		.help = "size of the file, all threads together: more than the allocator's "
			"memory, or nothing is reclaimed",
		.min = 1 << 20,
		.max = (uint64_t)1 << 44,
	},
	{
		.name = "hot_percent",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct reclaim_params, hot_percent),
		.initial = "80",
		.help = "share of the reads that go to a tenth of the file",
		.max = 100,
	},
	KMEM_OPTION_END,
};

static const struct kmem_option_group reclaim_groups[] = {{reclaim_options, 0},
							  {NULL, 0}};

/* One thread's part of the file. slot: 0, or a page's address and REFERENCED. */
struct part {
	size_t bytes; /* of the arena that holds this */
	uint32_t n, drawn_at, shift;
	uint64_t hits, failures, reads;
	uint32_t *drawn;			      /* NR_DRAWN page numbers */
	_Atomic uint32_t hand KMEM_CACHELINE_ALIGNED; /* of the clock; any thread */
	_Atomic uint64_t live;
	_Atomic uintptr_t slot[]; /* n; any thread */
};

struct cache {
	struct shrinker shrinker;
	struct allocator *a;
	size_t page_bytes;
	unsigned int nr_parts;
	/* Of all passes; reads with those before the clock starts, as reclaim counts. */
	uint64_t hits, failures, reads;
	_Atomic uint64_t evicted;
	_Atomic(struct part *) part[]; /* of each thread */
};

static size_t cache_bytes(const struct workload_run *run)
{
	return sizeof(struct cache) + run->threads * sizeof(struct part *);
}

static uint64_t pages_per_thread(const struct workload_run *run)
{
	const struct reclaim_params *params = run->params;

	return params->file_bytes / run->threads / run->size_bytes;
}

/* --- the clock --- */

/* Takes up to nr pages that were not used since the hand passed last. */
static unsigned long evict(struct cache *cache, struct part *part, unsigned long nr)
{
	unsigned long freed = 0;

	/* Twice round: the first time it may find nothing but used ones. */
	for (uint64_t i = 0; i < 2 * (uint64_t)part->n && freed < nr; i++) {
		uint32_t at = atomic_fetch_add_explicit(&part->hand, 1,
							memory_order_relaxed) %
			      part->n;
		uintptr_t page = atomic_load_explicit(&part->slot[at],
						      memory_order_relaxed);

		if (page == 0)
			continue;
		if ((page & REFERENCED) != 0) {
			atomic_compare_exchange_strong(&part->slot[at], &page,
						       page & ~REFERENCED);
		} else if (atomic_compare_exchange_strong(&part->slot[at], &page, 0)) {
			cache->a->ops->free(cache->a, (void *)page, cache->page_bytes);
			freed++;
		}
	}
	atomic_fetch_sub_explicit(&part->live, freed, memory_order_relaxed);
	atomic_fetch_add_explicit(&cache->evicted, freed, memory_order_relaxed);
	return freed;
}

static unsigned long pages_of_block(const struct cache *cache)
{
	return cache->page_bytes / PAGE_SIZE;
}

static unsigned long cache_count(struct shrinker *s, int nid)
{
	struct cache *cache = s->arg;
	uint64_t live = 0;

	(void)nid;
	for (unsigned int i = 0; i < cache->nr_parts; i++) {
		struct part *part = atomic_load(&cache->part[i]);

		if (part != NULL)
			live += atomic_load_explicit(&part->live, memory_order_relaxed);
	}
	return (unsigned long)live * pages_of_block(cache);
}

static unsigned long cache_scan(struct shrinker *s, int nid, unsigned long nr, gfp_t gfp)
{
	struct cache *cache = s->arg;
	unsigned long each = nr / pages_of_block(cache) / cache->nr_parts + 1, freed = 0;

	(void)nid, (void)gfp;
	for (unsigned int i = 0; i < cache->nr_parts; i++) {
		struct part *part = atomic_load(&cache->part[i]);

		if (part != NULL)
			freed += evict(cache, part, each);
	}
	return freed * pages_of_block(cache);
}

/* --- the workload --- */

static int reclaim_validate(const struct workload_run *run)
{
	const struct reclaim_params *params = run->params;
	uint64_t n;
	int err = page_size_check(run);

	if (err != 0)
		return err;
	n = pages_per_thread(run);
	if (n < 16 || n >= COLD)
		return kmem_error(-EINVAL,
				  "workload 'reclaim' has %" PRIu64
				  " pages for each of %u threads in file_bytes=%" PRIu64
				  ": give 16 to 2^31 pages",
				  n, run->threads, params->file_bytes);
	return 0;
}

static uint64_t reclaim_footprint(const struct workload_run *run)
{
	const struct reclaim_params *params = run->params;

	return run->touch == TOUCH_NONE ? params->file_bytes / 64 : params->file_bytes;
}

static int reclaim_setup(struct workload_run *run)
{
	struct cache *cache = arena_alloc(cache_bytes(run));

	cache->a = run->allocator;
	cache->page_bytes = run->size_bytes;
	cache->nr_parts = run->threads;
	cache->shrinker =
		(struct shrinker){.count = cache_count, .scan = cache_scan, .arg = cache};
	run->shared = cache;
	/* Fails where the page allocator of this library is not the one under test. */
	(void)register_shrinker(&cache->shrinker);
	return 0;
}

static KMEM_ALWAYS_INLINE void *read_in(struct worker *w, struct probe *p,
					struct part *part)
{
	size_t size = w->run->size_bytes;
	uint64_t t0 = p != NULL ? probe_begin(p) : 0;
	void *page = w->alloc(w->a, size, 0, GFP_KERNEL, NUMA_NO_NODE);

	if (p != NULL)
		probe_end(p, PROBE_ALLOC, t0);
	if (KMEM_UNLIKELY(page == NULL)) {
		part->failures++;
		evict(w->run->shared, part, 1);
		return NULL;
	}
	return worker_allocated(w, page, size, 0);
}

static KMEM_ALWAYS_INLINE void read_page(struct worker *w, struct probe *p,
					 struct part *part, uint32_t at)
{
	uintptr_t page = atomic_load_explicit(&part->slot[at], memory_order_relaxed);
	void *fresh;

	if (page != 0) {
		part->hits++;
		if ((page & REFERENCED) == 0)
			atomic_compare_exchange_strong(&part->slot[at], &page,
						       page | REFERENCED);
		return;
	}
	fresh = read_in(w, p, part);
	if (fresh == NULL)
		return;
	/* Only this thread fills slots of its part. */
	atomic_store_explicit(&part->slot[at], (uintptr_t)fresh, memory_order_release);
	atomic_fetch_add_explicit(&part->live, 1, memory_order_relaxed);
}

static int reclaim_thread_setup(struct worker *w)
{
	const struct reclaim_params *params = w->run->params;
	struct cache *cache = w->run->shared;
	uint32_t n = (uint32_t)pages_per_thread(w->run);
	size_t slots = sizeof(struct part) + (size_t)n * sizeof(uintptr_t);
	size_t bytes = slots + NR_DRAWN * sizeof(uint32_t);
	struct part *part = arena_alloc(bytes);

	part->bytes = bytes;
	part->n = n;
	part->drawn = (uint32_t *)(void *)((char *)part + slots);
	for (uint32_t i = 0; i < NR_DRAWN; i++) {
		bool hot = rng_below(&w->rng, 100) < params->hot_percent;

		part->drawn[i] = hot ? (uint32_t)rng_below(&w->rng, n / 10)
				     : (uint32_t)rng_below(&w->rng, n) | COLD;
	}
	w->state = part;
	atomic_store(&cache->part[w->index], part);
	for (uint32_t i = 0; i < n; i++)
		read_page(w, NULL, part, i);
	part->reads = n;
	part->hits = part->failures = 0;
	return 0;
}

static KMEM_ALWAYS_INLINE void reclaim_step(struct worker *w, struct probe *p)
{
	struct part *part = w->state;
	uint32_t at = part->drawn_at;

	for (uint32_t i = 0; i < READS_PER_QUANTUM; i++) {
		uint32_t page = part->drawn[at++ % NR_DRAWN];

		if ((page & COLD) != 0) {
			page = (page & ~COLD) + part->shift;
			page = page < part->n ? page : page - part->n;
		}
		read_page(w, p, part, page);
	}
	/* By a step that shares no factor with most sizes. */
	if (at % NR_DRAWN == 0)
		part->shift = (part->shift + 7919) % part->n;
	part->drawn_at = at;
	part->reads += READS_PER_QUANTUM;
	w->ops += READS_PER_QUANTUM;
}
WORKLOAD_STEP(reclaim_step);

static void reclaim_thread_teardown(struct worker *w)
{
	struct cache *cache = w->run->shared;
	struct part *part = w->state;

	/* Pages may be taken out until the last is gone; the part stays for pass_end().
	 */
	for (uint32_t i = 0; i < part->n; i++) {
		uintptr_t page = atomic_exchange(&part->slot[i], 0) & ~REFERENCED;

		if (page != 0)
			w->free(w->a, (void *)page, cache->page_bytes);
	}
	atomic_store(&part->live, 0);
}

static void reclaim_pass_end(struct workload_run *run)
{
	struct cache *cache = run->shared;

	/* No shrinker runs once it is gone from the list. */
	unregister_shrinker(&cache->shrinker);
	for (unsigned int i = 0; i < cache->nr_parts; i++) {
		struct part *part = atomic_exchange(&cache->part[i], NULL);

		if (part == NULL)
			continue;
		cache->hits += part->hits;
		cache->failures += part->failures;
		cache->reads += part->reads;
		arena_free(part, part->bytes);
	}
	(void)register_shrinker(&cache->shrinker);
}

static void reclaim_report(struct workload_run *run, workload_report_fn fn, void *arg)
{
	struct cache *cache = run->shared;

	fn("pages_read", (double)cache->reads, arg);
	fn("cache_hits", (double)cache->hits, arg);
	fn("evicted_blocks", (double)atomic_load(&cache->evicted), arg);
	fn("failed_allocations", (double)cache->failures, arg);
	reclaim_report_figures(run->allocator, fn, arg);
}

static void reclaim_teardown(struct workload_run *run)
{
	struct cache *cache = run->shared;

	unregister_shrinker(&cache->shrinker);
	arena_free(cache, cache_bytes(run));
	run->shared = NULL;
}

static const struct workload_ops reclaim_workload = {
	.abi_version = WORKLOAD_OPS_VERSION,
	.name = "reclaim",
	.description =
		"reads random pages of a file larger than memory through a page cache, "
		"which only the allocator's reclaim makes smaller",
	.stresses =
		"watermarks, kswapd, direct reclaim and the latency of allocation under "
		"pressure",
	.not_for =
		"the quality of a replacement policy, or allocators that never ask for "
		"memory back",
	.source =
		"the reclaim loops of Linux 2.6 (mm/vmscan.c); clock after Corbato 1968",
	.op = "page read",
	.caps = CAP_PAGE | CAP_DISTINCT | CAP_REMOTE_FREE,
	.params = reclaim_groups,
	.params_size = sizeof(struct reclaim_params),
	.default_sizes = "4K",
	.size_min_bytes = PAGE_BLOCK_MIN_BYTES,
	.size_max_bytes = PAGE_BLOCK_MAX_BYTES,
	.default_threads = "2",
	.default_touch = TOUCH_NONE,
	.validate = reclaim_validate,
	.footprint = reclaim_footprint,
	.course = RECLAIM_COURSE,
	.course_read = reclaim_course_read,
	.setup = reclaim_setup,
	.thread_setup = reclaim_thread_setup,
	.step = reclaim_step_plain,
	.step_probed = reclaim_step_probed,
	.thread_teardown = reclaim_thread_teardown,
	.pass_end = reclaim_pass_end,
	.report = reclaim_report,
	.teardown = reclaim_teardown,
};
WORKLOAD_REGISTER(reclaim_workload);
