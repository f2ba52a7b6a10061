/* SPDX-License-Identifier: MIT */
/* Options that run and sweep share. */
#ifndef KMEMBENCH_RUN_OPTIONS_H
#define KMEMBENCH_RUN_OPTIONS_H

#include <getopt.h>

#include "bench/plan.h"

enum {
	OPT_REPS = 256,
	OPT_TIME,
	OPT_LATENCY_TIME,
	OPT_TIMEOUT,
	OPT_OPS,
	OPT_SEED,
	OPT_LIBRARY,
	OPT_FIRST_OWN
};

#define RUN_LONG_OPTIONS                                                     \
	{"reps", required_argument, NULL, OPT_REPS},                         \
		{"time", required_argument, NULL, OPT_TIME},                 \
		{"latency-time", required_argument, NULL, OPT_LATENCY_TIME}, \
		{"timeout", required_argument, NULL, OPT_TIMEOUT},           \
		{"ops", required_argument, NULL, OPT_OPS},                   \
		{"seed", required_argument, NULL, OPT_SEED},                 \
	{                                                                    \
		"library", required_argument, NULL, OPT_LIBRARY              \
	}

#define RUN_OPTIONS_HELP                                                                   \
	"      --reps N           blocks: how often each cell runs, in a process of its\n" \
	"                         own (default %REPS%)\n"                                  \
	"      --time S           seconds of a cell's throughput pass\n"                   \
	"      --latency-time S   seconds of its latency pass (default: half of --time)\n" \
	"      --ops N            operations a thread instead of --time\n"                 \
	"      --timeout S        a cell that has not ended by then is killed (60)\n"      \
	"      --seed N           seed of all random draws (default: from the clock)\n"    \
	"      --library NAME=PATH  add a malloc-compatible library as an allocator\n"

/*
 * Takes one option of RUN_LONG_OPTIONS. 0, EXIT_USAGE after a message, or -1
 * when it is none of them.
 */
int run_option(const char *command, int option, const char *argument, struct plan *plan,
	       bool *seed_given);

/* Draws a seed from the clock where none was given. */
void run_default_seed(struct plan *plan, bool seed_given);

#endif /* KMEMBENCH_RUN_OPTIONS_H */
