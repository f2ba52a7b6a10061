/* SPDX-License-Identifier: MIT */
/* Options that run and sweep share: see run_options.h. */
#include "bench/run_options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/cli.h"
#include "workloads/harness/rng_fast.h"

static int number(const char *command, const char *option, const char *text, double min,
		  double max, double *value)
{
	char *end;

	errno = 0;
	*value = strtod(text, &end);
	if (end == text || *end != '\0' || errno != 0 ||
	    !(*value >= min && *value <= max))
		return cli_usage_error(
			command, "'%s' is not a value for %s: it takes %.16g to %.16g",
			text, option, min, max);
	return EXIT_DONE;
}

static int whole_number(const char *command, const char *option, const char *text,
			double min, double max, double *value)
{
	int code = number(command, option, text, min, max, value);

	if (code == EXIT_DONE && *value != (double)(uint64_t)*value)
		code = cli_usage_error(command,
				       "'%s' is not a value for %s: it takes "
				       "whole numbers",
				       text, option);
	return code;
}

/* One of two words; *second is whether it was the second one. */
static int word(const char *command, const char *option, const char *text,
		const char *first, const char *other, bool *second)
{
	*second = strcmp(text, other) == 0;
	if (*second || strcmp(text, first) == 0)
		return EXIT_DONE;
	return cli_usage_error(command, "'%s' is not a value for %s: it is %s or %s",
			       text, option, first, other);
}

/* Options that set a number of seconds, or per cent. Their fields are in the plan. */
static int time_option(const char *command, int option, const char *argument,
		       struct plan *plan)
{
	switch (option) {
	case OPT_TIME:
		return number(command, "--time", argument, 1e-4, 3600, &plan->time_s);
	case OPT_LATENCY_TIME:
		return number(command, "--latency-time", argument, 0, 3600,
			      &plan->latency_time_s);
	case OPT_MEMORY_TIME:
		return number(command, "--memory-time", argument, 0, 3600,
			      &plan->memory_time_s);
	case OPT_SLICE_TIME:
		return number(command, "--slice-time", argument, 1e-5, 60,
			      &plan->slice_s);
	case OPT_TIMEOUT:
		return number(command, "--timeout", argument, 0.1, 1e6, &plan->timeout_s);
	case OPT_PRECISION:
		return number(command, "--precision", argument, 0.01, 1000,
			      &plan->precision_pct);
	default: return -1;
	}
}

int run_option(const char *command, int option, const char *argument, struct plan *plan,
	       bool *seed_given)
{
	double value = 0;
	bool second = false;
	int code;

	switch (option) {
	case OPT_REPS:
		code = whole_number(command, "--reps", argument, 1, 10000, &value);
		plan->reps = (unsigned int)value;
		return code;
	case OPT_OPS:
		code = whole_number(command, "--ops", argument, 1, 1e15, &value);
		plan->ops = (uint64_t)value;
		return code;
	case OPT_SEED:
		code = whole_number(command, "--seed", argument, 0, 9007199254740992.0,
				    &value);
		plan->seed = (uint64_t)value;
		*seed_given = true;
		return code;
	case OPT_LIBRARY:
		return plan_add_library(plan, argument) == 0 ? EXIT_DONE : EXIT_USAGE;
	case OPT_METHOD:
		code = word(command, "--method", argument, "slices", "plain", &second);
		plan->method = second ? METHOD_PLAIN : METHOD_SLICES;
		return code;
	case OPT_LAYOUT:
		return word(command, "--layout", argument, "random", "fixed",
			    &plan->layout_fixed);
	case OPT_BASELINE: plan->baseline = argument; return EXIT_DONE;
	default: return time_option(command, option, argument, plan);
	}
}

/* A name that is given again adds its values to the list. */
static int add_param(const char *command, struct grid *grid, const char *text)
{
	const char *equals = strchr(text, '=');
	const char *old;
	char *name, *joined;

	if (equals == NULL || equals == text)
		return cli_usage_error(command, "'%s' is not NAME=VALUE", text);
	name = strndup(text, (size_t)(equals - text));
	old = json_string_value(json_object_get(grid->params, name));
	if (old != NULL) {
		if (asprintf(&joined, "%s,%s", old, equals + 1) < 0)
			abort();
	} else {
		joined = strdup(equals + 1);
	}
	if (json_object_set_new(grid->params, name, json_string(joined)) != 0) {
		free(joined);
		free(name);
		return cli_usage_error(command, "'%s' is not valid UTF-8", text);
	}
	free(joined);
	free(name);
	return EXIT_DONE;
}

int run_grid_option(const char *command, int option, const char *argument,
		    struct grid *grid)
{
	switch (option) {
	case 'a': grid->allocators = argument; break;
	case 'w': grid->workloads = argument; break;
	case 's': grid->sizes = argument; break;
	case 't': grid->threads = argument; break;
	case 'p': return add_param(command, grid, argument);
	case OPT_TOUCH: grid->touch = argument; break;
	case OPT_CHECK: grid->check = true; break;
	default: return -1;
	}
	return EXIT_DONE;
}

int run_check_plan(const char *command, const struct plan *plan)
{
	if (plan->baseline == NULL || plan->count == 0)
		return EXIT_DONE;
	for (size_t i = 0; i < plan->count; i++) {
		if (strcmp(plan->cells[i].allocator, plan->baseline) == 0)
			return EXIT_DONE;
	}
	return cli_usage_error(
		command,
		"the baseline '%s' is not among the allocators; variants are "
		"named in full, such as '%s'",
		plan->baseline, plan->cells[0].allocator);
}

void run_default_seed(struct plan *plan, bool seed_given)
{
	struct timespec now;
	struct rng rng;

	if (seed_given)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	rng.state = (uint64_t)now.tv_sec * 1000000007u + (uint64_t)now.tv_nsec +
		    (uint64_t)getpid();
	plan->seed = rng_next(&rng) >> 11; /* fits a double, as --seed reads it */
}
