/* SPDX-License-Identifier: MIT */
/* kmembench fit: a model of a program's allocations from its trace. */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>

#include "bench/cli.h"
#include <kmem/error.h>
#include <kmem/options.h>
#include "workloads/harness/load_model.h"

#define CELLS_MIN 8

static const char help_text[] =
	"usage: kmembench fit TRACE -o MODEL [--cells N]\n"
	"\n"
	"Fits a model to a trace: a table of size class by lifetime class, with the share of\n"
	"all allocations, the mean lifetime and the share that another thread frees in each\n"
	"cell; and what the program never freed. The workload 'empirical' allocates by it,\n"
	"on any number of threads. MODEL is text; its first lines say what it rests on.\n"
	"\n"
	"  -o, --output MODEL   the model to write\n"
	"      --cells N        cells at most, 8 to 4096 (default 1024); fewer are coarser\n"
	"  -h, --help           this text\n"
	"      --version        the version\n"
	"\n"
	"Sizes that make up 0.2 % of the allocations are classes of their own, the others\n"
	"are taken together by quarters of octaves; lifetimes, counted in allocations of the\n"
	"whole program, by octaves.\n"
	"\n"
	"exit codes: 0 when the model was written; 2 when it could not be\n"
	"\n"
	"examples:\n"
	"  kmembench record -o git.trace -- git log --stat\n"
	"  kmembench fit git.trace -o git.model\n"
	"  kmembench run -a glibc,jemalloc -w empirical --param model=git.model -t 1,2,4\n";

static void print_summary(const char *path, const struct load_model *m)
{
	fprintf(stderr,
		"kmembench: fitted '%s' to %s: %" PRIu32
		" cells, on average %.0f blocks of %.0f bytes live, %.2f threads\n",
		path, m->source, m->cells, load_model_live_blocks(m),
		load_model_live_blocks(m) > 0
			? load_model_live_bytes(m) / load_model_live_blocks(m)
			: 0,
		m->threads);
}

static int fit(const char *trace_path, const char *output, uint32_t cells)
{
	struct load_model *model;
	struct trace trace;
	int err = trace_open(trace_path, &trace);

	if (err == 0) {
		err = load_model_fit(&trace, cells, &model);
		trace_close(&trace);
		if (err == 0) {
			err = load_model_write(output, model);
			if (err == 0)
				print_summary(output, model);
			load_model_delete(model);
		}
	}
	if (err == 0)
		return EXIT_DONE;
	cli_error("cannot fit a model to '%s': %s", trace_path, kmem_last_error());
	return EXIT_USAGE;
}

int cmd_fit(int argc, char **argv)
{
	enum { OPT_CELLS = 256 };
	static const struct option longopts[] = {
		{"output", required_argument, NULL, 'o'},
		{"cells", required_argument, NULL, OPT_CELLS},
		{NULL, 0, NULL, 0},
	};
	const char *output = NULL;
	uint64_t cells = LOAD_CELLS_NORMAL;
	int opt;

	if (cli_help_or_version(argc, argv, help_text))
		return EXIT_DONE;
	opterr = 0;
	optind = 0; /* glibc: start anew */
	while ((opt = getopt_long(argc, argv, ":o:", longopts, NULL)) != -1) {
		switch (opt) {
		case 'o': output = optarg; break;
		case OPT_CELLS:
			if (kmem_parse_size(optarg, &cells) != 0 || cells < CELLS_MIN ||
			    cells > LOAD_CELLS_MAX)
				return cli_usage_error("fit",
						       "--cells '%s' is not in %d .. %d",
						       optarg, CELLS_MIN, LOAD_CELLS_MAX);
			break;
		default: return cli_getopt_error("fit", opt, argv);
		}
	}
	if (output == NULL)
		return cli_usage_error("fit", "no model to write: give -o MODEL");
	if (optind != argc - 1)
		return cli_usage_error("fit", "exactly one trace is read, give its name");
	return fit(argv[optind], output, (uint32_t)cells);
}
