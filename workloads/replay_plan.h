/* SPDX-License-Identifier: MIT */
/*
 * A trace taken apart for replay: one script per thread, slots instead of ids.
 *
 * Memory: 16 bytes an event, and while the plan is drawn up 16 bytes an id: 10^8
 * events with half as many ids are 1.6 GB and for a time 0.8 GB more.
 */
#ifndef KMEMBENCH_REPLAY_PLAN_H
#define KMEMBENCH_REPLAY_PLAN_H

#include "workloads/harness/trace.h"

/* What a script has beside the trace's operations on blocks. */
enum replay_sync {
	REPLAY_POST = TRACE_AFTER, /* somebody waits until the thread has come so far */
	REPLAY_WAIT,		   /* slot: for that thread; turn: its posts in a pass */
};

struct replay_event {
	uint64_t size_bytes : 48; /* as recorded; 0 is asked for as 1 */
	uint64_t op : 8;	  /* enum trace_op or replay_sync */
	uint64_t align_log2 : 7;
	uint64_t shared : 1; /* several threads use the block */
	uint32_t slot;	     /* in the copy's shared slots, or the thread's own */
	uint32_t turn;	     /* shared: events of the block that come before this one */
};
_Static_assert(sizeof(struct replay_event) == 16, "as replay_plan.h says");

struct replay_script {
	struct replay_event *events;
	uint64_t count;
	uint64_t *segment_end; /* plan->segments of them: indices of events */
	uint32_t local_slots;
	uint32_t posts;		  /* REPLAY_POST in a pass */
	uint64_t leftovers;	  /* frees that the trace leaves out */
	struct trace_tally tally; /* what the recorded thread did */
};

struct replay_plan {
	uint32_t threads;
	uint32_t shared_slots;
	uint64_t segments;	     /* parts of a pass; a step does one */
	uint64_t repeats;	     /* with one segment: passes in a step */
	struct replay_event *events; /* of all scripts, one after the other */
	uint64_t count;
	uint64_t *segment_ends; /* of all scripts */
	size_t bytes;		/* of the arena that holds the plan and the scripts */
	struct replay_script script[];
};

/*
 * From an arena. 0; or -EINVAL with a text when the file has changed since it was
 * opened: then there is no plan. segment_events: events, over all threads, that a
 * segment should have. The trace may be closed afterwards.
 */
int replay_plan_new(const struct trace *trace, uint64_t segment_events,
		    struct replay_plan **plan);
void replay_plan_delete(struct replay_plan *plan);

#endif /* KMEMBENCH_REPLAY_PLAN_H */
