/* SPDX-License-Identifier: MIT */
/* The steps of record_program(). */
#ifndef KMEMBENCH_RECORD_INTERNAL_H
#define KMEMBENCH_RECORD_INTERNAL_H

#include "bench/record.h"
#include "bench/recorder/raw.h"
#include "workloads/harness/trace.h"

/* What the started process is given of the recording. */
struct record_start {
	int raw_fd; /* < 0: the recorder is not loaded */
	const char *library;
	const char *children; /* value of RAW_CHILDREN_VARIABLE; NULL: not recorded */
};

/*
 * Runs the program and waits for its end. 0 with wait_status, replaced and the
 * process's id of summary, or -errno with a text when it could not be started.
 */
int record_run_process(char *const argv[], const struct record_start *start,
		       struct record_summary *summary);

/*
 * Raw events to a trace, one after the other. Addresses become ids, threads are
 * renumbered in order of their first event. Events that cannot be (threads from
 * raw_threads_max on, say) are counted in summary->torn_events, not refused. Functions
 * return 0, or -errno with a text.
 */
struct conversion;
int conversion_new(const char *trace_path, uint32_t raw_threads_max,
		   struct record_summary *summary, struct conversion **conversion);
int conversion_add(struct conversion *c, const struct raw_event *raw);
/* Writes the trace, fills the figures of summary that come from the events.
 * origin->unknown_frees is filled in. -ENOTSUP when nothing was allocated. */
int conversion_finish(struct conversion *c, struct trace_origin *origin);
/* Without conversion_finish(), no trace is left. NULL is ignored. */
void conversion_delete(struct conversion *c);

/*
 * All events of a recording. raw_fd is the file behind raw: it is cut to nothing while
 * the trace is written, so that there is room on a disk that the recording has
 * filled; -1 for memory, or for a file that somebody may still write to.
 */
int record_convert(const char *trace_path, const struct raw_event *raw, uint64_t count,
		   uint32_t raw_threads, int raw_fd, struct trace_origin *origin,
		   struct record_summary *summary);

/* A raw recording, mapped. */
struct raw_file {
	int fd;
	size_t bytes;
	struct raw_header *header;
};

/* Converts a mapped recording whose process `ended` or still runs. -ENOTSUP with a text
 * when nobody attached to it, or nothing was allocated; -ENOSPC where the disk had no
 * room for a single event. */
int record_convert_file(const char *trace_path, const struct raw_file *file, bool ended,
			struct trace_origin *origin, struct record_summary *summary);

/*
 * The recordings that child processes left in a folder: "PID-1" becomes the trace
 * "TRACE.PID", "PID-2" (the same process after exec) "TRACE.PID.2". Removes folder and
 * recordings. Tells options->on_child of each trace. 0, or -errno with the text of the
 * first one that failed; the others are converted all the same.
 */
int record_convert_children(const char *trace_path, const char *folder,
			    const struct trace_origin *origin,
			    const struct record_options *options);

#endif /* KMEMBENCH_RECORD_INTERNAL_H */
