/* SPDX-License-Identifier: MIT */
/* Mann-Whitney's test, the bootstrap and marks of outliers against published examples. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <gsl/gsl_randist.h>
#include <gsl/gsl_rng.h>

#include "bench/stats.h"
#include <kmem/error.h>

#define assert_close(a, b, tolerance) assert_true(fabs((a) - (b)) <= (tolerance))

/*
 * Hollander & Wolfe, example 4.1 (permeability of the human chorioamnion), as R's manual
 * page of wilcox.test has it: the one-sided exact p is 0.1272 for W = 35 of 50.
 */
static void mann_whitney_permeability_data(void **state)
{
	static const double early[] = {1.15, 0.88, 0.90, 0.74, 1.21};
	static const double term[] = {0.80, 0.83, 1.89, 1.04, 1.45,
				      1.38, 1.91, 1.64, 0.73, 1.46};
	struct stats_mann_whitney r, turned;

	(void)state;
	assert_int_equal(stats_mann_whitney(early, 5, term, 10, &r), 0);
	assert_true(r.exact);
	assert_close(r.u, 35, 0);
	assert_close(r.p, 2 * 0.1272, 1e-4);
	assert_int_equal(stats_mann_whitney(term, 10, early, 5, &turned), 0);
	assert_close(turned.u, 15, 0);
	assert_close(turned.p, r.p, 1e-12);
}

/*
 * Ozone in New York in May and August 1973 (Chambers et al. 1983), with ties. R's manual
 * page of wilcox.test: W = 127.5, p = 0.0001208 (normal, corrected for continuity).
 */
static void mann_whitney_with_ties(void **state)
{
	static const double may[] = {41, 36, 12, 18, 28, 23, 19, 8, 7,	16, 11, 14,  18,
				     14, 34, 6,	 30, 11, 1,  11, 4, 32, 23, 45, 115, 37};
	static const double august[] = {39, 9,	16,  78, 35, 66,  122, 89, 110,
					44, 28, 65,  22, 59, 23,  31,  44, 21,
					9,  45, 168, 73, 76, 118, 84,  85};
	struct stats_mann_whitney r;

	(void)state;
	assert_int_equal(stats_mann_whitney(august, 26, may, 26, &r), 0);
	assert_false(r.exact);
	assert_close(r.u, 127.5, 0);
	assert_close(r.p, 0.0001208, 5e-8);
}

static void mann_whitney_of_equal_figures(void **state)
{
	static const double same[] = {5, 5, 5, 5}, above[] = {6, 7, 8, 9};
	const double bad[] = {1, INFINITY};
	struct stats_mann_whitney r;

	(void)state;
	assert_int_equal(stats_mann_whitney(same, 4, same, 4, &r), 0);
	assert_close(r.p, 1, 0);
	assert_close(r.u, 8, 0);
	/* Four against four wholly apart: 2 of 70 orders. With ties inside: by the
	 * normal. */
	assert_int_equal(
		stats_mann_whitney((const double[]){1, 2, 3, 4}, 4, above, 4, &r), 0);
	assert_close(r.u, 16, 0);
	assert_close(r.p, 2.0 / 70, 1e-12);
	assert_int_equal(stats_mann_whitney(same, 0, above, 4, &r), -EINVAL);
	assert_int_equal(stats_mann_whitney(same, 4, bad, 2, &r), -EINVAL);
	assert_non_null(strstr(kmem_last_error(), "figure 2 of 2"));
}

/* Variance with n in the divisor, as the example below has it. */
static double plain_variance(const double *x, size_t nx, const double *y, size_t ny)
{
	double mean = stats_mean(x, nx), sum = 0;

	(void)y;
	(void)ny;
	for (size_t i = 0; i < nx; i++)
		sum += (x[i] - mean) * (x[i] - mean);
	return sum / (double)nx;
}

/*
 * Efron & Tibshirani, chapter 14: test A of the spatial test data (table 14.1), the
 * variance of 26 figures. The text gives 171.5, a = 0.061, z0 = 0.146, and the 90 % BCa
 * interval (115.8, 259.6), each from 2,000 resamples: the tolerances are theirs and ours.
 */
static void bootstrap_spatial_data(void **state)
{
	static const double a[] = {48, 36, 20, 29, 42, 42, 20, 42, 22, 41, 45, 14, 6,
				   0,  33, 28, 34, 4,  32, 24, 47, 41, 24, 26, 30, 41};
	struct stats_bootstrap r, again, other;

	(void)state;
	assert_int_equal(stats_bootstrap(plain_variance, a, 26, NULL, 0, 0.9, 1, &r), 0);
	assert_close(r.interval.estimate, 171.5, 0.05);
	assert_close(r.acceleration, 0.061, 0.0006);
	assert_close(r.bias, 0.146, 0.08);
	assert_true(r.interval.bounded);
	assert_close(r.interval.low, 115.8, 6);
	assert_close(r.interval.high, 259.6, 14);
	assert_int_equal(stats_bootstrap(plain_variance, a, 26, NULL, 0, 0.9, 1, &again),
			 0);
	assert_memory_equal(&r, &again, sizeof(r));
	assert_int_equal(stats_bootstrap(plain_variance, a, 26, NULL, 0, 0.9, 2, &other),
			 0);
	assert_true(other.interval.low != r.interval.low);
}

/*
 * How often the interval of a ratio of means holds the true 1.1: ten log-normal figures
 * on each side, sigma 0.16, as fresh processes scatter on a shared machine. It covers
 * less than 95 %.
 */
static void bootstrap_coverage(void **state)
{
	gsl_rng *rng = gsl_rng_alloc(gsl_rng_mt19937);
	unsigned int covered = 0, trials = 300;

	(void)state;
	gsl_rng_set(rng, 5);
	for (unsigned int t = 0; t < trials; t++) {
		struct stats_bootstrap r;
		double x[10], y[10];

		for (size_t i = 0; i < 10; i++) {
			x[i] = gsl_ran_lognormal(rng, 0, 0.16);
			y[i] = 1.1 * gsl_ran_lognormal(rng, 0, 0.16);
		}
		assert_int_equal(
			stats_bootstrap(stats_ratio_of_means, x, 10, y, 10, 0.95, t, &r),
			0);
		covered += r.interval.low <= 1.1 && 1.1 <= r.interval.high;
	}
	print_message("%.1f %% of the 95 %% intervals hold the ratio\n",
		      100.0 * covered / trials);
	assert_in_range(covered, trials * 86 / 100, trials * 97 / 100);
	gsl_rng_free(rng);
}

static void bootstrap_of_odd_samples(void **state)
{
	static const double four[] = {1, 2, 3, 4}, same[] = {2, 2, 2, 2, 2, 2};
	static const double zeros[] = {0, 0, 0, 0, 0, 5};
	struct stats_bootstrap r;

	(void)state;
	assert_int_equal(
		stats_bootstrap(stats_ratio_of_means, four, 4, same, 6, 0.95, 1, &r), 0);
	assert_false(r.interval.bounded);
	assert_close(r.interval.estimate, 0.8, 1e-12);
	assert_int_equal(
		stats_bootstrap(stats_ratio_of_medians, same, 6, same, 6, 0.95, 1, &r),
		0);
	assert_true(r.interval.bounded && r.interval.low == 1 && r.interval.high == 1);
	/* A divisor that may be drawn as 0 gives no infinite bound. */
	assert_int_equal(
		stats_bootstrap(stats_ratio_of_means, zeros, 6, same, 6, 0.95, 1, &r), 0);
	assert_true(isfinite(r.interval.low) && isfinite(r.interval.high));
	assert_int_equal(
		stats_bootstrap(stats_ratio_of_medians, zeros, 6, same, 6, 0.95, 1, &r),
		0);
	assert_false(r.interval.bounded);
	assert_int_equal(
		stats_bootstrap(stats_ratio_of_means, four, 0, same, 6, 0.95, 1, &r),
		-EINVAL);
}

/*
 * By hand from the rule's definition. The two last would hide each other from a rule by
 * mean and standard deviation (greatest score 2.6 of the 3 that it asks for).
 */
static void outliers_by_modified_z_score(void **state)
{
	static const double x[] = {3.2, 3.4, 3.7, 3.7, 3.8, 3.9, 4.0,
				   4.0, 4.1, 4.2, 4.7, 4.8, 14,	 15};
	bool mark[14];

	(void)state;
	assert_close(stats_mad(x, 14), 0.3, 1e-12);
	assert_int_equal(stats_mark_outliers(x, 14, mark), 2);
	assert_true(mark[12] && mark[13] && !mark[0] && !mark[11]);
	assert_true((15 - stats_mean(x, 14)) / stats_sd(x, 14) < 3);
	assert_int_equal(stats_mark_outliers(x, 14, NULL), 2);
	/* 3.5 is exceeded beyond median + 3.5 MAD / 0.6745, not at it. */
	assert_int_equal(
		stats_mark_outliers((const double[]){-1, 0, 0, 1, 1, 2, 5.6}, 7, NULL),
		0);
	assert_int_equal(
		stats_mark_outliers((const double[]){-1, 0, 0, 1, 1, 2, 6.3}, 7, NULL),
		1);
}

static void outliers_of_few_or_equal_figures(void **state)
{
	bool mark[7];

	(void)state;
	assert_int_equal(stats_mark_outliers((const double[]){1, 1, 1, 99}, 4, NULL), 0);
	assert_int_equal(stats_mark_outliers((const double[]){3, 3, 3, 3, 3}, 5, NULL),
			 0);
	/* MAD is 0: the mean deviation (96 / 7) decides. */
	assert_int_equal(
		stats_mark_outliers((const double[]){3, 3, 3, 3, 3, 3, 99}, 7, mark), 1);
	assert_true(mark[6]);
	assert_int_equal(stats_mark_outliers(NULL, 0, NULL), 0);
	assert_true(isnan(stats_mad(NULL, 0)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mann_whitney_permeability_data),
		cmocka_unit_test(mann_whitney_with_ties),
		cmocka_unit_test(mann_whitney_of_equal_figures),
		cmocka_unit_test(bootstrap_spatial_data),
		cmocka_unit_test(bootstrap_coverage),
		cmocka_unit_test(bootstrap_of_odd_samples),
		cmocka_unit_test(outliers_by_modified_z_score),
		cmocka_unit_test(outliers_of_few_or_equal_figures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
