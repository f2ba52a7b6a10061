/* SPDX-License-Identifier: MIT */
/*
 * From raw events (addresses) to a trace (ids).
 *
 * One pass in slot order, with a table of the live addresses. The order makes
 * every address unique while it lives (see bench/recorder/raw.h), so each event
 * names exactly one block, but for three things that really happen:
 *   - A free of an unknown address: memory from before the recording, or a block
 *     that an inner call had allocated. Dropped and counted.
 *   - An allocation at an address that is live: its free was not seen (made
 *     behind our back, or its slot was taken and never written because the
 *     program was killed). The trace gets the missing free first; counted.
 *   - A realloc() that never came back: the block stays what it was.
 */
#include "bench/record_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <kmem/error.h>
#include "workloads/harness/trace.h"

#define NO_ID	  UINT32_MAX
#define NO_THREAD UINT32_MAX
/* What a trace can hold (trace_write() refuses more), and any allocator can give. */
#define ALIGN_LOG2_MAX 30
#define SIZE_MAX_BYTES ((uint64_t)1 << 47)
/* Linux numbers no more threads than this (PID_MAX_LIMIT): more can only be damage. */
#define RAW_THREADS_MAX ((uint32_t)4 << 20)

/* --- live addresses: open addressing, linear probing, at most 3/4 full --- */

struct live_slot {
	uint64_t ptr; /* 0: free slot */
	uint32_t id;
};

struct live_table {
	struct live_slot *slots;
	uint64_t mask; /* slots - 1 */
	uint64_t used;
};

static uint64_t live_home(const struct live_table *t, uint64_t ptr)
{
	/* Fibonacci hashing; the low four bits of an address say nothing. */
	return ((ptr >> 4) * 0x9e3779b97f4a7c15u) >> 20 & t->mask;
}

/* The slot that holds ptr, or the free one where it belongs. */
static struct live_slot *live_probe(const struct live_table *t, uint64_t ptr)
{
	uint64_t i = live_home(t, ptr);

	while (t->slots[i].ptr != 0 && t->slots[i].ptr != ptr)
		i = (i + 1) & t->mask;
	return &t->slots[i];
}

static int live_init(struct live_table *t, uint64_t slots)
{
	t->slots = calloc(slots, sizeof(*t->slots));
	t->mask = slots - 1;
	t->used = 0;
	return t->slots != NULL ? 0 : -ENOMEM;
}

static int live_grow(struct live_table *t)
{
	struct live_table bigger;

	if (live_init(&bigger, (t->mask + 1) * 2) != 0)
		return -ENOMEM;
	for (uint64_t i = 0; i <= t->mask; i++) {
		if (t->slots[i].ptr != 0)
			*live_probe(&bigger, t->slots[i].ptr) = t->slots[i];
	}
	bigger.used = t->used;
	free(t->slots);
	*t = bigger;
	return 0;
}

/* ptr must not be in the table. */
static int live_insert(struct live_table *t, uint64_t ptr, uint32_t id)
{
	struct live_slot *slot;

	if (t->used >= (t->mask + 1) / 4 * 3 && live_grow(t) != 0)
		return -ENOMEM;
	slot = live_probe(t, ptr);
	slot->ptr = ptr;
	slot->id = id;
	t->used++;
	return 0;
}

/* Takes ptr out; its id, or NO_ID when it is not there. */
static uint32_t live_remove(struct live_table *t, uint64_t ptr)
{
	struct live_slot *slot = live_probe(t, ptr);
	uint64_t hole = (uint64_t)(slot - t->slots), i = hole;
	uint32_t id = slot->id;

	if (slot->ptr == 0)
		return NO_ID;
	/* Closes the hole: an entry moves back unless its home lies beyond the hole. */
	for (;;) {
		i = (i + 1) & t->mask;
		if (t->slots[i].ptr == 0)
			break;
		if (((i - live_home(t, t->slots[i].ptr)) & t->mask) >=
		    ((i - hole) & t->mask)) {
			t->slots[hole] = t->slots[i];
			hole = i;
		}
	}
	t->slots[hole].ptr = 0;
	t->used--;
	return id;
}

/* --- conversion --- */

/* What is known of one raw thread. */
struct raw_thread {
	uint32_t number; /* in the trace; NO_THREAD before its first event */
	bool in_realloc;
	uint32_t realloc_id; /* NO_ID: the block was unknown */
};

struct conversion {
	struct live_table live;
	struct raw_thread *threads;
	uint32_t raw_threads;
	uint32_t trace_threads;
	struct trace_event *events;
	size_t events_bytes; /* of the mapping: room for two trace events each raw one */
	uint64_t count;
	uint64_t ids;
	struct record_summary *summary;
};

static int emit(struct conversion *c, enum trace_op op, uint32_t raw_thread, uint32_t id,
		uint64_t size_bytes, unsigned int align_log2)
{
	struct raw_thread *thread = &c->threads[raw_thread];

	if (thread->number == NO_THREAD) {
		if (c->trace_threads == RECORD_THREADS_MAX)
			return kmem_error(
				-EOVERFLOW,
				"more than %u threads allocated, a trace cannot number "
				"more; record a shorter run",
				RECORD_THREADS_MAX);
		thread->number = c->trace_threads++;
	}
	c->events[c->count++] = (struct trace_event){
		.op = (uint8_t)op,
		.align_log2 = (uint8_t)align_log2,
		.thread = (uint16_t)thread->number,
		.id = id,
		.size_bytes = size_bytes,
	};
	return 0;
}

static int out_of_memory(void)
{
	return kmem_error(-ENOMEM, "out of memory while converting the recording");
}

/* The block `id` now lives at ptr. */
static int settle(struct conversion *c, uint32_t raw_thread, uint64_t ptr, uint32_t id)
{
	uint32_t stale = live_remove(&c->live, ptr);
	int err;

	if (stale != NO_ID) {
		c->summary->implied_frees++;
		err = emit(c, TRACE_FREE, raw_thread, stale, 0, 0);
		if (err != 0)
			return err;
	}
	return live_insert(&c->live, ptr, id) == 0 ? 0 : out_of_memory();
}

static int convert_birth(struct conversion *c, enum trace_op op, uint64_t what,
			 const struct raw_event *raw)
{
	uint32_t thread = raw_thread_of(what), id = (uint32_t)c->ids++;
	int err = settle(c, thread, raw->ptr, id);

	return err != 0 ? err
			: emit(c, op, thread, id, raw->size_bytes,
			       raw_align_log2_of(what));
}

static int convert_free(struct conversion *c, uint32_t thread, uint32_t id)
{
	if (id != NO_ID)
		return emit(c, TRACE_FREE, thread, id, 0, 0);
	c->summary->unknown_frees++;
	return 0;
}

static void convert_realloc_begin(struct conversion *c, uint64_t what,
				  const struct raw_event *raw)
{
	struct raw_thread *thread = &c->threads[raw_thread_of(what)];

	thread->in_realloc = true;
	thread->realloc_id = live_remove(&c->live, raw->ptr);
}

static int convert_realloc_end(struct conversion *c, uint64_t what,
			       const struct raw_event *raw)
{
	uint32_t number = raw_thread_of(what), id;
	struct raw_thread *thread = &c->threads[number];
	int err;

	/* A begin that was never written leaves the old address in the table. */
	id = thread->in_realloc ? thread->realloc_id
				: live_remove(&c->live, raw->old_ptr);
	thread->in_realloc = false;
	if (raw->ptr == 0 && raw->size_bytes == 0)
		return convert_free(c, number, id);
	if (raw->ptr == 0) /* failed: the block is where it was */
		return id != NO_ID ? settle(c, number, raw->old_ptr, id) : 0;
	if (id == NO_ID) {
		c->summary->unknown_frees++;
		return convert_birth(c, TRACE_MALLOC, what, raw);
	}
	err = settle(c, number, raw->ptr, id);
	return err != 0 ? err : emit(c, TRACE_REALLOC, number, id, raw->size_bytes, 0);
}

/* The recording is mapped into the program, which may have been killed while it wrote an
 * event, or have written over it. */
static bool is_whole(const struct conversion *c, uint64_t what,
		     const struct raw_event *raw)
{
	unsigned int op = raw_op_of(what);

	return op != RAW_NONE && op < NR_RAW_OPS &&
	       raw_thread_of(what) < c->raw_threads &&
	       raw_align_log2_of(what) <= ALIGN_LOG2_MAX &&
	       (raw->ptr != 0 ? raw->size_bytes <= SIZE_MAX_BYTES
			      : op == RAW_REALLOC_END);
}

static int convert_event(struct conversion *c, const struct raw_event *raw)
{
	uint64_t what = atomic_load_explicit(&raw->what, memory_order_acquire);

	if (!is_whole(c, what, raw)) {
		c->summary->torn_events++;
		return 0;
	}
	switch ((enum raw_op)raw_op_of(what)) {
	case RAW_MALLOC: return convert_birth(c, TRACE_MALLOC, what, raw);
	case RAW_CALLOC: return convert_birth(c, TRACE_CALLOC, what, raw);
	case RAW_MEMALIGN: return convert_birth(c, TRACE_MEMALIGN, what, raw);
	case RAW_REALLOC_END: return convert_realloc_end(c, what, raw);
	case RAW_REALLOC_BEGIN: convert_realloc_begin(c, what, raw); break;
	case RAW_FREE:
		return convert_free(c, raw_thread_of(what),
				    live_remove(&c->live, raw->ptr));
	case RAW_NONE:
	case NR_RAW_OPS: break;
	}
	return 0;
}

static int conversion_init(struct conversion *c, uint64_t count, uint32_t raw_threads,
			   struct record_summary *summary)
{
	memset(c, 0, sizeof(*c));
	c->summary = summary;
	c->raw_threads = raw_threads;
	c->threads = malloc(((size_t)raw_threads + 1) * sizeof(*c->threads));
	c->events_bytes = (2 * count + 1) * sizeof(*c->events);
	/* Only what is written takes memory. */
	c->events = mmap(NULL, c->events_bytes, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (c->events == MAP_FAILED)
		c->events = NULL;
	if (live_init(&c->live, 1024) != 0 || c->threads == NULL || c->events == NULL)
		return out_of_memory();
	for (uint32_t i = 0; i < raw_threads; i++)
		c->threads[i] = (struct raw_thread){.number = NO_THREAD,
						    .realloc_id = NO_ID};
	return 0;
}

static void conversion_release(struct conversion *c)
{
	free(c->live.slots);
	free(c->threads);
	if (c->events != NULL)
		munmap(c->events, c->events_bytes);
}

/* Writes the trace, and reads it again: what replay would refuse is found here. */
static int write_and_verify(const char *path, const struct conversion *c)
{
	struct record_summary *summary = c->summary;
	struct trace trace;
	int err = trace_write(path, c->events, c->count, c->trace_threads,
			      summary->unknown_frees);

	if (err == 0)
		err = trace_open(path, &trace);
	if (err != 0)
		return err;
	summary->threads = trace.header->threads;
	summary->events = trace.header->events;
	summary->allocations = trace.header->ids;
	summary->live_bytes_max = trace.header->live_bytes_max;
	trace_close(&trace);
	return 0;
}

int record_convert(const char *trace_path, const struct raw_event *raw, uint64_t count,
		   uint32_t raw_threads, int raw_fd, struct record_summary *summary)
{
	struct conversion c;
	int err;

	if (raw_threads > RAW_THREADS_MAX)
		raw_threads = RAW_THREADS_MAX;
	summary->unknown_frees = summary->implied_frees = summary->torn_events = 0;
	err = conversion_init(&c, count, raw_threads, summary);
	for (uint64_t i = 0; err == 0 && i < count; i++)
		err = convert_event(&c, &raw[i]);
	if (err == 0 && c.count == 0)
		err = kmem_error(
			-ENOTSUP,
			"the program made no allocation that the recorder could see: it "
			"brings a malloc of its own");
	if (err == 0 && raw_fd >= 0 && ftruncate(raw_fd, 0) != 0)
		err = kmem_error(-errno, "cannot give the temporary file back: %s",
				 strerror(errno));
	if (err == 0)
		err = write_and_verify(trace_path, &c);
	conversion_release(&c);
	return err;
}
