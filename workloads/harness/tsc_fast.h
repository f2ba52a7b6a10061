/* SPDX-License-Identifier: MIT */
/*
 * The clock of the latency pass: the processor's own counter, read so that the
 * operation between two readings can neither leak out nor start early.
 *
 * x86-64: lfence; rdtsc before, rdtscp; lfence after. aarch64: isb; cntvct_el0.
 * tsc_calibrate() measures ticks per nanosecond against CLOCK_MONOTONIC_RAW and
 * the cost of an empty pair, which is subtracted from every sample.
 */
#ifndef KMEMBENCH_TSC_FAST_H
#define KMEMBENCH_TSC_FAST_H

#include <kmem/compiler.h>

static KMEM_ALWAYS_INLINE uint64_t tsc_begin(void)
{
#if defined(__x86_64__)
	uint32_t lo, hi;
	__asm__ __volatile__("lfence\n\trdtsc" : "=a"(lo), "=d"(hi)::"memory");
	return (uint64_t)hi << 32 | lo;
#elif defined(__aarch64__)
	uint64_t t;
	__asm__ __volatile__("isb\n\tmrs %0, cntvct_el0" : "=r"(t)::"memory");
	return t;
#else
#error "no cycle counter known for this architecture"
#endif
}

static KMEM_ALWAYS_INLINE uint64_t tsc_end(void)
{
#if defined(__x86_64__)
	uint32_t lo, hi;
	__asm__ __volatile__("rdtscp\n\tlfence" : "=a"(lo), "=d"(hi)::"rcx", "memory");
	return (uint64_t)hi << 32 | lo;
#else
	return tsc_begin();
#endif
}

/* Without waiting for what goes before, and without keeping back what follows. */
static KMEM_ALWAYS_INLINE uint64_t tsc_now(void)
{
#if defined(__x86_64__)
	uint32_t lo, hi;
	__asm__ __volatile__("rdtsc" : "=a"(lo), "=d"(hi));
	return (uint64_t)hi << 32 | lo;
#else
	uint64_t t;
	__asm__ __volatile__("mrs %0, cntvct_el0" : "=r"(t));
	return t;
#endif
}

struct tsc_clock {
	double ns_per_tick;
	uint64_t pair_ticks; /* median cost of tsc_begin(); tsc_end() with nothing between
			      */
	/* Steps in which the counter advances: 1 on most machines, 10 ns worth on some. A
	 * single sample says no more than that. */
	uint64_t granularity_ticks;
};

/* The counter and the system's clock (CLOCK_MONOTONIC_RAW) at the same moment. */
struct tsc_instant {
	uint64_t ticks, ns;
};
struct tsc_instant tsc_instant_now(void);

/* Takes what is left of 10 ms since `start`: at no cost where something else is done. */
void tsc_calibrate_since(struct tsc_clock *clock, const struct tsc_instant *start);
/* Takes about 10 ms. */
void tsc_calibrate(struct tsc_clock *clock);

#endif /* KMEMBENCH_TSC_FAST_H */
