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
	OPT_METHOD,
	OPT_PRECISION,
	OPT_BASELINE,
	OPT_MEMORY_TIME,
	OPT_LAYOUT,
	OPT_SLICE_TIME,
	OPT_FIRST_OWN
};

#define RUN_LONG_OPTIONS                                                     \
	{"reps", required_argument, NULL, OPT_REPS},                         \
		{"time", required_argument, NULL, OPT_TIME},                 \
		{"latency-time", required_argument, NULL, OPT_LATENCY_TIME}, \
		{"memory-time", required_argument, NULL, OPT_MEMORY_TIME},   \
		{"timeout", required_argument, NULL, OPT_TIMEOUT},           \
		{"ops", required_argument, NULL, OPT_OPS},                   \
		{"seed", required_argument, NULL, OPT_SEED},                 \
		{"method", required_argument, NULL, OPT_METHOD},             \
		{"precision", required_argument, NULL, OPT_PRECISION},       \
		{"baseline", required_argument, NULL, OPT_BASELINE},         \
		{"layout", required_argument, NULL, OPT_LAYOUT},             \
		{"slice-time", required_argument, NULL, OPT_SLICE_TIME},     \
	{                                                                    \
		"library", required_argument, NULL, OPT_LIBRARY              \
	}

/*
 * Takes one option of RUN_LONG_OPTIONS. 0, EXIT_USAGE after a message, or -1
 * when it is none of them.
 */
int run_option(const char *command, int option, const char *argument, struct plan *plan,
	       bool *seed_given);

/*
 * Adds "name=values" of -p to grid->params; a name that is given again adds its values
 * to the list. EXIT_DONE, or EXIT_USAGE after a message.
 */
int run_add_param(const char *command, struct grid *grid, const char *text);

/* EXIT_DONE, or EXIT_USAGE after a message: --baseline names no allocator of the plan. */
int run_check_plan(const char *command, const struct plan *plan);

/* Draws a seed from the clock where none was given. */
void run_default_seed(struct plan *plan, bool seed_given);

#endif /* KMEMBENCH_RUN_OPTIONS_H */
