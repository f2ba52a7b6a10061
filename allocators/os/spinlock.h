/* SPDX-License-Identifier: MIT */
/*
 * Spin locks for short critical sections.
 *
 * Test and test-and-set: a waiter reads its own copy of the line until the lock
 * looks free, and only then writes. A thread in user space can lose its CPU
 * while it holds a lock, so a waiter that has spun for a while sleeps
 * instead of burning its own. Giving a turn away would not do: a real-time thread does
 * not give way to the less urgent one that it has interrupted.
 *
 * Lock order of the library: see the theory comment of each allocator; a lock
 * of this file is never held across a call into a layer above.
 */
#ifndef KMEM_OS_SPINLOCK_H
#define KMEM_OS_SPINLOCK_H

#include <kmem/compiler.h>
#include <stdatomic.h>

/* Rounds of waiting before os_yield(): about the length of a critical section
 * that refills a per-CPU list, some microseconds. */
#define SPIN_ROUNDS 256

/* Lets others run whom one waits for; `turn` counts from 0. errno stays. */
void os_yield(unsigned int turn);

/* All-zero is unlocked. A line of its own: waiters must not slow the holder. */
struct kmem_spinlock {
	_Atomic uint32_t locked;
} KMEM_CACHELINE_ALIGNED;

static KMEM_ALWAYS_INLINE void spin_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ __volatile__("yield");
#endif
}

static inline void spin_lock_init(struct kmem_spinlock *lock)
{
	atomic_init(&lock->locked, 0);
}

/* One word as a lock; for locks that live inside another structure's line. */
static KMEM_ALWAYS_INLINE bool spin_word_trylock(_Atomic uint32_t *word)
{
	return atomic_exchange_explicit(word, 1, memory_order_acquire) == 0;
}

static inline void spin_word_lock(_Atomic uint32_t *word)
{
	unsigned int turn = 0;

	while (KMEM_UNLIKELY(!spin_word_trylock(word))) {
		unsigned int round = 0;

		while (atomic_load_explicit(word, memory_order_relaxed) != 0) {
			if (++round < SPIN_ROUNDS) {
				spin_pause();
			} else {
				os_yield(turn++);
				round = 0;
			}
		}
	}
}

static KMEM_ALWAYS_INLINE void spin_word_unlock(_Atomic uint32_t *word)
{
	atomic_store_explicit(word, 0, memory_order_release);
}

static inline void spin_lock(struct kmem_spinlock *lock)
{
	spin_word_lock(&lock->locked);
}

static KMEM_ALWAYS_INLINE bool spin_trylock(struct kmem_spinlock *lock)
{
	return spin_word_trylock(&lock->locked);
}

static KMEM_ALWAYS_INLINE void spin_unlock(struct kmem_spinlock *lock)
{
	spin_word_unlock(&lock->locked);
}

#endif /* KMEM_OS_SPINLOCK_H */
