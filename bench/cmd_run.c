/* SPDX-License-Identifier: MIT */
/* kmembench run: the grid that the command line names. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include <kmem/error.h>

#include "bench/campaign.h"
#include "bench/cli.h"
#include "bench/icount.h"
#include "bench/run_options.h"

static const char help[] =
	"usage: kmembench run -a LIST -w LIST [OPTIONS]\n\n"
	"Measures every combination of what is named. A block runs each cell once, in a\n"
	"process of its own; all allocators of one workload are alive together and take\n"
	"turns, half a millisecond each. Blocks are repeated until the ratio of each\n"
	"allocator to the baseline is known to 1 %: 10 blocks, then 5 at a time, 40 at most.\n\n"
	"what to measure\n"
	"  -a, --allocators LIST  names, with options after a colon:\n"
	"                         slab,glibc or slab:percpu=off,colour=on,glibc\n"
	"  -w, --workloads LIST   names, with parameters after a colon: pair,batch:order=lifo\n"
	"  -s, --sizes LIST       bytes: 16,64,4K, or 16..1K (each twice the one before)\n"
	"  -t, --threads LIST     threads: 1,2 or 1..8 (each twice the one before)\n"
	"  -p, --param NAME=LIST  a workload's parameter; a list makes a grid\n"
	"      --touch RULE       none, ends, pages or full: what is written of each block\n"
	"      --check            stamp every block, verify it before it is freed\n"
	"      --library NAME=PATH  add a malloc-compatible library as an allocator\n"
	"how\n"
	"      --precision PCT    stop when half the width of every ratio's 95 % interval is\n"
	"                         at most this (1)\n"
	"      --reps N           exactly N blocks instead (6 are the fewest for an interval)\n"
	"      --baseline NAME    whose ratio counts (glibc, else the first allocator)\n"
	"      --method METHOD    slices, or plain: one process after another, timed by\n"
	"                         Google Benchmark; 10 blocks unless --precision is reached\n"
	"      --time S           seconds of a cell's throughput pass (0.02; plain: 0.1)\n"
	"      --slice-time S     seconds of a slice (0.0005, more for large working sets)\n"
	"      --latency-time S   seconds of its latency pass (half of --time)\n"
	"      --memory-time S    seconds of its memory pass (as --latency-time; 0: none)\n"
	"      --ops N            operations a thread instead of --time\n"
	"      --layout LAYOUT    random: randomised addresses and size of the environment;\n"
	"                         fixed: neither, the same in every process\n"
	"      --icount           also count the instructions of each cell, once, under\n"
	"                         callgrind; misses are those of its model\n"
	"      --timeout S        a process that has worked longer is killed (60)\n"
	"      --seed N           seed of all random draws (from the clock)\n"
	"output\n"
	"  -o, --output FILE      results file (JSON); kept up to date beside it: FILE.journal\n"
	"      --resume           go on with an interrupted run into the same FILE\n"
	"      --json             print the results as JSON instead of a table\n"
	"  -q, --quiet            no progress\n"
	"  -n, --dry-run          show the cells and the time they take, run nothing\n"
	"  -h, --help             this text\n"
	"      --version          the version\n\n"
	"exit codes: 0 done, 2 usage, 3 a cell failed, 4 nothing that was named is here\n\n"
	"examples:\n"
	"  kmembench run -a slab,glibc,jemalloc -w pair -s 64 -t 2 -o r.json\n"
	"  kmembench run -a slab,slab:percpu=off -w wset -t 1,2\n"
	"  kmembench run --library mine=./libmine.so -a mine,glibc -w larson\n"
	"  kmembench run -a slab -w pair --icount --method plain --reps 1 -o count.json\n";

enum { OPT_RESUME = OPT_FIRST_OWN, OPT_ICOUNT, OPT_JSON };

static const struct option long_options[] = {
	RUN_GRID_OPTIONS,
	{"output", required_argument, NULL, 'o'},
	{"resume", no_argument, NULL, OPT_RESUME},
	{"icount", no_argument, NULL, OPT_ICOUNT},
	{"json", no_argument, NULL, OPT_JSON},
	{"quiet", no_argument, NULL, 'q'},
	{"dry-run", no_argument, NULL, 'n'},
	RUN_LONG_OPTIONS,
	{NULL, 0, NULL, 0},
};

struct run_command {
	struct plan plan;
	struct grid grid;
	struct campaign_options options;
	bool json, dry_run, seed_given;
};

static int parse(struct run_command *r, int argc, char **argv)
{
	int option, code;

	optind = 0;
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":" RUN_GRID_LETTERS "o:qn",
				     long_options, NULL)) != -1) {
		switch (option) {
		case 'o': r->options.out = optarg; break;
		case 'q': r->options.quiet = true; break;
		case 'n': r->dry_run = true; break;
		case OPT_RESUME: r->options.resume = true; break;
		case OPT_ICOUNT: r->plan.icount = true; break;
		case OPT_JSON: r->json = true; break;
		default:
			code = run_grid_option("run", option, optarg, &r->grid);
			if (code == -1)
				code = run_option("run", option, optarg, &r->plan,
						  &r->seed_given);
			if (code == -1)
				return cli_getopt_error("run", option, argv);
			if (code != EXIT_DONE)
				return code;
		}
	}
	if (optind < argc)
		return cli_usage_error("run", "unexpected argument '%s'", argv[optind]);
	if (r->grid.allocators == NULL || r->grid.workloads == NULL)
		return cli_usage_error("run", "%s is missing",
				       r->grid.allocators == NULL ? "-a LIST"
								  : "-w LIST");
	if (r->options.resume && r->options.out == NULL)
		return cli_usage_error(
			"run", "--resume needs the -o FILE of the interrupted run");
	return EXIT_DONE;
}

static int measure(struct run_command *r)
{
	struct campaign_result result;
	int code;

	if (r->plan.count == 0) {
		cli_error(
			"nothing to run: none of the allocators that were named is installed");
		return EXIT_NOT_SUPPORTED;
	}
	if (r->dry_run) {
		campaign_dry_run(&r->plan, &r->options);
		return EXIT_DONE;
	}
	if (r->plan.icount && icount_available() != 0) {
		cli_error("%s", kmem_last_error());
		return EXIT_NOT_SUPPORTED;
	}
	code = campaign_run(&r->plan, &r->options, &result);
	if (result.root != NULL) {
		if (r->json) {
			json_dumpf(result.root, stdout,
				   JSON_INDENT(1) | JSON_REAL_PRECISION(9));
		} else {
			campaign_print(result.root);
			icount_print(result.root);
		}
		json_decref(result.root);
	}
	if (code == EXIT_DONE && (result.failed > 0 || result.interrupted))
		code = EXIT_CELL_FAILED;
	return code;
}

int cmd_run(int argc, char **argv)
{
	struct run_command r = {0};
	int code;

	if (cli_help_or_version(argc, argv, help))
		return EXIT_DONE;
	plan_init(&r.plan);
	r.grid.params = json_object();
	r.options.argc = argc;
	r.options.argv = argv;
	code = parse(&r, argc, argv);
	if (code == EXIT_DONE) {
		run_default_seed(&r.plan, r.seed_given);
		code = plan_add_grid(&r.plan, &r.grid) != 0
			       ? EXIT_USAGE
			       : run_check_plan("run", &r.plan);
		if (code == EXIT_DONE)
			code = measure(&r);
	}
	json_decref(r.grid.params);
	plan_release(&r.plan);
	return code;
}
