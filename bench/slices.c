/* SPDX-License-Identifier: MIT */
/* A block's estimate from slices: see slices.h. */
#include "bench/slices.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/stats.h"

double slices_log_ratio(const double *a, const double *b, size_t n)
{
	double *ratio = malloc((n + 1) * sizeof(*ratio));
	double mean = NAN;
	size_t kept = 0;

	if (ratio == NULL)
		return NAN;
	for (size_t i = 0; i < n; i++) {
		if (a[i] > 0 && b[i] > 0)
			ratio[kept++] = log(a[i] / b[i]);
	}
	if (kept > 0)
		mean = stats_trimmed_mean(ratio, kept, SLICES_TRIM);
	free(ratio);
	return mean;
}

static const json_t *slices_of(const json_t *entry)
{
	return json_object_get(json_object_get(entry, "kmembench"), "slices");
}

const char *slices_reference(const json_t *entry)
{
	return json_string_value(json_object_get(slices_of(entry), "reference"));
}

/* The same from two arrays of JSON; a round that one of them lacks is null. */
static bool compare_arrays(const json_t *a, const json_t *b, double *log_ratio)
{
	size_t n = json_array_size(a) < json_array_size(b) ? json_array_size(a)
							   : json_array_size(b);
	double *x = malloc((2 * n + 1) * sizeof(*x));

	if (x == NULL)
		return false;
	for (size_t i = 0; i < n; i++) {
		x[i] = json_number_value(json_array_get(a, i));
		x[n + i] = json_number_value(json_array_get(b, i));
	}
	*log_ratio = slices_log_ratio(x, x + n, n);
	free(x);
	return isfinite(*log_ratio);
}

/* An entry against the reference in the entry's own rotation. */
static bool against_reference(const json_t *entry, const json_t *reference,
			      double *log_ratio)
{
	const json_t *own = slices_of(entry), *other = slices_of(reference);
	const json_t *along = json_object_get(own, "reference_ns_per_op");

	if (along == NULL && json_equal(json_object_get(own, "rotation"),
					json_object_get(other, "rotation")))
		along = json_object_get(other, "ns_per_op");
	return along != NULL &&
	       compare_arrays(json_object_get(own, "ns_per_op"), along, log_ratio);
}

bool slices_compare(const json_t *a, const json_t *b, const json_t *reference,
		    double *log_ratio)
{
	const json_t *x = slices_of(a), *y = slices_of(b);
	double of_a, of_b;

	if (x == NULL || y == NULL)
		return false;
	if (json_equal(json_object_get(x, "rotation"), json_object_get(y, "rotation")))
		return compare_arrays(json_object_get(x, "ns_per_op"),
				      json_object_get(y, "ns_per_op"), log_ratio);
	/* One of the two may be the reference: its own ratio is 1. */
	of_a = of_b = 0;
	if (slices_reference(a) == NULL || slices_reference(b) == NULL ||
	    strcmp(slices_reference(a), slices_reference(b)) != 0)
		return false;
	if (a != reference && !against_reference(a, reference, &of_a))
		return false;
	if (b != reference && !against_reference(b, reference, &of_b))
		return false;
	*log_ratio = of_a - of_b;
	return true;
}
