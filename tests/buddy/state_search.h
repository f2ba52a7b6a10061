/* SPDX-License-Identifier: MIT */
/*
 * A search through all states that a few threads of real code can get into.
 *
 * Threads are coroutines. Whatever they do to shared words goes through functions of
 * the test, which call search_step() before; there the next transition is chosen: a
 * thread takes its step, a thread is moved to another CPU, a store leaves a CPU's buffer
 * (x86: stores become visible in order, later than they are made; locked instructions
 * wait for them). Depth first, and each state is left by every transition once: a state
 * that has been there before is not entered again.
 *
 * A state is the shared memory and, for each thread, what it has read since its operation
 * began: code that nobody else touches is a function of that. A hash of it stands for
 * the locals. Who returns to where it was, having forgotten what it saw (a loop that
 * waits, a restarted sequence), has its hash put back: search_forget().
 *
 * All states and transitions are kept: from each state one must be reachable in which
 * every thread is done. So a thread that waits may wait for ever in one schedule, but is
 * never lost.
 */
#ifndef TESTS_BUDDY_STATE_SEARCH_H
#define TESTS_BUDDY_STATE_SEARCH_H

#include "tests/buddy/state_threads.h"

/* --- transitions --- */

enum { SEARCH_STEP, SEARCH_MOVE, SEARCH_FLUSH, SEARCH_KINDS };

static inline bool search_possible(int transition)
{
	int t = transition / SEARCH_KINDS;
	const struct search_thread *self = &search.threads[t];

	if (self->done)
		return false;
	switch (transition % SEARCH_KINDS) {
	case SEARCH_STEP: return true;
	/* Elsewhere a move might as well come later. */
	case SEARCH_MOVE:
		return search.moves_left > 0 && (self->in_sequence || self->asks_cpu);
	default: return self->buffered > 0;
	}
}

static inline void search_do(int transition)
{
	int t = transition / SEARCH_KINDS;

	switch (transition % SEARCH_KINDS) {
	case SEARCH_STEP: search_take_step(t); break;
	case SEARCH_MOVE: search_move(t); break;
	default: search_flush_one(&search.threads[t]); break;
	}
}

static inline bool search_all_done(void)
{
	for (int t = 0; t < search.nr_threads; t++) {
		if (!search.threads[t].done)
			return false;
	}
	return true;
}

/* --- the search --- */

static inline uint64_t search_key(void)
{
	uint64_t hash = graph_hash(1, &search, SEARCH_STATE_BYTES);

	for (size_t i = 0; i < search.nr_shared; i++)
		hash = graph_hash(hash, search.shared[i].at, search.shared[i].bytes);
	return hash != 0 ? hash : 1;
}

/* What a transition may change, as it was before. */
struct search_frame {
	uint32_t id;
	int transition; /* under way; the next is tried on return */
	size_t stack_bytes, room;
	char *saved; /* kept for the next at this depth */
};

static struct {
	struct search_frame *at;
	size_t depth, room;
} frames;

static inline size_t search_shared_bytes(void)
{
	size_t bytes = 0;

	for (size_t i = 0; i < search.nr_shared; i++)
		bytes += search.shared[i].bytes;
	return bytes;
}

static inline void copy_and_advance(char **to, const void *from, size_t bytes)
{
	memcpy(*to, from, bytes);
	*to += bytes;
}

static inline void search_save(struct search_frame *f)
{
	int t = f->transition / SEARCH_KINDS;
	char *top = search.stack[t] + SEARCH_STACK, *low = search.low[t], *p;
	size_t bytes;

	if (low < search.stack[t])
		low = search.stack[t];
	f->stack_bytes = f->transition % SEARCH_KINDS == SEARCH_STEP ? (size_t)(top - low)
								     : 0;
	bytes = SEARCH_STATE_BYTES + search_shared_bytes() + sizeof(ucontext_t) +
		sizeof(low) + f->stack_bytes;
	if (f->room < bytes) {
		free(f->saved);
		f->saved = graph_memory(malloc(bytes + 256));
		f->room = bytes + 256;
	}
	p = f->saved;
	copy_and_advance(&p, &search, SEARCH_STATE_BYTES);
	for (size_t i = 0; i < search.nr_shared; i++)
		copy_and_advance(&p, search.shared[i].at, search.shared[i].bytes);
	if (f->stack_bytes == 0)
		return;
	copy_and_advance(&p, &search.low[t], sizeof(low));
	copy_and_advance(&p, &search.context[t], sizeof(ucontext_t));
	memcpy(p, top - f->stack_bytes, f->stack_bytes);
}

static inline void take_and_advance(void *to, char **from, size_t bytes)
{
	memcpy(to, *from, bytes);
	*from += bytes;
}

static inline void search_restore(const struct search_frame *f)
{
	int t = f->transition / SEARCH_KINDS;
	char *p = f->saved;

	take_and_advance(&search, &p, SEARCH_STATE_BYTES);
	for (size_t i = 0; i < search.nr_shared; i++)
		take_and_advance(search.shared[i].at, &p, search.shared[i].bytes);
	if (f->stack_bytes == 0)
		return;
	take_and_advance(&search.low[t], &p, sizeof(search.low[t]));
	take_and_advance(&search.context[t], &p, sizeof(ucontext_t));
	memcpy(search.stack[t] + SEARCH_STACK - f->stack_bytes, p, f->stack_bytes);
}

static inline void search_start(int nr_threads, void (*program)(int self))
{
	search.nr_threads = nr_threads;
	search.program = program;
	search.violation = NULL;
	search.left_out = 0;
	memset(search.last_on, 0, sizeof(search.last_on));
	for (int t = 0; t < nr_threads; t++) {
		if (search.stack[t] == NULL)
			search.stack[t] = malloc(SEARCH_STACK);
		search.low[t] = search.stack[t] + SEARCH_STACK - 512;
		getcontext(&search.context[t]);
		search.context[t].uc_stack.ss_sp = search.stack[t];
		search.context[t].uc_stack.ss_size = SEARCH_STACK;
		search.context[t].uc_link = &search.scheduler;
		makecontext(&search.context[t], search_run_program, 0);
	}
	graph_empty();
}

/* How a violation comes about: of each transition the thread, and the line that it is
 * about to execute. */
static inline void search_tell(void)
{
	static const char *const kinds[] = {"step", "move", "flush"};

	for (size_t i = 0; i < frames.depth; i++) {
		const struct search *before = (const void *)frames.at[i].saved;
		int t = frames.at[i].transition / SEARCH_KINDS;

		printf("#   %zu: thread %d on cpu %d: %s, line %d\n", i, t,
		       (int)before->threads[t].cpu,
		       kinds[frames.at[i].transition % SEARCH_KINDS],
		       (int)before->threads[t].line);
	}
}

static inline void search_push(uint32_t id)
{
	struct search_frame *f;

	if (frames.depth == frames.room) {
		size_t room = frames.room == 0 ? 1024 : frames.room * 2;

		frames.at = graph_memory(realloc(frames.at, room * sizeof(*frames.at)));
		memset(frames.at + frames.room, 0,
		       (room - frames.room) * sizeof(*frames.at));
		frames.room = room;
	}
	f = &frames.at[frames.depth++];
	f->id = id;
	f->transition = -1;
}

/* Takes the next transition of the state on top; false: there is none. */
static inline bool search_next(struct search_frame *f)
{
	if (f->transition >= 0)
		search_restore(f);
	do {
		f->transition++;
	} while (f->transition < search.nr_threads * SEARCH_KINDS &&
		 !search_possible(f->transition));
	if (f->transition == search.nr_threads * SEARCH_KINDS)
		return false;
	search_save(f);
	search_do(f->transition);
	return true;
}

/*
 * Everything that nr_threads of program() can come to from the present state of
 * search.threads and the shared memory. check() looks after each transition.
 */
static inline struct graph_seen search_all(int nr_threads, void (*program)(int self),
					   void (*check)(void), bool tell)
{
	uint32_t id;
	bool far;

	search_start(nr_threads, program);
	graph_find(search_key(), search_all_done(), &id);
	frames.depth = 0;
	search_push(id);
	while (frames.depth > 0 && search.violation == NULL) {
		uint32_t from = frames.at[frames.depth - 1].id;

		if (!search_next(&frames.at[frames.depth - 1])) {
			frames.depth--;
			continue;
		}
		check();
		far = search.too_far();
		if (!graph_find(search_key(), far || search_all_done(), &id)) {
			if (!far)
				search_push(id);
			search.left_out += far;
		}
		graph_add(from, id);
	}
	graph.seen.violation = search.violation;
	if (search.violation != NULL && tell)
		search_tell();
	if (search.violation == NULL && !graph_nobody_lost())
		graph.seen.violation = "somebody is lost";
	return graph.seen;
}

static inline void search_end(void)
{
	for (int t = 0; t < SEARCH_THREADS; t++) {
		free(search.stack[t]);
		search.stack[t] = NULL;
	}
	for (size_t i = 0; i < frames.room; i++)
		free(frames.at[i].saved);
	free(frames.at);
	memset(&frames, 0, sizeof(frames));
	graph_free();
}

#endif /* TESTS_BUDDY_STATE_SEARCH_H */
