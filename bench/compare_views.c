/* SPDX-License-Identifier: MIT */
/* Conventional views of the figures that a row of a comparison rests on. */
#include "bench/compare_views.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/compare_cells.h"
#include <kmem/error.h>

/* Any number would do; the same results give the same interval each time. */
#define BOOTSTRAP_SEED 20261122

static const struct {
	const char *name;
	unsigned int flag;
} view_names[] = {
	{"paired", COMPARE_VIEW_PAIRED},
	{"mann-whitney", COMPARE_VIEW_MANN_WHITNEY},
	{"bootstrap", COMPARE_VIEW_BOOTSTRAP},
	{"all", COMPARE_VIEW_ALL},
};

unsigned int compare_views_parse(const char *text)
{
	unsigned int views = 0;

	for (const char *at = text;; at++) {
		size_t n = strcspn(at, ","), i;

		for (i = 0; i < KMEM_ARRAY_SIZE(view_names); i++) {
			if (strlen(view_names[i].name) == n &&
			    strncmp(view_names[i].name, at, n) == 0)
				break;
		}
		if (i == KMEM_ARRAY_SIZE(view_names)) {
			kmem_error(-EINVAL,
				   "unknown view '%.*s': there are paired, mann-whitney, "
				   "bootstrap and all",
				   (int)n, at);
			return 0;
		}
		views |= view_names[i].flag;
		at += n;
		if (*at == '\0')
			return views;
	}
}

/* --- figures --- */

struct figures {
	double *list;
	size_t count;
};

/*
 * A cell's figures; with two files and a baseline each divided by the baseline's of the
 * same block, as the table's own are.
 */
static int take_figures(const struct comparison_table *table, const struct cell_set *set,
			const char *key, const char *allocator, struct figures *out)
{
	const struct measured_cell *cell = cell_set_find(set, key, allocator),
				   *base = NULL;
	bool relative = table->two_files && *table->baseline != '\0';

	*out = (struct figures){
		.list = calloc(cell != NULL ? cell->count + 1 : 1, sizeof(*out->list))};
	if (out->list == NULL)
		return kmem_error(-ENOMEM, "no memory for a second view");
	if (relative)
		base = cell_set_find(set, key, table->baseline);
	for (size_t i = 0; cell != NULL && i < cell->count; i++) {
		double divisor = 1.0;

		if (relative &&
		    (base == NULL ||
		     !measured_cell_block(base, cell->figures[i].block, &divisor) ||
		     !(divisor > 0)))
			continue;
		out->list[out->count++] = cell->figures[i].value / divisor;
	}
	return 0;
}

/* Times and sizes scatter by factors: outliers are looked for in their logarithms. */
static size_t count_outliers(const struct figures *f)
{
	double *logs = calloc(f->count + 1, sizeof(*logs));
	bool positive = logs != NULL;
	size_t n;

	for (size_t i = 0; i < f->count && positive; i++) {
		positive = f->list[i] > 0;
		logs[i] = positive ? log(f->list[i]) : 0;
	}
	n = stats_mark_outliers(positive ? logs : f->list, f->count, NULL);
	free(logs);
	return n;
}

static int view_figures(const struct figures *x, const struct figures *y,
			unsigned int views, struct compare_views *out)
{
	int err = 0;

	*out = (struct compare_views){
		.figures = y->count,
		.figures_baseline = x->count,
		.outliers = count_outliers(y),
		.outliers_baseline = count_outliers(x),
	};
	if (views & COMPARE_VIEW_MANN_WHITNEY)
		err = stats_mann_whitney(x->list, x->count, y->list, y->count,
					 &out->mann_whitney);
	if (views & COMPARE_VIEW_BOOTSTRAP && err == 0)
		err = stats_bootstrap(stats_ratio_of_means, x->list, x->count, y->list,
				      y->count, COMPARE_CONFIDENCE, BOOTSTRAP_SEED,
				      &out->means);
	if (views & COMPARE_VIEW_BOOTSTRAP && err == 0)
		err = stats_bootstrap(stats_ratio_of_medians, x->list, x->count, y->list,
				      y->count, COMPARE_CONFIDENCE, BOOTSTRAP_SEED,
				      &out->medians);
	return err;
}

int compare_views_of(const struct comparison_table *table, const struct comparison *row,
		     unsigned int views, struct compare_views *out)
{
	const struct cell_set *new_set = table->sets[table->two_files ? 1 : 0];
	const char *other = table->two_files ? row->allocator : table->baseline;
	struct figures x = {0}, y = {0};
	int err = take_figures(table, table->sets[0], row->key, other, &x);

	if (err == 0)
		err = take_figures(table, new_set, row->key, row->allocator, &y);
	if (err == 0)
		err = view_figures(&x, &y, views, out);
	free(x.list);
	free(y.list);
	return err;
}

/* --- output --- */

static void print_interval(const char *name, const struct stats_interval *r, FILE *out)
{
	if (r->bounded)
		fprintf(out, "%s %.3f [%.3f, %.3f]", name, r->estimate, r->low, r->high);
	else
		fprintf(out, "%s %.3f [too few blocks]", name, r->estimate);
}

void compare_views_print(const struct compare_views *v, unsigned int views, int indent,
			 FILE *out)
{
	if (views & COMPARE_VIEW_MANN_WHITNEY)
		fprintf(out, "%*sMann-Whitney  p = %.3g of %zu and %zu (%s)\n", indent,
			"", v->mann_whitney.p, v->figures_baseline, v->figures,
			v->mann_whitney.exact ? "exact" : "normal, ties corrected");
	if (views & COMPARE_VIEW_BOOTSTRAP) {
		fprintf(out, "%*sbootstrap     ", indent, "");
		print_interval("means", &v->means.interval, out);
		fputs("; ", out);
		print_interval("medians", &v->medians.interval, out);
		fputc('\n', out);
	}
}

static json_t *interval_json(const struct stats_bootstrap *b)
{
	json_t *o = json_object();

	/* jansson refuses what is not finite: absent then. */
	json_object_set_new(o, "ratio", json_real(b->interval.estimate));
	if (b->interval.bounded) {
		json_object_set_new(o, "low", json_real(b->interval.low));
		json_object_set_new(o, "high", json_real(b->interval.high));
		json_object_set_new(o, "confidence", json_real(b->interval.confidence));
		json_object_set_new(o, "resamples",
				    json_integer((json_int_t)b->resamples));
	}
	return o;
}

void compare_views_add_json(const struct compare_views *v, unsigned int views,
			    json_t *object)
{
	json_object_set_new(object, "outliers", json_integer((json_int_t)v->outliers));
	json_object_set_new(object, "outliers_baseline",
			    json_integer((json_int_t)v->outliers_baseline));
	if (views & COMPARE_VIEW_MANN_WHITNEY)
		json_object_set_new(object, "mann_whitney",
				    json_pack("{s:f, s:f, s:b}", "u", v->mann_whitney.u,
					      "p", v->mann_whitney.p, "exact",
					      (int)v->mann_whitney.exact));
	if (views & COMPARE_VIEW_BOOTSTRAP)
		json_object_set_new(object, "bootstrap",
				    json_pack("{s:o, s:o}", "means",
					      interval_json(&v->means), "medians",
					      interval_json(&v->medians)));
}
