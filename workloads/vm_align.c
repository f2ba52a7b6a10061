/* SPDX-License-Identifier: MIT */
/*
 * vm-align: allocate a range with an alignment of its own and free it, over and over.
 *
 * Sizes are uniform in pages, alignments uniform among the powers of two from a page to
 * align_max_bytes, and independent of them. That each range is aligned as asked is
 * checked in all passes: it costs a test of a register.
 */
#include <errno.h>
#include <inttypes.h>

#include <kmem/error.h>
#include <kmem/mm_types.h>

#include "workloads/harness/arena.h"
#include "workloads/harness/worker_fast.h"

/* At 1 to 30 us each. */
#define PAIRS_PER_QUANTUM 32u
/* Pre-drawn requests of a thread, read in a circle. */
#define VM_ALIGN_RING 4096u

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
		.help = "pages of the largest range; uniform from 1",
		.min = 1,
		.max = 1u << 18,
	},
	{
		.name = "align_max_bytes",
		.type = KMEM_OPT_SIZE,
		.offset = offsetof(struct vm_align_params, align_max_bytes),
		.initial = "4M",
		.help = "largest alignment, a power of two; each from 4K on is as frequent",
		.min = PAGE_SIZE,
		.max = 1u << 30,
	},
	KMEM_OPTION_END,
};

static const struct kmem_option_group vm_align_groups[] = {{vm_align_options, 0},
							   {NULL, 0}};

struct vm_align_state {
	uint32_t next; /* place in the ring */
	struct {
		uint32_t size, align;
	} ring[VM_ALIGN_RING];
};

static int vm_align_validate(const struct workload_run *run)
{
	const struct vm_align_params *params = run->params;
	uint64_t align = params->align_max_bytes;

	if ((align & (align - 1)) == 0)
		return 0;
	return kmem_error(-EINVAL,
			  "workload 'vm-align' has align_max_bytes=%" PRIu64
			  ", which is no power of two: give one, such as 4M",
			  align);
}

/* The larger of size and alignment: what an allocator must have room for. */
static uint64_t vm_align_size_max(const struct workload_run *run)
{
	const struct vm_align_params *params = run->params;
	uint64_t size = params->pages_max * PAGE_SIZE;

	return size > params->align_max_bytes ? size : params->align_max_bytes;
}

static int vm_align_thread_setup(struct worker *w)
{
	const struct vm_align_params *params = w->run->params;
	unsigned int steps = (unsigned int)__builtin_ctzll(params->align_max_bytes) -
			     PAGE_SHIFT;
	struct vm_align_state *s = arena_alloc(sizeof(*s));

	for (uint32_t i = 0; i < VM_ALIGN_RING; i++) {
		uint64_t pages = rng_between(&w->rng, 1, params->pages_max);

		s->ring[i].size = (uint32_t)(pages << PAGE_SHIFT);
		s->ring[i].align = (uint32_t)PAGE_SIZE << rng_between(&w->rng, 0, steps);
	}
	w->state = s;
	return 0;
}

static KMEM_ALWAYS_INLINE void vm_align_step(struct worker *w, struct probe *p)
{
	struct vm_align_state *s = w->state;

	for (unsigned int i = 0; i < PAIRS_PER_QUANTUM; i++) {
		uint32_t at = s->next++ % VM_ALIGN_RING;
		size_t size = s->ring[at].size, align = s->ring[at].align;
		void *range = worker_alloc_aligned(w, p, size, align);

		if (KMEM_UNLIKELY(((uintptr_t)range & (align - 1)) != 0))
			worker_fail(
				w,
				"allocator '%s' returned %p for %zu bytes, which is not "
				"aligned to %zu",
				w->a->ops->name, range, size, align);
		worker_free(w, p, range, size);
	}
	w->ops += PAIRS_PER_QUANTUM;
}
WORKLOAD_STEP(vm_align_step);

static void vm_align_thread_teardown(struct worker *w)
{
	arena_free(w->state, sizeof(struct vm_align_state));
}

static const struct workload_ops vm_align_workload = {
	.abi_version = WORKLOAD_OPS_VERSION,
	.name = "vm-align",
	.description =
		"allocates a virtually contiguous range of some pages at a random alignment, "
		"touches each page, and frees it, over and over; verifies the alignment",
	.stresses =
		"finding a range at a multiple of up to 4 MiB, and telling freed ranges of "
		"one size and several alignments apart",
	.not_for =
		"the search for a free range among many: no other range is live (vm-busy)",
	.source = "random_size_align_alloc_test of Linux 6.x lib/test_vmalloc.c",
	.op = "aligned alloc+free pair",
	.caps = CAP_VRANGE | CAP_ALIGN | CAP_MIXED_SIZE,
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
