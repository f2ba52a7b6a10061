/* SPDX-License-Identifier: MIT */
/*
 * xmalloc: one half of the threads allocates, the other half frees.
 *
 * Even threads are producers, odd ones consumers, joined by one bounded queue
 * of batches. A quantum is the same number of batches on both sides, so when
 * every thread has done equally many quanta the queue is empty again.
 *
 * One operation is one block passed on: allocated by a producer and freed by a
 * consumer. It is counted once, by the consumer. Time per operation (threads'
 * wall time over operations) is then what a block costs both sides together,
 * and stands beside the alloc+free pair of the other workloads.
 */
#include <errno.h>

#include <kmem/error.h>

#include "workloads/harness/arena.h"
#include "workloads/harness/batch_queue.h"
#include "workloads/harness/worker_fast.h"

/* At 20 to 200 ns each. A batch is never cut. */
#define BLOCKS_PER_QUANTUM 8192u

struct xmalloc_params {
	uint64_t batch_blocks;
	uint64_t queue_batches;
};

static const struct kmem_option xmalloc_options[] = {
	{
		.name = "batch_blocks",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct xmalloc_params, batch_blocks),
		.initial = "64",
		.help = "blocks handed over at a time; fewer weigh the queue more",
		.min = 1,
		.max = 65536,
	},
	{
		.name = "queue_batches",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct xmalloc_params, queue_batches),
		.initial = "64",
		.help = "batches the queue holds, a power of two: bounds the blocks in flight",
		.min = 2,
		.max = 65536,
	},
	KMEM_OPTION_END,
};

static const struct kmem_option_group xmalloc_groups[] = {{xmalloc_options, 0},
							  {NULL, 0}};

struct xmalloc_state {
	size_t bytes;	  /* of the arena that holds this */
	uint32_t batches; /* in a quantum */
	uint32_t n;	  /* blocks in a batch */
	struct batch_queue *queue;
	void *block[]; /* n: the batch in hand */
};

static int xmalloc_validate(const struct workload_run *run)
{
	const struct xmalloc_params *params = run->params;

	if (run->threads % 2 != 0)
		return kmem_error(
			-EINVAL,
			"workload 'xmalloc' pairs producers with consumers and cannot "
			"run on %u thread%s: give an even number",
			run->threads, run->threads == 1 ? "" : "s");
	if ((params->queue_batches & (params->queue_batches - 1)) != 0)
		return kmem_error(
			-EINVAL,
			"workload 'xmalloc' has queue_batches=%llu: give a power of two",
			(unsigned long long)params->queue_batches);
	return 0;
}

/* The queue full, and a batch in each thread's hand. */
static uint64_t xmalloc_footprint(const struct workload_run *run)
{
	const struct xmalloc_params *params = run->params;

	return (params->queue_batches + run->threads) * params->batch_blocks *
	       run->size_bytes;
}

static int xmalloc_setup(struct workload_run *run)
{
	const struct xmalloc_params *params = run->params;

	run->shared = batch_queue_new(params->queue_batches, params->batch_blocks);
	return 0;
}

static int xmalloc_thread_setup(struct worker *w)
{
	const struct xmalloc_params *params = w->run->params;
	uint32_t n = (uint32_t)params->batch_blocks;
	size_t bytes = sizeof(struct xmalloc_state) + n * sizeof(void *);
	struct xmalloc_state *s = arena_alloc(bytes);

	s->bytes = bytes;
	s->n = n;
	s->batches = n < BLOCKS_PER_QUANTUM ? BLOCKS_PER_QUANTUM / n : 1;
	s->queue = w->run->shared;
	w->state = s;
	return 0;
}

static KMEM_ALWAYS_INLINE void xmalloc_produce(struct worker *w, struct probe *p)
{
	struct xmalloc_state *s = w->state;
	size_t size = w->run->size_bytes;

	for (uint32_t batch = 0; batch < s->batches; batch++) {
		for (uint32_t i = 0; i < s->n; i++)
			s->block[i] = worker_alloc(w, p, size);
		batch_queue_push(s->queue, s->block);
	}
}

static KMEM_ALWAYS_INLINE void xmalloc_consume(struct worker *w, struct probe *p)
{
	struct xmalloc_state *s = w->state;
	size_t size = w->run->size_bytes;

	for (uint32_t batch = 0; batch < s->batches; batch++) {
		batch_queue_pop(s->queue, s->block);
		for (uint32_t i = 0; i < s->n; i++)
			worker_free(w, p, s->block[i], size);
	}
	w->ops += (uint64_t)s->batches * s->n;
}

static KMEM_ALWAYS_INLINE void xmalloc_step(struct worker *w, struct probe *p)
{
	if (w->index % 2 == 0)
		xmalloc_produce(w, p);
	else
		xmalloc_consume(w, p);
}
WORKLOAD_STEP(xmalloc_step);

static void xmalloc_thread_teardown(struct worker *w)
{
	struct xmalloc_state *s = w->state;

	arena_free(s, s->bytes);
}

static void xmalloc_pass_end(struct workload_run *run)
{
	if (batch_queue_length(run->shared) != 0)
		worker_fail(NULL,
			    "workload 'xmalloc' ended with batches in its queue: its "
			    "threads did not do equally many quanta");
}

static void xmalloc_teardown(struct workload_run *run)
{
	batch_queue_delete(run->shared);
	run->shared = NULL;
}

static const struct workload_ops xmalloc_workload = {
	.abi_version = WORKLOAD_OPS_VERSION,
	.name = "xmalloc",
	.description =
		"half of the threads allocate blocks and pass them in batches through "
		"a bounded queue to the other half, which frees them",
	.stresses =
		"freeing blocks of another thread, and how freed memory finds its way "
		"back to the allocating thread",
	.not_for =
		"the cost of alloc or of free alone: the slower side sets the pace, and "
		"waiting for the queue is in the figure",
	.source = "Lever and Boreham, malloc() performance in a multithreaded Linux "
		  "environment, USENIX 2000; xmalloc-test of mimalloc-bench",
	.op = "block passed: alloc and remote free",
	.caps = CAP_OBJECT | CAP_REMOTE_FREE,
	.params = xmalloc_groups,
	.params_size = sizeof(struct xmalloc_params),
	.default_sizes = "64",
	.size_min_bytes = 1,
	.size_max_bytes = (uint64_t)1 << 24,
	.default_threads = "2",
	.default_touch = TOUCH_ENDS,
	.validate = xmalloc_validate,
	.footprint = xmalloc_footprint,
	.setup = xmalloc_setup,
	.thread_setup = xmalloc_thread_setup,
	.step = xmalloc_step_plain,
	.step_probed = xmalloc_step_probed,
	.thread_teardown = xmalloc_thread_teardown,
	.pass_end = xmalloc_pass_end,
	.teardown = xmalloc_teardown,
};
WORKLOAD_REGISTER(xmalloc_workload);
