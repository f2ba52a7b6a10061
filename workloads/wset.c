/* SPDX-License-Identifier: MIT */
/* wset: a working set of mixed sizes, one random block of it replaced at a time. */
#include <math.h>

#include "workloads/harness/draw.h"
#include "workloads/harness/slots_fast.h"

/* At 10 to 100 ns each. */
#define REPLACEMENTS_PER_QUANTUM 8192u

struct wset_params {
	uint64_t slots;
	uint64_t size_min_bytes, size_max_bytes;
};

static const struct kmem_option wset_options[] = {
	{
		.name = "slots",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct wset_params, slots),
		.initial = "1024",
		.help = "blocks each thread keeps live",
		.min = 1,
		.max = 1u << 24,
	},
	{
		.name = "size_min_bytes",
		.type = KMEM_OPT_SIZE,
		.offset = offsetof(struct wset_params, size_min_bytes),
		.initial = "4",
		.help = "smallest block",
		.min = 1,
		.max = 1u << 30,
	},
	{
		.name = "size_max_bytes",
		.type = KMEM_OPT_SIZE,
		.offset = offsetof(struct wset_params, size_max_bytes),
		.initial = "32768",
		.help = "largest block; every doubling of the size is half as frequent",
		.min = 1,
		.max = 1u << 30,
	},
	KMEM_OPTION_END,
};

static const struct kmem_option_group wset_groups[] = {{wset_options, 0}, {NULL, 0}};

/*
 * Sizes by the inverse of their distribution. With a density of c / x^2 between
 * a = min - 1/2 and b = max + 1/2 the share below x is
 *
 *   F(x) = (1/a - 1/x) / (1/a - 1/b),   so   x = 1 / (1/a - u (1/a - 1/b))
 *
 * for a uniform u. Rounding x to the nearest s gives
 *
 *   p(s) ~ 1/(s - 1/2) - 1/(s + 1/2) = 1 / (s^2 - 1/4)
 *
 * which is s^-2 to within 1.6 % from s = 4 on.
 */
static uint32_t wset_draw(struct rng *rng, const void *arg)
{
	const struct wset_params *params = arg;
	double low = 1 / ((double)params->size_min_bytes - 0.5);
	double high = 1 / ((double)params->size_max_bytes + 0.5);
	double x = 1 / (low - rng_double(rng) * (low - high));
	uint64_t size = (uint64_t)(x + 0.5);

	if (size < params->size_min_bytes)
		size = params->size_min_bytes;
	if (size > params->size_max_bytes)
		size = params->size_max_bytes;
	return (uint32_t)size;
}

static int wset_validate(const struct workload_run *run)
{
	const struct wset_params *params = run->params;

	return draw_check_range("wset", "size_", params->size_min_bytes,
				params->size_max_bytes);
}

static uint64_t wset_size_max(const struct workload_run *run)
{
	return ((const struct wset_params *)run->params)->size_max_bytes;
}

/* The mean of a density of c / x^2 between a and b is ln(b / a) / (1/a - 1/b). */
static uint64_t wset_footprint(const struct workload_run *run)
{
	const struct wset_params *params = run->params;
	double low = (double)params->size_min_bytes - 0.5;
	double high = (double)params->size_max_bytes + 0.5;
	double mean = log(high / low) / (1 / low - 1 / high);

	return (uint64_t)((double)params->slots * mean * run->threads);
}

static int wset_thread_setup(struct worker *w)
{
	const struct wset_params *params = w->run->params;

	w->state = slots_new(w, (uint32_t)params->slots, wset_draw, params);
	return 0;
}

static KMEM_ALWAYS_INLINE void wset_step(struct worker *w, struct probe *p)
{
	slots_replace(w, p, w->state, REPLACEMENTS_PER_QUANTUM);
}
WORKLOAD_STEP(wset_step);

static void wset_thread_teardown(struct worker *w)
{
	slots_delete(w, w->state);
}

static const struct workload_ops wset_workload = {
	.abi_version = WORKLOAD_OPS_VERSION,
	.name = "wset",
	.description =
		"keeps slots filled with blocks of mixed sizes, small ones by far the "
		"most frequent, and replaces a random one at a time",
	.stresses =
		"size classes, random order of freeing, and the memory that mixed sizes "
		"cost, at a constant number of live blocks",
	.not_for =
		"the behaviour of a real program: sizes and lifetimes are independent, and "
		"every 16384 replacements the same sizes come round",
	.source = "bench-malloc-thread of glibc",
	.op = "replacement: free+alloc",
	.caps = CAP_OBJECT | CAP_MIXED_SIZE,
	.params = wset_groups,
	.params_size = sizeof(struct wset_params),
	.default_threads = "1",
	.default_touch = TOUCH_ENDS,
	.validate = wset_validate,
	.size_max = wset_size_max,
	.footprint = wset_footprint,
	.thread_setup = wset_thread_setup,
	.step = wset_step_plain,
	.step_probed = wset_step_probed,
	.thread_teardown = wset_thread_teardown,
};
WORKLOAD_REGISTER(wset_workload);
