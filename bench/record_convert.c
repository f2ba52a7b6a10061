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
 *
 * Edges. What a creator did before it created a thread comes before that thread's
 * first event; a thread whose creator had done nothing yet takes over what the
 * creator itself waits for. All of a thread's events come before its join returns.
 */
#include "bench/record_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kmem/error.h>

#include "bench/record_addresses.h"

#define NO_ID	  ADDRESS_NONE
#define NO_THREAD UINT32_MAX
/* What a trace can hold (trace_writer_add() refuses more), and any allocator can give. */
#define ALIGN_LOG2_MAX 30
#define SIZE_MAX_BYTES ((uint64_t)1 << 47)
/* Linux numbers no more threads than this (PID_MAX_LIMIT): more can only be damage. */
#define RAW_THREADS_MAX ((uint32_t)4 << 20)
/* Events whose storage, 64 KiB, is given back together: as much as a chunk of the trace
 * takes, and far fewer events than such a chunk holds. */
#define GIVE_BACK_EVENTS 2048u

/* What is known of one raw thread. */
struct raw_thread {
	uint32_t number;     /* in the trace; NO_THREAD before its first event */
	uint32_t realloc_id; /* NO_ID: the block was unknown */
	bool in_realloc;
	uint32_t after;	       /* trace thread that its first event comes after */
	uint64_t after_events; /* so many of that one's; 0: no such edge */
	uint64_t events;       /* in the trace */
};

struct conversion {
	struct trace_writer *writer;
	struct address_table live;
	struct address_table joinable; /* pthread_t: raw thread */
	struct raw_thread *threads;
	uint32_t raw_threads;	  /* in the array */
	uint32_t raw_threads_max; /* that there can be */
	uint32_t trace_threads;
	uint64_t ids;
	struct record_summary *summary;
};

static int out_of_memory(void)
{
	return kmem_error(-ENOMEM, "out of memory while converting the recording");
}

/* Makes room for a thread; false when it is one that cannot be. */
static bool have_thread(struct conversion *c, uint32_t number, int *err)
{
	uint32_t n = c->raw_threads != 0 ? c->raw_threads : 64;
	struct raw_thread *threads;

	*err = 0;
	if (number < c->raw_threads)
		return true;
	if (number >= c->raw_threads_max)
		return false;
	while (n <= number)
		n *= 2;
	threads = realloc(c->threads, n * sizeof(*threads));
	if (threads == NULL) {
		*err = out_of_memory();
		return false;
	}
	for (uint32_t i = c->raw_threads; i < n; i++)
		threads[i] = (struct raw_thread){.number = NO_THREAD,
						 .realloc_id = NO_ID};
	c->threads = threads;
	c->raw_threads = n;
	return true;
}

static int emit_plain(struct conversion *c, struct raw_thread *thread, enum trace_op op,
		      uint32_t id, uint64_t size_bytes, unsigned int align_log2)
{
	const struct trace_event event = {
		.op = (uint8_t)op,
		.align_log2 = (uint8_t)align_log2,
		.thread = (uint16_t)thread->number,
		.id = id,
		.size_bytes = size_bytes,
	};

	thread->events++;
	return trace_writer_add(c->writer, &event);
}

static int emit(struct conversion *c, enum trace_op op, uint32_t raw_thread, uint32_t id,
		uint64_t size_bytes, unsigned int align_log2)
{
	struct raw_thread *thread = &c->threads[raw_thread];
	int err = 0;

	if (thread->number == NO_THREAD) {
		if (c->trace_threads == RECORD_THREADS_MAX)
			return kmem_error(
				-EOVERFLOW,
				"more than %u threads allocated, a trace cannot number "
				"more; record a shorter run",
				RECORD_THREADS_MAX);
		thread->number = c->trace_threads++;
		if (thread->after_events > 0)
			err = emit_plain(c, thread, TRACE_AFTER, thread->after,
					 thread->after_events, 0);
	}
	return err != 0 ? err : emit_plain(c, thread, op, id, size_bytes, align_log2);
}

/* The block `id` now lives at ptr. */
static int settle(struct conversion *c, uint32_t raw_thread, uint64_t ptr, uint32_t id)
{
	uint32_t stale = address_remove(&c->live, ptr);
	int err;

	if (stale != NO_ID) {
		c->summary->implied_frees++;
		err = emit(c, TRACE_FREE, raw_thread, stale, 0, 0);
		if (err != 0)
			return err;
	}
	return address_insert(&c->live, ptr, id) == 0 ? 0 : out_of_memory();
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

static int convert_realloc_begin(struct conversion *c, uint64_t what,
				 const struct raw_event *raw)
{
	struct raw_thread *thread = &c->threads[raw_thread_of(what)];

	thread->in_realloc = true;
	thread->realloc_id = address_remove(&c->live, raw->ptr);
	return 0;
}

static int convert_realloc_end(struct conversion *c, uint64_t what,
			       const struct raw_event *raw)
{
	uint32_t number = raw_thread_of(what), id;
	struct raw_thread *thread = &c->threads[number];
	int err;

	/* A begin that was never written leaves the old address in the table. */
	id = thread->in_realloc ? thread->realloc_id
				: address_remove(&c->live, raw->old_ptr);
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

/* --- threads --- */

static int convert_create(struct conversion *c, uint64_t what,
			  const struct raw_event *raw)
{
	const struct raw_thread *creator;
	struct raw_thread *child;
	int err;

	if (raw->ptr > c->raw_threads_max ||
	    !have_thread(c, (uint32_t)(raw->ptr - 1), &err)) {
		c->summary->torn_events++;
		return raw->ptr > c->raw_threads_max ? 0 : err;
	}
	creator = &c->threads[raw_thread_of(what)];
	child = &c->threads[raw->ptr - 1];
	if (creator == child)
		return 0;
	child->after = creator->events > 0 ? creator->number : creator->after;
	child->after_events = creator->events > 0 ? creator->events
						  : creator->after_events;
	return 0;
}

static int convert_begin(struct conversion *c, uint64_t what, const struct raw_event *raw)
{
	/* A pthread_t comes again when its thread is gone. */
	(void)address_remove(&c->joinable, raw->ptr);
	return address_insert(&c->joinable, raw->ptr, raw_thread_of(what)) == 0
		       ? 0
		       : out_of_memory();
}

static int convert_join(struct conversion *c, uint64_t what, const struct raw_event *raw)
{
	uint32_t number = address_remove(&c->joinable, raw->ptr);
	const struct raw_thread *gone;

	if (number == ADDRESS_NONE || number == raw_thread_of(what))
		return 0;
	gone = &c->threads[number];
	return gone->events == 0 ? 0
				 : emit(c, TRACE_AFTER, raw_thread_of(what), gone->number,
					gone->events, 0);
}

/* --- all events --- */

/* The recording is mapped into the program, which may have been killed while it wrote an
 * event, or have written over it. */
static bool is_whole(uint64_t what, const struct raw_event *raw)
{
	unsigned int op = raw_op_of(what);

	return op != RAW_NONE && op < NR_RAW_OPS &&
	       raw_align_log2_of(what) <= ALIGN_LOG2_MAX &&
	       (raw->ptr != 0 ? raw->size_bytes <= SIZE_MAX_BYTES
			      : op == RAW_REALLOC_END);
}

int conversion_add(struct conversion *c, const struct raw_event *raw)
{
	uint64_t what = atomic_load_explicit(&raw->what, memory_order_acquire);
	int err = 0;

	if (!is_whole(what, raw) || !have_thread(c, raw_thread_of(what), &err)) {
		c->summary->torn_events++;
		return err;
	}
	switch ((enum raw_op)raw_op_of(what)) {
	case RAW_MALLOC: return convert_birth(c, TRACE_MALLOC, what, raw);
	case RAW_CALLOC: return convert_birth(c, TRACE_CALLOC, what, raw);
	case RAW_MEMALIGN: return convert_birth(c, TRACE_MEMALIGN, what, raw);
	case RAW_REALLOC_END: return convert_realloc_end(c, what, raw);
	case RAW_REALLOC_BEGIN: return convert_realloc_begin(c, what, raw);
	case RAW_FREE:
		return convert_free(c, raw_thread_of(what),
				    address_remove(&c->live, raw->ptr));
	case RAW_THREAD_CREATE: return convert_create(c, what, raw);
	case RAW_THREAD_BEGIN: return convert_begin(c, what, raw);
	case RAW_THREAD_JOIN: return convert_join(c, what, raw);
	case RAW_NONE:
	case NR_RAW_OPS: break;
	}
	return 0;
}

void conversion_delete(struct conversion *c)
{
	if (c == NULL)
		return;
	trace_writer_delete(c->writer);
	address_table_release(&c->live);
	address_table_release(&c->joinable);
	free(c->threads);
	free(c);
}

int conversion_new(const char *trace_path, uint32_t raw_threads_max,
		   struct record_summary *summary, struct conversion **conversion)
{
	struct conversion *c = calloc(1, sizeof(*c));
	int err;

	*conversion = NULL;
	if (c == NULL)
		return out_of_memory();
	c->summary = summary;
	c->raw_threads_max = raw_threads_max < RAW_THREADS_MAX ? raw_threads_max
							       : RAW_THREADS_MAX;
	summary->unknown_frees = summary->implied_frees = summary->torn_events = 0;
	err = address_table_init(&c->live) != 0 || address_table_init(&c->joinable) != 0
		      ? out_of_memory()
		      : trace_writer_new(trace_path, &c->writer);
	if (err != 0) {
		conversion_delete(c);
		return err;
	}
	*conversion = c;
	return 0;
}

int conversion_finish(struct conversion *c, struct trace_origin *origin)
{
	struct record_summary *summary = c->summary;
	struct trace_header h;
	int err;

	if (c->ids == 0)
		return kmem_error(
			-ENOTSUP,
			"the program made no allocation that the recorder could see: it "
			"brings a malloc of its own");
	origin->unknown_frees = summary->unknown_frees;
	err = trace_writer_finish(c->writer, origin, &h);
	if (err != 0)
		return err;
	summary->threads = h.threads;
	summary->events = h.events;
	summary->allocations = h.ids;
	summary->live_bytes_max = h.live_bytes_max;
	summary->trace_bytes = h.file_bytes;
	return 0;
}

int record_convert(const char *trace_path, const struct raw_event *raw, uint64_t count,
		   uint32_t raw_threads, int raw_fd, struct trace_origin *origin,
		   struct record_summary *summary)
{
	struct conversion *c;
	int err = conversion_new(trace_path, raw_threads, summary, &c);

	for (uint64_t i = 0; err == 0 && i < count; i++) {
		err = conversion_add(c, &raw[i]);
		/* Room on a disk that the recording has filled. Where a file system
		 * cannot, the trace has to fit beside it. */
		if (raw_fd >= 0 && (i + 1) % GIVE_BACK_EVENTS == 0)
			(void)fallocate(
				raw_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				(off_t)(RAW_HEADER_BYTES +
					(i + 1 - GIVE_BACK_EVENTS) * sizeof(*raw)),
				(off_t)(GIVE_BACK_EVENTS * sizeof(*raw)));
	}
	if (err == 0 && raw_fd >= 0 && ftruncate(raw_fd, 0) != 0)
		err = kmem_error(-errno, "cannot give the temporary file back: %s",
				 strerror(errno));
	if (err == 0)
		err = conversion_finish(c, origin);
	conversion_delete(c);
	return err;
}
