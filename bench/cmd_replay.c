/* SPDX-License-Identifier: MIT */
/* kmembench replay: a recorded trace on allocators. A front of `run` with the workload
 * `replay`, which checks the trace first, so that a damaged one is told before any cell
 * has started. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/cli.h"
#include <kmem/error.h>
#include "workloads/harness/trace.h"

static const char help_text[] =
	"usage: kmembench replay TRACE -a LIST [OPTIONS OF RUN]\n"
	"\n"
	"Runs a trace that 'kmembench record' wrote on each allocator of LIST: the same\n"
	"requests by as many threads, each block's events in the recorded order, threads\n"
	"begun and joined where the program did. Each thread's operations are compared with\n"
	"the trace's own counts; a difference fails the cell. TRACE\n"
	"comes first; all that follows goes to 'kmembench run', after '-w replay', the\n"
	"trace's number of threads and its path. -t may ask for a multiple of that\n"
	"number: several copies of the program side by side.\n"
	"\n"
	"  -h, --help      this text; 'kmembench run --help' has the options\n"
	"      --version   the version\n"
	"\n"
	"exit codes: those of 'kmembench run'; 2 also for a trace that cannot be used\n"
	"\n"
	"examples:\n"
	"  kmembench replay sqlite.trace -a glibc,jemalloc,mimalloc\n"
	"  kmembench replay sqlite.trace -a slab --reps 20 -o sqlite.json\n";

/* The trace decides these itself. The option's name, or NULL when there is none. */
static const char *option_of_the_trace(int argc, char **argv)
{
	static const char *const names[] = {"-w", "--workload", "--workloads",
					    "-s", "--size",	"--sizes"};

	for (int i = 0; i < argc; i++) {
		for (size_t j = 0; j < KMEM_ARRAY_SIZE(names); j++) {
			size_t n = strlen(names[j]);

			/* "-s 64", "-s64", "--sizes 64", "--sizes=64" */
			if (strncmp(argv[i], names[j], n) == 0 &&
			    (argv[i][n] == '\0' || argv[i][n] == '=' || n == 2))
				return names[j];
		}
	}
	return NULL;
}

/* Checks the trace and says how many threads it needs; EXIT_DONE or the exit code. */
static int check_trace(const char *path, uint32_t *threads)
{
	struct trace trace;

	if (trace_open(path, &trace) != 0) {
		cli_error("cannot replay '%s': %s", path, kmem_last_error());
		return EXIT_USAGE;
	}
	*threads = trace.header->threads;
	trace_close(&trace);
	if (*threads == 0) {
		cli_error("cannot replay '%s': it holds no event", path);
		return EXIT_USAGE;
	}
	return EXIT_DONE;
}

/* "trace=/absolute/path": a results file should say which trace it was. */
static int trace_parameter(const char *name, char *buf, size_t size)
{
	char path[PATH_MAX];

	if (realpath(name, path) == NULL) {
		cli_error("cannot replay '%s': %m", name);
		return EXIT_USAGE;
	}
	if (strchr(path, ',') != NULL) {
		cli_error(
			"cannot replay '%s': commas divide lists of parameters, rename it",
			path);
		return EXIT_USAGE;
	}
	snprintf(buf, size, "trace=%s", path);
	return EXIT_DONE;
}

int cmd_replay(int argc, char **argv)
{
	char param[PATH_MAX + sizeof("trace=")], count[16];
	const char *clash;
	uint32_t threads;
	char **run_argv;
	int result;

	if (cli_help_or_version(argc, argv, help_text))
		return EXIT_DONE;
	if (argc < 2 || argv[1][0] == '-')
		return cli_usage_error("replay",
				       "the trace comes first: replay TRACE -a LIST");
	clash = option_of_the_trace(argc - 2, argv + 2);
	if (clash != NULL)
		return cli_usage_error(
			"replay", "'%s' is not for replay: the trace decides it", clash);
	result = check_trace(argv[1], &threads);
	if (result == EXIT_DONE)
		result = trace_parameter(argv[1], param, sizeof(param));
	if (result != EXIT_DONE)
		return result;
	snprintf(count, sizeof(count), "%" PRIu32, threads);
	/* The user's own options come after ours: a later -t wins. */
	const char *const ours[] = {"run", "-w", "replay", "--param", param, "-t", count};
	const size_t n = KMEM_ARRAY_SIZE(ours);

	run_argv = calloc(n + (size_t)argc - 1, sizeof(*run_argv));
	if (run_argv == NULL) {
		cli_error("cannot replay '%s': out of memory", argv[1]);
		return EXIT_USAGE;
	}
	memcpy(run_argv, ours, sizeof(ours));
	memcpy(run_argv + n, argv + 2, (size_t)(argc - 2) * sizeof(*argv));
	result = cmd_run((int)n + argc - 2, run_argv);
	free(run_argv);
	return result;
}
