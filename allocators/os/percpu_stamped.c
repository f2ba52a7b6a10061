/* SPDX-License-Identifier: MIT */
/* Per-CPU stacks of entries that say where they stand: all but the hit path, which is in
 * percpu_stamped.h. */
#include "allocators/os/percpu_stamped.h"
#include "allocators/os/percpu_internal.h"

static _Atomic uint64_t *state_word(void *entry)
{
	return entry;
}

/* --- lock mode --- */

/* per_entry is what one pop adds to the state. */
static size_t pop_batch_locked(const struct percpu_stacks *s, size_t n, void **out,
			       uint64_t per_entry, void *const **slot)
{
	struct percpu_stack *stack;
	uint64_t state;
	size_t avail;

	*slot = NULL;
	/* Room for nothing. Several may share such a stack, and no fork handler takes its
	 * lock: a child could find it taken by a thread that it does not have. */
	if (s->limit == 0)
		return 0;
	stack = percpu_lock_this_cpu(s);
	state = percpu_state_of(stack);
	avail = state & PERCPU_AVAIL_MASK;
	if (n > avail)
		n = avail;
	for (size_t i = 0; i < n; i++)
		out[i] = stack->slot[avail - 1 - i];
	if (n != 0)
		*slot = &stack->slot[avail - 1];
	percpu_set_state(stack, state + n * per_entry);
	spin_word_unlock(&stack->lock);
	return n;
}

void *percpu_pop_slot_locked(const struct percpu_stacks *s, void *const **slot)
{
	void *p = NULL;

	return pop_batch_locked(s, 1, &p, PERCPU_POP_COUNTED, slot) == 1 ? p : NULL;
}

bool percpu_push_stamped_locked(const struct percpu_stacks *s, void *p, uint64_t from)
{
	struct percpu_stack *stack;
	uint64_t state;
	size_t avail;
	bool done = false;

	if (s->limit == 0)
		return false;
	stack = percpu_lock_this_cpu(s);
	state = percpu_state_of(stack);
	avail = state & PERCPU_AVAIL_MASK;
	if (avail < s->limit &&
	    atomic_compare_exchange_strong(state_word(p), &from,
					   percpu_stamp(&stack->slot[avail], from))) {
		stack->slot[avail] = p;
		percpu_set_state(stack, state + 1);
		done = true;
	}
	spin_word_unlock(&stack->lock);
	return done;
}

/* --- batches --- */

static size_t pop_batch(const struct percpu_stacks *s, size_t n, void **out,
			uint64_t per_entry, void *const **slot)
{
#if OS_PERCPU_RSEQ
	if (KMEM_LIKELY(os_percpu_use_rseq))
		return rseq_pop_batch(s, n, out, per_entry, slot);
#endif
	return pop_batch_locked(s, n, out, per_entry, slot);
}

size_t percpu_pop_batch_slot(const struct percpu_stacks *s, size_t n, void **out,
			     void *const **slot)
{
	return pop_batch(s, n, out, PERCPU_POP_COUNTED, slot);
}

size_t percpu_take_batch_slot(const struct percpu_stacks *s, size_t n, void **out,
			      void *const **slot)
{
	return pop_batch(s, n, out, PERCPU_POP_UNCOUNTED, slot);
}
