/* SPDX-License-Identifier: MIT */
/*
 * The threads of a search (state_search.h): coroutines, what each has learnt, the CPU it
 * is on, and the stores that nobody else sees yet.
 */
#ifndef TESTS_BUDDY_STATE_THREADS_H
#define TESTS_BUDDY_STATE_THREADS_H

#include "tests/buddy/state_graph.h"

#include <stddef.h>
#include <stdio.h>
#include <ucontext.h>

enum {
	SEARCH_THREADS = 3,
	SEARCH_CPUS = 2,
	SEARCH_STACK = 32768,
	SEARCH_SHARED = 16,
	SEARCH_BUFFER = 4, /* stores of a CPU that nobody else sees yet */
};

struct search_store {
	void *at;
	uint64_t value;
	size_t bytes;
};

/* Of a thread, without its stack. All of it is part of the state. */
struct search_thread {
	uint64_t history; /* hash of what it has read */
	uint64_t in_sequence, restart;
	uint64_t cpu, done, line, buffered;
	uint64_t asks_cpu; /* its next step depends on where it is */
	uint64_t own[8];   /* the test's */
	struct search_store buffer[SEARCH_BUFFER];
};

static struct search {
	/* --- the state --- */
	struct search_thread threads[SEARCH_THREADS];
	uint64_t last_on[SEARCH_CPUS]; /* thread + 1 that ran there last */
	uint64_t moves_left;
	/* --- threads --- */
	int nr_threads, running;
	ucontext_t context[SEARCH_THREADS], scheduler;
	char *stack[SEARCH_THREADS], *low[SEARCH_THREADS];
	void (*program)(int self);
	/* --- what the test says --- */
	struct {
		void *at;
		size_t bytes;
	} shared[SEARCH_SHARED];
	size_t nr_shared;
	/* What is too far off: such states are not left, and nobody is lost there. */
	bool (*too_far)(void);
	uint32_t left_out;
	bool never_restarts;   /* broken: sequences go on after they lost their CPU */
	const char *violation; /* found */
} search;

/* Words of the state alone. */
#define SEARCH_STATE_BYTES offsetof(struct search, nr_threads)

static inline struct search_thread *search_self(void)
{
	return &search.threads[search.running];
}

static inline void search_violation(const char *what)
{
	if (search.violation == NULL)
		search.violation = what;
}

/* The thread has learnt a value. */
static inline void search_learn(uint64_t value)
{
	search_self()->history = graph_mix(search_self()->history, value);
}

static inline void search_forget(uint64_t history)
{
	search_self()->history = history;
}

/* --- memory --- */

static inline void search_write(void *at, uint64_t value, size_t bytes)
{
	memcpy(at, &value, bytes); /* little endian */
}

/* The oldest store of a thread becomes visible. */
static inline void search_flush_one(struct search_thread *t)
{
	search_write(t->buffer[0].at, t->buffer[0].value, t->buffer[0].bytes);
	t->buffered--;
	memmove(&t->buffer[0], &t->buffer[1], (SEARCH_BUFFER - 1) * sizeof(t->buffer[0]));
	t->buffer[SEARCH_BUFFER - 1] = (struct search_store){NULL, 0, 0};
}

static inline void search_flush(struct search_thread *t)
{
	while (t->buffered > 0)
		search_flush_one(t);
}

static inline void search_store_later(void *at, uint64_t value, size_t bytes)
{
	struct search_thread *t = search_self();

	if (t->buffered == SEARCH_BUFFER)
		search_flush_one(t);
	t->buffer[t->buffered++] = (struct search_store){at, value, bytes};
}

/* What this thread sees there. */
static inline uint64_t search_read(const void *at, size_t bytes)
{
	const struct search_thread *t = search_self();
	uint64_t value = 0;

	memcpy(&value, at, bytes);
	for (uint64_t i = 0; i < t->buffered; i++) {
		if (t->buffer[i].at == at)
			value = t->buffer[i].value;
	}
	return value;
}

/* --- threads --- */

/* Before each access to what is shared. */
static __attribute__((noinline)) void search_step(unsigned int line)
{
	int self = search.running;
	char here;

	/* Room for what swapcontext() and this function keep. */
	search.low[self] = (char *)((uintptr_t)&here - 512);
	search.threads[self].line = line;
	swapcontext(&search.context[self], &search.scheduler);
	search_self()->asks_cpu = false;
}

/* Before one that depends on the CPU; in sequences all do. */
static inline void search_step_on_cpu(unsigned int line)
{
	search_self()->asks_cpu = true;
	search_step(line);
}

static inline void search_run_program(void)
{
	search.program(search.running);
	search_flush(search_self());
	search_self()->done = true;
	search_self()->line = 0;
	search_self()->history = 0;
	memset(search_self()->own, 0, sizeof(search_self()->own));
}

static inline void search_take_step(int t)
{
	struct search_thread *self = &search.threads[t];

	for (int other = 0; other < search.nr_threads; other++) {
		struct search_thread *o = &search.threads[other];

		/* It has lost the CPU to us. */
		if (other != t && o->cpu == self->cpu &&
		    search.last_on[self->cpu] == (uint64_t)other + 1) {
			search_flush(o);
			o->restart |= o->in_sequence;
		}
	}
	search.last_on[self->cpu] = (uint64_t)t + 1;
	search.running = t;
	swapcontext(&search.scheduler, &search.context[t]);
}

static inline void search_move(int t)
{
	struct search_thread *self = &search.threads[t];

	search_flush(self);
	self->restart |= self->in_sequence;
	if (search.last_on[self->cpu] == (uint64_t)t + 1)
		search.last_on[self->cpu] = 0;
	self->cpu = (self->cpu + 1) % SEARCH_CPUS;
	search.moves_left--;
}

static inline void search_restart_all(void)
{
	for (int t = 0; t < search.nr_threads; t++) {
		search_flush(&search.threads[t]);
		search.threads[t].restart |= search.threads[t].in_sequence;
	}
}

/* In a sequence, after each step: true, and it starts again. */
static inline bool search_restarted(void)
{
	bool restart = search_self()->restart;

	search_self()->restart = false;
	return restart && !search.never_restarts;
}

#endif /* TESTS_BUDDY_STATE_THREADS_H */
