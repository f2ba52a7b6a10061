/* SPDX-License-Identifier: MIT */
/*
 * Writing trace files, one event after the other.
 *
 * The header is written last, over room that was left for it, and the file gets its
 * name when it is whole. Nothing is written before the first chunk is full: a
 * recording that has filled the disk gives back what was converted meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kmem/error.h>

#include "workloads/harness/crc32c.h"
#include "workloads/harness/trace_codec_fast.h"
#include "workloads/harness/trace_internal.h"

struct trace_writer {
	struct trace_checker checker;
	struct trace_codec codec;
	char path[PATH_MAX], temporary[PATH_MAX];
	int fd;
	uint64_t offset; /* where the next chunk goes */
	uint32_t events; /* in the chunk at hand */
	uint32_t bytes;
	unsigned char coded[TRACE_CHUNK_BYTES];
};

static int cannot_write(const char *path, int err)
{
	return kmem_error(err, "cannot write trace '%s': %s", path, strerror(-err));
}

int trace_writer_new(const char *path, struct trace_writer **writer)
{
	struct trace_writer *w = calloc(1, sizeof(*w));
	int err;

	*writer = NULL;
	if (w == NULL)
		return cannot_write(path, -ENOMEM);
	if (snprintf(w->path, sizeof(w->path), "%s", path) >= (int)sizeof(w->path) ||
	    snprintf(w->temporary, sizeof(w->temporary), "%s.%ld.tmp", path,
		     (long)getpid()) >= (int)sizeof(w->temporary)) {
		free(w);
		return cannot_write(path, -ENAMETOOLONG);
	}
	w->fd = open(w->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (w->fd < 0) {
		err = -errno;
		free(w);
		return cannot_write(path, err);
	}
	w->offset = sizeof(struct trace_header);
	trace_checker_init(&w->checker, w->path);
	*writer = w;
	return 0;
}

static int write_at(const struct trace_writer *w, uint64_t offset, const void *data,
		    size_t bytes)
{
	const char *p = data;

	while (bytes > 0) {
		ssize_t n = pwrite(w->fd, p, bytes, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return cannot_write(w->path, -errno);
		p += n;
		offset += (uint64_t)n;
		bytes -= (size_t)n;
	}
	return 0;
}

static int flush_chunk(struct trace_writer *w)
{
	struct trace_chunk chunk = {
		.magic = TRACE_CHUNK_MAGIC, .bytes = w->bytes, .events = w->events};
	int err;

	if (w->events == 0)
		return 0;
	chunk.crc = trace_chunk_crc(&chunk, w->coded);
	err = write_at(w, w->offset, &chunk, sizeof(chunk));
	if (err == 0)
		err = write_at(w, w->offset + sizeof(chunk), w->coded, w->bytes);
	w->offset += sizeof(chunk) + w->bytes;
	w->bytes = w->events = 0;
	return err;
}

int trace_writer_add(struct trace_writer *w, const struct trace_event *event)
{
	int err = trace_checker_add(&w->checker, event,
				    w->offset + sizeof(struct trace_chunk) + w->bytes);

	if (err != 0)
		return err;
	w->bytes = (uint32_t)(trace_encode(&w->codec, w->coded + w->bytes, event) -
			      w->coded);
	w->events++;
	return w->bytes > TRACE_CHUNK_BYTES - TRACE_CODE_BYTES_MAX ? flush_chunk(w) : 0;
}

static void fill_header(const struct trace_writer *w, const struct trace_origin *origin,
			size_t table_bytes, struct trace_header *h)
{
	*h = w->checker.header;
	h->table_offset = w->offset;
	h->file_bytes = w->offset + table_bytes;
	h->table_crc = crc32c(0, w->checker.tally.data, table_bytes);
	if (origin != NULL) {
		h->source = origin->source;
		h->pid = origin->pid;
		h->unknown_frees = origin->unknown_frees;
		h->duration_ns = origin->duration_ns;
		h->recorder_ps_per_event = origin->recorder_ps_per_event;
		if (origin->program != NULL)
			strncpy(h->program, origin->program, sizeof(h->program) - 1);
	}
	h->header_crc = crc32c(0, h, offsetof(struct trace_header, header_crc));
}

int trace_writer_finish(struct trace_writer *w, const struct trace_origin *origin,
			struct trace_header *header)
{
	size_t table_bytes = w->checker.header.threads * sizeof(struct trace_tally);
	struct trace_header h;
	int err = trace_checker_end(&w->checker);

	if (err == 0)
		err = flush_chunk(w);
	if (err == 0)
		err = write_at(w, w->offset, w->checker.tally.data, table_bytes);
	if (err != 0)
		return err;
	fill_header(w, origin, table_bytes, &h);
	err = write_at(w, 0, &h, sizeof(h));
	if (err != 0)
		return err;
	if (fsync(w->fd) != 0)
		return cannot_write(w->path, -errno);
	if (close(w->fd) != 0)
		err = -errno;
	w->fd = -1;
	if (err == 0 && rename(w->temporary, w->path) != 0)
		err = -errno;
	if (err != 0) {
		unlink(w->temporary);
		return cannot_write(w->path, err);
	}
	if (header != NULL)
		*header = h;
	return 0;
}

void trace_writer_delete(struct trace_writer *w)
{
	if (w == NULL)
		return;
	if (w->fd >= 0) {
		close(w->fd);
		unlink(w->temporary);
	}
	trace_checker_release(&w->checker);
	free(w);
}

int trace_write(const char *path, const struct trace_event *events, uint64_t count,
		const struct trace_origin *origin)
{
	struct trace_writer *w;
	int err = trace_writer_new(path, &w);

	for (uint64_t i = 0; err == 0 && i < count; i++)
		err = trace_writer_add(w, &events[i]);
	if (err == 0)
		err = trace_writer_finish(w, origin, NULL);
	trace_writer_delete(w);
	return err;
}
