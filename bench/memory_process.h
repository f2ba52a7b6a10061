/* SPDX-License-Identifier: MIT */
/*
 * The memory pass of a cell, in a fresh process of its own.
 *
 * THEORY. What a process keeps from work that it has done before shows in its
 * resident memory, and differs with how long that work took: a memory pass that came
 * after the others would begin with what they left behind, and a quick allocator
 * would have left more. So the memory pass has a process that does nothing else.
 * All memory figures of an entry are then of this one process, and can be checked
 * against each other: its peak against its time line, what is left at the end against
 * what was there before.
 *
 * It runs once everything else of its rotation has ended, alone. The number of quanta
 * comes from the process that was timed, so that this one need not time anything.
 */
#ifndef KMEMBENCH_MEMORY_PROCESS_H
#define KMEMBENCH_MEMORY_PROCESS_H

#include <jansson.h>

#include "bench/cell_process.h"

/*
 * Runs the memory pass of a cell that was timed, and puts its figures into the entry.
 * entry: takes over the reference, and may be NULL or a failure, which is handed back as
 * it is; so is an entry without a memory pass. Returns the completed entry, a failure in
 * its place, or NULL when interrupted. The caller must not be bound to single CPUs, since
 * the process inherits that.
 */
json_t *memory_process_run(json_t *spec, const struct process_layout *layout,
			   double timeout_s, json_t *entry);

#endif /* KMEMBENCH_MEMORY_PROCESS_H */
