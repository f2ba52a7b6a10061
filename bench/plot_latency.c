/* SPDX-License-Identifier: MIT */
/*
 * latency-percentiles: for each cell, time of one operation by percentile, alloc and free
 * apart, and beside them what else a workload times: an open loop its service and
 * response times. The axis is HdrHistogram's, logarithmic in 1 / (1 - quantile).
 * Histograms of all blocks are merged; percentiles never are.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <kmem/error.h>

#include "bench/plot_alloc.h"
#include "bench/plot_internal.h"
#include "bench/plot_latency.h"

/* Points on the curve per factor of ten of 1 / (1 - quantile). */
#define POINTS_PER_DECADE 24
/* A quantile is drawn when at least this many samples lie beyond it: fewer are the luck
 * of the run. */
#define SAMPLES_BEYOND 10
/* Histograms of a cell that have a panel: alloc, free, and what its workload adds. */
#define PANELS_MAX 6

static int by_value(const void *a, const void *b)
{
	const struct latency_bucket *x = a, *y = b;

	return (x->ns > y->ns) - (x->ns < y->ns);
}

/*
 * Middle of a bucket in ticks: see workloads/harness/histogram.h, from whose index this
 * is derived for any number of sub-bucket bits.
 */
static double bucket_middle(uint64_t index, unsigned int sub_bits)
{
	uint64_t sub = 1ull << sub_bits;
	unsigned int shift;

	if (index < sub)
		return (double)index;
	shift = (unsigned int)(index / sub) - 1;
	return ldexp((double)(sub + index % sub) + 0.5, (int)shift) - 0.5;
}

static void add_buckets(struct latency_curve *curve, const json_t *histogram)
{
	const json_t *buckets = json_object_get(histogram, "buckets");
	double tick = json_number_value(json_object_get(histogram, "ns_per_tick"));
	json_int_t bits = json_integer_value(json_object_get(histogram, "sub_bits"));

	if (!(tick > 0) || bits < 1 || bits > 16)
		return;
	for (size_t i = 0; i < json_array_size(buckets); i++) {
		const json_t *pair = json_array_get(buckets, i);
		json_int_t index = json_integer_value(json_array_get(pair, 0));
		json_int_t count = json_integer_value(json_array_get(pair, 1));

		if (index < 0 || index >= (64 << bits) || count <= 0)
			continue;
		curve->buckets = plot_grow(curve->buckets, curve->nr_buckets,
					   sizeof(*curve->buckets));
		curve->buckets[curve->nr_buckets++] = (struct latency_bucket){
			.ns = bucket_middle((uint64_t)index, (unsigned int)bits) * tick,
			.count = (uint64_t)count,
		};
		curve->count += (uint64_t)count;
	}
}

bool latency_curve(const struct measurement *m, const char *operation,
		   struct latency_curve *curve)
{
	*curve = (struct latency_curve){.granularity_ns = 1};
	for (size_t i = 0; i < m->nr_blocks; i++) {
		const json_t *latency = json_object_get(m->blocks[i].kmembench,
							"latency");
		const json_t *pair = json_object_get(latency, "clock_pair_ns");
		double step = json_number_value(
			json_object_get(latency, "clock_granularity_ns"));

		if (step > curve->granularity_ns)
			curve->granularity_ns = step;
		if (json_is_number(pair))
			curve->clock_pair_ns = json_number_value(pair);
		add_buckets(curve, json_object_get(latency, operation));
	}
	if (curve->nr_buckets == 0)
		return false;
	qsort(curve->buckets, curve->nr_buckets, sizeof(*curve->buckets), by_value);
	return true;
}

double latency_curve_quantile(const struct latency_curve *curve, double quantile)
{
	uint64_t rank = (uint64_t)ceil(quantile * (double)curve->count), seen = 0;

	for (size_t i = 0; i < curve->nr_buckets; i++) {
		seen += curve->buckets[i].count;
		if (seen >= rank)
			return curve->buckets[i].ns;
	}
	return curve->buckets[curve->nr_buckets - 1].ns;
}

void latency_curve_free(struct latency_curve *curve)
{
	free(curve->buckets);
	*curve = (struct latency_curve){0};
}

/*
 * Rows: series, panel, 1 / (1 - quantile), ns. A logarithmic axis has
 * no zero: what is below the clock's step is drawn at half of it, where the axis says so.
 */
static void write_curve(FILE *table, size_t series, size_t panel,
			const struct latency_curve *c)
{
	double last = (double)c->count / SAMPLES_BEYOND;
	int points = last > 1 ? (int)floor(log10(last) * POINTS_PER_DECADE) : 0;

	for (int i = 0; i <= points; i++) {
		double x = pow(10, (double)i / POINTS_PER_DECADE);
		double ns = latency_curve_quantile(c, 1 - 1 / x);

		fprintf(table, "%zu\t%zu\t%g\t%g\n", series, panel, x,
			ns < c->granularity_ns * 0.999 ? c->granularity_ns / 2 : ns);
	}
}

/* What the curves of a cell have in common. */
struct cell_latency {
	const char *operations[PANELS_MAX]; /* borrowed from the results */
	size_t nr_operations;
	double pair_ns, granularity_ns; /* the coarsest clock's */
};

static void note_operation(struct cell_latency *l, const char *name)
{
	size_t i = 0;

	while (i < l->nr_operations && strcmp(l->operations[i], name) != 0)
		i++;
	if (i == l->nr_operations && i < PANELS_MAX)
		l->operations[l->nr_operations++] = name;
}

/* alloc and free come first, then the rest in the order of the file. */
static void note_operations(const struct measurement *m, struct cell_latency *l)
{
	static const char *const first[] = {"alloc", "free"};

	for (size_t i = 0; i < KMEM_ARRAY_SIZE(first); i++) {
		for (size_t b = 0; b < m->nr_blocks; b++) {
			const json_t *latency = json_object_get(m->blocks[b].kmembench,
								"latency");

			if (json_object_get(latency, first[i]) != NULL)
				note_operation(l, first[i]);
		}
	}
	for (size_t b = 0; b < m->nr_blocks; b++) {
		json_t *latency = json_object_get(m->blocks[b].kmembench, "latency");
		const char *name;
		json_t *value;

		json_object_foreach (latency, name, value) {
			if (json_is_array(json_object_get(value, "buckets")))
				note_operation(l, name);
		}
	}
}

/* Number of series with a histogram; fills what they have in common. */
static size_t mark_used(const struct dataset *d, size_t cell, bool *used,
			struct cell_latency *l)
{
	size_t count = 0;

	*l = (struct cell_latency){.granularity_ns = 1};
	for (size_t s = 0; s < d->nr_series; s++)
		note_operations(dataset_at(d, cell, s), l);
	for (size_t s = 0; s < d->nr_series; s++) {
		used[s] = false;
		for (size_t o = 0; o < l->nr_operations; o++) {
			struct latency_curve curve;

			if (!latency_curve(dataset_at(d, cell, s), l->operations[o],
					   &curve))
				continue;
			used[s] = true;
			l->pair_ns = curve.clock_pair_ns;
			l->granularity_ns = fmax(l->granularity_ns, curve.granularity_ns);
			latency_curve_free(&curve);
		}
		count += used[s];
	}
	return count;
}

/* Blocks: curves; the clock's step; titles of the panels. */
static void write_cell(struct plotter *p, size_t cell, const bool *used,
		       const struct cell_latency *l)
{
	for (size_t s = 0; s < p->d->nr_series; s++) {
		for (size_t o = 0; used[s] && o < l->nr_operations; o++) {
			struct latency_curve curve;

			if (!latency_curve(dataset_at(p->d, cell, s), l->operations[o],
					   &curve))
				continue;
			write_curve(p->table, plot_series_number(used, s), o + 1, &curve);
			latency_curve_free(&curve);
		}
	}
	plot_next_block(p);
	fprintf(p->table, "%g\n", l->granularity_ns);
	plot_next_block(p);
	for (size_t o = 0; o < l->nr_operations; o++)
		fprintf(p->table, "%s%s\n", l->operations[o],
			strcmp(l->operations[o], "response") == 0
				? ", from the scheduled arrival"
				: "");
}

static int draw_cell(struct plotter *p, size_t cell, const bool *used,
		     const struct cell_latency *l)
{
	const struct dataset *d = p->d;
	char *title, *note;
	int err;

	if (plot_begin(p, d->cells[cell].label, used) == NULL)
		return -EIO;
	write_cell(p, cell, used, l);
	title = plot_printf("Latency by percentile: %s", d->cells[cell].label);
	note = plot_printf(
		"Histograms of all blocks merged; a line ends where fewer than %d "
		"samples lie beyond. The clock's own cost (%.0f ns) is subtracted; "
		"it tells no times apart below %.3g ns (shaded).",
		SAMPLES_BEYOND, l->pair_ns, l->granularity_ns);
	err = plot_submit(p, title, "time of one operation; lower is better", note);
	free(title);
	free(note);
	return err;
}

static int draw(struct plotter *p)
{
	bool *used = plot_calloc(p->d->nr_series, sizeof(*used));
	struct plot_left_cells left = {0};
	int err = 0;

	for (size_t c = 0; c < p->d->nr_cells && err == 0; c++) {
		struct cell_latency common;

		if (mark_used(p->d, c, used, &common) > 0)
			err = draw_cell(p, c, used, &common);
		else
			plot_count_left(&left, &p->d->cells[c]);
	}
	plot_left_out_cells(p, &left, "no latency histogram");
	free(used);
	return err;
}

static const struct plot_kind latency_percentiles = {
	.name = "latency-percentiles",
	.rank = 50,
	.draw = draw,
};
PLOT_REGISTER(latency_percentiles);
