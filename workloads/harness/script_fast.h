/* SPDX-License-Identifier: MIT */
/*
 * A script: a cycle of allocations and frees that is composed before the clock
 * starts and then played piece by piece, over and over.
 *
 * THEORY. Workloads whose point is a shape (fill, thin out, drain) decide much more
 * per operation than fits between two clock readings, so they write their decisions
 * down in thread_setup(). A script begins and ends with nothing live. Each block of
 * a cycle has a slot of its own, numbered in the order of allocation, so slots are
 * written in order and an event needs to say no more than
 *
 *   slot (32 bits) | free (1 bit) | size (31 bits)
 *
 * Eight bytes an event, read in order, are what the harness adds to the memory
 * traffic; a floor plays the same script and shows its cost.
 *
 * The shape shows only where a cycle has been played as far as its last state, the one
 * before all is freed (drain_at). So the memory pass, which may be shorter, plays whole
 * cycles: the step that would begin one plays all of it up to that state, and the steps
 * that would have played the rest do nothing. There it ends, with that state live.
 *
 * All calls belong to the thread that owns the script.
 */
#ifndef KMEMBENCH_SCRIPT_FAST_H
#define KMEMBENCH_SCRIPT_FAST_H

#include "workloads/harness/worker_fast.h"

#define SCRIPT_FREE	      0x80000000u
#define SCRIPT_SIZE_MAX_BYTES (SCRIPT_FREE - 1)
/* Blocks of one cycle: 28 bytes of harness memory each. */
#define SCRIPT_BLOCKS_MAX (1u << 26)
/* Events in a quantum, at 25 to 200 ns each. */
#define SCRIPT_QUANTUM 4096u

struct script_event {
	uint32_t slot;
	uint32_t size; /* with SCRIPT_FREE: this size is freed */
};

struct script {
	struct script_event *event;
	void **block;	   /* by slot; valid while the slot's block lives */
	uint32_t next;	   /* the event to be played next */
	uint32_t n_events; /* the cycle's length */
	uint64_t cycles;   /* played to their end */
	/* cold */
	uint32_t drain_at; /* the event that begins the drain */
	uint64_t steps;	   /* of a memory pass */
	uint32_t n_slots, slots_max;
	uint32_t *size; /* by slot, 0: not live at this point of composing */
	uint64_t live_bytes, live_bytes_max;
	size_t bytes; /* of the arena that holds all of it */
};

/* From an arena: never fails. Empty, with room for blocks_max blocks in a cycle. */
struct script *script_new(uint64_t blocks_max);
/* Frees the blocks that live where playing has stopped, and the script. */
void script_delete(struct worker *w, struct script *s);

/* --- composing, in thread_setup() --- */

/* Appends an allocation; returns the block's slot. size: 1 to SCRIPT_SIZE_MAX_BYTES. */
uint32_t script_alloc(struct script *s, size_t size);
/* Appends the free of a block that is live at this point. */
void script_free(struct script *s, uint32_t slot);
/* Ends the cycle with the frees of all that is live, in order of allocation. */
void script_drain(struct script *s);

/* --- playing --- */

/* Plays `events` events, from the cycle's start again after its end. */
static KMEM_ALWAYS_INLINE void script_play(struct worker *w, struct probe *p,
					   struct script *s, uint64_t events)
{
	const struct script_event *event = s->event;
	void **block = s->block;
	uint32_t next = s->next;

	for (uint64_t i = 0; i < events; i++) {
		struct script_event e = event[next];

		if (e.size & SCRIPT_FREE)
			worker_free(w, p, block[e.slot], e.size & ~SCRIPT_FREE);
		else
			block[e.slot] = worker_alloc(w, p, e.size);
		if (KMEM_UNLIKELY(++next == s->n_events)) {
			next = 0;
			s->cycles++;
		}
	}
	s->next = next;
	w->ops += events;
}

/* Cycles that were played up to their drain, or further. */
static inline uint64_t script_cycles(const struct script *s)
{
	return s->cycles + (s->next != 0 && s->next >= s->drain_at);
}

/* To the last state of the next cycle, by way of the drain of the one before. */
static KMEM_ALWAYS_INLINE void script_play_cycle(struct worker *w, struct probe *p,
						 struct script *s)
{
	if (s->next != 0)
		script_play(w, p, s, s->n_events - s->next);
	if (w->index == 0)
		worker_phase(w, "cycle");
	script_play(w, p, s, s->drain_at);
	if (w->index == 0)
		worker_phase(w, "cycle-end");
}

/* A workload's step: a quantum of events; in the memory pass whole cycles, as above. */
static KMEM_ALWAYS_INLINE void script_step(struct worker *w, struct probe *p,
					   struct script *s)
{
	uint64_t steps, cycles;

	if (KMEM_LIKELY(w->pass != PASS_MEMORY)) {
		script_play(w, p, s, SCRIPT_QUANTUM);
		return;
	}
	steps = (s->n_events + SCRIPT_QUANTUM - 1) / SCRIPT_QUANTUM;
	if (s->steps++ % steps != 0)
		return;
	cycles = s->n_events < SCRIPT_QUANTUM ? SCRIPT_QUANTUM / s->n_events : 1;
	for (uint64_t i = 0; i < cycles; i++)
		script_play_cycle(w, p, s);
}

#endif /* KMEMBENCH_SCRIPT_FAST_H */
