/* SPDX-License-Identifier: MIT */
/*
 * What the self-test found, for people and as JSON:
 *
 *   {"version": "0.1.0", "quick": false, "seed": 1, "seconds": 151.2,
 *    "complete": true, "exit_code": 0, "verdict": "fit and truthful",
 *    "fitness": [{"name": "governor", "status": "ok|warn|fail|not known",
 *                 "value": "performance" or null, "remedy": "" or a sentence}],
 *    "noise": {"slices", "slice_ns", "step_pct", "drift_pct", "worst_pct",
 *              "steal_pct" (absent where not known)},
 *    "timer": {"status", "pair_ns", "granularity_ns", "ns_per_tick",
 *              "clock_gettime_ns", "calibration_difference_pct"},
 *    "checks": [{"name", "class", "status", "text", "seconds", "explained_by_noise",
 *                and what the check found}]}
 *
 * What a check of rates found: "pairs" that were judged, "failed" ones without figures,
 * "called" different (a-against-a) or slower (planted-slow), "rate" with "rate_low" and
 * "rate_high" (95 %), its "goal", verdicts by name, "too_wide" intervals, the medians of
 * ratio and blocks, "seconds_a_pair" and whether that is "in_time", "planted_pct" by the
 * planted allocator's own account, and under "wrong" each pair that was judged wrongly.
 */
#include "bench/selftest.h"

#include <stdio.h>
#include <string.h>

#include "bench/cli.h"

int selftest_exit_code(const struct selftest *t)
{
	bool failed = t->timer.status == FITNESS_FAIL, noisy = false;

	for (size_t i = 0; i < t->count; i++) {
		if (t->checks[i].status != FITNESS_FAIL)
			continue;
		noisy = noisy || t->checks[i].noise;
		failed = failed || !t->checks[i].noise;
	}
	if (failed || t->interrupted)
		return EXIT_CELL_FAILED;
	if (noisy || fitness_worst(t->fitness, t->fitness_count) == FITNESS_FAIL)
		return EXIT_TOO_NOISY;
	return EXIT_DONE;
}

static const char *verdict(const struct selftest *t)
{
	if (t->interrupted)
		return "interrupted";
	switch (selftest_exit_code(t)) {
	case EXIT_DONE: return "fit and truthful";
	case EXIT_TOO_NOISY: return "too noisy to say";
	default: return "a check failed";
	}
}

static double pair_ns(const struct selftest_timer *timer)
{
	return (double)timer->clock.pair_ticks * timer->clock.ns_per_tick;
}

static double granularity_ns(const struct selftest_timer *timer)
{
	return (double)timer->clock.granularity_ticks * timer->clock.ns_per_tick;
}

/* --- JSON --- */

static json_t *noise_json(const struct fitness_noise *n)
{
	json_t *object = json_pack("{s:i, s:f, s:f, s:f, s:f}", "slices", (int)n->slices,
				   "slice_ns", n->slice_ns, "step_pct", n->step_pct,
				   "drift_pct", n->drift_pct, "worst_pct", n->worst_pct);

	if (n->steal_pct >= 0)
		json_object_set_new(object, "steal_pct", json_real(n->steal_pct));
	return object;
}

static json_t *check_json(const struct selftest_check *c)
{
	json_t *object = json_pack("{s:s, s:s, s:s, s:s, s:f, s:b}", "name", c->name,
				   "class", c->class, "status",
				   fitness_status_name(c->status), "text", c->text,
				   "seconds", c->seconds, "explained_by_noise",
				   (int)(c->status == FITNESS_FAIL && c->noise));

	json_object_update(object, c->details);
	return object;
}

json_t *selftest_json(const struct selftest *t)
{
	const struct selftest_timer *timer = &t->timer;
	json_t *checks = json_array();

	for (size_t i = 0; i < t->count; i++)
		json_array_append_new(checks, check_json(&t->checks[i]));
	return json_pack(
		"{s:s, s:b, s:I, s:f, s:b, s:i, s:s, s:o, s:o, s:{s:s, s:f, s:f, s:f, s:f, "
		"s:f}, s:o}",
		"version", KMEMBENCH_VERSION, "quick", (int)t->options.quick, "seed",
		(json_int_t)t->options.seed, "seconds", t->seconds, "complete",
		(int)!t->interrupted, "exit_code", selftest_exit_code(t), "verdict",
		verdict(t), "fitness", fitness_json(t->fitness, t->fitness_count),
		"noise", noise_json(&t->noise), "timer", "status",
		fitness_status_name(timer->status), "pair_ns", pair_ns(timer),
		"granularity_ns", granularity_ns(timer), "ns_per_tick",
		timer->clock.ns_per_tick, "clock_gettime_ns", timer->clock_gettime_ns,
		"calibration_difference_pct", timer->calibration_difference_pct, "checks",
		checks);
}

/* --- for people --- */

static void print_fitness(const struct selftest *t)
{
	puts("machine");
	for (size_t i = 0; i < t->fitness_count; i++) {
		const struct fitness_item *item = &t->fitness[i];

		printf("  %-9s  %-21s  %s\n", fitness_status_name(item->status),
		       item->name, item->value);
		if (item->remedy[0] != '\0' && item->status != FITNESS_UNKNOWN)
			printf("  %-9s  %-21s  -> %s\n", "", "", item->remedy);
	}
}

static void print_timer(const struct selftest_timer *timer)
{
	puts("\nclock");
	printf("  %-9s  %-21s  pair %.1f ns (subtracted), steps of %.2f ns, "
	       "clock_gettime %.1f ns,\n  %-9s  %-21s  two calibrations differ by %.4f %%\n",
	       fitness_status_name(timer->status), "timer", pair_ns(timer),
	       granularity_ns(timer), timer->clock_gettime_ns, "", "",
	       timer->calibration_difference_pct);
}

static void print_checks(const struct selftest *t)
{
	puts("\nchecks");
	for (size_t i = 0; i < t->count; i++) {
		const struct selftest_check *c = &t->checks[i];
		const json_t *wrong = json_object_get(c->details, "wrong");
		size_t k;
		json_t *pair;

		printf("  %-9s  %-21s  %s%s%s\n", fitness_status_name(c->status), c->name,
		       c->class, *c->class != '\0' ? ": " : "", c->text);
		json_array_foreach (wrong, k, pair)
			printf("  %-9s  %-21s  %s, %s: %.4f [%.4f, %.4f], %s\n", "", "",
			       json_string_value(json_object_get(pair, "cell")),
			       json_string_value(json_object_get(pair, "allocator")),
			       json_number_value(json_object_get(pair, "ratio")),
			       json_number_value(json_object_get(pair, "low")),
			       json_number_value(json_object_get(pair, "high")),
			       json_string_value(json_object_get(pair, "verdict")));
	}
}

void selftest_print(const struct selftest *t)
{
	print_fitness(t);
	print_timer(&t->timer);
	print_checks(t);
	printf("\n%s: %.0f s%s, seed %llu\n", verdict(t), t->seconds,
	       t->options.quick ? ", fewer cells (--quick): the bounds are wide" : "",
	       (unsigned long long)t->options.seed);
}
