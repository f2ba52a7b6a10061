/* SPDX-License-Identifier: MIT */
/* kmembench compare: ratios with confidence intervals, verdicts, a gate for regressions.
 */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/cli.h"
#include "bench/compare.h"
#include "bench/compare_views.h"
#include "bench/results.h"
#include <kmem/error.h>

static const char help_text[] =
	"usage: kmembench compare [OPTIONS] RESULT [RESULT2]\n"
	"\n"
	"One file: each allocator against the baseline in the same cell, block by block.\n"
	"Two files: each allocator in RESULT2 (new) against itself in RESULT (old). The\n"
	"two ran at different times: drift of the machine between them is in the ratio and\n"
	"not in its interval. Two files and --baseline NAME: the same, after each figure\n"
	"was divided by NAME's of the same file and block; what slowed both down cancels.\n"
	"\n"
	"  -b, --baseline NAME    variant to compare with (one file: glibc, else the first)\n"
	"  -m, --metric METRIC    what to compare (real_time); 'kmembench list metrics'\n"
	"      --equivalence PCT  differences up to this count as none (1.5)\n"
	"      --fail-above PCT   exit 1 when an allocator is surely more than PCT slower:\n"
	"                         when the better end of its interval is\n"
	"      --view LIST        the conventional views beside the paired one: mann-whitney,\n"
	"                         bootstrap, all; verdicts rest on the paired one\n"
	"      --json             print JSON instead of a table\n"
	"      --force            compare files that were measured unlike all the same\n"
	"  -h, --help             this text\n"
	"      --version          the version\n"
	"\n"
	"A ratio is other / baseline of the metric: of times, above 1 is slower. It is the\n"
	"Hodges-Lehmann estimate over blocks with its 95 % interval (signed-rank for one\n"
	"file, Mann-Whitney for two), so at least 6 blocks (two files: 4 and 4) are needed.\n"
	"  faster, slower   the interval excludes 1 and the estimate is beyond PCT\n"
	"  same             the whole interval lies within PCT\n"
	"  cannot tell      otherwise; the line says why\n"
	"For metrics where more is better (items_per_second) the words turn round; for\n"
	"memory and counts the table says smaller, larger, fewer, more, and JSON keeps the\n"
	"words above. Where a figure is zero or negative, differences replace ratios, and\n"
	"\"ratio\", \"low\" and \"high\" are null in JSON.\n"
	"\n"
	"exit codes: 0 done, 1 regression past --fail-above, 2 usage or files that do not\n"
	"compare, 3 (with --fail-above) a cell failed, 5 (with --fail-above) a cell has too\n"
	"few blocks for an interval.\n"
	"\n"
	"examples:\n"
	"  kmembench compare results/new.json\n"
	"  kmembench compare -b jemalloc -m latency_alloc_ns_p99 results/new.json\n"
	"  kmembench compare --fail-above 5 old.json new.json || echo slower\n"
	"  kmembench compare --baseline freelist old.json new.json\n";

struct compare_arguments {
	struct compare_options options;
	double fail_above_pct; /* negative: no gate */
	bool json, force;
	unsigned int views; /* enum compare_view_flags */
	const char *paths[2];
	int nr_paths;
};

static int parse_percentage(const char *option, const char *text, double *pct)
{
	char *end;

	errno = 0;
	*pct = strtod(text, &end);
	if (*end == '%')
		end++;
	if (end == text || *end != '\0' || errno != 0 || !isfinite(*pct) || *pct < 0)
		return cli_usage_error("compare",
				       "%s '%s' is no percentage: give a number like 5",
				       option, text);
	return EXIT_DONE;
}

enum { OPT_FAIL_ABOVE = 256, OPT_EQUIVALENCE, OPT_JSON, OPT_FORCE, OPT_VIEW };

static const struct option long_options[] = {
	{"baseline", required_argument, NULL, 'b'},
	{"metric", required_argument, NULL, 'm'},
	{"fail-above", required_argument, NULL, OPT_FAIL_ABOVE},
	{"equivalence", required_argument, NULL, OPT_EQUIVALENCE},
	{"json", no_argument, NULL, OPT_JSON},
	{"force", no_argument, NULL, OPT_FORCE},
	{"view", required_argument, NULL, OPT_VIEW},
	{0},
};

static int parse_arguments(int argc, char **argv, struct compare_arguments *args)
{
	int option, result = EXIT_DONE;

	*args = (struct compare_arguments){
		.options = {.metric = "real_time",
			    .equivalence_pct = COMPARE_EQUIVALENCE_PCT},
		.fail_above_pct = -1.0,
	};
	optind = 1;
	opterr = 0;
	while (result == EXIT_DONE &&
	       (option = getopt_long(argc, argv, ":b:m:", long_options, NULL)) != -1) {
		switch (option) {
		case 'b': args->options.baseline = optarg; break;
		case 'm': args->options.metric = optarg; break;
		case OPT_FAIL_ABOVE:
			result = parse_percentage("--fail-above", optarg,
						  &args->fail_above_pct);
			break;
		case OPT_EQUIVALENCE:
			result = parse_percentage("--equivalence", optarg,
						  &args->options.equivalence_pct);
			break;
		case OPT_JSON: args->json = true; break;
		case OPT_FORCE: args->force = true; break;
		case OPT_VIEW:
			args->views = compare_views_parse(optarg);
			if (args->views == 0)
				result = cli_usage_error("compare", "%s",
							 kmem_last_error());
			break;
		default: return cli_getopt_error("compare", option, argv);
		}
	}
	if (result != EXIT_DONE)
		return result;
	args->nr_paths = argc - optind;
	if (args->nr_paths < 1)
		return cli_usage_error("compare", "no results file is named");
	if (args->nr_paths > 2)
		return cli_usage_error("compare",
				       "%d files are named, one or two can be compared; "
				       "'kmembench merge' joins shards",
				       args->nr_paths);
	for (int i = 0; i < args->nr_paths; i++)
		args->paths[i] = argv[optind + i];
	args->options.old_name = args->paths[0];
	return EXIT_DONE;
}

static void report_difference(const char *property, const char *a, const char *b,
			      void *arg)
{
	const struct compare_arguments *args = arg;

	if (args->force)
		cli_warn("'%s' and '%s' differ in %s: '%s' and '%s'", args->paths[0],
			 args->paths[1], property, a, b);
	else
		cli_error("'%s' and '%s' differ in %s: '%s' and '%s'", args->paths[0],
			  args->paths[1], property, a, b);
}

static void warn_if_incomplete(const char *path, const json_t *file)
{
	if (json_is_false(json_object_get(results_context(file), "complete")))
		cli_warn(
			"'%s' is incomplete: its run was interrupted or a shard is missing",
			path);
}

/*
 * The version of a workload is a hash of its definition; a change of its code alone shows
 * here. It may well be without consequence, so it is no reason to refuse.
 */
static void warn_of_other_code(const struct compare_arguments *args, json_t *const *files)
{
	const json_t *a = json_object_get(results_context(files[0]), "workloads_code");
	const json_t *b = json_object_get(results_context(files[1]), "workloads_code");

	if (json_is_string(a) && json_is_string(b) && !json_equal(a, b))
		cli_warn(
			"'%s' and '%s' come from programs whose workloads differ in code (%s and "
			"%s): a difference may be theirs",
			args->paths[0], args->paths[1], json_string_value(a),
			json_string_value(b));
}

static int fill_table(struct compare_arguments *args, json_t *const *files,
		      struct comparison_table *table)
{
	int err;

	if (args->nr_paths == 2 &&
	    compare_unlike(files[0], files[1], args->options.metric, report_difference,
			   args) > 0 &&
	    !args->force) {
		cli_error(
			"cannot compare what was measured under unlike conditions: --force does "
			"it all the same");
		return EXIT_USAGE;
	}
	if (args->nr_paths == 2)
		warn_of_other_code(args, files);
	if (args->nr_paths == 2)
		err = compare_between(files[0], files[1], &args->options, table);
	else
		err = compare_within(files[0], &args->options, table);
	if (err == 0)
		return EXIT_DONE;
	cli_error("cannot compare '%s'%s%s%s: %s", args->paths[0],
		  args->nr_paths == 2 ? " and '" : "",
		  args->nr_paths == 2 ? args->paths[1] : "",
		  args->nr_paths == 2 ? "'" : "", kmem_last_error());
	return EXIT_USAGE;
}

/*
 * A regression outweighs a failed cell, and that a cell without an interval: what could
 * not be judged must not pass for good.
 */
static int gate(const struct comparison_table *table, double pct)
{
	size_t regressed = 0, failed = 0, unbounded = 0, open_ended = 0;

	for (size_t i = 0; i < table->count; i++) {
		const struct comparison *row = &table->rows[i];

		failed += row->failed_blocks > 0;
		if (!row->ratio.bounded) {
			unbounded++;
		} else if (comparison_regressed(table, row, pct)) {
			cli_error("%s of '%s' is worse by more than %g%%", row->label,
				  row->allocator, pct);
			regressed++;
		} else {
			open_ended += comparison_may_hide_regression(table, row, pct);
		}
	}
	for (size_t i = 0; i < table->left_out_count; i++)
		failed += table->left_out[i].failed;
	if (failed > 0)
		cli_error("%zu cell%s failed and cannot be judged", failed,
			  failed == 1 ? "" : "s");
	if (unbounded > 0)
		cli_error("%zu cell%s too few blocks to be judged: run with --reps 10",
			  unbounded, unbounded == 1 ? " has" : "s have");
	if (open_ended > 0)
		cli_warn(
			"%zu interval%s past %g%%: a regression is not ruled out there; more "
			"--reps may tell",
			open_ended, open_ended == 1 ? " reaches" : "s reach", pct);
	if (regressed > 0)
		return EXIT_REGRESSION;
	if (failed > 0)
		return EXIT_CELL_FAILED;
	return unbounded > 0 ? EXIT_TOO_NOISY : EXIT_DONE;
}

static int print_table(const struct comparison_table *table, bool as_json)
{
	json_t *json;
	int failed = 0;

	if (!as_json) {
		comparison_print(table, stdout);
	} else {
		json = comparison_json(table);
		failed = json == NULL ||
			 json_dumpf(json, stdout,
				    JSON_INDENT(2) | JSON_REAL_PRECISION(9)) != 0;
		putchar('\n');
		json_decref(json);
	}
	if (failed || fflush(stdout) != 0) {
		cli_error("cannot print the comparison: %s", strerror(errno));
		return EXIT_USAGE;
	}
	return EXIT_DONE;
}

int cmd_compare(int argc, char **argv)
{
	struct compare_arguments args;
	struct comparison_table table = {0};
	json_t *files[2] = {NULL, NULL};
	int result;

	if (cli_help_or_version(argc, argv, help_text))
		return EXIT_DONE;
	result = parse_arguments(argc, argv, &args);
	if (result != EXIT_DONE)
		return result;
	for (int i = 0; i < args.nr_paths && result == EXIT_DONE; i++) {
		files[i] = results_load(args.paths[i]);
		if (files[i] == NULL) {
			cli_error("cannot compare: %s", kmem_last_error());
			result = EXIT_USAGE;
		} else {
			warn_if_incomplete(args.paths[i], files[i]);
		}
	}
	if (result == EXIT_DONE)
		result = fill_table(&args, files, &table);
	table.views = args.views;
	if (result == EXIT_DONE)
		result = print_table(&table, args.json);
	if (result == EXIT_DONE && args.fail_above_pct >= 0)
		result = gate(&table, args.fail_above_pct);
	comparison_table_release(&table);
	json_decref(files[0]);
	json_decref(files[1]);
	return result;
}
