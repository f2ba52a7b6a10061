/* SPDX-License-Identifier: MIT */
/* kmembench: finds the command and runs it. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "bench/cli.h"
#include <kmem/options.h>

static const struct command commands[] = {
	{"list", "allocators, workloads, their options, and the metrics", cmd_list,
	 false},
	{"topology", "nodes, caches and CPUs of this machine or of a description",
	 cmd_topology, false},
	{"run",
	 "measure the grid of allocators, workloads, sizes and threads that is named",
	 cmd_run, false},
	{"sweep", "measure the grid of a job file, or the built-in quick sweep",
	 cmd_sweep, false},
	{"merge", "join results files of one sweep's shards", cmd_merge, false},
	{"compare", "ratios with confidence intervals and a verdict for each cell",
	 cmd_compare, false},
	{"plot", "draw the plots that results support", cmd_plot, false},
	{"report", "write one self-contained HTML page", cmd_report, false},
	{"hgrm", "write latency histograms as HdrHistogram's percentile text", cmd_hgrm,
	 false},
	{"record", "record the allocations of a program", cmd_record, false},
	{"import", "make a trace of a log of ltrace or mtrace", cmd_import, false},
	{"fit", "fit a model to a trace, for the workload 'empirical'", cmd_fit, false},
	{"replay", "replay a recording on allocators", cmd_replay, false},
	{"exec", "run a program under an allocator", cmd_exec, false},
	{"slabinfo", "what a workload's slab caches hold, as /proc/slabinfo says it",
	 cmd_slabinfo, false},
	{"selftest",
	 "is this machine fit to measure, and does the harness tell the truth",
	 cmd_selftest, false},
	{"cell", "measure one cell: the runner's own use", cmd_cell, true},
	{"recorder-cost", "allocate in a loop: 'record' times it", cmd_recorder_cost,
	 true},
};

const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(commands); i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	}
	return NULL;
}

static void print_help(FILE *out)
{
	fputs("kmembench measures memory allocators: latency, throughput, memory.\n\n"
	      "usage: kmembench COMMAND [OPTIONS]\n\n",
	      out);
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(commands); i++) {
		if (!commands[i].hidden)
			fprintf(out, "  %-9s %s\n", commands[i].name,
				commands[i].summary);
	}
	fputs("\n'kmembench COMMAND --help', or 'kmembench help COMMAND', explains a command;\n"
	      "'kmembench --version' prints the version.\n\n"
	      "exit codes: 0 done, 1 regression found, 2 usage, 3 a cell failed, 4 not\n"
	      "supported here, 5 too noisy to say\n",
	      out);
}

static int unknown_command(const char *name)
{
	const char *names[KMEM_ARRAY_SIZE(commands)];
	size_t n = 0;
	const char *nearest;

	for (size_t i = 0; i < KMEM_ARRAY_SIZE(commands); i++) {
		if (!commands[i].hidden)
			names[n++] = commands[i].name;
	}
	nearest = kmem_nearest_name(name, names, n);
	if (nearest != NULL)
		cli_error("unknown command '%s': did you mean '%s'?", name, nearest);
	else
		cli_error("unknown command '%s'; 'kmembench --help' lists them", name);
	return EXIT_USAGE;
}

/*
 * Whoever starts us with a standard descriptor closed would find the next file that
 * is opened, a journal say, in its place, and the table printed into it.
 */
static void open_standard_descriptors(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

static void ignore_signal(int sig)
{
	(void)sig;
}

/*
 * A file beyond 'ulimit -f' is then an error of write(), with a message. By a handler,
 * not by SIG_IGN, which programs that we start would inherit.
 */
static void survive_file_limit(void)
{
	const struct sigaction action = {.sa_handler = ignore_signal,
					 .sa_flags = SA_RESTART};

	sigaction(SIGXFSZ, &action, NULL);
}

/* A full disk under the output is a failure; a reader who has seen enough is none. */
static int close_output(int code)
{
	bool failed = ferror(stdout) != 0;

	errno = 0;
	if (fflush(stdout) != 0)
		failed = true;
	if (!failed || errno == EPIPE || code != EXIT_DONE)
		return code;
	cli_error("cannot write to standard output: %s",
		  errno != 0 ? strerror(errno) : "an earlier write failed");
	return EXIT_CELL_FAILED;
}

/* help COMMAND: as COMMAND --help. */
static int help_of(const char *name)
{
	const struct command *command = command_find(name);
	char help[] = "--help", *argv[] = {NULL, help, NULL};

	if (command == NULL || command->hidden)
		return unknown_command(name);
	argv[0] = (char *)command->name;
	return close_output(command->run(2, argv));
}

int main(int argc, char **argv)
{
	const struct command *command;

	if (argc < 2) {
		print_help(stderr);
		return EXIT_USAGE;
	}
	if (strcmp(argv[1], "help") == 0 && argc > 2)
		return help_of(argv[2]);
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
	    strcmp(argv[1], "help") == 0) {
		print_help(stdout);
		return close_output(EXIT_DONE);
	}
	if (strcmp(argv[1], "--version") == 0) {
		puts("kmembench " KMEMBENCH_VERSION);
		return close_output(EXIT_DONE);
	}
	command = command_find(argv[1]);
	if (command == NULL)
		return unknown_command(argv[1]);
	if (!command->hidden)
		open_standard_descriptors();
	survive_file_limit();
	return close_output(command->run(argc - 1, argv + 1));
}
