/* SPDX-License-Identifier: MIT */
/* What the files of the per-CPU stacks share; theory: percpu_fast.h. */
#ifndef KMEM_OS_PERCPU_INTERNAL_H
#define KMEM_OS_PERCPU_INTERNAL_H

#include "allocators/os/percpu_fast.h"
#include "allocators/os/spinlock.h"

/* Lock mode. */
static inline struct percpu_stack *percpu_lock_this_cpu(const struct percpu_stacks *s)
{
	struct percpu_stack *stack = percpu_stack_of(s, os_cpu_id());

	spin_word_lock(&stack->lock);
	return stack;
}

static inline uint64_t percpu_state_of(const struct percpu_stack *stack)
{
	return atomic_load_explicit(&stack->state, memory_order_relaxed);
}

static inline void percpu_set_state(struct percpu_stack *stack, uint64_t state)
{
	atomic_store_explicit(&stack->state, state, memory_order_relaxed);
}

/* What an entry taken adds to the state. */
#define PERCPU_POP_COUNTED \
	(((uint64_t)1 << PERCPU_POPS_SHIFT) - 1) /* pops + 1, avail - 1 */
#define PERCPU_POP_UNCOUNTED ((uint64_t)-1)	 /* avail - 1 */

#endif /* KMEM_OS_PERCPU_INTERNAL_H */
