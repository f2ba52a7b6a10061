/* SPDX-License-Identifier: MIT */
/*
 * vm-align: allocate a range at a multiple of a random power of two and free it.
 *
 * Alignments are a page to align_max, each power of two as likely, with 1 to pages_max
 * pages. An aligned start may reject a hole that is large enough, and leaves a smaller
 * one in front of the range; mmap(2) knows no alignment, so that a caller has to ask for
 * more and cut off both ends.
 */
#include "workloads/harness/vm_areas.h"

#include <errno.h>
#include <inttypes.h>

#include <kmem/error.h>

/* At 0.1 us where freed ranges stay mapped, to 30 us each. */
#define PAIRS_PER_QUANTUM 32u

struct vm_align_params {
	uint64_t pages_max;
	uint64_t align_max_bytes;
};

static const struct kmem_option vm_align_options[] = {
	{
		.name = "pages_max",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct vm_align_params, pages_max),
		.initial = "10",
		.help = "largest range, in pages; 1 to that many are as likely",
		.min = 1,
		.max = VM_PAGES_MAX,
	},
	{
		.name = "align_max_bytes",
		.type = KMEM_OPT_SIZE,
		.offset = offsetof(struct vm_align_params, align_max_bytes),
		.initial = "4M",
		.help = "largest alignment, a power of two; 4K to that are as likely",
		.min = PAGE_SIZE,
		.max = (uint64_t)4 << 20, /* what every allocator of ranges has */
	},
	KMEM_OPTION_END,
};

static const struct kmem_option_group vm_align_groups[] = {{vm_align_options, 0},
							   {NULL, 0}};

static int vm_align_validate(const struct workload_run *run)
{
	const struct vm_align_params *params = run->params;

	if ((params->align_max_bytes & (params->align_max_bytes - 1)) == 0)
		return 0;
	return kmem_error(-EINVAL,
			  "workload 'vm-align' has align_max_bytes=%" PRIu64
			  ", which is no power of two: give one, such as 4M",
			  params->align_max_bytes);
}

/* The larger of size and alignment: what an allocator must have room for. */
static uint64_t vm_align_size_max(const struct workload_run *run)
{
	const struct vm_align_params *params = run->params;
	uint64_t size = params->pages_max << PAGE_SHIFT;

	return size > params->align_max_bytes ? size : params->align_max_bytes;
}

static struct vm_request draw(struct rng *rng, const void *arg)
{
	const struct vm_align_params *params = arg;
	unsigned int steps = (unsigned int)__builtin_ctzll(params->align_max_bytes) -
			     PAGE_SHIFT;
	uint64_t pages = rng_between(rng, 1, params->pages_max);

	return (struct vm_request){(uint32_t)(pages << PAGE_SHIFT),
				   (uint32_t)(PAGE_SIZE << rng_below(rng, steps + 1))};
}

static int vm_align_thread_setup(struct worker *w)
{
	w->state = vm_requests_new(w, draw, w->run->params);
	return 0;
}

static KMEM_ALWAYS_INLINE void vm_align_step(struct worker *w, struct probe *p)
{
	vm_play(w, p, w->state, PAIRS_PER_QUANTUM);
}
WORKLOAD_STEP(vm_align_step);

static void vm_align_thread_teardown(struct worker *w)
{
	vm_requests_delete(w->state);
}

static const struct workload_ops vm_align_workload = {
	.abi_version = WORKLOAD_OPS_VERSION,
	.name = "vm-align",
	.description =
		"allocates ranges of random size at multiples of a random power of "
		"two, touches each page, and frees them, one after the other; verifies the alignment",
	.stresses = "finding an aligned place, and what is left in front of it",
	.not_for = "the search for a free range among many: no other range is live; nor "
		   "for what huge alignments waste",
	.source = "random_size_align_alloc_test of Linux 6.x lib/test_vmalloc.c",
	.op = "alloc+free pair",
	.caps = CAP_VRANGE | CAP_MIXED_SIZE | CAP_ALIGN,
	.params = vm_align_groups,
	.params_size = sizeof(struct vm_align_params),
	.default_threads = "1",
	.default_touch = TOUCH_PAGES,
	.validate = vm_align_validate,
	.size_max = vm_align_size_max,
	.thread_setup = vm_align_thread_setup,
	.step = vm_align_step_plain,
	.step_probed = vm_align_step_probed,
	.thread_teardown = vm_align_thread_teardown,
};
WORKLOAD_REGISTER(vm_align_workload);
