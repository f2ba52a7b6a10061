/* SPDX-License-Identifier: MIT */
/*
 * class-worst: a block in every span of every size class.
 *
 * For one size after the other: allocate bytes_per_class of it, then free all but one
 * block, drawn at random, of every span_bytes that were allocated in a row, and move on
 * to the next size. After the last size the kept blocks are freed and a cycle is over.
 *
 *   size 1  |....k....|.k.......|......k..|   k: kept; a span that serves one size
 *   size 2  |..k......|........k|...k.....|   only is lost to all other sizes
 *
 * An allocator that dedicates spans to classes ends up with nearly every span of every
 * class pinned, sizes * bytes_per_class in all, while one that merges what is freed
 * can use it for the next size. Hoard's bound on blow-up and the emptiness that it keeps
 * are about just this.
 *
 * Spans are pages by default, so that the larger spans of most allocators are pinned as
 * well, by more than one block each. Sizes end at a quarter of a span: beyond it the
 * kept blocks would be most of the memory.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>

#include <kmem/error.h>

#include "workloads/harness/arena.h"
#include "workloads/harness/draw.h"
#include "workloads/harness/script_fast.h"
#include "workloads/harness/tally.h"

#define CLASSES_MAX 256u

enum class_figure { PINNED_BYTES, KEPT_BYTES, LIVE_BYTES_MAX, CYCLES_DONE };

struct class_params {
	uint64_t sizes;
	uint64_t size_min_bytes, size_max_bytes;
	uint64_t bytes_per_class;
	uint64_t span_bytes;
};

static const struct kmem_option class_options[] = {
	{
		.name = "sizes",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct class_params, sizes),
		.initial = "16",
		.help = "how many sizes; they lie evenly, on a logarithmic scale, between the "
			"smallest and the largest",
		.min = 1,
		.max = CLASSES_MAX,
	},
	{
		.name = "size_min_bytes",
		.type = KMEM_OPT_SIZE,
		.offset = offsetof(struct class_params, size_min_bytes),
		.initial = "32",
		.help = "first and smallest size",
		.min = 1,
		.max = 1u << 30,
	},
	{
		.name = "size_max_bytes",
		.type = KMEM_OPT_SIZE,
		.offset = offsetof(struct class_params, size_max_bytes),
		.initial = "1K",
		.help = "last and largest size",
		.min = 1,
		.max = 1u << 30,
	},
	{
		.name = "bytes_per_class",
		.type = KMEM_OPT_SIZE,
		.offset = offsetof(struct class_params, bytes_per_class),
		.initial = "512K",
		.help = "what a thread allocates of each size before it frees",
		.min = 1,
		.max = (uint64_t)1 << 32,
	},
	{
		.name = "span_bytes",
		.type = KMEM_OPT_SIZE,
		.offset = offsetof(struct class_params, span_bytes),
		.initial = "4K",
		.help = "one block of so many bytes allocated in a row is kept; the span of "
			"the allocator in question, or smaller",
		.min = 1,
		.max = (uint64_t)1 << 32,
	},
	KMEM_OPTION_END,
};

static const struct kmem_option_group class_groups[] = {{class_options, 0}, {NULL, 0}};

struct class_state {
	size_t bytes; /* of the arena that holds this */
	struct script *script;
	uint64_t pinned_bytes, kept_bytes;
};

/* Size number i; rounding may make two of them equal when they lie close. */
static uint64_t class_size(const struct class_params *params, uint64_t i)
{
	double low = (double)params->size_min_bytes,
	       high = (double)params->size_max_bytes;

	if (params->sizes == 1)
		return params->size_min_bytes;
	return (uint64_t)(low * pow(high / low, (double)i / (double)(params->sizes - 1)) +
			  0.5);
}

static uint64_t class_blocks(const struct class_params *params, uint64_t size)
{
	return (params->bytes_per_class + size - 1) / size;
}

static uint64_t cycle_blocks(const struct class_params *params)
{
	uint64_t n = 0;

	for (uint64_t i = 0; i < params->sizes; i++)
		n += class_blocks(params, class_size(params, i));
	return n;
}

static int class_validate(const struct workload_run *run)
{
	const struct class_params *params = run->params;

	if (params->size_max_bytes > params->span_bytes / 2)
		return kmem_error(-EINVAL,
				  "workload 'class-worst' has size_max_bytes=%" PRIu64
				  " above half of span_bytes=%" PRIu64
				  ": one block in a span would be most of it, give less",
				  params->size_max_bytes, params->span_bytes);
	if (cycle_blocks(params) > SCRIPT_BLOCKS_MAX)
		return kmem_error(-EINVAL,
				  "workload 'class-worst' has %" PRIu64
				  " blocks in a cycle: lower bytes_per_class=%" PRIu64
				  " until there are %u at most",
				  cycle_blocks(params), params->bytes_per_class,
				  SCRIPT_BLOCKS_MAX);
	return draw_check_range("class-worst", "size_", params->size_min_bytes,
				params->size_max_bytes);
}

static uint64_t class_size_max(const struct workload_run *run)
{
	return ((const struct class_params *)run->params)->size_max_bytes;
}

/* Live is less; but what spans pin is what a process will hold, so say that. */
static uint64_t class_footprint(const struct workload_run *run)
{
	const struct class_params *params = run->params;

	return params->sizes * params->bytes_per_class * run->threads;
}

static int class_setup(struct workload_run *run)
{
	run->shared = tally_new();
	return 0;
}

/* Fills one size and frees all but a block of each span, in order of allocation. */
static void compose_class(struct script *script, struct rng *rng, uint64_t size,
			  uint64_t blocks, uint64_t blocks_per_span)
{
	uint32_t first = script->n_slots;

	for (uint64_t i = 0; i < blocks; i++)
		script_alloc(script, size);
	for (uint64_t span = 0; span < blocks; span += blocks_per_span) {
		uint64_t left = blocks - span;
		uint64_t n = left < blocks_per_span ? left : blocks_per_span;
		uint64_t kept = rng_below(rng, n);

		for (uint64_t i = 0; i < n; i++)
			if (i != kept)
				script_free(script, first + (uint32_t)(span + i));
	}
}

static int class_thread_setup(struct worker *w)
{
	const struct class_params *params = w->run->params;
	struct class_state *s = arena_alloc(sizeof(*s));

	s->bytes = sizeof(*s);
	s->script = script_new(cycle_blocks(params));
	for (uint64_t i = 0; i < params->sizes; i++) {
		uint64_t size = class_size(params, i);
		uint64_t blocks = class_blocks(params, size);

		compose_class(s->script, &w->rng, size, blocks,
			      params->span_bytes / size);
		s->pinned_bytes += blocks * size;
	}
	s->kept_bytes = s->script->live_bytes;
	script_drain(s->script);
	w->state = s;
	return 0;
}

static KMEM_ALWAYS_INLINE void class_step(struct worker *w, struct probe *p)
{
	struct class_state *s = w->state;

	script_step(w, p, s->script);
}
WORKLOAD_STEP(class_step);

static void class_thread_teardown(struct worker *w)
{
	struct class_state *s = w->state;

	tally_add(w->run->shared, PINNED_BYTES, s->pinned_bytes);
	tally_add(w->run->shared, KEPT_BYTES, s->kept_bytes);
	tally_add(w->run->shared, LIVE_BYTES_MAX, s->script->live_bytes_max);
	tally_add(w->run->shared, CYCLES_DONE, script_cycles(s->script));
	script_delete(w, s->script);
	arena_free(s, s->bytes);
}

static void class_pass_end(struct workload_run *run)
{
	tally_close(run->shared);
}

static void class_report(struct workload_run *run, workload_report_fn fn, void *arg)
{
	fn("class_pinned_bytes", (double)tally_sum(run->shared, PINNED_BYTES), arg);
	fn("class_kept_bytes", (double)tally_sum(run->shared, KEPT_BYTES), arg);
	fn("cycle_live_max_bytes", (double)tally_sum(run->shared, LIVE_BYTES_MAX), arg);
	fn("cycles_done", (double)tally_sum(run->shared, CYCLES_DONE), arg);
}

static void class_teardown(struct workload_run *run)
{
	tally_delete(run->shared);
	run->shared = NULL;
}

static const struct workload_ops class_workload = {
	.abi_version = WORKLOAD_OPS_VERSION,
	.name = "class-worst",
	.description =
		"fills one size after the other and frees all but a block in each span "
		"of it before it moves on",
	.stresses = "spans that a size class keeps for itself while it is nearly empty",
	.not_for =
		"fragmentation of real programs; allocators that merge neighbours of all "
		"sizes pass it easily and have a worst case elsewhere (ff-worst)",
	.source =
		"after Berger, McKinley, Blumofe and Wilson, Hoard, ASPLOS 2000 (blow-up)",
	.op = "call: alloc or free",
	.caps = CAP_OBJECT | CAP_MIXED_SIZE,
	.params = class_groups,
	.params_size = sizeof(struct class_params),
	.default_threads = "1",
	.default_touch = TOUCH_PAGES,
	.validate = class_validate,
	.size_max = class_size_max,
	.footprint = class_footprint,
	.setup = class_setup,
	.thread_setup = class_thread_setup,
	.step = class_step_plain,
	.step_probed = class_step_probed,
	.thread_teardown = class_thread_teardown,
	.pass_end = class_pass_end,
	.report = class_report,
	.teardown = class_teardown,
};
WORKLOAD_REGISTER(class_workload);
