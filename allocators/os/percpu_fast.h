/* SPDX-License-Identifier: MIT */
/*
 * Per-CPU stacks of pointers: the hit path of every per-CPU cache.
 *
 * THEORY. One bounded stack per CPU. A thread pushes to and pops from the stack
 * of the CPU on which it happens to run. With restartable sequences (rseq(2),
 * Linux 4.18, registered by glibc 2.35 and later) both are a handful of plain
 * instructions: the kernel restarts the sequence when the thread is preempted,
 * migrated or signalled in the middle, so no other thread can have seen half of
 * it. Each sequence ends in the one store that makes it happen (to `state`).
 * Where rseq is missing (architectures other than x86-64 and aarch64, valgrind, a
 * kernel before 5.10, a C library that registers none) or invisible to the tool at
 * hand (ThreadSanitizer and AddressSanitizer do not see stores made in assembly), a
 * spin lock per CPU protects the same structure. The sequences themselves are in
 * rseq_x86_64.h and rseq_aarch64.h.
 *
 * One stack. The next CPU's lies PERCPU_AREA_BYTES further on; the stacks of
 * one CPU are packed into its area one after another, so that their hot words
 * spread over the sets of its first-level cache:
 *
 *   0               8      12       16
 *   | pops | avail | lock or saved | slot[0] | slot[1] | ... | slot[limit-1] |
 *   63   16 15    0
 *
 * `avail` is the number of entries. `pops` counts the entries taken by
 * percpu_pop() and percpu_pop_batch() since the start, modulo 2^48, in the same
 * store: statistics of hits cost nothing. All-zero is a valid empty stack, so a
 * CPU that never runs us never has its area touched.
 *
 * DRAINING. A stack of another CPU is emptied without going there: its state is
 * replaced by one whose `avail` is PERCPU_STOPPED, which both sequences refuse
 * (pop as empty, push as full); membarrier(2) then restarts every sequence
 * that had read the old state; if our mark still stands, nobody can change the
 * stack any more and its entries are ours. If a sequence committed over the
 * mark, the attempt is repeated.
 *
 * UNLOADING. A thread keeps the address of its last sequence's descriptor, and the
 * kernel reads it at the thread's next preemption, however much later: where the
 * library has been unmapped by then, the process dies of SIGSEGV. So a shared object
 * with these sequences must be linked with `-z nodelete`.
 *
 * The mode is chosen once, at start, for the whole process (os_percpu_use_rseq);
 * KMEM_PERCPU=lock in the environment forces locks.
 */
#ifndef KMEM_OS_PERCPU_FAST_H
#define KMEM_OS_PERCPU_FAST_H

#include "allocators/os/percpu_types.h"
#include "allocators/os/rseq_aarch64.h"
#include "allocators/os/rseq_x86_64.h"

/* Runs before main, and again harmlessly whenever someone needs it earlier. */
void os_cpu_init(void);

/* Number of possible CPUs: ids run from 0 to this - 1. */
unsigned int os_nr_cpus(void);

/* The CPU the calling thread ran on a moment ago; below os_nr_cpus(). */
unsigned int os_cpu_id_slow(void);

static KMEM_ALWAYS_INLINE bool os_percpu_lockless(void)
{
#if OS_PERCPU_RSEQ
	return KMEM_LIKELY(os_percpu_use_rseq);
#else
	return false;
#endif
}

/* The same as os_cpu_id_slow(), where os_percpu_lockless(). */
static KMEM_ALWAYS_INLINE unsigned int os_cpu_id_lockless(void)
{
#if OS_PERCPU_RSEQ
	return rseq_cpu_id_start();
#else
	return 0;
#endif
}

static KMEM_ALWAYS_INLINE unsigned int os_cpu_id(void)
{
	return os_percpu_lockless() ? os_cpu_id_lockless() : os_cpu_id_slow();
}

/*
 * Allocates the stacks, each with room for `limit` pointers, 1 to
 * PERCPU_LIMIT_MAX. Memory comes from mmap and is touched only where CPUs use
 * it. 0, -EINVAL or -ENOMEM. Any thread may call, for different stacks.
 */
int percpu_stacks_init(struct percpu_stacks *s, uint32_t limit);
/* The stacks must be empty and unused, or their entries are forgotten. */
void percpu_stacks_destroy(struct percpu_stacks *s);

static inline struct percpu_stack *percpu_stack_of(const struct percpu_stacks *s,
						   unsigned int cpu)
{
	return (struct percpu_stack *)(s->base + ((size_t)cpu << PERCPU_AREA_SHIFT));
}

/* Lock-mode versions, out of line. */
void *percpu_pop_locked(const struct percpu_stacks *s);
bool percpu_push_locked(const struct percpu_stacks *s, void *p);

/*
 * For hit paths that want to stay free of calls and checks: they leave everything
 * but a hit to their slow path. In lock mode the sequence runs on an area with an
 * impossible CPU number and always fails: see os_rseq_offset.
 */
static KMEM_ALWAYS_INLINE void *percpu_try_pop(const struct percpu_stacks *s)
{
#if OS_PERCPU_RSEQ
	return rseq_pop(s);
#else
	(void)s;
	return NULL;
#endif
}

static KMEM_ALWAYS_INLINE bool percpu_try_push(const struct percpu_stacks *s, void *p)
{
#if OS_PERCPU_RSEQ
	return rseq_push(s, p);
#else
	(void)s, (void)p;
	return false;
#endif
}

/* Takes the newest entry of this CPU's stack; NULL when it is empty. */
static KMEM_ALWAYS_INLINE void *percpu_pop(const struct percpu_stacks *s)
{
#if OS_PERCPU_RSEQ
	if (KMEM_LIKELY(os_percpu_use_rseq))
		return rseq_pop(s);
#endif
	return percpu_pop_locked(s);
}

/* Puts p on this CPU's stack; false when it is full. */
static KMEM_ALWAYS_INLINE bool percpu_push(const struct percpu_stacks *s, void *p)
{
#if OS_PERCPU_RSEQ
	if (KMEM_LIKELY(os_percpu_use_rseq))
		return rseq_push(s, p);
#endif
	return percpu_push_locked(s, p);
}

/* Pops up to n entries, newest first; returns how many. */
size_t percpu_pop_batch(const struct percpu_stacks *s, size_t n, void **out);
/* The same for a flush: the entries do not count as pops. */
size_t percpu_take_batch(const struct percpu_stacks *s, size_t n, void **out);
/* Pushes up to n entries, in[0] first; returns how many fitted. */
size_t percpu_push_batch(const struct percpu_stacks *s, size_t n, void *const *in);

/* The same in the other direction: in[n - 1] first. What did not fit is in[0] onwards. */
size_t percpu_push_batch_down(const struct percpu_stacks *s, size_t n, void *const *in);

/* A counter that each CPU adds to on its own, for statistics. All-zero: none. */
struct percpu_counter {
	struct percpu_stacks words; /* limit 0; `state` is the count */
};
int percpu_counter_init(struct percpu_counter *c);
void percpu_counter_destroy(struct percpu_counter *c);
void percpu_counter_add(const struct percpu_counter *c, uint64_t n);
/* Of all CPUs; what is being added meanwhile may be missed. */
uint64_t percpu_counter_sum(const struct percpu_counter *c);

/*
 * Hands every entry of every CPU's stack to fn; they do not count as pops.
 * Others may be pushing and popping at the same time: until a stack has been
 * emptied they find it empty and full at once. fn may use other stacks. With
 * `quiescent` no other thread is using these and they are simply read.
 */
void percpu_drain_all(const struct percpu_stacks *s, bool quiescent,
		      void (*fn)(void *entry, void *arg), void *arg);

/* An entry, and where it stands or stood. */
typedef void (*percpu_slot_fn)(void *entry, void *const *slot, void *arg);
/* The same, never quiescent. */
void percpu_drain_slots(const struct percpu_stacks *s, percpu_slot_fn fn, void *arg);

/* The same for one CPU's stack; never quiescent. */
void percpu_drain_cpu(const struct percpu_stacks *s, unsigned int cpu,
		      void (*fn)(void *entry, void *arg), void *arg);

/*
 * For fork(2): keeps every thread from changing the stacks until percpu_thaw(), so that
 * a child's copy of them, which the system takes page by page while other threads
 * run, is whole. Meanwhile they are found empty and full at once. In rseq mode one
 * call only asks for it: repeat { percpu_freeze() of all stacks; if all returned true,
 * done; os_restart_sequences(); }. No lock may be held that a drain in progress needs.
 */
bool percpu_freeze(const struct percpu_stacks *s);
void percpu_thaw(const struct percpu_stacks *s);

/* Entries on all stacks together; exact only when quiescent. */
size_t percpu_count(const struct percpu_stacks *s);

/* Entries that percpu_pop() and percpu_pop_batch() took on one CPU, modulo 2^48. */
uint64_t percpu_pops(const struct percpu_stacks *s, unsigned int cpu);

/* A word that every push and pop on that CPU changes, 0 where there has never been one;
 * to be compared with itself only. */
static inline uint64_t percpu_state(const struct percpu_stacks *s, unsigned int cpu)
{
	return atomic_load_explicit(&percpu_stack_of(s, cpu)->state,
				    memory_order_relaxed);
}

/* Calls fn for each entry of a quiescent set of stacks, and leaves them there. */
void percpu_walk(const struct percpu_stacks *s, void (*fn)(void *entry, void *arg),
		 void *arg);
void percpu_walk_slots(const struct percpu_stacks *s, percpu_slot_fn fn, void *arg);

#endif /* KMEM_OS_PERCPU_FAST_H */
