/* SPDX-License-Identifier: MIT */
/* Estimates over blocks for pictures and tables. */
#include "bench/plot_data.h"

#include <gsl/gsl_cdf.h>
#include <gsl/gsl_sort.h>
#include <gsl/gsl_statistics_double.h>
#include <math.h>
#include <string.h>

#include "bench/plot_alloc.h"
#include "bench/slices.h"
#include "bench/stats.h"

/*
 * The k-th smallest and k-th largest of n values enclose the median with a probability of
 * 1 - 2 P(B <= k - 1), B binomial with n and 1/2: the largest k that leaves 95 %.
 */
static size_t order_statistic(size_t n)
{
	size_t k = 0;

	while (gsl_cdf_binomial_P((unsigned int)k, 0.5, (unsigned int)n) <= 0.025)
		k++;
	return k; /* counted from 1; 0: no such interval */
}

void summarise(double *values, size_t count, struct summary *s)
{
	size_t k;

	gsl_sort(values, 1, count);
	k = count >= SUMMARY_MIN_BLOCKS ? order_statistic(count) : 0;
	*s = (struct summary){
		.middle = gsl_stats_median_from_sorted_data(values, 1, count),
		.low = values[k > 0 ? k - 1 : 0],
		.high = values[k > 0 ? count - k : count - 1],
		.blocks = count,
		.interval = k > 0,
	};
}

bool dataset_summary(const struct measurement *m, const char *metric, struct summary *s)
{
	double *values = plot_calloc(m->nr_blocks, sizeof(*values));
	size_t n = 0;

	for (size_t i = 0; i < m->nr_blocks; i++) {
		if (result_metric(&m->blocks[i], metric, &values[n]))
			n++;
	}
	if (n > 0)
		summarise(values, n, s);
	free(values);
	return n > 0;
}

bool summarise_log_ratios(double *logs, size_t count, struct summary *s)
{
	if (count == 0)
		return false;
	summarise(logs, count, s);
	s->interval = false;
	if (count >= SUMMARY_MIN_BLOCKS) {
		struct stats_interval hl;

		if (stats_hodges_lehmann(logs, count, 0.95, &hl) == 0 && hl.bounded) {
			s->middle = hl.estimate;
			s->low = hl.low;
			s->high = hl.high;
			s->interval = true;
		}
	}
	s->middle = exp(s->middle);
	s->low = exp(s->low);
	s->high = exp(s->high);
	return true;
}

/* The block of the same number, which ran close in time; NULL when it did not run. */
static const struct result_entry *same_block(const struct measurement *m, int block)
{
	for (size_t i = 0; i < m->nr_blocks; i++) {
		if (m->blocks[i].block == block)
			return &m->blocks[i];
	}
	return NULL;
}

/*
 * Logarithm of the ratio of one block to the baseline's block of the same number. Of
 * times that were measured in slices, round by round as compare does it: a rotation that
 * the baseline was not in can only be paired where the baseline was its reference.
 */
static bool log_ratio(const struct result_entry *e, const struct measurement *baseline,
		      const char *metric, double *log_out)
{
	const struct result_entry *other = baseline != NULL
						   ? same_block(baseline, e->block)
						   : NULL;
	double x, y;

	if (other == NULL || !result_metric(e, metric, &x) ||
	    !result_metric(other, metric, &y))
		return false;
	if (!(x > 0) || !(y > 0))
		return false;
	if (strcmp(metric, "real_time") == 0) {
		const char *reference = slices_reference(e->json);
		bool along = reference != NULL &&
			     strcmp(reference, other->allocator) == 0;

		if (slices_compare(e->json, other->json, along ? other->json : NULL,
				   log_out))
			return true;
	}
	*log_out = log(x / y);
	return true;
}

bool dataset_ratio(const struct measurement *m, const struct measurement *baseline,
		   const char *metric, struct summary *s)
{
	double *logs = plot_calloc(m->nr_blocks, sizeof(*logs));
	size_t n = 0;
	bool ok;

	for (size_t i = 0; i < m->nr_blocks; i++) {
		if (log_ratio(&m->blocks[i], baseline, metric, &logs[n]))
			n++;
	}
	ok = summarise_log_ratios(logs, n, s);
	free(logs);
	return ok;
}

/* Lower is better suited; a floor or an allocator of ours is the last resort. */
static int baseline_preference(const struct series *s)
{
	if (strcmp(s->allocator, "glibc") == 0)
		return 0;
	if (strcmp(s->allocator, "mmap") == 0)
		return 1;
	if (s->kind == SERIES_PEER)
		return 2;
	return s->kind == SERIES_OURS ? 3 : 4;
}

int dataset_baseline(const struct dataset *d, size_t cell)
{
	int best = -1;

	for (size_t i = 0; i < d->nr_series; i++) {
		if (dataset_at(d, cell, i)->nr_blocks == 0)
			continue;
		if (best < 0 || baseline_preference(&d->series[i]) <
					baseline_preference(&d->series[best]))
			best = (int)i;
	}
	/* Of the same allocator in several files the first stands for all. */
	for (int i = 0; i < best; i++) {
		if (strcmp(d->series[i].allocator, d->series[best].allocator) == 0)
			return i;
	}
	return best;
}

const struct measurement *dataset_baseline_at(const struct dataset *d, size_t cell,
					      int baseline, size_t series)
{
	for (size_t i = 0; i < d->nr_series; i++) {
		if (d->series[i].file == d->series[series].file &&
		    strcmp(d->series[i].allocator, d->series[baseline].allocator) == 0)
			return dataset_at(d, cell, i);
	}
	return NULL;
}

/* Mean over rows of the log ratios of one block; false when a row lacks the block. */
static bool block_mean(const struct dataset *d, size_t series, int baseline,
		       const bool *row_counts, int block, double *mean)
{
	double sum = 0;
	size_t rows = 0;

	for (size_t c = 0; c < d->nr_cells; c++) {
		const struct result_entry *e;
		double x;

		if (!row_counts[c])
			continue;
		e = same_block(dataset_at(d, c, series), block);
		if (e == NULL ||
		    !log_ratio(e, dataset_baseline_at(d, c, baseline, series),
			       "real_time", &x))
			return false;
		sum += x;
		rows++;
	}
	*mean = rows > 0 ? sum / (double)rows : 0;
	return rows > 0;
}

bool dataset_geomean(const struct dataset *d, size_t series, int baseline,
		     struct geomean *out)
{
	bool *counts = plot_calloc(d->nr_cells, sizeof(*counts));
	double *means;
	size_t fewest, most, n = 0;
	const struct measurement *first = NULL;
	bool ok;

	*out = (struct geomean){.rows = 0};
	for (size_t c = 0; baseline >= 0 && c < d->nr_cells; c++) {
		struct summary ratio;

		if (dataset_baseline(d, c) != baseline)
			continue;
		out->rows_possible++;
		counts[c] = dataset_ratio(dataset_at(d, c, series),
					  dataset_baseline_at(d, c, baseline, series),
					  "real_time", &ratio);
		if (counts[c] && first == NULL)
			first = dataset_at(d, c, series);
		out->rows += counts[c];
	}
	dataset_block_range(d, &fewest, &most);
	means = plot_calloc(most, sizeof(*means));
	for (size_t i = 0; first != NULL && i < first->nr_blocks; i++) {
		if (block_mean(d, series, baseline, counts, first->blocks[i].block,
			       &means[n]))
			n++;
	}
	ok = summarise_log_ratios(means, n, &out->ratio);
	free(means);
	free(counts);
	return ok;
}
