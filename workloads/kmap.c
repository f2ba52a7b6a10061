/* SPDX-License-Identifier: MIT */
/*
 * kmap: map a page of high memory, use it, unmap it, over and over.
 *
 * A HIGHMEM page has no address of its own. `way` says how it gets one: by kmap(), by
 * kmap_atomic(), or by vmap() of the one page; or not at all, with way=direct, where the
 * pages come from the direct map and mapping them is page_address(): what is left is the
 * workload itself, and the scale for the others.
 *
 * Each thread has its own pages, `pages` of all threads together, and goes round them in
 * a random order. reuse_percent of its operations, drawn beforehand, take the page that
 * it has used last once more: kmap and kmap_atomic still show that one. With more pages
 * than kmap has slots (pkmap_slots of vmalloc) all others have to be mapped anew.
 *
 * An operation is map, touch and unmap. "alloc" in its latencies is the map, "free" the
 * unmap. Each page holds its number, which is verified behind the new address where
 * contents are checked. Only `vmalloc` has pages of HIGHMEM.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <kmem/error.h>
#include <kmem/highmem.h>
#include <kmem/page_alloc.h>
#include <kmem/vmalloc.h>

#include "workloads/harness/arena.h"
#include "workloads/harness/worker_fast.h"

/* At 20 ns where the page is still shown, to some 10 us. */
#define OPERATIONS_PER_QUANTUM 128u
/* Decisions of a thread, read in a circle. A prime: no page has always the same ones. */
#define KMAP_DECISIONS 8191u
/* Words of a page that touching does not write: it writes bytes at the ends. */
#define MARK_WORD 8u

enum kmap_way { WAY_DIRECT, WAY_KMAP, WAY_ATOMIC, WAY_VMAP };

static const char *const ways[] = {"direct", "kmap", "atomic", "vmap", NULL};

struct kmap_params {
	int way;
	uint64_t pages;
	uint64_t reuse_percent;
};

static const struct kmem_option kmap_workload_options[] = {
	{
		.name = "way",
		.type = KMEM_OPT_ENUM,
		.offset = offsetof(struct kmap_params, way),
		.initial = "kmap",
		.help = "how a page gets its address; direct: it has one, for it is no "
			"HIGHMEM page; kmap, atomic: kmap_atomic(), vmap: HIGHMEM pages",
		.choices = ways,
	},
	{
		.name = "pages",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct kmap_params, pages),
		.initial = "4096",
		.help = "pages, all threads together; 4096 are four times kmap's window",
		.min = 1,
		.max = 1u << 24,
	},
	{
		.name = "reuse_percent",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct kmap_params, reuse_percent),
		.initial = "50",
		.help = "share of the operations that take the last page again",
		.max = 100,
	},
	KMEM_OPTION_END,
};

static const struct kmem_option_group kmap_groups[] = {{kmap_workload_options, 0},
						       {NULL, 0}};

/* Of one thread. To the worker it is the allocator, which `base` is for. */
struct kmap_state {
	struct allocator base;	  /* ops: the ones below */
	struct allocator_ops ops; /* the real allocator's, which knows no windows */
	struct worker saved;	  /* hooks as they were */
	size_t bytes;		  /* of the arena that holds this */
	uint32_t n, at;		  /* pages; the current one */
	uint32_t decision;	  /* next of advance[] */
	bool check, full;
	uint8_t advance[KMAP_DECISIONS]; /* 1: the next page, 0: the last one again */
	struct page *page[];
};

struct kmap_figures {
	struct kmap_stats before;
	_Atomic uint64_t ops; /* of all passes, by workers as they end */
};

/* --- the ways --- */

/* The page after the last one, or that one again. */
static KMEM_ALWAYS_INLINE struct page *next_page(struct kmap_state *s)
{
	s->at += s->advance[s->decision];
	if (s->at == s->n)
		s->at = 0;
	if (++s->decision == KMAP_DECISIONS)
		s->decision = 0;
	return s->page[s->at];
}

static void write_mark(const struct page *page, void *addr)
{
	uint64_t mark = page_to_pfn(page);

	memcpy((char *)addr + MARK_WORD * sizeof(mark), &mark, sizeof(mark));
}

static KMEM_COLD void verify(const struct page *page, const void *addr)
{
	uint64_t mark;

	if (addr == NULL)
		return;
	memcpy(&mark, (const char *)addr + MARK_WORD * sizeof(mark), sizeof(mark));
	if (mark != page_to_pfn(page))
		worker_fail(
			NULL,
			"workload 'kmap': pfn %lu was mapped at %p, where the bytes of "
			"pfn %" PRIu64 " are",
			page_to_pfn(page), addr, mark);
}

/* What touched all of the page took its mark. */
static KMEM_COLD void leave(const struct kmap_state *s, const struct page *page,
			    void *addr)
{
	if (s->full)
		write_mark(page, addr);
	verify(page, addr);
}

#define WAY(name, map, unmap)                                                     \
	static void *name##_alloc(struct allocator *a, size_t size, size_t align, \
				  gfp_t gfp, int node)                            \
	{                                                                         \
		struct kmap_state *s = (struct kmap_state *)a;                    \
		struct page *page = next_page(s);                                 \
		void *addr = map;                                                 \
                                                                                  \
		(void)size, (void)align, (void)gfp, (void)node;                   \
		if (KMEM_UNLIKELY(s->check))                                      \
			verify(page, addr);                                       \
		return addr;                                                      \
	}                                                                         \
	static void name##_free(struct allocator *a, void *ptr, size_t size)      \
	{                                                                         \
		struct kmap_state *s = (struct kmap_state *)a;                    \
		struct page *page = s->page[s->at];                               \
                                                                                  \
		(void)size, (void)page, (void)ptr;                                \
		if (KMEM_UNLIKELY(s->check))                                      \
			leave(s, page, ptr);                                      \
		unmap;                                                            \
	}                                                                         \
	_Static_assert(1, "a semicolon follows")

WAY(direct, page_address(page), (void)0);
WAY(kmap, kmap(page), kunmap(page));
WAY(atomic, kmap_atomic(page), kunmap_atomic(ptr));
WAY(vmap, vmap(&page, 1, VM_MAP), vunmap(ptr));

/* For the memory pass. */
static size_t page_usable_size(struct allocator *a, void *ptr)
{
	(void)a, (void)ptr;
	return PAGE_SIZE;
}

static void take_way(struct worker *w, enum kmap_way way)
{
	static const struct {
		void *(*alloc)(struct allocator *a, size_t size, size_t align, gfp_t gfp,
			       int node);
		void (*free)(struct allocator *a, void *ptr, size_t size);
	} hooks[] = {
		[WAY_DIRECT] = {direct_alloc, direct_free},
		[WAY_KMAP] = {kmap_alloc, kmap_free},
		[WAY_ATOMIC] = {atomic_alloc, atomic_free},
		[WAY_VMAP] = {vmap_alloc, vmap_free},
	};

	w->alloc = hooks[way].alloc;
	w->free = hooks[way].free;
}

/* --- hooks --- */

static int kmap_validate(const struct workload_run *run)
{
	const struct kmap_params *params = run->params;

	if (params->pages >= run->threads)
		return 0;
	return kmem_error(-EINVAL,
			  "workload 'kmap' has pages=%" PRIu64
			  " for %u threads: give one for each at least",
			  params->pages, run->threads);
}

static uint64_t kmap_size_max(const struct workload_run *run)
{
	(void)run;
	return PAGE_SIZE;
}

static uint64_t kmap_footprint(const struct workload_run *run)
{
	const struct kmap_params *params = run->params;

	return params->pages << PAGE_SHIFT;
}

static int kmap_setup(struct workload_run *run)
{
	struct kmap_figures *f;

	if (strcmp(run->allocator->ops->name, "vmalloc") != 0)
		return kmem_error(-EINVAL,
				  "workload 'kmap' maps pages of HIGHMEM, and '%s' has "
				  "none: use vmalloc",
				  run->allocator->ops->name);
	f = arena_alloc(sizeof(*f));
	kmap_stats(&f->before);
	atomic_init(&f->ops, 0);
	run->shared = f;
	return 0;
}

/* By a way whose maps are not reported. False with a text. */
static bool mark_page(struct page *page, enum kmap_way way)
{
	void *addr = way == WAY_ATOMIC ? kmap(page) : kmap_atomic(page);

	if (addr == NULL)
		return false;
	write_mark(page, addr);
	if (way == WAY_ATOMIC)
		kunmap(page);
	else
		kunmap_atomic(addr);
	return true;
}

/* Requests for HIGHMEM go to other zones when it is full. */
static void take_pages(struct worker *w, struct kmap_state *s, uint32_t n)
{
	const struct kmap_params *params = w->run->params;
	bool direct = params->way == WAY_DIRECT;

	for (s->n = 0; s->n < n; s->n++) {
		struct page *page = alloc_page(direct ? GFP_KERNEL : GFP_HIGHUSER);

		if (page == NULL || (page_zonenum(page) == ZONE_HIGHMEM) == direct)
			worker_fail(
				w,
				"workload 'kmap' finds no %u pages of %s: raise option "
				"'%s' of vmalloc, or lower pages",
				n, direct ? "the direct map" : "HIGHMEM",
				direct ? "memory" : "highmem");
		if (!mark_page(page, (enum kmap_way)params->way))
			worker_fail(w, "workload 'kmap': %s", kmem_last_error());
		s->page[s->n] = page;
	}
	probe_hold(w->probe, (int64_t)s->n << PAGE_SHIFT);
}

/* Neighbouring frames in neighbouring slots would be one mapping to the system. */
static void shuffle(struct rng *rng, struct page **page, uint32_t n)
{
	for (uint32_t i = n; i > 1; i--) {
		uint32_t j = (uint32_t)rng_below(rng, i);
		struct page *swap = page[i - 1];

		page[i - 1] = page[j];
		page[j] = swap;
	}
}

static int kmap_thread_setup(struct worker *w)
{
	const struct kmap_params *params = w->run->params;
	uint32_t n = (uint32_t)(params->pages / w->run->threads) +
		     (w->index < params->pages % w->run->threads);
	size_t bytes = sizeof(struct kmap_state) + n * sizeof(struct page *);
	struct kmap_state *s = arena_alloc(bytes);

	s->ops = *w->a->ops;
	s->ops.usable_size = page_usable_size;
	s->base.ops = &s->ops;
	s->bytes = bytes;
	s->at = s->decision = 0;
	s->check = w->check;
	s->full = w->touch == TOUCH_FULL;
	for (uint32_t i = 0; i < KMAP_DECISIONS; i++)
		s->advance[i] = rng_below(&w->rng, 100) >= params->reuse_percent;
	take_pages(w, s, n);
	shuffle(&w->rng, s->page, n);
	s->saved = *w;
	w->a = &s->base;
	take_way(w, (enum kmap_way)params->way);
	/* A page keeps what was written when it had another address; stamps do not know
	 * that. */
	w->check = false;
	w->after_alloc = w->touch == TOUCH_PAGES || w->touch == TOUCH_FULL;
	w->touch_ends = w->touch == TOUCH_ENDS;
	w->state = s;
	return 0;
}

static KMEM_ALWAYS_INLINE void kmap_step(struct worker *w, struct probe *p)
{
	for (uint32_t i = 0; i < OPERATIONS_PER_QUANTUM; i++)
		worker_free(w, p, worker_alloc(w, p, PAGE_SIZE), PAGE_SIZE);
	w->ops += OPERATIONS_PER_QUANTUM;
}
WORKLOAD_STEP(kmap_step);

static void kmap_thread_teardown(struct worker *w)
{
	struct kmap_figures *f = w->run->shared;
	struct kmap_state *s = w->state;

	atomic_fetch_add(&f->ops, w->ops);
	w->a = s->saved.a;
	w->alloc = s->saved.alloc;
	w->free = s->saved.free;
	w->check = s->saved.check;
	w->after_alloc = s->saved.after_alloc;
	w->touch_ends = s->saved.touch_ends;
	probe_hold(w->probe, -((int64_t)s->n << PAGE_SHIFT));
	free_pages_bulk(s->n, s->page);
	arena_free(s, s->bytes);
}

static void kmap_report(struct workload_run *run, workload_report_fn fn, void *arg)
{
	const struct kmap_params *params = run->params;
	struct kmap_figures *f = run->shared;
	uint64_t ops = atomic_load(&f->ops), maps[] = {[WAY_VMAP] = ops};
	struct kmap_stats now;

	kmap_stats(&now);
	maps[WAY_KMAP] = now.pkmap_maps - f->before.pkmap_maps;
	maps[WAY_ATOMIC] = now.atomic_maps - f->before.atomic_maps;
	if (ops > 0)
		fn("kmap_maps_per_op", (double)maps[params->way] / (double)ops, arg);
	if (params->way != WAY_KMAP)
		return;
	fn("kmap_flushes_count", (double)(now.pkmap_flushes - f->before.pkmap_flushes),
	   arg);
	fn("kmap_waits_count", (double)(now.pkmap_waits - f->before.pkmap_waits), arg);
}

static void kmap_teardown(struct workload_run *run)
{
	arena_free(run->shared, sizeof(struct kmap_figures));
	run->shared = NULL;
}

static const struct workload_ops kmap_workload = {
	.abi_version = WORKLOAD_OPS_VERSION,
	.name = "kmap",
	.description =
		"maps a page of high memory, touches its ends and unmaps it, over and "
		"over: by kmap, kmap_atomic or vmap, or a page of the direct map",
	.stresses =
		"windows: finding a page that is still shown, and the system call, page "
		"fault and unmapping where it is not",
	.not_for =
		"the kernel's own kmap, which writes one page table entry: here a window "
		"is a mapping of the system, three orders of magnitude dearer",
	.source = "mm/highmem.c of Linux 2.6",
	.op = "map+touch+unmap",
	.caps = CAP_VRANGE | CAP_DISTINCT,
	.params = kmap_groups,
	.params_size = sizeof(struct kmap_params),
	.default_threads = "1",
	.default_touch = TOUCH_ENDS,
	.validate = kmap_validate,
	.size_max = kmap_size_max,
	.footprint = kmap_footprint,
	.setup = kmap_setup,
	.thread_setup = kmap_thread_setup,
	.step = kmap_step_plain,
	.step_probed = kmap_step_probed,
	.thread_teardown = kmap_thread_teardown,
	.report = kmap_report,
	.teardown = kmap_teardown,
};
WORKLOAD_REGISTER(kmap_workload);
