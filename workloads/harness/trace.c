/* SPDX-License-Identifier: MIT */
/*
 * Reading and writing of trace files. What a trace must be is checked in one
 * place, trace_check.c, for files that come in and for events that go out.
 */
#include "workloads/harness/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kmem/error.h>

#include "workloads/harness/trace_internal.h"

static int check_header(const char *path, const struct trace_header *h,
			uint64_t file_bytes)
{
	uint64_t events_bytes = file_bytes - sizeof(*h);

	if (memcmp(h->magic, TRACE_MAGIC, sizeof(h->magic)) != 0)
		return kmem_error(
			-EINVAL,
			"'%s' is no trace: the bytes at offset 0 are not '" TRACE_MAGIC
			"'; 'kmembench record' writes traces",
			path);
	if (h->version != TRACE_VERSION)
		return kmem_error(
			-EINVAL,
			"trace '%s' has format version %" PRIu32
			" at offset %zu, this program reads %d: record it again",
			path, h->version, offsetof(struct trace_header, version),
			TRACE_VERSION);
	if (h->events > events_bytes / sizeof(struct trace_event))
		return kmem_error(
			-EINVAL,
			"trace '%s' is cut off at offset %" PRIu64
			": its header announces %" PRIu64 " events of %zu bytes",
			path, file_bytes, h->events, sizeof(struct trace_event));
	if (h->events * sizeof(struct trace_event) != events_bytes)
		return kmem_error(
			-EINVAL,
			"trace '%s' has bytes after its last event, at offset %" PRIu64,
			path, sizeof(*h) + h->events * sizeof(struct trace_event));
	if (h->reserved != 0)
		return kmem_error(
			-EINVAL,
			"trace '%s' has a reserved field set, at offset %zu: it is of a "
			"later version",
			path, offsetof(struct trace_header, reserved));
	return 0;
}

/* The header's figures are what the events say; anything else is damage. */
static int check_figures(const char *path, const struct trace_header *h)
{
	struct trace_header actual;
	int err = trace_check_events(path, (const struct trace_event *)(h + 1), h->events,
				     &actual);
	const struct {
		const char *name;
		size_t offset;
		uint64_t said, found;
	} figures[] = {
		{"threads", offsetof(struct trace_header, threads), h->threads,
		 actual.threads},
		{"ids", offsetof(struct trace_header, ids), h->ids, actual.ids},
		{"live_bytes_max", offsetof(struct trace_header, live_bytes_max),
		 h->live_bytes_max, actual.live_bytes_max},
		{"size_max_bytes", offsetof(struct trace_header, size_max_bytes),
		 h->size_max_bytes, actual.size_max_bytes},
	};

	if (err != 0)
		return err;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(figures); i++)
		if (figures[i].said != figures[i].found)
			return kmem_error(
				-EINVAL,
				"trace '%s' says %s=%" PRIu64
				" at offset %zu, and its events make it %" PRIu64,
				path, figures[i].name, figures[i].said, figures[i].offset,
				figures[i].found);
	return 0;
}

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

int trace_open(const char *path, struct trace *trace)
{
	uint64_t bytes = 0;
	void *map;
	int fd = open_file(path, &bytes);
	int err;

	if (fd < 0)
		return fd;
	if (bytes < sizeof(struct trace_header)) {
		close(fd);
		return kmem_error(-EINVAL,
				  "trace '%s' is cut off at offset %" PRIu64
				  ": a header takes %zu bytes",
				  path, bytes, sizeof(struct trace_header));
	}
	map = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
	err = errno;
	close(fd);
	if (map == MAP_FAILED)
		return kmem_error(-err, "cannot map trace '%s': %s", path, strerror(err));
	err = check_header(path, map, bytes);
	if (err == 0)
		err = check_figures(path, map);
	if (err != 0) {
		munmap(map, bytes);
		return err;
	}
	trace->header = map;
	trace->events = (const struct trace_event *)(trace->header + 1);
	trace->map_bytes = bytes;
	return 0;
}

void trace_close(struct trace *trace)
{
	if (trace->header != NULL)
		munmap((void *)(uintptr_t)trace->header, trace->map_bytes);
	memset(trace, 0, sizeof(*trace));
}

static int write_all(int fd, const void *data, size_t bytes)
{
	const char *p = data;

	while (bytes > 0) {
		ssize_t n = write(fd, p, bytes);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		bytes -= (size_t)n;
	}
	return 0;
}

/* Header, events, and all of it on the disk. 0 or -errno; closes fd either way. */
static int fill_file(int fd, const struct trace_header *header,
		     const struct trace_event *events)
{
	int err = write_all(fd, header, sizeof(*header));

	if (err == 0)
		err = write_all(fd, events, header->events * sizeof(*events));
	if (err == 0 && fsync(fd) != 0)
		err = -errno;
	if (close(fd) != 0 && err == 0)
		err = -errno;
	return err;
}

int trace_write(const char *path, const struct trace_event *events, uint64_t count,
		uint32_t threads, uint64_t unknown_frees)
{
	char temporary[PATH_MAX];
	struct trace_header header;
	int fd, err;

	err = trace_check_events(path, events, count, &header);
	if (err != 0)
		return err;
	if (header.threads != threads)
		return kmem_error(-EINVAL,
				  "trace '%s' has events of %" PRIu32
				  " threads, not of %" PRIu32,
				  path, header.threads, threads);
	header.unknown_frees = unknown_frees;
	if (snprintf(temporary, sizeof(temporary), "%s.%ld.tmp", path, (long)getpid()) >=
	    (int)sizeof(temporary))
		return kmem_error(-ENAMETOOLONG,
				  "cannot write trace '%s': the name is too long", path);
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	err = fd < 0 ? -errno : fill_file(fd, &header, events);
	if (err == 0 && rename(temporary, path) != 0)
		err = -errno;
	if (err == 0)
		return 0;
	if (fd >= 0)
		unlink(temporary);
	return kmem_error(err, "cannot write trace '%s': %s", path, strerror(-err));
}
