/* SPDX-License-Identifier: MIT */
/* pair: allocate one block and free it, over and over. */
#include "workloads/harness/worker_fast.h"

/*
 * Pairs in a quantum. A pair takes some 5 to 25 ns as long as the block comes from
 * a cache, and up to microseconds where large blocks go to the system.
 */
static unsigned int pairs_per_quantum(uint64_t size_bytes)
{
	if (size_bytes <= 32768)
		return 16384;
	return size_bytes <= 262144 ? 4096 : 512;
}

static KMEM_ALWAYS_INLINE void pair_step(struct worker *w, struct probe *p)
{
	size_t size = w->run->size_bytes;
	unsigned int pairs = pairs_per_quantum(size);

	for (unsigned int i = 0; i < pairs; i++)
		worker_free(w, p, worker_alloc(w, p, size), size);
	w->ops += pairs;
}
WORKLOAD_STEP(pair_step);

static const struct workload_ops pair_workload = {
	.abi_version = WORKLOAD_OPS_VERSION,
	.name = "pair",
	.description =
		"allocates one block of a fixed size and frees it at once, over and over",
	.stresses = "the shortest path of alloc and free: the newest block of the "
		    "smallest cache",
	.not_for = "anything about memory use, mixed sizes or cache misses: one block is "
		   "live, and it is always the same one",
	.source =
		"malloc1 and malloc2 of will-it-scale; the fast-path benchmark of tcmalloc",
	.op = "alloc+free pair",
	.caps = CAP_OBJECT,
	.default_sizes = "64",
	.size_min_bytes = 1,
	.size_max_bytes = (uint64_t)1 << 30,
	.default_threads = "1",
	.default_touch = TOUCH_ENDS,
	.step = pair_step_plain,
	.step_probed = pair_step_probed,
};
WORKLOAD_REGISTER(pair_workload);
