/* SPDX-License-Identifier: MIT */
/*
 * churn-exit: threads that live for a few blocks and leave them behind.
 *
 * Each operation is one thread's life: it is created, allocates some blocks, leaves each
 * of them in a random slot of an array that all threads share, frees the blocks that it
 * found there (of threads that are long gone, as a rule), and ends with its caches full
 * of what it freed. The array is filled before the clock starts, so the number of live
 * blocks is constant, and whatever memory the process gains has been lost with ended
 * threads.
 *
 * Creation and end of the thread are in the operation, 20 to 80 us before the allocator
 * adds its share; the floors pay them too. The figure to look at is memory: see
 * rss_bytes_growth_per_thread in report, and the process's memory over time.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "workloads/harness/arena.h"
#include "workloads/harness/draw.h"
#include "workloads/harness/fresh_thread.h"
#include "workloads/harness/lap_fast.h"
#include "workloads/harness/shared_slots_fast.h"

/* At 50 to 100 us each. */
#define THREADS_PER_QUANTUM 8u
/* Pre-drawn blocks that a worker holds for its threads, read in a circle. */
#define CHURN_RING 16384u
/* Allocated before the first of what was found in exchange is freed. */
#define BLOCKS_IN_HAND 64u
/* Growth of fewer threads than these is that of a page here and there. */
#define THREADS_FOR_GROWTH 100u
/* Of each worker, before a probed pass looks at memory first. */
#define THREADS_TO_SETTLE 32u

struct churn_params {
	uint64_t blocks_per_thread;
	uint64_t slots;
	uint64_t size_min_bytes, size_max_bytes;
};

static const struct kmem_option churn_options[] = {
	{
		.name = "blocks_per_thread",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct churn_params, blocks_per_thread),
		.initial = "16",
		.help = "blocks that a thread allocates, and frees, in its life; more weigh "
			"thread creation less",
		.min = 1,
		.max = 1u << 20,
	},
	{
		.name = "slots",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct churn_params, slots),
		.initial = "1000",
		.help = "live blocks that all threads share; a block outlives "
			"slots / blocks_per_thread threads on average",
		.min = 1,
		.max = 1u << 26,
	},
	SHARED_SLOTS_SIZE_OPTIONS(struct churn_params, "1024"),
	KMEM_OPTION_END,
};

static const struct kmem_option_group churn_groups[] = {{churn_options, 0}, {NULL, 0}};

struct churn_block {
	uint32_t slot;
	uint32_t size;
};

/* A worker's; its short-lived threads use it one after the other. */
struct churn_state {
	uint32_t blocks_per_thread;
	uint32_t next;	/* place in the ring */
	uint32_t shift; /* of this lap's slots */
	uint32_t slots;
	struct churn_block ring[CHURN_RING];
};

struct churn_shared {
	struct shared_slots *slots;
	_Atomic uint64_t threads_started; /* of all passes */
	_Atomic uint32_t set_up;	  /* workers of a throughput pass */
	/* Of the pass at hand: resident memory before the first quantum and after the
	 * last, by whoever comes first; 0: not read. */
	_Atomic uint64_t rss_begin, rss_end, threads_begin;
	double growth_per_thread; /* of the last pass that had enough threads */
	bool growth_known;
};

static int churn_validate(const struct workload_run *run)
{
	const struct churn_params *params = run->params;

	if (shared_slots_check(run, params->slots) != 0)
		return -EINVAL;
	return draw_check_range("churn-exit", "size_", params->size_min_bytes,
				params->size_max_bytes);
}

static uint64_t churn_size_max(const struct workload_run *run)
{
	return ((const struct churn_params *)run->params)->size_max_bytes;
}

/* What the slots hold, and what a thread has in hand, at the mean size. */
static uint64_t churn_footprint(const struct workload_run *run)
{
	const struct churn_params *params = run->params;
	uint64_t hand = params->blocks_per_thread < BLOCKS_IN_HAND
				? params->blocks_per_thread
				: BLOCKS_IN_HAND;

	return (params->slots + run->threads * hand) *
	       (params->size_min_bytes + params->size_max_bytes) / 2;
}

/* Resident bytes, by a walk through the page tables and so exact; 0: not known. */
static uint64_t resident_bytes(void)
{
	char text[1024];
	const char *line;
	ssize_t length;
	int fd = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	length = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (length <= 0)
		return 0;
	text[length] = '\0';
	line = strstr(text, "\nRss:");
	return line != NULL ? strtoull(line + strlen("\nRss:"), NULL, 10) * 1024 : 0;
}

static int churn_setup(struct workload_run *run)
{
	const struct churn_params *params = run->params;
	struct churn_shared *shared = arena_alloc(sizeof(*shared));

	shared->slots = shared_slots_new(params->slots);
	run->shared = shared;
	return 0;
}

/* Once a pass, when all threads are set up and so many short-lived ones have ended. */
static void note_begin(struct churn_shared *shared, uint64_t ended)
{
	uint64_t none = 0, rss;

	if (atomic_load_explicit(&shared->rss_begin, memory_order_relaxed) != 0)
		return;
	rss = resident_bytes();
	if (atomic_compare_exchange_strong(&shared->rss_begin, &none, rss))
		atomic_store(&shared->threads_begin,
			     atomic_load(&shared->threads_started) + ended);
}

static int churn_thread_setup(struct worker *w)
{
	const struct churn_params *params = w->run->params;
	struct churn_shared *shared = w->run->shared;
	struct churn_state *s = arena_alloc(sizeof(*s));

	s->blocks_per_thread = (uint32_t)params->blocks_per_thread;
	s->slots = (uint32_t)params->slots;
	for (uint32_t i = 0; i < CHURN_RING; i++) {
		s->ring[i].slot = (uint32_t)rng_below(&w->rng, params->slots);
		s->ring[i].size = (uint32_t)rng_between(&w->rng, params->size_min_bytes,
							params->size_max_bytes);
	}
	shared_slots_fill(w, shared->slots, params->size_min_bytes,
			  params->size_max_bytes);
	w->state = s;
	/* The last one to be set up: reading memory is no part of what is timed. */
	if (w->probe == NULL &&
	    atomic_fetch_add(&shared->set_up, 1) + 1 == w->run->threads)
		note_begin(shared, 0);
	return 0;
}

/*
 * One thread's life, in that thread. Allocations come first, up to BLOCKS_IN_HAND at a
 * time, so that what it frees is what its caches hold when it ends.
 */
static KMEM_ALWAYS_INLINE void churn_life(struct worker *w, struct probe *p)
{
	struct churn_state *s = w->state;
	struct shared_slots *slots = ((struct churn_shared *)w->run->shared)->slots;
	uint64_t found[BLOCKS_IN_HAND];
	uint32_t left = s->blocks_per_thread;

	while (left > 0) {
		uint32_t n = left < BLOCKS_IN_HAND ? left : BLOCKS_IN_HAND;

		for (uint32_t i = 0; i < n; i++) {
			const struct churn_block *b = &s->ring[s->next];
			void *block = worker_alloc(w, p, b->size);

			found[i] = shared_slots_exchange(
				slots, lap_slot(b->slot, s->shift, s->slots),
				shared_slots_pack(w, block, b->size));
			if (KMEM_UNLIKELY(++s->next == CHURN_RING)) {
				s->next = 0;
				s->shift = lap_next_shift(s->shift, s->slots);
			}
		}
		for (uint32_t i = 0; i < n; i++)
			worker_free(w, p, shared_slots_block(found[i]),
				    shared_slots_size(found[i]));
		left -= n;
	}
}
WORKLOAD_STEP(churn_life);

static void churn_quantum(struct worker *w, void (*life)(struct worker *))
{
	for (uint32_t i = 0; i < THREADS_PER_QUANTUM; i++)
		fresh_thread_run(w, life);
	w->ops += THREADS_PER_QUANTUM;
}

static void churn_step_plain(struct worker *w)
{
	churn_quantum(w, churn_life_plain);
}

/*
 * Probed passes are not timed as a whole, and may be the first of their process: what
 * comes once is counted out, such as the sampler's thread and the allocator's first
 * heaps. The other threads are as far as this one, give or take a quantum.
 */
static void churn_step_probed(struct worker *w)
{
	if (KMEM_UNLIKELY(w->ops >= THREADS_TO_SETTLE))
		note_begin(w->run->shared, w->ops * w->run->threads);
	churn_quantum(w, churn_life_probed);
}

/* Whoever comes first reads the memory, before anything is freed by it. */
static void churn_thread_teardown(struct worker *w)
{
	struct churn_shared *shared = w->run->shared;
	uint64_t none = 0;

	atomic_fetch_add(&shared->threads_started, w->ops);
	if (atomic_load(&shared->rss_end) == 0)
		atomic_compare_exchange_strong(&shared->rss_end, &none, resident_bytes());
	shared_slots_drain(w, shared->slots);
	arena_free(w->state, sizeof(struct churn_state));
}

/* Growth of a pass counts when enough threads have ended in it. */
static void churn_pass_end(struct workload_run *run)
{
	struct churn_shared *shared = run->shared;
	uint64_t begin = atomic_load(&shared->rss_begin);
	uint64_t end = atomic_load(&shared->rss_end);
	uint64_t threads = atomic_load(&shared->threads_started) -
			   atomic_load(&shared->threads_begin);

	if (begin != 0 && end != 0 && threads >= THREADS_FOR_GROWTH) {
		shared->growth_per_thread = ((double)end - (double)begin) /
					    (double)threads;
		shared->growth_known = true;
	}
	atomic_store(&shared->rss_begin, 0);
	atomic_store(&shared->rss_end, 0);
	atomic_store(&shared->set_up, 0);
}

static void churn_report(struct workload_run *run, workload_report_fn fn, void *arg)
{
	struct churn_shared *shared = run->shared;

	fn("threads_started", (double)atomic_load(&shared->threads_started), arg);
	if (shared->growth_known)
		fn("rss_bytes_growth_per_thread", shared->growth_per_thread, arg);
}

static void churn_teardown(struct workload_run *run)
{
	struct churn_shared *shared = run->shared;

	shared_slots_delete(shared->slots);
	arena_free(shared, sizeof(*shared));
	run->shared = NULL;
}

static const struct workload_ops churn_workload = {
	.abi_version = WORKLOAD_OPS_VERSION,
	.name = "churn-exit",
	.description =
		"starts threads one after the other, each of which leaves blocks behind, "
		"frees blocks of earlier threads and ends",
	.stresses =
		"memory that is lost with ended threads: their heaps with live blocks, and "
		"the free blocks in their caches",
	.not_for =
		"the speed of alloc and free: creating and ending the thread is in the "
		"operation and is nearly all of it; subtract nothing, look at memory",
	.source = "mleak of mimalloc-bench, with more blocks and mixed sizes",
	.op = "thread: started, blocks_per_thread alloc+free, ended",
	.caps = CAP_OBJECT | CAP_MIXED_SIZE | CAP_REMOTE_FREE,
	.params = churn_groups,
	.params_size = sizeof(struct churn_params),
	.default_threads = "1",
	.default_touch = TOUCH_ENDS,
	.validate = churn_validate,
	.size_max = churn_size_max,
	.footprint = churn_footprint,
	.setup = churn_setup,
	.thread_setup = churn_thread_setup,
	.step = churn_step_plain,
	.step_probed = churn_step_probed,
	.thread_teardown = churn_thread_teardown,
	.pass_end = churn_pass_end,
	.report = churn_report,
	.teardown = churn_teardown,
};
WORKLOAD_REGISTER(churn_workload);
