/* SPDX-License-Identifier: MIT */
/* Estimates over blocks and the verdicts they allow. The rules stand in compare.h. */
#include "bench/compare.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/compare_internal.h"
#include "bench/metrics.h"
#include <kmem/error.h>

const char *verdict_name(enum verdict verdict)
{
	static const char *const names[NR_VERDICTS] = {
		[VERDICT_FASTER] = "faster",
		[VERDICT_SLOWER] = "slower",
		[VERDICT_SAME] = "same",
		[VERDICT_CANNOT_TELL] = "cannot-tell",
	};

	return names[verdict];
}

static bool ends_in(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n >= m && strcmp(text + n - m, end) == 0;
}

/* What the table of metrics does not know is a counter, whose name carries its unit. */
struct metric_traits metric_traits(const char *metric)
{
	for (size_t i = 0; metric_at(i) != NULL; i++) {
		const struct metric *m = metric_at(i);

		if (strcmp(m->name, metric) == 0)
			return (struct metric_traits){
				metric_is_total(metric)	    ? "1/op"
				: strcmp(m->unit, "1") == 0 ? ""
							    : m->unit,
				m->better == METRIC_HIGHER, m->deterministic};
	}
	if (ends_in(metric, "_per_second"))
		return (struct metric_traits){"1/s", true, false};
	if (strstr(metric, "_ns_") != NULL || ends_in(metric, "_ns"))
		return (struct metric_traits){"ns", false, false};
	if (strstr(metric, "bytes") != NULL)
		return (struct metric_traits){"B", false, false};
	return (struct metric_traits){"", false, false};
}

/* --- samples --- */

int compare_sample_init(struct compare_sample *s, size_t capacity)
{
	*s = (struct compare_sample){0};
	s->baseline = calloc(3 * capacity + 1, sizeof(double));
	if (s->baseline == NULL)
		return kmem_error(-ENOMEM, "no memory for %zu figures", 3 * capacity);
	s->other = s->baseline + capacity;
	s->log_ratio = s->other + capacity;
	for (size_t i = 0; i < capacity; i++)
		s->log_ratio[i] = NAN;
	return 0;
}

static bool all_positive(const double *x, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!(x[i] > 0.0))
			return false;
	}
	return true;
}

static void take_logs(double *x, size_t n)
{
	for (size_t i = 0; i < n; i++)
		x[i] = log(x[i]);
}

static int estimate_location(struct compare_sample *s, struct stats_interval *out)
{
	if (!s->paired)
		return stats_hodges_lehmann_shift(s->baseline, s->nr_baseline, s->other,
						  s->nr_other, COMPARE_CONFIDENCE, out);
	for (size_t i = 0; i < s->nr_other; i++) {
		if (isnan(s->log_ratio[i]))
			s->other[i] -= s->baseline[i];
		else
			s->other[i] = s->log_ratio[i];
	}
	return stats_hodges_lehmann(s->other, s->nr_other, COMPARE_CONFIDENCE, out);
}

/* --- verdicts --- */

static enum verdict judge(const struct stats_interval *r, double centre, double band_low,
			  double band_high, bool larger_is_better)
{
	bool above = r->low > centre && r->estimate > band_high;
	bool below = r->high < centre && r->estimate < band_low;

	if (!r->bounded)
		return VERDICT_CANNOT_TELL;
	if (above || below)
		return above == larger_is_better ? VERDICT_FASTER : VERDICT_SLOWER;
	if (r->low >= band_low && r->high <= band_high)
		return VERDICT_SAME;
	return VERDICT_CANNOT_TELL;
}

/* Equal steps of the clock are no evidence of equal times. */
static void check_resolution(struct comparison *row, const struct comparison_table *table)
{
	bool relative = table->two_files && *table->baseline != '\0';

	if (relative || !row->ratio.bounded || row->median >= table->resolution_ns ||
	    row->median_baseline >= table->resolution_ns)
		return;
	if (row->verdict != VERDICT_SAME && !row->by_difference)
		return;
	row->verdict = VERDICT_CANNOT_TELL;
	snprintf(row->reason, sizeof(row->reason),
		 "below the clock's resolution of %.0f ns", table->resolution_ns);
}

static void explain(struct comparison *row, bool paired)
{
	if (row->verdict != VERDICT_CANNOT_TELL)
		return;
	if (row->ratio.bounded)
		snprintf(row->reason, sizeof(row->reason), "interval too wide");
	else if (paired)
		snprintf(row->reason, sizeof(row->reason),
			 "%zu block%s, an interval needs %d: run with --reps 10",
			 row->blocks, row->blocks == 1 ? "" : "s",
			 STATS_SIGNED_RANK_MIN_95);
	else
		snprintf(
			row->reason, sizeof(row->reason),
			"%zu and %zu blocks, an interval needs 4 and 4: run with --reps 10",
			row->blocks_baseline, row->blocks);
}

/* Ratios are estimated, and averaged, as logarithms. */
static int estimate_ratio(struct compare_sample *s, struct stats_interval *r)
{
	int err;

	take_logs(s->baseline, s->nr_baseline);
	take_logs(s->other, s->nr_other);
	err = estimate_location(s, r);
	if (err != 0)
		return err;
	r->estimate = exp(r->estimate);
	r->low = exp(r->low);
	r->high = exp(r->high);
	return 0;
}

/* Nothing scatters: the figures are the truth, and so is their ratio. */
static void take_exactly(struct comparison *row)
{
	double ratio = row->median / row->median_baseline;

	row->ratio = (struct stats_interval){
		.estimate = ratio,
		.low = ratio,
		.high = ratio,
		.bounded = true,
		.confidence = 1,
	};
}

int compare_estimate(struct comparison *row, struct compare_sample *s,
		     const struct comparison_table *table)
{
	double pct = table->equivalence_pct / 100.0;
	bool larger_is_better = table->traits.larger_is_better;
	int err = 0;

	row->blocks = s->nr_other;
	row->blocks_baseline = s->nr_baseline;
	row->median = stats_median(s->other, s->nr_other);
	row->median_baseline = stats_median(s->baseline, s->nr_baseline);
	row->sliced = s->sliced;
	row->by_difference = !all_positive(s->baseline, s->nr_baseline) ||
			     !all_positive(s->other, s->nr_other);
	if (row->by_difference) {
		double band = pct * fmax(fabs(row->median), fabs(row->median_baseline));

		err = estimate_location(s, &row->ratio);
		if (err == 0)
			row->verdict = judge(&row->ratio, 0.0, -band, band,
					     larger_is_better);
	} else {
		if (table->traits.deterministic) {
			take_exactly(row);
		} else {
			err = estimate_ratio(s, &row->ratio);
		}
		if (err == 0)
			row->verdict = judge(&row->ratio, 1.0, 1.0 / (1.0 + pct),
					     1.0 + pct, larger_is_better);
	}
	if (err != 0)
		return err;
	explain(row, s->paired);
	check_resolution(row, table);
	return 0;
}

/* How much worse one end of the interval is, as a share of the baseline: 0.05 is 5 %
 * worse. */
static double worse_by(const struct comparison_table *table, const struct comparison *row,
		       bool better_end)
{
	bool up_is_worse = !table->traits.larger_is_better;
	double end = up_is_worse == better_end ? row->ratio.low : row->ratio.high;

	if (!row->by_difference)
		return up_is_worse ? end - 1.0 : 1.0 / end - 1.0;
	if (end == 0.0)
		return 0.0;
	end = up_is_worse ? end : -end;
	return row->median_baseline != 0.0 ? end / fabs(row->median_baseline)
					   : copysign(INFINITY, end);
}

bool comparison_regressed(const struct comparison_table *table,
			  const struct comparison *row, double pct)
{
	return row->ratio.bounded && worse_by(table, row, true) > pct / 100.0;
}

bool comparison_may_hide_regression(const struct comparison_table *table,
				    const struct comparison *row, double pct)
{
	return !row->ratio.bounded || worse_by(table, row, false) > pct / 100.0;
}
