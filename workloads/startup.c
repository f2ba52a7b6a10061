/* SPDX-License-Identifier: MIT */
/*
 * startup: the first allocations of a thread.
 *
 * Each operation is one thread's life: it is created, allocates one block of each size
 * from size_min_bytes up, doubled each time, frees them all and ends. Every allocation
 * is the first one of its size in that thread; the smallest comes first and also pays
 * for the thread's own start in the allocator: its heap, its cache, its registration.
 *
 * What an allocation of each size takes is kept apart in the latency pass and stands
 * in the report, next to the histogram of them all. Creation and end of the thread, 20
 * to 80 us before the allocator adds its share, are in the time per operation and not
 * in those latencies; what an allocator does when a thread ends is in the time per
 * operation alone.
 */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

#include "workloads/harness/arena.h"
#include "workloads/harness/draw.h"
#include "workloads/harness/fresh_thread.h"
#include "workloads/harness/worker_fast.h"

/* At 50 to 100 us each. */
#define THREADS_PER_QUANTUM 8u
/* Doublings from 1 byte to 1 GiB. */
#define CLASSES_MAX 31

struct startup_params {
	uint64_t size_min_bytes, size_max_bytes;
};

static const struct kmem_option startup_options[] = {
	{
		.name = "size_min_bytes",
		.type = KMEM_OPT_SIZE,
		.offset = offsetof(struct startup_params, size_min_bytes),
		.initial = "16",
		.help = "a thread's first block; each further one is twice as large",
		.min = 1,
		.max = 1u << 30,
	},
	{
		.name = "size_max_bytes",
		.type = KMEM_OPT_SIZE,
		.offset = offsetof(struct startup_params, size_max_bytes),
		.initial = "32K",
		.help = "no block is larger",
		.min = 1,
		.max = 1u << 30,
	},
	KMEM_OPTION_END,
};

static const struct kmem_option_group startup_groups[] = {{startup_options, 0},
							  {NULL, 0}};

struct startup_shared {
	size_t bytes; /* of the arena that holds this */
	unsigned int classes;
	_Atomic uint64_t threads_started; /* of all passes */
	_Atomic double ns_per_tick;	  /* 0: no probed pass yet */
	/* Ticks of a class's first allocation, of the latency pass: those of thread t
	 * begin at t * classes and are written by that thread alone. */
	struct histogram first[];
};

static int startup_validate(const struct workload_run *run)
{
	const struct startup_params *params = run->params;

	return draw_check_range("startup", "size_", params->size_min_bytes,
				params->size_max_bytes);
}

static uint64_t startup_size_max(const struct workload_run *run)
{
	return ((const struct startup_params *)run->params)->size_max_bytes;
}

/* Sizes that double add up to less than twice the last. */
static uint64_t startup_footprint(const struct workload_run *run)
{
	return 2 * run->threads * startup_size_max(run);
}

static unsigned int count_classes(const struct startup_params *params)
{
	unsigned int n = 0;

	for (uint64_t size = params->size_min_bytes; size <= params->size_max_bytes;
	     size *= 2)
		n++;
	return n;
}

static int startup_setup(struct workload_run *run)
{
	unsigned int classes = count_classes(run->params);
	size_t n = (size_t)classes * run->threads;
	size_t bytes = sizeof(struct startup_shared) + n * sizeof(struct histogram);
	struct startup_shared *shared = arena_alloc(bytes);

	shared->bytes = bytes;
	shared->classes = classes;
	for (size_t i = 0; i < n; i++)
		histogram_reset(&shared->first[i]);
	run->shared = shared;
	return 0;
}

static int startup_thread_setup(struct worker *w)
{
	struct startup_shared *shared = w->run->shared;

	if (w->probe != NULL)
		shared->ns_per_tick = w->probe->clock.ns_per_tick;
	return 0;
}

/* One thread's life, in that thread. */
static KMEM_ALWAYS_INLINE void startup_life(struct worker *w, struct probe *p)
{
	const struct startup_params *params = w->run->params;
	struct startup_shared *shared = w->run->shared;
	unsigned int classes = shared->classes;
	struct histogram *first = &shared->first[w->index * classes];
	void *block[CLASSES_MAX];
	size_t size = params->size_min_bytes;

	for (unsigned int i = 0; i < classes; i++, size *= 2) {
		uint64_t before = p != NULL ? p->alloc.sum : 0;

		block[i] = worker_alloc(w, p, size);
		/*
		 * The probe has added this sample, and no other, to its sum. In the
		 * memory pass usable_size() is called after each allocation, and would
		 * be the thread's first call instead of the next one.
		 */
		if (p != NULL && w->pass != PASS_MEMORY)
			histogram_add(&first[i], p->alloc.sum - before);
	}
	size = params->size_min_bytes;
	for (unsigned int i = 0; i < classes; i++, size *= 2)
		worker_free(w, p, block[i], size);
}
WORKLOAD_STEP(startup_life);

static void startup_quantum(struct worker *w, void (*life)(struct worker *))
{
	for (uint32_t i = 0; i < THREADS_PER_QUANTUM; i++)
		fresh_thread_run(w, life);
	w->ops += THREADS_PER_QUANTUM;
}

static void startup_step_plain(struct worker *w)
{
	startup_quantum(w, startup_life_plain);
}

static void startup_step_probed(struct worker *w)
{
	startup_quantum(w, startup_life_probed);
}

static void startup_thread_teardown(struct worker *w)
{
	struct startup_shared *shared = w->run->shared;

	atomic_fetch_add(&shared->threads_started, w->ops);
}

/* One size: the samples of all workers merged into the first one's. */
static void report_class(struct workload_run *run, unsigned int class, uint64_t size,
			 workload_report_fn fn, void *arg)
{
	struct startup_shared *shared = run->shared;
	struct histogram *all = &shared->first[class];
	double ns_per_tick = shared->ns_per_tick;
	char name[64];

	for (unsigned int t = 1; t < run->threads; t++) {
		struct histogram *one = &shared->first[t * shared->classes + class];

		histogram_merge(all, one);
		histogram_reset(one);
	}
	if (all->count == 0)
		return;
	snprintf(name, sizeof(name), "first_alloc_%" PRIu64 "_ns_p50", size);
	fn(name, histogram_quantile(all, 0.5) * ns_per_tick, arg);
	snprintf(name, sizeof(name), "first_alloc_%" PRIu64 "_ns_p99", size);
	fn(name, histogram_quantile(all, 0.99) * ns_per_tick, arg);
}

static void startup_report(struct workload_run *run, workload_report_fn fn, void *arg)
{
	const struct startup_params *params = run->params;
	struct startup_shared *shared = run->shared;
	uint64_t size = params->size_min_bytes;

	fn("threads_started", (double)atomic_load(&shared->threads_started), arg);
	for (unsigned int i = 0; i < shared->classes; i++, size *= 2)
		report_class(run, i, size, fn, arg);
}

static void startup_teardown(struct workload_run *run)
{
	struct startup_shared *shared = run->shared;

	arena_free(shared, shared->bytes);
	run->shared = NULL;
}

static const struct workload_ops startup_workload = {
	.abi_version = WORKLOAD_OPS_VERSION,
	.name = "startup",
	.description =
		"starts threads one after the other, each of which allocates one block of "
		"each size, the first of its life, frees them and ends",
	.stresses =
		"what a thread's first call and its first block of each size cost, and "
		"the end of a thread whose caches are full",
	.not_for =
		"steady state; and the time per operation is mostly the kernel's for a "
		"thread: read first_alloc_<bytes>_ns_p50, or the latency of alloc",
	.source = "written for this suite",
	.op = "thread: started, first alloc of each size, frees, ended",
	.caps = CAP_OBJECT | CAP_MIXED_SIZE,
	.params = startup_groups,
	.params_size = sizeof(struct startup_params),
	.default_threads = "1",
	.default_touch = TOUCH_ENDS,
	.validate = startup_validate,
	.size_max = startup_size_max,
	.footprint = startup_footprint,
	.setup = startup_setup,
	.thread_setup = startup_thread_setup,
	.step = startup_step_plain,
	.step_probed = startup_step_probed,
	.thread_teardown = startup_thread_teardown,
	.report = startup_report,
	.teardown = startup_teardown,
};
WORKLOAD_REGISTER(startup_workload);
