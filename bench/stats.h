/* SPDX-License-Identifier: MIT */
/*
 * Statistics of a handful of noisy figures.
 *
 * Sorting, quantiles, means and the normal distribution come from the GNU Scientific
 * Library. What it lacks stands here: the Hodges-Lehmann estimates of a location and of
 * a shift, with the distribution-free intervals that belong to them.
 *
 * All functions leave their input as it is, may allocate, and may be called from any
 * thread. Figures must be finite.
 */
#ifndef KMEMBENCH_STATS_H
#define KMEMBENCH_STATS_H

#include <kmem/compiler.h>

/* Up to this many figures (of each sample) null distributions are exact, then normal. */
#define STATS_EXACT_MAX 50
/* More figures than this are refused: the estimates look at all pairs. */
#define STATS_FIGURES_MAX 4096
/* Fewest blocks that a two-sided 95 % signed-rank interval can be given for. */
#define STATS_SIGNED_RANK_MIN_95 6

struct stats_interval {
	double estimate;
	bool bounded;	   /* false: too few figures for this confidence, no bounds */
	double low, high;  /* estimate itself when not bounded */
	double confidence; /* achieved: at least what was asked for; 0 when not bounded */
};

/*
 * Location of a symmetric distribution from n differences or log ratios: the median of
 * all pairwise means, and the interval from inverting the Wilcoxon signed-rank test.
 * Source: Hodges & Lehmann 1963; Hollander, Wolfe & Chicken, Nonparametric Statistical
 * Methods (3rd ed.), sections 3.2 and 3.3.
 * Returns 0, -EINVAL (no or non-finite figures), -E2BIG or -ENOMEM, with an error text.
 */
KMEM_MUST_CHECK int stats_hodges_lehmann(const double *x, size_t n, double confidence,
					 struct stats_interval *out);

/*
 * By how much y lies above x: the median of all differences y[j] - x[i], and the interval
 * from inverting the Mann-Whitney test. Same source, sections 4.2 and 4.3. Errors as
 * above.
 */
KMEM_MUST_CHECK int stats_hodges_lehmann_shift(const double *x, size_t nx,
					       const double *y, size_t ny,
					       double confidence,
					       struct stats_interval *out);

/*
 * The tests' lower critical ranks: the largest k with P(statistic < k) <= tail under the
 * null hypothesis, 0 when there is none; *achieved (may be NULL) gets that probability.
 * The interval runs from the k-th smallest to the k-th largest pairwise figure.
 * `ties` is the sum of t^3 - t over runs of t equal figures within each sample; only the
 * normal approximation uses it. SIZE_MAX on failure (-ENOMEM text).
 */
size_t stats_signed_rank_critical(size_t n, double tail, double *achieved);
size_t stats_mann_whitney_critical(size_t m, size_t n, double ties, double tail,
				   double *achieved);

/* --- the conventional second views: bench/stats_views.c, bench/stats_bootstrap.c --- */

/*
 * Mann-Whitney test of two independent samples against "neither lies above the other",
 * two-sided. Exact when no two figures are equal and neither sample has more than
 * STATS_EXACT_MAX; else the normal approximation with its variance corrected for ties and
 * a continuity correction of 1/2 (what R's wilcox.test does).
 * Source: Hollander, Wolfe & Chicken (3rd ed.), section 4.1.
 */
struct stats_mann_whitney {
	double u; /* pairs in which y lies above x, equal ones counted 1/2 */
	double p; /* two-sided; 1 when all figures are equal */
	bool exact;
};
/* 0, -EINVAL (no or non-finite figures), -E2BIG or -ENOMEM, with an error text. */
KMEM_MUST_CHECK int stats_mann_whitney(const double *x, size_t nx, const double *y,
				       size_t ny, struct stats_mann_whitney *out);

/* A figure of one or two samples; y is NULL where there is one. Must not keep them. */
typedef double stats_statistic(const double *x, size_t nx, const double *y, size_t ny);
/* mean(y) / mean(x), and the same of medians. */
stats_statistic stats_ratio_of_means, stats_ratio_of_medians;

/* Resamples by default: the bounds' own error is then some 2 % of the interval's width.
 */
#define STATS_BOOTSTRAP_RESAMPLES 4000
/* Fewer figures in a sample than this do not show what the next one may be like. */
#define STATS_BOOTSTRAP_MIN 5

/*
 * Bias-corrected and accelerated (BCa) bootstrap interval of a statistic; the samples are
 * resampled apart. The same seed gives the same interval. low and high are the percentile
 * interval's where correction is not possible (all resamples alike).
 * Source: Efron & Tibshirani, An Introduction to the Bootstrap (1993), chapter 14.
 */
struct stats_bootstrap {
	struct stats_interval
		interval;    /* not bounded below STATS_BOOTSTRAP_MIN figures */
	double bias;	     /* z0, 0 for a median-unbiased statistic */
	double acceleration; /* a, from the jackknife */
	size_t resamples;
};
/* x, nx and, for two samples, y, ny (NULL, 0 else). Errors as above. */
KMEM_MUST_CHECK int stats_bootstrap(stats_statistic *statistic, const double *x,
				    size_t nx, const double *y, size_t ny,
				    double confidence, uint64_t seed,
				    struct stats_bootstrap *out);

/*
 * Marks figures that lie apart from the rest: outlying[i] where the modified z-score
 * 0.6745 |x - median| / MAD exceeds STATS_OUTLIER_SCORE. Where more than half of the
 * figures are equal (MAD is 0) the mean absolute deviation takes its place, with 0.7979.
 * Of fewer than STATS_OUTLIER_MIN figures none is marked. Returns how many are; outlying
 * may be NULL. Nothing is ever dropped for it: a mark is a question, not an answer.
 * Source: Iglewicz & Hoaglin, How to Detect and Handle Outliers (ASQC, 1993).
 */
#define STATS_OUTLIER_SCORE 3.5
#define STATS_OUTLIER_MIN   5
size_t stats_mark_outliers(const double *x, size_t n, bool *outlying);

/* The following return NaN for no figures or when memory is short. */
double stats_median(const double *x, size_t n);
/* Median absolute deviation from the median, as it is (not scaled to a normal's sd). */
double stats_mad(const double *x, size_t n);
/* Linear interpolation between order statistics (type 7 of Hyndman & Fan 1996). */
double stats_quantile(const double *x, size_t n, double q);
/* Mean without the given fraction of the figures at each end; fraction in [0, 0.5). */
double stats_trimmed_mean(const double *x, size_t n, double fraction);
double stats_mean(const double *x, size_t n);
/* Sample standard deviation (n - 1); NaN for fewer than two figures. */
double stats_sd(const double *x, size_t n);

#endif /* KMEMBENCH_STATS_H */
