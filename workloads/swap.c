/* SPDX-License-Identifier: MIT */
/*
 * swap: all threads exchange blocks through one shared array.
 *
 * The array is filled before the clock starts. An operation allocates a block, puts it
 * into a slot by an atomic exchange, and frees the block it got in return, which
 * another thread may have allocated. So the number of live blocks is constant, and
 * every operation does the same.
 *
 * With order=walk, as in the original, every thread goes through the slots from the
 * first to the last and begins anew: threads at the same pace meet at the same cache
 * lines, and a block is freed by whoever comes by next. With order=random each thread
 * jumps about on its own, so a block is freed by thread t with probability 1/threads.
 */
#include <errno.h>
#include <inttypes.h>

#include <kmem/error.h>

#include "workloads/harness/arena.h"
#include "workloads/harness/draw.h"
#include "workloads/harness/shared_slots_fast.h"

/* At 30 to 500 ns each. */
#define EXCHANGES_PER_QUANTUM 2048u
/*
 * Pre-drawn exchanges a thread holds, read in a circle: 64 KiB. A prime: if it divided
 * the slots, a slot would get a block of the same size each time that a thread comes by,
 * and every free would be of the size that has just been allocated.
 */
#define SWAP_RING 8191u
/*
 * Slots of a ring are relative to an offset that moves when the ring begins anew, so
 * that all slots take part however long the array. In order=random it moves by an odd
 * number near 0.618 of 2^32, which no power of two of slots repeats soon.
 */
#define SWAP_RANDOM_STRIDE 0x9e3779b1u

enum swap_order { SWAP_WALK, SWAP_RANDOM };

static const char *const swap_orders[] = {"walk", "random", NULL};

struct swap_params {
	uint64_t slots;
	uint64_t size_min_bytes, size_max_bytes;
	int order;
};

static const struct kmem_option swap_options[] = {
	{
		.name = "slots",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct swap_params, slots),
		.initial = "262144",
		.help = "live blocks that all threads share, a power of two",
		.min = 2,
		.max = 1u << 26,
	},
	SHARED_SLOTS_SIZE_OPTIONS(struct swap_params, "1039"),
	{
		.name = "order",
		.type = KMEM_OPT_ENUM,
		.offset = offsetof(struct swap_params, order),
		.initial = "walk",
		.help = "walk: every thread takes the slots in turn, so that threads meet; "
			"random: each jumps about, so that most blocks are freed by another "
			"thread",
		.choices = swap_orders,
	},
	KMEM_OPTION_END,
};

static const struct kmem_option_group swap_groups[] = {{swap_options, 0}, {NULL, 0}};

struct swap_exchange {
	uint32_t slot; /* relative to the offset */
	uint32_t size;
};

struct swap_state {
	struct shared_slots *slots;
	uint64_t mask;	 /* slots less 1 */
	uint64_t offset; /* of the ring's slots */
	uint64_t stride; /* what the offset gains when the ring begins anew */
	uint64_t remote; /* frees of other threads' blocks */
	uint32_t next;	 /* place in the ring */
	struct swap_exchange ring[SWAP_RING];
};

struct swap_shared {
	struct shared_slots *slots;
	/* Of all passes; added to in thread_teardown(). */
	_Atomic uint64_t frees, remote_frees;
};

static int swap_validate(const struct workload_run *run)
{
	const struct swap_params *params = run->params;

	if ((params->slots & (params->slots - 1)) != 0)
		return kmem_error(-EINVAL,
				  "workload 'swap' has slots=%" PRIu64
				  ": give a power of two",
				  params->slots);
	if (shared_slots_check(run, params->slots) != 0)
		return -EINVAL;
	return draw_check_range("swap", "size_", params->size_min_bytes,
				params->size_max_bytes);
}

static uint64_t swap_size_max(const struct workload_run *run)
{
	return ((const struct swap_params *)run->params)->size_max_bytes;
}

static uint64_t swap_footprint(const struct workload_run *run)
{
	const struct swap_params *params = run->params;

	return (params->slots + run->threads) *
	       (params->size_min_bytes + params->size_max_bytes) / 2;
}

static int swap_setup(struct workload_run *run)
{
	const struct swap_params *params = run->params;
	struct swap_shared *shared = arena_alloc(sizeof(*shared));

	shared->slots = shared_slots_new(params->slots);
	run->shared = shared;
	return 0;
}

static int swap_thread_setup(struct worker *w)
{
	const struct swap_params *params = w->run->params;
	struct swap_shared *shared = w->run->shared;
	struct swap_state *s = arena_alloc(sizeof(*s));

	s->slots = shared->slots;
	s->mask = params->slots - 1;
	s->stride = params->order == SWAP_RANDOM ? SWAP_RANDOM_STRIDE : SWAP_RING;
	for (uint32_t i = 0; i < SWAP_RING; i++) {
		s->ring[i].slot = i;
		if (params->order == SWAP_RANDOM)
			s->ring[i].slot = (uint32_t)rng_below(&w->rng, params->slots);
		s->ring[i].size = (uint32_t)rng_between(&w->rng, params->size_min_bytes,
							params->size_max_bytes);
	}
	shared_slots_fill(w, s->slots, params->size_min_bytes, params->size_max_bytes);
	w->state = s;
	return 0;
}

static KMEM_ALWAYS_INLINE void swap_step(struct worker *w, struct probe *p)
{
	struct swap_state *s = w->state;
	uint64_t remote = 0;

	for (uint32_t i = 0; i < EXCHANGES_PER_QUANTUM; i++) {
		const struct swap_exchange *x = &s->ring[s->next];
		void *block = worker_alloc(w, p, x->size);
		uint64_t got =
			shared_slots_exchange(s->slots, (x->slot + s->offset) & s->mask,
					      shared_slots_pack(w, block, x->size));

		remote += shared_slots_remote(w, got);
		worker_free(w, p, shared_slots_block(got), shared_slots_size(got));
		if (KMEM_UNLIKELY(++s->next == SWAP_RING)) {
			s->next = 0;
			s->offset += s->stride;
		}
	}
	s->remote += remote;
	w->ops += EXCHANGES_PER_QUANTUM;
}
WORKLOAD_STEP(swap_step);

static void swap_thread_teardown(struct worker *w)
{
	struct swap_shared *shared = w->run->shared;
	struct swap_state *s = w->state;

	atomic_fetch_add_explicit(&shared->frees, w->ops, memory_order_relaxed);
	atomic_fetch_add_explicit(&shared->remote_frees, s->remote, memory_order_relaxed);
	shared_slots_drain(w, s->slots);
	arena_free(s, sizeof(*s));
}

static void swap_report(struct workload_run *run, workload_report_fn fn, void *arg)
{
	struct swap_shared *shared = run->shared;
	double frees = (double)atomic_load(&shared->frees);

	if (frees > 0)
		fn("remote_free_share",
		   (double)atomic_load(&shared->remote_frees) / frees, arg);
}

static void swap_teardown(struct workload_run *run)
{
	struct swap_shared *shared = run->shared;

	shared_slots_delete(shared->slots);
	arena_free(shared, sizeof(*shared));
	run->shared = NULL;
}

static const struct workload_ops swap_workload = {
	.abi_version = WORKLOAD_OPS_VERSION,
	.name = "swap",
	.description =
		"allocates a block, exchanges it for another one in an array that all "
		"threads share, and frees what it got",
	.stresses =
		"contention: threads that free each other's blocks without any pattern "
		"of producers and consumers, over a large live set",
	.not_for =
		"the cost of a call: the exchange on a shared line and the cache misses of "
		"a large live set are in the figure, and who frees whose blocks depends on "
		"the threads' pace (see remote_free_share)",
	.source = "perf-contention of snmalloc",
	.op = "exchange: alloc+free",
	.caps = CAP_OBJECT | CAP_MIXED_SIZE | CAP_REMOTE_FREE,
	.params = swap_groups,
	.params_size = sizeof(struct swap_params),
	.default_threads = "2",
	.default_touch = TOUCH_ENDS,
	.validate = swap_validate,
	.size_max = swap_size_max,
	.footprint = swap_footprint,
	.setup = swap_setup,
	.thread_setup = swap_thread_setup,
	.step = swap_step_plain,
	.step_probed = swap_step_probed,
	.thread_teardown = swap_thread_teardown,
	.report = swap_report,
	.teardown = swap_teardown,
};
WORKLOAD_REGISTER(swap_workload);
