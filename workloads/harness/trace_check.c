/* SPDX-License-Identifier: MIT */
/*
 * What a trace must be: each id is allocated once, used only while it lives and
 * freed once at most; threads are numbered in the order in which they appear.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#include <kmem/error.h>

#include "workloads/harness/trace_internal.h"

/* Of each id: its size plus one while it lives, and before and after: */
#define ID_NEW	 0u
#define ID_FREED UINT64_MAX

struct checker {
	const char *path;
	const struct trace_event *events;
	uint64_t count;
	uint64_t *id; /* count entries, in lazily populated memory */
	uint64_t live_bytes;
	struct trace_header *header;
};

static const char *const op_names[] = {"malloc", "calloc", "memalign", "realloc", "free"};
_Static_assert(KMEM_ARRAY_SIZE(op_names) == NR_TRACE_OPS, "a name for each operation");

/* "trace 'x': the free of id 3 at offset 112 " and what is wrong. */
static int wrong(const struct checker *c, uint64_t i, const char *what)
{
	return kmem_error(
		-EINVAL, "trace '%s': the %s of id %" PRIu32 " at offset %" PRIu64 " %s",
		c->path, op_names[c->events[i].op], c->events[i].id,
		sizeof(struct trace_header) + i * sizeof(struct trace_event), what);
}

static int check_form(struct checker *c, uint64_t i)
{
	const struct trace_event *e = &c->events[i];

	if (e->op >= NR_TRACE_OPS)
		return kmem_error(-EINVAL,
				  "trace '%s': the event at offset %" PRIu64
				  " has operation %u; known are 0 to %d",
				  c->path,
				  sizeof(struct trace_header) +
					  i * sizeof(struct trace_event),
				  e->op, NR_TRACE_OPS - 1);
	if (e->id >= c->count)
		return wrong(c, i, "is out of range: there are fewer events");
	if (e->thread > c->header->threads)
		return wrong(c, i, "skips a thread: threads are numbered as they appear");
	if (e->align_log2 != 0 &&
	    (e->op != TRACE_MEMALIGN || e->align_log2 > TRACE_ALIGN_LOG2_MAX))
		return wrong(c, i, "has an alignment that it cannot have");
	if (e->op != TRACE_FREE && e->size_bytes > TRACE_SIZE_MAX)
		return wrong(c, i, "has a size above 2^47 bytes");
	return 0;
}

static int check_life(struct checker *c, uint64_t i)
{
	const struct trace_event *e = &c->events[i];
	uint64_t *id = &c->id[e->id];
	bool allocates = e->op != TRACE_REALLOC && e->op != TRACE_FREE;

	if (allocates) {
		if (*id != ID_NEW)
			return wrong(c, i, "uses an id for the second time");
		c->header->ids++;
	} else {
		if (*id == ID_NEW)
			return wrong(c, i, "names a block that was never allocated");
		if (*id == ID_FREED)
			return wrong(c, i, "names a block that was freed before");
		c->live_bytes -= *id - 1;
	}
	if (e->op == TRACE_FREE) {
		*id = ID_FREED;
		return 0;
	}
	*id = e->size_bytes + 1;
	c->live_bytes += e->size_bytes;
	return 0;
}

static int check_all(struct checker *c)
{
	struct trace_header *h = c->header;

	for (uint64_t i = 0; i < c->count; i++) {
		const struct trace_event *e = &c->events[i];
		int err = check_form(c, i);

		if (err == 0)
			err = check_life(c, i);
		if (err != 0)
			return err;
		if (e->thread == h->threads)
			h->threads++;
		if (e->op != TRACE_FREE && e->size_bytes > h->size_max_bytes)
			h->size_max_bytes = e->size_bytes;
		if (c->live_bytes > h->live_bytes_max)
			h->live_bytes_max = c->live_bytes;
	}
	/* Ids run from 0 to ids - 1: as many were used, so the last one shows it. */
	for (uint64_t id = 0; id < h->ids; id++)
		if (c->id[id] == ID_NEW)
			return kmem_error(-EINVAL,
					  "trace '%s': id %" PRIu64
					  " is never allocated, though %" PRIu64
					  " ids are",
					  c->path, id, h->ids);
	return 0;
}

int trace_check_events(const char *path, const struct trace_event *events, uint64_t count,
		       struct trace_header *header)
{
	struct checker c = {
		.path = path, .events = events, .count = count, .header = header};
	size_t bytes = count * sizeof(*c.id);
	int err;

	memset(header, 0, sizeof(*header));
	memcpy(header->magic, TRACE_MAGIC, sizeof(header->magic));
	header->version = TRACE_VERSION;
	header->events = count;
	if (count == 0)
		return kmem_error(-EINVAL, "trace '%s' holds no events", path);
	if (count > SIZE_MAX / sizeof(*c.id) / 2)
		return kmem_error(-EINVAL, "trace '%s' has too many events", path);
	/* Not malloc: the checker may run where an allocator is under test. */
	c.id = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (c.id == MAP_FAILED)
		return kmem_error(-ENOMEM,
				  "cannot check trace '%s': no memory for %zu bytes",
				  path, bytes);
	err = check_all(&c);
	munmap(c.id, bytes);
	return err;
}
