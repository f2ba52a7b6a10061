/* SPDX-License-Identifier: MIT */
/*
 * large: blocks that have mappings of their own in most allocators.
 *
 * mode=replace keeps a few blocks of many MiB live and replaces a random one at a time.
 * mode=pair allocates a block of pair_bytes and frees it at once, again and again.
 *
 * By default a byte of each page is touched, as a program would that uses what it asked
 * for: then page faults and the kernel's zeroing are most of the figure, and an
 * allocator is fast that keeps its mappings. touch=none leaves the blocks alone, and
 * what remains is the price of the mapping itself.
 */
#include <errno.h>
#include <inttypes.h>

#include <kmem/error.h>

#include "workloads/harness/arena.h"
#include "workloads/harness/draw.h"
#include "workloads/harness/slots_fast.h"

/*
 * A touched page costs 0.1 us (mapping kept) to 1 us (faulted), so where pages are
 * touched a quantum is this many bytes, and one block at least.
 */
#define QUANTUM_BYTES ((uint64_t)4 << 20)
/*
 * Untouched, a replacement was seen to take 0.2 us to 3 ms and a pair 15 ns to 20 us,
 * by whether the allocator keeps its mappings: there is no right number for all.
 */
#define UNTOUCHED_REPLACEMENTS_PER_QUANTUM 16u
#define UNTOUCHED_PAIRS_PER_QUANTUM	   256u

enum large_mode { MODE_REPLACE, MODE_PAIR };
static const char *const mode_names[] = {"replace", "pair", NULL};

struct large_params {
	int mode; /* enum large_mode */
	uint64_t slots;
	uint64_t size_min_bytes, size_max_bytes;
	uint64_t pair_bytes;
};

static const struct kmem_option large_options[] = {
	{
		.name = "mode",
		.type = KMEM_OPT_ENUM,
		.offset = offsetof(struct large_params, mode),
		.initial = "replace",
		.help = "replace: random blocks of a live set; pair: allocate pair_bytes and "
			"free them at once",
		.choices = mode_names,
	},
	{
		.name = "slots",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct large_params, slots),
		.initial = "20",
		.help = "blocks that a thread keeps live (mode=replace)",
		.min = 1,
		.max = 1u << 20,
	},
	{
		.name = "size_min_bytes",
		.type = KMEM_OPT_SIZE,
		.offset = offsetof(struct large_params, size_min_bytes),
		.initial = "5M",
		.help = "smallest block; sizes are uniform between the two (mode=replace)",
		.min = 1,
		.max = (uint64_t)1 << 31,
	},
	{
		.name = "size_max_bytes",
		.type = KMEM_OPT_SIZE,
		.offset = offsetof(struct large_params, size_max_bytes),
		.initial = "25M",
		.help = "largest block (mode=replace)",
		.min = 1,
		.max = (uint64_t)1 << 31,
	},
	{
		.name = "pair_bytes",
		.type = KMEM_OPT_SIZE,
		.offset = offsetof(struct large_params, pair_bytes),
		.initial = "800K",
		.help = "the block's size with mode=pair",
		.min = 1,
		.max = (uint64_t)1 << 31,
	},
	KMEM_OPTION_END,
};

static const struct kmem_option_group large_groups[] = {{large_options, 0}, {NULL, 0}};

struct large_state {
	size_t bytes;	     /* of the arena that holds this */
	struct slots *slots; /* NULL with mode=pair */
	uint64_t pair_bytes; /* 0 with mode=replace */
	uint64_t per_quantum;
};

static int large_validate(const struct workload_run *run)
{
	const struct large_params *params = run->params;

	return draw_check_range("large", "size_", params->size_min_bytes,
				params->size_max_bytes);
}

static uint64_t large_extra_caps(const struct workload_run *run)
{
	const struct large_params *params = run->params;

	return params->mode == MODE_PAIR ? 0 : CAP_MIXED_SIZE;
}

static uint64_t large_size_max(const struct workload_run *run)
{
	const struct large_params *params = run->params;

	return params->mode == MODE_PAIR ? params->pair_bytes : params->size_max_bytes;
}

static uint64_t large_size_mean(const struct large_params *params)
{
	return (params->size_min_bytes + params->size_max_bytes) / 2;
}

static uint64_t large_footprint(const struct workload_run *run)
{
	const struct large_params *params = run->params;

	if (params->mode == MODE_PAIR)
		return params->pair_bytes * run->threads;
	return params->slots * large_size_mean(params) * run->threads;
}

static uint32_t large_draw(struct rng *rng, const void *arg)
{
	const struct large_params *params = arg;

	return (uint32_t)rng_between(rng, params->size_min_bytes, params->size_max_bytes);
}

static uint64_t large_per_quantum(const struct workload_run *run, uint64_t size)
{
	const struct large_params *params = run->params;

	if (!run->check && (run->touch == TOUCH_NONE || run->touch == TOUCH_ENDS))
		return params->mode == MODE_PAIR ? UNTOUCHED_PAIRS_PER_QUANTUM
						 : UNTOUCHED_REPLACEMENTS_PER_QUANTUM;
	return size < QUANTUM_BYTES ? QUANTUM_BYTES / size : 1;
}

static int large_thread_setup(struct worker *w)
{
	const struct large_params *params = w->run->params;
	struct large_state *s = arena_alloc(sizeof(*s));

	s->bytes = sizeof(*s);
	if (params->mode == MODE_PAIR) {
		s->pair_bytes = params->pair_bytes;
		s->per_quantum = large_per_quantum(w->run, params->pair_bytes);
	} else {
		s->slots = slots_new(w, (uint32_t)params->slots, large_draw, params);
		s->per_quantum = large_per_quantum(w->run, large_size_mean(params));
	}
	w->state = s;
	return 0;
}

static KMEM_ALWAYS_INLINE void large_step(struct worker *w, struct probe *p)
{
	struct large_state *s = w->state;

	if (s->slots != NULL) {
		slots_replace(w, p, s->slots, s->per_quantum);
		return;
	}
	for (uint64_t i = 0; i < s->per_quantum; i++)
		worker_free(w, p, worker_alloc(w, p, s->pair_bytes), s->pair_bytes);
	w->ops += s->per_quantum;
}
WORKLOAD_STEP(large_step);

static void large_thread_teardown(struct worker *w)
{
	struct large_state *s = w->state;

	if (s->slots != NULL)
		slots_delete(w, s->slots);
	arena_free(s, s->bytes);
}

static const struct workload_ops large_workload = {
	.abi_version = WORKLOAD_OPS_VERSION,
	.name = "large",
	.description =
		"keeps some blocks of many MiB live and replaces a random one at a "
		"time, or allocates and frees one block",
	.stresses =
		"mappings: making, keeping and reusing them, and the kernel's zeroing of "
		"their pages",
	.not_for =
		"the allocator's own speed where blocks are touched: page faults are the "
		"figure; and nobody who never uses what he allocates should be judged by "
		"touch=none",
	.source = "mimalloc issue 447: buffers of 5 to 25 MiB",
	.op = "replacement or pair: a free and an alloc",
	.caps = CAP_OBJECT,
	.params = large_groups,
	.params_size = sizeof(struct large_params),
	.default_threads = "1",
	.default_touch = TOUCH_PAGES,
	.validate = large_validate,
	.extra_caps = large_extra_caps,
	.size_max = large_size_max,
	.footprint = large_footprint,
	.thread_setup = large_thread_setup,
	.step = large_step_plain,
	.step_probed = large_step_probed,
	.thread_teardown = large_thread_teardown,
};
WORKLOAD_REGISTER(large_workload);
