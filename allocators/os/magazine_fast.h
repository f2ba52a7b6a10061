/* SPDX-License-Identifier: MIT */
/*
 * Magazines: bounded stacks of object pointers, one set for each CPU, by number.
 *
 * THEORY. What percpu_fast.h does with a stack at a time is done here for the hit
 * path of malloc, where every instruction counts, with three differences.
 *
 * The top is a pointer and its bounds lie in the stack. Below the first slot stands
 * NULL, in the slot after the last MAGAZINE_FULL: a pop that reads NULL and a push
 * that would overwrite MAGAZINE_FULL miss. No count, no limit, no shift is read, and
 * the tops of all magazines of a CPU lie side by side:
 *
 *   rseq cpu_id --> magazine_table[cpu] --> top[id] --> slots
 *                                            | NULL | p | p | p | ... | FULL |
 *
 * Nothing at all is a pair {NULL, FULL} of its own, empty and full at once: the top of
 * every magazine of a CPU that has never run us, of numbers that nobody has, of
 * threads without a CPU number (-1, -2: rseq(2) not registered), of magazines that are
 * being drained or frozen. So there is no test for any of these.
 *
 * One magazine or two. A free followed by an allocation from the same stack stores the
 * top and loads it again. Processors predict such pairs by instruction addresses, which
 * here are the same for all caches: with mixed sizes the prediction is wrong now and
 * then or ties every operation to the one before (measured on Zen 5: 4.7 ns a pair
 * instead of 3.0). So a cache may have two magazines as in Bonwick & Adams 2001, but
 * for another purpose: objects are freed into `in` and taken from `out`, and when `out`
 * is empty they change places, by one store of 16 bytes. The price is that not the
 * newest object is handed out next; so caches of large objects have one, `in` = `out`. So
 * has every cache on aarch64, where no such store is safe (rseq_aarch64.h).
 *
 * The upper bound can be moved, by one store again: magazine_grow.c.
 *
 * Sequences, draining and fork are those of percpu_fast.h: each sequence ends in the
 * one store that makes it happen; a magazine is stopped by exchanging its top for that
 * of an empty-and-full pair and restarting the sequences of all CPUs. In the mode
 * with locks the hit paths miss and everything is done under a lock per magazine.
 */
#ifndef KMEM_OS_MAGAZINE_FAST_H
#define KMEM_OS_MAGAZINE_FAST_H

#include "allocators/os/percpu_fast.h"

/* Numbers are bytes; 0 is nobody's. */
#define MAGAZINE_NR 256

/* Can two magazines change places? Locks can do it everywhere. */
#if OS_PERCPU_RSEQ
#define MAGAZINE_TWO RSEQ_HAS_EXCHANGE
#else
#define MAGAZINE_TWO 1
#endif

/* All CPUs' magazines of one cache. Constant after magazine_create(). */
struct magazines {
	uint8_t out, in; /* numbers; equal: one magazine. 0: none */
	uint32_t limit;	 /* objects of each; where they may grow, at first */
};

/* All of a CPU's tops; written by that CPU alone, in sequences or under locks. */
struct magazine_cpu {
	void **_Atomic top[MAGAZINE_NR];
	void **_Atomic saved[MAGAZINE_NR]; /* of frozen ones */
	_Atomic uint32_t lock[MAGAZINE_NR];
};

#pragma GCC visibility push(hidden)
/* 0: hit paths miss, because the mode is that with locks or nothing has been made. */
extern ptrdiff_t magazine_rseq_offset;
/* By CPU number plus 2. */
extern struct magazine_cpu *magazine_table[OS_MAX_CPUS + 2];
#pragma GCC visibility pop

/* The newest object of this CPU's magazine, or NULL: empty, or for the slow path to
 * find out. */
static KMEM_ALWAYS_INLINE void *magazine_pop_hit(size_t id)
{
#if OS_PERCPU_RSEQ
	if (KMEM_UNLIKELY(magazine_rseq_offset == 0))
		return NULL;
	return rseq_magazine_pop(magazine_rseq_offset, &magazine_table[2], id);
#else
	(void)id;
	return NULL;
#endif
}

/* False where pop would be NULL, and when the magazine is full. */
static KMEM_ALWAYS_INLINE bool magazine_push_hit(size_t id, void *object)
{
#if OS_PERCPU_RSEQ
	if (KMEM_UNLIKELY(magazine_rseq_offset == 0))
		return false;
	return rseq_magazine_push(magazine_rseq_offset, &magazine_table[2], id, object);
#else
	(void)id, (void)object;
	return false;
#endif
}

/*
 * Makes magazines of `limit` objects each, 1 to PERCPU_LIMIT_MAX / 2: one for each CPU,
 * or with `least` above 0 two, which change places once `in` holds that many; without
 * MAGAZINE_TWO it is always one. Memory is touched only where CPUs use it. 0; -EINVAL;
 * -ENOMEM; -ENOSPC: all numbers are taken. Any thread may call.
 */
int magazine_create(struct magazines *m, uint32_t limit, uint32_t least);
/* They must be empty and unused, or their entries are forgotten. */
void magazine_destroy(struct magazines *m);

/* --- bounds that move: magazine_grow.c --- */

/* Before their first use: their limits may be raised up to max, at most PERCPU_LIMIT_MAX,
 * by doubling. 0; -EINVAL. */
int magazine_let_grow(const struct magazines *m, uint32_t max);
/*
 * That CPU's magazines as far as they are empty get this limit, or a power of two below;
 * a hint: without memory, in use or called from another CPU they stay as they are.
 */
void magazine_set_empty(const struct magazines *m, unsigned int cpu, uint32_t limit);
/* Doubles the limit of that CPU's `in` if it is full, has been enlarged by the function
 * before and stays within `limit`. False: it is as it was. */
bool magazine_raise_full(const struct magazines *m, unsigned int cpu, uint32_t limit);
/* The largest limit that a magazine of that CPU has; 0: it has none. Nobody else is using
 * them; the same holds for the check that all bounds are where they should be. */
uint32_t magazine_limit(const struct magazines *m, unsigned int cpu);
bool magazine_check(const struct magazines *m);

/* --- this CPU's; out of line, in both modes --- */

/* From `out`, newest first, then after a change of places from what was `in`; returns how
 * many, up to n. */
size_t magazine_pop_batch(const struct magazines *m, size_t n, void **objects);
/* From `in` alone, newest first: for a flush. */
size_t magazine_take_batch(const struct magazines *m, size_t n, void **objects);
/* Onto `out`, objects[0] first: for a refill. Returns how many fitted. */
size_t magazine_fill_batch(const struct magazines *m, size_t n, void *const *objects);
/* Onto `in`, objects[0] first: for frees. */
size_t magazine_push_batch(const struct magazines *m, size_t n, void *const *objects);
/* One object, or NULL: `out` is empty, and `in` holds fewer than `least`. */
void *magazine_pop(const struct magazines *m);
/* The same for a slow path to begin with, given the number of `out`, after a miss; NULL
 * in the mode with locks. */
void *magazine_pop_exchanged(size_t out);
/* False: `in` is full. */
static inline bool magazine_push(const struct magazines *m, void *object)
{
	return magazine_push_batch(m, 1, &object) == 1;
}

/* --- all CPUs': as percpu_drain_all(), _freeze(), _thaw(), _count(), _walk() --- */
void magazine_drain_all(const struct magazines *m, bool quiescent,
			void (*fn)(void *object, void *arg), void *arg);
/* The same for one CPU's; not quiescent. */
void magazine_drain_cpu(const struct magazines *m, unsigned int cpu,
			void (*fn)(void *object, void *arg), void *arg);
/* Changes with every push and pop on that CPU, but may come back to what it was; 0 where
 * there has never been one. To be compared with itself only. */
uint64_t magazine_state(const struct magazines *m, unsigned int cpu);
bool magazine_freeze(const struct magazines *m);
void magazine_thaw(const struct magazines *m);
size_t magazine_count(const struct magazines *m);
void magazine_walk(const struct magazines *m, void (*fn)(void *object, void *arg),
		   void *arg);

/* Around fork(2), before the first magazine_freeze() and after the last _thaw(). */
void magazine_fork_lock(void);
void magazine_fork_unlock(void);

#endif /* KMEM_OS_MAGAZINE_FAST_H */
