/* SPDX-License-Identifier: MIT */
/* A comparison as a table for people and as JSON for programs. */
#include "bench/compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/compare_views.h"

/* Lines are kept within this, as far as names allow. */
#define COLUMNS		 100
#define NAME_COLUMNS_MAX 28 /* a longer name has a line of its own */
#define NOTE_INDENT	 8

/* --- numbers --- */

/* One unit for a whole table, so that its columns can be read down. */
struct display_unit {
	double divisor;
	const char *name;
};

static struct display_unit display_unit(const struct comparison_table *table)
{
	double largest = 0.0;

	if (table->two_files && *table->baseline != '\0')
		return (struct display_unit){1.0, ""};
	for (size_t i = 0; i < table->count; i++)
		largest = fmax(largest, fmax(fabs(table->rows[i].median),
					     fabs(table->rows[i].median_baseline)));
	if (strcmp(table->traits.unit, "B") == 0) {
		if (largest >= 1 << 20)
			return (struct display_unit){1 << 20, "MiB"};
		if (largest >= 1 << 10)
			return (struct display_unit){1 << 10, "KiB"};
	}
	if (strcmp(table->traits.unit, "1/s") == 0 && largest >= 1e6)
		return (struct display_unit){1e6, "million/s"};
	return (struct display_unit){1.0, table->traits.unit};
}

/* Three to five significant digits, without an exponent where that stays short. */
static const char *number(char *buf, size_t size, double x)
{
	static const double steps[] = {1000, 100, 10, 0.1, 0.01};
	double magnitude = fabs(x);
	int decimals = 0;

	if (isnan(x)) {
		snprintf(buf, size, "-");
	} else if (x != 0.0 && (magnitude >= 1e10 || magnitude < 1e-3)) {
		snprintf(buf, size, "%.3g", x);
	} else {
		for (size_t i = 0; x != 0.0 && i < KMEM_ARRAY_SIZE(steps); i++)
			decimals += magnitude < steps[i];
		snprintf(buf, size, "%.*f", decimals, x);
	}
	return buf;
}

/* --- table --- */

static bool is_speed(const struct comparison_table *table)
{
	return strcmp(table->traits.unit, "ns") == 0 ||
	       strcmp(table->traits.unit, "1/s") == 0;
}

/* "less" and "more" read better than "faster" where the metric is no speed. */
static const char *verdict_word(const struct comparison_table *table,
				const struct comparison *row)
{
	bool memory = strcmp(table->traits.unit, "B") == 0;

	if (row->verdict == VERDICT_CANNOT_TELL)
		return "cannot tell";
	if (is_speed(table) || row->verdict == VERDICT_SAME)
		return verdict_name(row->verdict);
	if (row->verdict == VERDICT_FASTER)
		return memory ? "smaller" : "fewer";
	return memory ? "larger" : "more";
}

static int allocator_width(const struct comparison_table *table)
{
	size_t width = strlen("allocator");

	for (size_t i = 0; i < table->count; i++) {
		size_t n = strlen(table->rows[i].allocator);

		if (n > width && n <= NAME_COLUMNS_MAX)
			width = n;
	}
	return (int)width;
}

/* The outliers of a row and its baseline; zeros where there is no memory to count. */
static struct compare_views views_of(const struct comparison_table *table,
				     const struct comparison *row)
{
	struct compare_views v;

	return compare_views_of(table, row, table->views, &v) == 0
		       ? v
		       : (struct compare_views){0};
}

/* What is to be said of a row besides its figures: reason, failures, outliers. */
static void row_notes(const struct comparison *row, struct display_unit unit,
		      const struct compare_views *views, char *buf, size_t size)
{
	FILE *out = fmemopen(buf, size, "w");

	*buf = '\0';
	if (out == NULL)
		return;
	fputs(row->reason, out);
	if (row->by_difference)
		fprintf(out, "%sdifference%s%s", *row->reason != '\0' ? "; " : "",
			*unit.name != '\0' ? " in " : "", unit.name);
	if (row->failed_blocks > 0)
		fprintf(out, "%s%u block%s failed", ftell(out) > 0 ? "; " : "",
			row->failed_blocks, row->failed_blocks == 1 ? "" : "s");
	if (views->outliers + views->outliers_baseline > 0)
		fprintf(out, "%soutliers: %zu, baseline %zu", ftell(out) > 0 ? "; " : "",
			views->outliers, views->outliers_baseline);
	fclose(out);
}

static void print_row(const struct comparison_table *table, const struct comparison *row,
		      struct display_unit unit, int width, FILE *out)
{
	char median[32], base[32], ratio[32], low[32], high[32], interval[80] = "-";
	char notes[320];
	double scale = row->by_difference ? unit.divisor : 1.0;
	const char *sign = row->by_difference && row->ratio.estimate > 0 ? "+" : "";
	struct compare_views views = views_of(table, row);
	int columns;

	if (row->ratio.bounded)
		snprintf(interval, sizeof(interval), "[%s, %s]",
			 number(low, sizeof(low), row->ratio.low / scale),
			 number(high, sizeof(high), row->ratio.high / scale));
	number(ratio, sizeof(ratio), row->ratio.estimate / scale);
	if (strlen(row->allocator) > (size_t)width)
		fprintf(out, "  %s\n", row->allocator);
	columns = fprintf(out, "  %-*s %3zu %10s %10s %2s%7s  %-17s %s", width,
			  strlen(row->allocator) > (size_t)width ? "" : row->allocator,
			  row->blocks,
			  number(base, sizeof(base), row->median_baseline / unit.divisor),
			  number(median, sizeof(median), row->median / unit.divisor),
			  sign, ratio, interval, verdict_word(table, row));
	row_notes(row, unit, &views, notes, sizeof(notes));
	if (*notes != '\0' && columns + 2 + (int)strlen(notes) <= COLUMNS)
		fprintf(out, ": %s\n", notes);
	else
		fprintf(out, "\n%*s%s%s", *notes != '\0' ? NOTE_INDENT : 0, "", notes,
			*notes != '\0' ? "\n" : "");
	if (table->views & ~(unsigned int)COMPARE_VIEW_PAIRED)
		compare_views_print(&views, table->views, NOTE_INDENT, out);
}

static void print_heading(const struct comparison_table *table, struct display_unit unit,
			  FILE *out)
{
	bool relative = table->two_files && *table->baseline != '\0';

	fprintf(out, "%s", table->metric);
	if (relative)
		fprintf(out, " relative to '%s' of the same file and block",
			table->baseline);
	if (*unit.name != '\0')
		fprintf(out, " in %s", unit.name);
	fprintf(out,
		", %s is better: medians over blocks,\nratio to '%s' with its 95%% interval",
		table->traits.larger_is_better ? "more" : "less", table->reference);
	fprintf(out, ", equivalence band +-%.3g%%%s\n", table->equivalence_pct,
		table->simulated ? "; simulated NUMA nodes" : "");
	if (table->two_files && !relative)
		fprintf(out,
			"the files were not measured in turn: drift of the machine between them is in\n"
			"the ratios and not in the intervals; --baseline NAME takes out what NAME "
			"shares\n");
}

/* What a reader can do about verdicts that are missing. */
static void print_advice(const struct comparison_table *table, FILE *out)
{
	bool wide = false, difference = false;

	for (size_t i = 0; i < table->count; i++) {
		const struct comparison *row = &table->rows[i];

		wide |= strstr(row->reason, "too wide") != NULL;
		difference |= row->by_difference;
	}
	if (wide)
		fputs("\ninterval too wide: more blocks (--reps) narrow it\n", out);
	if (difference)
		fputs("\ndifference: a figure is zero or negative, so that there is no ratio\n",
		      out);
}

static void print_left_out(const struct comparison_table *table, FILE *out)
{
	const json_t *skipped;
	size_t i;

	if (table->left_out_count > 0 || json_array_size(table->skipped) > 0)
		fprintf(out, "\nnot compared:\n");
	for (i = 0; i < table->left_out_count; i++)
		fprintf(out, "  %s of '%s': %s\n", table->left_out[i].label,
			table->left_out[i].allocator, table->left_out[i].reason);
	json_array_foreach (table->skipped, i, skipped) {
		const char *name =
			json_string_value(json_object_get(skipped, "allocator"));
		const char *why = json_string_value(json_object_get(skipped, "reason"));

		fprintf(out, "  all of '%s': skipped: %s\n", name != NULL ? name : "?",
			why != NULL ? why : "no reason recorded");
	}
}

/* --- summary: one line an allocator --- */

struct tally {
	const char *allocator;
	size_t verdicts[NR_VERDICTS];
	size_t cells, ratios;
	double log_sum;
};

/* One tally for each allocator, in the order of the rows; *count of them. NULL: no
 * memory. */
static struct tally *tally_rows(const struct comparison_table *table, size_t *count)
{
	struct tally *tallies = calloc(table->count + 1, sizeof(*tallies));

	*count = 0;
	for (size_t i = 0; tallies != NULL && i < table->count; i++) {
		const struct comparison *row = &table->rows[i];
		size_t t = 0;

		while (t < *count && strcmp(tallies[t].allocator, row->allocator) != 0)
			t++;
		if (t == *count)
			tallies[(*count)++].allocator = row->allocator;
		tallies[t].verdicts[row->verdict]++;
		tallies[t].cells++;
		if (!row->by_difference) {
			tallies[t].log_sum += log(row->ratio.estimate);
			tallies[t].ratios++;
		}
	}
	return tallies;
}

/* "120 cells: 31 faster, …": all allocators together. */
static void print_totals(const struct comparison_table *table,
			 const struct tally *tallies, size_t count, FILE *out)
{
	size_t verdicts[NR_VERDICTS] = {0};
	bool speed = is_speed(table);

	for (size_t i = 0; i < count; i++) {
		for (int v = 0; v < NR_VERDICTS; v++)
			verdicts[v] += tallies[i].verdicts[v];
	}
	fprintf(out, "\n%zu comparison%s: %zu %s, %zu %s, %zu same, %zu cannot tell\n",
		table->count, table->count == 1 ? "" : "s", verdicts[VERDICT_FASTER],
		speed ? "faster" : "less", verdicts[VERDICT_SLOWER],
		speed ? "slower" : "more", verdicts[VERDICT_SAME],
		verdicts[VERDICT_CANNOT_TELL]);
}

static void print_summary(const struct comparison_table *table, int width, FILE *out)
{
	size_t count;
	struct tally *tallies = tally_rows(table, &count);
	bool speed = is_speed(table);

	if (tallies == NULL || table->count == 0) {
		free(tallies);
		return;
	}
	fprintf(out, "\n  %-*s %5s %10s %7s %7s %5s %12s\n", width, "summary", "cells",
		"geo. mean", speed ? "faster" : "less", speed ? "slower" : "more", "same",
		"cannot tell");
	for (size_t i = 0; i < count; i++) {
		const struct tally *t = &tallies[i];
		char mean[32] = "-";

		if (t->ratios > 0)
			number(mean, sizeof(mean), exp(t->log_sum / (double)t->ratios));
		fprintf(out, "  %-*s %5zu %10s %7zu %7zu %5zu %12zu\n", width,
			t->allocator, t->cells, mean, t->verdicts[VERDICT_FASTER],
			t->verdicts[VERDICT_SLOWER], t->verdicts[VERDICT_SAME],
			t->verdicts[VERDICT_CANNOT_TELL]);
	}
	print_totals(table, tallies, count, out);
	free(tallies);
}

/* True for the first row of its cell: rows of one cell need not stand together. */
static bool first_of_cell(const struct comparison_table *table, size_t i)
{
	for (size_t j = 0; j < i; j++) {
		if (strcmp(table->rows[j].key, table->rows[i].key) == 0)
			return false;
	}
	return true;
}

void comparison_print(const struct comparison_table *table, FILE *out)
{
	struct display_unit unit = display_unit(table);
	int width = allocator_width(table);

	print_heading(table, unit, out);
	for (size_t i = 0; i < table->count; i++) {
		if (!first_of_cell(table, i))
			continue;
		fprintf(out, "\n%s\n", table->rows[i].label);
		fprintf(out, "  %-*s %3s %10s %10s %9s  %-17s %s\n", width, "allocator",
			"n", table->two_files ? "old" : "baseline",
			table->two_files ? "new" : "median", "ratio", "95% interval",
			"verdict");
		for (size_t j = i; j < table->count; j++) {
			if (strcmp(table->rows[j].key, table->rows[i].key) == 0)
				print_row(table, &table->rows[j], unit, width, out);
		}
	}
	print_summary(table, width, out);
	print_advice(table, out);
	print_left_out(table, out);
}

/* --- JSON --- */

static json_t *figure_or_null(double value, bool there)
{
	return there && isfinite(value) ? json_real(value) : json_null();
}

static json_t *row_json(const struct comparison_table *table,
			const struct comparison *row)
{
	bool ratio = !row->by_difference, interval = ratio && row->ratio.bounded;
	struct compare_views views = views_of(table, row);
	json_t *cell = json_pack("{s:s, s:s, s:O, s:i, s:o, s:o, s:o, s:s}", "allocator",
				 row->allocator, "workload", row->workload, "params",
				 row->params, "threads", row->threads, "ratio",
				 figure_or_null(row->ratio.estimate, ratio), "low",
				 figure_or_null(row->ratio.low, interval), "high",
				 figure_or_null(row->ratio.high, interval), "verdict",
				 verdict_name(row->verdict));

	if (cell == NULL)
		return NULL;
	json_object_set_new(cell, "cell", json_string(row->label));
	if (*row->reason != '\0')
		json_object_set_new(cell, "reason", json_string(row->reason));
	if (interval)
		json_object_set_new(cell, "confidence", json_real(row->ratio.confidence));
	if (row->by_difference)
		json_object_set_new(
			cell, "difference",
			json_pack("{s:f, s:o, s:o}", "estimate", row->ratio.estimate,
				  "low",
				  figure_or_null(row->ratio.low, row->ratio.bounded),
				  "high",
				  figure_or_null(row->ratio.high, row->ratio.bounded)));
	json_object_set_new(cell, "median", figure_or_null(row->median, true));
	json_object_set_new(cell, "median_baseline",
			    figure_or_null(row->median_baseline, true));
	json_object_set_new(cell, "blocks", json_integer((json_int_t)row->blocks));
	if (table->two_files)
		json_object_set_new(cell, "blocks_baseline",
				    json_integer((json_int_t)row->blocks_baseline));
	if (row->failed_blocks > 0)
		json_object_set_new(cell, "failed_blocks",
				    json_integer(row->failed_blocks));
	compare_views_add_json(&views, table->views, cell);
	return cell;
}

static json_t *summary_json(const struct comparison_table *table)
{
	json_t *list = json_array();
	size_t count;
	struct tally *tallies = tally_rows(table, &count);

	for (size_t i = 0; tallies != NULL && i < count; i++) {
		const struct tally *t = &tallies[i];
		json_t *item =
			json_pack("{s:s, s:I, s:o}", "allocator", t->allocator, "cells",
				  (json_int_t)t->cells, "geometric_mean",
				  figure_or_null(exp(t->log_sum / (double)t->ratios),
						 t->ratios > 0));

		for (int v = 0; v < NR_VERDICTS; v++)
			json_object_set_new(item, verdict_name((enum verdict)v),
					    json_integer((json_int_t)t->verdicts[v]));
		json_array_append_new(list, item);
	}
	free(tallies);
	return list;
}

json_t *comparison_json(const struct comparison_table *table)
{
	json_t *cells = json_array(), *left_out = json_array();

	for (size_t i = 0; i < table->count; i++)
		json_array_append_new(cells, row_json(table, &table->rows[i]));
	for (size_t i = 0; i < table->left_out_count; i++) {
		const struct not_compared *left = &table->left_out[i];

		json_array_append_new(
			left_out, json_pack("{s:s, s:s, s:O, s:i, s:s}", "allocator",
					    left->allocator, "workload", left->workload,
					    "params", left->params, "threads",
					    left->threads, "reason", left->reason));
	}
	return json_pack("{s:s, s:s, s:s, s:s, s:f, s:b, s:o, s:o, s:o, s:o}", "baseline",
			 table->two_files && *table->baseline == '\0' ? table->reference
								      : table->baseline,
			 "metric", table->metric, "unit", table->traits.unit, "better",
			 table->traits.larger_is_better ? "larger" : "smaller",
			 "equivalence_pct", table->equivalence_pct, "simulated",
			 (int)table->simulated, "cells", cells, "not_compared", left_out,
			 "skipped",
			 table->skipped != NULL ? json_incref((json_t *)table->skipped)
						: json_array(),
			 "summary", summary_json(table));
}
