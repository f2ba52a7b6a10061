/* SPDX-License-Identifier: MIT */
/*
 * Hodges-Lehmann estimates and their intervals.
 *
 * Both tests are inverted the same way. Take all pairwise figures: the means
 * (x[i] + x[j]) / 2 with i <= j of one sample, or the differences y[j] - x[i] of two. The
 * test statistic for a supposed location is the number of pairwise figures above it. So
 * the locations that the test would not reject lie between the k-th smallest and the k-th
 * largest pairwise figure, where k is the largest count with
 *
 *     P(statistic < k) <= (1 - confidence) / 2     under the null hypothesis.
 *
 * That distribution does not depend on the data's. It is counted exactly for small
 * samples; ties in the data then only make the interval wider than it needs to be.
 */
#include "bench/stats.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <gsl/gsl_cdf.h>
#include <gsl/gsl_math.h>
#include <gsl/gsl_sort.h>
#include <gsl/gsl_statistics_double.h>

#include <kmem/error.h>

#include "bench/stats_internal.h"

static double *sorted_copy(const double *x, size_t n)
{
	double *copy;

	if (n == 0)
		return NULL;
	copy = malloc(n * sizeof(*copy));
	if (copy == NULL)
		return NULL;
	memcpy(copy, x, n * sizeof(*copy));
	gsl_sort(copy, 1, n);
	return copy;
}

double stats_median(const double *x, size_t n)
{
	return stats_quantile(x, n, 0.5);
}

double stats_quantile(const double *x, size_t n, double q)
{
	double *sorted = sorted_copy(x, n);
	double value;

	if (sorted == NULL)
		return NAN;
	value = gsl_stats_quantile_from_sorted_data(sorted, 1, n, q);
	free(sorted);
	return value;
}

double stats_trimmed_mean(const double *x, size_t n, double fraction)
{
	double *sorted = sorted_copy(x, n);
	double value;

	if (sorted == NULL)
		return NAN;
	value = gsl_stats_trmean_from_sorted_data(fraction, sorted, 1, n);
	free(sorted);
	return value;
}

double stats_mean(const double *x, size_t n)
{
	return n == 0 ? NAN : gsl_stats_mean(x, 1, n);
}

double stats_sd(const double *x, size_t n)
{
	return n < 2 ? NAN : gsl_stats_sd(x, 1, n);
}

/* --- null distributions --- */

/* Normal approximation with continuity correction: P(S < k) = Phi((k - 1/2 - mean) / sd).
 */
static size_t critical_normal(double mean, double variance, double tail, double *achieved)
{
	double sd = sqrt(variance);
	double k = floor(mean + 0.5 + gsl_cdf_ugaussian_Pinv(tail) * sd);

	if (!(k >= 1.0))
		k = 0.0;
	if (achieved != NULL)
		*achieved = k >= 1.0 ? gsl_cdf_ugaussian_P((k - 0.5 - mean) / sd) : 0.0;
	return (size_t)k;
}

/* The largest k whose cumulated mass[0] + … + mass[k-1] stays within the tail. */
static size_t critical_exact(const double *mass, size_t count, double tail,
			     double *achieved)
{
	double below = 0.0;
	size_t k = 0;

	while (k < count && below + mass[k] <= tail) {
		below += mass[k];
		k++;
	}
	if (achieved != NULL)
		*achieved = below;
	return k;
}

/*
 * The signed-rank statistic is the sum of a random subset of the ranks 1..n: mass[t] is
 * the number of subsets with sum t over 2^n. Numbers up to 2^50 are exact in a double.
 */
size_t stats_signed_rank_critical(size_t n, double tail, double *achieved)
{
	size_t sums = n * (n + 1) / 2 + 1;
	double *mass;
	size_t k;

	if (n > STATS_EXACT_MAX) {
		double mean = (double)n * ((double)n + 1) / 4;

		return critical_normal(mean, mean * (2 * (double)n + 1) / 6, tail,
				       achieved);
	}
	mass = calloc(sums, sizeof(*mass));
	if (mass == NULL) {
		kmem_error(-ENOMEM, "no memory for the signed-rank distribution");
		return SIZE_MAX;
	}
	mass[0] = ldexp(1.0, -(int)n);
	for (size_t rank = 1; rank <= n; rank++) {
		for (size_t t = rank * (rank + 1) / 2; t >= rank; t--)
			mass[t] += mass[t - rank];
	}
	k = critical_exact(mass, sums, tail, achieved);
	free(mass);
	return k;
}

/*
 * Exact distribution of the Mann-Whitney statistic for i figures against j. Of all orders
 * of the i + j figures, the largest is one of the i with probability i / (i + j), and
 * then lies above all j of the others:
 *
 *     P[i][j](u) = i / (i + j) * P[i-1][j](u - j) + j / (i + j) * P[i][j-1](u)
 *
 * Row i of `mass` holds P[i][j] for the current j, overwritten as j grows.
 */
double *stats_mann_whitney_mass(size_t m, size_t n)
{
	size_t width = m * n + 1;
	double *mass = calloc((m + 1) * width, sizeof(*mass));

	if (mass == NULL)
		return NULL;
	for (size_t i = 0; i <= m; i++)
		mass[i * width] = 1.0;
	for (size_t j = 1; j <= n; j++) {
		for (size_t i = 1; i <= m; i++) {
			double share = (double)i / (double)(i + j);
			double *row = &mass[i * width];
			const double *shorter = &mass[(i - 1) * width];

			for (size_t u = i * j + 1; u-- > 0;) {
				row[u] *= 1.0 - share;
				if (u >= j)
					row[u] += share * shorter[u - j];
			}
		}
	}
	return mass;
}

size_t stats_mann_whitney_critical(size_t m, size_t n, double ties, double tail,
				   double *achieved)
{
	double *mass;
	size_t k;

	if (m > STATS_EXACT_MAX || n > STATS_EXACT_MAX) {
		double product = (double)m * (double)n, total = (double)m + (double)n;
		double variance = product / 12 *
				  (total + 1 - ties / (total * (total - 1)));

		return critical_normal(product / 2, variance, tail, achieved);
	}
	mass = stats_mann_whitney_mass(m, n);
	if (mass == NULL) {
		kmem_error(-ENOMEM, "no memory for the Mann-Whitney distribution");
		return SIZE_MAX;
	}
	k = critical_exact(&mass[m * (m * n + 1)], m * n + 1, tail, achieved);
	free(mass);
	return k;
}

/* --- estimates --- */

int stats_check_figures(const double *x, size_t n)
{
	if (n == 0)
		return kmem_error(-EINVAL, "no figures to estimate from");
	if (n > STATS_FIGURES_MAX)
		return kmem_error(-E2BIG, "%zu figures; at most %d can be compared", n,
				  STATS_FIGURES_MAX);
	for (size_t i = 0; i < n; i++) {
		if (!gsl_finite(x[i]))
			return kmem_error(-EINVAL, "figure %zu of %zu is not finite",
					  i + 1, n);
	}
	return 0;
}

/* Sorts the pairwise figures and reads estimate and bounds off them. */
static void interval_of_pairs(double *pairs, size_t count, size_t k, double below,
			      struct stats_interval *out)
{
	gsl_sort(pairs, 1, count);
	out->estimate = gsl_stats_median_from_sorted_data(pairs, 1, count);
	out->bounded = k > 0;
	out->low = k > 0 ? pairs[k - 1] : out->estimate;
	out->high = k > 0 ? pairs[count - k] : out->estimate;
	out->confidence = k > 0 ? 1.0 - 2.0 * below : 0.0;
}

int stats_hodges_lehmann(const double *x, size_t n, double confidence,
			 struct stats_interval *out)
{
	size_t count = n * (n + 1) / 2, k, filled = 0;
	double *walsh, below;
	int err = stats_check_figures(x, n);

	if (err != 0)
		return err;
	k = stats_signed_rank_critical(n, (1.0 - confidence) / 2.0, &below);
	if (k == SIZE_MAX)
		return -ENOMEM;
	walsh = malloc(count * sizeof(*walsh));
	if (walsh == NULL)
		return kmem_error(-ENOMEM, "no memory for %zu pairwise means", count);
	for (size_t i = 0; i < n; i++) {
		for (size_t j = i; j < n; j++)
			walsh[filled++] = x[i] / 2 + x[j] / 2; /* halves: no overflow */
	}
	interval_of_pairs(walsh, count, k, below, out);
	free(walsh);
	return 0;
}

/* Sum of t^3 - t over the runs of t equal figures. */
static int tie_sum(const double *x, size_t n, double *sum)
{
	double *sorted = sorted_copy(x, n);

	if (sorted == NULL)
		return kmem_error(-ENOMEM, "no memory for %zu figures", n);
	*sum = 0.0;
	for (size_t i = 0, run; i < n; i += run) {
		double t;

		for (run = 1; i + run < n && sorted[i + run] == sorted[i];)
			run++;
		t = (double)run;
		*sum += t * t * t - t;
	}
	free(sorted);
	return 0;
}

/*
 * Ties between the samples count nothing: a supposed shift that is not itself one of the
 * differences leaves none. Ties within a sample stay whatever the shift.
 */
int stats_hodges_lehmann_shift(const double *x, size_t nx, const double *y, size_t ny,
			       double confidence, struct stats_interval *out)
{
	size_t count = nx * ny, k, filled = 0;
	double *differences, below, ties_x, ties_y;
	int err = stats_check_figures(x, nx);

	if (err == 0)
		err = stats_check_figures(y, ny);
	if (err == 0)
		err = tie_sum(x, nx, &ties_x);
	if (err == 0)
		err = tie_sum(y, ny, &ties_y);
	if (err != 0)
		return err;
	k = stats_mann_whitney_critical(nx, ny, ties_x + ties_y, (1.0 - confidence) / 2.0,
					&below);
	if (k == SIZE_MAX)
		return -ENOMEM;
	differences = malloc(count * sizeof(*differences));
	if (differences == NULL)
		return kmem_error(-ENOMEM, "no memory for %zu differences", count);
	for (size_t i = 0; i < nx; i++) {
		for (size_t j = 0; j < ny; j++)
			differences[filled++] = y[j] - x[i];
	}
	interval_of_pairs(differences, count, k, below, out);
	free(differences);
	return 0;
}
