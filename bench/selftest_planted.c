/* SPDX-License-Identifier: MIT */
/* Planted faults other than time: instructions, a leak, a long tail. */
#include "bench/selftest.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kmem/error.h>

#include "bench/campaign.h"
#include "bench/compare.h"
#include "bench/icount.h"
#include "bench/results.h"
#include "bench/stats.h"
#include "workloads/harness/histogram.h"

static bool add_grid(struct plan *plan, const char *allocators, const char *workload,
		     const char *size)
{
	struct grid grid = {.allocators = allocators,
			    .workloads = workload,
			    .sizes = size,
			    .threads = "1"};

	return plan_add_grid(plan, &grid) == 0;
}

static void cannot(struct selftest_check *check, enum fitness_status status,
		   const char *text)
{
	check->status = status;
	snprintf(check->text, sizeof(check->text), "%s", text);
}

/* --- instructions --- */

static const struct {
	const char *base, *workload, *size;
} counted[] = {
	{"glibc", "pair", "64"},
	{"mimalloc", "wset", NULL},
	{"glibc", "batch:order=random", "64"},
	{"jemalloc", "pair", "64"},
	{"tcmalloc", "wset", NULL},
	{"mimalloc", "batch:n_blocks=1600,order=lifo", "64"},
};

struct counted_sum {
	unsigned int tried, same, found;
	double worst_error; /* of the ratio against what was planted */
};

/* Counts the control twice, then plants 1 % of what it came to. */
static bool count_one(struct selftest *t, struct selftest_check *check, size_t which,
		      struct counted_sum *sum)
{
	struct compare_options options = {.metric = "instructions_per_op",
					  .equivalence_pct = COMPARE_EQUIVALENCE_PCT};
	struct comparison_table table = {0};
	struct icount first, again;
	char control[64], both[192];
	struct plan plan;
	json_t *root = NULL;
	bool done = false;

	snprintf(control, sizeof(control), "planted:over=%s", counted[which].base);
	options.baseline = control;
	selftest_plan_init(&plan, t);
	if (!add_grid(&plan, control, counted[which].workload, counted[which].size))
		goto out;
	if (icount_cell(&plan, &plan.cells[0], &first) != 0 ||
	    icount_cell(&plan, &plan.cells[0], &again) != 0) {
		cannot(check, FITNESS_FAIL, kmem_last_error());
		goto out;
	}
	/* An operation of these workloads is two calls. */
	snprintf(both, sizeof(both), "%s,%s,extra_instructions=%.9g", control, control,
		 0.01 * first.instructions / first.ops / 2);
	plan_release(&plan);
	selftest_plan_init(&plan, t);
	plan.method = METHOD_PLAIN;
	plan.reps = 1;
	plan.time_s = 0.01;
	plan.icount = true;
	if (!add_grid(&plan, both, counted[which].workload, counted[which].size))
		goto out;
	root = selftest_run(t, &plan, check);
	if (root == NULL)
		goto out;
	sum->tried++;
	sum->same += first.instructions == again.instructions;
	if (compare_within(root, &options, &table) == 0 && table.count == 1) {
		double error = fabs(table.rows[0].ratio.estimate - 1.01);

		sum->found += table.rows[0].verdict == VERDICT_SLOWER;
		sum->worst_error = error > sum->worst_error ? error : sum->worst_error;
	}
	comparison_table_release(&table);
	done = true;
out:
	json_decref(root);
	plan_release(&plan);
	return done;
}

void selftest_icount(struct selftest *t)
{
	struct selftest_check *check = selftest_new_check(t, "planted-instructions", "");
	size_t limit = t->options.quick ? 1 : KMEM_ARRAY_SIZE(counted);
	struct counted_sum sum = {0};

	if (t->options.cells != 0 && t->options.cells < limit)
		limit = t->options.cells;
	if (icount_available() != 0) {
		cannot(check, FITNESS_UNKNOWN, kmem_last_error());
		return;
	}
	for (size_t i = 0; i < limit && !t->interrupted; i++) {
		const struct allocator_ops *ops = allocator_find(counted[i].base);

		if (ops == NULL || (ops->available != NULL && ops->available(ops) != 0))
			continue;
		if (!count_one(t, check, i, &sum)) {
			if (check->text[0] == '\0')
				cannot(check, FITNESS_FAIL, kmem_last_error());
			return;
		}
	}
	check->status = sum.tried > 0 && sum.found == sum.tried && sum.worst_error < 0.001
				? FITNESS_OK
				: FITNESS_FAIL;
	/* Addresses that cannot be fixed may move a count: said, and no failure. */
	if (check->status == FITNESS_OK && sum.same < sum.tried)
		check->status = FITNESS_WARN;
	snprintf(check->text, sizeof(check->text),
		 "1 %% more instructions: %u of %u called slower, ratio off by %.2g at "
		 "most; %u of %u counted the same twice",
		 sum.found, sum.tried, sum.worst_error, sum.same, sum.tried);
	json_object_set_new(check->details, "pairs", json_integer(sum.tried));
	json_object_set_new(check->details, "found", json_integer(sum.found));
	json_object_set_new(check->details, "same_twice", json_integer(sum.same));
	json_object_set_new(check->details, "ratio_error_max",
			    json_real(sum.worst_error));
}

/* --- leak --- */

#define LEAK_CONTROL  "planted:over=glibc"
#define LEAK_WORKLOAD "wset:size_min_bytes=512,size_max_bytes=2048"
#define LEAK_OPS      200000

void selftest_leak(struct selftest *t)
{
	struct selftest_check *check = selftest_new_check(t, "planted-leak", "");
	struct compare_options options = {.metric = "rss_bytes_final",
					  .baseline = LEAK_CONTROL,
					  .equivalence_pct = COMPARE_EQUIVALENCE_PCT};
	struct comparison_table table = {0};
	double leaked, found = 0;
	struct plan plan;
	json_t *root;
	bool slower = false;

	selftest_plan_init(&plan, t);
	plan.method = METHOD_PLAIN;
	plan.reps = STATS_SIGNED_RANK_MIN_95;
	plan.ops = LEAK_OPS;
	plan.time_s = 0.01;
	if (!add_grid(&plan, LEAK_CONTROL "," LEAK_CONTROL ",leak_every=64",
		      LEAK_WORKLOAD, NULL)) {
		cannot(check, FITNESS_FAIL, "the cells cannot be planned");
		plan_release(&plan);
		return;
	}
	root = selftest_run(t, &plan, check);
	plan_release(&plan);
	if (root == NULL)
		return;
	leaked = selftest_planted_mean(root, "planted_leaked_bytes");
	if (!isfinite(leaked))
		leaked = 0;
	if (compare_within(root, &options, &table) == 0 && table.count == 1) {
		found = table.rows[0].median - table.rows[0].median_baseline;
		slower = table.rows[0].verdict == VERDICT_SLOWER;
	}
	comparison_table_release(&table);
	json_decref(root);
	/* The allocator's own overhead on top; blocks that share pages with the baseline
	 * below. */
	check->status = slower && leaked > 0 && found > 0.8 * leaked &&
					found < 1.5 * leaked
				? FITNESS_OK
				: FITNESS_FAIL;
	snprintf(check->text, sizeof(check->text),
		 "one free in 64 forgotten, %.2f MiB in all: resident memory after "
		 "everything was freed is %.2f MiB higher%s",
		 leaked / 1048576, found / 1048576, slower ? "" : ", and not called so");
	json_object_set_new(check->details, "leaked_bytes", json_real(leaked));
	json_object_set_new(check->details, "found_bytes", json_real(found));
	json_object_set_new(check->details, "called", json_boolean(slower));
}

/* --- tail --- */

#define TAIL_EVERY 1000
#define TAIL_NS	   20000.0
/* Between an operation's usual time and the planted one. */
#define TAIL_FROM_NS 15000.0

struct tail_sum {
	double count, slow; /* allocations, and those of TAIL_FROM_NS and more */
	double planted;	    /* by the allocator's own account */
};

/* Value of a merged histogram at a quantile, in ns. */
static double quantile_ns(const json_t *const *buckets, size_t n, double ns_per_tick,
			  double quantile)
{
	double total = 0, below = 0;
	uint64_t *merged = calloc(HISTOGRAM_BUCKETS, sizeof(*merged));
	double ns = NAN;
	size_t k;
	json_t *pair;

	if (merged == NULL)
		abort();
	for (size_t i = 0; i < n; i++) {
		json_array_foreach (buckets[i], k, pair) {
			json_int_t at = json_integer_value(json_array_get(pair, 0));
			json_int_t samples = json_integer_value(json_array_get(pair, 1));

			if (at >= 0 && at < (json_int_t)HISTOGRAM_BUCKETS)
				merged[at] += (uint64_t)samples;
			total += (double)samples;
		}
	}
	for (unsigned int i = 0; i < HISTOGRAM_BUCKETS && isnan(ns); i++) {
		below += (double)merged[i];
		if (below >= quantile * total && total > 0)
			ns = ((double)histogram_bucket_low(i) +
			      (double)histogram_bucket_high(i)) /
			     2 * ns_per_tick;
	}
	free(merged);
	return ns;
}

/* Allocations of the cells of one variant; fills buckets[]. Returns how many cells. */
static size_t gather_tail(const json_t *root, const char *allocator,
			  const json_t **buckets, size_t max, struct tail_sum *sum,
			  double *ns_per_tick)
{
	const json_t *list = json_object_get(root, "benchmarks");
	size_t i, k, n = 0;
	json_t *entry, *pair;

	*sum = (struct tail_sum){0};
	json_array_foreach (list, i, entry) {
		const json_t *own = json_object_get(entry, "kmembench");
		const char *name = json_string_value(json_object_get(own, "allocator"));
		const json_t *alloc = json_object_get(json_object_get(own, "latency"),
						      "alloc");

		if (name == NULL || strcmp(name, allocator) != 0 || alloc == NULL ||
		    n == max)
			continue;
		*ns_per_tick = json_number_value(json_object_get(alloc, "ns_per_tick"));
		buckets[n] = json_object_get(alloc, "buckets");
		json_array_foreach (buckets[n], k, pair) {
			double low = (double)histogram_bucket_low((
				unsigned int)json_integer_value(json_array_get(pair, 0)));
			double samples = json_number_value(json_array_get(pair, 1));

			sum->count += samples;
			if (low * *ns_per_tick >= TAIL_FROM_NS)
				sum->slow += samples;
		}
		n++;
	}
	return n;
}

void selftest_tail(struct selftest *t)
{
	static const char control[] = "planted:over=glibc";
	static const char tailed[] = "planted:over=glibc,tail_every=1000,tail_ns=20000";
	struct selftest_check *check = selftest_new_check(t, "planted-tail", "");
	const json_t *buckets[8];
	struct tail_sum clean, slow;
	double ns_per_tick = 0, share, stray, at, below;
	char both[128];
	struct plan plan;
	json_t *root;
	size_t n;

	selftest_plan_init(&plan, t);
	plan.method = METHOD_PLAIN;
	plan.reps = 3;
	plan.time_s = 0.02;
	plan.latency_time_s = 0.2;
	snprintf(both, sizeof(both), "%s,%s", control, tailed);
	if (!add_grid(&plan, both, "pair", "64")) {
		cannot(check, FITNESS_FAIL, "the cells cannot be planned");
		plan_release(&plan);
		return;
	}
	root = selftest_run(t, &plan, check);
	plan_release(&plan);
	if (root == NULL)
		return;
	gather_tail(root, control, buckets, KMEM_ARRAY_SIZE(buckets), &clean,
		    &ns_per_tick);
	n = gather_tail(root, tailed, buckets, KMEM_ARRAY_SIZE(buckets), &slow,
			&ns_per_tick);
	stray = clean.count > 0 ? clean.slow / clean.count : NAN;
	share = slow.count > 0 ? slow.slow / slow.count : NAN;
	at = quantile_ns(buckets, n, ns_per_tick, 1 - 0.5 / TAIL_EVERY);
	below = quantile_ns(buckets, n, ns_per_tick, 1 - 2.0 / TAIL_EVERY);
	json_decref(root);
	check->status = fabs((share - stray) * TAIL_EVERY - 1) < 0.1 &&
					at > 0.98 * TAIL_NS && at < 1.1 * TAIL_NS &&
					below < TAIL_FROM_NS
				? FITNESS_OK
				: FITNESS_FAIL;
	check->noise = stray * TAIL_EVERY > 0.5;
	snprintf(
		check->text, sizeof(check->text),
		"20 us in each 1000th allocation: %.3f of 1000 take 15 us and more (%.3f "
		"without); p99.95 is %.2f us, p99.8 %.0f ns",
		share * 1000, stray * 1000, at / 1000, below);
	json_object_set_new(check->details, "share", json_real(share));
	json_object_set_new(check->details, "share_without", json_real(stray));
	json_object_set_new(check->details, "p99_95_ns", json_real(at));
	json_object_set_new(check->details, "p99_8_ns", json_real(below));
}
