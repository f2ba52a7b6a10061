/* SPDX-License-Identifier: MIT */
/*
 * calloc: zeroed blocks.
 *
 * A thread allocates n_blocks zeroed blocks and frees them, oldest first. Every block but
 * the first ones has been used before, so an allocator that gives used memory out again
 * must clear it; one that takes fresh memory from the system saves that and pays for
 * page faults instead. An allocator without a hook of its own is asked for a block,
 * which is then cleared: so the floors show the cost of clearing.
 */
#include "workloads/harness/arena.h"
#include "workloads/harness/worker_fast.h"

/* Bytes cleared in a quantum, at some 5 to 20 bytes a ns, and pairs at most. */
#define BYTES_PER_QUANTUM ((uint64_t)4 << 20)
#define PAIRS_PER_QUANTUM 8192u

struct calloc_params {
	uint64_t n_blocks;
};

static const struct kmem_option calloc_options[] = {
	{
		.name = "n_blocks",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct calloc_params, n_blocks),
		.initial = "16",
		.help = "blocks live at once; with 1 the same one comes back each time",
		.min = 1,
		.max = 1u << 20,
	},
	KMEM_OPTION_END,
};

static const struct kmem_option_group calloc_groups[] = {{calloc_options, 0}, {NULL, 0}};

struct calloc_state {
	size_t bytes; /* of the arena that holds this */
	uint32_t n;
	uint32_t rounds; /* in a quantum */
	void *block[];	 /* n */
};

static uint64_t calloc_footprint(const struct workload_run *run)
{
	const struct calloc_params *params = run->params;

	return run->threads * params->n_blocks * run->size_bytes;
}

static int calloc_thread_setup(struct worker *w)
{
	const struct calloc_params *params = w->run->params;
	uint32_t n = (uint32_t)params->n_blocks;
	uint64_t pairs = BYTES_PER_QUANTUM / w->run->size_bytes;
	size_t bytes = sizeof(struct calloc_state) + n * sizeof(void *);
	struct calloc_state *s = arena_alloc(bytes);

	if (pairs > PAIRS_PER_QUANTUM)
		pairs = PAIRS_PER_QUANTUM;
	s->bytes = bytes;
	s->n = n;
	s->rounds = pairs > n ? (uint32_t)(pairs / n) : 1;
	w->state = s;
	return 0;
}

static KMEM_ALWAYS_INLINE void calloc_step(struct worker *w, struct probe *p)
{
	struct calloc_state *s = w->state;
	size_t size = w->run->size_bytes;
	uint32_t n = s->n;

	for (uint32_t round = 0; round < s->rounds; round++) {
		for (uint32_t i = 0; i < n; i++)
			s->block[i] = worker_zalloc(w, p, size);
		for (uint32_t i = 0; i < n; i++)
			worker_free(w, p, s->block[i], size);
	}
	w->ops += (uint64_t)s->rounds * n;
}
WORKLOAD_STEP(calloc_step);

static void calloc_thread_teardown(struct worker *w)
{
	struct calloc_state *s = w->state;

	arena_free(s, s->bytes);
}

static const struct workload_ops calloc_workload = {
	.abi_version = WORKLOAD_OPS_VERSION,
	.name = "calloc",
	.description = "allocates n_blocks zeroed blocks of a fixed size and frees them, "
		       "oldest first, over and over",
	.stresses = "clearing used memory, or avoiding to",
	.not_for =
		"programs that use what they allocate: with the default touch rule large "
		"blocks from fresh pages fault in two pages only, and look cheaper than "
		"they are in use; compare with touch=full",
	.source = "written for this suite",
	.op = "calloc+free pair",
	.caps = CAP_OBJECT,
	.params = calloc_groups,
	.params_size = sizeof(struct calloc_params),
	.default_sizes = "64,64K",
	.size_min_bytes = 1,
	.size_max_bytes = (uint64_t)1 << 30,
	.default_threads = "1",
	.default_touch = TOUCH_ENDS,
	.footprint = calloc_footprint,
	.thread_setup = calloc_thread_setup,
	.step = calloc_step_plain,
	.step_probed = calloc_step_probed,
	.thread_teardown = calloc_thread_teardown,
};
WORKLOAD_REGISTER(calloc_workload);
