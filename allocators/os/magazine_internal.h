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

/* Of the one that this top points into: they change places. */
static inline void **bottom_under(unsigned int cpu, size_t id, void *const *top)
{
	void **second = bottom_of(cpu, id, true);

	return magazine_infos[id].least && top >= second ? second
							 : bottom_of(cpu, id, false);
}

static inline bool lockless(void)
{
	return magazine_rseq_offset != 0;
}

/* Entries between bottom and top; 0 for a pair. Others may be at work. */
static inline size_t count_of(unsigned int cpu, size_t id, void **top)
{
	return is_pair(top) ? 0 : (size_t)(top - bottom_under(cpu, id, top));
}

#endif /* KMEM_OS_MAGAZINE_INTERNAL_H */
