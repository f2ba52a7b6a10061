/* SPDX-License-Identifier: MIT */
/* The table that run and sweep print: one row a cell, medians over the blocks. */
#include <gsl/gsl_sort.h>
#include <gsl/gsl_statistics_double.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/campaign.h"

/* Medians of one cell's blocks. */
struct row {
	const char *key;
	json_t **entries;
	size_t count;
	const char *failure;
	bool simulated; /* nodes are */
};

static double median_of(const struct row *row, const char *field, bool *present)
{
	double *values = malloc((row->count + 1) * sizeof(*values));
	double median = 0;
	size_t n = 0;

	if (values == NULL)
		abort();
	for (size_t i = 0; i < row->count; i++) {
		json_t *value = json_object_get(row->entries[i], field);

		if (json_is_number(value))
			values[n++] = json_number_value(value);
	}
	*present = n > 0;
	if (n > 0) {
		gsl_sort(values, 1, n);
		median = gsl_stats_median_from_sorted_data(values, 1, n);
	}
	free(values);
	return median;
}

static void print_number(const struct row *row, const char *field, double scale,
			 int width, int digits)
{
	bool present;
	double value = median_of(row, field, &present) / scale;

	if (present)
		printf("  %*.*f", width, value >= 10000 ? 0 : digits, value);
	else
		printf("  %*s", width, "-");
}

/* A single sample says no more than the clock's granularity. */
static void print_latency(const struct row *row, const char *field, double granularity_ns)
{
	bool present;
	double value = median_of(row, field, &present);
	char below[32];

	if (present && value < granularity_ns) {
		snprintf(below, sizeof(below), "<%.0f", granularity_ns);
		printf("  %9s", below);
	} else {
		print_number(row, field, 1, 9, 1);
	}
}

static void print_row(const struct row *row, int width, double granularity_ns)
{
	printf("%-*s", width, row->key);
	if (row->failure != NULL) {
		printf("  failed: %.*s\n", (int)strcspn(row->failure, "\n"),
		       row->failure);
		return;
	}
	print_number(row, "real_time", 1, 9, 2);
	print_latency(row, "latency_alloc_ns_p50", granularity_ns);
	print_latency(row, "latency_alloc_ns_p99_9", granularity_ns);
	print_latency(row, "latency_free_ns_p50", granularity_ns);
	print_latency(row, "latency_free_ns_p99_9", granularity_ns);
	print_number(row, "rss_bytes_peak", 1 << 20, 9, 2);
	printf("  %3zu%s\n", row->count, row->simulated ? "  simulated nodes" : "");
}

/* Entries of one cell stand together, block after block. */
static size_t take_row(json_t *list, size_t start, struct row *row)
{
	size_t end = start;

	memset(row, 0, sizeof(*row));
	row->key =
		json_string_value(json_object_get(json_array_get(list, start), "name"));
	row->entries = calloc(json_array_size(list) + 1, sizeof(json_t *));
	if (row->entries == NULL)
		abort();
	for (; end < json_array_size(list); end++) {
		json_t *entry = json_array_get(list, end);
		const json_t *numa = json_object_get(json_object_get(entry, "kmembench"),
						     "numa");

		if (strcmp(json_string_value(json_object_get(entry, "name")), row->key) !=
		    0)
			break;
		row->simulated |= json_is_true(json_object_get(numa, "simulated"));
		if (json_is_true(json_object_get(entry, "error_occurred")))
			row->failure = json_string_value(
				json_object_get(entry, "error_message"));
		else
			row->entries[row->count++] = entry;
	}
	return end;
}

void campaign_print(const json_t *root)
{
	json_t *list = json_object_get(root, "benchmarks");
	json_t *ours = json_object_get(json_object_get(root, "context"), "kmembench");
	json_t *clock = json_object_get(ours, "clock");
	double granularity_ns =
		json_number_value(json_object_get(clock, "granularity_ns"));
	int width = 4;

	if (json_array_size(list) == 0)
		return;
	for (size_t i = 0; i < json_array_size(list); i++) {
		json_t *name = json_object_get(json_array_get(list, i), "name");

		if ((int)json_string_length(name) > width)
			width = (int)json_string_length(name);
	}
	printf("%-*s  %9s  %9s  %9s  %9s  %9s  %9s  %3s\n", width, "", "ns/op",
	       "alloc p50", "p99.9 ns", "free p50", "p99.9 ns", "RSS MiB", "n");
	for (size_t i = 0; i < json_array_size(list);) {
		struct row row;

		i = take_row(list, i, &row);
		print_row(&row, width, granularity_ns);
		free(row.entries);
	}
	if (json_is_true(
		    json_object_get(json_object_get(ours, "machine"), "simulated_numa")))
		puts("simulated: memory nodes other than the machine's; placement is real, "
		     "remote access costs nothing");
}
