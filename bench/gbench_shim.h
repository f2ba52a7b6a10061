/* SPDX-License-Identifier: MIT */
/*
 * Google Benchmark from C: one benchmark, its threads, its calibration.
 *
 * Google Benchmark chooses the number of iterations, starts the threads, holds
 * them at one barrier and times each thread from its first keep_running() to
 * its last. gbench_shim.cc is the only C++ of the project.
 */
#ifndef KMEMBENCH_GBENCH_SHIM_H
#define KMEMBENCH_GBENCH_SHIM_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* True while another iteration is due; the first call waits for all threads. */
typedef bool (*gbench_keep_running)(void *state);

struct gbench_request {
	const char *name;
	unsigned int threads;
	double min_time_s;  /* iterations grow until a run takes this long */
	int64_t iterations; /* per thread; 0: by min_time_s */
	/* Called in each thread, several times while the library calibrates. What it does
	 * before the first and after the last keep_running() is not timed. */
	void (*body)(void *arg, unsigned int thread, gbench_keep_running keep_running,
		     void *state);
	void *arg;
};

struct gbench_result {
	int64_t iterations; /* of all threads together, in the run that counted */
	double real_s;	    /* wall time of that run, mean over the threads */
	double cpu_s;	    /* CPU time of all threads together */
};

/* 0, or -1 when the library reported nothing. */
int gbench_run(const struct gbench_request *request, struct gbench_result *result);

/* Version of the library's interface, as its headers had it ("1.7.1" or "unknown"). */
const char *gbench_version(void);

#ifdef __cplusplus
}
#endif

#endif /* KMEMBENCH_GBENCH_SHIM_H */
