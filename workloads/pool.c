/* SPDX-License-Identifier: MIT */
/*
 * pool: a memory pool over an allocator that fails at a given rate.
 *
 * One pool serves all threads. Each keeps up to `in_flight` elements and frees the
 * oldest before it takes the next. Whether the allocator fails is drawn beforehand, for
 * each thread; the pool's reserve is as large as all threads can hold, so nobody waits
 * for himself. The pool stands between the workload and the allocator's hooks, so
 * probes, touching and content checks see its elements.
 */
#include <errno.h>
#include <inttypes.h>

#include <kmem/error.h>
#include <kmem/mempool.h>

#include "workloads/harness/arena.h"
#include "workloads/harness/worker_fast.h"

#define ELEMENTS_PER_QUANTUM 8192u
#define FAILURES	     4096u /* decisions of a thread, used over and over */

struct pool_params {
	uint64_t in_flight;
	double fail_percent;
};

static const struct kmem_option pool_options[] = {
	{
		.name = "in_flight",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct pool_params, in_flight),
		.initial = "16",
		.help = "elements each thread holds; the reserve is in_flight * threads",
		.min = 1,
		.max = 1u << 16,
	},
	{
		.name = "fail_percent",
		.type = KMEM_OPT_FLOAT,
		.offset = offsetof(struct pool_params, fail_percent),
		.initial = "5",
		.help = "share of the requests that the allocator refuses, 0 to 100",
	},
	KMEM_OPTION_END,
};

static const struct kmem_option_group pool_groups[] = {{pool_options, 0}, {NULL, 0}};

/* Of one thread. To the worker it is the allocator, which `base` is for. */
struct pool_state {
	struct allocator base; /* ops: the real allocator's */
	struct worker saved;   /* hooks as they were */
	size_t bytes;
	mempool_t *pool;
	uint32_t in_flight, next; /* ring of elements */
	uint32_t decision;	  /* next of fails[] */
	bool fails[FAILURES];
	void *element[];
};

/* Whose request the pool is passing on; NULL while the pool fills its reserve. */
static _Thread_local struct pool_state *current;

struct pool_shared {
	struct allocator *a;
	size_t size;
	mempool_t *pool;
};

static void *source_alloc(gfp_t gfp, void *arg)
{
	struct pool_shared *shared = arg;
	struct pool_state *s = current;

	if (s != NULL && s->fails[s->decision++ % FAILURES])
		return NULL;
	return shared->a->ops->alloc(shared->a, shared->size, 0, gfp, NUMA_NO_NODE);
}

static void source_free(void *element, void *arg)
{
	struct pool_shared *shared = arg;

	shared->a->ops->free(shared->a, element, shared->size);
}

/* --- the pool as an allocator --- */

static void *pool_hook_alloc(struct allocator *a, size_t size, size_t align, gfp_t gfp,
			     int node)
{
	struct pool_state *s = (struct pool_state *)a;

	(void)size, (void)align, (void)node;
	return mempool_alloc(s->pool, gfp);
}

static void pool_hook_free(struct allocator *a, void *ptr, size_t size)
{
	(void)size;
	mempool_free(ptr, ((struct pool_state *)a)->pool);
}

/* --- hooks --- */

static int pool_validate(const struct workload_run *run)
{
	const struct pool_params *params = run->params;

	if (!(params->fail_percent >= 0 && params->fail_percent <= 100))
		return kmem_error(-EINVAL,
				  "workload 'pool' has fail_percent=%g: give 0 to 100",
				  params->fail_percent);
	if (params->in_flight * run->threads > MEMPOOL_MIN_NR_MAX)
		return kmem_error(-EINVAL,
				  "workload 'pool' has in_flight=%" PRIu64
				  " for each of %u threads: at most %d together",
				  params->in_flight, run->threads, MEMPOOL_MIN_NR_MAX);
	return 0;
}

static int pool_setup(struct workload_run *run)
{
	const struct pool_params *params = run->params;
	struct pool_shared *shared = arena_alloc(sizeof(*shared));

	*shared = (struct pool_shared){run->allocator, run->size_bytes, NULL};
	shared->pool = mempool_create((int)(params->in_flight * run->threads),
				      source_alloc, source_free, shared);
	if (shared->pool == NULL) {
		arena_free(shared, sizeof(*shared));
		return -ENOMEM;
	}
	run->shared = shared;
	return 0;
}

static int pool_thread_setup(struct worker *w)
{
	const struct pool_params *params = w->run->params;
	uint32_t n = (uint32_t)params->in_flight;
	size_t bytes = sizeof(struct pool_state) + n * sizeof(void *);
	struct pool_state *s = arena_alloc(bytes);

	s->base.ops = w->a->ops;
	s->bytes = bytes;
	s->pool = ((struct pool_shared *)w->run->shared)->pool;
	s->in_flight = n;
	s->next = s->decision = 0;
	for (uint32_t i = 0; i < FAILURES; i++)
		s->fails[i] = rng_double(&w->rng) * 100 < params->fail_percent;
	s->saved = *w;
	w->a = &s->base;
	w->alloc = pool_hook_alloc;
	w->free = pool_hook_free;
	w->state = s;
	current = s;
	for (uint32_t i = 0; i < n; i++)
		s->element[i] = worker_alloc_untimed(w, w->run->size_bytes);
	return 0;
}

static KMEM_ALWAYS_INLINE void pool_step(struct worker *w, struct probe *p)
{
	struct pool_state *s = w->state;
	size_t size = w->run->size_bytes;
	uint32_t next = s->next;

	for (uint32_t i = 0; i < ELEMENTS_PER_QUANTUM; i++) {
		worker_free(w, p, s->element[next], size);
		s->element[next] = worker_alloc(w, p, size);
		next = next + 1 < s->in_flight ? next + 1 : 0;
	}
	s->next = next;
	w->ops += ELEMENTS_PER_QUANTUM;
}
WORKLOAD_STEP(pool_step);

static void pool_thread_teardown(struct worker *w)
{
	struct pool_state *s = w->state;

	for (uint32_t i = 0; i < s->in_flight; i++)
		worker_free_untimed(w, s->element[i], w->run->size_bytes);
	current = NULL;
	w->a = s->saved.a;
	w->alloc = s->saved.alloc;
	w->free = s->saved.free;
	arena_free(s, s->bytes);
}

static void pool_report(struct workload_run *run, workload_report_fn fn, void *arg)
{
	struct mempool_stats stats;

	mempool_stats(((struct pool_shared *)run->shared)->pool, &stats);
	fn("pool_from_reserve_count", (double)stats.from_reserve, arg);
	fn("pool_waits_count", (double)stats.waits, arg);
}

static void pool_teardown(struct workload_run *run)
{
	struct pool_shared *shared = run->shared;

	if (mempool_destroy(shared->pool) != 0)
		worker_fail(NULL, "workload 'pool': %s", kmem_last_error());
	arena_free(shared, sizeof(*shared));
	run->shared = NULL;
}

static const struct workload_ops pool_workload = {
	.abi_version = WORKLOAD_OPS_VERSION,
	.name = "pool",
	.description =
		"takes elements from a memory pool whose allocator refuses a share of the "
		"requests, and gives the oldest back",
	.stresses = "the pool's way to the allocator, to its reserve and back",
	.not_for = "comparing allocators: the pool's mutex, taken for every refused "
		   "request and every refill, outweighs them",
	.source = "mm/mempool.c of Linux",
	.op = "element: free+alloc",
	.caps = CAP_OBJECT | CAP_DISTINCT,
	.params = pool_groups,
	.params_size = sizeof(struct pool_params),
	.default_sizes = "64",
	.size_min_bytes = 1,
	.size_max_bytes = (uint64_t)1 << 22,
	.default_threads = "1",
	.default_touch = TOUCH_ENDS,
	.validate = pool_validate,
	.setup = pool_setup,
	.thread_setup = pool_thread_setup,
	.step = pool_step_plain,
	.step_probed = pool_step_probed,
	.thread_teardown = pool_thread_teardown,
	.report = pool_report,
	.teardown = pool_teardown,
};
WORKLOAD_REGISTER(pool_workload);
