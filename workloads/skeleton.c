/* SPDX-License-Identifier: MIT */
/*
 * skeleton: a template for a workload, which documents each hook.
 *
 * Copy this file, rename what is called skeleton, fill in the step and turn the
 * last line into WORKLOAD_REGISTER(name_workload): adding the file is all it
 * takes, the program finds it by itself. Say here in a few sentences what the
 * workload models and what one operation is. This one allocates `n_blocks`
 * blocks and frees the newest half of them before the older one; it is compiled
 * and tested, but does not appear in lists.
 */
#include <errno.h>
#include <stdatomic.h>

#include <kmem/error.h>

#include "workloads/harness/arena.h"
#include "workloads/harness/worker_fast.h"

/* Choose quanta of 100 us to 1 ms, and say what an operation was assumed to take. */
#define ROUNDS_PER_QUANTUM 64u

/* Parameters: a plain structure, and a table that feeds parser, help and results. */
struct skeleton_params {
	uint64_t n_blocks;
};

static const struct kmem_option skeleton_options[] = {
	{
		.name = "n_blocks",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct skeleton_params, n_blocks),
		.initial = "100",
		.help = "blocks live at once, an even number",
		.min = 2,
		.max = 1u << 20,
	},
	KMEM_OPTION_END,
};

static const struct kmem_option_group skeleton_groups[] = {{skeleton_options, 0},
							   {NULL, 0}};

/* One thread's state. Never kept inside blocks, never on the allocator under test. */
struct skeleton_state {
	size_t bytes; /* of the arena that holds this */
	uint32_t n;
	void *block[];
};

/*
 * validate: refuse here what cannot run, before any process is started. Say what
 * was given and what to give instead. run->allocator is still NULL. Capabilities
 * and bounds of the size are checked from the table below.
 */
static int skeleton_validate(const struct workload_run *run)
{
	const struct skeleton_params *params = run->params;

	if (params->n_blocks % 2 != 0)
		return kmem_error(
			-EINVAL,
			"workload 'skeleton' has n_blocks=%llu: give an even number",
			(unsigned long long)params->n_blocks);
	return 0;
}

/*
 * footprint: about how many bytes one process has live at most. Variants that are
 * compared are alive together, as many as fit into memory; without this hook one block
 * of size_max() for each thread is assumed.
 */
static uint64_t skeleton_footprint(const struct workload_run *run)
{
	const struct skeleton_params *params = run->params;

	return run->threads * params->n_blocks * run->size_bytes;
}

/*
 * idle_s: for how long the memory pass goes on watching after the last step, while
 * nothing happens. Only a workload about memory given back needs more than the default
 * of 0, which this is.
 */
static double skeleton_idle_s(const struct workload_run *run)
{
	(void)run;
	return 0;
}

/* What all threads share: here a figure for report(). */
struct skeleton_shared {
	_Atomic uint64_t batches; /* of all passes; added to in thread_teardown() */
};

/*
 * course_read: what the workload adds to the memory pass's time line, under the names in
 * `course` of the table; most add nothing. It is called while the steps run, from the
 * sampler's thread.
 */
static void skeleton_course_read(const struct workload_run *run, double *values)
{
	struct skeleton_shared *shared = run->shared;

	values[0] = (double)atomic_load(&shared->batches);
}

/* setup: once per cell, on the main thread; run->shared is the workload's. */
static int skeleton_setup(struct workload_run *run)
{
	run->shared = arena_alloc(sizeof(struct skeleton_shared));
	return 0;
}

/*
 * thread_setup: in each thread, before every pass (a cell has several: see enum
 * worker_pass; w->pass says which). Draw all random decisions from w->rng now. Blocks
 * that must live at the start of the pass come from worker_alloc_untimed(). All threads
 * have been set up when the first one steps.
 */
static int skeleton_thread_setup(struct worker *w)
{
	const struct skeleton_params *params = w->run->params;
	uint32_t n = (uint32_t)params->n_blocks;
	size_t bytes = sizeof(struct skeleton_state) + n * sizeof(void *);
	struct skeleton_state *s = arena_alloc(bytes);

	s->bytes = bytes;
	s->n = n;
	w->state = s;
	return 0;
}

/*
 * step: one quantum. Compiled twice, bare with p == NULL and with the probe. Every
 * allocation is a worker_alloc(), every free a worker_free() with the size asked
 * for. No clock, no random number, no system call, no output. Adds what it really
 * did to w->ops.
 *
 * Every thread of a pass does the same number of quanta, which may be one. A thread
 * may wait for another inside a step (wait_fast.h), if what it waits for comes within
 * as many quanta as it has done itself.
 *
 * worker_phase() names what happens from here on; the memory time line shows it, other
 * passes ignore it. A time that is neither that of an alloc nor of a free goes to one of
 * the workload's own histograms (`series` in the table) by worker_series().
 */
static KMEM_ALWAYS_INLINE void skeleton_step(struct worker *w, struct probe *p)
{
	struct skeleton_state *s = w->state;
	size_t size = w->run->size_bytes;
	uint32_t n = s->n;

	worker_phase(w, "work");
	for (uint32_t round = 0; round < ROUNDS_PER_QUANTUM; round++) {
		for (uint32_t i = 0; i < n; i++)
			s->block[i] = worker_alloc(w, p, size);
		for (uint32_t i = n / 2; i < n; i++)
			worker_free(w, p, s->block[i], size);
		for (uint32_t i = 0; i < n / 2; i++)
			worker_free(w, p, s->block[i], size);
	}
	w->ops += (uint64_t)ROUNDS_PER_QUANTUM * n;
}
WORKLOAD_STEP(skeleton_step);

/*
 * thread_teardown: in each thread, after every pass, when all threads have done their
 * last step. Frees what lives (worker_free_untimed()) and the state.
 */
static void skeleton_thread_teardown(struct worker *w)
{
	struct skeleton_shared *shared = w->run->shared;
	struct skeleton_state *s = w->state;

	atomic_fetch_add(&shared->batches, w->ops / s->n);
	arena_free(s, s->bytes);
}

/*
 * pass_end: once after every pass, when all threads have torn down: check what must
 * hold.
 */
static void skeleton_pass_end(struct workload_run *run)
{
	struct skeleton_shared *shared = run->shared;

	if (atomic_load(&shared->batches) == 0)
		worker_fail(NULL, "workload 'skeleton' ended a pass without a batch");
}

/*
 * report: figures of the workload's own, once after the last pass. They become counters
 * of the entry, so names are in lower case and end in their unit; a figure that is not
 * known is left out, never 0.
 */
static void skeleton_report(struct workload_run *run, workload_report_fn fn, void *arg)
{
	struct skeleton_shared *shared = run->shared;

	fn("batches", (double)atomic_load(&shared->batches), arg);
}

/* teardown: once per cell; undoes setup. */
static void skeleton_teardown(struct workload_run *run)
{
	arena_free(run->shared, sizeof(struct skeleton_shared));
	run->shared = NULL;
}

/*
 * The table. Sentences are shown as they are, so they start in lower case and have no
 * full stop. `not_for` is the honest part: what a figure of this workload does not say.
 * Workloads that draw their own sizes have no default_sizes, but a size_max hook;
 * extra_caps is for capabilities that depend on the parameters.
 */
extern const struct workload_ops skeleton_workload;
const struct workload_ops skeleton_workload = {
	.abi_version = WORKLOAD_OPS_VERSION,
	.name = "skeleton",
	.description =
		"allocates n_blocks blocks, then frees the newer half and the older half",
	.stresses = "the reader's understanding of a workload's hooks",
	.not_for = "any comparison: it is a template",
	.source = "written for this suite",
	.op = "alloc+free pair",
	.caps = CAP_OBJECT,
	.params = skeleton_groups,
	.params_size = sizeof(struct skeleton_params),
	.default_sizes = "64",
	.size_min_bytes = 1,
	.size_max_bytes = (uint64_t)1 << 30,
	.default_threads = "1",
	.default_touch = TOUCH_ENDS,
	.validate = skeleton_validate,
	.footprint = skeleton_footprint,
	.idle_s = skeleton_idle_s,
	.course = {"batches"},
	.course_read = skeleton_course_read,
	.setup = skeleton_setup,
	.thread_setup = skeleton_thread_setup,
	.step = skeleton_step_plain,
	.step_probed = skeleton_step_probed,
	.thread_teardown = skeleton_thread_teardown,
	.pass_end = skeleton_pass_end,
	.report = skeleton_report,
	.teardown = skeleton_teardown,
};
