/* SPDX-License-Identifier: MIT */
/* Signals while cells run, and one cell alone. */
#ifndef KMEMBENCH_RUNNER_H
#define KMEMBENCH_RUNNER_H

#include <jansson.h>
#include <signal.h>

#include "bench/cell_process.h"

/* Set by the handler of SIGINT and SIGTERM, which runner_catch_signals() installs. */
extern volatile sig_atomic_t runner_interrupted;
void runner_catch_signals(void);
/* Back to what they did before: once results are safe, a signal ends the program. */
void runner_release_signals(void);

/*
 * Runs the cell that spec describes (bench/cell.h) by itself, its throughput timed by
 * Google Benchmark. Returns an entry with "kmembench"."status" "ok", or {"status":
 * "failed", "error": …} when it reported a failure, died of a signal, exited, or did
 * not end within timeout_s. NULL when the run was interrupted. A new reference.
 */
json_t *runner_run_cell(json_t *spec, const struct process_layout *layout,
			double timeout_s);

#endif /* KMEMBENCH_RUNNER_H */
