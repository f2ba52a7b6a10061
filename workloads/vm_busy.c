/* SPDX-License-Identifier: MIT */
/*
 * vm-busy: ranges that come and go while many others are live.
 *
 * Before the clock starts, `busy_areas` ranges of a page are allocated, all threads
 * together, and stay. Then a large range and one of a page are allocated and both freed,
 * the large one first, over and over: the search for a free range has to get past all
 * that is live.
 */
#include <kmem/mm_types.h>

#include "workloads/harness/arena.h"
#include "workloads/harness/worker_fast.h"

/* At 1 us where freed ranges stay mapped, to 500 us each. */
#define ROUNDS_PER_QUANTUM 4u

struct vm_busy_params {
	uint64_t busy_areas;
	uint64_t large_pages;
};

static const struct kmem_option vm_busy_options[] = {
	{
		.name = "busy_areas",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct vm_busy_params, busy_areas),
		.initial = "15000",
		.help = "ranges of a page that are live all the time, all threads together; the "
			"system's limit on mappings bounds them (vm.max_map_count)",
		.min = 1,
		.max = 1u << 20,
	},
	{
		.name = "large_pages",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct vm_busy_params, large_pages),
		.initial = "100",
		.help = "pages of the large range",
		.min = 1,
		.max = 1u << 18,
	},
	KMEM_OPTION_END,
};

static const struct kmem_option_group vm_busy_groups[] = {{vm_busy_options, 0},
							  {NULL, 0}};

struct vm_busy_state {
	size_t bytes; /* of the arena that holds this */
	uint32_t n;
	void *busy[]; /* n */
};

static uint64_t vm_busy_size_max(const struct workload_run *run)
{
	const struct vm_busy_params *params = run->params;

	return params->large_pages * PAGE_SIZE;
}

static uint64_t vm_busy_footprint(const struct workload_run *run)
{
	const struct vm_busy_params *params = run->params;

	return (params->busy_areas + run->threads * (params->large_pages + 1)) *
	       PAGE_SIZE;
}

/* An equal share, the first threads one more. */
static uint32_t share(const struct worker *w)
{
	const struct vm_busy_params *params = w->run->params;
	uint64_t threads = w->run->threads;

	return (uint32_t)(params->busy_areas / threads +
			  (w->index < params->busy_areas % threads));
}

static int vm_busy_thread_setup(struct worker *w)
{
	uint32_t n = share(w);
	size_t bytes = sizeof(struct vm_busy_state) + n * sizeof(void *);
	struct vm_busy_state *s = arena_alloc(bytes);

	s->bytes = bytes;
	for (s->n = 0; s->n < n; s->n++)
		s->busy[s->n] = worker_alloc_untimed(w, PAGE_SIZE);
	w->state = s;
	return 0;
}

static KMEM_ALWAYS_INLINE void vm_busy_step(struct worker *w, struct probe *p)
{
	const struct vm_busy_params *params = w->run->params;
	size_t size = params->large_pages << PAGE_SHIFT;

	for (unsigned int i = 0; i < ROUNDS_PER_QUANTUM; i++) {
		void *large = worker_alloc(w, p, size);
		void *small = worker_alloc(w, p, PAGE_SIZE);

		worker_free(w, p, large, size);
		worker_free(w, p, small, PAGE_SIZE);
	}
	w->ops += ROUNDS_PER_QUANTUM;
}
WORKLOAD_STEP(vm_busy_step);

static void vm_busy_thread_teardown(struct worker *w)
{
	struct vm_busy_state *s = w->state;

	for (uint32_t i = 0; i < s->n; i++)
		worker_free_untimed(w, s->busy[i], PAGE_SIZE);
	arena_free(s, s->bytes);
}

static const struct workload_ops vm_busy_workload = {
	.abi_version = WORKLOAD_OPS_VERSION,
	.name = "vm-busy",
	.description =
		"allocates a large virtually contiguous range and one of a page, touches each "
		"page, and frees both, over and over, while many others are live",
	.stresses = "the search for a free range among many that are taken: "
		    "vmalloc:lazy_bytes=0,search=list against tree and radix",
	.not_for =
		"the search, where freed ranges are kept and handed out again: vmalloc's "
		"default searches nothing here",
	.source = "long_busy_list_alloc_test of Linux 6.x lib/test_vmalloc.c",
	.op = "large and small alloc+free",
	.caps = CAP_VRANGE | CAP_MIXED_SIZE,
	.params = vm_busy_groups,
	.params_size = sizeof(struct vm_busy_params),
	.default_threads = "1",
	.default_touch = TOUCH_PAGES,
	.size_max = vm_busy_size_max,
	.footprint = vm_busy_footprint,
	.thread_setup = vm_busy_thread_setup,
	.step = vm_busy_step_plain,
	.step_probed = vm_busy_step_probed,
	.thread_teardown = vm_busy_thread_teardown,
};
WORKLOAD_REGISTER(vm_busy_workload);
