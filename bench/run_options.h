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
	OPT_TOUCH,
	OPT_CHECK,
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

/* Options that name cells; their letters stand in getopt's string. */
#define RUN_GRID_LETTERS "a:w:s:t:p:"
#define RUN_GRID_OPTIONS                                       \
	{"allocators", required_argument, NULL, 'a'},          \
		{"workloads", required_argument, NULL, 'w'},   \
		{"sizes", required_argument, NULL, 's'},       \
		{"threads", required_argument, NULL, 't'},     \
		{"param", required_argument, NULL, 'p'},       \
		{"touch", required_argument, NULL, OPT_TOUCH}, \
	{                                                      \
		"check", no_argument, NULL, OPT_CHECK          \
	}

/*
 * Takes one option of RUN_LONG_OPTIONS. 0, EXIT_USAGE after a message, or -1
 * when it is none of them.
 */
int run_option(const char *command, int option, const char *argument, struct plan *plan,
	       bool *seed_given);

/* The same for RUN_GRID_OPTIONS. A parameter that is named again adds its values. */
int run_grid_option(const char *command, int option, const char *argument,
		    struct grid *grid);

/* EXIT_DONE, or EXIT_USAGE after a message: --baseline names no allocator of the plan. */
int run_check_plan(const char *command, const struct plan *plan);

/* Draws a seed from the clock where none was given. */
void run_default_seed(struct plan *plan, bool seed_given);

#endif /* KMEMBENCH_RUN_OPTIONS_H */
