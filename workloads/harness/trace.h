/* SPDX-License-Identifier: MIT */
/*
 * Allocation traces: what a real program asked of its allocator.
 *
 * ORDER. Events stand in one total order over all threads. It agrees with the
 * order of each thread, and with every order that the allocator imposes: an
 * allocation is numbered after it has returned, a free before it is called, so
 * an address is never live twice, and the events of one block stand in the order
 * in which they happened. What else two threads did is in the trace only where
 * the recorder saw it, as a TRACE_AFTER event: "this thread goes on after the
 * first k events of that one", written where a thread begins (after what its
 * creator did before pthread_create()) and where one was joined (after all that
 * it did). Other synchronisation of the program (locks, queues, futexes) is in the
 * total order, but not as an edge. So a replay that keeps the order of each thread,
 * of each block, and the edges does nothing which the program could not have done.
 *
 * FILE FORMAT, version 2, little-endian:
 *
 *   struct trace_header         128 bytes
 *   chunks                      struct trace_chunk (16 bytes) and its events
 *   struct trace_tally[threads] 64 bytes each, at header.table_offset, to the end
 *
 * Each part carries a CRC-32C, so that damage is told with the offset of the part.
 * A chunk holds up to 64 KiB of events, of one to a dozen bytes each:
 *
 *   byte 0     bits 0-2 operation, bits 3-6 low bits of the first number, bit 7: it
 *              goes on, seven bits in each byte that follows, lowest first (LEB128)
 *   malloc, calloc   first number: size in bytes
 *   memalign         first number: size; then a byte: log2 of the alignment
 *   free             first number: ids back: (ids so far) - 1 - id
 *   realloc          first number: ids back; then a number: the new size
 *   after            first number: the other thread; then a number: k
 *   thread (6)       first number: the thread of the events from here on; part of the
 *                    event that it precedes, left out while the thread is the same
 *
 * An allocation's id is not stored: ids count up in the order of the file. In recordings
 * of sqlite3, git, clang and python3 with threads an event took 1.5 to 2.2 bytes.
 *
 * Version 1 (16 bytes an event, no checksums, no edges) is read as well.
 *
 * MEMORY. trace_open() maps the file and checks it in one pass that keeps 8 bytes
 * for each id, given back in blocks of 8192 ids once all of a block are dead; a
 * cursor then decodes one event after the other and keeps nothing. 10^8 events are a
 * file of some 200 MB.
 */
#ifndef KMEMBENCH_TRACE_H
#define KMEMBENCH_TRACE_H

#include <kmem/compiler.h>

#define TRACE_MAGIC   "KMBTRACE"
#define TRACE_VERSION 2
/* Thread numbers have 16 bits, ids 32. */
#define TRACE_THREADS_MAX ((uint32_t)65536)
#define TRACE_IDS_MAX	  ((uint64_t)UINT32_MAX)

enum trace_op {
	TRACE_MALLOC,	/* id is new, size */
	TRACE_CALLOC,	/* id is new, size (of the whole), zeroed */
	TRACE_MEMALIGN, /* id is new, size, align */
	TRACE_REALLOC,	/* id lives on, size is the new one */
	TRACE_FREE,	/* id ends */
	TRACE_AFTER,	/* id: another thread; size: how many of its events come before */
	NR_TRACE_OPS,
};

/* An event in memory; in files of version 1 also on disk. */
struct trace_event {
	uint8_t op;	    /* enum trace_op */
	uint8_t align_log2; /* 0: none asked for */
	uint16_t thread;    /* 0 .. header.threads - 1, in order of first event */
	uint32_t id;
	uint64_t size_bytes;
};
_Static_assert(sizeof(struct trace_event) == 16, "file format");

static inline bool trace_allocates(const struct trace_event *e)
{
	return e->op <= TRACE_MEMALIGN;
}

enum trace_source {
	TRACE_SOURCE_RECORDER,
	TRACE_SOURCE_LTRACE,
	TRACE_SOURCE_MTRACE,
	TRACE_SOURCE_GENERATED,
	NR_TRACE_SOURCES,
};
/* "recorder", "ltrace", "mtrace", "generated" */
extern const char *const trace_source_names[NR_TRACE_SOURCES];

struct trace_header {
	char magic[8];
	uint32_t version;
	uint32_t threads;
	uint64_t events;
	uint64_t ids;		 /* allocations; ids run from 0 to this - 1 */
	uint64_t live_bytes_max; /* of the recorded program, as asked for */
	uint64_t size_max_bytes; /* largest single request */
	uint64_t unknown_frees;	 /* dropped: memory from before the recording began */
	/* From here on 0 in traces that were read from version 1. */
	uint64_t file_bytes;
	uint64_t table_offset;
	uint64_t duration_ns; /* of the recorded program; 0: not known */
	/* What recording one event took, measured when the trace was recorded. 0: no. */
	uint32_t recorder_ps_per_event;
	uint32_t pid;		 /* of the recorded process; 0: not known */
	uint32_t align_log2_max; /* largest alignment that was asked for */
	uint32_t source;	 /* enum trace_source */
	char program[24];	 /* its name, cut off if need be; 0-terminated */
	uint32_t table_crc;
	uint32_t header_crc; /* of the bytes before */
};
_Static_assert(sizeof(struct trace_header) == 128, "file format");

/* What one thread did: the figures against which a replay is verified. */
struct trace_tally {
	uint64_t events; /* all of the below */
	uint64_t allocations;
	uint64_t reallocations;
	uint64_t frees;
	uint64_t remote_frees; /* of frees: blocks that another thread had allocated */
	uint64_t edges;	       /* TRACE_AFTER */
	uint64_t bytes;	       /* asked for by allocations and reallocations */
	/* Most bytes that the thread had asked for and not given back, whoever had
	 * allocated what it gave back. */
	uint64_t live_bytes_max;
};
_Static_assert(sizeof(struct trace_tally) == 64, "file format");

struct trace {
	const struct trace_header *header;
	const struct trace_tally *tally; /* header->threads of them */
	const unsigned char *file;	 /* read-only mapping */
	size_t file_bytes;
	struct trace_figures *figures; /* what the two above lie in */
};

/*
 * Maps and validates a whole trace: checksums, sizes, ids (each freed once at most),
 * threads, edges, and the header's and threads' figures. 0, or -errno with a text
 * that names the file, the byte offset and what is wrong there.
 */
int trace_open(const char *path, struct trace *trace);
void trace_close(struct trace *trace);

/*
 * The header alone, checked by its own checksum: for whoever has no need of the
 * events yet. A file of version 1 is opened whole, since it has no checksum.
 */
int trace_peek(const char *path, struct trace_header *header);

/* A place in an open trace. */
struct trace_cursor {
	const struct trace *trace;
	const unsigned char *at, *end; /* what is left of the chunk */
	const unsigned char *chunk;    /* the next one's header */
	uint64_t events;	       /* passed so far */
	uint32_t ids;
	uint16_t thread;
};

void trace_cursor_start(struct trace_cursor *cursor, const struct trace *trace);
/* The next event; false past the last, or when the file has changed under us. */
bool trace_next(struct trace_cursor *cursor, struct trace_event *event);

/* --- writing --- */

struct trace_writer;

/* What the events do not say. Strings may be NULL. */
struct trace_origin {
	enum trace_source source;
	const char *program;
	uint32_t pid;
	uint64_t unknown_frees;
	uint64_t duration_ns;
	uint32_t recorder_ps_per_event;
};

/*
 * Begins a trace under a temporary name beside path. Events are checked and coded as
 * they come; memory is that of trace_open(). 0, or -errno with a text.
 */
int trace_writer_new(const char *path, struct trace_writer **writer);
/* 0, or -errno with a text: then the writer can only be deleted. */
int trace_writer_add(struct trace_writer *writer, const struct trace_event *event);
/* Writes what is left, syncs, renames, and fills the header (may be NULL). The
 * writer must still be deleted. 0 or -errno with a text. */
int trace_writer_finish(struct trace_writer *writer, const struct trace_origin *origin,
			struct trace_header *header);
/* Without trace_writer_finish() before it, nothing is left of the trace. NULL is
 * ignored. */
void trace_writer_delete(struct trace_writer *writer);

/* A whole trace from memory. 0 or -errno with a text. */
int trace_write(const char *path, const struct trace_event *events, uint64_t count,
		const struct trace_origin *origin);

#endif /* KMEMBENCH_TRACE_H */
