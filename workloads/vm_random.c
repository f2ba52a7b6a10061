/* SPDX-License-Identifier: MIT */
/* vm-random: allocate a range of a random number of pages and free it, over and over. */
#include <errno.h>
#include <inttypes.h>

#include <kmem/error.h>
#include <kmem/mm_types.h>

#include "workloads/harness/arena.h"
#include "workloads/harness/worker_fast.h"

/* At 1 us where freed ranges stay mapped, to 150 us each where every page faults. */
#define PAIRS_PER_QUANTUM 8u
/* Pre-drawn sizes of a thread, read in a circle. */
#define VM_RANDOM_RING 4096u

struct vm_random_params {
	uint64_t pages_min, pages_max;
};

static const struct kmem_option vm_random_options[] = {
	{
		.name = "pages_min",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct vm_random_params, pages_min),
		.initial = "1",
		.help = "pages of the smallest range; uniform between the two",
		.min = 1,
		.max = 1u << 18,
	},
	{
		.name = "pages_max",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct vm_random_params, pages_max),
		.initial = "100",
		.help = "pages of the largest range",
		.min = 1,
		.max = 1u << 18,
	},
	KMEM_OPTION_END,
};

static const struct kmem_option_group vm_random_groups[] = {{vm_random_options, 0},
							    {NULL, 0}};

struct vm_random_state {
	uint32_t next; /* place in the ring */
	uint32_t size[VM_RANDOM_RING];
};

static int vm_random_validate(const struct workload_run *run)
{
	const struct vm_random_params *params = run->params;

	if (params->pages_min <= params->pages_max)
		return 0;
	return kmem_error(-EINVAL,
			  "workload 'vm-random' has pages_min=%" PRIu64
			  " above pages_max=%" PRIu64
			  ": lower the one or raise the other",
			  params->pages_min, params->pages_max);
}

static uint64_t vm_random_size_max(const struct workload_run *run)
{
	const struct vm_random_params *params = run->params;

	return params->pages_max * PAGE_SIZE;
}

static int vm_random_thread_setup(struct worker *w)
{
	const struct vm_random_params *params = w->run->params;
	struct vm_random_state *s = arena_alloc(sizeof(*s));

	for (uint32_t i = 0; i < VM_RANDOM_RING; i++)
		s->size[i] = (uint32_t)(rng_between(&w->rng, params->pages_min,
						    params->pages_max)
					<< PAGE_SHIFT);
	w->state = s;
	return 0;
}

static KMEM_ALWAYS_INLINE void vm_random_step(struct worker *w, struct probe *p)
{
	struct vm_random_state *s = w->state;

	for (unsigned int i = 0; i < PAIRS_PER_QUANTUM; i++) {
		size_t size = s->size[s->next++ % VM_RANDOM_RING];

		worker_free(w, p, worker_alloc(w, p, size), size);
	}
	w->ops += PAIRS_PER_QUANTUM;
}
WORKLOAD_STEP(vm_random_step);

static void vm_random_thread_teardown(struct worker *w)
{
	arena_free(w->state, sizeof(struct vm_random_state));
}

static const struct workload_ops vm_random_workload = {
	.abi_version = WORKLOAD_OPS_VERSION,
	.name = "vm-random",
	.description =
		"allocates a virtually contiguous range of a random number of pages, touches "
		"each page, and frees it, over and over",
	.stresses =
		"ranges of many sizes: freed ones fit the next request by chance only",
	.not_for =
		"the search for a free range among many: no other range is live (vm-busy)",
	.source =
		"random_size_alloc_test of Linux 6.x lib/test_vmalloc.c, which touches one "
		"page of each",
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
