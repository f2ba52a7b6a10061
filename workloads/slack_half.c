/* SPDX-License-Identifier: MIT */
/*
 * slack-half: every size is one byte too large for the class below it.
 *
 * Slots hold blocks of 2^k * (1 + j / steps_per_doubling) + 1 bytes, each of these sizes
 * as likely as any other, and a random one is replaced at a time. With one step per
 * doubling, the default, an allocator whose classes are powers of two wastes nearly half
 * of each block; with four steps, one that has four classes to a doubling wastes up to a
 * fifth. What is wasted in fact is the internal fragmentation of the memory pass, for
 * allocators that tell usable sizes, and resident over live memory for all.
 *
 * The figures `slack_…_share` say what rounding up to the next power of two, or to the
 * next of four or eight classes in a doubling, would waste of the blocks that it hands
 * out, for the live set as it is.
 */
#include <errno.h>
#include <inttypes.h>

#include <kmem/error.h>

#include "workloads/harness/draw.h"
#include "workloads/harness/slots_fast.h"
#include "workloads/harness/tally.h"

/* At about 50 ns each. */
#define REPLACEMENTS_PER_QUANTUM 4096u

/* Bytes asked for, and what they are in classes of 1, 4 and 8 to a doubling. */
enum slack_figure { ASKED_BYTES, ROUNDED_1_BYTES, ROUNDED_4_BYTES, ROUNDED_8_BYTES };

struct slack_params {
	uint64_t slots;
	uint64_t size_min_bytes, size_max_bytes;
	uint64_t steps_per_doubling;
};

static const struct kmem_option slack_options[] = {
	{
		.name = "slots",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct slack_params, slots),
		.initial = "4096",
		.help = "blocks that a thread keeps live",
		.min = 1,
		.max = 1u << 24,
	},
	{
		.name = "size_min_bytes",
		.type = KMEM_OPT_SIZE,
		.offset = offsetof(struct slack_params, size_min_bytes),
		.initial = "16",
		.help = "the lowest boundary; the smallest block is a byte larger",
		.min = 1,
		.max = 1u << 28,
	},
	{
		.name = "size_max_bytes",
		.type = KMEM_OPT_SIZE,
		.offset = offsetof(struct slack_params, size_max_bytes),
		.initial = "16K",
		.help = "the highest boundary that may be exceeded by a byte",
		.min = 1,
		.max = 1u << 28,
	},
	{
		.name = "steps_per_doubling",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct slack_params, steps_per_doubling),
		.initial = "1",
		.help = "boundaries in each doubling: 1 for classes of powers of two, 4 or 8 "
			"for finer ones",
		.min = 1,
		.max = 64,
	},
	KMEM_OPTION_END,
};

static const struct kmem_option_group slack_groups[] = {{slack_options, 0}, {NULL, 0}};

static uint64_t power_below(uint64_t size)
{
	return (uint64_t)1 << (63 - __builtin_clzll(size));
}

/* A boundary of the doubling [2^k, 2^(k+1)), and a byte. */
static uint64_t size_above(uint64_t power, uint64_t step, uint64_t steps)
{
	return power + power * step / steps + 1;
}

/* The smallest class that holds `size` where each doubling has `steps` of them. */
static uint64_t round_up(uint64_t size, uint64_t steps)
{
	uint64_t power = power_below(size);

	for (uint64_t step = 0; step < steps; step++)
		if (power + power * step / steps >= size)
			return power + power * step / steps;
	return 2 * power;
}

static uint32_t slack_draw(struct rng *rng, const void *arg)
{
	const struct slack_params *params = arg;
	uint64_t low = power_below(params->size_min_bytes);
	uint64_t high = power_below(params->size_max_bytes);
	uint64_t doublings = (uint64_t)__builtin_ctzll(high / low) + 1;
	uint64_t steps = params->steps_per_doubling, size;

	do {
		uint64_t k = rng_below(rng, doublings);

		size = size_above(low << k, rng_below(rng, steps), steps);
	} while (size <= params->size_min_bytes || size > params->size_max_bytes + 1);
	return (uint32_t)size;
}

/* There must be a boundary to exceed: a power of two lies within the bounds. */
static int slack_validate(const struct workload_run *run)
{
	const struct slack_params *params = run->params;

	if (power_below(params->size_max_bytes) < params->size_min_bytes)
		return kmem_error(-EINVAL,
				  "workload 'slack-half' has no power of two between "
				  "size_min_bytes=%" PRIu64 " and size_max_bytes=%" PRIu64
				  ": give bounds that are powers of two",
				  params->size_min_bytes, params->size_max_bytes);
	return 0;
}

static uint64_t slack_size_max(const struct workload_run *run)
{
	return ((const struct slack_params *)run->params)->size_max_bytes + 1;
}

static uint64_t slack_footprint(const struct workload_run *run)
{
	const struct slack_params *params = run->params;
	double mean = draw_log_uniform_mean(params->size_min_bytes,
					    2 * params->size_max_bytes);

	return (uint64_t)(mean * (double)params->slots * run->threads);
}

static int slack_setup(struct workload_run *run)
{
	run->shared = tally_new();
	return 0;
}

static int slack_thread_setup(struct worker *w)
{
	const struct slack_params *params = w->run->params;

	w->state = slots_new(w, (uint32_t)params->slots, slack_draw, params);
	return 0;
}

static KMEM_ALWAYS_INLINE void slack_step(struct worker *w, struct probe *p)
{
	slots_replace(w, p, w->state, REPLACEMENTS_PER_QUANTUM);
}
WORKLOAD_STEP(slack_step);

static void slack_thread_teardown(struct worker *w)
{
	struct tally *tally = w->run->shared;
	struct slots *s = w->state;

	for (uint32_t i = 0; i < s->count; i++) {
		tally_add(tally, ASKED_BYTES, s->slot[i].size);
		tally_add(tally, ROUNDED_1_BYTES, round_up(s->slot[i].size, 1));
		tally_add(tally, ROUNDED_4_BYTES, round_up(s->slot[i].size, 4));
		tally_add(tally, ROUNDED_8_BYTES, round_up(s->slot[i].size, 8));
	}
	slots_delete(w, s);
}

static void slack_pass_end(struct workload_run *run)
{
	tally_close(run->shared);
}

static double slack_share(const struct tally *tally, enum slack_figure rounded)
{
	double bytes = (double)tally_sum(tally, rounded);

	return bytes > 0 ? 1 - (double)tally_sum(tally, ASKED_BYTES) / bytes : 0;
}

static void slack_report(struct workload_run *run, workload_report_fn fn, void *arg)
{
	const struct tally *tally = run->shared;

	fn("slack_power_of_two_share", slack_share(tally, ROUNDED_1_BYTES), arg);
	fn("slack_four_classes_share", slack_share(tally, ROUNDED_4_BYTES), arg);
	fn("slack_eight_classes_share", slack_share(tally, ROUNDED_8_BYTES), arg);
}

static void slack_teardown(struct workload_run *run)
{
	tally_delete(run->shared);
	run->shared = NULL;
}

static const struct workload_ops slack_workload = {
	.abi_version = WORKLOAD_OPS_VERSION,
	.name = "slack-half",
	.description =
		"keeps slots filled with blocks that are a byte larger than a boundary "
		"between size classes, and replaces a random one at a time",
	.stresses = "internal fragmentation: what is lost by rounding sizes up",
	.not_for =
		"the waste of real programs, whose sizes seldom lie so badly; with the "
		"defaults nine tenths of the bytes are in blocks above 1 KiB",
	.source = "after the size classes of tcmalloc, whose design bounds slack",
	.op = "replacement: free+alloc",
	.caps = CAP_OBJECT | CAP_MIXED_SIZE,
	.params = slack_groups,
	.params_size = sizeof(struct slack_params),
	.default_threads = "1",
	.default_touch = TOUCH_PAGES,
	.validate = slack_validate,
	.size_max = slack_size_max,
	.footprint = slack_footprint,
	.setup = slack_setup,
	.thread_setup = slack_thread_setup,
	.step = slack_step_plain,
	.step_probed = slack_step_probed,
	.thread_teardown = slack_thread_teardown,
	.pass_end = slack_pass_end,
	.report = slack_report,
	.teardown = slack_teardown,
};
WORKLOAD_REGISTER(slack_workload);
