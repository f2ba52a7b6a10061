/* SPDX-License-Identifier: MIT */
/* What magazine.c and magazine_all.c share. */
#ifndef KMEM_OS_MAGAZINE_INTERNAL_H
#define KMEM_OS_MAGAZINE_INTERNAL_H

#include "allocators/os/magazine_fast.h"
#include "allocators/os/spinlock.h"

/*
 * Tops that are empty and full at once. NOTHING: the magazine is not there on this CPU
 * yet; STOPPED: somebody is draining it; FROZEN: for a fork.
 */
enum { NOTHING, STOPPED, FROZEN, NR_PAIRS };

/* What a number stands for; written under magazine_lock, read freely by its users. */
struct magazine_info {
	/* CPU 0's slots: a NULL, `limit` entries, a FULL; then the same again if two */
	void **slots;
	uint32_t limit;
	uint32_t least; /* objects in `in` for an exchange; 0: there is one magazine */
	uint32_t max;	/* limit << n: bounds may be moved that far; 0: they stay */
	/* The same with `max` entries, made when one first grows; the second only if two.
	 * magazine_grow.c has the theory. */
	void **_Atomic large[2];
};

#pragma GCC visibility push(hidden)
extern void *magazine_pairs[2 * NR_PAIRS];
extern struct magazine_info magazine_infos[MAGAZINE_NR];
extern struct magazine_cpu *magazine_cpu0; /* NULL: nothing made yet */
/* Numbers, and the first use of one by a CPU. */
extern struct kmem_spinlock magazine_lock;
#pragma GCC visibility pop

static inline void **pair(unsigned int which)
{
	return &magazine_pairs[2 * which + 1];
}

static inline bool is_pair(void *const *top)
{
	return top >= magazine_pairs && top < magazine_pairs + 2 * NR_PAIRS;
}

static inline struct magazine_cpu *cpu_of(unsigned int cpu)
{
	return (struct magazine_cpu *)((char *)magazine_cpu0 +
				       ((size_t)cpu << PERCPU_AREA_SHIFT));
}

static inline bool cpu_used(unsigned int cpu)
{
	return atomic_load_explicit(&cpu_of(cpu)->top[0], memory_order_acquire) != NULL;
}

static inline void **load_top(struct magazine_cpu *c, size_t id)
{
	return atomic_load_explicit(&c->top[id], memory_order_acquire);
}

static inline void store_top(struct magazine_cpu *c, size_t id, void **top)
{
	atomic_store_explicit(&c->top[id], top, memory_order_release);
}

/* The first entry's slot of one of a CPU's magazines; `second` of two. */
static inline void **bottom_of(unsigned int cpu, size_t id, bool second)
{
	void **slots = (void **)((char *)magazine_infos[id].slots +
				 ((size_t)cpu << PERCPU_AREA_SHIFT));

	return slots + 1 + (second ? magazine_infos[id].limit + 2 : 0);
}

/* The same of the large slots; NULL: there are none. */
static inline void **large_bottom_of(unsigned int cpu, size_t id, bool second)
{
	void **large = atomic_load_explicit(&magazine_infos[id].large[second],
					    memory_order_acquire);

	return large ? (void **)((char *)large + ((size_t)cpu << PERCPU_AREA_SHIFT)) + 1
		     : NULL;
}

/* Which slots a magazine is in: two of them change places, and each may have grown. */
struct magazine_place {
	void **bottom;
	bool second, large;
};

static inline bool lies_above(void *const *top, void *const *bottom, uint32_t limit)
{
	return bottom && (uintptr_t)top - (uintptr_t)bottom <= limit * sizeof(*bottom);
}

/* Of the slots that this top, not a pair's, points into. */
static inline struct magazine_place place_of(unsigned int cpu, size_t id,
					     void *const *top)
{
	const struct magazine_info *info = &magazine_infos[id];
	struct magazine_place place = {.bottom = bottom_of(cpu, id, false)};

	if (KMEM_LIKELY(lies_above(top, place.bottom, info->limit)))
		return place;
	place.second = true;
	place.bottom = bottom_of(cpu, id, true);
	if (info->least && lies_above(top, place.bottom, info->limit))
		return place;
	place.large = true;
	place.bottom = large_bottom_of(cpu, id, true);
	if (lies_above(top, place.bottom, info->max))
		return place;
	place.second = false;
	place.bottom = large_bottom_of(cpu, id, false);
	return place;
}

static inline bool lockless(void)
{
	return magazine_rseq_offset != 0;
}

/* Entries between bottom and top; 0 for a pair. Others may be at work. */
static inline size_t count_of(unsigned int cpu, size_t id, void **top)
{
	return is_pair(top) ? 0 : (size_t)(top - place_of(cpu, id, top).bottom);
}

/* --- magazine_grow.c --- */

/* Of numbers that are given back; under magazine_lock. */
void magazine_release_large(unsigned int out, unsigned int in);
/* The top of a magazine that has just been emptied by whoever has it, with this top
 * before: it is as small as a new one. `discard`: memory of what it had grown goes back.
 */
void **magazine_emptied(unsigned int cpu, size_t id, void *const *top, bool discard);

#endif /* KMEM_OS_MAGAZINE_INTERNAL_H */
