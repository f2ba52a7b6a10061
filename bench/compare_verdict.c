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
			return (struct metric_traits){metric_is_total(metric) ? "1/op"
						      : strcmp(m->unit, "1") == 0
							      ? ""
							      : m->unit,
						      m->better == METRIC_HIGHER};
	}
	if (ends_in(metric, "_per_second"))
		return (struct metric_traits){"1/s", true};
	if (strstr(metric, "_ns_") != NULL || ends_in(metric, "_ns"))
		return (struct metric_traits){"ns", false};
	if (strstr(metric, "bytes") != NULL)
		return (struct metric_traits){"B", false};
	return (struct metric_traits){"", false};
}

/* --- samples --- */

int compare_sample_init(struct compare_sample *s, size_t capacity)
{
	*s = (struct compare_sample){0};
	s->baseline = calloc(2 * capacity + 1, sizeof(double));
	if (s->baseline == NULL)
		return kmem_error(-ENOMEM, "no memory for %zu figures", 2 * capacity);
	s->other = s->baseline + capacity;
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
	for (size_t i = 0; i < s->nr_other; i++)
		s->other[i] -= s->baseline[i];
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

int compare_estimate(struct comparison *row, struct compare_sample *s,
		     const struct comparison_table *table)
{
	double pct = table->equivalence_pct / 100.0;
	struct stats_interval *r = &row->ratio;
	int err;

	row->blocks = s->nr_other;
	row->blocks_baseline = s->nr_baseline;
	row->median = stats_median(s->other, s->nr_other);
	row->median_baseline = stats_median(s->baseline, s->nr_baseline);
	row->by_difference = !all_positive(s->baseline, s->nr_baseline) ||
			     !all_positive(s->other, s->nr_other);
	if (row->by_difference) {
		double band = pct * fmax(fabs(row->median), fabs(row->median_baseline));

		err = estimate_location(s, r);
		if (err != 0)
			return err;
		row->verdict = judge(r, 0.0, -band, band, table->traits.larger_is_better);
	} else {
		take_logs(s->baseline, s->nr_baseline);
		take_logs(s->other, s->nr_other);
		err = estimate_location(s, r);
		if (err != 0)
			return err;
		r->estimate = exp(r->estimate);
		r->low = exp(r->low);
		r->high = exp(r->high);
		row->verdict = judge(r, 1.0, 1.0 / (1.0 + pct), 1.0 + pct,
				     table->traits.larger_is_better);
	}
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
