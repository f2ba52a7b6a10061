/* SPDX-License-Identifier: MIT */
/* What all commands share: messages, exit codes, the table of commands. */
#ifndef KMEMBENCH_CLI_H
#define KMEMBENCH_CLI_H

#include <kmem/compiler.h>
#include <stdio.h>

enum exit_code {
	EXIT_DONE = 0,
	EXIT_REGRESSION = 1,
	EXIT_USAGE = 2,
	EXIT_CELL_FAILED = 3,
	EXIT_NOT_SUPPORTED = 4,
	EXIT_TOO_NOISY = 5,
};

struct command {
	const char *name;
	const char *summary;		   /* lower case, no full stop */
	int (*run)(int argc, char **argv); /* argv[0] is the command's name */
	bool hidden;
};

/* NULL when unknown. */
const struct command *command_find(const char *name);

/* "kmembench: <text>\n" to stderr; texts read "cannot …: reason". */
void cli_error(const char *fmt, ...) KMEM_PRINTF(1, 2);
/* "kmembench: warning: <text>\n" */
void cli_warn(const char *fmt, ...) KMEM_PRINTF(1, 2);
/* "kmembench COMMAND: <text>" and a pointer to --help; returns EXIT_USAGE. */
int cli_usage_error(const char *command, const char *fmt, ...) KMEM_PRINTF(2, 3);

/*
 * getopt_long(3) has just returned '?' or ':' (with opterr = 0 and an optstring
 * that starts with ':'): says which option is unknown or lacks its argument.
 */
int cli_getopt_error(const char *command, int result, char **argv);

/*
 * Common options of every command: call first. Prints help for -h/--help and the
 * version for --version anywhere before "--"; returns true when the command is done.
 */
bool cli_help_or_version(int argc, char **argv, const char *help_text);

/* True when stderr is a terminal that can redraw a line. */
bool cli_stderr_is_terminal(void);

/* Path of the running program, and of a data file of ours: "plots/x.gp",
 * "results/schema.json". Looks in $KMEMBENCH_DATADIR, next to the build folder, then in
 * the installed place. Returns buf, or NULL with an error text. */
const char *cli_program_path(char *buf, size_t size);
const char *cli_data_path(const char *name, char *buf, size_t size);
/* A shared object that is built beside the program ("libkmembench-record.so"), or
 * installed. */
const char *cli_library_path(const char *name, char *buf, size_t size);

int cmd_list(int argc, char **argv);
int cmd_slabinfo(int argc, char **argv);
int cmd_topology(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_sweep(int argc, char **argv);
int cmd_merge(int argc, char **argv);
int cmd_compare(int argc, char **argv);
int cmd_plot(int argc, char **argv);
int cmd_report(int argc, char **argv);
int cmd_hgrm(int argc, char **argv);
int cmd_record(int argc, char **argv);
int cmd_replay(int argc, char **argv);
int cmd_import(int argc, char **argv);
int cmd_fit(int argc, char **argv);
int cmd_exec(int argc, char **argv);
int cmd_selftest(int argc, char **argv);
int cmd_cell(int argc, char **argv); /* hidden: one cell, started by the runner */
int cmd_recorder_cost(int argc, char **argv); /* hidden: a loop for 'record' */

#endif /* KMEMBENCH_CLI_H */
