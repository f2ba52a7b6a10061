/* SPDX-License-Identifier: MIT */
/*
 * larson: a chain of threads that hand a set of live blocks down.
 *
 * Each quantum is one generation: a fresh thread inherits the slots, replaces
 * blocks in them, and ends; its blocks live on and are freed by its successors.
 * The worker creates the thread and waits, so at any time each worker has one
 * thread running, on the CPU to which the worker is pinned (an affinity is
 * inherited). The successor does the operations with its parent's worker
 * structure, which the parent leaves alone until it has joined.
 *
 * Creating, starting and joining a thread takes some 20 to 80 us before the
 * allocator adds its own share, and is part of the quantum, as it is in the
 * original; with the default of 40000 replacements that is 1 to 2 ns of each
 * operation's figure. The floors pay it as well.
 */
#include <pthread.h>
#include <string.h>

#include "workloads/harness/draw.h"
#include "workloads/harness/slots_fast.h"

/* Sizes and number of slots of the paper's server. */
struct larson_params {
	uint64_t slots;
	uint64_t size_min_bytes, size_max_bytes;
	uint64_t replacements_per_thread;
};

static const struct kmem_option larson_options[] = {
	{
		.name = "slots",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct larson_params, slots),
		.initial = "1000",
		.help = "blocks each chain of threads keeps live",
		.min = 1,
		.max = 1u << 24,
	},
	{
		.name = "size_min_bytes",
		.type = KMEM_OPT_SIZE,
		.offset = offsetof(struct larson_params, size_min_bytes),
		.initial = "8",
		.help = "smallest block; sizes are uniform between the two",
		.min = 1,
		.max = 1u << 30,
	},
	{
		.name = "size_max_bytes",
		.type = KMEM_OPT_SIZE,
		.offset = offsetof(struct larson_params, size_max_bytes),
		.initial = "1000",
		.help = "largest block",
		.min = 1,
		.max = 1u << 30,
	},
	{
		.name = "replacements_per_thread",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct larson_params, replacements_per_thread),
		.initial = "40000",
		.help = "replacements before a thread hands its slots to a successor; fewer "
			"weigh thread creation more",
		.min = 1,
		.max = 1u << 30,
	},
	KMEM_OPTION_END,
};

static const struct kmem_option_group larson_groups[] = {{larson_options, 0}, {NULL, 0}};

static uint64_t larson_footprint(const struct workload_run *run)
{
	const struct larson_params *params = run->params;
	uint64_t mean = (params->size_min_bytes + params->size_max_bytes) / 2;

	return params->slots * mean * run->threads;
}

static uint32_t larson_draw(struct rng *rng, const void *arg)
{
	const struct larson_params *params = arg;

	return (uint32_t)rng_between(rng, params->size_min_bytes, params->size_max_bytes);
}

static int larson_validate(const struct workload_run *run)
{
	const struct larson_params *params = run->params;

	return draw_check_range("larson", "size_", params->size_min_bytes,
				params->size_max_bytes);
}

static uint64_t larson_size_max(const struct workload_run *run)
{
	return ((const struct larson_params *)run->params)->size_max_bytes;
}

static int larson_thread_setup(struct worker *w)
{
	const struct larson_params *params = w->run->params;

	w->state = slots_new(w, (uint32_t)params->slots, larson_draw, params);
	return 0;
}

static KMEM_ALWAYS_INLINE void *larson_generation(struct worker *w, struct probe *p)
{
	const struct larson_params *params = w->run->params;
	const struct allocator_ops *ops = w->a->ops;

	if (ops->thread_enter != NULL)
		ops->thread_enter(w->a);
	slots_replace(w, p, w->state, params->replacements_per_thread);
	if (ops->thread_exit != NULL)
		ops->thread_exit(w->a);
	return NULL;
}

static void *larson_thread_plain(void *arg)
{
	return larson_generation(arg, NULL);
}

static void *larson_thread_probed(void *arg)
{
	struct worker *w = arg;

	return larson_generation(w, w->probe);
}

static void larson_successor(struct worker *w, void *(*generation)(void *))
{
	pthread_t thread;
	int err = pthread_create(&thread, NULL, generation, w);

	if (err != 0)
		worker_fail(w, "cannot create a successor thread: %s", strerror(err));
	pthread_join(thread, NULL);
}

static void larson_step_plain(struct worker *w)
{
	larson_successor(w, larson_thread_plain);
}

static void larson_step_probed(struct worker *w)
{
	larson_successor(w, larson_thread_probed);
}

static void larson_thread_teardown(struct worker *w)
{
	slots_delete(w, w->state);
}

static const struct workload_ops larson_workload = {
	.abi_version = WORKLOAD_OPS_VERSION,
	.name = "larson",
	.description = "replaces random blocks of a live set, then hands the set to a "
		       "successor thread, and so on, as the threads of a server do",
	.stresses = "blocks that outlive their thread and are freed by another one, and "
		    "thread start and exit of the allocator",
	.not_for =
		"the cost of single calls: thread creation is in the figure, and CPU time "
		"and counters of the successors are not the worker thread's own",
	.source = "Larson and Krishnan, Memory allocation for long-running server "
		  "applications, ISMM 1998",
	.op = "replacement: free+alloc",
	.caps = CAP_OBJECT | CAP_MIXED_SIZE | CAP_REMOTE_FREE,
	.params = larson_groups,
	.params_size = sizeof(struct larson_params),
	.default_threads = "1",
	.default_touch = TOUCH_ENDS,
	.validate = larson_validate,
	.size_max = larson_size_max,
	.footprint = larson_footprint,
	.thread_setup = larson_thread_setup,
	.step = larson_step_plain,
	.step_probed = larson_step_probed,
	.thread_teardown = larson_thread_teardown,
};
WORKLOAD_REGISTER(larson_workload);
