/* SPDX-License-Identifier: MIT */
/*
 * The BCa bootstrap.
 *
 * Resampling with replacement shows how a statistic would scatter if the samples were all
 * there is to draw from. The plain percentile interval reads its bounds off the sorted
 * resampled values at alpha and 1 - alpha. BCa moves these two ranks:
 *
 *     alpha' = Phi(z0 + (z0 + z) / (1 - a (z0 + z)))      z = the normal's alpha quantile
 *
 * z0, the bias, says how far the statistic lies from the resampled values' median:
 * Phi(z0) of them are below it. a, the acceleration, says how the statistic's spread
 * grows with the statistic: from the skewness of its jackknife values (each figure left
 * out in turn),
 *
 *     a = sum of d^3 / (6 (sum of d^2)^(3/2))             d = mean of jackknife - value
 *
 * With two samples, both leave out their figures in turn, and each sample's d are weighed
 * by (n - 1) / n of that sample (Davison & Hinkley, Bootstrap Methods and their
 * Application, 1997, chapter 5).
 *
 * Even so it covers less than it says with few figures; tests/bench/test_stats_views.c
 * counts how much. That is why verdicts do not rest on it.
 */
#include "bench/stats.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include <gsl/gsl_cdf.h>
#include <gsl/gsl_math.h>
#include <gsl/gsl_rng.h>
#include <gsl/gsl_sort.h>
#include <gsl/gsl_statistics_double.h>

#include <kmem/error.h>

#include "bench/stats_internal.h"

double stats_ratio_of_means(const double *x, size_t nx, const double *y, size_t ny)
{
	return stats_mean(y, ny) / stats_mean(x, nx);
}

double stats_ratio_of_medians(const double *x, size_t nx, const double *y, size_t ny)
{
	return stats_median(y, ny) / stats_median(x, nx);
}

static void draw_sample(gsl_rng *rng, const double *from, size_t n, double *to)
{
	for (size_t i = 0; i < n; i++)
		to[i] = from[gsl_rng_uniform_int(rng, n)];
}

/* All of x but number `left_out`. */
static void leave_out(const double *x, size_t n, size_t left_out, double *to)
{
	for (size_t i = 0; i + 1 < n; i++)
		to[i] = x[i + (i >= left_out)];
}

/* Sums of d^2 and d^3 over one sample's jackknife values, which `values` holds. */
static void add_skewness(const double *values, size_t n, double *square, double *cube)
{
	double mean = stats_mean(values, n), weight = ((double)n - 1) / (double)n;

	for (size_t i = 0; i < n; i++) {
		double d = (mean - values[i]) * weight;

		*square += d * d;
		*cube += d * d * d;
	}
}

static double acceleration(stats_statistic *statistic, const double *x, size_t nx,
			   const double *y, size_t ny, double *rest, double *values)
{
	double square = 0.0, cube = 0.0;

	for (size_t i = 0; i < nx; i++) {
		leave_out(x, nx, i, rest);
		values[i] = statistic(rest, nx - 1, y, ny);
	}
	add_skewness(values, nx, &square, &cube);
	for (size_t i = 0; i < ny; i++) {
		leave_out(y, ny, i, rest);
		values[i] = statistic(x, nx, rest, ny - 1);
	}
	if (ny > 0)
		add_skewness(values, ny, &square, &cube);
	return square > 0 ? cube / (6 * pow(square, 1.5)) : 0.0;
}

/* Share of the sorted values below the statistic, ties by half, as a normal quantile. */
static double bias(const double *sorted, size_t count, double statistic)
{
	size_t below = 0, equal = 0;
	double share;

	for (size_t i = 0; i < count; i++) {
		below += sorted[i] < statistic;
		equal += sorted[i] == statistic;
	}
	share = ((double)below + (double)equal / 2) / (double)count;
	return share > 0 && share < 1 ? gsl_cdf_ugaussian_Pinv(share) : 0.0;
}

/* The value at BCa's corrected rank for a tail. */
static double corrected_quantile(const double *sorted, const struct stats_bootstrap *b,
				 double tail)
{
	double z = b->bias + gsl_cdf_ugaussian_Pinv(tail);
	double rank = gsl_cdf_ugaussian_P(b->bias + z / (1 - b->acceleration * z));

	if (!gsl_finite(rank))
		rank = tail;
	return gsl_stats_quantile_from_sorted_data(sorted, 1, b->resamples, rank);
}

/* buffer: room for nx + ny figures and for the resampled values. */
static void resample(stats_statistic *statistic, const double *x, size_t nx,
		     const double *y, size_t ny, gsl_rng *rng, double *buffer,
		     double *values, struct stats_bootstrap *out)
{
	double estimate = out->interval.estimate;

	out->acceleration = acceleration(statistic, x, nx, y, ny, buffer, values);
	for (size_t i = 0; i < out->resamples; i++) {
		draw_sample(rng, x, nx, buffer);
		draw_sample(rng, y, ny, buffer + nx);
		values[i] = statistic(buffer, nx, ny > 0 ? buffer + nx : NULL, ny);
		/* A divisor of 0 was drawn: no value, and no word on the interval. */
		if (!gsl_finite(values[i]))
			values[i] = estimate;
	}
	gsl_sort(values, 1, out->resamples);
	out->bias = bias(values, out->resamples, estimate);
}

int stats_bootstrap(stats_statistic *statistic, const double *x, size_t nx,
		    const double *y, size_t ny, double confidence, uint64_t seed,
		    struct stats_bootstrap *out)
{
	size_t room = STATS_BOOTSTRAP_RESAMPLES > nx + ny ? STATS_BOOTSTRAP_RESAMPLES
							  : nx + ny;
	int err = stats_check_figures(x, nx);
	double *values;
	gsl_rng *rng;

	*out = (struct stats_bootstrap){.resamples = STATS_BOOTSTRAP_RESAMPLES};
	if (err == 0 && y != NULL)
		err = stats_check_figures(y, ny);
	if (err != 0)
		return err;
	out->interval.estimate = statistic(x, nx, y, ny);
	out->interval.low = out->interval.high = out->interval.estimate;
	if (nx < STATS_BOOTSTRAP_MIN || (y != NULL && ny < STATS_BOOTSTRAP_MIN) ||
	    !gsl_finite(out->interval.estimate))
		return 0;
	values = malloc((room + nx + ny) * sizeof(*values));
	rng = gsl_rng_alloc(gsl_rng_mt19937);
	if (values == NULL || rng == NULL) {
		free(values);
		if (rng != NULL)
			gsl_rng_free(rng);
		return kmem_error(-ENOMEM, "no memory for %d resamples",
				  STATS_BOOTSTRAP_RESAMPLES);
	}
	gsl_rng_set(rng, (unsigned long)seed);
	resample(statistic, x, nx, y, ny, rng, values + room, values, out);
	out->interval.low = corrected_quantile(values, out, (1 - confidence) / 2);
	out->interval.high = corrected_quantile(values, out, (1 + confidence) / 2);
	out->interval.bounded = true;
	out->interval.confidence = confidence;
	gsl_rng_free(rng);
	free(values);
	return 0;
}
