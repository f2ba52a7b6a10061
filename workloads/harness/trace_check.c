/* SPDX-License-Identifier: MIT */
/*
 * What a trace must be: ids count up, each is used only while it lives and freed
 * once at most; threads are numbered in the order in which they appear; an edge
 * names events that stand before it.
 *
 * Of each id a word is kept: its size plus one and its thread while it lives, else
 * 0. Ids are dealt out in order, so whole blocks of them die, and a block's page
 * are given back to the system when it has been dealt out and all of it is dead.
 */
#include "workloads/harness/trace_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#include <kmem/error.h>

#define ID_BLOCK 8192u /* ids whose words, 64 KiB, come and go together */
/* size + 1 in the low 48 bits: TRACE_SIZE_MAX + 1 fits. */
#define ID_SIZE_BITS 48
#define ID_SIZE_MASK (((uint64_t)1 << ID_SIZE_BITS) - 1)

static const char *const op_names[] = {"malloc", "calloc", "memalign", "realloc", "free"};
_Static_assert(KMEM_ARRAY_SIZE(op_names) == TRACE_AFTER, "a name for each operation");

int trace_array_grow(struct trace_array *array, size_t bytes)
{
	size_t want = array->bytes != 0 ? array->bytes : (size_t)1 << 16;
	void *data;

	if (bytes <= array->bytes)
		return 0;
	while (want < bytes)
		want *= 2;
	data = array->bytes == 0
		       ? mmap(NULL, want, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
		       : mremap(array->data, array->bytes, want, MREMAP_MAYMOVE);
	if (data == MAP_FAILED)
		return kmem_error(-ENOMEM,
				  "a trace needs %zu MiB of memory that cannot be had",
				  want >> 20);
	array->data = data;
	array->bytes = want;
	return 0;
}

void trace_array_release(struct trace_array *array)
{
	if (array->bytes != 0)
		munmap(array->data, array->bytes);
	memset(array, 0, sizeof(*array));
}

void trace_checker_init(struct trace_checker *c, const char *path)
{
	memset(c, 0, sizeof(*c));
	c->path = path;
	memcpy(c->header.magic, TRACE_MAGIC, sizeof(c->header.magic));
	c->header.version = TRACE_VERSION;
}

void trace_checker_release(struct trace_checker *c)
{
	trace_array_release(&c->tally);
	trace_array_release(&c->live);
	trace_array_release(&c->id);
	trace_array_release(&c->block);
}

/* "trace 'x': the free of id 3 at offset 112 " and what is wrong. */
static int wrong(const struct trace_checker *c, const struct trace_event *e,
		 uint64_t offset, const char *what)
{
	if (e->op == TRACE_AFTER)
		return kmem_error(-EINVAL,
				  "trace '%s': the edge from thread %" PRIu32
				  " at offset %" PRIu64 " %s",
				  c->path, e->id, offset, what);
	return kmem_error(-EINVAL,
			  "trace '%s': the %s of id %" PRIu32 " at offset %" PRIu64 " %s",
			  c->path, op_names[e->op], e->id, offset, what);
}

static int check_form(const struct trace_checker *c, const struct trace_event *e,
		      uint64_t offset)
{
	if (e->op >= NR_TRACE_OPS)
		return kmem_error(-EINVAL,
				  "trace '%s': the event at offset %" PRIu64
				  " has operation %u; known are 0 to %d",
				  c->path, offset, e->op, NR_TRACE_OPS - 1);
	if (e->thread > c->header.threads)
		return wrong(c, e, offset,
			     "skips a thread: threads are numbered as they appear");
	if (e->align_log2 != 0 &&
	    (e->op != TRACE_MEMALIGN || e->align_log2 > TRACE_ALIGN_LOG2_MAX))
		return wrong(c, e, offset, "has an alignment that it cannot have");
	if (e->op <= TRACE_REALLOC && e->size_bytes > TRACE_SIZE_MAX)
		return wrong(c, e, offset, "has a size above 2^47 bytes");
	return 0;
}

static int check_edge(const struct trace_checker *c, const struct trace_event *e,
		      uint64_t offset)
{
	const struct trace_tally *tally = c->tally.data;

	if (e->id >= c->header.threads || e->id == e->thread)
		return wrong(c, e, offset, "names no other thread that came before");
	if (e->size_bytes == 0 || e->size_bytes > tally[e->id].events)
		return wrong(c, e, offset, "names an event that does not come before it");
	return 0;
}

/* A thread's figures, from its first event on. */
static int have_thread(struct trace_checker *c, uint32_t thread)
{
	int err;

	if (thread < c->header.threads)
		return 0;
	err = trace_array_grow(&c->tally,
			       (thread + (size_t)1) * sizeof(struct trace_tally));
	if (err == 0)
		err = trace_array_grow(&c->live, (thread + (size_t)1) * sizeof(int64_t));
	if (err == 0)
		c->header.threads = thread + 1;
	return err;
}

static int bear(struct trace_checker *c, const struct trace_event *e, uint64_t offset)
{
	int err;

	if (e->id != c->header.ids)
		return wrong(c, e, offset,
			     e->id < c->header.ids
				     ? "uses an id for the second time"
				     : "skips an id: ids count up with the allocations");
	if (e->id == UINT32_MAX)
		return wrong(c, e, offset, "is one more than a trace can number");
	err = trace_array_grow(&c->id, (e->id + (size_t)1) * sizeof(uint64_t));
	if (err == 0)
		err = trace_array_grow(&c->block,
				       (e->id / ID_BLOCK + (size_t)1) * sizeof(uint32_t));
	if (err != 0)
		return err;
	c->header.ids++;
	((uint32_t *)c->block.data)[e->id / ID_BLOCK]++;
	return 0;
}

static void bury(struct trace_checker *c, uint32_t id)
{
	uint64_t *word = c->id.data;
	uint32_t block = id / ID_BLOCK;

	word[id] = 0;
	if (--((uint32_t *)c->block.data)[block] == 0 &&
	    c->header.ids >= (block + (uint64_t)1) * ID_BLOCK)
		(void)madvise(word + (size_t)block * ID_BLOCK, ID_BLOCK * sizeof(*word),
			      MADV_DONTNEED);
}

static void account(struct trace_checker *c, const struct trace_event *e,
		    int64_t live_change, bool remote)
{
	struct trace_header *h = &c->header;
	struct trace_tally *t = (struct trace_tally *)c->tally.data + e->thread;
	int64_t *live = (int64_t *)c->live.data + e->thread;

	t->allocations += trace_allocates(e);
	t->reallocations += e->op == TRACE_REALLOC;
	t->frees += e->op == TRACE_FREE;
	t->remote_frees += remote;
	if (e->op != TRACE_FREE) {
		t->bytes += e->size_bytes;
		if (e->size_bytes > h->size_max_bytes)
			h->size_max_bytes = e->size_bytes;
	}
	if (e->align_log2 > h->align_log2_max)
		h->align_log2_max = e->align_log2;
	*live += live_change;
	if (*live > (int64_t)t->live_bytes_max)
		t->live_bytes_max = (uint64_t)*live;
	c->live_bytes += (uint64_t)live_change;
	if (c->live_bytes > h->live_bytes_max)
		h->live_bytes_max = c->live_bytes;
}

/* An operation on a block. */
static int add_block(struct trace_checker *c, const struct trace_event *e,
		     uint64_t offset)
{
	uint64_t *word, before = 0;
	int err;

	if (trace_allocates(e)) {
		err = bear(c, e, offset);
		if (err != 0)
			return err;
	} else if (e->id >= c->header.ids) {
		return wrong(c, e, offset, "names a block that was never allocated");
	}
	word = (uint64_t *)c->id.data + e->id;
	if (!trace_allocates(e)) {
		before = *word;
		if (before == 0)
			return wrong(c, e, offset, "names a block that was freed before");
	}
	if (e->op == TRACE_FREE) {
		account(c, e, 1 - (int64_t)(before & ID_SIZE_MASK),
			before >> ID_SIZE_BITS != e->thread);
		bury(c, e->id);
		return 0;
	}
	*word = (e->size_bytes + 1) | (before != 0 ? before & ~ID_SIZE_MASK
						   : (uint64_t)e->thread << ID_SIZE_BITS);
	account(c, e,
		(int64_t)e->size_bytes -
			(before != 0 ? (int64_t)(before & ID_SIZE_MASK) - 1 : 0),
		false);
	return 0;
}

int trace_checker_add(struct trace_checker *c, const struct trace_event *e,
		      uint64_t offset)
{
	struct trace_tally *tally;
	int err = check_form(c, e, offset);

	if (err == 0)
		err = have_thread(c, e->thread);
	if (err == 0)
		err = e->op == TRACE_AFTER ? check_edge(c, e, offset)
					   : add_block(c, e, offset);
	if (err != 0)
		return err;
	tally = (struct trace_tally *)c->tally.data + e->thread;
	tally->events++;
	tally->edges += e->op == TRACE_AFTER;
	c->header.events++;
	return 0;
}

int trace_checker_end(const struct trace_checker *c)
{
	if (c->header.events == 0)
		return kmem_error(-EINVAL, "trace '%s' holds no events", c->path);
	return 0;
}
