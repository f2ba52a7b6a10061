/* SPDX-License-Identifier: MIT */
/*
 * empirical: births, deaths and hand-overs as a model of a real program has them.
 *
 * The model is a table of size class by lifetime class, made from a trace by
 * 'kmembench fit' (workloads/harness/load_model.h); how it becomes a schedule says
 * empirical_plan.h. Each thread draws a schedule of its own in thread_setup() and goes
 * round it; what would live at its start is allocated then. Each thread behaves like one
 * of the program's `threads` equal threads: with as many threads as the model has, as
 * much lives as in the program, with twice as many twice as much.
 *
 * A block that another thread is to free goes through a ring to the next thread, which
 * looks there every few events and frees what it finds. A thread begins a step only when
 * both neighbours are at most LAG steps behind, so a ring that holds the hand-overs of
 * a few steps is never full: nobody waits within a step, and nothing is dropped. Those
 * waits point to earlier steps, so there is no deadlock.
 *
 * One operation is one allocation; each has its free, sooner or later.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>

#include <kmem/error.h>

#include "workloads/empirical_plan.h"
#include "workloads/harness/arena.h"
#include "workloads/harness/wait_fast.h"
#include "workloads/harness/worker_fast.h"

/* At 15 to 100 ns each. */
#define EVENTS_PER_QUANTUM 8192u
/* Between two looks into the ring: one load of another thread's line. */
#define EVENTS_PER_LOOK 16u
/* Steps that a thread may be ahead of its neighbours. */
#define LAG 2u
/*
 * Steps of hand-overs that a ring must hold. When the receiver looks at the end of its
 * step d - 1, the sender has done at least d - 1 - LAG; it gets no further than through
 * step d + LAG before the receiver has done another.
 */
#define RING_STEPS (2 * LAG + 2)

struct empirical_params {
	const char *model;
	uint64_t births;
};

static const struct kmem_option empirical_options[] = {
	{
		.name = "model",
		.type = KMEM_OPT_STRING,
		.offset = offsetof(struct empirical_params, model),
		.initial = "",
		.help = "file written by 'kmembench fit'; none: a model of python3 that is "
			"built in",
	},
	{
		.name = "births",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct empirical_params, births),
		.initial = "65536",
		.help = "allocations in each thread's schedule, which then comes round "
			"again; each takes 16 bytes",
		.min = 1024,
		.max = 1u << 26,
	},
	KMEM_OPTION_END,
};

static const struct kmem_option_group empirical_groups[] = {{empirical_options, 0},
							    {NULL, 0}};

struct slot {
	void *block;
	size_t size; /* 0: empty */
};

/* Blocks for a thread, from the one before it. */
struct ring {
	/* written by the sender */
	KMEM_CACHELINE_ALIGNED _Atomic uint32_t tail;
	/* written by the receiver */
	KMEM_CACHELINE_ALIGNED _Atomic uint32_t head;
	KMEM_CACHELINE_ALIGNED uint32_t mask; /* a power of two less 1 */
	size_t bytes;			      /* of the arena that holds this */
	struct slot slot[];
};

/* What a thread shows to its neighbours. */
struct neighbour {
	_Atomic uint64_t steps; /* done in this pass */
	struct ring *out;	/* from thread_setup() to pass_end() */
} KMEM_CACHELINE_ALIGNED;

struct empirical_shared {
	struct load_model *model;
	struct neighbour *neighbours; /* one for each thread */
	size_t neighbours_bytes;
	_Atomic uint64_t handed;
};

struct empirical_state {
	struct empirical_plan plan;
	struct slot *slots;
	size_t slots_bytes;
	struct slot *kept; /* what the program never freed */
	size_t kept_bytes;
	uint64_t kepts;
	uint32_t next; /* place in the schedule */
	uint64_t steps;
	struct ring *out; /* NULL with one thread */
	struct neighbour *self, *before, *after;
	uint64_t handed;
};

/* --- set-up --- */

/* validate(), size_max() and footprint() come before setup(): they read it themselves. */
static int read_model(const struct workload_run *run, struct load_model **model)
{
	return load_model_read(((const struct empirical_params *)run->params)->model,
			       model);
}

static int empirical_validate(const struct workload_run *run)
{
	struct load_model *model;
	int err = read_model(run, &model);

	if (err != 0)
		return err;
	err = empirical_plan_check(model);
	load_model_delete(model);
	return err;
}

static uint64_t empirical_size_max(const struct workload_run *run)
{
	struct load_model *model;
	uint64_t max;

	if (read_model(run, &model) != 0)
		return 0;
	max = load_model_size_max(model);
	load_model_delete(model);
	return max;
}

static double expected_live_bytes(const struct load_model *model, unsigned int threads)
{
	return load_model_live_bytes(model) / model->threads * threads;
}

static uint64_t empirical_footprint(const struct workload_run *run)
{
	struct load_model *model;
	double bytes;

	if (read_model(run, &model) != 0)
		return 0;
	/* A quarter more: live blocks come and go, and allocators round sizes up. */
	bytes = expected_live_bytes(model, run->threads) * 1.25;
	load_model_delete(model);
	return (uint64_t)bytes;
}

static int empirical_setup(struct workload_run *run)
{
	struct empirical_shared *shared = arena_alloc(sizeof(*shared));
	int err = read_model(run, &shared->model);

	if (err != 0) {
		arena_free(shared, sizeof(*shared));
		return err;
	}
	shared->neighbours_bytes = run->threads * sizeof(*shared->neighbours);
	shared->neighbours = arena_alloc(shared->neighbours_bytes);
	run->shared = shared;
	return 0;
}

static void empirical_teardown(struct workload_run *run)
{
	struct empirical_shared *shared = run->shared;

	load_model_delete(shared->model);
	arena_free(shared->neighbours, shared->neighbours_bytes);
	arena_free(shared, sizeof(*shared));
	run->shared = NULL;
}

/* A thread's part of what the program never freed: at least its whole blocks, and one
 * more as often as is due. */
static uint64_t kept_share(struct rng *rng, const struct load_model *model, uint32_t i)
{
	double share = (double)model->kept[i].count / model->threads;
	uint64_t whole = (uint64_t)share;

	return whole + (rng_double(rng) < share - (double)whole);
}

static void allocate_kept(struct worker *w, const struct load_model *model,
			  struct empirical_state *s)
{
	uint64_t count[LOAD_KEPT_MAX];

	for (uint32_t i = 0; i < model->kepts; i++) {
		count[i] = kept_share(&w->rng, model, i);
		s->kepts += count[i];
	}
	s->kept_bytes = s->kepts * sizeof(*s->kept);
	s->kept = arena_alloc(s->kept_bytes);
	for (uint64_t i = 0, k = 0; i < model->kepts; i++) {
		for (uint64_t n = 0; n < count[i]; n++, k++) {
			size_t size = load_sizes_draw(&model->kept[i].sizes, &w->rng);

			s->kept[k].size = size > 0 ? size : 1;
			s->kept[k].block = worker_alloc_untimed(w, s->kept[k].size);
		}
	}
}

/* Most hand-overs that one step can come to, wherever in the circle it begins. */
static uint32_t handed_in_a_step(const struct empirical_plan *plan)
{
	uint32_t window = plan->count < EVENTS_PER_QUANTUM ? plan->count
							   : EVENTS_PER_QUANTUM;
	uint32_t rounds = (EVENTS_PER_QUANTUM + window - 1) / window;
	uint32_t in_window = 0, max = 0;

	for (uint64_t i = 0; i < (uint64_t)plan->count + window; i++) {
		in_window += plan->events[i % plan->count].size == EMPIRICAL_HAND;
		if (i >= window)
			in_window -= plan->events[(i - window) % plan->count].size ==
				     EMPIRICAL_HAND;
		max = in_window > max ? in_window : max;
	}
	return max * rounds;
}

static struct ring *ring_new(const struct empirical_plan *plan)
{
	uint32_t need = handed_in_a_step(plan) * RING_STEPS, room = 16;
	struct ring *ring;
	size_t bytes;

	while (room < need)
		room *= 2;
	bytes = sizeof(*ring) + room * sizeof(ring->slot[0]);
	ring = arena_alloc(bytes);
	ring->mask = room - 1;
	ring->bytes = bytes;
	return ring;
}

static void meet_neighbours(struct worker *w, struct empirical_state *s)
{
	struct empirical_shared *shared = w->run->shared;
	unsigned int threads = w->run->threads;

	s->self = &shared->neighbours[w->index];
	s->before = &shared->neighbours[(w->index + threads - 1) % threads];
	s->after = &shared->neighbours[(w->index + 1) % threads];
	atomic_store(&s->self->steps, 0);
	s->out = s->self->out = threads > 1 ? ring_new(&s->plan) : NULL;
}

static int empirical_thread_setup(struct worker *w)
{
	const struct empirical_params *params = w->run->params;
	struct empirical_shared *shared = w->run->shared;
	struct empirical_state *s = arena_alloc(sizeof(*s));
	int err = empirical_plan_new(shared->model, (uint32_t)params->births,
				     w->run->threads, &w->rng, &s->plan);

	if (err != 0) {
		arena_free(s, sizeof(*s));
		return err;
	}
	w->state = s;
	s->slots_bytes = s->plan.slots * sizeof(*s->slots);
	s->slots = arena_alloc(s->slots_bytes);
	meet_neighbours(w, s);
	allocate_kept(w, shared->model, s);
	for (uint32_t i = 0; i < s->plan.initial; i++) {
		s->slots[i].size = s->plan.size[i];
		s->slots[i].block = worker_alloc_untimed(w, s->plan.size[i]);
	}
	return 0;
}

/* --- the events --- */

static KMEM_ALWAYS_INLINE void empirical_receive(struct worker *w, struct probe *p,
						 struct ring *ring)
{
	uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
	uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);

	if (KMEM_LIKELY(head == tail))
		return;
	for (; head != tail; head++) {
		const struct slot *slot = &ring->slot[head & ring->mask];

		worker_free(w, p, slot->block, slot->size);
	}
	atomic_store_explicit(&ring->head, head, memory_order_release);
}

static KMEM_ALWAYS_INLINE void empirical_hand(struct empirical_state *s,
					      const struct slot *slot)
{
	struct ring *ring = s->out;
	uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);

	ring->slot[tail & ring->mask] = *slot;
	atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
	s->handed++;
}

/* Until neither neighbour is more than LAG steps behind. The acquire pairs with the
 * release that ends a step, so that what it took from our ring is out of it. */
static KMEM_ALWAYS_INLINE void empirical_keep_step(struct empirical_state *s)
{
	unsigned int turns = 0;

	while (atomic_load_explicit(&s->before->steps, memory_order_acquire) + LAG <
		       s->steps ||
	       atomic_load_explicit(&s->after->steps, memory_order_acquire) + LAG <
		       s->steps)
		wait_pause(&turns);
}

static KMEM_ALWAYS_INLINE void empirical_step(struct worker *w, struct probe *p)
{
	struct empirical_state *s = w->state;
	const struct empirical_event *events = s->plan.events;
	uint32_t next = s->next, count = s->plan.count;
	struct ring *in = s->before->out;
	uint64_t births = 0;

	empirical_keep_step(s);
	for (uint32_t i = 0; i < EVENTS_PER_QUANTUM; i++) {
		const struct empirical_event *e = &events[next];
		struct slot *slot = &s->slots[e->slot];

		if (e->size == EMPIRICAL_FREE) {
			worker_free(w, p, slot->block, slot->size);
			slot->size = 0;
		} else if (e->size == EMPIRICAL_HAND) {
			empirical_hand(s, slot);
			slot->size = 0;
		} else {
			slot->block = worker_alloc(w, p, e->size);
			slot->size = e->size;
			births++;
		}
		next = next + 1 == count ? 0 : next + 1;
		if (i % EVENTS_PER_LOOK == EVENTS_PER_LOOK - 1 && in != NULL)
			empirical_receive(w, p, in);
	}
	s->next = next;
	w->ops += births;
	atomic_store_explicit(&s->self->steps, ++s->steps, memory_order_release);
}
WORKLOAD_STEP(empirical_step);

/* All threads have stopped: nobody sends any more. */
static void empirical_thread_teardown(struct worker *w)
{
	struct empirical_shared *shared = w->run->shared;
	struct empirical_state *s = w->state;
	struct ring *in = s->before->out;

	for (uint32_t i = in != NULL ? atomic_load(&in->head) : 0;
	     in != NULL && i != atomic_load(&in->tail); i++)
		worker_free_untimed(w, in->slot[i & in->mask].block,
				    in->slot[i & in->mask].size);
	for (uint32_t i = 0; i < s->plan.slots; i++)
		if (s->slots[i].size > 0)
			worker_free_untimed(w, s->slots[i].block, s->slots[i].size);
	for (uint64_t i = 0; i < s->kepts; i++)
		worker_free_untimed(w, s->kept[i].block, s->kept[i].size);
	atomic_fetch_add(&shared->handed, s->handed);
	arena_free(s->kept, s->kept_bytes);
	arena_free(s->slots, s->slots_bytes);
	empirical_plan_delete(&s->plan);
	arena_free(s, sizeof(*s));
}

/* A ring is read by the receiver's teardown, and goes when all are through. */
static void empirical_pass_end(struct workload_run *run)
{
	struct empirical_shared *shared = run->shared;

	for (unsigned int i = 0; i < run->threads; i++) {
		struct ring *ring = shared->neighbours[i].out;

		if (ring != NULL)
			arena_free(ring, ring->bytes);
		shared->neighbours[i].out = NULL;
	}
}

static void empirical_report(struct workload_run *run, workload_report_fn fn, void *arg)
{
	struct empirical_shared *shared = run->shared;

	fn("model_live_bytes_mean", expected_live_bytes(shared->model, run->threads),
	   arg);
	fn("handovers", (double)atomic_load(&shared->handed), arg);
}

static const struct workload_ops empirical_workload = {
	.abi_version = WORKLOAD_OPS_VERSION,
	.name = "empirical",
	.description =
		"allocates, frees and hands over blocks at random by a table of sizes and "
		"lifetimes that was fitted to a real program",
	.stresses =
		"a production mix: the sizes, lifetimes and remote frees of a program, "
		"on any number of threads",
	.not_for =
		"the program itself: its phases, what one block has to do with the next, "
		"which threads do more than others, and realloc in place are lost",
	.source = "fleetbench (Google 2022); tables by 'kmembench fit'",
	.op = "allocation, and in its time the free",
	.caps = CAP_OBJECT | CAP_MIXED_SIZE | CAP_DISTINCT | CAP_REMOTE_FREE,
	.params = empirical_groups,
	.params_size = sizeof(struct empirical_params),
	.default_threads = "1",
	.default_touch = TOUCH_ENDS,
	.validate = empirical_validate,
	.size_max = empirical_size_max,
	.footprint = empirical_footprint,
	.setup = empirical_setup,
	.thread_setup = empirical_thread_setup,
	.step = empirical_step_plain,
	.step_probed = empirical_step_probed,
	.thread_teardown = empirical_thread_teardown,
	.pass_end = empirical_pass_end,
	.report = empirical_report,
	.teardown = empirical_teardown,
};
WORKLOAD_REGISTER(empirical_workload);
