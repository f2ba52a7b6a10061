/* SPDX-License-Identifier: MIT */
/*
 * One cell, measured in this process: the other side of runner.c.
 *
 * The description arrives as JSON on standard input, the entry for the results
 * leaves on CELL_RESULT_FD:
 *
 *   {"allocator": "slab:percpu=off", "libraries": [["name", "path"]],
 *    "workload": "pair", "size": 64, "threads": 2, "params": {"touch": "none"},
 *    "check": false, "time_s": 0.1, "latency_time_s": 0.05, "ops": 0,
 *    "seed": 1, "block": 0}
 */
#ifndef KMEMBENCH_CELL_H
#define KMEMBENCH_CELL_H

#include <jansson.h>
#include <pthread.h>

#include "bench/gbench_shim.h"
#include "bench/memory_usage.h"
#include "bench/perf_counters.h"
#include "workloads/harness/worker_fast.h"
#include "workloads/workload.h"

#define CELL_RESULT_FD 3

struct cell {
	json_t *spec;
	const char *allocator_spec;
	double time_s, latency_time_s;
	uint64_t ops_wanted; /* per thread; 0: by time */

	struct workload_run run;
	struct worker *workers; /* one per thread */
	struct probe *probes;	/* one per thread */
	struct probe_shared *probe_shared;
	unsigned int *cpus; /* OS index of each thread's CPU */
	struct tsc_clock clock;
	pthread_barrier_t barrier; /* of the worker threads, in either pass */
	pthread_mutex_t lock;	   /* perf */

	/* throughput pass */
	struct gbench_result timing;
	uint64_t ops; /* of all threads, in the run that counted */
	uint64_t first_start_ns, last_end_ns; /* of any thread's loop; under lock */
	struct perf_totals perf;	      /* under lock */

	/* latency pass */
	uint64_t latency_quanta; /* per thread */
	uint64_t live_bytes_max;

	/* memory: the harness's own arenas are already subtracted */
	struct memory_usage before, live, final;
	uint64_t peak_bytes;

	json_t *reported; /* the workload's own figures, from its report() */
};

/*
 * A thread's way into a pass (pinned, known to the allocator, set up) and out of it
 * (torn down; the last one to leave tells the workload). cell->barrier must be that of
 * the pass's threads.
 */
void cell_enter_thread(struct cell *cell, unsigned int index, enum worker_pass pass,
		       struct probe *probe);
void cell_leave_thread(struct cell *cell, unsigned int index);

/* Throughput, timed by Google Benchmark; fills timing, ops, perf. */
void cell_throughput_pass(struct cell *cell);
/* Latency histograms, live bytes, memory at the end of the work. */
void cell_latency_pass(struct cell *cell);
/* Reads resident memory less the harness's arenas. */
void cell_memory(struct memory_usage *usage);

/* Adds what the latency pass gathered (bench/cell_json_latency.c). */
void cell_add_latency(const struct cell *cell, json_t *entry, json_t *kmembench);
/* Adds resident memory and its course over time (bench/cell_json_memory.c). */
void cell_add_memory(const struct cell *cell, json_t *entry, json_t *kmembench);

/* The entry for benchmarks[]; a new reference. */
json_t *cell_entry(const struct cell *cell);

/* Reports the cell as failed on CELL_RESULT_FD and ends the process. */
void cell_fail(const char *reason) __attribute__((noreturn, cold));

#endif /* KMEMBENCH_CELL_H */
