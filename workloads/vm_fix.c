/* SPDX-License-Identifier: MIT */
/* vm-fix: allocate a range of a fixed number of pages and free it, over and over. */
#include "workloads/harness/vm_areas.h"

/* At 1 to 20 us each where mappings change, 30 ns where freed ranges are kept mapped. */
#define PAIRS_PER_QUANTUM 128u

static KMEM_ALWAYS_INLINE void vm_fix_step(struct worker *w, struct probe *p)
{
	size_t size = w->run->size_bytes;

	for (unsigned int i = 0; i < PAIRS_PER_QUANTUM; i++)
		vm_pair(w, p, size, 0);
	w->ops += PAIRS_PER_QUANTUM;
}
WORKLOAD_STEP(vm_fix_step);

static const struct workload_ops vm_fix_workload = {
	.abi_version = WORKLOAD_OPS_VERSION,
	.name = "vm-fix",
	.description =
		"allocates a virtually contiguous range of a fixed number of pages, "
		"touches each page, and frees it, over and over",
	.stresses = "finding a range, mapping and unmapping it, and the page faults and "
		    "interrupts to other CPUs which that causes",
	.not_for = "the search for a free range among many: no other range is live",
	.source = "fix_size_alloc_test of Linux 6.x lib/test_vmalloc.c",
	.op = "alloc+free pair",
	.caps = CAP_VRANGE,
	.default_sizes = "16K",
	.size_min_bytes = PAGE_SIZE,
	.size_max_bytes = (uint64_t)1 << 30,
	.default_threads = "1",
	.default_touch = TOUCH_PAGES,
	.validate = vm_check_whole_pages,
	.step = vm_fix_step_plain,
	.step_probed = vm_fix_step_probed,
};
WORKLOAD_REGISTER(vm_fix_workload);
