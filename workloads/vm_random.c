/* SPDX-License-Identifier: MIT */
/* vm-random: allocate a range of a random number of pages and free it, over and over. */
#include "workloads/harness/vm_areas.h"

/* At 1 us where freed ranges stay mapped, to 150 us each where every page faults. */
#define PAIRS_PER_QUANTUM 8u

struct vm_random_params {
	uint64_t pages_min, pages_max;
};

static const struct kmem_option vm_random_options[] = {
	{
		.name = "pages_min",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct vm_random_params, pages_min),
		.initial = "1",
		.help = "smallest range, in pages",
		.min = 1,
		.max = VM_PAGES_MAX,
	},
	{
		.name = "pages_max",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct vm_random_params, pages_max),
		.initial = "100",
		.help = "largest range, in pages; all sizes in between are as likely",
		.min = 1,
		.max = VM_PAGES_MAX,
	},
	KMEM_OPTION_END,
};

static const struct kmem_option_group vm_random_groups[] = {{vm_random_options, 0},
							    {NULL, 0}};

static int vm_random_validate(const struct workload_run *run)
{
	const struct vm_random_params *params = run->params;

	return vm_check_pages("vm-random", params->pages_min, params->pages_max);
}

static uint64_t vm_random_size_max(const struct workload_run *run)
{
	const struct vm_random_params *params = run->params;

	return params->pages_max << PAGE_SHIFT;
}

static struct vm_request draw(struct rng *rng, const void *arg)
{
	const struct vm_random_params *params = arg;
	uint64_t pages = rng_between(rng, params->pages_min, params->pages_max);

	return (struct vm_request){(uint32_t)(pages << PAGE_SHIFT), 0};
}

static int vm_random_thread_setup(struct worker *w)
{
	w->state = vm_requests_new(w, draw, w->run->params);
	return 0;
}

static KMEM_ALWAYS_INLINE void vm_random_step(struct worker *w, struct probe *p)
{
	vm_play(w, p, w->state, PAIRS_PER_QUANTUM);
}
WORKLOAD_STEP(vm_random_step);

static void vm_random_thread_teardown(struct worker *w)
{
	vm_requests_delete(w->state);
}

static const struct workload_ops vm_random_workload = {
	.abi_version = WORKLOAD_OPS_VERSION,
	.name = "vm-random",
	.description =
		"allocates a virtually contiguous range of a random number of pages, "
		"touches each page, and frees it, over and over",
	.stresses = "mapping and unmapping ranges of changing size: what is kept of one "
		    "helps only a later one of the same size",
	.not_for = "the search for a free range among many: no other range is live",
	.source = "random_size_alloc_test of Linux 6.x lib/test_vmalloc.c",
	.op = "alloc+free pair",
	.caps = CAP_VRANGE | CAP_MIXED_SIZE,
	.params = vm_random_groups,
	.params_size = sizeof(struct vm_random_params),
	.default_threads = "1",
	.default_touch = TOUCH_PAGES,
	.validate = vm_random_validate,
	.size_max = vm_random_size_max,
	.thread_setup = vm_random_thread_setup,
	.step = vm_random_step_plain,
	.step_probed = vm_random_step_probed,
	.thread_teardown = vm_random_thread_teardown,
};
WORKLOAD_REGISTER(vm_random_workload);
