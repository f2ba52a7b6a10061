/* SPDX-License-Identifier: MIT */
/*
 * realloc: blocks that grow, as vectors and strings do.
 *
 * A thread has some blocks that grow in turn, one call of realloc each, so that one may
 * lie in the way of another. A block that would exceed end_bytes is freed and begins
 * anew, at a size between start_bytes and twice that, so that sizes are not powers of
 * two by themselves. Every block starts at another stage of its growth: the mean size,
 * and the mix of small and large ones, is the same at any time.
 *
 * One operation is one call of realloc; the frees and allocations with which blocks
 * begin anew are in the figure, and stand in the latency histograms under their own
 * names. Whether a call moved the block is noted by comparing two addresses.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>

#include <kmem/error.h>

#include "workloads/harness/arena.h"
#include "workloads/harness/worker_fast.h"

/* New sizes of a quantum, added up; copying runs at some 5 to 10 bytes a ns. */
#define BYTES_PER_QUANTUM ((uint64_t)2 << 20)
#define CALLS_PER_QUANTUM 4096u
/* Pre-drawn sizes to begin with, read in a circle. */
#define START_RING 1024u

enum realloc_growth { GROWTH_DOUBLING, GROWTH_LINEAR };

static const char *const realloc_growths[] = {"doubling", "linear", NULL};

struct realloc_params {
	int growth;
	uint64_t n_blocks;
	uint64_t start_bytes, end_bytes, step_bytes;
};

static const struct kmem_option realloc_options[] = {
	{
		.name = "growth",
		.type = KMEM_OPT_ENUM,
		.offset = offsetof(struct realloc_params, growth),
		.initial = "doubling",
		.help = "doubling: each new size is twice the old one, as a vector grows; "
			"linear: step_bytes more, as a string that is appended to",
		.choices = realloc_growths,
	},
	{
		.name = "n_blocks",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct realloc_params, n_blocks),
		.initial = "16",
		.help = "blocks of a thread that grow in turn; with 1 nothing lies in the way",
		.min = 1,
		.max = 1u << 20,
	},
	{
		.name = "start_bytes",
		.type = KMEM_OPT_SIZE,
		.offset = offsetof(struct realloc_params, start_bytes),
		.initial = "16",
		.help = "a block begins with this size up to twice this size",
		.min = 1,
		.max = 1u << 30,
	},
	{
		.name = "end_bytes",
		.type = KMEM_OPT_SIZE,
		.offset = offsetof(struct realloc_params, end_bytes),
		.initial = "64K",
		.help = "a block that would grow beyond this begins anew",
		.min = 2,
		.max = (uint64_t)1 << 32,
	},
	{
		.name = "step_bytes",
		.type = KMEM_OPT_SIZE,
		.offset = offsetof(struct realloc_params, step_bytes),
		.initial = "64",
		.help = "what a block gains in a call, with growth=linear",
		.min = 1,
		.max = 1u << 30,
	},
	KMEM_OPTION_END,
};

static const struct kmem_option_group realloc_groups[] = {{realloc_options, 0},
							  {NULL, 0}};

struct grown_block {
	void *block;
	size_t size;
};

struct realloc_state {
	size_t bytes; /* of the arena that holds this */
	size_t end_bytes;
	size_t factor, step; /* a size s grows to s * factor + step */
	uint32_t calls;	     /* in a quantum */
	uint32_t n;
	uint32_t next;	     /* block to grow */
	uint32_t next_start; /* in start[] */
	uint64_t moves, moved_bytes;
	uint32_t start[START_RING];
	struct grown_block block[]; /* n */
};

struct realloc_shared {
	/* Of all passes; added to in thread_teardown(). */
	_Atomic uint64_t calls, moves, moved_bytes;
};

/* The least that a block can grow by in its first call. */
static uint64_t first_growth(const struct realloc_params *params)
{
	return params->growth == GROWTH_DOUBLING ? 2 * params->start_bytes
						 : params->step_bytes;
}

static int realloc_validate(const struct workload_run *run)
{
	const struct realloc_params *params = run->params;
	uint64_t least = 2 * params->start_bytes + first_growth(params);

	if (params->end_bytes < least)
		return kmem_error(-EINVAL,
				  "workload 'realloc' has end_bytes=%" PRIu64
				  ", which a block of 2 * start_bytes cannot grow to: "
				  "give %" PRIu64 " or more",
				  params->end_bytes, least);
	return 0;
}

static uint64_t realloc_size_max(const struct workload_run *run)
{
	return ((const struct realloc_params *)run->params)->end_bytes;
}

/* The largest size of each block; on average it is half of that, or less. */
static uint64_t realloc_footprint(const struct workload_run *run)
{
	const struct realloc_params *params = run->params;

	return run->threads * params->n_blocks * params->end_bytes;
}

static int realloc_setup(struct workload_run *run)
{
	run->shared = arena_alloc(sizeof(struct realloc_shared));
	return 0;
}

static size_t grown(const struct realloc_state *s, size_t size)
{
	return size * s->factor + s->step;
}

/* Calls from one beginning to the next, and the bytes asked for in them. */
static uint64_t stages(const struct realloc_state *s, size_t size, uint64_t *bytes)
{
	uint64_t n = 0;

	if (s->factor == 1) {
		n = (s->end_bytes - size) / s->step;
		*bytes = n * size + (n + 1) * n / 2 * s->step;
		return n;
	}
	*bytes = 0;
	for (size_t next = grown(s, size); next <= s->end_bytes; next = grown(s, next)) {
		*bytes += next;
		n++;
	}
	return n;
}

static uint32_t calls_per_quantum(const struct realloc_state *s)
{
	uint64_t bytes, n = stages(s, s->start[0], &bytes);
	uint64_t calls = BYTES_PER_QUANTUM / (bytes / n);

	return calls < 1		   ? 1
	       : calls > CALLS_PER_QUANTUM ? CALLS_PER_QUANTUM
					   : (uint32_t)calls;
}

static uint32_t next_start(struct realloc_state *s)
{
	uint32_t size = s->start[s->next_start];

	s->next_start = (s->next_start + 1) % START_RING;
	return size;
}

/* A block at a random stage of its growth. */
static void draw_block(struct worker *w, struct realloc_state *s, struct grown_block *b)
{
	uint64_t bytes, grows;

	b->size = next_start(s);
	grows = rng_below(&w->rng, stages(s, b->size, &bytes));
	b->size = s->factor == 1 ? b->size + grows * s->step : b->size << grows;
	b->block = worker_alloc_untimed(w, b->size);
}

static int realloc_thread_setup(struct worker *w)
{
	const struct realloc_params *params = w->run->params;
	uint32_t n = (uint32_t)params->n_blocks;
	size_t bytes = sizeof(struct realloc_state) + n * sizeof(struct grown_block);
	struct realloc_state *s = arena_alloc(bytes);

	s->bytes = bytes;
	s->n = n;
	s->end_bytes = params->end_bytes;
	s->factor = params->growth == GROWTH_DOUBLING ? 2 : 1;
	s->step = params->growth == GROWTH_DOUBLING ? 0 : params->step_bytes;
	for (uint32_t i = 0; i < START_RING; i++)
		s->start[i] = (uint32_t)rng_between(&w->rng, params->start_bytes,
						    2 * params->start_bytes);
	s->calls = calls_per_quantum(s);
	for (uint32_t i = 0; i < n; i++)
		draw_block(w, s, &s->block[i]);
	w->state = s;
	return 0;
}

static KMEM_ALWAYS_INLINE void realloc_step(struct worker *w, struct probe *p)
{
	struct realloc_state *s = w->state;

	for (uint32_t i = 0; i < s->calls; i++) {
		struct grown_block *b = &s->block[s->next];
		size_t size = grown(s, b->size);
		uintptr_t before;

		if (size > s->end_bytes) {
			worker_free(w, p, b->block, b->size);
			b->size = next_start(s);
			b->block = worker_alloc(w, p, b->size);
			size = grown(s, b->size);
		}
		before = (uintptr_t)b->block;
		b->block = worker_realloc(w, p, b->block, b->size, size);
		if ((uintptr_t)b->block != before) {
			s->moves++;
			s->moved_bytes += b->size;
		}
		b->size = size;
		s->next = s->next + 1 < s->n ? s->next + 1 : 0;
	}
	w->ops += s->calls;
}
WORKLOAD_STEP(realloc_step);

static void realloc_thread_teardown(struct worker *w)
{
	struct realloc_shared *shared = w->run->shared;
	struct realloc_state *s = w->state;

	atomic_fetch_add(&shared->calls, w->ops);
	atomic_fetch_add(&shared->moves, s->moves);
	atomic_fetch_add(&shared->moved_bytes, s->moved_bytes);
	for (uint32_t i = 0; i < s->n; i++)
		worker_free_untimed(w, s->block[i].block, s->block[i].size);
	arena_free(s, s->bytes);
}

static void realloc_report(struct workload_run *run, workload_report_fn fn, void *arg)
{
	struct realloc_shared *shared = run->shared;
	double calls = (double)atomic_load(&shared->calls);

	if (calls == 0)
		return;
	fn("moved_share", (double)atomic_load(&shared->moves) / calls, arg);
	fn("moved_bytes_per_op", (double)atomic_load(&shared->moved_bytes) / calls, arg);
}

static void realloc_teardown(struct workload_run *run)
{
	arena_free(run->shared, sizeof(struct realloc_shared));
	run->shared = NULL;
}

static const struct workload_ops realloc_workload = {
	.abi_version = WORKLOAD_OPS_VERSION,
	.name = "realloc",
	.description =
		"grows blocks in turn by realloc, twofold or by a fixed step, and begins "
		"anew with those that have reached their end",
	.stresses = "growing in place, and the copy where a block has to move",
	.not_for =
		"the cost of the call alone: copying is in the figure, and moved_share says "
		"how often; an allocator that moves a mapping instead of copying still "
		"counts as moving",
	.source = "written for this suite, after the growth of vectors and strings",
	.op = "realloc",
	.caps = CAP_OBJECT | CAP_MIXED_SIZE,
	.params = realloc_groups,
	.params_size = sizeof(struct realloc_params),
	.default_threads = "1",
	.default_touch = TOUCH_ENDS,
	.validate = realloc_validate,
	.size_max = realloc_size_max,
	.footprint = realloc_footprint,
	.setup = realloc_setup,
	.thread_setup = realloc_thread_setup,
	.step = realloc_step_plain,
	.step_probed = realloc_step_probed,
	.thread_teardown = realloc_thread_teardown,
	.report = realloc_report,
	.teardown = realloc_teardown,
};
WORKLOAD_REGISTER(realloc_workload);
