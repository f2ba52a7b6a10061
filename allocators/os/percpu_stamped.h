/* SPDX-License-Identifier: MIT */
/*
 * Per-CPU stacks of entries that say where they stand: one look tells an entry that has
 * got onto two stacks.
 *
 * THEORY. The first word of an entry is its state, written by whoever has it. Pushing
 * an entry looks whether the state is the one expected, and replaces it by a stamp: the
 * address of the slot that the entry stands in, and the state expected, of which bit 0
 * becomes bit 2. Look, stamp and push are one restartable sequence, without a locked
 * instruction. Whoever takes an entry from a slot, by whichever way, compares the state
 * with the stamp of that slot.
 *
 *   63                    32 31                   2 1 0
 *   | slot address          | rest of the state  |1|0|0|
 *     bits 3 to 34, plus the state's
 *
 * What is promised. A slot has one entry, and an entry one state; so of all slots that
 * an entry stands in, one at most has its stamp. Two that push the same entry:
 * - one after the other, or on the same CPU: the second finds a stamp, and is refused;
 * - at once, on two CPUs, so that both look before either stamps: there are two entries,
 *   but the later stamp is left. Who takes the other entry, finds out. An entry that
 *   has become invalid stays so, for nobody stamps it without pushing it anew.
 * The sequence is restarted when its thread loses the CPU, so between look and stamp lie
 * a few instructions and the way of a cache line, some 100 ns. If within this time the
 * first to stamp has his entry taken and used for something else, the second stamp falls
 * upon that: as if the second push had come later, when nobody can tell it from a right
 * one. A compare-and-swap has this, too; but one thing it would refuse: that the state
 * has become one that is not expected. So who takes an entry off the stacks for good,
 * into a place where its state is not looked at any more, should give the others this
 * time; percpu_drain_slots(), which restarts all sequences first, does exactly.
 *
 * An attempt that is interrupted between stamp and push leaves its stamp behind, and
 * finds it there: `left` says so. It may also be the stamp of another that
 * has pushed the entry on that CPU meanwhile, into the same slot. So nobody goes on from
 * there: the state is swapped back from `left` to what was expected, and the attempt
 * repeated; an entry that had that stamp is invalid then.
 *
 * With locks (percpu_fast.h) look and stamp are one compare-and-swap.
 */
#ifndef KMEM_OS_PERCPU_STAMPED_H
#define KMEM_OS_PERCPU_STAMPED_H

#include "allocators/os/percpu_fast.h"

/* The state of an entry in a slot that was `from` before: bit 0 set, bits 1 and 2 clear.
 */
static KMEM_ALWAYS_INLINE uint64_t percpu_stamp(void *const *slot, uint64_t from)
{
	return ((uint64_t)(uintptr_t)slot << PERCPU_STAMP_SHIFT) + from +
	       PERCPU_STAMP_ADDS;
}

/* percpu_stamp(slot, from->state). */
static KMEM_ALWAYS_INLINE uint64_t percpu_slot_stamp(void *const *slot,
						     const struct percpu_from *from)
{
	return ((uint64_t)(uintptr_t)slot << PERCPU_STAMP_SHIFT) + from->stamp;
}

void *percpu_pop_slot_locked(const struct percpu_stacks *s, void *const **slot);
bool percpu_push_stamped_locked(const struct percpu_stacks *s, void *p, uint64_t from);

/* As percpu_try_pop(). *slot: where the entry stood. */
static KMEM_ALWAYS_INLINE void *percpu_try_pop_slot(const struct percpu_stacks *s,
						    void *const **slot)
{
#if OS_PERCPU_RSEQ
	return rseq_pop_slot(s, slot);
#else
	(void)s;
	*slot = NULL;
	return NULL;
#endif
}

/* As percpu_try_push(): false also where the entry's state is not from->state. *left: the
 * stamp that the attempt may have left behind, or 0. */
static KMEM_ALWAYS_INLINE bool percpu_try_push_stamped(const struct percpu_stacks *s,
						       void *p,
						       const struct percpu_from *from,
						       uint64_t *left)
{
#if OS_PERCPU_RSEQ
	return rseq_push_stamped(s, p, from, left);
#else
	(void)s, (void)p, (void)from;
	*left = 0;
	return false;
#endif
}

/* In either mode. */
static inline void *percpu_pop_slot(const struct percpu_stacks *s, void *const **slot)
{
	return os_percpu_lockless() ? percpu_try_pop_slot(s, slot)
				    : percpu_pop_slot_locked(s, slot);
}

static inline bool percpu_push_stamped(const struct percpu_stacks *s, void *p,
				       uint64_t from, uint64_t *left)
{
	struct percpu_from known = PERCPU_FROM(from);

	if (os_percpu_lockless())
		return percpu_try_push_stamped(s, p, &known, left);
	*left = 0;
	return percpu_push_stamped_locked(s, p, from);
}

/* As percpu_pop_batch() and percpu_take_batch(). *slot: where out[0] stood; out[i] stood
 * i slots below. */
size_t percpu_pop_batch_slot(const struct percpu_stacks *s, size_t n, void **out,
			     void *const **slot);
size_t percpu_take_batch_slot(const struct percpu_stacks *s, size_t n, void **out,
			      void *const **slot);

#endif /* KMEM_OS_PERCPU_STAMPED_H */
