/* SPDX-License-Identifier: MIT */
/*
 * A set of slots, each with a live block, and a ring of pre-drawn replacements:
 * what `wset` and `larson` do one after the other. A replacement frees the block
 * of a slot and puts a new one of another size there.
 *
 * The ring is drawn before the clock starts and read in a circle; it is long
 * enough that a slot is replaced many times before the first decision comes
 * round again, and short enough (128 KiB, read in order) to be prefetched.
 */
#ifndef KMEMBENCH_SLOTS_FAST_H
#define KMEMBENCH_SLOTS_FAST_H

#include "workloads/harness/worker_fast.h"

#define SLOTS_RING 16384u

struct slot {
	void *block;
	size_t size;
};

struct replacement {
	uint32_t slot;
	uint32_t size;
};

struct slots {
	size_t bytes; /* of the arena that holds this, the slots and the ring */
	uint32_t count;
	uint32_t next; /* place in the ring */
	struct slot *slot;
	struct replacement ring[SLOTS_RING];
};

/* Fills all slots, then draws the ring, with sizes from draw(arg). For thread_setup(). */
struct slots *slots_new(struct worker *w, uint32_t count,
			uint32_t (*draw)(struct rng *rng, const void *arg),
			const void *arg);
/* Frees what lives. For thread_teardown(). */
void slots_delete(struct worker *w, struct slots *s);

static KMEM_ALWAYS_INLINE void slots_replace(struct worker *w, struct probe *p,
					     struct slots *s, uint64_t replacements)
{
	uint32_t next = s->next;

	for (uint64_t i = 0; i < replacements; i++) {
		const struct replacement *r = &s->ring[next];
		struct slot *slot = &s->slot[r->slot];

		worker_free(w, p, slot->block, slot->size);
		slot->block = worker_alloc(w, p, r->size);
		slot->size = r->size;
		next = (next + 1) & (SLOTS_RING - 1);
	}
	s->next = next;
	w->ops += replacements;
}

#endif /* KMEMBENCH_SLOTS_FAST_H */
