/* SPDX-License-Identifier: MIT */
/* A trace taken apart for replay: one script per thread, slots instead of ids. */
#ifndef KMEMBENCH_REPLAY_PLAN_H
#define KMEMBENCH_REPLAY_PLAN_H

#include "workloads/harness/trace.h"

struct replay_event {
	uint64_t size_bytes; /* at least 1: the vtable serves no 0 */
	uint32_t slot;	     /* in the copy's shared slots, or the thread's own */
	uint32_t turn;	     /* shared: events of the block that come before this one */
	uint8_t op;	     /* enum trace_op */
	uint8_t align_log2;
	bool shared; /* several threads use the block */
};

struct replay_script {
	struct replay_event *events;
	uint64_t count;
	uint32_t local_slots;
};

struct replay_plan {
	uint32_t threads;
	uint32_t shared_slots;
	struct replay_event *events; /* of all scripts, one after the other */
	uint64_t count;
	size_t bytes; /* of the arena that holds the plan and the scripts */
	struct replay_script script[];
};

/* From an arena; never fails. The trace may be closed afterwards. */
struct replay_plan *replay_plan_new(const struct trace *trace);
void replay_plan_delete(struct replay_plan *plan);

#endif /* KMEMBENCH_REPLAY_PLAN_H */
