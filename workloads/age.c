/* SPDX-License-Identifier: MIT */
/*
 * age: a long life at a fixed size, while what is asked for drifts.
 *
 * A thread keeps live_bytes live, in bytes and not in blocks: before each allocation
 * random blocks are freed until the new one fits. Sizes are log-uniform within a window
 * of window_octaves doublings that travels from the smallest size to the largest and
 * back while period_bytes are allocated:
 *
 *   size_max |        ____
 *            |    ___/    \___
 *            | __/            \__     window, against bytes allocated
 *   size_min |/________________\__
 *            0                 period_bytes
 *
 * So blocks of one size are gradually replaced by blocks of another, and memory that
 * was good for the one must become good for the other. Every thread drifts alike. Bytes
 * allocated are the clock: the memory pass shows fragmentation and latency against them.
 *
 * Draws are made beforehand and read in a circle; each lap picks other victims, and the
 * window's place belongs to the bytes allocated and not to the lap, so that the
 * operations do not repeat.
 *
 * The memory pass is of no use before the heap has been turned over some times, and
 * allocators must be about equally old to be compared. So its first step goes on until
 * TURNOVERS_MIN times live_bytes have been allocated, however short the pass.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>

#include <kmem/error.h>

#include "workloads/harness/arena.h"
#include "workloads/harness/draw.h"
#include "workloads/harness/slots_fast.h"
#include "workloads/harness/tally.h"

/*
 * At about 50 ns for an alloc with its share of frees. The window is moved on often
 * enough to be smooth, and seldom enough to cost nothing.
 */
#define ALLOCATIONS_PER_QUANTUM 2048u
#define ALLOCATIONS_PER_MOVE	64u
#define AGE_RING		16384u
/* Places of the window on its way there and back. */
#define AGE_PLACES 512u
#define BLOCKS_MAX (1u << 28)
/* Of the memory pass's first step; and its end where live_bytes are too many for that: at
 * 0.2 us for an alloc with its frees 0.2 s. */
#define TURNOVERS_MIN	 10u
#define FIRST_QUANTA_MAX 512u

enum age_figure { ALLOCATED_BYTES, AGE_CALLS };

struct age_params {
	uint64_t live_bytes;
	uint64_t size_min_bytes, size_max_bytes;
	uint64_t window_octaves;
	uint64_t period_bytes;
};

static const struct kmem_option age_options[] = {
	{
		.name = "live_bytes",
		.type = KMEM_OPT_SIZE,
		.offset = offsetof(struct age_params, live_bytes),
		.initial = "4M",
		.help = "what a thread keeps live, to within one block",
		.min = 1,
		.max = (uint64_t)1 << 40,
	},
	{
		.name = "size_min_bytes",
		.type = KMEM_OPT_SIZE,
		.offset = offsetof(struct age_params, size_min_bytes),
		.initial = "32",
		.help = "smallest size, where the window begins",
		.min = 1,
		.max = 1u << 28,
	},
	{
		.name = "size_max_bytes",
		.type = KMEM_OPT_SIZE,
		.offset = offsetof(struct age_params, size_max_bytes),
		.initial = "4K",
		.help = "largest size, where the window turns back",
		.min = 1,
		.max = 1u << 28,
	},
	{
		.name = "window_octaves",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct age_params, window_octaves),
		.initial = "2",
		.help = "doublings that sizes are spread over at any time; as many as lie "
			"between the smallest and the largest size: no drift",
		.min = 0,
		.max = 15,
	},
	{
		.name = "period_bytes",
		.type = KMEM_OPT_SIZE,
		.offset = offsetof(struct age_params, period_bytes),
		.initial = "16M",
		.help = "bytes that a thread allocates while the window goes there and back",
		.min = 1,
		.max = (uint64_t)1 << 44,
	},
	KMEM_OPTION_END,
};

static const struct kmem_option_group age_groups[] = {{age_options, 0}, {NULL, 0}};

struct age_draw {
	uint32_t victim; /* among the live blocks, as a share of 2^32 */
	uint32_t factor; /* of the window's low end, 1 << 16 is 1; 15 octaves fit */
};

struct age_state {
	size_t bytes; /* of the arena that holds this and the blocks */
	uint64_t live_bytes, live_bytes_max;
	uint64_t allocated_bytes;
	uint64_t period_bytes;
	uint64_t n_live;
	uint32_t size_max;
	uint32_t next; /* in the ring */
	uint32_t lap;  /* a random-looking number for each lap */
	bool aged;     /* in the memory pass: the first step is over */
	struct slot *live;
	uint64_t low[AGE_PLACES]; /* the window's low end by its place, 1 << 8 is 1 byte
				   */
	struct age_draw ring[AGE_RING];
};

static int age_validate(const struct workload_run *run)
{
	const struct age_params *params = run->params;

	if (params->live_bytes < params->size_max_bytes)
		return kmem_error(-EINVAL,
				  "workload 'age' has live_bytes=%" PRIu64
				  ": give at least size_max_bytes=%" PRIu64,
				  params->live_bytes, params->size_max_bytes);
	if (params->live_bytes / params->size_min_bytes > BLOCKS_MAX)
		return kmem_error(-EINVAL,
				  "workload 'age' has live_bytes=%" PRIu64
				  " in blocks of size_min_bytes=%" PRIu64
				  ": give at most %u blocks",
				  params->live_bytes, params->size_min_bytes, BLOCKS_MAX);
	return draw_check_range("age", "size_", params->size_min_bytes,
				params->size_max_bytes);
}

static uint64_t age_size_max(const struct workload_run *run)
{
	return ((const struct age_params *)run->params)->size_max_bytes;
}

static uint64_t age_footprint(const struct workload_run *run)
{
	return ((const struct age_params *)run->params)->live_bytes * run->threads;
}

static int age_setup(struct workload_run *run)
{
	run->shared = tally_new();
	return 0;
}

/* Up in the first half of the places and down in the second, evenly in octaves. */
static void draw_window(const struct age_params *params, struct rng *rng,
			struct age_state *s)
{
	double octaves =
		log2((double)params->size_max_bytes / (double)params->size_min_bytes);
	double window = (double)params->window_octaves;

	if (window > octaves)
		window = octaves;
	for (uint32_t i = 0; i < AGE_PLACES; i++) {
		double way = 2 * (double)i / AGE_PLACES;
		double up = way < 1 ? way : 2 - way;

		s->low[i] = (uint64_t)((double)params->size_min_bytes *
				       exp2(up * (octaves - window)) * 256);
	}
	for (uint32_t i = 0; i < AGE_RING; i++) {
		s->ring[i].victim = (uint32_t)rng_next(rng);
		s->ring[i].factor =
			(uint32_t)(exp2(rng_double(rng) * window) * (1 << 16));
	}
}

static KMEM_ALWAYS_INLINE uint32_t age_size(const struct age_state *s, uint64_t low,
					    const struct age_draw *draw)
{
	/* In 2^-24 bytes. Low end and factor together reach size_max and no further. */
	uint64_t size = low * draw->factor >> 24;

	return size > s->size_max ? s->size_max : size > 0 ? (uint32_t)size : 1;
}

static KMEM_ALWAYS_INLINE const struct age_draw *age_next(struct age_state *s)
{
	const struct age_draw *draw = &s->ring[s->next];

	if (++s->next == AGE_RING) {
		s->next = 0;
		s->lap += 0x9e3779b9u;
	}
	return draw;
}

static void age_add(struct age_state *s, void *block, uint32_t size)
{
	s->live[s->n_live++] = (struct slot){block, size};
	s->live_bytes += size;
}

static int age_thread_setup(struct worker *w)
{
	const struct age_params *params = w->run->params;
	size_t bytes = sizeof(struct age_state) +
		       (params->live_bytes / params->size_min_bytes + 1) *
			       sizeof(struct slot);
	struct age_state *s = arena_alloc(bytes);
	uint32_t size;

	s->bytes = bytes;
	s->live = (struct slot *)(s + 1);
	s->live_bytes_max = params->live_bytes;
	s->period_bytes = params->period_bytes;
	s->size_max = (uint32_t)params->size_max_bytes;
	draw_window(params, &w->rng, s);
	while (size = age_size(s, s->low[0], age_next(s)),
	       s->live_bytes + size <= s->live_bytes_max)
		age_add(s, worker_alloc_untimed(w, size), size);
	w->state = s;
	return 0;
}

static KMEM_ALWAYS_INLINE void age_free(struct worker *w, struct probe *p,
					struct age_state *s, uint64_t place)
{
	struct slot *victim = &s->live[(place & UINT32_MAX) * s->n_live >> 32];

	worker_free(w, p, victim->block, victim->size);
	s->live_bytes -= victim->size;
	*victim = s->live[--s->n_live];
}

/* Which place of the window the bytes allocated so far have led to. */
static uint64_t age_low(const struct age_state *s)
{
	uint64_t into = s->allocated_bytes % s->period_bytes;

	return s->low[(uint64_t)((double)into / (double)s->period_bytes * AGE_PLACES)];
}

/* Some allocations with the window where it is; returns the frees they needed. */
static KMEM_ALWAYS_INLINE uint64_t age_replace(struct worker *w, struct probe *p,
					       struct age_state *s)
{
	uint64_t low = age_low(s), frees = 0;

	for (uint32_t i = 0; i < ALLOCATIONS_PER_MOVE; i++) {
		const struct age_draw *draw = age_next(s);
		uint32_t size = age_size(s, low, draw);
		uint64_t victim = draw->victim + s->lap;

		for (; s->live_bytes + size > s->live_bytes_max; frees++) {
			age_free(w, p, s, victim);
			victim += 0x61c88647u; /* when one was not enough: elsewhere */
		}
		age_add(s, worker_alloc(w, p, size), size);
		s->allocated_bytes += size;
	}
	return frees;
}

static KMEM_ALWAYS_INLINE void age_quantum(struct worker *w, struct probe *p)
{
	uint64_t frees = 0;

	for (uint32_t i = 0; i < ALLOCATIONS_PER_QUANTUM / ALLOCATIONS_PER_MOVE; i++)
		frees += age_replace(w, p, w->state);
	w->ops += ALLOCATIONS_PER_QUANTUM + frees;
}

static KMEM_ALWAYS_INLINE void age_step(struct worker *w, struct probe *p)
{
	struct age_state *s = w->state;

	age_quantum(w, p);
	if (KMEM_LIKELY(w->pass != PASS_MEMORY || s->aged))
		return;
	for (uint32_t i = 1; i < FIRST_QUANTA_MAX &&
			     s->allocated_bytes < TURNOVERS_MIN * s->live_bytes_max;
	     i++)
		age_quantum(w, p);
	s->aged = true;
}
WORKLOAD_STEP(age_step);

static void age_thread_teardown(struct worker *w)
{
	struct age_state *s = w->state;

	for (uint64_t i = 0; i < s->n_live; i++)
		worker_free_untimed(w, s->live[i].block, s->live[i].size);
	tally_add(w->run->shared, ALLOCATED_BYTES, s->allocated_bytes);
	tally_add(w->run->shared, AGE_CALLS, w->ops);
	arena_free(s, s->bytes);
}

static void age_pass_end(struct workload_run *run)
{
	tally_close(run->shared);
}

static void age_report(struct workload_run *run, workload_report_fn fn, void *arg)
{
	const struct age_params *params = run->params;
	double allocated = (double)tally_sum(run->shared, ALLOCATED_BYTES);
	double threads = (double)run->threads;

	fn("age_calls", (double)tally_sum(run->shared, AGE_CALLS), arg);
	fn("age_turnovers", allocated / ((double)params->live_bytes * threads), arg);
	fn("drift_periods_done", allocated / ((double)params->period_bytes * threads),
	   arg);
}

static void age_teardown(struct workload_run *run)
{
	tally_delete(run->shared);
	run->shared = NULL;
}

static const struct workload_ops age_workload = {
	.abi_version = WORKLOAD_OPS_VERSION,
	.name = "age",
	.description =
		"replaces random blocks at a fixed number of live bytes, over and over, "
		"while sizes slowly drift up and down",
	.stresses = "fragmentation and latency over a long life, by bytes allocated",
	.not_for =
		"short runs: below some ten turnovers (age_turnovers) it shows the first "
		"fill; a random victim knows nothing of the lifetimes of real programs",
	.source = "written for this suite; asked for in mimalloc-bench",
	.op = "call: alloc or free",
	.caps = CAP_OBJECT | CAP_MIXED_SIZE,
	.params = age_groups,
	.params_size = sizeof(struct age_params),
	.default_threads = "1",
	.default_touch = TOUCH_PAGES,
	.validate = age_validate,
	.size_max = age_size_max,
	.footprint = age_footprint,
	.setup = age_setup,
	.thread_setup = age_thread_setup,
	.step = age_step_plain,
	.step_probed = age_step_probed,
	.thread_teardown = age_thread_teardown,
	.pass_end = age_pass_end,
	.report = age_report,
	.teardown = age_teardown,
};
WORKLOAD_REGISTER(age_workload);
