/* SPDX-License-Identifier: MIT */
/* Per-CPU stacks: everything but the hit path, which is in percpu_fast.h. */
#include "allocators/os/percpu_fast.h"
#include "allocators/os/os_cpu.h"
#include "allocators/os/percpu_area.h"
#include "allocators/os/spinlock.h"

#include <errno.h>
#include <string.h>

static size_t stack_bytes(uint32_t limit)
{
	return sizeof(struct percpu_stack) + (size_t)limit * sizeof(void *);
}

int percpu_stacks_init(struct percpu_stacks *s, uint32_t limit)
{
	char *base;

	if (limit == 0 || limit > PERCPU_LIMIT_MAX)
		return -EINVAL;
	os_cpu_init();
	base = percpu_area_alloc(stack_bytes(limit), sizeof(struct percpu_stack));
	if (base == NULL)
		return -ENOMEM;
	*s = (struct percpu_stacks){
		.base = base, .limit = limit, .nr_cpus = os_nr_cpus()};
	return 0;
}

void percpu_stacks_destroy(struct percpu_stacks *s)
{
	if (s->base != NULL)
		percpu_area_free(s->base, stack_bytes(s->limit));
	*s = (struct percpu_stacks){.base = NULL};
}

/* --- lock mode --- */

static struct percpu_stack *lock_this_cpu(const struct percpu_stacks *s)
{
	struct percpu_stack *stack = percpu_stack_of(s, os_cpu_id());

	spin_word_lock(&stack->lock);
	return stack;
}

static uint64_t state_of(const struct percpu_stack *stack)
{
	return atomic_load_explicit(&stack->state, memory_order_relaxed);
}

static void set_state(struct percpu_stack *stack, uint64_t state)
{
	atomic_store_explicit(&stack->state, state, memory_order_relaxed);
}

void *percpu_pop_locked(const struct percpu_stacks *s)
{
	void *p = NULL;

	return percpu_pop_batch(s, 1, &p) == 1 ? p : NULL;
}

bool percpu_push_locked(const struct percpu_stacks *s, void *p)
{
	return percpu_push_batch(s, 1, &p) == 1;
}

/* per_entry is what one pop adds to the state. */
static size_t pop_batch_locked(const struct percpu_stacks *s, size_t n, void **out,
			       uint64_t per_entry)
{
	struct percpu_stack *stack;
	uint64_t state;
	size_t avail;

	/* Room for nothing. Several may share such a stack, and no fork handler takes its
	 * lock: a child could find it taken by a thread that it does not have. */
	if (s->limit == 0)
		return 0;
	stack = lock_this_cpu(s);
	state = state_of(stack);
	avail = state & PERCPU_AVAIL_MASK;
	if (n > avail)
		n = avail;
	for (size_t i = 0; i < n; i++)
		out[i] = stack->slot[avail - 1 - i];
	set_state(stack, state + n * per_entry);
	spin_word_unlock(&stack->lock);
	return n;
}

static size_t push_batch_locked(const struct percpu_stacks *s, size_t n, void *const *in,
				ptrdiff_t step)
{
	struct percpu_stack *stack;
	uint64_t state;
	size_t avail;

	if (s->limit == 0)
		return 0;
	stack = lock_this_cpu(s);
	state = state_of(stack);
	avail = state & PERCPU_AVAIL_MASK;
	if (n > s->limit - avail)
		n = s->limit - avail;
	for (size_t i = 0; i < n; i++)
		stack->slot[avail + i] = in[step * (ptrdiff_t)i];
	set_state(stack, state + n);
	spin_word_unlock(&stack->lock);
	return n;
}

/* --- batches --- */

#define POP_COUNTED   (((uint64_t)1 << PERCPU_POPS_SHIFT) - 1) /* pops + 1, avail - 1 */
#define POP_UNCOUNTED ((uint64_t)-1)			       /* avail - 1 */

static size_t pop_batch(const struct percpu_stacks *s, size_t n, void **out,
			uint64_t per_entry)
{
#if OS_PERCPU_RSEQ
	if (KMEM_LIKELY(os_percpu_use_rseq))
		return rseq_pop_batch(s, n, out, per_entry);
#endif
	return pop_batch_locked(s, n, out, per_entry);
}

size_t percpu_pop_batch(const struct percpu_stacks *s, size_t n, void **out)
{
	return pop_batch(s, n, out, POP_COUNTED);
}

size_t percpu_take_batch(const struct percpu_stacks *s, size_t n, void **out)
{
	return pop_batch(s, n, out, POP_UNCOUNTED);
}

static size_t push_batch(const struct percpu_stacks *s, size_t n, void *const *in,
			 ptrdiff_t step)
{
#if OS_PERCPU_RSEQ
	if (KMEM_LIKELY(os_percpu_use_rseq))
		return rseq_push_batch(s, n, in, step * (ptrdiff_t)sizeof(*in));
#endif
	return push_batch_locked(s, n, in, step);
}

size_t percpu_push_batch(const struct percpu_stacks *s, size_t n, void *const *in)
{
	return push_batch(s, n, in, 1);
}

size_t percpu_push_batch_down(const struct percpu_stacks *s, size_t n, void *const *in)
{
	return n == 0 ? 0 : push_batch(s, n, in + n - 1, -1);
}

/* --- counters --- */

#define COUNTER_BYTES sizeof(uint64_t)

int percpu_counter_init(struct percpu_counter *c)
{
	char *base = percpu_area_alloc(COUNTER_BYTES, COUNTER_BYTES);

	if (base == NULL)
		return -ENOMEM;
	c->words = (struct percpu_stacks){.base = base, .nr_cpus = os_nr_cpus()};
	return 0;
}

void percpu_counter_destroy(struct percpu_counter *c)
{
	percpu_area_free(c->words.base, COUNTER_BYTES);
	c->words = (struct percpu_stacks){.base = NULL};
}

void percpu_counter_add(const struct percpu_counter *c, uint64_t n)
{
#if OS_PERCPU_RSEQ
	/* The count stands where a stack has its state. */
	if (KMEM_LIKELY(os_percpu_use_rseq) && rseq_add(&c->words, n))
		return;
#endif
	/* Beside sequences only in a thread without them: an addition may be lost. */
	atomic_fetch_add_explicit(&percpu_stack_of(&c->words, os_cpu_id())->state, n,
				  memory_order_relaxed);
}

uint64_t percpu_counter_sum(const struct percpu_counter *c)
{
	uint64_t sum = 0;

	for (unsigned int cpu = 0; cpu < c->words.nr_cpus; cpu++)
		sum += atomic_load_explicit(&percpu_stack_of(&c->words, cpu)->state,
					    memory_order_relaxed);
	return sum;
}

/* --- all CPUs --- */

static bool is_stopped(uint64_t state)
{
	return (state & PERCPU_AVAIL_MASK) == PERCPU_STOPPED;
}

static void hand_over(struct percpu_stack *stack, uint64_t state,
		      void (*fn)(void *entry, void *arg), void *arg)
{
	size_t avail = state & PERCPU_AVAIL_MASK;

	while (avail > 0)
		fn(stack->slot[--avail], arg);
}

/* The state of an emptied stack. */
static uint64_t emptied(uint64_t state)
{
	return state & ~PERCPU_AVAIL_MASK;
}

static void drain_locked(const struct percpu_stacks *s, unsigned int cpu,
			 void (*fn)(void *entry, void *arg), void *arg)
{
	struct percpu_stack *stack = percpu_stack_of(s, cpu);
	uint64_t state;

	if ((state_of(stack) & PERCPU_AVAIL_MASK) == 0)
		return;
	/* fn may end up here again: it runs on copies, outside the lock. */
	for (;;) {
		void *entries[64];
		size_t n, avail;

		spin_word_lock(&stack->lock);
		state = state_of(stack);
		avail = state & PERCPU_AVAIL_MASK;
		n = avail < KMEM_ARRAY_SIZE(entries) ? avail : KMEM_ARRAY_SIZE(entries);
		memcpy(entries, &stack->slot[avail - n], n * sizeof(entries[0]));
		set_state(stack, state - n);
		spin_word_unlock(&stack->lock);
		while (n > 0)
			fn(entries[--n], arg);
		if (avail <= KMEM_ARRAY_SIZE(entries))
			return;
	}
}

#if OS_PERCPU_RSEQ
/*
 * Takes one CPU's stack away from its users. The mark is unique, so that a
 * second drainer's mark is never taken for ours. Returns false when there is
 * nothing to take or another drainer has the stack.
 */
static bool stop_stack(struct percpu_stack *stack, uint64_t *state)
{
	static _Atomic uint64_t tickets;
	uint64_t ticket = atomic_fetch_add_explicit(&tickets, 1, memory_order_relaxed);
	uint64_t mark = ticket << PERCPU_POPS_SHIFT | PERCPU_STOPPED;

	for (;;) {
		uint64_t old = state_of(stack);

		if (is_stopped(old) || (old & PERCPU_AVAIL_MASK) == 0)
			return false;
		if (!atomic_compare_exchange_strong(&stack->state, &old, mark))
			continue;
		if (!os_restart_sequences()) {
			/* The entries stay where they are: what a sequence makes of the
			 * old state is right whether our mark has been there or not. */
			atomic_compare_exchange_strong(&stack->state, &mark, old);
			return false;
		}
		if (atomic_load(&stack->state) == mark) {
			*state = old;
			return true;
		}
		/* A sequence that had begun before committed over the mark. */
	}
}

static void drain_rseq(const struct percpu_stacks *s, unsigned int cpu,
		       void (*fn)(void *entry, void *arg), void *arg)
{
	struct percpu_stack *stack = percpu_stack_of(s, cpu);
	uint64_t state;

	if (!stop_stack(stack, &state))
		return;
	hand_over(stack, state, fn, arg);
	atomic_store_explicit(&stack->state, emptied(state), memory_order_release);
}
#endif

void percpu_drain_cpu(const struct percpu_stacks *s, unsigned int cpu,
		      void (*fn)(void *entry, void *arg), void *arg)
{
#if OS_PERCPU_RSEQ
	if (os_percpu_use_rseq) {
		drain_rseq(s, cpu, fn, arg);
		return;
	}
#endif
	drain_locked(s, cpu, fn, arg);
}

void percpu_drain_all(const struct percpu_stacks *s, bool quiescent,
		      void (*fn)(void *entry, void *arg), void *arg)
{
	for (unsigned int cpu = 0; cpu < s->nr_cpus; cpu++) {
		if (quiescent) {
			struct percpu_stack *stack = percpu_stack_of(s, cpu);
			uint64_t state = state_of(stack);

			if ((state & PERCPU_AVAIL_MASK) == 0)
				continue; /* do not write where nobody has been */
			set_state(stack, emptied(state));
			hand_over(stack, state, fn, arg);
			continue;
		}
		percpu_drain_cpu(s, cpu, fn, arg);
	}
}

/* --- fork --- */

/* No drainer's mark: their tickets count up from 0. */
#define FROZEN UINT64_MAX

/* Puts our mark on a stack; false when it stood there already. */
static bool freeze_one(struct percpu_stack *stack)
{
	for (unsigned int turn = 0;;) {
		uint64_t old = state_of(stack);

		if (old == FROZEN)
			return false;
		if (is_stopped(old)) {
			os_yield(turn++); /* a drainer has it, and gives it back */
			continue;
		}
		if (atomic_compare_exchange_strong(&stack->state, &old, FROZEN)) {
			atomic_store_explicit(&stack->saved, old, memory_order_relaxed);
			return true;
		}
	}
}

bool percpu_freeze(const struct percpu_stacks *s)
{
	bool all = true;

	for (unsigned int cpu = 0; cpu < s->nr_cpus; cpu++) {
		struct percpu_stack *stack = percpu_stack_of(s, cpu);

		if (!os_percpu_lockless())
			spin_word_lock(&stack->lock);
		else if (freeze_one(stack))
			all = false;
	}
	return all;
}

void percpu_thaw(const struct percpu_stacks *s)
{
	for (unsigned int cpu = 0; cpu < s->nr_cpus; cpu++) {
		struct percpu_stack *stack = percpu_stack_of(s, cpu);

		if (!os_percpu_lockless()) {
			spin_word_unlock(&stack->lock);
		} else if (state_of(stack) == FROZEN) {
			uint64_t saved = atomic_exchange_explicit(&stack->saved, 0,
								  memory_order_relaxed);

			atomic_store_explicit(&stack->state, saved, memory_order_release);
		}
	}
}

size_t percpu_count(const struct percpu_stacks *s)
{
	size_t count = 0;

	for (unsigned int cpu = 0; cpu < s->nr_cpus; cpu++) {
		uint64_t state = state_of(percpu_stack_of(s, cpu));

		if (!is_stopped(state))
			count += state & PERCPU_AVAIL_MASK;
	}
	return count;
}

uint64_t percpu_pops(const struct percpu_stacks *s, unsigned int cpu)
{
	const struct percpu_stack *stack = percpu_stack_of(s, cpu);
	uint64_t state = state_of(stack);
	unsigned int turn = 0;

	while (is_stopped(state)) {
		os_yield(turn++); /* a drainer keeps the count meanwhile */
		state = state_of(stack);
	}
	return state >> PERCPU_POPS_SHIFT;
}

void percpu_walk(const struct percpu_stacks *s, void (*fn)(void *entry, void *arg),
		 void *arg)
{
	for (unsigned int cpu = 0; cpu < s->nr_cpus; cpu++) {
		struct percpu_stack *stack = percpu_stack_of(s, cpu);

		hand_over(stack, state_of(stack), fn, arg);
	}
}
