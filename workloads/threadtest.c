/* SPDX-License-Identifier: MIT */
/*
 * threadtest: a fixed number of objects, divided among the threads.
 *
 * In each round a thread allocates its share, then frees it in the same order, with
 * some arithmetic after each call where `work_steps` asks for it. Nothing is shared:
 * an allocator that scales takes the same time per operation and thread at any number
 * of threads, up to the number of CPUs.
 */
#include <errno.h>
#include <inttypes.h>

#include <kmem/error.h>

#include "workloads/harness/arena.h"
#include "workloads/harness/worker_fast.h"

/* At 10 to 100 ns each; a round is never cut. */
#define PAIRS_PER_QUANTUM 8192u

struct threadtest_params {
	uint64_t objects;
	uint64_t work_steps;
};

static const struct kmem_option threadtest_options[] = {
	{
		.name = "objects",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct threadtest_params, objects),
		.initial = "30000",
		.help = "objects live at the end of a round, of all threads together; the "
			"paper has 100000",
		.min = 1,
		.max = 1u << 28,
	},
	{
		.name = "work_steps",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct threadtest_params, work_steps),
		.initial = "0",
		.help = "dependent multiplications after each call, about 1 to 2 ns each; "
			"they are in the figure, the floors' too",
		.min = 0,
		.max = 1u << 20,
	},
	KMEM_OPTION_END,
};

static const struct kmem_option_group threadtest_groups[] = {{threadtest_options, 0},
							     {NULL, 0}};

struct threadtest_state {
	size_t bytes; /* of the arena that holds this */
	uint64_t n;   /* objects of this thread */
	uint64_t work_steps;
	uint32_t rounds; /* in a quantum */
	void *block[];	 /* n */
};

static int threadtest_validate(const struct workload_run *run)
{
	const struct threadtest_params *params = run->params;

	if (params->objects < run->threads)
		return kmem_error(-EINVAL,
				  "workload 'threadtest' has objects=%" PRIu64
				  " for %u threads: give at least one each",
				  params->objects, run->threads);
	return 0;
}

static uint64_t threadtest_footprint(const struct workload_run *run)
{
	const struct threadtest_params *params = run->params;

	return params->objects * run->size_bytes;
}

/* All threads' shares add up to the objects: the first ones take one more. */
static int threadtest_thread_setup(struct worker *w)
{
	const struct threadtest_params *params = w->run->params;
	uint64_t share = params->objects / w->run->threads;
	uint64_t n = share + (w->index < params->objects % w->run->threads);
	size_t bytes = sizeof(struct threadtest_state) + n * sizeof(void *);
	struct threadtest_state *s = arena_alloc(bytes);

	s->bytes = bytes;
	s->n = n;
	s->work_steps = params->work_steps;
	/* Of all threads alike, so that they end together. */
	s->rounds = share < PAIRS_PER_QUANTUM ? (uint32_t)(PAIRS_PER_QUANTUM / share) : 1;
	w->state = s;
	return 0;
}

/* Each step waits for the one before; the empty assembly keeps the result wanted. */
static KMEM_ALWAYS_INLINE void threadtest_work(uint64_t steps)
{
	uint64_t x = steps;

	for (uint64_t i = 0; i < steps; i++) {
		x *= 0x9e3779b97f4a7c15u;
		__asm__ __volatile__("" : "+r"(x));
	}
}

static KMEM_ALWAYS_INLINE void threadtest_step(struct worker *w, struct probe *p)
{
	struct threadtest_state *s = w->state;
	size_t size = w->run->size_bytes;
	uint64_t n = s->n, work = s->work_steps;

	for (uint32_t round = 0; round < s->rounds; round++) {
		for (uint64_t i = 0; i < n; i++) {
			s->block[i] = worker_alloc(w, p, size);
			threadtest_work(work);
		}
		for (uint64_t i = 0; i < n; i++) {
			worker_free(w, p, s->block[i], size);
			threadtest_work(work);
		}
	}
	w->ops += s->rounds * n;
}
WORKLOAD_STEP(threadtest_step);

static void threadtest_thread_teardown(struct worker *w)
{
	struct threadtest_state *s = w->state;

	arena_free(s, s->bytes);
}

static const struct workload_ops threadtest_workload = {
	.abi_version = WORKLOAD_OPS_VERSION,
	.name = "threadtest",
	.description =
		"divides a number of objects among the threads, each of which allocates "
		"its share and frees it all, round after round",
	.stresses =
		"scaling: nothing is shared but the allocator itself, which sees batches "
		"larger than most thread caches",
	.not_for =
		"blocks that pass between threads, and mixed sizes; with fewer CPUs than "
		"threads it measures the scheduler",
	.source =
		"threadtest of Hoard: Berger, McKinley, Blumofe and Wilson, ASPLOS 2000",
	.op = "alloc+free pair",
	.caps = CAP_OBJECT,
	.params = threadtest_groups,
	.params_size = sizeof(struct threadtest_params),
	.default_sizes = "8",
	.size_min_bytes = 1,
	.size_max_bytes = (uint64_t)1 << 30,
	.default_threads = "2",
	.default_touch = TOUCH_ENDS,
	.validate = threadtest_validate,
	.footprint = threadtest_footprint,
	.thread_setup = threadtest_thread_setup,
	.step = threadtest_step_plain,
	.step_probed = threadtest_step_probed,
	.thread_teardown = threadtest_thread_teardown,
};
WORKLOAD_REGISTER(threadtest_workload);
