/* SPDX-License-Identifier: MIT */
/* page-repeat: allocate one block of pages and free it, over and over. */
#include "workloads/harness/page_size.h"
#include "workloads/harness/worker_fast.h"

/* At 5 to 100 ns each from a cache, some 500 from a lock and lists. */
#define PAIRS_PER_QUANTUM 4096u

static KMEM_ALWAYS_INLINE void page_repeat_step(struct worker *w, struct probe *p)
{
	size_t size = w->run->size_bytes;

	for (unsigned int i = 0; i < PAIRS_PER_QUANTUM; i++) {
		void *block = worker_alloc(w, p, size);

		page_block_verify(w, block, size);
		worker_free(w, p, block, size);
	}
	w->ops += PAIRS_PER_QUANTUM;
}
WORKLOAD_STEP(page_repeat_step);

static const struct workload_ops page_repeat_workload = {
	.abi_version = WORKLOAD_OPS_VERSION,
	.name = "page-repeat",
	.description =
		"allocates one block of 2^order pages and frees it at once, over and "
		"over",
	.stresses =
		"the hot path of a page allocator: the newest page of the CPU's own list",
	.not_for =
		"splitting, merging and contention for the zone: where there is a per-CPU "
		"list in front, it serves everything",
	.source = "the repeat benchmark of LLFree (Wrenger and others, USENIX ATC 2023)",
	.op = "alloc+free pair",
	.caps = CAP_PAGE,
	.default_sizes = "4K",
	.size_min_bytes = PAGE_BLOCK_MIN_BYTES,
	.size_max_bytes = PAGE_BLOCK_MAX_BYTES,
	.default_threads = "1",
	.default_touch = TOUCH_NONE,
	.validate = page_size_check,
	.step = page_repeat_step_plain,
	.step_probed = page_repeat_step_probed,
};
WORKLOAD_REGISTER(page_repeat_workload);
