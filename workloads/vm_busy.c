/* SPDX-License-Identifier: MIT */
/*
 * vm-busy: allocate and free ranges while many others live.
 *
 * Ranges of one page, all threads together as many as `busy_areas` says, are allocated
 * before the clock starts and stay. Then each thread allocates one of `large_pages` pages
 * and one of a single page, and frees both, over and over. An allocator that walks a list
 * of its ranges walks all of these each time (vmalloc:search=list,lazy_bytes=0).
 *
 * An allocator may need two mappings of the system for each live range, itself and its
 * guard page, which vm.max_map_count bounds: more are refused before anything runs.
 * mmap(2) has no guard pages and makes one mapping of all neighbours, so that its list
 * stays short.
 */
#include "workloads/harness/arena.h"
#include "workloads/harness/vm_areas.h"

#include <errno.h>
#include <inttypes.h>

#include <kmem/error.h>

/* At 0.2 us where freed ranges stay mapped, to 500 us each. */
#define ROUNDS_PER_QUANTUM 4u

struct vm_busy_params {
	uint64_t busy_areas, large_pages;
};

static const struct kmem_option vm_busy_options[] = {
	{
		.name = "busy_areas",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct vm_busy_params, busy_areas),
		.initial = "15000",
		.help = "ranges of one page that live meanwhile, all threads together",
		.min = 1,
		.max = 1u << 24,
	},
	{
		.name = "large_pages",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct vm_busy_params, large_pages),
		.initial = "100",
		.help = "pages of the larger of the two ranges that come and go",
		.min = 1,
		.max = VM_PAGES_MAX,
	},
	KMEM_OPTION_END,
};

static const struct kmem_option_group vm_busy_groups[] = {{vm_busy_options, 0},
							  {NULL, 0}};

/* One thread's share of what lives. */
struct vm_busy_state {
	size_t bytes; /* of the arena that holds this */
	size_t large_bytes;
	uint64_t n;
	void *area[];
};

static int vm_busy_validate(const struct workload_run *run)
{
	const struct vm_busy_params *params = run->params;

	if (params->busy_areas < run->threads)
		return kmem_error(-EINVAL,
				  "workload 'vm-busy' has busy_areas=%" PRIu64
				  " for %u threads: give one for each at least",
				  params->busy_areas, run->threads);
	/* What comes and goes: single frames and a guard page, for each thread. */
	return vm_check_mappings("vm-busy", "busy_areas", params->busy_areas,
				 2 * params->busy_areas +
					 run->threads * (params->large_pages + 3));
}

static uint64_t vm_busy_size_max(const struct workload_run *run)
{
	const struct vm_busy_params *params = run->params;

	return params->large_pages << PAGE_SHIFT;
}

static uint64_t vm_busy_footprint(const struct workload_run *run)
{
	const struct vm_busy_params *params = run->params;

	return (params->busy_areas + run->threads * (params->large_pages + 1))
	       << PAGE_SHIFT;
}

static int vm_busy_thread_setup(struct worker *w)
{
	const struct vm_busy_params *params = w->run->params;
	uint64_t n = params->busy_areas / w->run->threads +
		     (w->index < params->busy_areas % w->run->threads);
	size_t bytes = sizeof(struct vm_busy_state) + n * sizeof(void *);
	struct vm_busy_state *s = arena_alloc(bytes);

	s->bytes = bytes;
	s->large_bytes = params->large_pages << PAGE_SHIFT;
	for (s->n = 0; s->n < n; s->n++)
		s->area[s->n] = worker_alloc_untimed(w, PAGE_SIZE);
	w->state = s;
	return 0;
}

static KMEM_ALWAYS_INLINE void vm_busy_step(struct worker *w, struct probe *p)
{
	const struct vm_busy_state *s = w->state;
	size_t size = s->large_bytes;

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

	for (uint64_t i = 0; i < s->n; i++)
		worker_free_untimed(w, s->area[i], PAGE_SIZE);
	arena_free(s, s->bytes);
}

static const struct workload_ops vm_busy_workload = {
	.abi_version = WORKLOAD_OPS_VERSION,
	.name = "vm-busy",
	.description =
		"allocates a range of many pages and one of a single page and frees both, "
		"over and over, while thousands of single pages live",
	.stresses = "finding room among many live ranges: a list against a tree "
		    "(vmalloc:lazy_bytes=0,search=list against search=tree)",
	.not_for = "that search where freed ranges are kept and handed out again, as "
		   "vmalloc does by default; nor for mmap's, which makes one mapping of "
		   "neighbours",
	.source = "long_busy_list_alloc_test of Linux 6.x lib/test_vmalloc.c",
	.op = "large and small alloc+free",
	.caps = CAP_VRANGE | CAP_MIXED_SIZE,
	.params = vm_busy_groups,
	.params_size = sizeof(struct vm_busy_params),
	.default_threads = "1",
	.default_touch = TOUCH_PAGES,
	.validate = vm_busy_validate,
	.size_max = vm_busy_size_max,
	.footprint = vm_busy_footprint,
	.thread_setup = vm_busy_thread_setup,
	.step = vm_busy_step_plain,
	.step_probed = vm_busy_step_probed,
	.thread_teardown = vm_busy_thread_teardown,
};
WORKLOAD_REGISTER(vm_busy_workload);
