/* SPDX-License-Identifier: MIT */
/*
 * What rows_gate.c stands on, as steps of a search: shared words, the per-CPU counters,
 * the restartable sequences, membarrier(2), locks, and the CPU's number; each modelled
 * after the source that its section names. And the ways in which any of it, or of the
 * gate, may be wrong.
 *
 * Stores of plain instructions become visible late and in order, as on x86, which is what
 * the release and acquire of the source ask for elsewhere.
 */
#ifndef TESTS_BUDDY_GATE_MODEL_H
#define TESTS_BUDDY_GATE_MODEL_H

#include "allocators/buddy/rows_internal.h"
#include "tests/buddy/state_search.h"

#ifndef WAITS
#define WAITS 16
#endif

/* What may be wrong with it. */
static enum broken {
	NOTHING_BROKEN,
	NO_MEMBARRIER,		/* sequences go on that saw the gate open */
	NO_RESTARTS,		/* so do those that lost their CPU */
	SHARED_LOOKS_NOT,	/* the sequence counts without looking at the mode */
	ALONE_LOOKS_NOT,	/* the sequence gets in without looking at the mode */
	ALONE_TAKES_ODD,	/* the sequence gets in while another is inside */
	LOOK_BEFORE_COUNT,	/* a guest's count is visible only after its look */
	GUEST_LOOKS_NOT,	/* a guest counts and goes in */
	GUEST_KEEPS_COUNT,	/* a guest that finds the gate closed leaves its count */
	GUEST_ALONE_LOOKS_NOT,	/* the same, alone: no second look */
	GUEST_ALONE_KEEPS_ODD,	/* and its word stays odd */
	EXIT_NOT_COUNTED,	/* of who entered by a sequence */
	GUEST_EXIT_NOT_COUNTED, /* of who did not */
	ALONE_EXIT_NOT_COUNTED, /* of who was alone */
	EXIT_ELSEWHERE,	    /* of who was alone: in the word of the CPU it is on now */
	EXIT_BEFORE_STORES, /* who was alone leaves, its stores become visible later */
	ENTRIES_FIRST,	    /* summed before the exits */
	NO_WAIT_FOR_SHARED, /* who closes the gate does not wait */
	NO_WAIT_FOR_ALONE,
	NOT_CLOSED,	    /* the mode stays what it was meanwhile */
	NO_LOCK,	    /* two change the mode at once */
	FORK_DOES_NOT_OPEN, /* the gate that it has closed */
	BREAKS
} broken;

/* --- who does what --- */

enum program { NOTHING, ENTERS, ENTERS_SHARED, FORKS };

static struct scenario {
	const char *name;
	uint32_t mode;
	bool lockless;
	int nr_threads;
	struct {
		enum program program;
		unsigned int times, cpu;
		bool guest; /* has no sequences */
	} thread[SEARCH_THREADS];
	unsigned int moves; /* to other CPUs, of all threads together */
} scenario;

static inline bool forks(void)
{
	return scenario.thread[search.running].program == FORKS;
}

/* --- the machine: words, and who is inside --- */

/* Of each CPU, as struct percpu_stack. */
enum { WORD_IN, WORD_OUT, WORD_GUESTS_IN, WORD_GUESTS_OUT, WORD_ALONE, WORDS };
static struct {
	uint64_t state, unused;
} words[WORDS][SEARCH_CPUS];

#undef percpu_stack_of
#define percpu_stack_of(stacks, cpu) \
	((struct percpu_stack *)((stacks)->base + (cpu) * sizeof(words[0][0])))

static inline bool is_word(const void *at, int word)
{
	return (const char *)at >= (const char *)words[word] &&
	       (const char *)at < (const char *)words[word + 1];
}

static bool lockless;			/* the process has sequences */
static bool registered[SEARCH_THREADS]; /* and so has the thread */
static uint64_t data;			/* what the gate protects: visits */

/* What is kept of a thread in search_thread.own: who is inside, and what its hash goes
 * back to in loops of rows_gate.c that wait. */
enum { STATUS, OPERATION, WAITED, CLOSING, MODE, LAST, LEFT, ENTERED };
enum { OUTSIDE, IN_SHARED, IN_ALONE, IN_FORK };
/* LAST: what it did last; from READ_CPU on, with the CPU's number. */
enum { OTHER, LOOKED, COUNTED, SWAPPED, READ_CPU };

static inline uint64_t *own(int what)
{
	return &search_self()->own[what];
}

static inline uint64_t learn(uint64_t value, int last)
{
	*own(LAST) = (uint64_t)last;
	search_learn(value);
	return value;
}

/*
 * What a round of the loop in enter() leaves behind: the operation and the number of
 * waits, which counts up to one more than WAITS.
 */
static inline void forget_round(void)
{
	search_forget(*own(OPERATION) << 8 | *own(WAITED));
	*own(MODE) = *own(LAST) = 0;
}

static inline void wait_once(void)
{
	if (*own(WAITED) <= WAITS)
		++*own(WAITED);
}

/* --- accesses: each a step --- */

static inline uint64_t gate_load(void *at, size_t bytes, bool relaxed, unsigned int line)
{
	uint64_t value, last, cpu;

	if (relaxed && at == &rows_mode)
		forget_round();
	search_step(line);
	last = *own(LAST);
	value = search_read(at, bytes);
	cpu = search_self()->cpu;
	if (at == &rows_mode) {
		if (broken == GUEST_LOOKS_NOT && last == COUNTED)
			value = ROWS_MODE_SHARED;
		if (broken == GUEST_ALONE_LOOKS_NOT && last == SWAPPED)
			value = *own(MODE);
		*own(MODE) = value;
		return learn(value, LOOKED);
	}
	if (broken == NO_WAIT_FOR_ALONE && *own(CLOSING) != 0 && is_word(at, WORD_ALONE))
		value &= ~(uint64_t)1;
	if (broken == EXIT_ELSEWHERE && relaxed && is_word(at, WORD_ALONE))
		value = search_read(&words[WORD_ALONE][cpu], bytes);
	return learn(value, OTHER);
}

/* A locked instruction. */
static inline void gate_store(void *at, uint64_t value, size_t bytes, unsigned int line)
{
	search_step(line);
	search_flush(search_self());
	*own(LAST) = OTHER;
	if (broken == GUEST_ALONE_KEEPS_ODD && is_word(at, WORD_ALONE))
		return;
	if (broken == FORK_DOES_NOT_OPEN && forks())
		return;
	if (at == &rows_mode)
		*own(CLOSING) = 0; /* not any more */
	search_write(at, value, bytes);
}

/* A plain one. Who was alone leaves by it. */
static inline void gate_store_plain(void *at, uint64_t value, size_t bytes,
				    unsigned int line)
{
	search_step(line);
	*own(LAST) = OTHER;
	if (broken == ALONE_EXIT_NOT_COUNTED)
		return;
	if (broken == EXIT_ELSEWHERE)
		at = &words[WORD_ALONE][search_self()->cpu];
	if (broken == EXIT_BEFORE_STORES)
		search_write(at, value, bytes);
	else
		search_store_later(at, value, bytes);
}

static inline uint64_t gate_add(void *at, uint64_t n, size_t bytes, unsigned int line)
{
	uint64_t before, last;

	search_step(line);
	last = *own(LAST);
	if (broken == GUEST_KEEPS_COUNT && last == LOOKED)
		return learn(0, OTHER);
	if (broken == GUEST_EXIT_NOT_COUNTED && last >= READ_CPU &&
	    is_word(at, WORD_GUESTS_OUT))
		return learn(0, OTHER);
	before = search_read(at, bytes);
	if (broken == LOOK_BEFORE_COUNT) {
		search_store_later(at, before + n, bytes);
	} else {
		search_flush(search_self());
		search_write(at, before + n, bytes);
	}
	return learn(before, COUNTED);
}

static inline bool gate_swap(void *at, uint64_t *expected, uint64_t value, size_t bytes,
			     unsigned int line)
{
	uint64_t before;

	search_step(line);
	search_flush(search_self());
	before = search_read(at, bytes);
	learn(before, before == *expected ? SWAPPED : OTHER);
	if (before != *expected) {
		*expected = before;
		return false;
	}
	search_write(at, value, bytes);
	return true;
}

/* Only of the mode, by who closes the gate; there it begins to wait. */
static inline uint64_t gate_exchange(void *at, uint64_t value, size_t bytes,
				     unsigned int line)
{
	uint64_t before;

	search_step(line);
	search_flush(search_self());
	before = search_read(at, bytes);
	if (broken != NOT_CLOSED)
		search_write(at, value, bytes);
	learn(before, OTHER);
	*own(CLOSING) = search_self()->history;
	*own(LEFT) = 0;
	return before;
}

static inline unsigned int gate_cpu(unsigned int line)
{
	if (search.moves_left > 0)
		search_step_on_cpu(line);
	return (unsigned int)learn(search_self()->cpu,
				   READ_CPU + (int)search_self()->cpu);
}

static inline void gate_yield(void)
{
	*own(LEFT) = 0;
	if (*own(CLOSING) != 0)
		search_forget(*own(CLOSING));
	else if (*own(MODE) != ROWS_MODE_CLOSED)
		wait_once();
}

/* --- counters: percpu.c --- */

static inline uint64_t sum_words(int word, unsigned int line)
{
	uint64_t begun = search_self()->history, sum = 0;

	for (unsigned int cpu = 0; cpu < SEARCH_CPUS; cpu++) {
		sum += gate_load(&words[word][cpu], sizeof(uint64_t), false, line);
		search_forget(graph_mix(begun, sum << 8 | cpu));
	}
	return sum;
}

/* In close_gate(): exits, then entries; when they are equal nothing else is left. */
static inline uint64_t sum_closing(int word, unsigned int line)
{
	if (broken == NO_WAIT_FOR_SHARED)
		return 0;
	if (broken == ENTRIES_FIRST) {
		if (word == WORD_OUT || word == WORD_GUESTS_OUT)
			*own(ENTERED) = sum_words(WORD_IN, line) +
					sum_words(WORD_GUESTS_IN, line);
		if (word == WORD_IN)
			return *own(ENTERED);
		if (word == WORD_GUESTS_IN)
			return 0;
	}
	return sum_words(word, line);
}

static inline uint64_t gate_sum(const struct percpu_counter *c, unsigned int line)
{
	int word = (int)((c->words.base - (char *)words) / (ptrdiff_t)sizeof(words[0]));
	uint64_t sum;

	if (*own(CLOSING) == 0)
		return sum_words(word, line);
	sum = sum_closing(word, line);
	/* This is all that is remembered of it. */
	*own(LEFT) += word == WORD_OUT || word == WORD_GUESTS_OUT ? sum : -sum;
	search_forget(graph_mix(*own(CLOSING), (uint64_t)word));
	return sum;
}

/* --- locks: spinlock.h --- */

static inline void gate_lock(struct kmem_spinlock *l, unsigned int line)
{
	do {
		search_step(line);
	} while (l->locked != 0 && broken != NO_LOCK);
	search_flush(search_self());
	l->locked = 1;
	/* end_of_alone(), for who has found its own CPU alone too often. */
	if (*own(LAST) >= READ_CPU &&
	    *own(MODE) == ROWS_MODE_ALONE + *own(LAST) - READ_CPU)
		wait_once();
	learn(line, OTHER);
}

static inline bool gate_trylock(struct kmem_spinlock *l, unsigned int line)
{
	bool got;

	search_step(line);
	search_flush(search_self());
	got = l->locked == 0 || broken == NO_LOCK;
	l->locked = 1;
	return learn(got, OTHER);
}

static inline void gate_unlock(struct kmem_spinlock *l, unsigned int line)
{
	search_step(line);
	search_flush(search_self());
	l->locked = 0;
}

/* --- sequences: rseq_x86_64.h --- */

static inline bool gate_restart_sequences(unsigned int line)
{
	search_step(line);
	if (broken != NO_MEMBARRIER)
		search_restart_all();
	return true;
}

/* Counts: the one instruction that does it, a plain store, is the last one. */
enum sequence { ENTER_SHARED, ENTER_ALONE, ADD_ONE };

/* Whether the mode lets it in; `state` is what it has found in its CPU's word. */
static inline bool sequence_may(enum sequence kind, uint64_t mode, uint64_t state,
				unsigned int cpu)
{
	switch (kind) {
	case ENTER_SHARED: return mode == ROWS_MODE_SHARED || broken == SHARED_LOOKS_NOT;
	case ENTER_ALONE:
		return (mode == ROWS_MODE_ALONE + cpu || broken == ALONE_LOOKS_NOT) &&
		       (state % 2 == 0 || broken == ALONE_TAKES_ODD);
	default: return true;
	}
}

/* The word's new state; 0: not counted. */
static inline uint64_t run_sequence(enum sequence kind, int word, unsigned int line)
{
	struct search_thread *self = search_self();
	uint64_t begun = self->history, state, mode = 0;
	unsigned int cpu;

	if (!registered[search.running])
		return 0;
	self->in_sequence = true;
	self->restart = false;
start:
	self = search_self();
	search_forget(begun);
	cpu = (unsigned int)self->cpu;
	state = gate_load(&words[word][cpu], sizeof(state), true, line);
	if (search_restarted())
		goto start;
	if (kind != ADD_ONE) {
		search_step(line);
		if (search_restarted())
			goto start;
		mode = learn(search_read(&rows_mode, sizeof(rows_mode)), OTHER);
	}
	if (sequence_may(kind, mode, state, cpu)) {
		search_step(line);
		if (search_restarted())
			goto start;
		search_store_later(&words[word][cpu], state + 1, sizeof(state));
	} else {
		state = UINT64_MAX; /* returns 0 */
	}
	search_self()->in_sequence = false;
	search_learn(state);
	return state + 1;
}

static inline void gate_count_exit(unsigned int line)
{
	if (broken == EXIT_NOT_COUNTED)
		return;
	if (run_sequence(ADD_ONE, WORD_OUT, line) == 0)
		search_violation("left by a sequence without having any");
}

#endif /* TESTS_BUDDY_GATE_MODEL_H */
