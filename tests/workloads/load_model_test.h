/* SPDX-License-Identifier: MIT */
/* For tests of load models: a folder for one and for a trace, and a small model. */
#ifndef TESTS_WORKLOADS_LOAD_MODEL_TEST_H
#define TESTS_WORKLOADS_LOAD_MODEL_TEST_H

#include "tests/workloads/model.h"

#include <errno.h>
#include <math.h>
#include <unistd.h>

#include "workloads/harness/load_model.h"

static char folder[] = "/tmp/kmembench-empirical-XXXXXX";
static char path[64], trace_path[64], param[80];

static inline int make_folder(void **state)
{
	(void)state;
	if (mkdtemp(folder) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/m", folder);
	snprintf(trace_path, sizeof(trace_path), "%s/t", folder);
	snprintf(param, sizeof(param), "model=%s", path);
	return 0;
}

static inline int remove_folder(void **state)
{
	(void)state;
	unlink(path);
	unlink(trace_path);
	return rmdir(folder);
}

static inline bool near(double found, double expected, double tolerance)
{
	if (fabs(found - expected) <= tolerance * expected)
		return true;
	print_error("%g is not within %g %% of %g\n", found, tolerance * 100, expected);
	return false;
}

static inline void put_model(const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

/* Two kinds that come and go, one large one that is handed over, and some that stay. */
static const char sample[] = "kmembench-model 1\n"
			     "# a comment\n"
			     "source by hand\n"
			     "threads 2\n"
			     "rate 1e6\n"
			     "births 1000\n"
			     "cell 24 24 24 6 20 0\n"
			     "cell 40 200 100 3 400 0.1 # small ones\r\n"
			     "\n"
			     "cell 3000 5000 4000 1 1000 0.5\n"
			     "kept 64 64 64 100\n"
			     "end\n";

static inline struct load_model *fit_events(const struct trace_event *events,
					    uint64_t count, uint32_t cells_max)
{
	const struct trace_origin origin = {.program = "hand", .duration_ns = 1000000};
	struct load_model *m = NULL;
	struct trace trace;

	if (trace_write(trace_path, events, count, &origin) != 0 ||
	    trace_open(trace_path, &trace) != 0 ||
	    load_model_fit(&trace, cells_max, &m) != 0)
		fail_msg("%s", kmem_last_error());
	trace_close(&trace);
	return m;
}

#endif /* TESTS_WORKLOADS_LOAD_MODEL_TEST_H */
