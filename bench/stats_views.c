/* SPDX-License-Identifier: MIT */
/* The conventional second view of two samples: the Mann-Whitney test, and outliers. */
#include "bench/stats.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <gsl/gsl_cdf.h>
#include <gsl/gsl_math.h>
#include <gsl/gsl_sort.h>

#include <kmem/error.h>

#include "bench/stats_internal.h"

/* P(U <= u) for m figures against n without ties, by counting; NaN: no memory. */
static double mann_whitney_below(size_t m, size_t n, double u)
{
	double *mass = stats_mann_whitney_mass(m, n);
	const double *last;
	double below = 0.0;

	if (mass == NULL)
		return NAN;
	last = &mass[m * (m * n + 1)];
	for (size_t i = 0; i <= m * n && (double)i <= u; i++)
		below += last[i];
	free(mass);
	return below;
}

/*
 * The statistic from the ranks of all figures together: U = R - n (n + 1) / 2, where R
 * is the sum of y's ranks and equal figures share their mean rank. *ties gets the sum of
 * t^3 - t over runs of t equal figures.
 */
static int rank_statistic(const double *x, size_t nx, const double *y, size_t ny,
			  double *u, double *ties)
{
	size_t n = nx + ny;
	double *all = malloc(n * sizeof(*all)), rank_sum = 0.0;
	size_t *order = malloc(n * sizeof(*order));

	if (all == NULL || order == NULL) {
		free(all);
		free(order);
		return kmem_error(-ENOMEM, "no memory for %zu figures", n);
	}
	memcpy(all, x, nx * sizeof(*all));
	memcpy(all + nx, y, ny * sizeof(*all));
	gsl_sort_index(order, all, 1, n);
	*ties = 0.0;
	for (size_t i = 0, run; i < n; i += run) {
		double t;

		for (run = 1; i + run < n && all[order[i + run]] == all[order[i]];)
			run++;
		t = (double)run;
		*ties += t * t * t - t;
		for (size_t k = i; k < i + run; k++)
			rank_sum += order[k] >= nx ? (double)i + (t + 1) / 2 : 0.0;
	}
	*u = rank_sum - (double)ny * ((double)ny + 1) / 2;
	free(all);
	free(order);
	return 0;
}

int stats_mann_whitney(const double *x, size_t nx, const double *y, size_t ny,
		       struct stats_mann_whitney *out)
{
	double ties = 0.0, product = (double)nx * (double)ny, total = (double)(nx + ny);
	int err = stats_check_figures(x, nx);

	if (err == 0)
		err = stats_check_figures(y, ny);
	if (err == 0)
		err = rank_statistic(x, nx, y, ny, &out->u, &ties);
	if (err != 0)
		return err;
	out->exact = ties == 0.0 && nx <= STATS_EXACT_MAX && ny <= STATS_EXACT_MAX;
	if (out->exact) {
		out->p = 2 * mann_whitney_below(nx, ny, fmin(out->u, product - out->u));
		if (isnan(out->p))
			return kmem_error(-ENOMEM,
					  "no memory for the Mann-Whitney distribution");
	} else {
		double variance = product / 12 *
				  (total + 1 - ties / (total * (total - 1)));
		double distance = fmax(fabs(out->u - product / 2) - 0.5, 0.0);

		out->p = variance > 0 ? 2 * gsl_cdf_ugaussian_Q(distance / sqrt(variance))
				      : 1.0;
	}
	out->p = fmin(out->p, 1.0);
	return 0;
}

/* Deviations from the median into `out`; returns their mean, NaN without memory. */
static double deviations(const double *x, size_t n, double *out)
{
	double middle = stats_median(x, n);

	for (size_t i = 0; i < n; i++)
		out[i] = fabs(x[i] - middle);
	return isnan(middle) ? NAN : stats_mean(out, n);
}

double stats_mad(const double *x, size_t n)
{
	double *away = n > 0 ? malloc(n * sizeof(*away)) : NULL, mad = NAN;

	if (away != NULL && !isnan(deviations(x, n, away)))
		mad = stats_median(away, n);
	free(away);
	return mad;
}

/*
 * 0.6745 is the normal distribution's third quartile, and 0.7979 = sqrt(2 / pi) its mean
 * absolute deviation: either makes the score one of standard deviations.
 */
size_t stats_mark_outliers(const double *x, size_t n, bool *outlying)
{
	double *away = n > 0 ? malloc(n * sizeof(*away)) : NULL;
	double mean_away = away != NULL ? deviations(x, n, away) : NAN, unit = NAN;
	size_t count = 0;

	if (n >= STATS_OUTLIER_MIN && !isnan(mean_away)) {
		double mad = stats_median(away, n);

		unit = mad > 0 ? mad / 0.6745 : mean_away / 0.7979;
	}
	for (size_t i = 0; i < n; i++) {
		bool apart = unit > 0 && away[i] / unit > STATS_OUTLIER_SCORE;

		if (outlying != NULL)
			outlying[i] = apart;
		count += apart;
	}
	free(away);
	return count;
}
