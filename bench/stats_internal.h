/* SPDX-License-Identifier: MIT */
/* Shared by stats.c, stats_views.c and stats_bootstrap.c. */
#ifndef KMEMBENCH_STATS_INTERNAL_H
#define KMEMBENCH_STATS_INTERNAL_H

#include "bench/stats.h"

/* 0; -EINVAL for none or one that is not finite, -E2BIG for too many, with a text. */
int stats_check_figures(const double *x, size_t n);

/*
 * Exact null distributions of the Mann-Whitney statistic, rows of m * n + 1 numbers: row
 * i holds that of i figures against n. NULL without memory; the caller frees it.
 */
double *stats_mann_whitney_mass(size_t m, size_t n);

#endif /* KMEMBENCH_STATS_INTERNAL_H */
