/* SPDX-License-Identifier: MIT */
/*
 * replay: the allocations of a recorded program, thread by thread.
 *
 * THEORY. A trace is one total order of events; a replay runs each thread's
 * events in a thread of its own, as fast as it can, and keeps of the total order
 * what the program relied on: the order of the events of each block, and the edges
 * that the trace names (a thread begins after what its creator did before, goes on
 * after what a thread that it joined did).
 *
 * Blocks. An id whose whole life lies in one thread needs nothing. An id that
 * several threads use (a `shared` one) has a turn number, and the k-th event of its
 * life waits until the turn is k:
 *
 *   turn 0      empty: the allocation may run (again, in the next pass)
 *   turn k      filled, k events done: the k-th realloc or the free may run
 *   back to 0   by the free
 *
 * Edges. Where an edge begins the thread posts: it counts up a number of its own,
 * release; where it ends the other waits for that number, acquire. The number counts
 * on over the passes, so that nobody has to set it back.
 *
 * All waits point backwards in (pass, total order), so there is no deadlock. Blocks
 * that the trace never frees are freed at the end of a pass by the thread that
 * used them last, when by its own order everyone is done with them.
 *
 * Quanta. A pass over a long trace is cut into segments at places of the total
 * order; a step does the thread's part of one. Waits then point to the same segment
 * or an earlier one, so all threads can stop after equally many steps, within a pass
 * too; what lives then is freed in thread_teardown(). Of a trace shorter than a
 * quantum, a step does several passes.
 *
 * The blocks' addresses live in slots: shared ids have a cache line each, so that
 * only threads which really pass a block on meet on it; the others share a small
 * array per thread, reused newest first, so that the harness touches little
 * memory between the operations.
 *
 * Verification. After each pass of a cell every thread's operations must be those
 * of the trace; after the probed ones, also its allocations, reallocations, frees,
 * bytes and the maximum of its live bytes, as the trace's own table of threads has
 * them. A difference fails the cell.
 *
 * With k times the trace's threads, k copies of the program run side by side.
 * The plan is read-only and common to the copies; slots are each copy's own.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>

#include <kmem/error.h>

#include "workloads/harness/arena.h"
#include "workloads/harness/trace.h"
#include "workloads/harness/wait_fast.h"
#include "workloads/harness/worker_fast.h"
#include "workloads/replay_plan.h"

/* Of one thread in a quantum: 100 us to 1 ms at 15 to 100 ns each. */
#define EVENTS_PER_QUANTUM 8192u
/* Every allocator aligns so far without being asked. */
#define NATURAL_ALIGN_LOG2 4

struct replay_params {
	const char *trace;
};

static const struct kmem_option replay_options[] = {
	{
		.name = "trace",
		.type = KMEM_OPT_STRING,
		.offset = offsetof(struct replay_params, trace),
		.initial = "",
		.help = "file written by 'kmembench record'",
	},
	KMEM_OPTION_END,
};

static const struct kmem_option_group replay_groups[] = {{replay_options, 0}, {NULL, 0}};

struct local_slot {
	void *block;
	size_t size; /* as recorded */
};

struct shared_slot {
	_Atomic uint32_t turn;
	void *block;
	size_t size;
} KMEM_CACHELINE_ALIGNED;

/* How far a thread has come, for those who wait for it. */
struct replay_progress {
	_Atomic uint64_t posts;
} KMEM_CACHELINE_ALIGNED;

struct replay_shared {
	struct replay_plan *plan;
	struct shared_slot *slots; /* plan->shared_slots for each copy */
	size_t slots_bytes;
	struct replay_progress *progress; /* one for each thread */
	size_t progress_bytes;
	uint64_t trace_live_bytes_max;
	_Atomic uint64_t verified; /* events of probed passes */
};

/* What a thread did in a probed pass. */
struct replay_count {
	uint64_t allocations, reallocations, frees, bytes;
	int64_t live_bytes; /* since the pass over the trace began */
	int64_t live_bytes_max;
};

struct replay_state {
	size_t bytes; /* of the arena that holds this */
	const struct replay_script *script;
	struct shared_slot *shared;
	struct replay_progress *progress; /* of the copy's first thread */
	struct replay_progress *own;
	const struct replay_plan *plan;
	uint64_t pass;	  /* over the trace, since thread_setup() */
	uint64_t segment; /* the next one */
	struct replay_count count;
	struct local_slot local[];
};

static const char *replay_path(const struct workload_run *run)
{
	const struct replay_params *params = run->params;

	return params->trace != NULL ? params->trace : "";
}

static int replay_peek(const struct workload_run *run, struct trace_header *header)
{
	const char *path = replay_path(run);

	if (path[0] == '\0')
		return kmem_error(-EINVAL,
				  "workload 'replay' needs a trace: give the parameter "
				  "trace=FILE, written by 'kmembench record'");
	return trace_peek(path, header);
}

static int replay_validate(const struct workload_run *run)
{
	struct trace_header h;
	int err = replay_peek(run, &h);

	if (err != 0)
		return err;
	if (run->threads % h.threads != 0)
		return kmem_error(-EINVAL,
				  "trace '%s' has %" PRIu32
				  " threads and cannot be replayed by %u: give %" PRIu32
				  " or a multiple",
				  replay_path(run), h.threads, run->threads, h.threads);
	return 0;
}

/* The three below follow a validate() that has succeeded; a file gone since asks for
 * nothing. */
static uint64_t replay_size_max(const struct workload_run *run)
{
	struct trace_header h;

	return replay_peek(run, &h) == 0 ? h.size_max_bytes : 0;
}

static uint64_t replay_footprint(const struct workload_run *run)
{
	struct trace_header h;

	return replay_peek(run, &h) == 0 ? h.live_bytes_max * (run->threads / h.threads)
					 : 0;
}

static uint64_t replay_extra_caps(const struct workload_run *run)
{
	struct trace_header h;

	return replay_peek(run, &h) == 0 && h.align_log2_max > NATURAL_ALIGN_LOG2
		       ? CAP_ALIGN
		       : 0;
}

static int replay_setup(struct workload_run *run)
{
	struct replay_shared *shared;
	struct replay_plan *plan;
	struct trace trace;
	uint64_t live_bytes_max;
	int err = trace_open(replay_path(run), &trace);

	if (err != 0)
		return err;
	live_bytes_max = trace.header->live_bytes_max;
	err = replay_plan_new(
		&trace, (uint64_t)EVENTS_PER_QUANTUM * trace.header->threads, &plan);
	trace_close(&trace);
	if (err != 0)
		return err;
	shared = arena_alloc(sizeof(*shared));
	shared->plan = plan;
	shared->slots_bytes = (size_t)(run->threads / plan->threads) *
			      plan->shared_slots * sizeof(struct shared_slot);
	shared->slots = arena_alloc(shared->slots_bytes);
	shared->progress_bytes = run->threads * sizeof(*shared->progress);
	shared->progress = arena_alloc(shared->progress_bytes);
	shared->trace_live_bytes_max = live_bytes_max;
	run->shared = shared;
	return 0;
}

static void replay_teardown(struct workload_run *run)
{
	struct replay_shared *shared = run->shared;

	arena_free(shared->progress, shared->progress_bytes);
	arena_free(shared->slots, shared->slots_bytes);
	replay_plan_delete(shared->plan);
	arena_free(shared, sizeof(*shared));
	run->shared = NULL;
}

static int replay_thread_setup(struct worker *w)
{
	struct replay_shared *shared = w->run->shared;
	const struct replay_plan *plan = shared->plan;
	const struct replay_script *script = &plan->script[w->index % plan->threads];
	uint32_t copy = w->index / plan->threads;
	size_t bytes = sizeof(struct replay_state) +
		       (size_t)script->local_slots * sizeof(struct local_slot);
	struct replay_state *s = arena_alloc(bytes);

	s->bytes = bytes;
	s->script = script;
	s->plan = plan;
	s->shared = shared->slots + (size_t)copy * plan->shared_slots;
	s->progress = shared->progress + (size_t)copy * plan->threads;
	s->own = shared->progress + w->index;
	atomic_store(&s->own->posts, 0);
	w->state = s;
	return 0;
}

/* --- the events --- */

/* A program may ask for 0 bytes, the vtable serves none: it is asked for 1. */
static KMEM_ALWAYS_INLINE size_t replay_size(size_t recorded)
{
	return recorded + (recorded == 0);
}

/* Counts one event, before the slot has its new size. Sizes as recorded. */
static KMEM_ALWAYS_INLINE void replay_tally(struct replay_count *c,
					    const struct replay_event *e, size_t old_size)
{
	if (e->op != TRACE_FREE) {
		c->bytes += e->size_bytes;
		c->live_bytes += (int64_t)e->size_bytes;
	}
	if (e->op >= TRACE_REALLOC)
		c->live_bytes -= (int64_t)old_size;
	c->allocations += e->op < TRACE_REALLOC;
	c->reallocations += e->op == TRACE_REALLOC;
	c->frees += e->op == TRACE_FREE;
	if (c->live_bytes > c->live_bytes_max)
		c->live_bytes_max = c->live_bytes;
}

/* Does one event to the block of a slot; free leaves the slot's fields stale. */
static KMEM_ALWAYS_INLINE void replay_event(struct worker *w, struct probe *p,
					    struct replay_state *s,
					    const struct replay_event *e, void **block,
					    size_t *size)
{
	size_t want = replay_size(e->size_bytes);

	if (p != NULL)
		replay_tally(&s->count, e, *size);
	switch (e->op) {
	case TRACE_MALLOC: *block = worker_alloc(w, p, want); break;
	case TRACE_CALLOC: *block = worker_zalloc(w, p, want); break;
	case TRACE_MEMALIGN:
		*block = worker_alloc_aligned(w, p, want, (size_t)1 << e->align_log2);
		break;
	case TRACE_REALLOC:
		*block = worker_realloc(w, p, *block, replay_size(*size), want);
		break;
	case TRACE_FREE: worker_free(w, p, *block, replay_size(*size)); return;
	}
	*size = e->size_bytes;
}

static KMEM_ALWAYS_INLINE void replay_shared_event(struct worker *w, struct probe *p,
						   struct replay_state *s,
						   const struct replay_event *e)
{
	struct shared_slot *slot = &s->shared[e->slot];
	uint32_t next = e->op == TRACE_FREE ? 0 : e->turn + 1;
	unsigned int turns = 0;

	while (atomic_load_explicit(&slot->turn, memory_order_acquire) != e->turn)
		wait_pause(&turns);
	replay_event(w, p, s, e, &slot->block, &slot->size);
	atomic_store_explicit(&slot->turn, next, memory_order_release);
}

static KMEM_COLD void replay_sync(struct replay_state *s, const struct replay_event *e)
{
	const struct replay_script *other;
	unsigned int turns = 0;
	uint64_t target;

	if (e->op == REPLAY_POST) {
		atomic_store_explicit(
			&s->own->posts,
			atomic_load_explicit(&s->own->posts, memory_order_relaxed) + 1,
			memory_order_release);
		return;
	}
	other = &s->plan->script[e->slot];
	target = s->pass * other->posts + e->turn;
	while (atomic_load_explicit(&s->progress[e->slot].posts, memory_order_acquire) <
	       target)
		wait_pause(&turns);
}

static KMEM_ALWAYS_INLINE void replay_segment(struct worker *w, struct probe *p,
					      struct replay_state *s,
					      const struct replay_event *e,
					      const struct replay_event *end)
{
	uint64_t ops = (uint64_t)(end - e);

	for (; e < end; e++) {
		if (KMEM_UNLIKELY(e->op >= REPLAY_POST)) {
			replay_sync(s, e);
			ops--;
		} else if (e->shared) {
			replay_shared_event(w, p, s, e);
		} else {
			struct local_slot *slot = &s->local[e->slot];

			replay_event(w, p, s, e, &slot->block, &slot->size);
		}
	}
	w->ops += ops;
}

/* Where the next segment begins in the script. */
static KMEM_ALWAYS_INLINE uint64_t replay_position(const struct replay_state *s)
{
	return s->segment == 0 ? 0 : s->script->segment_end[s->segment - 1];
}

static KMEM_ALWAYS_INLINE void replay_step(struct worker *w, struct probe *p)
{
	struct replay_state *s = w->state;
	const struct replay_event *events = s->script->events;

	for (uint64_t i = 0; i < s->plan->repeats; i++) {
		replay_segment(w, p, s, events + replay_position(s),
			       events + s->script->segment_end[s->segment]);
		if (++s->segment == s->plan->segments) {
			s->segment = 0;
			s->pass++;
			s->count.live_bytes = 0;
		}
	}
}
WORKLOAD_STEP(replay_step);

/* --- after the last step --- */

/*
 * Frees what lives in the middle of a pass. All threads have stopped: a shared block
 * falls to whoever did its last event, which the turn tells.
 */
static void replay_free_rest(struct worker *w, struct replay_state *s)
{
	const struct replay_event *e = s->script->events, *end = e + replay_position(s);
	size_t bytes = s->script->local_slots;
	bool *live;

	if (e == end)
		return;
	live = arena_alloc(bytes);
	for (; e < end; e++) {
		struct shared_slot *slot = &s->shared[e->slot];

		if (e->op >= REPLAY_POST)
			continue;
		if (!e->shared) {
			live[e->slot] = e->op != TRACE_FREE;
		} else if (e->op != TRACE_FREE &&
			   atomic_load(&slot->turn) == e->turn + 1) {
			worker_free_untimed(w, slot->block, replay_size(slot->size));
			atomic_store(&slot->turn, 0);
		}
	}
	for (size_t i = 0; i < bytes; i++)
		if (live[i])
			worker_free_untimed(w, s->local[i].block,
					    replay_size(s->local[i].size));
	arena_free(live, bytes);
}

static void replay_expect(const struct worker *w, const char *what, uint64_t did,
			  uint64_t recorded)
{
	const struct replay_state *s = w->state;

	if (did != recorded)
		worker_fail(w,
			    "the replay of thread %" PRIu32 " made %s=%" PRIu64
			    " in %" PRIu64 " passes, and the trace has %" PRIu64,
			    w->index % s->plan->threads, what, did, s->pass, recorded);
}

/* Compares with the trace's own figures: of whole passes by its table of threads, of
 * what was begun since by its events. */
static void replay_verify(struct worker *w, struct replay_state *s)
{
	const struct replay_script *script = s->script;
	const struct trace_tally *t = &script->tally;
	const struct replay_event *end = script->events + replay_position(s);
	struct replay_count part = {0};
	uint64_t ops = s->pass * (t->events - t->edges + script->leftovers);
	struct replay_shared *shared = w->run->shared;

	for (const struct replay_event *e = script->events; e < end; e++) {
		if (e->op >= REPLAY_POST)
			continue;
		ops++;
		part.allocations += e->op < TRACE_REALLOC;
		part.reallocations += e->op == TRACE_REALLOC;
		part.frees += e->op == TRACE_FREE;
		part.bytes += e->size_bytes;
	}
	replay_expect(w, "operations", w->ops, ops);
	if (w->probe == NULL)
		return;
	replay_expect(w, "allocations", s->count.allocations,
		      s->pass * t->allocations + part.allocations);
	replay_expect(w, "reallocations", s->count.reallocations,
		      s->pass * t->reallocations + part.reallocations);
	replay_expect(w, "frees", s->count.frees,
		      s->pass * (t->frees + script->leftovers) + part.frees);
	replay_expect(w, "bytes", s->count.bytes, s->pass * t->bytes + part.bytes);
	if (s->pass > 0)
		replay_expect(w, "live_bytes_max", (uint64_t)s->count.live_bytes_max,
			      t->live_bytes_max);
	atomic_fetch_add(&shared->verified, ops);
}

static void replay_thread_teardown(struct worker *w)
{
	struct replay_state *s = w->state;

	replay_free_rest(w, s);
	replay_verify(w, s);
	arena_free(s, s->bytes);
}

static void replay_report(struct workload_run *run, workload_report_fn fn, void *arg)
{
	struct replay_shared *shared = run->shared;

	fn("replay_events_verified", (double)atomic_load(&shared->verified), arg);
	fn("trace_live_bytes_max", (double)shared->trace_live_bytes_max, arg);
}

static const struct workload_ops replay_workload = {
	.abi_version = WORKLOAD_OPS_VERSION,
	.name = "replay",
	.description =
		"repeats the allocations of a recorded program, thread by thread, each "
		"block's events in their recorded order, and verifies them",
	.stresses = "what a real program asks for: its sizes, lifetimes and hand-overs "
		    "between threads",
	.not_for =
		"the program's own speed: what it computed between the calls is missing, and "
		"threads wait for each other only where they pass a block on, begin or are "
		"joined, so the live bytes may exceed the program's",
	.source = "trace replay of dj/malloc (glibc); Johnstone and Wilson, ISMM 1998",
	.op = "event of the trace, or free of a block that the trace leaves behind",
	.caps = CAP_OBJECT | CAP_MIXED_SIZE | CAP_DISTINCT | CAP_REMOTE_FREE,
	.params = replay_groups,
	.params_size = sizeof(struct replay_params),
	.default_threads = "1",
	.default_touch = TOUCH_ENDS,
	.validate = replay_validate,
	.extra_caps = replay_extra_caps,
	.size_max = replay_size_max,
	.footprint = replay_footprint,
	.setup = replay_setup,
	.thread_setup = replay_thread_setup,
	.step = replay_step_plain,
	.step_probed = replay_step_probed,
	.thread_teardown = replay_thread_teardown,
	.report = replay_report,
	.teardown = replay_teardown,
};
WORKLOAD_REGISTER(replay_workload);
