/* SPDX-License-Identifier: MIT */
/* Between the parts of the trace format: files, their coding, what a trace must be. */
#ifndef KMEMBENCH_TRACE_INTERNAL_H
#define KMEMBENCH_TRACE_INTERNAL_H

#include "workloads/harness/trace.h"

/* The user's half of the address space: beyond it nobody can have been served. */
#define TRACE_SIZE_MAX ((uint64_t)1 << 47)
/* 1 GiB; larger alignments are not asked for by programs. */
#define TRACE_ALIGN_LOG2_MAX  30
#define TRACE_HEADER_V1_BYTES 64

#define TRACE_CHUNK_MAGIC 0x63424d4bu /* "KMBc" */
#define TRACE_CHUNK_BYTES 65536u      /* of events, at most */

struct trace_chunk {
	uint32_t magic;
	uint32_t bytes; /* of the coded events that follow */
	uint32_t events;
	uint32_t crc; /* of bytes, events, and the coded events */
};
_Static_assert(sizeof(struct trace_chunk) == 16, "file format");

uint32_t trace_chunk_crc(const struct trace_chunk *chunk, const void *coded);

/* Header and table together, in memory of their own. */
struct trace_figures {
	size_t bytes; /* mapped */
	struct trace_header header;
	struct trace_tally tally[];
};

/* Memory from mmap that grows at its end, zeroed: these functions may run where an
 * allocator is under test. */
struct trace_array {
	void *data;
	size_t bytes; /* mapped */
};

/* At least `bytes` of it; 0 or -ENOMEM with a text. */
int trace_array_grow(struct trace_array *array, size_t bytes);
void trace_array_release(struct trace_array *array);

/*
 * Checks events one after the other and adds up the figures. The path is for
 * error texts only.
 */
struct trace_checker {
	const char *path;
	struct trace_header header;
	struct trace_array tally; /* struct trace_tally[header.threads] */
	struct trace_array live;  /* int64_t: each thread's bytes asked for less given */
	struct trace_array id;	  /* uint64_t[]: of each id while it lives, else 0 */
	struct trace_array block; /* uint32_t[]: live ids of each block of ids */
	uint64_t live_bytes;
};

void trace_checker_init(struct trace_checker *c, const char *path);
void trace_checker_release(struct trace_checker *c);
/* 0, or -EINVAL with a text that names the byte offset which the event has, or would
 * have, in the file; -ENOMEM. */
int trace_checker_add(struct trace_checker *c, const struct trace_event *event,
		      uint64_t offset);
/* After the last event: 0, or -EINVAL when there was none. */
int trace_checker_end(const struct trace_checker *c);

#endif /* KMEMBENCH_TRACE_INTERNAL_H */
