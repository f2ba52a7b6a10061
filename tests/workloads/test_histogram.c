/* SPDX-License-Identifier: MIT */
/* The histogram's error bound, its quantiles and merging; the clock. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <time.h>

#include "workloads/harness/histogram.h"
#include "workloads/harness/rng_fast.h"
#include "workloads/harness/tsc_fast.h"

static void buckets_are_contiguous(void **state)
{
	(void)state;
	assert_int_equal(histogram_bucket_low(0), 0);
	for (unsigned int i = 0; i < HISTOGRAM_BUCKETS; i++) {
		uint64_t low = histogram_bucket_low(i), high = histogram_bucket_high(i);

		assert_true(low <= high);
		assert_int_equal(histogram_index(low), i);
		assert_int_equal(histogram_index(high), i);
		if (i > 0)
			assert_int_equal(low, histogram_bucket_high(i - 1) + 1);
	}
	assert_int_equal(histogram_bucket_high(HISTOGRAM_BUCKETS - 1),
			 ((uint64_t)1 << 40) - 1);
	assert_int_equal(histogram_index((uint64_t)1 << 40), HISTOGRAM_BUCKETS - 1);
	assert_int_equal(histogram_index(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}

static void middles_are_within_the_bound(void **state)
{
	struct rng rng = {1};

	(void)state;
	for (int i = 0; i < 200000; i++) {
		uint64_t value = rng_next(&rng) >> (24 + rng_below(&rng, 40));
		unsigned int index = histogram_index(value);
		double middle = ((double)histogram_bucket_low(index) +
				 (double)histogram_bucket_high(index)) /
				2;

		if (value < HISTOGRAM_SUB)
			assert_true(middle == (double)value);
		else
			assert_true(fabs(middle - (double)value) <= (double)value / 128);
	}
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void quantiles_agree_with_sorting(void **state)
{
	static const double quantiles[] = {0.0001, 0.01,  0.5,	  0.9,
					   0.99,   0.999, 0.9999, 1};
	enum { N = 50000 };
	static uint64_t value[N];
	static struct histogram h;
	struct rng rng = {2};
	double sum = 0;

	(void)state;
	histogram_reset(&h);
	for (int i = 0; i < N; i++) {
		value[i] = (uint64_t)exp(rng_double(&rng) * 20);
		sum += (double)value[i];
		histogram_add(&h, value[i]);
	}
	qsort(value, N, sizeof(value[0]), compare_u64);
	for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
		double exact = (double)value[(int)ceil(quantiles[i] * N) - 1];
		double got = histogram_quantile(&h, quantiles[i]);

		assert_true(fabs(got - exact) <= exact / 128);
	}
	assert_int_equal(h.count, N);
	assert_int_equal(h.min, value[0]);
	assert_int_equal(h.max, value[N - 1]);
	assert_true(histogram_quantile(&h, 1) <= (double)h.max);
	assert_true(fabs(histogram_mean(&h) - sum / N) < 1e-6 * sum / N);
}

static void edges(void **state)
{
	static struct histogram h, empty;

	(void)state;
	histogram_reset(&h);
	histogram_reset(&empty);
	assert_true(histogram_quantile(&h, 0.5) == 0);
	assert_true(histogram_mean(&h) == 0);
	histogram_add(&h, 1001);
	/* One sample is known exactly, at every quantile. */
	assert_true(histogram_quantile(&h, 0.01) == 1001);
	assert_true(histogram_quantile(&h, 1) == 1001);
	histogram_merge(&h, &empty);
	assert_int_equal(h.min, 1001);
	histogram_merge(&empty, &h);
	assert_int_equal(empty.count, 1);
	assert_int_equal(empty.min, 1001);
	assert_int_equal(empty.max, 1001);
	/* Beyond the last bucket only the maximum is known. */
	histogram_add(&h, (uint64_t)1 << 50);
	assert_true(histogram_quantile(&h, 1) == (double)((uint64_t)1 << 50));
}

static void merging_is_adding(void **state)
{
	static struct histogram parts[2], whole;
	struct rng rng = {3};

	(void)state;
	histogram_reset(&parts[0]);
	histogram_reset(&parts[1]);
	histogram_reset(&whole);
	for (int i = 0; i < 20000; i++) {
		uint64_t value = rng_below(&rng, 1u << 20);

		histogram_add(&parts[i % 3 == 0], value);
		histogram_add(&whole, value);
	}
	histogram_merge(&parts[0], &parts[1]);
	assert_memory_equal(parts[0].bucket, whole.bucket, sizeof(whole.bucket));
	assert_int_equal(parts[0].count, whole.count);
	assert_int_equal(parts[0].min, whole.min);
	assert_int_equal(parts[0].max, whole.max);
	assert_int_equal(parts[0].sum, whole.sum);
}

static void counting_by_whole_buckets(void **state)
{
	static struct histogram h;

	(void)state;
	histogram_reset(&h);
	for (uint64_t value = 0; value < 1000; value++)
		histogram_add(&h, value);
	/* Below 64 each value has a bucket; 502 lies in 500..503, which stays out. */
	assert_int_equal(histogram_count_below(&h, 0), 0);
	assert_int_equal(histogram_count_below(&h, 10), 10);
	assert_int_equal(histogram_count_below(&h, 502), 500);
	assert_int_equal(histogram_count_below(&h, 504), 504);
	assert_int_equal(histogram_quantile_bucket(&h, 0.5), histogram_index(499));
	assert_int_equal(histogram_count_above(&h, 0.5), 1000 - 500);
	assert_int_equal(histogram_count_above(&h, 1), 0);
}

/* Wide bounds: the machine may be busy, and a virtual counter may be coarse. */
static void clock_agrees_with_the_system(void **state)
{
	struct tsc_clock clock;
	struct timespec a, b;
	double ns, ticks_ns;
	uint64_t t0, t1;

	(void)state;
	tsc_calibrate(&clock);
	assert_true(clock.ns_per_tick > 0.01 && clock.ns_per_tick < 1000);
	assert_true((double)clock.pair_ticks * clock.ns_per_tick < 100000);
	clock_gettime(CLOCK_MONOTONIC_RAW, &a);
	t0 = tsc_begin();
	do
		clock_gettime(CLOCK_MONOTONIC_RAW, &b);
	while (b.tv_sec * 1000000000L + b.tv_nsec - a.tv_sec * 1000000000L - a.tv_nsec <
	       20000000);
	t1 = tsc_end();
	clock_gettime(CLOCK_MONOTONIC_RAW, &b);
	ns = (double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec);
	ticks_ns = (double)(t1 - t0) * clock.ns_per_tick;
	assert_true(ticks_ns > 15000000);
	assert_true(ticks_ns < ns * 1.05);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buckets_are_contiguous),
		cmocka_unit_test(middles_are_within_the_bound),
		cmocka_unit_test(quantiles_agree_with_sorting),
		cmocka_unit_test(edges),
		cmocka_unit_test(merging_is_adding),
		cmocka_unit_test(counting_by_whole_buckets),
		cmocka_unit_test(clock_agrees_with_the_system),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
