/* SPDX-License-Identifier: MIT */
/*
 * How steady the processor is: a loop that touches no memory, in slices like those of
 * a comparison. What its slices differ by, no allocator is to blame for.
 */
#include "bench/fitness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bench/stats.h"

#define SLICE_NS      500000.0
#define SLICES_MAX    STATS_FIGURES_MAX
#define STEP_OK_PCT   2.0
#define STEP_FAIL_PCT 15.0
#define STEAL_OK_PCT  0.5

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* A chain of dependent operations: one result at a time, whatever the processor. */
static double timed_loop_ns(uint64_t rounds)
{
	double start = now_ns();
	uint64_t x = rounds;

	for (uint64_t i = 0; i < rounds; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		__asm__ __volatile__("" : "+r"(x));
	}
	return now_ns() - start;
}

/* Rounds that take one slice, by the fastest of some tries. */
static uint64_t rounds_of_a_slice(void)
{
	const uint64_t tried = 20000;
	double best = INFINITY;

	for (int i = 0; i < 50; i++) {
		double ns = timed_loop_ns(tried);

		if (ns < best)
			best = ns;
	}
	return (uint64_t)((double)tried * SLICE_NS / (best > 1 ? best : 1)) + 1;
}

/* Stolen and all CPU time since boot, in clock ticks; false when not known. */
static bool cpu_times(double *stolen, double *all)
{
	FILE *file = fopen("/proc/stat", "re");
	double t[8];
	bool ok;

	if (file == NULL)
		return false;
	ok = fscanf(file, "cpu %lf %lf %lf %lf %lf %lf %lf %lf", &t[0], &t[1], &t[2],
		    &t[3], &t[4], &t[5], &t[6], &t[7]) == 8;
	fclose(file);
	if (!ok)
		return false;
	*stolen = t[7];
	*all = 0;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(t); i++)
		*all += t[i];
	return true;
}

/* Median of |log(x[i + lag] / x[i])| in per cent. */
static double median_change_pct(const double *x, size_t n, size_t lag, double *scratch)
{
	if (n <= lag)
		return NAN;
	for (size_t i = 0; i + lag < n; i++)
		scratch[i] = fabs(log(x[i + lag] / x[i]));
	return 100 * stats_median(scratch, n - lag);
}

void fitness_measure_noise(double seconds, struct fitness_noise *noise)
{
	size_t n = (size_t)(seconds * 1e9 / SLICE_NS);
	double stolen[2], all[2], worst = 0;
	double *x, *scratch;
	uint64_t rounds;
	bool steal_known;

	n = n < 32 ? 32 : n > SLICES_MAX ? SLICES_MAX : n;
	x = malloc(2 * n * sizeof(*x));
	if (x == NULL)
		abort();
	scratch = x + n;
	rounds = rounds_of_a_slice();
	steal_known = cpu_times(&stolen[0], &all[0]);
	for (size_t i = 0; i < n; i++) {
		x[i] = timed_loop_ns(rounds);
		worst = x[i] > worst ? x[i] : worst;
	}
	steal_known = steal_known && cpu_times(&stolen[1], &all[1]);
	noise->slices = (unsigned int)n;
	noise->slice_ns = stats_median(x, n);
	noise->step_pct = median_change_pct(x, n, 1, scratch);
	noise->drift_pct = median_change_pct(x, n, n / 10, scratch);
	noise->worst_pct = 100 * (worst / noise->slice_ns - 1);
	noise->steal_pct = -1;
	if (steal_known && all[1] > all[0])
		noise->steal_pct = 100 * (stolen[1] - stolen[0]) / (all[1] - all[0]);
	free(x);
}

size_t fitness_judge_noise(const struct fitness_noise *noise, struct fitness_item *items)
{
	items[0] = (struct fitness_item){
		.name = "noise floor",
		.status = noise->step_pct > STEP_FAIL_PCT ? FITNESS_FAIL
			  : noise->step_pct > STEP_OK_PCT ? FITNESS_WARN
							  : FITNESS_OK,
		.remedy =
			noise->step_pct > STEP_OK_PCT
				? "end other programs, or measure elsewhere: equal work "
				  "takes unequal time here"
				: "",
	};
	snprintf(
		items[0].value, sizeof(items[0].value),
		"%u slices of %.2f ms differ by %.2f %% from the next, by %.2f %% from one "
		"%.0f ms later; the longest by %.0f %% from the median",
		noise->slices, noise->slice_ns * 1e-6, noise->step_pct, noise->drift_pct,
		noise->slices / 10 * noise->slice_ns * 1e-6, noise->worst_pct);
	items[1] = (struct fitness_item){
		.name = "stolen time",
		.status = noise->steal_pct < 0		    ? FITNESS_UNKNOWN
			  : noise->steal_pct > STEAL_OK_PCT ? FITNESS_WARN
							    : FITNESS_OK,
		.remedy = noise->steal_pct > STEAL_OK_PCT
				  ? "ask for a dedicated host: the hypervisor gave this "
				    "machine's processors to others meanwhile"
				  : "",
	};
	if (noise->steal_pct >= 0)
		snprintf(items[1].value, sizeof(items[1].value), "%.1f %%",
			 noise->steal_pct);
	return 2;
}
