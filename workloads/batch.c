/* SPDX-License-Identifier: MIT */
/* batch: allocate n blocks, then free them in a given order. */
#include "workloads/harness/arena.h"
#include "workloads/harness/worker_fast.h"

/* Pairs in a quantum; at 10 to 100 ns each. A batch is never cut. */
#define PAIRS_PER_QUANTUM 8192u
/* Entries of pre-drawn orders a thread holds: as many permutations as fit, at least one.
 */
#define ORDER_ENTRIES 16384u

enum batch_order { ORDER_FIFO, ORDER_LIFO, ORDER_HALF, ORDER_RANDOM };

static const char *const order_names[] = {"fifo", "lifo", "half", "random", NULL};

struct batch_params {
	uint64_t n_blocks;
	int order;
};

static const struct kmem_option batch_options[] = {
	{
		.name = "n_blocks",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct batch_params, n_blocks),
		.initial = "100",
		.help = "blocks in a batch; glibc's benchmark uses 25, 100, 400 and 1600",
		.min = 1,
		.max = 1u << 20,
	},
	{
		.name = "order",
		.type = KMEM_OPT_ENUM,
		.offset = offsetof(struct batch_params, order),
		.initial = "fifo",
		.help = "fifo: oldest first; lifo: newest first; half: the older half oldest "
			"first, then the newer half newest first; random: a new permutation "
			"for each of 16384 / n_blocks batches, then the same ones again",
		.choices = order_names,
	},
	KMEM_OPTION_END,
};

static const struct kmem_option_group batch_groups[] = {{batch_options, 0}, {NULL, 0}};

struct batch_state {
	size_t bytes; /* of the arena that holds this */
	uint32_t n;
	uint32_t rounds; /* batches in a quantum */
	uint32_t next;	 /* start in order[] of the next batch's permutation */
	uint32_t end;	 /* entries in order[] */
	void **block;	 /* n */
	uint32_t *order; /* `end` indices of blocks, in the order of freeing */
};

/* Every order is a table of indices, so that all orders run the same instructions. */
static void draw_order(struct rng *rng, enum batch_order order, uint32_t *v, uint32_t n)
{
	uint32_t half = n / 2;

	for (uint32_t i = 0; i < n; i++) {
		switch (order) {
		case ORDER_FIFO:
		case ORDER_RANDOM: v[i] = i; break;
		case ORDER_LIFO: v[i] = n - 1 - i; break;
		case ORDER_HALF: v[i] = i < half ? i : n - 1 - (i - half); break;
		}
	}
	if (order == ORDER_RANDOM)
		rng_shuffle_u32(rng, v, n);
}

static uint64_t batch_footprint(const struct workload_run *run)
{
	const struct batch_params *params = run->params;

	return params->n_blocks * run->size_bytes * run->threads;
}

static int batch_thread_setup(struct worker *w)
{
	const struct batch_params *params = w->run->params;
	uint32_t n = (uint32_t)params->n_blocks;
	uint32_t tables = n < ORDER_ENTRIES ? ORDER_ENTRIES / n : 1;
	size_t bytes = sizeof(struct batch_state) + n * sizeof(void *) +
		       (size_t)tables * n * sizeof(uint32_t);
	struct batch_state *s = arena_alloc(bytes);

	s->bytes = bytes;
	s->n = n;
	s->rounds = n < PAIRS_PER_QUANTUM ? PAIRS_PER_QUANTUM / n : 1;
	s->end = tables * n;
	s->block = (void **)(void *)(s + 1);
	s->order = (uint32_t *)(void *)(s->block + n);
	for (uint32_t t = 0; t < tables; t++)
		draw_order(&w->rng, (enum batch_order)params->order, s->order + t * n, n);
	w->state = s;
	return 0;
}

static KMEM_ALWAYS_INLINE void batch_step(struct worker *w, struct probe *p)
{
	struct batch_state *s = w->state;
	size_t size = w->run->size_bytes;
	uint32_t n = s->n;
	void **block = s->block;

	for (uint32_t round = 0; round < s->rounds; round++) {
		const uint32_t *order = s->order + s->next;

		for (uint32_t i = 0; i < n; i++)
			block[i] = worker_alloc(w, p, size);
		for (uint32_t i = 0; i < n; i++)
			worker_free(w, p, block[order[i]], size);
		s->next = s->next + n < s->end ? s->next + n : 0;
	}
	w->ops += (uint64_t)s->rounds * n;
}
WORKLOAD_STEP(batch_step);

static void batch_thread_teardown(struct worker *w)
{
	struct batch_state *s = w->state;

	arena_free(s, s->bytes);
}

static const struct workload_ops batch_workload = {
	.abi_version = WORKLOAD_OPS_VERSION,
	.name = "batch",
	.description =
		"allocates n_blocks blocks of a fixed size, then frees them all in a "
		"given order",
	.stresses =
		"how deep the caches and bins are, and what an order of freeing other "
		"than the newest first costs",
	.not_for = "fragmentation (everything is free after each batch) and mixed sizes",
	.source = "bench-malloc-simple of glibc, with two orders more",
	.op = "alloc+free pair",
	.caps = CAP_OBJECT,
	.params = batch_groups,
	.params_size = sizeof(struct batch_params),
	.default_sizes = "64",
	.size_min_bytes = 1,
	.size_max_bytes = (uint64_t)1 << 30,
	.default_threads = "1",
	.default_touch = TOUCH_ENDS,
	.footprint = batch_footprint,
	.thread_setup = batch_thread_setup,
	.step = batch_step_plain,
	.step_probed = batch_step_probed,
	.thread_teardown = batch_thread_teardown,
};
WORKLOAD_REGISTER(batch_workload);
