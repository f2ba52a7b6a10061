/* SPDX-License-Identifier: MIT */
/*
 * false-sharing: does the allocator put blocks of different threads on one cache line?
 *
 * Each operation allocates a small block, writes to every byte of it many times, and
 * frees it. When two threads' blocks lie on one line, every write of one takes the line
 * away from the other, and the writes, which are nearly all of the time, become several
 * times slower. Two ways to get there (Berger and others, section 2.2):
 *
 *   active    The allocator serves requests of different threads from one line.
 *             Cache-thrash: the threads do nothing but the above.
 *   passive   The program hands neighbouring blocks to different threads, and the
 *             allocator lets each thread use again what it has freed. Cache-scratch:
 *             one thread allocates a block for each, which frees it and goes on.
 *
 * In passive mode the first quantum of a pass begins with such blocks, allocated by
 * thread 0 one right after the other, and not counted as operations. From there on the
 * lines stay shared for as long as each thread gets back the block that it freed last.
 *
 * Beside the time, the workload looks where the blocks were: at the end of a quantum each
 * thread notes the lines of its last block, and whether another thread's last block
 * touches one of them. That share is exact on machines too noisy for the time to tell.
 */
#include <stdatomic.h>

#include "workloads/harness/arena.h"
#include "workloads/harness/wait_fast.h"
#include "workloads/harness/worker_fast.h"

/* Bytes written in a quantum, at 1 ns each or less while no line is shared. */
#define BYTES_PER_QUANTUM (256u * 1024)

enum sharing_mode { SHARING_PASSIVE, SHARING_ACTIVE };

static const char *const sharing_modes[] = {"passive", "active", NULL};

struct sharing_params {
	int mode;
	uint64_t rounds;
};

static const struct kmem_option sharing_options[] = {
	{
		.name = "mode",
		.type = KMEM_OPT_ENUM,
		.offset = offsetof(struct sharing_params, mode),
		.initial = "passive",
		.help = "passive: each thread begins with freeing a block that thread 0 "
			"allocated for it (cache-scratch); active: it does not (cache-thrash)",
		.choices = sharing_modes,
	},
	{
		.name = "rounds",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct sharing_params, rounds),
		.initial = "500",
		.help = "times every byte of a block is incremented before it is freed; fewer "
			"weigh the calls more",
		.min = 1,
		.max = 1u << 30,
	},
	KMEM_OPTION_END,
};

static const struct kmem_option_group sharing_groups[] = {{sharing_options, 0},
							  {NULL, 0}};

/* A thread's, on a pair of lines of its own: prefetchers fetch lines in pairs. */
struct sharing_place {
	/* Passive mode: what thread 0 has for this thread; NULL: not yet, or taken. */
	_Atomic(void *) handed;
	/* First and last line of its last block in this pass; 0: none yet. */
	_Atomic uintptr_t line_first, line_last;
} __attribute__((aligned(2 * KMEM_CACHELINE)));

struct sharing_shared {
	size_t bytes; /* of the arena that holds this */
	/* Of all passes; added to in thread_teardown(). */
	_Atomic uint64_t quanta, quanta_shared;
	struct sharing_place place[];
};

struct sharing_state {
	uint32_t blocks; /* in a quantum */
	uint64_t rounds;
	bool awaits_block; /* passive mode, before the first quantum */
	uint64_t quanta, quanta_shared;
};

static uint64_t sharing_extra_caps(const struct workload_run *run)
{
	const struct sharing_params *params = run->params;

	return params->mode == SHARING_PASSIVE ? CAP_REMOTE_FREE : 0;
}

/* A thread's block, and those that thread 0 has allocated for the others. */
static uint64_t sharing_footprint(const struct workload_run *run)
{
	return 2 * run->threads * run->size_bytes;
}

static int sharing_setup(struct workload_run *run)
{
	size_t bytes = sizeof(struct sharing_shared) +
		       run->threads * sizeof(struct sharing_place);
	struct sharing_shared *shared = arena_alloc(bytes);

	shared->bytes = bytes;
	run->shared = shared;
	return 0;
}

static int sharing_thread_setup(struct worker *w)
{
	const struct sharing_params *params = w->run->params;
	struct sharing_shared *shared = w->run->shared;
	struct sharing_state *s = arena_alloc(sizeof(*s));
	uint64_t blocks = BYTES_PER_QUANTUM / w->run->size_bytes / params->rounds;

	/* A call takes some 20 ns, however little is written. */
	s->blocks = blocks < 1 ? 1 : blocks > 8192 ? 8192 : (uint32_t)blocks;
	s->rounds = params->rounds;
	s->awaits_block = params->mode == SHARING_PASSIVE;
	atomic_store(&shared->place[w->index].line_first, 0);
	atomic_store(&shared->place[w->index].line_last, 0);
	w->state = s;
	return 0;
}

/* Thread 0 allocates for all, itself included; each waits for its block and frees it. */
static KMEM_ALWAYS_INLINE void hand_out(struct worker *w, struct probe *p)
{
	struct sharing_shared *shared = w->run->shared;
	struct sharing_place *own = &shared->place[w->index];
	size_t size = w->run->size_bytes;
	unsigned int turns = 0;
	void *block;

	for (unsigned int i = 0; w->index == 0 && i < w->run->threads; i++)
		atomic_store_explicit(&shared->place[i].handed, worker_alloc(w, p, size),
				      memory_order_release);
	while ((block = atomic_load_explicit(&own->handed, memory_order_acquire)) == NULL)
		wait_pause(&turns);
	atomic_store_explicit(&own->handed, NULL, memory_order_relaxed);
	worker_free(w, p, block, size);
}

/* volatile: every increment is a load and a store of the line. */
static KMEM_ALWAYS_INLINE void increment_bytes(void *block, size_t size, uint64_t rounds,
					       unsigned char by)
{
	volatile unsigned char *byte = block;

	for (uint64_t round = 0; round < rounds; round++)
		for (size_t i = 0; i < size; i++)
			byte[i] = (unsigned char)(byte[i] + by);
}

/* Does another thread's last block touch a line of this one? */
static bool on_a_shared_line(const struct worker *w, uintptr_t first, uintptr_t last)
{
	struct sharing_shared *shared = w->run->shared;

	for (unsigned int i = 0; i < w->run->threads; i++) {
		struct sharing_place *other = &shared->place[i];
		uintptr_t other_last = atomic_load_explicit(&other->line_last,
							    memory_order_relaxed);

		/* A torn pair of lines is at most one quantum wrong. */
		if (i != w->index && other_last >= first &&
		    atomic_load_explicit(&other->line_first, memory_order_relaxed) <=
			    last)
			return true;
	}
	return false;
}

static void note_lines(struct worker *w, uintptr_t block)
{
	struct sharing_shared *shared = w->run->shared;
	struct sharing_place *own = &shared->place[w->index];
	struct sharing_state *s = w->state;
	uintptr_t first = block / KMEM_CACHELINE;
	uintptr_t last = (block + w->run->size_bytes - 1) / KMEM_CACHELINE;

	atomic_store_explicit(&own->line_first, first, memory_order_relaxed);
	atomic_store_explicit(&own->line_last, last, memory_order_relaxed);
	s->quanta++;
	s->quanta_shared += on_a_shared_line(w, first, last);
}

static KMEM_ALWAYS_INLINE void sharing_step(struct worker *w, struct probe *p)
{
	struct sharing_state *s = w->state;
	size_t size = w->run->size_bytes;
	uintptr_t address = 0;

	if (KMEM_UNLIKELY(s->awaits_block)) {
		hand_out(w, p);
		s->awaits_block = false;
	}
	for (uint32_t i = 0; i < s->blocks; i++) {
		void *block = worker_alloc(w, p, size);

		address = (uintptr_t)block;
		increment_bytes(block, size, s->rounds, 1);
		/* Back to the stamp: an increment that another thread undid shows. */
		if (KMEM_UNLIKELY(w->check))
			increment_bytes(block, size, 1, (unsigned char)-s->rounds);
		worker_free(w, p, block, size);
	}
	note_lines(w, address);
	w->ops += s->blocks;
}
WORKLOAD_STEP(sharing_step);

static void sharing_thread_teardown(struct worker *w)
{
	struct sharing_shared *shared = w->run->shared;
	struct sharing_state *s = w->state;

	atomic_fetch_add(&shared->quanta, s->quanta);
	atomic_fetch_add(&shared->quanta_shared, s->quanta_shared);
	arena_free(s, sizeof(*s));
}

static void sharing_report(struct workload_run *run, workload_report_fn fn, void *arg)
{
	struct sharing_shared *shared = run->shared;
	double quanta = (double)atomic_load(&shared->quanta);

	if (quanta > 0)
		fn("line_shared_share",
		   (double)atomic_load(&shared->quanta_shared) / quanta, arg);
}

static void sharing_teardown(struct workload_run *run)
{
	struct sharing_shared *shared = run->shared;

	arena_free(shared, shared->bytes);
	run->shared = NULL;
}

static const struct workload_ops sharing_workload = {
	.abi_version = WORKLOAD_OPS_VERSION,
	.name = "false-sharing",
	.description =
		"each thread allocates a small block, writes to it many times and frees it, "
		"with or without first freeing a block that thread 0 allocated for it",
	.stresses = "cache lines shared between threads by blocks that lie side by side, "
		    "put there by the allocator (active) or kept there (passive)",
	.not_for =
		"the speed of alloc and free, which are a few per cent of the figure; nor "
		"one thread, or threads on one CPU, where no line is contended",
	.source =
		"cache-scratch and cache-thrash of Hoard: Berger, McKinley, Blumofe and "
		"Wilson, ASPLOS 2000",
	.op = "block: alloc, rounds of writes, free",
	.caps = CAP_OBJECT,
	.params = sharing_groups,
	.params_size = sizeof(struct sharing_params),
	.default_sizes = "8",
	.size_min_bytes = 1,
	.size_max_bytes = (uint64_t)1 << 20,
	.default_threads = "2",
	/* The workload writes to every byte itself. */
	.default_touch = TOUCH_NONE,
	.extra_caps = sharing_extra_caps,
	.footprint = sharing_footprint,
	.setup = sharing_setup,
	.thread_setup = sharing_thread_setup,
	.step = sharing_step_plain,
	.step_probed = sharing_step_probed,
	.thread_teardown = sharing_thread_teardown,
	.report = sharing_report,
	.teardown = sharing_teardown,
};
WORKLOAD_REGISTER(sharing_workload);
