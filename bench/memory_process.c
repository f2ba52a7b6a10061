/* SPDX-License-Identifier: MIT */
#include "bench/memory_process.h"

#include <stdio.h>

/* The process's entry, a failure, or NULL when interrupted. */
static json_t *run_process(json_t *spec, const struct process_layout *layout,
			   double timeout_s, json_int_t quanta)
{
	struct cell_process *p = cell_process_start(spec, layout, timeout_s);
	char command[48];
	json_t *entry;

	snprintf(command, sizeof(command), "memory %lld", (long long)quanta);
	if (cell_process_ask(p, "prepare"))
		cell_process_ask(p, command);
	entry = cell_process_finish(p);
	cell_process_delete(p);
	return entry;
}

/* A cell whose memory pass failed has failed: says in which process. */
static json_t *failure_of(const json_t *memory)
{
	const char *reason = json_string_value(json_object_get(memory, "error"));

	return json_pack("{s:s, s:o}", "status", "failed", "error",
			 json_sprintf("in the memory pass: %s",
				      reason != NULL ? reason : "no reason given"));
}

json_t *memory_process_run(json_t *spec, const struct process_layout *layout,
			   double timeout_s, json_t *entry)
{
	json_t *kmembench = json_object_get(entry, "kmembench");
	json_int_t quanta =
		json_integer_value(json_object_get(kmembench, "memory_quanta"));
	json_t *memory, *memory_kmembench;

	if (quanta == 0)
		return entry;
	memory = run_process(spec, layout, timeout_s, quanta);
	memory_kmembench = json_object_get(memory, "kmembench");
	if (memory_kmembench == NULL) {
		json_decref(entry);
		entry = memory == NULL ? NULL : failure_of(memory);
	} else {
		json_object_update(kmembench, memory_kmembench);
		json_object_del(memory, "kmembench");
		json_object_update(entry, memory);
	}
	json_decref(memory);
	return entry;
}
