/* SPDX-License-Identifier: MIT */
/*
 * replay: the allocations of a recorded program, thread by thread.
 *
 * THEORY. A trace is one global order of events; a replay runs each thread's
 * events in a thread of its own, as fast as it can, and keeps of the global order
 * what the program relied on: the order of the events of each block. An id whose
 * whole life lies in one thread needs nothing for that. An id that several
 * threads use (a `shared` one) has a turn number, and the k-th event of its life
 * waits until the turn is k:
 *
 *   turn 0      empty: the allocation may run (again, in the next pass)
 *   turn k      filled, k events done: the k-th realloc or the free may run
 *   back to 0   by the free
 *
 * All waits point backwards in the trace's order, so there is no deadlock. Blocks
 * that the trace never frees are freed at the end of a pass by the thread that
 * used them last, when by its own order everyone is done with them. A quantum is
 * one pass over the trace.
 *
 * The blocks' addresses live in slots: shared ids have a cache line each, so that
 * only threads which really pass a block on meet on it; the others share a small
 * array per thread, reused newest first, so that the harness touches little
 * memory between the operations.
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
	size_t size;
};

struct shared_slot {
	_Atomic uint32_t turn;
	void *block;
	size_t size;
} KMEM_CACHELINE_ALIGNED;

struct replay_shared {
	struct replay_plan *plan;
	struct shared_slot *slots; /* plan->shared_slots for each copy */
	size_t slots_bytes;
};

struct replay_state {
	size_t bytes; /* of the arena that holds this */
	const struct replay_script *script;
	struct shared_slot *shared;
	struct local_slot local[];
};

static const char *replay_path(const struct workload_run *run)
{
	const struct replay_params *params = run->params;

	return params->trace != NULL ? params->trace : "";
}

static int replay_open(const struct workload_run *run, struct trace *trace)
{
	const char *path = replay_path(run);

	if (path[0] == '\0')
		return kmem_error(-EINVAL,
				  "workload 'replay' needs a trace: give the parameter "
				  "trace=FILE, written by 'kmembench record'");
	return trace_open(path, trace);
}

static int replay_validate(const struct workload_run *run)
{
	struct trace trace = {0};
	uint32_t threads;
	int err = replay_open(run, &trace);

	if (err != 0)
		return err;
	threads = trace.header->threads;
	trace_close(&trace);
	if (run->threads % threads != 0)
		return kmem_error(-EINVAL,
				  "trace '%s' has %" PRIu32
				  " threads and cannot be replayed by %u: give %" PRIu32
				  " or a multiple",
				  replay_path(run), threads, run->threads, threads);
	return 0;
}

/* The two below follow a validate() that has succeeded; a file gone since asks for
 * nothing. */
static uint64_t replay_size_max(const struct workload_run *run)
{
	struct trace trace = {0};
	uint64_t bytes;

	if (replay_open(run, &trace) != 0)
		return 0;
	bytes = trace.header->size_max_bytes;
	trace_close(&trace);
	return bytes;
}

static uint64_t replay_extra_caps(const struct workload_run *run)
{
	struct trace trace = {0};
	uint64_t caps = 0;

	if (replay_open(run, &trace) != 0)
		return 0;
	for (uint64_t i = 0; i < trace.header->events && caps == 0; i++)
		if (trace.events[i].align_log2 > NATURAL_ALIGN_LOG2)
			caps = CAP_ALIGN;
	trace_close(&trace);
	return caps;
}

static int replay_setup(struct workload_run *run)
{
	struct replay_shared *shared;
	struct trace trace = {0};
	uint32_t copies;
	int err = replay_open(run, &trace);

	if (err != 0)
		return err;
	shared = arena_alloc(sizeof(*shared));
	shared->plan = replay_plan_new(&trace);
	trace_close(&trace);
	copies = run->threads / shared->plan->threads;
	shared->slots_bytes = (size_t)copies * shared->plan->shared_slots *
			      sizeof(struct shared_slot);
	shared->slots = arena_alloc(shared->slots_bytes);
	run->shared = shared;
	return 0;
}

static void replay_teardown(struct workload_run *run)
{
	struct replay_shared *shared = run->shared;

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
	s->shared = shared->slots + (size_t)copy * plan->shared_slots;
	w->state = s;
	return 0;
}

static void replay_thread_teardown(struct worker *w)
{
	struct replay_state *s = w->state;

	arena_free(s, s->bytes);
}

/* Does one event to the block of a slot; free leaves the slot's fields stale. */
static KMEM_ALWAYS_INLINE void replay_event(struct worker *w, struct probe *p,
					    const struct replay_event *e, void **block,
					    size_t *size)
{
	size_t want = e->size_bytes;

	switch (e->op) {
	case TRACE_MALLOC: *block = worker_alloc(w, p, want); break;
	case TRACE_CALLOC: *block = worker_zalloc(w, p, want); break;
	case TRACE_MEMALIGN:
		*block = worker_alloc_aligned(w, p, want, (size_t)1 << e->align_log2);
		break;
	case TRACE_REALLOC: *block = worker_realloc(w, p, *block, *size, want); break;
	case TRACE_FREE: worker_free(w, p, *block, *size); return;
	}
	*size = want;
}

static KMEM_ALWAYS_INLINE void replay_shared_event(struct worker *w, struct probe *p,
						   const struct replay_event *e,
						   struct shared_slot *slot)
{
	uint32_t next = e->op == TRACE_FREE ? 0 : e->turn + 1;
	unsigned int turns = 0;

	while (atomic_load_explicit(&slot->turn, memory_order_acquire) != e->turn)
		wait_pause(&turns);
	replay_event(w, p, e, &slot->block, &slot->size);
	atomic_store_explicit(&slot->turn, next, memory_order_release);
}

static KMEM_ALWAYS_INLINE void replay_step(struct worker *w, struct probe *p)
{
	struct replay_state *s = w->state;
	const struct replay_event *e = s->script->events;
	const struct replay_event *end = e + s->script->count;

	for (; e < end; e++) {
		if (e->shared) {
			replay_shared_event(w, p, e, &s->shared[e->slot]);
		} else {
			struct local_slot *slot = &s->local[e->slot];

			replay_event(w, p, e, &slot->block, &slot->size);
		}
	}
	w->ops += s->script->count;
}
WORKLOAD_STEP(replay_step);

static const struct workload_ops replay_workload = {
	.abi_version = WORKLOAD_OPS_VERSION,
	.name = "replay",
	.description =
		"repeats the allocations of a recorded program, thread by thread, each "
		"block's events in their recorded order",
	.stresses = "what a real program asks for: its sizes, lifetimes and hand-overs "
		    "between threads",
	.not_for =
		"the program's own speed: what it computed between the calls is missing, "
		"and threads wait for each other only where they pass a block on, so the "
		"live bytes may exceed the program's",
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
	.setup = replay_setup,
	.thread_setup = replay_thread_setup,
	.step = replay_step_plain,
	.step_probed = replay_step_probed,
	.thread_teardown = replay_thread_teardown,
	.teardown = replay_teardown,
};
WORKLOAD_REGISTER(replay_workload);
