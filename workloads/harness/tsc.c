/* SPDX-License-Identifier: MIT */
#include "workloads/harness/tsc_fast.h"

#include <time.h>

/* Long enough that the reading error of both ends, some 50 ns, is below 1e-5. */
#define CALIBRATION_NS 10000000u
/* An end is read this often; the narrowest bracket is kept. */
#define ENDPOINT_TRIES 32
/* Odd, so that the median is a sample. The array is 8 KiB of stack. */
#define PAIR_SAMPLES 1023
/* The first pairs run on cold code. */
#define PAIR_WARM_UP 128

static uint64_t raw_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/*
 * Reads both clocks as nearly at once as can be had: the counter stands between
 * two readings of the system's clock, and of many tries the one with the least
 * time between them wins, so that an interrupt in the middle does no harm.
 */
struct tsc_instant tsc_instant_now(void)
{
	struct tsc_instant best = {0, 0};
	uint64_t best_width = UINT64_MAX;

	for (int i = 0; i < ENDPOINT_TRIES; i++) {
		uint64_t before = raw_ns();
		uint64_t ticks = tsc_begin();
		uint64_t after = raw_ns();

		if (after - before < best_width) {
			best_width = after - before;
			best.ticks = ticks;
			best.ns = before + (after - before) / 2;
		}
	}
	return best;
}

/* Not qsort(3): it calls malloc, and the C library's allocator may be under test. */
static void insertion_sort(uint64_t *v, int n)
{
	for (int i = 1; i < n; i++) {
		uint64_t x = v[i];
		int j = i;

		for (; j > 0 && v[j - 1] > x; j--)
			v[j] = v[j - 1];
		v[j] = x;
	}
}

static uint64_t gcd(uint64_t a, uint64_t b)
{
	while (b != 0) {
		uint64_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/*
 * Pairs of equal work differ by whole steps of the counter, so the greatest
 * common divisor of what a thousand of them took is the step.
 */
static void time_empty_pairs(struct tsc_clock *clock)
{
	uint64_t sample[PAIR_SAMPLES];
	uint64_t step = 0;

	for (int i = -PAIR_WARM_UP; i < PAIR_SAMPLES; i++) {
		uint64_t t0 = tsc_begin();
		uint64_t t1 = tsc_end();

		if (i >= 0) {
			sample[i] = t1 - t0;
			step = gcd(step, t1 - t0);
		}
	}
	insertion_sort(sample, PAIR_SAMPLES);
	clock->pair_ticks = sample[PAIR_SAMPLES / 2];
	clock->granularity_ticks = step > 0 ? step : 1;
}

void tsc_calibrate_since(struct tsc_clock *clock, const struct tsc_instant *start)
{
	struct tsc_instant end;

	time_empty_pairs(clock);
	while (raw_ns() - start->ns < CALIBRATION_NS)
		;
	end = tsc_instant_now();
	clock->ns_per_tick = (double)(end.ns - start->ns) /
			     (double)(end.ticks - start->ticks);
}

void tsc_calibrate(struct tsc_clock *clock)
{
	struct tsc_instant start = tsc_instant_now();

	tsc_calibrate_since(clock, &start);
}
