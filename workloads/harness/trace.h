/* SPDX-License-Identifier: MIT */
/*
 * Allocation traces: what a real program asked of its allocator.
 *
 * File format, version 1, little-endian:
 *
 *   offset 0   struct trace_header (64 bytes)
 *   offset 64  struct trace_event[header.events] (16 bytes each)
 *
 * Events stand in the order in which they happened (one global order over all
 * threads: an allocation is numbered after it returned, a free before it was
 * called, so an address is never live twice). Every allocation has an id of
 * its own, counted from 0; a free or realloc names the id. The file ends with
 * the last event: anything else is refused with its offset.
 */
#ifndef KMEMBENCH_TRACE_H
#define KMEMBENCH_TRACE_H

#include <kmem/compiler.h>

#define TRACE_MAGIC   "KMBTRACE"
#define TRACE_VERSION 1

enum trace_op {
	TRACE_MALLOC,	/* id is new, size */
	TRACE_CALLOC,	/* id is new, size (of the whole), zeroed */
	TRACE_MEMALIGN, /* id is new, size, align */
	TRACE_REALLOC,	/* id lives on, size is the new one */
	TRACE_FREE,	/* id ends */
	NR_TRACE_OPS,
};

struct trace_event {
	uint8_t op;	    /* enum trace_op */
	uint8_t align_log2; /* 0: none asked for */
	uint16_t thread;    /* 0 .. header.threads - 1, in order of first event */
	uint32_t id;
	uint64_t size_bytes;
};
_Static_assert(sizeof(struct trace_event) == 16, "file format");

struct trace_header {
	char magic[8];
	uint32_t version;
	uint32_t threads;
	uint64_t events;
	uint64_t ids;		 /* allocations; ids run from 0 to this - 1 */
	uint64_t live_bytes_max; /* of the recorded program, as asked for */
	uint64_t size_max_bytes; /* largest single request */
	uint64_t unknown_frees;	 /* dropped: memory from before the recording began */
	uint64_t reserved;
};
_Static_assert(sizeof(struct trace_header) == 64, "file format");

struct trace {
	const struct trace_header *header;
	const struct trace_event *events;
	size_t map_bytes; /* of the read-only mapping that holds both */
};

/*
 * Maps and validates a whole trace: sizes, ids (each allocated once before it is
 * freed, freed once at most), threads. 0, or -errno with a text that names the
 * file, the byte offset and what is wrong there.
 */
int trace_open(const char *path, struct trace *trace);
void trace_close(struct trace *trace);

/* Computes the header's figures from the events, writes the file whole (temporary
 * name, fsync, rename). 0 or -errno with a text. */
int trace_write(const char *path, const struct trace_event *events, uint64_t count,
		uint32_t threads, uint64_t unknown_frees);

#endif /* KMEMBENCH_TRACE_H */
