/* SPDX-License-Identifier: MIT */
#include "workloads/replay_plan.h"

#include "workloads/harness/arena.h"

#define NO_ID UINT32_MAX

/* What is known of an id while the plan is drawn up. */
struct id_info {
	uint32_t slot;
	uint32_t events;      /* passed so far, in the last walk: the next one's turn */
	uint32_t next_free;   /* id whose slot may be reused after this one's */
	uint16_t last_thread; /* of its last event */
	bool shared;
	bool freed;
};

struct planner {
	const struct trace *trace;
	struct replay_plan *plan;
	struct id_info *id;
	uint32_t *free_head; /* per thread: the id whose slot became free last */
};

static bool allocates(const struct trace_event *e)
{
	return e->op != TRACE_REALLOC && e->op != TRACE_FREE;
}

/* First walk: who uses each id, which ones are never freed, how long each script is. */
static void planner_survey(struct planner *pl)
{
	const struct trace_header *h = pl->trace->header;

	for (uint64_t i = 0; i < h->events; i++) {
		const struct trace_event *e = &pl->trace->events[i];
		struct id_info *id = &pl->id[e->id];

		if (!allocates(e) && id->last_thread != e->thread)
			id->shared = true;
		id->last_thread = e->thread;
		id->freed = e->op == TRACE_FREE;
		pl->plan->script[e->thread].count++;
	}
	for (uint64_t i = 0; i < h->ids; i++)
		if (!pl->id[i].freed)
			pl->plan->script[pl->id[i].last_thread].count++;
}

/* Gives each script its part of the one array of events; count becomes a fill mark. */
static void planner_lay_out(struct planner *pl)
{
	struct replay_plan *plan = pl->plan;

	for (uint32_t t = 0; t < plan->threads; t++)
		plan->count += plan->script[t].count;
	plan->events = arena_alloc(plan->count * sizeof(*plan->events));
	for (uint64_t t = 0, at = 0; t < plan->threads; t++) {
		plan->script[t].events = plan->events + at;
		at += plan->script[t].count;
		plan->script[t].count = 0;
	}
}

/* A shared id gets a slot for life; another one takes the slot its thread freed last. */
static uint32_t planner_take_slot(struct planner *pl, const struct trace_event *e)
{
	uint32_t *head = &pl->free_head[e->thread];
	uint32_t donor = *head;

	if (pl->id[e->id].shared)
		return pl->plan->shared_slots++;
	if (donor == NO_ID)
		return pl->plan->script[e->thread].local_slots++;
	*head = pl->id[donor].next_free;
	return pl->id[donor].slot;
}

static void planner_append(struct planner *pl, const struct trace_event *e)
{
	struct id_info *id = &pl->id[e->id];
	struct replay_script *script = &pl->plan->script[e->thread];

	if (allocates(e))
		id->slot = planner_take_slot(pl, e);
	script->events[script->count++] = (struct replay_event){
		.size_bytes = e->size_bytes > 0 ? e->size_bytes : 1,
		.slot = id->slot,
		.turn = id->events++,
		.op = e->op,
		.align_log2 = e->align_log2,
		.shared = id->shared,
	};
	if (e->op == TRACE_FREE && !id->shared) {
		id->next_free = pl->free_head[e->thread];
		pl->free_head[e->thread] = e->id;
	}
}

/* Second walk: the events themselves, then the frees which the trace leaves out. */
static void planner_fill(struct planner *pl)
{
	const struct trace_header *h = pl->trace->header;

	for (uint64_t i = 0; i < h->events; i++)
		planner_append(pl, &pl->trace->events[i]);
	for (uint64_t i = 0; i < h->ids; i++) {
		struct trace_event e = {
			.op = TRACE_FREE,
			.thread = pl->id[i].last_thread,
			.id = (uint32_t)i,
		};

		if (!pl->id[i].freed)
			planner_append(pl, &e);
	}
}

struct replay_plan *replay_plan_new(const struct trace *trace)
{
	const struct trace_header *h = trace->header;
	size_t plan_bytes = sizeof(struct replay_plan) +
			    h->threads * sizeof(struct replay_script);
	size_t id_bytes = h->ids * sizeof(struct id_info);
	size_t head_bytes = h->threads * sizeof(uint32_t);
	struct planner pl = {
		.trace = trace,
		.plan = arena_alloc(plan_bytes),
		.id = arena_alloc(id_bytes),
		.free_head = arena_alloc(head_bytes),
	};

	pl.plan->bytes = plan_bytes;
	pl.plan->threads = h->threads;
	for (uint32_t t = 0; t < h->threads; t++)
		pl.free_head[t] = NO_ID;
	planner_survey(&pl);
	planner_lay_out(&pl);
	planner_fill(&pl);
	arena_free(pl.id, id_bytes);
	arena_free(pl.free_head, head_bytes);
	return pl.plan;
}

void replay_plan_delete(struct replay_plan *plan)
{
	arena_free(plan->events, plan->count * sizeof(*plan->events));
	arena_free(plan, plan->bytes);
}
