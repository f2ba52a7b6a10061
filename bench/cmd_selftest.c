/* SPDX-License-Identifier: MIT */
/* kmembench selftest: is the machine fit, and does the harness tell the truth? */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/campaign.h"
#include "bench/cli.h"
#include "bench/runner.h"
#include "bench/selftest.h"

static const char help_text[] =
	"usage: kmembench selftest [OPTIONS]\n"
	"\n"
	"Looks at the machine, times the clock, and then tries on this machine what\n"
	"comparisons promise: one allocator under two names must not be called different;\n"
	"planted differences (3 % of time, 1 % of instructions, a leak, a long tail) must be\n"
	"found, with their size. Takes 2 to 5 minutes.\n"
	"\n"
	"      --quick        fewer cells, half a minute: rates with wide bounds\n"
	"      --cells N      at most so many cells of a class\n"
	"      --reps N       so many blocks (default: as many as a precision of 1 % takes)\n"
	"      --no-icount    without counting instructions, which needs valgrind\n"
	"      --seed N       seed of all random draws (default: from the clock)\n"
	"      --json         print JSON instead of a table\n"
	"  -q, --quiet        no progress\n"
	"  -h, --help         this text\n"
	"      --version      the version\n"
	"\n"
	"A check is ok when the rate found reaches its goal, fail when the 95 % interval of\n"
	"the rate excludes the goal, warn in between, or when a pair takes more than 2 s.\n"
	"\n"
	"exit codes: 0 fit and truthful, 2 usage, 3 a check failed, 5 too noisy to say\n"
	"\n"
	"examples:\n"
	"  kmembench selftest\n"
	"  kmembench selftest --quick --json | jq .checks\n";

enum { OPT_QUICK = 256, OPT_CELLS, OPT_REPS, OPT_NO_ICOUNT, OPT_SEED, OPT_JSON };

static const struct option long_options[] = {
	{"quick", no_argument, NULL, OPT_QUICK},
	{"cells", required_argument, NULL, OPT_CELLS},
	{"reps", required_argument, NULL, OPT_REPS},
	{"no-icount", no_argument, NULL, OPT_NO_ICOUNT},
	{"seed", required_argument, NULL, OPT_SEED},
	{"json", no_argument, NULL, OPT_JSON},
	{"quiet", no_argument, NULL, 'q'},
	{NULL, 0, NULL, 0},
};

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int parse_number(const char *option, const char *text, double min, double max,
			double *value)
{
	char *end;

	errno = 0;
	*value = strtod(text, &end);
	if (end == text || *end != '\0' || errno != 0 ||
	    !(*value >= min && *value <= max) || *value != floor(*value))
		return cli_usage_error(
			"selftest",
			"'%s' is not a value for %s: it takes whole numbers "
			"from %.0f to %.0f",
			text, option, min, max);
	return EXIT_DONE;
}

static int parse(int argc, char **argv, struct selftest_options *o)
{
	int option, code = EXIT_DONE;
	double value = 0;

	optind = 0;
	opterr = 0;
	o->with_icount = true;
	o->seed = (uint64_t)time(NULL);
	while (code == EXIT_DONE &&
	       (option = getopt_long(argc, argv, ":q", long_options, NULL)) != -1) {
		switch (option) {
		case OPT_QUICK: o->quick = true; break;
		case OPT_NO_ICOUNT: o->with_icount = false; break;
		case OPT_JSON: o->json = true; break;
		case 'q': o->quiet = true; break;
		case OPT_CELLS:
			code = parse_number("--cells", optarg, 1, 1000, &value);
			o->cells = (unsigned int)value;
			break;
		case OPT_REPS:
			code = parse_number("--reps", optarg, 1, 1000, &value);
			o->reps = (unsigned int)value;
			break;
		case OPT_SEED:
			code = parse_number("--seed", optarg, 0, 9007199254740992.0,
					    &value);
			o->seed = (uint64_t)value;
			break;
		default: return cli_getopt_error("selftest", option, argv);
		}
	}
	if (code == EXIT_DONE && optind < argc)
		code = cli_usage_error("selftest", "unexpected argument '%s'",
				       argv[optind]);
	return code;
}

/* --- what the checks share --- */

struct selftest_check *selftest_new_check(struct selftest *t, const char *name,
					  const char *class)
{
	struct selftest_check *check = &t->checks[t->count++];

	if (t->count > SELFTEST_CHECKS_MAX)
		abort();
	*check = (struct selftest_check){
		.name = name, .class = class, .details = json_object()};
	if (!t->options.quiet)
		fprintf(stderr, "selftest: %s%s%s\n", name, *class != '\0' ? ", " : "",
			class);
	return check;
}

void selftest_plan_init(struct plan *plan, const struct selftest *t)
{
	plan_init(plan);
	plan->method = METHOD_SLICES;
	plan->reps = t->options.reps;
	plan->precision_pct = SELFTEST_PRECISION_PCT;
	plan->latency_time_s = 0;
	plan->memory_time_s = 0;
	plan->seed = plan_draw(plan, t->count, t->options.seed);
}

json_t *selftest_run(struct selftest *t, struct plan *plan, struct selftest_check *check)
{
	char command[] = "selftest";
	char *argv[] = {command, NULL};
	struct campaign_options options = {
		.quiet = true, .silent = true, .argc = 1, .argv = argv};
	struct campaign_result result = {0};
	double start = now_s();
	int code = campaign_run(plan, &options, &result);

	check->seconds += now_s() - start;
	if (code == EXIT_DONE && !result.interrupted)
		return result.root;
	t->interrupted = t->interrupted || result.interrupted;
	check->status = FITNESS_FAIL;
	snprintf(check->text, sizeof(check->text), "%s",
		 result.interrupted ? "interrupted" : "the cells could not be run");
	json_decref(result.root);
	return NULL;
}

void selftest_clock(struct selftest *t)
{
	struct selftest_timer *timer = &t->timer;
	struct tsc_clock again;
	struct timespec ts;
	double start;
	const int reads = 100000;

	tsc_calibrate(&timer->clock);
	start = now_s();
	for (int i = 0; i < reads; i++)
		clock_gettime(CLOCK_MONOTONIC, &ts);
	timer->clock_gettime_ns = (now_s() - start) * 1e9 / reads;
	tsc_calibrate(&again);
	timer->calibration_difference_pct =
		100 * fabs(again.ns_per_tick / timer->clock.ns_per_tick - 1);
	/* Beyond these, an operation of some nanoseconds cannot be timed singly. */
	timer->status = timer->calibration_difference_pct > 0.1 ? FITNESS_FAIL
			: (double)timer->clock.pair_ticks * timer->clock.ns_per_tick >
						100 ||
					timer->clock_gettime_ns > 200
				? FITNESS_WARN
				: FITNESS_OK;
}

static void run_all(struct selftest *t)
{
	double start = now_s();

	t->fitness_count = fitness_examine("", t->fitness);
	fitness_measure_noise(t->options.quick ? 0.3 : 1, &t->noise);
	t->fitness_count += fitness_judge_noise(&t->noise, &t->fitness[t->fitness_count]);
	selftest_clock(t);
	selftest_rates(t);
	if (!t->interrupted && t->options.with_icount)
		selftest_icount(t);
	if (!t->interrupted)
		selftest_leak(t);
	if (!t->interrupted)
		selftest_tail(t);
	t->seconds = now_s() - start;
}

int cmd_selftest(int argc, char **argv)
{
	static struct selftest t;
	int code;

	if (cli_help_or_version(argc, argv, help_text))
		return EXIT_DONE;
	code = parse(argc, argv, &t.options);
	if (code != EXIT_DONE)
		return code;
	run_all(&t);
	if (t.options.json) {
		json_t *json = selftest_json(&t);

		json_dumpf(json, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
		putchar('\n');
		json_decref(json);
	} else {
		selftest_print(&t);
	}
	code = selftest_exit_code(&t);
	for (size_t i = 0; i < t.count; i++)
		json_decref(t.checks[i].details);
	return code;
}
