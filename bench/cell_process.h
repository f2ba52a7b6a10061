/* SPDX-License-Identifier: MIT */
/*
 * A cell's process as its coordinator sees it: started, asked, ended. The protocol
 * stands in cell.h.
 *
 * Failures stay with their process: a crash, a refusal or a time-out ends this one,
 * becomes its entry, and is no error of the caller's.
 */
#ifndef KMEMBENCH_CELL_PROCESS_H
#define KMEMBENCH_CELL_PROCESS_H

#include <jansson.h>

#include <kmem/compiler.h>

/* How the process's memory is laid out: see plan.h. */
struct process_layout {
	bool fixed; /* no address space randomisation */
	unsigned int
		padding_bytes; /* added to the environment, so that the stack moves */
};

struct cell_process;

/*
 * Starts a process and hands it the cell's description. timeout_s bounds the time
 * that it may take for all answers together: waiting for its turn does not count.
 * Never NULL: one that could not be started has failed.
 */
struct cell_process *cell_process_start(json_t *spec, const struct process_layout *layout,
					double timeout_s);

/* Sends a command; no newline. Does nothing when the process has failed. */
void cell_process_send(struct cell_process *p, const char *command);

/*
 * Waits for the answer to the last command. NULL when there is none: the process has
 * failed, or runner_interrupted is set. The text holds until the next call.
 */
const char *cell_process_answer(struct cell_process *p);

/* send and answer; true when the answer begins with the command's own name. */
bool cell_process_ask(struct cell_process *p, const char *command);

bool cell_process_failed(const struct cell_process *p);

/*
 * Sends `finish` (unless the process has failed) and waits for its end. The entry,
 * or {"status": "failed", "error": ...}; NULL when interrupted. A new reference.
 */
json_t *cell_process_finish(struct cell_process *p);

/* Kills what still runs. NULL is ignored. */
void cell_process_delete(struct cell_process *p);

#endif /* KMEMBENCH_CELL_PROCESS_H */
