/* SPDX-License-Identifier: MIT */
/* Statistics against published data, published tables and direct counting. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bench/stats.h"
#include <kmem/error.h>

#define assert_close(a, b, tolerance) assert_true(fabs((a) - (b)) <= (tolerance))

/* Hollander & Wolfe, example 3.1: Hamilton depression scale, second visit less first. */
static const double depression[] = {
	0.878 - 1.83, 0.647 - 0.50, 0.598 - 1.62, 2.05 - 2.48, 1.06 - 1.68,
	1.29 - 1.88,  1.06 - 1.55,  3.14 - 3.06,  1.29 - 1.30,
};

static void signed_rank_depression_data(void **state)
{
	struct stats_interval r;

	(void)state;
	assert_int_equal(stats_hodges_lehmann(depression, 9, 0.95, &r), 0);
	assert_close(r.estimate, -0.46, 1e-9);
	assert_true(r.bounded);
	assert_close(r.low, -0.786, 1e-9);
	assert_close(r.high, -0.010, 1e-9);
	/* The text gives this interval as one of 96.1 %. */
	assert_close(r.confidence, 1 - 2 * 10.0 / 512, 1e-12);
}

/* Two-sided 5 % critical values of Wilcoxon's signed-rank table, n = 6..20. */
static void signed_rank_table(void **state)
{
	static const size_t table[] = {0,  2,  3,  5,  8,  10, 13, 17,
				       21, 25, 29, 34, 40, 46, 52};
	double achieved;

	(void)state;
	for (size_t n = 6; n <= 20; n++) {
		assert_int_equal(stats_signed_rank_critical(n, 0.025, &achieved),
				 table[n - 6] + 1);
		assert_true(achieved > 0.0 && achieved <= 0.025);
	}
	for (size_t n = 1; n < STATS_SIGNED_RANK_MIN_95; n++)
		assert_int_equal(stats_signed_rank_critical(n, 0.025, NULL), 0);
}

/* The same probability by going through all 2^n subsets of ranks. */
static double signed_rank_counted(unsigned int n, unsigned int below)
{
	unsigned int hits = 0;

	for (unsigned int subset = 0; subset < 1u << n; subset++) {
		unsigned int sum = 0;

		for (unsigned int r = 0; r < n; r++)
			sum += (subset >> r & 1) * (r + 1);
		hits += sum < below;
	}
	return (double)hits / (1u << n);
}

static void signed_rank_matches_counting(void **state)
{
	static const double tails[] = {0.005, 0.025, 0.05, 0.2};

	(void)state;
	for (unsigned int n = 1; n <= 13; n++) {
		for (size_t i = 0; i < KMEM_ARRAY_SIZE(tails); i++) {
			double achieved;
			size_t k = stats_signed_rank_critical(n, tails[i], &achieved);

			assert_close(achieved, signed_rank_counted(n, (unsigned int)k),
				     1e-12);
			assert_true(signed_rank_counted(n, (unsigned int)k + 1) >
				    tails[i]);
		}
	}
}

static void normal_approximation_continues_exact(void **state)
{
	(void)state;
	/* Published 5 % value for n = 50 is 434; 51 is the first approximated one. */
	assert_int_equal(stats_signed_rank_critical(50, 0.025, NULL), 435);
	assert_in_range(stats_signed_rank_critical(51, 0.025, NULL), 452, 456);
	/* 50 against 50 counted, 51 against 50 approximated: a step of half a row. */
	size_t exact = stats_mann_whitney_critical(50, 50, 0.0, 0.025, NULL);
	size_t normal = stats_mann_whitney_critical(51, 50, 0.0, 0.025, NULL);

	assert_in_range(normal - exact, 15, 25);
}

/* Two-sided 5 % critical values of the Mann-Whitney table. */
static void mann_whitney_table(void **state)
{
	static const struct {
		size_t m, n, u;
	} table[] = {{4, 4, 0},	   {3, 5, 0},	  {5, 5, 2},	{6, 6, 5},
		     {5, 10, 8},   {7, 9, 12},	  {8, 8, 13},	{10, 10, 23},
		     {12, 15, 49}, {20, 20, 127}, {19, 20, 119}};

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(table); i++) {
		assert_int_equal(stats_mann_whitney_critical(table[i].m, table[i].n, 0,
							     0.025, NULL),
				 table[i].u + 1);
		assert_int_equal(stats_mann_whitney_critical(table[i].n, table[i].m, 0,
							     0.025, NULL),
				 table[i].u + 1);
	}
	assert_int_equal(stats_mann_whitney_critical(3, 3, 0, 0.025, NULL), 0);
}

/* P(U < k) over all ways to choose which m of m + n ordered figures are the first
 * sample's. */
static double mann_whitney_counted(unsigned int m, unsigned int n, unsigned int k)
{
	unsigned int hits = 0, ways = 0;

	for (unsigned int set = 0; set < 1u << (m + n); set++) {
		unsigned int u = 0, others = 0;

		if ((unsigned int)__builtin_popcount(set) != m)
			continue;
		for (unsigned int i = 0; i < m + n; i++) {
			if (set >> i & 1)
				u += others;
			else
				others++;
		}
		ways++;
		hits += u < k;
	}
	return (double)hits / ways;
}

static void mann_whitney_matches_counting(void **state)
{
	(void)state;
	for (unsigned int m = 1; m <= 6; m++) {
		for (unsigned int n = 1; n <= 7; n++) {
			double achieved;
			size_t k = stats_mann_whitney_critical(m, n, 0, 0.05, &achieved);

			assert_close(achieved,
				     mann_whitney_counted(m, n, (unsigned int)k), 1e-12);
			assert_true(mann_whitney_counted(m, n, (unsigned int)k + 1) >
				    0.05);
		}
	}
}

/*
 * Hollander & Wolfe, example 4.1: permeability of the human chorioamnion. The text gives
 * the estimate of the shift from 12-26 weeks' to term pregnancies as 0.305. The bounds
 * are the 9th smallest and largest difference (the table's critical value for 5 and 10 is
 * 8).
 */
static void shift_permeability_data(void **state)
{
	static const double early[] = {1.15, 0.88, 0.90, 0.74, 1.21};
	static const double term[] = {0.80, 0.83, 1.89, 1.04, 1.45,
				      1.38, 1.91, 1.64, 0.73, 1.46};
	struct stats_interval r;

	(void)state;
	assert_int_equal(stats_hodges_lehmann_shift(early, 5, term, 10, 0.95, &r), 0);
	assert_close(r.estimate, 0.305, 1e-9);
	assert_true(r.bounded);
	assert_close(r.low, 0.73 - 0.88, 1e-9);
	assert_close(r.high, 1.64 - 0.88, 1e-9);
	assert_true(r.confidence >= 0.95 && r.confidence < 0.97);
}

static void shift_is_antisymmetric(void **state)
{
	static const double a[] = {3, 1, 4, 1.5, 5, 9, 2.6},
			    b[] = {2.7, 1.8, 2.9, 8, 2.8};
	struct stats_interval up, down;

	(void)state;
	assert_int_equal(stats_hodges_lehmann_shift(a, 7, b, 5, 0.95, &up), 0);
	assert_int_equal(stats_hodges_lehmann_shift(b, 5, a, 7, 0.95, &down), 0);
	assert_close(up.estimate, -down.estimate, 1e-12);
	assert_close(up.low, -down.high, 1e-12);
	assert_close(up.high, -down.low, 1e-12);
}

/* Ties within large samples narrow the approximated interval, never widen it. */
static void ties_narrow_the_approximation(void **state)
{
	size_t plain = stats_mann_whitney_critical(60, 60, 0.0, 0.025, NULL);
	size_t tied = stats_mann_whitney_critical(60, 60, 2 * (60.0 * 60 * 60 - 60),
						  0.025, NULL);

	(void)state;
	assert_true(tied > plain);
	assert_true(tied < 60 * 60 / 2);
}

static void too_few_figures_have_no_bounds(void **state)
{
	static const double five[] = {1, 2, 3, 4, 5}, three[] = {7, 8, 9};
	struct stats_interval r;

	(void)state;
	assert_int_equal(stats_hodges_lehmann(five, 5, 0.95, &r), 0);
	assert_false(r.bounded);
	assert_close(r.estimate, 3.0, 0.0);
	assert_true(r.low == 3.0 && r.high == 3.0 && r.confidence == 0.0);
	assert_int_equal(stats_hodges_lehmann_shift(three, 3, three, 3, 0.95, &r), 0);
	assert_false(r.bounded);
	assert_int_equal(stats_hodges_lehmann(five, 1, 0.95, &r), 0);
	assert_close(r.estimate, 1.0, 0.0);
}

static void bad_figures_are_refused(void **state)
{
	const double bad[] = {1.0, NAN, 2.0}, good[] = {1.0, 2.0};
	struct stats_interval r;

	(void)state;
	assert_int_equal(stats_hodges_lehmann(good, 0, 0.95, &r), -EINVAL);
	assert_int_equal(stats_hodges_lehmann(bad, 3, 0.95, &r), -EINVAL);
	assert_non_null(strstr(kmem_last_error(), "figure 2 of 3"));
	assert_int_equal(stats_hodges_lehmann_shift(good, 2, bad, 3, 0.95, &r), -EINVAL);
	assert_int_equal(stats_hodges_lehmann(good, STATS_FIGURES_MAX + 1, 0.95, &r),
			 -E2BIG);
}

/* Coverage of the interval: seeded uniform noise around 0.2, 2,000 samples of ten. */
static void interval_covers_as_often_as_it_says(void **state)
{
	unsigned short seed[3] = {1, 2, 3};
	unsigned int covered = 0, trials = 2000;

	(void)state;
	for (unsigned int t = 0; t < trials; t++) {
		struct stats_interval r;
		double x[10];

		for (size_t i = 0; i < 10; i++)
			x[i] = 0.2 + erand48(seed) - 0.5;
		assert_int_equal(stats_hodges_lehmann(x, 10, 0.95, &r), 0);
		covered += r.low <= 0.2 && 0.2 <= r.high;
	}
	/* Achieved confidence for ten is 95.1 %; four standard errors are 1.9 %. */
	assert_in_range(covered, trials * 932 / 1000, trials * 970 / 1000);
}

static void location_and_spread(void **state)
{
	static const double x[] = {9, 1, 8, 2, 7, 3, 6, 100};
	double copy[KMEM_ARRAY_SIZE(x)];

	(void)state;
	memcpy(copy, x, sizeof(x));
	assert_close(stats_median(x, 8), 6.5, 1e-12);
	assert_close(stats_quantile(x, 8, 0.25), 2.75, 1e-12);
	assert_close(stats_trimmed_mean(x, 8, 0.25), (3 + 6 + 7 + 8) / 4.0, 1e-12);
	assert_close(stats_mean(x, 8), 17.0, 1e-12);
	assert_close(stats_sd(x, 3), sqrt(19.0), 1e-12);
	assert_true(isnan(stats_median(x, 0)) && isnan(stats_sd(x, 1)));
	assert_memory_equal(copy, x, sizeof(x));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(signed_rank_depression_data),
		cmocka_unit_test(signed_rank_table),
		cmocka_unit_test(signed_rank_matches_counting),
		cmocka_unit_test(normal_approximation_continues_exact),
		cmocka_unit_test(mann_whitney_table),
		cmocka_unit_test(mann_whitney_matches_counting),
		cmocka_unit_test(shift_permeability_data),
		cmocka_unit_test(shift_is_antisymmetric),
		cmocka_unit_test(ties_narrow_the_approximation),
		cmocka_unit_test(too_few_figures_have_no_bounds),
		cmocka_unit_test(bad_figures_are_refused),
		cmocka_unit_test(interval_covers_as_often_as_it_says),
		cmocka_unit_test(location_and_spread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
