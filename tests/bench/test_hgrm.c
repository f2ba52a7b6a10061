/* SPDX-License-Identifier: MIT */
/* Histograms of unlike clocks merged, and the percentile text. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/hgrm.h"
#include "workloads/harness/histogram.h"
#include "workloads/harness/rng_fast.h"

#define SAMPLES 20000

static double sample_ns[2 * SAMPLES];

/* As a results file has it. */
static json_t *to_json(const struct histogram *h, double tick_ns)
{
	json_t *buckets = json_array();

	for (unsigned int i = 0; i < HISTOGRAM_BUCKETS; i++) {
		if (h->bucket[i] != 0)
			json_array_append_new(
				buckets,
				json_pack("[i, I]", (int)i, (json_int_t)h->bucket[i]));
	}
	return json_pack("{s:I, s:f, s:f, s:f, s:i, s:f, s:o}", "count",
			 (json_int_t)h->count, "min", (double)h->min * tick_ns, "max",
			 (double)h->max * tick_ns, "mean", histogram_mean(h) * tick_ns,
			 "sub_bits", HISTOGRAM_BITS, "ns_per_tick", tick_ns, "buckets",
			 buckets);
}

/* The same distribution of times, seen by a clock with ticks of this length. */
static json_t *draw(uint64_t seed, double tick_ns, double *ns)
{
	static struct histogram h;
	struct rng rng = {seed};

	histogram_reset(&h);
	for (int i = 0; i < SAMPLES; i++) {
		uint64_t ticks = (uint64_t)(20 * exp(rng_double(&rng) * 8) / tick_ns);

		histogram_add(&h, ticks);
		ns[i] = (double)ticks * tick_ns;
	}
	return to_json(&h, tick_ns);
}

static int by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* One process's ticks are 0.4 ns long, the other's 10 ns: values, not buckets, merge. */
static void unlike_clocks_merge_by_value(void **state)
{
	static const double quantiles[] = {0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1};
	json_t *fine = draw(1, 0.4, sample_ns);
	json_t *coarse = draw(2, 10, sample_ns + SAMPLES);
	struct hgrm h = {0};
	double sum = 0;

	(void)state;
	assert_true(hgrm_is_histogram(fine));
	assert_int_equal(hgrm_add(&h, fine), 0);
	assert_int_equal(hgrm_add(&h, coarse), 0);
	assert_int_equal(h.count, 2 * SAMPLES);
	qsort(sample_ns, 2 * SAMPLES, sizeof(double), by_value);
	for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
		size_t rank = (size_t)ceil(quantiles[i] * 2 * SAMPLES);
		uint64_t up_to;
		double got = hgrm_quantile(&h, quantiles[i], &up_to);

		assert_true(fabs(got - sample_ns[rank - 1]) <= sample_ns[rank - 1] / 64);
		assert_true(up_to >= rank);
	}
	for (size_t i = 0; i < 2 * SAMPLES; i++)
		sum += sample_ns[i];
	assert_true(fabs(h.sum_ns - sum) < 1e-6 * sum);
	assert_true(fabs(h.max_ns - sample_ns[2 * SAMPLES - 1]) < 1e-6 * h.max_ns);
	hgrm_clear(&h);
	json_decref(fine);
	json_decref(coarse);
}

static char *written(struct hgrm *h)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	hgrm_write(h, out);
	fclose(out);
	return text;
}

/* Ten samples of 10 ns, and one of 5000: what HdrHistogram would write. */
static void the_text_is_hdrhistograms(void **state)
{
	static struct histogram samples;
	struct hgrm h = {0};
	json_t *json;
	char *text;

	(void)state;
	histogram_reset(&samples);
	for (int i = 0; i < 10; i++)
		histogram_add(&samples, 10);
	histogram_add(&samples, 5000);
	json = to_json(&samples, 1);
	assert_int_equal(hgrm_add(&h, json), 0);
	text = written(&h);
	assert_int_equal(
		strncmp(text,
			"       Value     Percentile TotalCount 1/(1-Percentile)\n"
			"\n"
			"      10.000 0.000000000000         10           1.00\n"
			"      10.000 0.100000000000         10           1.11\n"
			"      10.000 0.200000000000         10           1.25\n",
			strlen("       Value     Percentile TotalCount "
			       "1/(1-Percentile)\n\n") +
				3 * 54),
		0);
	/* 10 of 11 are 0.909; the first level beyond is five steps a halving further. */
	assert_non_null(strstr(text, "\n      10.000 0.900000000000         10 "));
	assert_non_null(strstr(text, "\n    5000.000 0.912500000000         11 "));
	assert_non_null(strstr(text,
			       "\n    5000.000 1.000000000000         11\n#[Mean    ="
			       "      463.636, StdDeviation   =     1434.5"));
	assert_non_null(strstr(text, "\n#[Max     =     5000.000, Total count    ="
				     "           11]\n"));
	assert_non_null(strstr(text, "\n#[Buckets =           35, SubBuckets     ="
				     "           64]\n"));
	free(text);
	hgrm_clear(&h);
	json_decref(json);
}

static void nothing_and_damage(void **state)
{
	struct hgrm h = {0};
	json_t *json = json_pack("{s:i, s:f, s:f, s:f, s:[[i,i]]}", "sub_bits", 6,
				 "ns_per_tick", 1.0, "min", 1.0, "max", 1.0, "buckets",
				 100000, 1);
	char *text = written(&h);

	(void)state;
	assert_non_null(strstr(text, "Total count    =            0]"));
	free(text);
	assert_true(hgrm_quantile(&h, 0.5, NULL) == 0);
	assert_int_not_equal(hgrm_add(&h, json), 0);
	json_object_set_new(json, "ns_per_tick", json_real(0));
	assert_int_not_equal(hgrm_add(&h, json), 0);
	assert_false(hgrm_is_histogram(NULL));
	hgrm_clear(&h);
	json_decref(json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unlike_clocks_merge_by_value),
		cmocka_unit_test(the_text_is_hdrhistograms),
		cmocka_unit_test(nothing_and_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
