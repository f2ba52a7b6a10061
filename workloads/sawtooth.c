/* SPDX-License-Identifier: MIT */
/*
 * sawtooth: a burst, of which a part stays; what does the system get back?
 *
 *   live bytes   /|            /|            the tooth's foot is what was kept
 *               / |           / |
 *              /  |__________/  |______...   memory pass: idle here, sampled at
 *          burst keep  drained               0.1, 1 and 5 s
 *
 * A cycle allocates burst_bytes, frees all but keep_percent of the blocks, in order
 * of allocation, and, at the next cycle's start, frees the kept ones. Which blocks
 * stay is the point: kept at random or every n-th they lie on most of the pages, the
 * oldest or newest lie together.
 *
 * In the throughput and latency passes the cycle is played in quanta of equal length.
 * The memory pass goes idle after whichever step is its last, and that has to be a
 * drained state: there the step that would begin a cycle plays all of it up to the
 * drained state, and the steps that would have played the rest do nothing. So it does
 * the same cycles in as many steps, and no step ends anywhere else.
 */
#include <errno.h>
#include <inttypes.h>

#include <kmem/error.h>

#include "workloads/harness/arena.h"
#include "workloads/harness/draw.h"
#include "workloads/harness/script_fast.h"
#include "workloads/harness/tally.h"

enum sawtooth_keep { KEEP_RANDOM, KEEP_NTH, KEEP_OLDEST, KEEP_NEWEST };
static const char *const keep_names[] = {"random", "nth", "oldest", "newest", NULL};

enum sawtooth_figure { KEPT_BYTES, BURST_BYTES, CYCLES_DONE };

struct sawtooth_params {
	uint64_t burst_bytes;
	uint64_t size_min_bytes, size_max_bytes;
	uint64_t keep_percent;
	int keep; /* enum sawtooth_keep */
	double idle_seconds;
};

static const struct kmem_option sawtooth_options[] = {
	{
		.name = "burst_bytes",
		.type = KMEM_OPT_SIZE,
		.offset = offsetof(struct sawtooth_params, burst_bytes),
		.initial = "16M",
		.help = "what a thread has live at the peak; larger shows more and takes "
			"longer",
		.min = 1,
		.max = (uint64_t)1 << 36,
	},
	{
		.name = "size_min_bytes",
		.type = KMEM_OPT_SIZE,
		.offset = offsetof(struct sawtooth_params, size_min_bytes),
		.initial = "16",
		.help = "smallest block; sizes are log-uniform between the two",
		.min = 1,
		.max = 1u << 30,
	},
	{
		.name = "size_max_bytes",
		.type = KMEM_OPT_SIZE,
		.offset = offsetof(struct sawtooth_params, size_max_bytes),
		.initial = "4K",
		.help = "largest block",
		.min = 1,
		.max = 1u << 30,
	},
	{
		.name = "keep_percent",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct sawtooth_params, keep_percent),
		.initial = "5",
		.help = "share of the blocks that stay; 0: all are freed",
		.min = 0,
		.max = 99,
	},
	{
		.name = "keep",
		.type = KMEM_OPT_ENUM,
		.offset = offsetof(struct sawtooth_params, keep),
		.initial = "random",
		.help = "which blocks stay: random ones, every n-th, or the oldest or newest "
			"together",
		.choices = keep_names,
	},
	{
		.name = "idle_seconds",
		.type = KMEM_OPT_FLOAT,
		.offset = offsetof(struct sawtooth_params, idle_seconds),
		.initial = "5",
		.help = "how long the memory pass goes on sampling after the last drain",
	},
	KMEM_OPTION_END,
};

static const struct kmem_option_group sawtooth_groups[] = {{sawtooth_options, 0},
							   {NULL, 0}};

struct sawtooth_state {
	size_t bytes; /* of the arena that holds this */
	struct script *script;
	uint32_t keep_at, drained_at; /* events where the phases begin; burst: at 0 */
	uint64_t kept_bytes, burst_bytes;
	uint64_t steps_per_cycle;
	uint64_t steps; /* of a memory pass */
};

static int sawtooth_validate(const struct workload_run *run)
{
	const struct sawtooth_params *params = run->params;

	if (!(params->idle_seconds >= 0 && params->idle_seconds <= 3600))
		return kmem_error(
			-EINVAL,
			"workload 'sawtooth' has idle_seconds=%g: give 0 to 3600",
			params->idle_seconds);
	if ((params->burst_bytes + params->size_min_bytes - 1) / params->size_min_bytes >
	    SCRIPT_BLOCKS_MAX)
		return kmem_error(-EINVAL,
				  "workload 'sawtooth' has burst_bytes=%" PRIu64
				  " of blocks from size_min_bytes=%" PRIu64
				  " on: give at most %u blocks",
				  params->burst_bytes, params->size_min_bytes,
				  SCRIPT_BLOCKS_MAX);
	return draw_check_range("sawtooth", "size_", params->size_min_bytes,
				params->size_max_bytes);
}

static uint64_t sawtooth_size_max(const struct workload_run *run)
{
	return ((const struct sawtooth_params *)run->params)->size_max_bytes;
}

static uint64_t sawtooth_footprint(const struct workload_run *run)
{
	const struct sawtooth_params *params = run->params;

	return (params->burst_bytes + params->size_max_bytes) * run->threads;
}

static double sawtooth_idle_s(const struct workload_run *run)
{
	return ((const struct sawtooth_params *)run->params)->idle_seconds;
}

static int sawtooth_setup(struct workload_run *run)
{
	run->shared = tally_new();
	return 0;
}

/* Blocks until the burst is complete; the generator is the caller's copy. */
static uint32_t count_blocks(const struct sawtooth_params *params, struct rng rng)
{
	uint64_t bytes = 0;
	uint32_t n = 0;

	for (; bytes < params->burst_bytes; n++)
		bytes += draw_log_uniform(&rng, params->size_min_bytes,
					  params->size_max_bytes);
	return n;
}

/* Whether block i of n stays. Exactly n * keep_percent / 100 do, but for random ones. */
static bool is_kept(const struct sawtooth_params *params, struct rng *rng, uint32_t i,
		    uint32_t n)
{
	uint64_t percent = params->keep_percent;
	uint64_t kept = n * percent / 100;

	switch ((enum sawtooth_keep)params->keep) {
	case KEEP_RANDOM: return rng_below(rng, 100) < percent;
	case KEEP_NTH: return (i + 1) * kept / n != i * kept / n;
	case KEEP_OLDEST: return i < kept;
	case KEEP_NEWEST: return i >= n - kept;
	}
	return false;
}

static int sawtooth_thread_setup(struct worker *w)
{
	const struct sawtooth_params *params = w->run->params;
	struct sawtooth_state *s = arena_alloc(sizeof(*s));
	uint32_t n = count_blocks(params, w->rng);
	struct script *script = script_new(n);

	for (uint32_t i = 0; i < n; i++)
		script_alloc(script, draw_log_uniform(&w->rng, params->size_min_bytes,
						      params->size_max_bytes));
	s->burst_bytes = script->live_bytes;
	s->keep_at = script->n_events;
	for (uint32_t i = 0; i < n; i++)
		if (!is_kept(params, &w->rng, i, n))
			script_free(script, i);
	s->kept_bytes = script->live_bytes;
	s->drained_at = script->n_events;
	script_drain(script);
	s->steps_per_cycle = (script->n_events + SCRIPT_QUANTUM - 1) / SCRIPT_QUANTUM;
	s->bytes = sizeof(*s);
	s->script = script;
	w->state = s;
	return 0;
}

/* From one drained state to the next; the first cycle has nothing kept to free. */
static KMEM_ALWAYS_INLINE void sawtooth_cycle(struct worker *w, struct probe *p)
{
	struct sawtooth_state *s = w->state;
	struct script *script = s->script;
	bool marks = w->index == 0;

	if (s->drained_at < script->n_events && script->next == s->drained_at)
		script_play(w, p, script, script->n_events - s->drained_at);
	if (marks)
		worker_phase(w, "burst");
	script_play(w, p, script, s->keep_at);
	if (marks)
		worker_phase(w, "keep");
	script_play(w, p, script, s->drained_at - s->keep_at);
	if (marks)
		worker_phase(w, "drained");
}

static KMEM_ALWAYS_INLINE void sawtooth_step(struct worker *w, struct probe *p)
{
	struct sawtooth_state *s = w->state;

	if (w->pass != PASS_MEMORY)
		script_play(w, p, s->script, SCRIPT_QUANTUM);
	else if (s->steps++ % s->steps_per_cycle == 0)
		sawtooth_cycle(w, p);
}
WORKLOAD_STEP(sawtooth_step);

static void sawtooth_thread_teardown(struct worker *w)
{
	struct sawtooth_state *s = w->state;

	tally_add(w->run->shared, KEPT_BYTES, s->kept_bytes);
	tally_add(w->run->shared, BURST_BYTES, s->burst_bytes);
	tally_add(w->run->shared, CYCLES_DONE, script_cycles(s->script));
	script_delete(w, s->script);
	arena_free(s, s->bytes);
}

static void sawtooth_pass_end(struct workload_run *run)
{
	tally_close(run->shared);
}

static void sawtooth_report(struct workload_run *run, workload_report_fn fn, void *arg)
{
	fn("sawtooth_burst_bytes", (double)tally_sum(run->shared, BURST_BYTES), arg);
	fn("sawtooth_kept_bytes", (double)tally_sum(run->shared, KEPT_BYTES), arg);
	fn("cycles_done", (double)tally_sum(run->shared, CYCLES_DONE), arg);
}

static void sawtooth_teardown(struct workload_run *run)
{
	tally_delete(run->shared);
	run->shared = NULL;
}

static const struct workload_ops sawtooth_workload = {
	.abi_version = WORKLOAD_OPS_VERSION,
	.name = "sawtooth",
	.description =
		"allocates a burst, frees all but a few blocks scattered over it, and "
		"does nothing for a while; then again",
	.stresses = "memory returned to the system: how much, and how long after a burst",
	.not_for =
		"allocators that return memory when asked to or on a timer longer than "
		"idle_seconds; the time per call has page faults in it and is a price, "
		"not a speed",
	.source = "written for this suite, after the bursts of servers",
	.op = "call: alloc or free",
	.caps = CAP_OBJECT | CAP_MIXED_SIZE,
	.params = sawtooth_groups,
	.params_size = sizeof(struct sawtooth_params),
	.default_threads = "1",
	.default_touch = TOUCH_PAGES,
	.validate = sawtooth_validate,
	.size_max = sawtooth_size_max,
	.footprint = sawtooth_footprint,
	.idle_s = sawtooth_idle_s,
	.setup = sawtooth_setup,
	.thread_setup = sawtooth_thread_setup,
	.step = sawtooth_step_plain,
	.step_probed = sawtooth_step_probed,
	.thread_teardown = sawtooth_thread_teardown,
	.pass_end = sawtooth_pass_end,
	.report = sawtooth_report,
	.teardown = sawtooth_teardown,
};
WORKLOAD_REGISTER(sawtooth_workload);
