/* SPDX-License-Identifier: MIT */
/* The steps of record_program(). */
#ifndef KMEMBENCH_RECORD_INTERNAL_H
#define KMEMBENCH_RECORD_INTERNAL_H

#include "bench/record.h"
#include "bench/recorder/raw.h"

/*
 * Runs the program with the library preloaded and raw_fd handed over, waits for its end.
 * 0 with wait_status and replaced of summary, or -errno with a text when it could
 * not be started.
 */
int record_run_process(char *const argv[], int raw_fd, const char *library,
		       struct record_summary *summary);

/*
 * Raw events to a trace. Addresses become ids, threads are
 * renumbered in order of their first event. raw_fd is the file behind raw: it is cut
 * to nothing before the trace is written, so that there is room on a disk that the
 * recording has filled; -1 for memory. Fills the figures of summary that come from the
 * events.
 */
int record_convert(const char *trace_path, const struct raw_event *raw, uint64_t count,
		   uint32_t raw_threads, int raw_fd, struct record_summary *summary);

#endif /* KMEMBENCH_RECORD_INTERNAL_H */
