/* SPDX-License-Identifier: MIT */
/*
 * Reading trace files. What a trace must be is checked in one place, trace_check.c,
 * for files that come in and for events that go out.
 */
#include "workloads/harness/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kmem/error.h>

#include "workloads/harness/crc32c.h"
#include "workloads/harness/trace_codec_fast.h"
#include "workloads/harness/trace_internal.h"

const char *const trace_source_names[NR_TRACE_SOURCES] = {"recorder", "ltrace", "mtrace",
							  "generated"};

uint32_t trace_chunk_crc(const struct trace_chunk *chunk, const void *coded)
{
	const uint32_t numbers[2] = {chunk->bytes, chunk->events};

	return crc32c(crc32c(0, numbers, sizeof(numbers)), coded, chunk->bytes);
}

static int cut_off(const char *path, uint64_t offset, const char *what)
{
	return kmem_error(-EINVAL, "trace '%s' is cut off at offset %" PRIu64 ": %s",
			  path, offset, what);
}

static int damaged(const char *path, uint64_t offset, const char *what)
{
	return kmem_error(-EINVAL,
			  "trace '%s' is damaged at offset %" PRIu64
			  ": %s; record it again",
			  path, offset, what);
}

/* --- headers --- */

/* Magic and version: which of the two formats it is, or -EINVAL with a text. */
static int check_kind(const char *path, const unsigned char *file, uint64_t bytes)
{
	uint32_t version;

	if (bytes < TRACE_HEADER_V1_BYTES)
		return cut_off(path, bytes, "a header takes more");
	if (memcmp(file, TRACE_MAGIC, 8) != 0)
		return kmem_error(
			-EINVAL,
			"'%s' is no trace: the bytes at offset 0 are not '" TRACE_MAGIC
			"'; 'kmembench record' writes traces",
			path);
	memcpy(&version, file + offsetof(struct trace_header, version), sizeof(version));
	if (version == 1)
		return 1;
	if (version != TRACE_VERSION)
		return kmem_error(
			-EINVAL,
			"trace '%s' has format version %" PRIu32
			" at offset %zu, this program reads 1 and %d: record it again",
			path, version, offsetof(struct trace_header, version),
			TRACE_VERSION);
	return TRACE_VERSION;
}

/* Version 1: 64 bytes of header, then events of 16 bytes to the end. */
static int check_header_v1(const char *path, const unsigned char *file, uint64_t bytes,
			   struct trace_header *h)
{
	uint64_t room = (bytes - TRACE_HEADER_V1_BYTES) / sizeof(struct trace_event);
	uint64_t whole;

	memset(h, 0, sizeof(*h));
	memcpy(h, file, TRACE_HEADER_V1_BYTES - sizeof(uint64_t));
	if (h->events > room)
		return kmem_error(-EINVAL,
				  "trace '%s' is cut off at offset %" PRIu64
				  ": its header announces %" PRIu64
				  " events of %zu bytes",
				  path, bytes, h->events, sizeof(struct trace_event));
	whole = TRACE_HEADER_V1_BYTES + h->events * sizeof(struct trace_event);
	if (whole != bytes)
		return kmem_error(
			-EINVAL,
			"trace '%s' has bytes after its last event, at offset %" PRIu64,
			path, whole);
	return 0;
}

static int check_header_v2(const char *path, const unsigned char *file, uint64_t bytes,
			   struct trace_header *h)
{
	if (bytes < sizeof(*h))
		return cut_off(path, bytes, "a header takes 128 bytes");
	memcpy(h, file, sizeof(*h));
	if (crc32c(0, h, offsetof(struct trace_header, header_crc)) != h->header_crc)
		return damaged(path, 0, "the header's checksum is wrong");
	if (h->file_bytes > bytes)
		return cut_off(path, bytes, "its header announces more bytes");
	if (h->file_bytes < bytes)
		return kmem_error(
			-EINVAL, "trace '%s' has bytes after its end, at offset %" PRIu64,
			path, h->file_bytes);
	if (h->threads == 0 || h->threads > TRACE_THREADS_MAX ||
	    h->table_offset < sizeof(*h) || h->table_offset > bytes ||
	    bytes - h->table_offset != h->threads * sizeof(struct trace_tally) ||
	    h->events > bytes || h->source >= NR_TRACE_SOURCES ||
	    h->program[sizeof(h->program) - 1] != '\0')
		return damaged(path, 0, "the header's figures contradict the file");
	return 0;
}

/* --- files --- */

static int open_file(const char *path, uint64_t *bytes)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int err;

	if (fd < 0) {
		err = errno;
		return kmem_error(-err, "cannot open trace '%s': %s", path,
				  strerror(err));
	}
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return kmem_error(-EINVAL,
				  "cannot read trace '%s': it is no regular file", path);
	}
	*bytes = (uint64_t)st.st_size;
	return fd;
}

/* Maps the file and reads its header. The format's version, or -errno with a text. */
static int map_file(const char *path, struct trace *trace, struct trace_header *header)
{
	uint64_t bytes = 0;
	int fd = open_file(path, &bytes);
	int version, err;
	void *map;

	if (fd < 0)
		return fd;
	if (bytes == 0) {
		close(fd);
		return cut_off(path, 0, "it is empty");
	}
	map = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
	err = errno;
	close(fd);
	if (map == MAP_FAILED)
		return kmem_error(-err, "cannot map trace '%s': %s", path, strerror(err));
	version = check_kind(path, map, bytes);
	err = version < 0    ? version
	      : version == 1 ? check_header_v1(path, map, bytes, header)
			     : check_header_v2(path, map, bytes, header);
	if (err != 0) {
		munmap(map, bytes);
		return err;
	}
	trace->file = map;
	trace->file_bytes = bytes;
	return version;
}

/* --- events --- */

static int check_events_v1(struct trace_checker *c, const struct trace *trace,
			   const struct trace_header *h)
{
	const unsigned char *at = trace->file + TRACE_HEADER_V1_BYTES;

	for (uint64_t i = 0; i < h->events; i++, at += sizeof(struct trace_event)) {
		struct trace_event e;
		int err;

		memcpy(&e, at, sizeof(e));
		if (e.op == TRACE_AFTER)
			e.op = NR_TRACE_OPS; /* version 1 has none */
		err = trace_checker_add(c, &e, (uint64_t)(at - trace->file));
		if (err != 0)
			return err;
	}
	return 0;
}

/* One chunk; its size with the header, or -errno with a text. */
static int64_t check_chunk(struct trace_checker *c, const struct trace *trace,
			   const struct trace_header *h, uint64_t offset,
			   struct trace_codec *codec)
{
	const unsigned char *p = trace->file + offset + sizeof(struct trace_chunk);
	const unsigned char *end;
	struct trace_chunk chunk;

	if (h->table_offset - offset < sizeof(chunk))
		return damaged(c->path, offset, "no chunk of events fits there");
	memcpy(&chunk, trace->file + offset, sizeof(chunk));
	if (chunk.magic != TRACE_CHUNK_MAGIC || chunk.bytes > TRACE_CHUNK_BYTES ||
	    chunk.bytes > h->table_offset - offset - sizeof(chunk))
		return damaged(c->path, offset, "no chunk of events begins there");
	if (trace_chunk_crc(&chunk, p) != chunk.crc)
		return damaged(c->path, offset, "the checksum of the events is wrong");
	end = p + chunk.bytes;
	for (uint32_t i = 0; i < chunk.events; i++) {
		uint64_t at = (uint64_t)(p - trace->file);
		struct trace_event e;
		int err;

		p = trace_decode(codec, p, end, &e);
		if (p == NULL)
			return damaged(c->path, at, "the bytes are no event");
		err = trace_checker_add(c, &e, at);
		if (err != 0)
			return err;
	}
	if (p != end)
		return damaged(c->path, (uint64_t)(p - trace->file),
			       "bytes are left over in the chunk");
	return (int64_t)(sizeof(chunk) + chunk.bytes);
}

static int check_events_v2(struct trace_checker *c, const struct trace *trace,
			   const struct trace_header *h)
{
	struct trace_codec codec = {0};
	uint64_t offset = sizeof(*h);

	while (offset < h->table_offset) {
		int64_t bytes = check_chunk(c, trace, h, offset, &codec);

		if (bytes < 0)
			return (int)bytes;
		offset += (uint64_t)bytes;
	}
	return 0;
}

/* The header's figures are what the events say; anything else is damage. */
static int check_figures(const struct trace_checker *c, const struct trace_header *h)
{
	const struct trace_header *found = &c->header;
	const struct {
		const char *name;
		size_t offset;
		uint64_t said, found;
		bool v1;
	} figures[] = {
		{"threads", offsetof(struct trace_header, threads), h->threads,
		 found->threads, true},
		{"events", offsetof(struct trace_header, events), h->events,
		 found->events, true},
		{"ids", offsetof(struct trace_header, ids), h->ids, found->ids, true},
		{"live_bytes_max", offsetof(struct trace_header, live_bytes_max),
		 h->live_bytes_max, found->live_bytes_max, true},
		{"size_max_bytes", offsetof(struct trace_header, size_max_bytes),
		 h->size_max_bytes, found->size_max_bytes, true},
		{"align_log2_max", offsetof(struct trace_header, align_log2_max),
		 h->align_log2_max, found->align_log2_max, false},
	};

	for (size_t i = 0; i < KMEM_ARRAY_SIZE(figures); i++)
		if (figures[i].said != figures[i].found &&
		    (figures[i].v1 || h->version > 1))
			return kmem_error(
				-EINVAL,
				"trace '%s' says %s=%" PRIu64
				" at offset %zu, and its events make it %" PRIu64,
				c->path, figures[i].name, figures[i].said,
				figures[i].offset, figures[i].found);
	return 0;
}

static int check_table(const struct trace_checker *c, const struct trace *trace,
		       const struct trace_header *h)
{
	const unsigned char *table = trace->file + h->table_offset;

	if (h->version == 1)
		return 0;
	if (crc32c(0, table, h->threads * sizeof(struct trace_tally)) != h->table_crc)
		return damaged(c->path, h->table_offset,
			       "the checksum of the threads' figures is wrong");
	for (uint32_t t = 0; t < h->threads; t++) {
		size_t at = t * sizeof(struct trace_tally);

		if (memcmp(table + at, (const char *)c->tally.data + at,
			   sizeof(struct trace_tally)) != 0)
			return damaged(c->path, h->table_offset + at,
				       "a thread's figures are not what its events say");
	}
	return 0;
}

/* Header and figures as the trace keeps them. */
static int keep_figures(const struct trace_checker *c, const struct trace_header *h,
			struct trace *trace)
{
	struct trace_array array = {0};
	size_t tally_bytes = h->threads * sizeof(struct trace_tally);
	int err = trace_array_grow(&array, sizeof(struct trace_figures) + tally_bytes);

	if (err != 0)
		return err;
	trace->figures = array.data;
	trace->figures->bytes = array.bytes;
	trace->figures->header = *h;
	/* What version 1 does not say, its events do. */
	trace->figures->header.align_log2_max = c->header.align_log2_max;
	memcpy(trace->figures->tally, c->tally.data, tally_bytes);
	trace->header = &trace->figures->header;
	trace->tally = trace->figures->tally;
	return 0;
}

int trace_open(const char *path, struct trace *trace)
{
	struct trace_checker checker;
	struct trace_header h;
	int err;

	memset(trace, 0, sizeof(*trace));
	err = map_file(path, trace, &h);
	if (err < 0)
		return err;
	trace_checker_init(&checker, path);
	err = h.version == 1 ? check_events_v1(&checker, trace, &h)
			     : check_events_v2(&checker, trace, &h);
	if (err == 0)
		err = trace_checker_end(&checker);
	if (err == 0)
		err = check_figures(&checker, &h);
	if (err == 0)
		err = check_table(&checker, trace, &h);
	if (err == 0)
		err = keep_figures(&checker, &h, trace);
	trace_checker_release(&checker);
	if (err != 0)
		trace_close(trace);
	return err;
}

void trace_close(struct trace *trace)
{
	if (trace->figures != NULL)
		munmap(trace->figures, trace->figures->bytes);
	if (trace->file != NULL)
		munmap((void *)(uintptr_t)trace->file, trace->file_bytes);
	memset(trace, 0, sizeof(*trace));
}

int trace_peek(const char *path, struct trace_header *header)
{
	struct trace trace = {0};
	int version = map_file(path, &trace, header), err;

	if (version < 0)
		return version;
	trace_close(&trace);
	if (version > 1)
		return 0;
	err = trace_open(path, &trace);
	if (err == 0) {
		*header = *trace.header;
		trace_close(&trace);
	}
	return err;
}

/* --- cursor --- */

void trace_cursor_start(struct trace_cursor *cursor, const struct trace *trace)
{
	memset(cursor, 0, sizeof(*cursor));
	cursor->trace = trace;
	cursor->chunk = trace->file + sizeof(struct trace_header);
	if (trace->header->version == 1) {
		cursor->at = trace->file + TRACE_HEADER_V1_BYTES;
		cursor->end = trace->file + trace->file_bytes;
	}
}

/* Enters the next chunk; false when there is none. */
static bool next_chunk(struct trace_cursor *cursor)
{
	const struct trace *trace = cursor->trace;
	const unsigned char *end = trace->file + trace->header->table_offset;
	struct trace_chunk chunk;

	if (trace->header->version == 1 || (size_t)(end - cursor->chunk) < sizeof(chunk))
		return false;
	memcpy(&chunk, cursor->chunk, sizeof(chunk));
	cursor->at = cursor->chunk + sizeof(chunk);
	if (chunk.bytes > (size_t)(end - cursor->at))
		return false;
	cursor->end = cursor->chunk = cursor->at + chunk.bytes;
	return true;
}

bool trace_next(struct trace_cursor *cursor, struct trace_event *event)
{
	const struct trace_header *h = cursor->trace->header;
	struct trace_codec codec = {cursor->ids, cursor->thread};

	if (cursor->events == h->events)
		return false;
	while (cursor->at == cursor->end)
		if (!next_chunk(cursor))
			return false;
	if (h->version == 1) {
		memcpy(event, cursor->at, sizeof(*event));
		cursor->at += sizeof(*event);
	} else {
		cursor->at = trace_decode(&codec, cursor->at, cursor->end, event);
		if (cursor->at == NULL) {
			cursor->at = cursor->end;
			return false;
		}
		cursor->ids = codec.ids;
		cursor->thread = codec.thread;
	}
	cursor->events++;
	/* Whoever changes the file under us gets wrong figures, but nothing worse. */
	return event->op < NR_TRACE_OPS && event->thread < h->threads &&
	       event->id < (event->op == TRACE_AFTER ? h->threads : h->ids);
}
