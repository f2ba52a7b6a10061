/* SPDX-License-Identifier: MIT */
/*
 * phased: a server's life in phases, of each of which a few blocks survive.
 *
 * A phase has sizes of its own: log-uniform within two doublings that are drawn
 * anew, and one block in large_one_in is a large one. It allocates blocks_per_phase
 * blocks; half of them, drawn at random, are transient and are freed at random times
 * within the phase. At its end the rest is freed but for survivor_percent, which live
 * on for survivor_phases further phases, among blocks of other sizes. A cycle is a
 * number of phases and ends with nothing live.
 *
 * mstress, after which this is made, also passes blocks between threads and starts
 * threads anew in each phase; here each thread keeps to itself, since server-life,
 * larson and churn-exit measure those two by themselves.
 */
#include <errno.h>
#include <inttypes.h>

#include <kmem/error.h>

#include "workloads/harness/arena.h"
#include "workloads/harness/draw.h"
#include "workloads/harness/script_fast.h"
#include "workloads/harness/tally.h"

/* The sizes of one phase lie within this factor of each other. */
#define PHASE_SPREAD 4u
#define PHASES_MAX   4096u

enum phased_figure { PHASES_DONE, SURVIVORS_BYTES_MAX, CYCLES_DONE };

struct phased_params {
	uint64_t phases;
	uint64_t blocks_per_phase;
	uint64_t survivor_percent, survivor_phases;
	uint64_t size_min_bytes, size_max_bytes;
	uint64_t large_one_in;
	uint64_t large_min_bytes, large_max_bytes;
};

static const struct kmem_option phased_options[] = {
	{
		.name = "phases",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct phased_params, phases),
		.initial = "20",
		.help = "phases of a cycle, after which all is freed and the same ones come "
			"again",
		.min = 1,
		.max = PHASES_MAX,
	},
	{
		.name = "blocks_per_phase",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct phased_params, blocks_per_phase),
		.initial = "3000",
		.help = "blocks that a thread allocates in a phase",
		.min = 2,
		.max = 1u << 22,
	},
	{
		.name = "survivor_percent",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct phased_params, survivor_percent),
		.initial = "10",
		.help = "share of a phase's last blocks that outlive it",
		.min = 0,
		.max = 100,
	},
	{
		.name = "survivor_phases",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct phased_params, survivor_phases),
		.initial = "8",
		.help = "further phases that survivors live for",
		.min = 1,
		.max = PHASES_MAX,
	},
	{
		.name = "size_min_bytes",
		.type = KMEM_OPT_SIZE,
		.offset = offsetof(struct phased_params, size_min_bytes),
		.initial = "16",
		.help = "smallest block; a phase's sizes are log-uniform within a factor of 4 "
			"that lies log-uniformly between the two",
		.min = 1,
		.max = 1u << 30,
	},
	{
		.name = "size_max_bytes",
		.type = KMEM_OPT_SIZE,
		.offset = offsetof(struct phased_params, size_max_bytes),
		.initial = "4K",
		.help = "largest block but for the large ones",
		.min = 1,
		.max = 1u << 30,
	},
	{
		.name = "large_one_in",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct phased_params, large_one_in),
		.initial = "1000",
		.help = "one block in so many is large; 0: none",
		.min = 0,
		.max = 1u << 30,
	},
	{
		.name = "large_min_bytes",
		.type = KMEM_OPT_SIZE,
		.offset = offsetof(struct phased_params, large_min_bytes),
		.initial = "32K",
		.help = "smallest large block; log-uniform between the two",
		.min = 1,
		.max = 1u << 30,
	},
	{
		.name = "large_max_bytes",
		.type = KMEM_OPT_SIZE,
		.offset = offsetof(struct phased_params, large_max_bytes),
		.initial = "512K",
		.help = "largest large block",
		.min = 1,
		.max = 1u << 30,
	},
	KMEM_OPTION_END,
};

static const struct kmem_option_group phased_groups[] = {{phased_options, 0}, {NULL, 0}};

struct phased_state {
	size_t bytes; /* of the arena that holds this */
	struct script *script;
	uint64_t survivors_bytes_max;
};

/* What composing needs, and playing no longer. */
struct phased_plan {
	size_t bytes;
	uint32_t *live;	     /* slots of this phase's blocks */
	uint32_t *survivors; /* slots, oldest phase first */
	uint32_t n_live, n_survivors;
	uint32_t oldest;	      /* first in survivors[] that still lives */
	uint32_t end[PHASES_MAX + 1]; /* survivors[] up to here are of phases before */
};

static int phased_validate(const struct workload_run *run)
{
	const struct phased_params *params = run->params;
	int err;

	if (params->phases * params->blocks_per_phase > SCRIPT_BLOCKS_MAX)
		return kmem_error(-EINVAL,
				  "workload 'phased' has phases=%" PRIu64
				  " of blocks_per_phase=%" PRIu64
				  ": give at most %u blocks together",
				  params->phases, params->blocks_per_phase,
				  SCRIPT_BLOCKS_MAX);
	err = draw_check_range("phased", "size_", params->size_min_bytes,
			       params->size_max_bytes);
	if (err == 0 && params->large_one_in != 0)
		err = draw_check_range("phased", "large_", params->large_min_bytes,
				       params->large_max_bytes);
	return err;
}

static uint64_t phased_size_max(const struct workload_run *run)
{
	const struct phased_params *params = run->params;

	if (params->large_one_in == 0 || params->large_max_bytes < params->size_max_bytes)
		return params->size_max_bytes;
	return params->large_max_bytes;
}

/* Half a phase's blocks and the survivors, all at their mean. */
static uint64_t phased_footprint(const struct workload_run *run)
{
	const struct phased_params *params = run->params;
	double size = draw_log_uniform_mean(params->size_min_bytes,
					    params->size_max_bytes);
	double blocks = (double)params->blocks_per_phase / 2;

	if (params->large_one_in != 0)
		size += draw_log_uniform_mean(params->large_min_bytes,
					      params->large_max_bytes) /
			(double)params->large_one_in;
	blocks *= 1 + (double)(params->survivor_percent * params->survivor_phases) / 100;
	return (uint64_t)(blocks * size * run->threads);
}

static int phased_setup(struct workload_run *run)
{
	run->shared = tally_new();
	return 0;
}

/* One block in large_one_in is large; the others are of this phase's sizes. */
static uint64_t phased_size(const struct phased_params *params, struct rng *rng,
			    uint64_t low, uint64_t high)
{
	if (params->large_one_in != 0 && rng_below(rng, params->large_one_in) == 0)
		return draw_log_uniform(rng, params->large_min_bytes,
					params->large_max_bytes);
	return draw_log_uniform(rng, low, high);
}

/* Survivors of phases before this one are freed up to, and without, `phase`. */
static void free_survivors(struct phased_plan *plan, struct script *script,
			   uint64_t phase)
{
	for (; plan->oldest < plan->end[phase]; plan->oldest++)
		script_free(script, plan->survivors[plan->oldest]);
}

static void compose_phase(struct rng *rng, const struct phased_params *params,
			  struct phased_plan *plan, struct script *script)
{
	uint64_t low = params->size_min_bytes, high = params->size_max_bytes;

	if (high / PHASE_SPREAD > low) {
		low = draw_log_uniform(rng, low, high / PHASE_SPREAD);
		high = low * PHASE_SPREAD;
	}
	plan->n_live = 0;
	for (uint64_t i = 0; i < params->blocks_per_phase; i++) {
		plan->live[plan->n_live++] =
			script_alloc(script, phased_size(params, rng, low, high));
		if (i % 2 == 1) {
			uint32_t victim = (uint32_t)rng_below(rng, plan->n_live);

			script_free(script, plan->live[victim]);
			plan->live[victim] = plan->live[--plan->n_live];
		}
	}
	for (uint32_t i = 0; i < plan->n_live; i++) {
		if (rng_below(rng, 100) < params->survivor_percent)
			plan->survivors[plan->n_survivors++] = plan->live[i];
		else
			script_free(script, plan->live[i]);
	}
}

static uint64_t compose_cycle(struct rng *rng, const struct phased_params *params,
			      struct script *script)
{
	uint64_t blocks = params->phases * params->blocks_per_phase;
	size_t bytes = sizeof(struct phased_plan) +
		       (params->blocks_per_phase + blocks) * sizeof(uint32_t);
	struct phased_plan *plan = arena_alloc(bytes);
	uint64_t survivors_bytes_max = 0;

	plan->live = (uint32_t *)(plan + 1);
	plan->survivors = plan->live + params->blocks_per_phase;
	for (uint64_t phase = 0; phase < params->phases; phase++) {
		compose_phase(rng, params, plan, script);
		plan->end[phase + 1] = plan->n_survivors;
		if (phase >= params->survivor_phases)
			free_survivors(plan, script, phase + 1 - params->survivor_phases);
		if (script->live_bytes > survivors_bytes_max)
			survivors_bytes_max = script->live_bytes;
	}
	script_drain(script);
	arena_free(plan, bytes);
	return survivors_bytes_max;
}

static int phased_thread_setup(struct worker *w)
{
	const struct phased_params *params = w->run->params;
	struct phased_state *s = arena_alloc(sizeof(*s));

	s->bytes = sizeof(*s);
	s->script = script_new(params->phases * params->blocks_per_phase);
	s->survivors_bytes_max = compose_cycle(&w->rng, params, s->script);
	w->state = s;
	return 0;
}

static KMEM_ALWAYS_INLINE void phased_step(struct worker *w, struct probe *p)
{
	struct phased_state *s = w->state;

	script_step(w, p, s->script);
}
WORKLOAD_STEP(phased_step);

static void phased_thread_teardown(struct worker *w)
{
	const struct phased_params *params = w->run->params;
	struct phased_state *s = w->state;
	uint64_t cycles = script_cycles(s->script), played = cycles * params->phases;

	/* Phases are about equally long; of a drain none is left to be done. */
	if (s->script->next < s->script->drain_at)
		played += params->phases * s->script->next / s->script->drain_at;
	tally_add(w->run->shared, PHASES_DONE, played);
	tally_add(w->run->shared, CYCLES_DONE, cycles);
	tally_add(w->run->shared, SURVIVORS_BYTES_MAX, s->survivors_bytes_max);
	script_delete(w, s->script);
	arena_free(s, s->bytes);
}

static void phased_pass_end(struct workload_run *run)
{
	tally_close(run->shared);
}

static void phased_report(struct workload_run *run, workload_report_fn fn, void *arg)
{
	fn("phases_done", (double)tally_sum(run->shared, PHASES_DONE), arg);
	fn("cycles_done", (double)tally_sum(run->shared, CYCLES_DONE), arg);
	fn("survivors_max_bytes", (double)tally_sum(run->shared, SURVIVORS_BYTES_MAX),
	   arg);
}

static void phased_teardown(struct workload_run *run)
{
	tally_delete(run->shared);
	run->shared = NULL;
}

static const struct workload_ops phased_workload = {
	.abi_version = WORKLOAD_OPS_VERSION,
	.name = "phased",
	.description =
		"phases with sizes of their own, most of whose blocks die in them, while "
		"a few survive into later phases; rarely a large block",
	.stresses = "drift of sizes and the fragmentation that survivors leave behind",
	.not_for =
		"the cost of hand-over and of thread exit, which mstress has and this has "
		"not; the same phases come round after each cycle",
	.source = "mstress of mimalloc-bench (test-stress of mimalloc)",
	.op = "call: alloc or free",
	.caps = CAP_OBJECT | CAP_MIXED_SIZE,
	.params = phased_groups,
	.params_size = sizeof(struct phased_params),
	.default_threads = "1",
	.default_touch = TOUCH_PAGES,
	.validate = phased_validate,
	.size_max = phased_size_max,
	.footprint = phased_footprint,
	.setup = phased_setup,
	.thread_setup = phased_thread_setup,
	.step = phased_step_plain,
	.step_probed = phased_step_probed,
	.thread_teardown = phased_thread_teardown,
	.pass_end = phased_pass_end,
	.report = phased_report,
	.teardown = phased_teardown,
};
WORKLOAD_REGISTER(phased_workload);
