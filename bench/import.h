/* SPDX-License-Identifier: MIT */
/* Traces from the logs of other tools: ltrace, and glibc's mtrace(). */
#ifndef KMEMBENCH_IMPORT_H
#define KMEMBENCH_IMPORT_H

#include "bench/record.h"

enum import_format { IMPORT_AUTO, IMPORT_LTRACE, IMPORT_MTRACE };
/* "auto", "ltrace", "mtrace", NULL */
extern const char *const import_format_names[];

struct import_options {
	enum import_format format;
	bool keep_going; /* leave bad lines out instead of giving up at the first one */
};

struct import_summary {
	struct record_summary trace;
	enum import_format format; /* as found */
	uint64_t lines;
	uint64_t bad_lines; /* left out; the text of the first one is the error text */
	uint64_t without_address; /* posix_memalign: ltrace does not show what it gave */
	uint64_t unfinished;	  /* calls that never came back */
};

/*
 * Reads a log and writes a trace. 0, or -errno with a text that names the line where
 * there is one, and then no trace is written.
 */
int import_trace(const char *log_path, const char *trace_path,
		 const struct import_options *options, struct import_summary *summary);

#endif /* KMEMBENCH_IMPORT_H */
