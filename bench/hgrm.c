/* SPDX-License-Identifier: MIT */
#include "bench/hgrm.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include <kmem/error.h>

/* HdrHistogram's default: steps for each halving of the distance to 100 %. */
#define STEPS_PER_HALF 5
/* Ten halvings below a single sample of 2^40, and a step of a double: none comes closer.
 */
#define LEVEL_MAX (1 - 0x1p-50)

bool hgrm_is_histogram(const json_t *histogram)
{
	return json_is_array(json_object_get(histogram, "buckets")) &&
	       json_is_integer(json_object_get(histogram, "sub_bits"));
}

/*
 * Middle of a bucket in ticks: the inverse of histogram_index() of
 * workloads/harness/histogram.h for any number of sub-bucket bits.
 */
static double bucket_middle(uint64_t index, unsigned int sub_bits)
{
	uint64_t sub = (uint64_t)1 << sub_bits;
	int shift;

	if (index < sub)
		return (double)index;
	shift = (int)(index / sub) - 1;
	return ldexp((double)(sub + index % sub) + 0.5, shift) - 0.5;
}

static int add_bucket(struct hgrm *h, const json_t *pair, double tick_ns, double min_ns,
		      double max_ns)
{
	json_int_t index = json_integer_value(json_array_get(pair, 0));
	json_int_t count = json_integer_value(json_array_get(pair, 1));
	double ns;

	if (index < 0 || index >= (json_int_t)64 << h->sub_bits || count <= 0)
		return kmem_error(-EINVAL, "a latency histogram has a damaged bucket");
	ns = bucket_middle((uint64_t)index, h->sub_bits) * tick_ns;
	ns = ns < min_ns ? min_ns : ns > max_ns ? max_ns : ns;
	h->values[h->nr_values++] = (struct hgrm_value){ns, (uint64_t)count};
	h->count += (uint64_t)count;
	return 0;
}

int hgrm_add(struct hgrm *h, const json_t *histogram)
{
	const json_t *buckets = json_object_get(histogram, "buckets");
	double tick_ns = json_number_value(json_object_get(histogram, "ns_per_tick"));
	double min_ns = json_number_value(json_object_get(histogram, "min"));
	double max_ns = json_number_value(json_object_get(histogram, "max"));
	json_int_t bits = json_integer_value(json_object_get(histogram, "sub_bits"));
	size_t n = json_array_size(buckets);
	uint64_t before = h->count;
	struct hgrm_value *values;
	int err = 0;

	if (!(tick_ns > 0) || bits < 1 || bits > 16)
		return kmem_error(-EINVAL,
				  "a latency histogram lacks ns_per_tick or sub_bits");
	values = realloc(h->values, (h->nr_values + n + 1) * sizeof(*values));
	if (values == NULL)
		return kmem_error(-ENOMEM, "no memory for a latency histogram");
	h->values = values;
	h->sub_bits = (unsigned int)bits;
	for (size_t i = 0; i < n && err == 0; i++)
		err = add_bucket(h, json_array_get(buckets, i), tick_ns, min_ns, max_ns);
	if (err != 0)
		return err;
	h->sum_ns += json_number_value(json_object_get(histogram, "mean")) *
		     (double)(h->count - before);
	if (max_ns > h->max_ns)
		h->max_ns = max_ns;
	return 0;
}

static int by_value(const void *a, const void *b)
{
	const struct hgrm_value *x = a, *y = b;

	return (x->ns > y->ns) - (x->ns < y->ns);
}

/* On sorted values. */
static double value_at(const struct hgrm *h, double quantile, uint64_t *up_to)
{
	uint64_t rank = (uint64_t)ceil(quantile * (double)h->count), seen = 0;

	for (size_t i = 0; i < h->nr_values; i++) {
		seen += h->values[i].count;
		if (seen >= rank || i + 1 == h->nr_values) {
			/* What lies at the same value belongs to it. */
			while (i + 1 < h->nr_values &&
			       h->values[i + 1].ns <= h->values[i].ns)
				seen += h->values[++i].count;
			if (up_to != NULL)
				*up_to = seen;
			return h->values[i].ns;
		}
	}
	if (up_to != NULL)
		*up_to = 0;
	return 0;
}

static void sort_values(struct hgrm *h)
{
	if (h->nr_values > 1)
		qsort(h->values, h->nr_values, sizeof(*h->values), by_value);
}

double hgrm_quantile(struct hgrm *h, double quantile, uint64_t *up_to)
{
	sort_values(h);
	return value_at(h, quantile, up_to);
}

static double mean(const struct hgrm *h)
{
	return h->count > 0 ? h->sum_ns / (double)h->count : 0;
}

static double standard_deviation(const struct hgrm *h)
{
	double m = mean(h), sum = 0;

	for (size_t i = 0; i < h->nr_values; i++)
		sum += (double)h->values[i].count * (h->values[i].ns - m) *
		       (h->values[i].ns - m);
	return h->count > 0 ? sqrt(sum / (double)h->count) : 0;
}

/* The next level: the step is a fifth of the distance's next power of two. */
static double next_level(double level)
{
	double halvings = floor(log2(1 / (1 - level))) + 1;

	return level + 1 / (STEPS_PER_HALF * exp2(halvings));
}

void hgrm_write(struct hgrm *h, FILE *out)
{
	double level = 0;
	uint64_t up_to = 0;

	sort_values(h);
	fprintf(out, "%12s %14s %10s %14s\n\n", "Value", "Percentile", "TotalCount",
		"1/(1-Percentile)");
	while (h->count > 0 && up_to < h->count && level < LEVEL_MAX) {
		double ns = value_at(h, level, &up_to);

		/* The last bucket's middle is not the maximum, which is known. */
		if (up_to == h->count)
			ns = h->max_ns;
		fprintf(out, "%12.3f %2.12f %10llu %14.2f\n", ns, level,
			(unsigned long long)up_to, 1 / (1 - level));
		level = next_level(level);
	}
	if (h->count > 0)
		fprintf(out, "%12.3f %2.12f %10llu\n", h->max_ns, 1.0,
			(unsigned long long)h->count);
	fprintf(out, "#[Mean    = %12.3f, StdDeviation   = %12.3f]\n", mean(h),
		standard_deviation(h));
	fprintf(out, "#[Max     = %12.3f, Total count    = %12llu]\n", h->max_ns,
		(unsigned long long)h->count);
	fprintf(out, "#[Buckets = %12d, SubBuckets     = %12d]\n",
		40 - (int)h->sub_bits + 1, 1 << h->sub_bits);
}

void hgrm_clear(struct hgrm *h)
{
	free(h->values);
	*h = (struct hgrm){0};
}
