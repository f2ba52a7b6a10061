/* SPDX-License-Identifier: MIT */
/* Per-CPU stacks: everything but the hit path, which is in percpu_fast.h. */
#include "allocators/os/percpu_stamped.h"
#include "allocators/os/os_cpu.h"
#include "allocators/os/percpu_area.h"
#include "allocators/os/percpu_internal.h"

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

void *percpu_pop_locked(const struct percpu_stacks *s)
{
	void *p = NULL;

	return percpu_pop_batch(s, 1, &p) == 1 ? p : NULL;
}

bool percpu_push_locked(const struct percpu_stacks *s, void *p)
{
	return percpu_push_batch(s, 1, &p) == 1;
}

static size_t push_batch_locked(const struct percpu_stacks *s, size_t n, void *const *in,
				ptrdiff_t step)
{
	struct percpu_stack *stack;
	uint64_t state;
	size_t avail;

	/* See pop_batch_locked(). */
	if (s->limit == 0)
		return 0;
	stack = percpu_lock_this_cpu(s);
	state = percpu_state_of(stack);
	avail = state & PERCPU_AVAIL_MASK;
	if (n > s->limit - avail)
		n = s->limit - avail;
	for (size_t i = 0; i < n; i++)
		stack->slot[avail + i] = in[step * (ptrdiff_t)i];
	percpu_set_state(stack, state + n);
	spin_word_unlock(&stack->lock);
	return n;
}

/* --- batches --- */

size_t percpu_pop_batch(const struct percpu_stacks *s, size_t n, void **out)
{
	void *const *slot;

	return percpu_pop_batch_slot(s, n, out, &slot);
}

size_t percpu_take_batch(const struct percpu_stacks *s, size_t n, void **out)
{
	void *const *slot;

	return percpu_take_batch_slot(s, n, out, &slot);
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

static void hand_over(struct percpu_stack *stack, uint64_t state, percpu_slot_fn fn,
		      void *arg)
{
	size_t avail = state & PERCPU_AVAIL_MASK;

	while (avail-- > 0)
		fn(stack->slot[avail], &stack->slot[avail], arg);
}

/* Receivers that do not ask where an entry stood. */
struct without_slot {
	void (*fn)(void *entry, void *arg);
	void *arg;
};

static void leave_slot_out(void *entry, void *const *slot, void *arg)
{
	const struct without_slot *w = arg;

	(void)slot;
	w->fn(entry, w->arg);
}

/* The state of an emptied stack. */
static uint64_t emptied(uint64_t state)
{
	return state & ~PERCPU_AVAIL_MASK;
}

static void drain_locked(const struct percpu_stacks *s, unsigned int cpu,
			 percpu_slot_fn fn, void *arg)
{
	struct percpu_stack *stack = percpu_stack_of(s, cpu);
	uint64_t state;

	if ((percpu_state_of(stack) & PERCPU_AVAIL_MASK) == 0)
		return;
	/* fn may end up here again: it runs on copies, outside the lock. */
	for (;;) {
		void *entries[64];
		size_t n, avail;

		spin_word_lock(&stack->lock);
		state = percpu_state_of(stack);
		avail = state & PERCPU_AVAIL_MASK;
		n = avail < KMEM_ARRAY_SIZE(entries) ? avail : KMEM_ARRAY_SIZE(entries);
		memcpy(entries, &stack->slot[avail - n], n * sizeof(entries[0]));
		percpu_set_state(stack, state - n);
		spin_word_unlock(&stack->lock);
		for (size_t i = n; i-- > 0;)
			fn(entries[i], &stack->slot[avail - n + i], arg);
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
		uint64_t old = percpu_state_of(stack);

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

static void drain_rseq(const struct percpu_stacks *s, unsigned int cpu, percpu_slot_fn fn,
		       void *arg)
{
	struct percpu_stack *stack = percpu_stack_of(s, cpu);
	uint64_t state;

	if (!stop_stack(stack, &state))
		return;
	hand_over(stack, state, fn, arg);
	atomic_store_explicit(&stack->state, emptied(state), memory_order_release);
}
#endif

static void drain_cpu(const struct percpu_stacks *s, unsigned int cpu, percpu_slot_fn fn,
		      void *arg)
{
#if OS_PERCPU_RSEQ
	if (os_percpu_use_rseq) {
		drain_rseq(s, cpu, fn, arg);
		return;
	}
#endif
	drain_locked(s, cpu, fn, arg);
}

void percpu_drain_cpu(const struct percpu_stacks *s, unsigned int cpu,
		      void (*fn)(void *entry, void *arg), void *arg)
{
	struct without_slot w = {fn, arg};

	drain_cpu(s, cpu, leave_slot_out, &w);
}

void percpu_drain_slots(const struct percpu_stacks *s, percpu_slot_fn fn, void *arg)
{
	for (unsigned int cpu = 0; cpu < s->nr_cpus; cpu++)
		drain_cpu(s, cpu, fn, arg);
}

void percpu_drain_all(const struct percpu_stacks *s, bool quiescent,
		      void (*fn)(void *entry, void *arg), void *arg)
{
	struct without_slot w = {fn, arg};

	for (unsigned int cpu = 0; cpu < s->nr_cpus; cpu++) {
		if (quiescent) {
			struct percpu_stack *stack = percpu_stack_of(s, cpu);
			uint64_t state = percpu_state_of(stack);

			if ((state & PERCPU_AVAIL_MASK) == 0)
				continue; /* do not write where nobody has been */
			percpu_set_state(stack, emptied(state));
			hand_over(stack, state, leave_slot_out, &w);
			continue;
		}
		drain_cpu(s, cpu, leave_slot_out, &w);
	}
}

/* --- fork --- */

/* No drainer's mark: their tickets count up from 0. */
#define FROZEN UINT64_MAX

/* Puts our mark on a stack; false when it stood there already. */
static bool freeze_one(struct percpu_stack *stack)
{
	for (unsigned int turn = 0;;) {
		uint64_t old = percpu_state_of(stack);

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
		} else if (percpu_state_of(stack) == FROZEN) {
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
		uint64_t state = percpu_state_of(percpu_stack_of(s, cpu));

		if (!is_stopped(state))
			count += state & PERCPU_AVAIL_MASK;
	}
	return count;
}

uint64_t percpu_pops(const struct percpu_stacks *s, unsigned int cpu)
{
	const struct percpu_stack *stack = percpu_stack_of(s, cpu);
	uint64_t state = percpu_state_of(stack);
	unsigned int turn = 0;

	while (is_stopped(state)) {
		os_yield(turn++); /* a drainer keeps the count meanwhile */
		state = percpu_state_of(stack);
	}
	return state >> PERCPU_POPS_SHIFT;
}

void percpu_walk_slots(const struct percpu_stacks *s, percpu_slot_fn fn, void *arg)
{
	for (unsigned int cpu = 0; cpu < s->nr_cpus; cpu++) {
		struct percpu_stack *stack = percpu_stack_of(s, cpu);

		hand_over(stack, percpu_state_of(stack), fn, arg);
	}
}

void percpu_walk(const struct percpu_stacks *s, void (*fn)(void *entry, void *arg),
		 void *arg)
{
	struct without_slot w = {fn, arg};

	percpu_walk_slots(s, leave_slot_out, &w);
}
