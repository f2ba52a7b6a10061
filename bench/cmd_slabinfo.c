/* SPDX-License-Identifier: MIT */
/* kmembench slabinfo: the slab caches of a cell where it holds the most. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include <kmem/error.h>
#include <kmem/slab.h>

#include "bench/cli.h"
#include "bench/plot_data.h"
#include "bench/run_options.h"
#include "bench/runner.h"

static const char help[] =
	"usage: kmembench slabinfo [-a LIST] [-w LIST] [OPTIONS]\n\n"
	"Runs a workload in a process of its own and prints what the allocator's slab caches\n"
	"held when the workload held the most, in the columns of /proc/slabinfo. Several\n"
	"cells follow one another, each under a line '# cell NAME'.\n\n"
	"  -a, --allocators LIST  allocators with slab caches: slab (the default), kmem,\n"
	"                         vmalloc; with options after a colon: slab:colour=off\n"
	"  -w, --workloads LIST   names, with parameters after a colon (wset:slots=1000)\n"
	"  -s, --sizes LIST       bytes: 16,64,4K, or 16..1K (each twice the one before)\n"
	"  -t, --threads LIST     threads: 1,2 or 1..8 (each twice the one before)\n"
	"  -p, --param NAME=LIST  a workload's parameter; a list makes a grid\n"
	"      --touch RULE       none, ends, pages or full: what is written of each block\n"
	"      --check            stamp every block, verify it before it is freed\n"
	"      --time S           about how long the workload runs (0.2)\n"
	"      --timeout S        a process that has worked longer is killed (60)\n"
	"      --seed N           seed of all random draws (from the clock)\n"
	"      --json             all cells as JSON, with the layout of slabs that\n"
	"                         /proc/slabinfo has no columns for: colours, slack, off_slab\n"
	"  -q, --quiet            nothing on standard error but errors\n"
	"  -h, --help             this text\n"
	"      --version          the version\n\n"
	"active_objs are the objects in the workload's hands; num_objs less those are free, on\n"
	"slabs or on the arrays of CPUs and nodes (Linux counts the latter as active). Blocks\n"
	"larger than the largest cache, and mappings, are in no cache.\n\n"
	"exit codes: 0 done, 2 usage, 3 a cell failed, 4 the allocator has no slab caches\n\n"
	"examples:\n"
	"  kmembench slabinfo\n"
	"  kmembench slabinfo -a kmem -w larson -t 2\n"
	"  kmembench slabinfo -a slab:colour=off -w pair -s 100\n"
	"  kmembench slabinfo --json -q | jq '.cells[].caches[] | select(.off_slab)'\n";

static const struct option long_options[] = {
	RUN_GRID_OPTIONS,
	{"time", required_argument, NULL, OPT_TIME},
	{"timeout", required_argument, NULL, OPT_TIMEOUT},
	{"seed", required_argument, NULL, OPT_SEED},
	{"json", no_argument, NULL, 'j'},
	{"quiet", no_argument, NULL, 'q'},
	{NULL, 0, NULL, 0},
};

/* A probe's share of an operation, ns: four pairs of clock reads. */
#define PROBE_NS 100.0
/* Of --time, spent on finding out how much fits. */
#define WARM_SHARE 0.2

struct slabinfo_command {
	struct plan plan;
	struct grid grid;
	bool quiet, seed_given;
	json_t *cells; /* --json: what it will print; else NULL */
};

static int parse(struct slabinfo_command *s, int argc, char **argv)
{
	int option, code;

	optind = 0;
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":" RUN_GRID_LETTERS "q", long_options,
				     NULL)) != -1) {
		switch (option) {
		case 'q': s->quiet = true; break;
		case 'j': s->cells = s->cells ? s->cells : json_array(); break;
		default:
			code = run_grid_option("slabinfo", option, optarg, &s->grid);
			if (code == -1)
				code = run_option("slabinfo", option, optarg, &s->plan,
						  &s->seed_given);
			if (code == -1)
				return cli_getopt_error("slabinfo", option, argv);
			if (code != EXIT_DONE)
				return code;
		}
	}
	if (optind < argc)
		return cli_usage_error("slabinfo", "unexpected argument '%s'",
				       argv[optind]);
	return EXIT_DONE;
}

/* Those that bring the slab layer up have its options. */
static bool has_slabs(const struct allocator_ops *ops)
{
	const struct kmem_option_group *group = ops->options;

	for (; group != NULL && group->options != NULL; group++) {
		if (group->options == slab_options)
			return true;
	}
	return false;
}

static int refuse_without_slabs(const struct allocator_ops *ops)
{
	const struct allocator_ops *other;
	char names[256] = "";
	size_t used = 0;

	for (size_t i = 0; (other = allocator_at(i)) != NULL; i++) {
		if (has_slabs(other) && !other->hidden && used < sizeof(names))
			used += (size_t)snprintf(names + used, sizeof(names) - used,
						 "%s%s", used > 0 ? ", " : "",
						 other->name);
	}
	cli_error("allocator '%s' has no slab caches: name one of those that do, %s",
		  ops->name, names);
	return EXIT_NOT_SUPPORTED;
}

/* Quanta of each thread that fit --time, by a process that is only timed. 0: failed. */
static uint64_t quanta_that_fit(const struct plan *plan, json_t *spec, json_t **failure)
{
	const struct process_layout layout = {0};
	struct cell_process *p = cell_process_start(spec, &layout, plan->timeout_s);
	unsigned long long ops = 0, ns = 0;
	const char *answer;
	char command[48];
	double quantum_ns, fit = 0;

	snprintf(command, sizeof(command), "warm %.0f", plan->time_s * WARM_SHARE * 1e9);
	if (cell_process_ask(p, "prepare")) {
		cell_process_send(p, command);
		answer = cell_process_answer(p);
		if (answer != NULL && sscanf(answer, "warm %llu %llu", &ops, &ns) == 2) {
			quantum_ns = (double)ns +
				     (double)ops * PROBE_NS /
					     json_integer_value(
						     json_object_get(spec, "threads"));
			fit = plan->time_s * 1e9 / quantum_ns;
			fit = fit < 1 ? 1 : fit;
		}
	}
	if (fit == 0)
		*failure = cell_process_finish(p);
	cell_process_delete(p);
	return (uint64_t)fit;
}

/* The cell's answer or its failure; NULL when interrupted. */
static json_t *run_cell(const struct plan *plan, const struct plan_cell *cell)
{
	const struct process_layout layout = {0};
	json_t *spec = plan_cell_spec(plan, cell, 0), *entry = NULL;
	uint64_t quanta = quanta_that_fit(plan, spec, &entry);
	struct cell_process *p;
	char command[48];

	if (quanta != 0) {
		snprintf(command, sizeof(command), "slabinfo %llu",
			 (unsigned long long)quanta);
		p = cell_process_start(spec, &layout, plan->timeout_s);
		if (cell_process_ask(p, "prepare"))
			cell_process_ask(p, command);
		entry = cell_process_finish(p);
		cell_process_delete(p);
	}
	json_decref(spec);
	return entry;
}

static void print_lines(const struct slabinfo_command *s, const struct plan_cell *cell,
			const json_t *lines)
{
	const json_t *line;
	size_t i;

	if (s->plan.count > 1)
		printf("# cell %s\n", cell->key);
	json_array_foreach (lines, i, line)
		fputs(json_string_value(line), stdout);
	fflush(stdout); /* before the line about it, where both go one way */
}

static int show_cell(const struct slabinfo_command *s, const struct plan_cell *cell)
{
	json_t *entry = run_cell(&s->plan, cell);
	const json_t *lines = json_object_get(entry, "slabinfo");
	const char *reason = json_string_value(json_object_get(entry, "error"));
	int code = EXIT_CELL_FAILED;
	json_int_t looks;
	char size[32];
	double live;

	if (lines != NULL) {
		if (s->cells == NULL)
			print_lines(s, cell, lines);
		else
			json_array_append_new(
				s->cells,
				json_pack("{s:s, s:O, s:O, s:O}", "cell", cell->key,
					  "live_bytes",
					  json_object_get(entry, "live_bytes"), "looks",
					  json_object_get(entry, "looks"), "caches",
					  json_object_get(entry, "caches")));
		live = (double)json_integer_value(json_object_get(entry, "live_bytes"));
		looks = json_integer_value(json_object_get(entry, "looks"));
		if (!s->quiet)
			fprintf(stderr, "%s: %s live, the most in %lld look%s\n",
				cell->key, format_bytes(live, size, sizeof(size)),
				(long long)looks, looks == 1 ? "" : "s");
		code = EXIT_DONE;
	} else if (entry == NULL) {
		cli_error("interrupted");
	} else {
		cli_error("%s: %s", cell->key, reason != NULL ? reason : "no answer");
	}
	json_decref(entry);
	return code;
}

static int show(struct slabinfo_command *s)
{
	int code = EXIT_DONE;

	if (s->plan.count == 0) {
		cli_error("nothing to run: the allocator is not installed");
		return EXIT_NOT_SUPPORTED;
	}
	for (size_t i = 0; i < s->plan.count; i++) {
		if (!has_slabs(s->plan.cells[i].ops))
			return refuse_without_slabs(s->plan.cells[i].ops);
	}
	runner_catch_signals();
	for (size_t i = 0; i < s->plan.count && !runner_interrupted; i++) {
		int one = show_cell(s, &s->plan.cells[i]);

		code = one != EXIT_DONE ? one : code;
	}
	runner_release_signals();
	if (s->cells != NULL) {
		json_t *root = json_pack("{s:O}", "cells", s->cells);

		json_dumpf(root, stdout, JSON_INDENT(2));
		putchar('\n');
		json_decref(root);
	}
	return code;
}

int cmd_slabinfo(int argc, char **argv)
{
	struct slabinfo_command s = {0};
	int code;

	if (cli_help_or_version(argc, argv, help))
		return EXIT_DONE;
	plan_init(&s.plan);
	s.plan.time_s = 0.2;
	s.grid.params = json_object();
	s.grid.allocators = "slab";
	s.grid.workloads = "wset";
	code = parse(&s, argc, argv);
	if (code == EXIT_DONE) {
		run_default_seed(&s.plan, s.seed_given);
		code = plan_add_grid(&s.plan, &s.grid) != 0 ? EXIT_USAGE : show(&s);
	}
	json_decref(s.grid.params);
	json_decref(s.cells);
	plan_release(&s.plan);
	return code;
}
