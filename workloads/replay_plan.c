/* SPDX-License-Identifier: MIT */
#include "workloads/replay_plan.h"

#include <errno.h>
#include <stdlib.h>

#include <kmem/error.h>

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
_Static_assert(sizeof(struct id_info) == 16, "as replay_plan.h says");

/* An edge of the trace: somebody waits for the first `events` of a thread. */
struct edge {
	uint64_t events;
	uint32_t thread;
	uint32_t post; /* which of the thread's posts that is, counted from 1 */
	uint64_t at;   /* place among the trace's edges */
};

struct planner {
	const struct trace *trace;
	struct replay_plan *plan;
	struct id_info *id;
	uint32_t *free_head;  /* per thread: the id whose slot became free last */
	uint64_t *passed;     /* per thread: events of the trace so far */
	uint64_t *next_edge;  /* per thread: the first one in by_post not yet reached */
	struct edge *by_post; /* sorted by thread and events */
	uint32_t *post_of;    /* of each edge in the trace's order */
	uint64_t edges;
};

/* First walk: who uses each id, which ones are never freed, what the edges are. */
static int planner_survey(struct planner *pl)
{
	const struct trace_header *h = pl->trace->header;
	struct trace_cursor cursor;
	struct trace_event e;
	uint64_t edges = 0;

	trace_cursor_start(&cursor, pl->trace);
	while (trace_next(&cursor, &e)) {
		struct id_info *id = &pl->id[e.id];

		if (e.op == TRACE_AFTER) {
			if (edges < pl->edges)
				pl->by_post[edges] = (struct edge){e.size_bytes, e.id, 0,
								   edges};
			edges++;
			continue;
		}
		if (!trace_allocates(&e) && id->last_thread != e.thread)
			id->shared = true;
		id->last_thread = e.thread;
		id->freed = e.op == TRACE_FREE;
	}
	if (cursor.events != h->events || edges != pl->edges)
		return kmem_error(-EINVAL,
				  "the trace has changed while it was read: try again");
	for (uint64_t i = 0; i < h->ids; i++)
		if (!pl->id[i].freed)
			pl->plan->script[pl->id[i].last_thread].leftovers++;
	return 0;
}

static int compare_edges(const void *a, const void *b)
{
	const struct edge *x = a, *y = b;

	if (x->thread != y->thread)
		return x->thread < y->thread ? -1 : 1;
	return x->events < y->events ? -1 : x->events > y->events;
}

/* Edges that wait for the same event share a post. */
static void planner_number_posts(struct planner *pl)
{
	qsort(pl->by_post, pl->edges, sizeof(*pl->by_post), compare_edges);
	for (uint64_t i = 0; i < pl->edges; i++) {
		struct edge *edge = &pl->by_post[i];
		struct replay_script *script = &pl->plan->script[edge->thread];

		if (i == 0 || compare_edges(edge, edge - 1) != 0)
			script->posts++;
		edge->post = script->posts;
		pl->post_of[edge->at] = edge->post;
	}
	for (uint64_t i = pl->edges; i > 0; i--)
		pl->next_edge[pl->by_post[i - 1].thread] = i - 1;
}

/* Gives each script its part of the one array of events; count becomes a fill mark. */
static void planner_lay_out(struct planner *pl)
{
	struct replay_plan *plan = pl->plan;
	uint64_t at = 0;

	for (uint32_t t = 0; t < plan->threads; t++) {
		struct replay_script *script = &plan->script[t];

		script->tally = pl->trace->tally[t];
		plan->count += script->tally.events + script->posts + script->leftovers;
	}
	plan->events = arena_alloc(plan->count * sizeof(*plan->events));
	plan->segment_ends =
		arena_alloc(plan->segments * plan->threads * sizeof(*plan->segment_ends));
	for (uint32_t t = 0; t < plan->threads; t++) {
		struct replay_script *script = &plan->script[t];

		script->events = plan->events + at;
		script->segment_end = plan->segment_ends + t * plan->segments;
		at += script->tally.events + script->posts + script->leftovers;
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

	if (trace_allocates(e))
		id->slot = planner_take_slot(pl, e);
	script->events[script->count++] = (struct replay_event){
		.size_bytes = e->size_bytes,
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

/* The thread has done one more event of the trace: does somebody wait for it? */
static void planner_pass(struct planner *pl, uint32_t thread)
{
	struct replay_script *script = &pl->plan->script[thread];
	uint64_t passed = ++pl->passed[thread], *next = &pl->next_edge[thread];
	bool posted = false;

	for (; *next < pl->edges && pl->by_post[*next].thread == thread &&
	       pl->by_post[*next].events == passed;
	     ++*next)
		posted = true;
	if (posted)
		script->events[script->count++] =
			(struct replay_event){.op = REPLAY_POST};
}

/* All that was appended so far belongs to the segments up to this one. */
static void planner_end_segment(struct planner *pl, uint64_t segment)
{
	for (uint32_t t = 0; t < pl->plan->threads; t++)
		pl->plan->script[t].segment_end[segment] = pl->plan->script[t].count;
}

/* Second walk: the events themselves, then the frees which the trace leaves out. */
static void planner_fill(struct planner *pl, uint64_t segment_events)
{
	const struct trace_header *h = pl->trace->header;
	struct replay_plan *plan = pl->plan;
	struct trace_cursor cursor;
	struct trace_event e;
	uint64_t edges = 0, segment = 0;

	trace_cursor_start(&cursor, pl->trace);
	while (trace_next(&cursor, &e)) {
		struct replay_script *script = &plan->script[e.thread];

		if (e.op == TRACE_AFTER)
			script->events[script->count++] =
				(struct replay_event){.op = REPLAY_WAIT,
						      .slot = e.id,
						      .turn = pl->post_of[edges++]};
		else
			planner_append(pl, &e);
		planner_pass(pl, e.thread);
		if (cursor.events % segment_events == 0 && segment + 1 < plan->segments)
			planner_end_segment(pl, segment++);
	}
	for (uint64_t i = 0; i < h->ids; i++) {
		struct trace_event leftover = {
			.op = TRACE_FREE,
			.thread = pl->id[i].last_thread,
			.id = (uint32_t)i,
		};

		if (!pl->id[i].freed)
			planner_append(pl, &leftover);
	}
	while (segment < plan->segments)
		planner_end_segment(pl, segment++);
}

static void planner_take_memory(struct planner *pl)
{
	const struct trace_header *h = pl->trace->header;

	for (uint32_t t = 0; t < h->threads; t++)
		pl->edges += pl->trace->tally[t].edges;
	pl->id = arena_alloc(h->ids * sizeof(*pl->id));
	pl->free_head = arena_alloc(h->threads * sizeof(*pl->free_head));
	pl->passed = arena_alloc(h->threads * sizeof(*pl->passed));
	pl->next_edge = arena_alloc(h->threads * sizeof(*pl->next_edge));
	pl->by_post = arena_alloc(pl->edges * sizeof(*pl->by_post));
	pl->post_of = arena_alloc(pl->edges * sizeof(*pl->post_of));
	for (uint32_t t = 0; t < h->threads; t++) {
		pl->free_head[t] = NO_ID;
		pl->next_edge[t] = pl->edges;
	}
}

static void planner_release(struct planner *pl)
{
	const struct trace_header *h = pl->trace->header;

	arena_free(pl->id, h->ids * sizeof(*pl->id));
	arena_free(pl->free_head, h->threads * sizeof(*pl->free_head));
	arena_free(pl->passed, h->threads * sizeof(*pl->passed));
	arena_free(pl->next_edge, h->threads * sizeof(*pl->next_edge));
	arena_free(pl->by_post, pl->edges * sizeof(*pl->by_post));
	arena_free(pl->post_of, pl->edges * sizeof(*pl->post_of));
}

int replay_plan_new(const struct trace *trace, uint64_t segment_events,
		    struct replay_plan **plan)
{
	const struct trace_header *h = trace->header;
	size_t plan_bytes = sizeof(struct replay_plan) +
			    h->threads * sizeof(struct replay_script);
	struct planner pl = {.trace = trace, .plan = arena_alloc(plan_bytes)};
	int err;

	*plan = NULL;
	pl.plan->bytes = plan_bytes;
	pl.plan->threads = h->threads;
	pl.plan->segments = (h->events + segment_events - 1) / segment_events;
	pl.plan->repeats = h->events < segment_events ? segment_events / h->events : 1;
	planner_take_memory(&pl);
	err = planner_survey(&pl);
	if (err == 0) {
		planner_number_posts(&pl);
		planner_lay_out(&pl);
		planner_fill(&pl, segment_events);
		*plan = pl.plan;
	} else {
		arena_free(pl.plan, plan_bytes);
	}
	planner_release(&pl);
	return err;
}

void replay_plan_delete(struct replay_plan *plan)
{
	arena_free(plan->segment_ends,
		   plan->segments * plan->threads * sizeof(*plan->segment_ends));
	arena_free(plan->events, plan->count * sizeof(*plan->events));
	arena_free(plan, plan->bytes);
}
