/* SPDX-License-Identifier: MIT */
/*
 * How often the comparison is right: pairs without a difference, and pairs with a
 * planted one, over many cells.
 */
#include "bench/selftest.h"

#include <errno.h>
#include <gsl/gsl_cdf.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <kmem/error.h>

#include "bench/campaign.h"
#include "bench/cli.h"
#include "bench/compare.h"
#include "bench/results.h"
#include "bench/stats.h"

/* What a class's pairs came to. */
struct tally {
	unsigned int pairs;  /* that were judged */
	unsigned int failed; /* that have no figures */
	unsigned int verdicts[NR_VERDICTS];
	unsigned int wide; /* interval wider than the precision that was asked for */
	unsigned int right;
	double *ratios; /* one a pair */
	double *blocks;
	size_t capacity;
	json_t *wrong; /* keys, with their ratio and verdict */
};

struct trial {
	const char *name;
	struct selftest_pair pair;
	bool differs; /* the other is slower */
};

static const struct trial trials[] = {
	/* A colon with nothing behind it: no option, and another name all the same. */
	{"a-against-a", {"%s", "%s:"}, false},
	{"planted-slow",
	 {"planted:over=%s,clock=on", "planted:over=%s,slow_pct=3"},
	 true},
};

void selftest_rate_interval(unsigned int x, unsigned int n, double *low, double *high)
{
	*low = 0;
	*high = 1;
	if (x > 0)
		*low = gsl_cdf_beta_Pinv(0.025, x, n - x + 1.0);
	if (x < n)
		*high = gsl_cdf_beta_Pinv(0.975, x + 1.0, n - x);
}

static void tally_row(struct tally *tally, const struct trial *trial,
		      const struct comparison *row)
{
	bool right = trial->differs ? row->verdict == VERDICT_SLOWER
				    : row->verdict != VERDICT_SLOWER &&
					      row->verdict != VERDICT_FASTER;

	if (tally->pairs == tally->capacity)
		return;
	tally->ratios[tally->pairs] = row->ratio.estimate;
	tally->blocks[tally->pairs] = (double)row->blocks;
	tally->pairs++;
	tally->verdicts[row->verdict]++;
	tally->right += right;
	/* Rounded: the run stops at the precision exactly. */
	tally->wide += !row->ratio.bounded ||
		       100 * (row->ratio.high - row->ratio.low) / 2 >
			       SELFTEST_PRECISION_PCT * 1.1;
	if (!right)
		json_array_append_new(tally->wrong,
				      json_pack("{s:s, s:s, s:f, s:f, s:f, s:s}", "cell",
						row->key, "allocator", row->allocator,
						"ratio", row->ratio.estimate, "low",
						row->ratio.low, "high", row->ratio.high,
						"verdict", verdict_name(row->verdict)));
}

/* The rows of one base allocator: its control is the baseline. */
static void tally_base(struct tally *tally, const struct trial *trial, const json_t *root,
		       const char *base)
{
	struct compare_options options = {
		.metric = "real_time",
		.equivalence_pct = COMPARE_EQUIVALENCE_PCT,
	};
	struct comparison_table table = {0};
	char *control = NULL, *other = NULL;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	if (asprintf(&control, trial->pair.control, base) < 0 ||
	    asprintf(&other, trial->pair.other, base) < 0)
		abort();
#pragma GCC diagnostic pop
	options.baseline = control;
	if (compare_within(root, &options, &table) == 0) {
		for (size_t i = 0; i < table.count; i++) {
			if (strcmp(table.rows[i].allocator, other) == 0)
				tally_row(tally, trial, &table.rows[i]);
		}
	}
	comparison_table_release(&table);
	free(control);
	free(other);
}

double selftest_planted_mean(const json_t *root, const char *stat)
{
	const json_t *list = json_object_get(root, "benchmarks");
	double sum = 0, n = 0;
	size_t i;
	json_t *entry;

	json_array_foreach (list, i, entry) {
		const json_t *stats = json_object_get(json_object_get(entry, "kmembench"),
						      "allocator_stats");
		double value = json_number_value(json_object_get(stats, stat));

		if (value > 0) {
			sum += value;
			n++;
		}
	}
	return n > 0 ? sum / n : NAN;
}

/* Against the goal: reached, missed by chance, or missed for good. */
static enum fitness_status judge(const struct trial *trial, const struct tally *tally,
				 double low, double high)
{
	unsigned int wrong = tally->pairs - tally->right;

	if (tally->failed > 0 || tally->pairs == 0)
		return FITNESS_FAIL;
	if (!trial->differs) {
		/* One in hundred is the goal; of fewer, one may always happen. */
		if (wrong == 0 || wrong <= SELFTEST_AA_GOAL * tally->pairs)
			return FITNESS_OK;
		return low > SELFTEST_AA_GOAL ? FITNESS_FAIL : FITNESS_WARN;
	}
	if (tally->right >= SELFTEST_SLOW_GOAL * tally->pairs)
		return FITNESS_OK;
	return high < SELFTEST_SLOW_GOAL ? FITNESS_FAIL : FITNESS_WARN;
}

static void fill_check(struct selftest_check *check, const struct trial *trial,
		       const struct tally *tally, const json_t *root)
{
	unsigned int called = tally->verdicts[VERDICT_SLOWER] +
			      (trial->differs ? 0 : tally->verdicts[VERDICT_FASTER]);
	double low, high,
		seconds = check->seconds / (tally->pairs > 0 ? tally->pairs : 1);
	double ratio = stats_median(tally->ratios, tally->pairs);
	double blocks = stats_median(tally->blocks, tally->pairs);
	double planted_pct = selftest_planted_mean(root, "planted_slow_pct");
	json_t *d = check->details;

	selftest_rate_interval(called, tally->pairs, &low, &high);
	check->status = judge(trial, tally, low, high);
	if (check->status == FITNESS_OK && seconds > SELFTEST_PAIR_S_GOAL)
		check->status = FITNESS_WARN;
	check->noise = tally->failed == 0 && tally->wide * 10 > tally->pairs;
	snprintf(check->text, sizeof(check->text),
		 "%u of %u called %s (%.1f to %.1f %%; goal %s), median ratio %.4f, %.0f "
		 "blocks, %.2f s a pair%s%s",
		 called, tally->pairs, trial->differs ? "slower" : "different", 100 * low,
		 100 * high, trial->differs ? "at least 95 %" : "at most 1 %", ratio,
		 blocks, seconds,
		 seconds > SELFTEST_PAIR_S_GOAL ? " (goal: at most 2)" : "",
		 tally->wide > 0 ? ", some intervals too wide" : "");
	if (tally->failed > 0)
		snprintf(check->text, sizeof(check->text),
			 "%u of %u pairs have no figures", tally->failed,
			 tally->failed + tally->pairs);
	json_object_set_new(d, "pairs", json_integer(tally->pairs));
	json_object_set_new(d, "failed", json_integer(tally->failed));
	json_object_set_new(d, "called", json_integer(called));
	json_object_set_new(
		d, "rate",
		json_real(tally->pairs > 0 ? (double)called / tally->pairs : 0));
	json_object_set_new(d, "rate_low", json_real(low));
	json_object_set_new(d, "rate_high", json_real(high));
	json_object_set_new(
		d, "goal",
		json_real(trial->differs ? SELFTEST_SLOW_GOAL : SELFTEST_AA_GOAL));
	json_object_set_new(d, "too_wide", json_integer(tally->wide));
	for (int v = 0; v < NR_VERDICTS; v++)
		json_object_set_new(d, verdict_name((enum verdict)v),
				    json_integer(tally->verdicts[v]));
	if (tally->pairs > 0) {
		json_object_set_new(d, "ratio_median", json_real(ratio));
		json_object_set_new(d, "blocks_median", json_real(blocks));
		json_object_set_new(d, "seconds_a_pair", json_real(seconds));
		json_object_set_new(d, "in_time",
				    json_boolean(seconds <= SELFTEST_PAIR_S_GOAL));
	}
	/* What was really planted, by the allocator's own account. */
	if (trial->differs && isfinite(planted_pct))
		json_object_set_new(d, "planted_pct", json_real(planted_pct));
	json_object_set(d, "wrong", tally->wrong);
}

static void try_class(struct selftest *t, const struct trial *trial,
		      const struct selftest_class *class)
{
	unsigned int limit = t->options.quick ? class->cells_quick : class->cells;
	struct selftest_check *check;
	struct tally tally = {0};
	struct plan plan;
	json_t *root;
	size_t cells;

	if (t->options.cells != 0 && t->options.cells < limit)
		limit = t->options.cells;
	if (limit == 0)
		return;
	check = selftest_new_check(t, trial->name, class->name);
	selftest_plan_init(&plan, t);
	cells = selftest_add_cells(&plan, class, &trial->pair, limit);
	if (cells == 0) {
		check->status = FITNESS_UNKNOWN;
		snprintf(check->text, sizeof(check->text), "%s", kmem_last_error());
		plan_release(&plan);
		return;
	}
	tally.capacity = cells;
	tally.ratios = calloc(2 * cells, sizeof(double));
	tally.wrong = json_array();
	if (tally.ratios == NULL)
		abort();
	tally.blocks = tally.ratios + cells;
	root = selftest_run(t, &plan, check);
	if (root != NULL) {
		const char *base;

		for (size_t n = 0; (base = selftest_base(n)) != NULL; n++)
			tally_base(&tally, trial, root, base);
		tally.failed = (unsigned int)cells - tally.pairs;
		fill_check(check, trial, &tally, root);
	}
	json_decref(root);
	json_decref(tally.wrong);
	free(tally.ratios);
	plan_release(&plan);
}

void selftest_rates(struct selftest *t)
{
	for (size_t c = 0; c < selftest_classes_count; c++) {
		for (size_t i = 0; i < KMEM_ARRAY_SIZE(trials) && !t->interrupted; i++)
			try_class(t, &trials[i], &selftest_classes[c]);
	}
}
