/* SPDX-License-Identifier: MIT */
/*
 * A set of slots, each with a live block, and a ring of pre-drawn replacements:
 * what `wset` and `larson` do one after the other. A replacement frees the block
 * of a slot and puts a new one of another size there.
 *
 * The ring is drawn before the clock starts and read in a circle, short enough
 * (128 KiB, read in order) to be prefetched. Its sizes come round every SLOTS_RING
 * replacements; its slots move on with each lap (lap_fast.h), so that sets of any
 * number of slots are replaced as a whole.
 */
#ifndef KMEMBENCH_SLOTS_FAST_H
#define KMEMBENCH_SLOTS_FAST_H

#include "workloads/harness/lap_fast.h"
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
	uint32_t next;	/* place in the ring */
	uint32_t shift; /* of this lap's slots */
	struct slot *slot;
	struct replacement ring[SLOTS_RING];
};

/* Fills all slots, then draws the ring, with sizes from draw(arg). For thread_setup(). */
struct slots *slots_new(struct worker *w, uint32_t count,
			uint32_t (*draw)(struct rng *rng, const void *arg),
			const void *arg);
/* Frees what lives. For thread_teardown(). */
void slots_delete(struct worker *w, struct slots *s);

/* The slot that a replacement is for, in this lap. */
static KMEM_ALWAYS_INLINE struct slot *slots_of(const struct slots *s,
						const struct replacement *r)
{
	return &s->slot[lap_slot(r->slot, s->shift, s->count)];
}

/* The place in the ring after this one. */
static KMEM_ALWAYS_INLINE uint32_t slots_advance(struct slots *s, uint32_t next)
{
	if (KMEM_LIKELY(++next < SLOTS_RING))
		return next;
	s->shift = lap_next_shift(s->shift, s->count);
	return 0;
}

static KMEM_ALWAYS_INLINE void slots_replace(struct worker *w, struct probe *p,
					     struct slots *s, uint64_t replacements)
{
	uint32_t next = s->next;

	for (uint64_t i = 0; i < replacements; i++) {
		const struct replacement *r = &s->ring[next];
		struct slot *slot = slots_of(s, r);

		worker_free(w, p, slot->block, slot->size);
		slot->block = worker_alloc(w, p, r->size);
		slot->size = r->size;
		next = slots_advance(s, next);
	}
	s->next = next;
	w->ops += replacements;
}

#endif /* KMEMBENCH_SLOTS_FAST_H */
