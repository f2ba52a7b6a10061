/* SPDX-License-Identifier: MIT */
/*
 * Latency histograms as HdrHistogram's percentile text (".hgrm").
 *
 * The text is what HistogramLogProcessor and outputPercentileDistribution() write, and
 * what the plotters of that world read: a header, a row for each percentile level
 * with value, level, samples up to the value and 1 / (1 - level), a last row for 100 %
 * without the fourth column, and three footer lines that start with "#[". Levels come
 * closer as they approach 100 %: five steps for each halving of the distance.
 * Values are in ns.
 */
#ifndef KMEMBENCH_HGRM_H
#define KMEMBENCH_HGRM_H

#include <jansson.h>
#include <stdio.h>

#include <kmem/compiler.h>

/* Samples of one or more histograms, by value. Zeroed: empty. hgrm_clear() frees it. */
struct hgrm {
	struct hgrm_value {
		double ns;
		uint64_t count;
	} * values;
	size_t nr_values;
	uint64_t count;
	double sum_ns, max_ns;
	unsigned int sub_bits; /* of the histograms, for the footer */
};

/* True for a member of an entry's "latency" that is a histogram. */
bool hgrm_is_histogram(const json_t *histogram);

/*
 * Adds the samples of one histogram of a results file. Each process's clock has ticks
 * of its own length, and so its own buckets: a bucket goes in as its middle in ns,
 * within the histogram's minimum and maximum, and is not put into other buckets, so
 * that merging adds no error. 0, or -EINVAL or -ENOMEM with a text.
 */
int hgrm_add(struct hgrm *h, const json_t *histogram);

/* The least value that at least this share of the samples does not exceed; and in
 * *up_to, unless it is NULL, how many do not. Sorts. 0 when there are none. */
double hgrm_quantile(struct hgrm *h, double quantile, uint64_t *up_to);

/* Writes the text. Sorts. */
void hgrm_write(struct hgrm *h, FILE *out);

void hgrm_clear(struct hgrm *h);

#endif /* KMEMBENCH_HGRM_H */
