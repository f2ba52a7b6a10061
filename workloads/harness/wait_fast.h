/* SPDX-License-Identifier: MIT */
/*
 * Waiting for another thread inside a step: spin for about a microsecond, then
 * offer the CPU at each turn, so that more threads than CPUs still get on.
 */
#ifndef KMEMBENCH_WAIT_FAST_H
#define KMEMBENCH_WAIT_FAST_H

#include <kmem/compiler.h>
#include <sched.h>

/* A pause takes 10 to 45 ns, by processor generation. */
#define WAIT_SPINS 64

static KMEM_ALWAYS_INLINE void wait_pause(unsigned int *turns)
{
	if (KMEM_LIKELY(*turns < WAIT_SPINS)) {
		++*turns;
#if defined(__x86_64__)
		__builtin_ia32_pause();
#elif defined(__aarch64__)
		__asm__ __volatile__("isb" ::: "memory");
#endif
	} else {
		sched_yield();
	}
}

#endif /* KMEMBENCH_WAIT_FAST_H */
