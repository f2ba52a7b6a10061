/* SPDX-License-Identifier: MIT */
/*
 * One cell, measured in this process: the other side of cell_process.c.
 *
 * The process is a server. The cell's description arrives as the first line of
 * standard input:
 *
 *   {"allocator": "slab:percpu=off", "libraries": [["name", "path"]],
 *    "workload": "pair", "size": 64, "threads": 2, "params": {"touch": "none"},
 *    "check": false, "time_s": 0.1, "latency_time_s": 0.05,
 *    "memory_time_s": 0.05, "ops": 0, "seed": 1, "block": 0}
 *
 * Commands follow, a line each; each is answered with one line on CELL_RESULT_FD,
 * whole numbers after the command's name:
 *
 *   prepare     allocator, workload and threads are made ready; "prepare"
 *   warm NS     quanta until NS ns have passed; "warm OPS NS BYTES": the operations of
 *               one quantum of all threads, the time of the fastest, and the resident
 *               memory that has come since the allocator was created
 *   slice N L   L quanta of each thread to fill the caches, then N on the clock;
 *               "slice REAL CPU OPS": ns of wall time (mean of the threads) and of CPU
 *               time (sum), operations of all threads, of the N alone
 *   plain       the throughput pass by Google Benchmark; "plain"
 *   latency     the latency pass; "latency"
 *   memory [N]  the memory pass, N quanta of each thread, or as many as the passes before
 *               tell to fit; "memory"
 *   slabinfo N  N quanta of each thread, while the allocator's slab caches are looked at;
 *               "slabinfo"
 *   icount      the pass under callgrind; "icount OPS": operations of all threads
 *   finish      the last one; the answer is the entry for the results, as JSON; after a
 *               memory pass alone, what that adds to an entry (memory_process.h); after
 *               slabinfo, {"status", "slabinfo": [lines], "caches": [{}], "live_bytes",
 * "looks"}
 *
 * A failure is answered by {"status": "failed", "error": ...} and ends the process.
 * A process whose input ends before any command does prepare, plain, latency,
 * memory, finish, and answers with the entry alone.
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
	bool interactive; /* commands came: they are answered */
	const char *allocator_spec;
	double time_s, latency_time_s, memory_time_s; /* memory_time_s 0: no such pass */
	uint64_t ops_wanted;			      /* per thread; 0: by time */

	struct workload_run run;
	struct worker *workers; /* one per thread */
	struct probe *probes;	/* one per thread */
	struct probe_shared *probe_shared;
	unsigned int *cpus; /* OS index of each thread's CPU */
	struct tsc_clock clock;
	struct tsc_instant
		born; /* before the first pass: what the clock is held against */
	pthread_barrier_t barrier; /* of the worker threads, in either pass */
	pthread_mutex_t lock;	   /* perf */

	struct slices *slices; /* the pass in slices, while it is on: cell_slices.c */

	/* throughput pass, or all its slices together */
	struct gbench_result timing;
	uint64_t ops; /* of all threads, in the run that counted */
	uint64_t first_start_ns, last_end_ns; /* of any thread's loop; under lock */
	struct perf_totals perf;	      /* under lock */

	uint64_t memory_quanta; /* per thread, as commanded; 0: what fits */

	/* latency pass */
	uint64_t latency_quanta; /* per thread */
	struct tail *tails;	 /* one per thread */
	uint64_t live_bytes_max;

	/* memory: the harness's own arenas are already subtracted */
	struct memory_usage before, live, final;
	uint64_t peak_bytes;

	struct memory_course
		*course; /* memory pass (cell_memory.h); NULL: there was none */

	struct slabinfo_peak *slabinfo; /* cell_slabinfo.c; NULL: not asked for */

	json_t *reported; /* the workload's own figures, from its report() */
	json_t *fill;	  /* from its fill(); NULL: none */
};

/*
 * A thread's way into a pass (pinned, known to the allocator, set up) and out of it
 * (torn down; the last one to leave tells the workload). cell->barrier must be that of
 * the pass's threads.
 */
void cell_enter_thread(struct cell *cell, unsigned int index, enum worker_pass pass,
		       struct probe *probe);
void cell_leave_thread(struct cell *cell, unsigned int index);

/* CPUs are dealt out in rounds: whether two threads have one and the same. */
bool cell_shares_cpus(const struct cell *cell);

/* Throughput, timed by Google Benchmark; fills timing, ops, perf. */
void cell_throughput_pass(struct cell *cell);

/*
 * Throughput in slices. Begun once; a slice runs `lead_in` steps in each thread and
 * then, on the clock, `quanta` steps, all threads started together. Between slices the
 * threads sleep. The end of the pass adds up timing, ops and perf over what was on the
 * clock.
 */
struct cell_slice {
	uint64_t real_ns; /* mean of the threads; first start to last end if they share
			     CPUs */
	uint64_t cpu_ns;  /* of the process */
	uint64_t ops;	  /* of all threads */
};
void cell_slices_begin(struct cell *cell);
/* Runs single quanta for `ns`; returns the fastest of them. */
struct cell_slice cell_slices_warm_up(struct cell *cell, uint64_t ns);
struct cell_slice cell_slices_run(struct cell *cell, uint64_t quanta, uint64_t lead_in);
/* Does nothing when the pass is not on. */
void cell_slices_end(struct cell *cell);
/* Latency histograms, live bytes, memory at the end of the work. */
void cell_latency_pass(struct cell *cell);
/* Memory over time. Weak: a build without a sampler has no such pass. */
void cell_memory_pass(struct cell *cell) __attribute__((weak));
/* Reads resident memory less the harness's arenas. */
void cell_memory(struct memory_usage *usage);

/* Adds what the latency pass gathered (bench/cell_json_latency.c). */
void cell_add_latency(const struct cell *cell, json_t *entry, json_t *kmembench);
/* Adds resident memory and its course over time (bench/cell_json_memory.c). */
void cell_add_memory(const struct cell *cell, json_t *entry, json_t *kmembench);
/* Of libkmem's own nodes; any thread, all work done. */
void cell_add_numa(const struct cell *cell, json_t *entry, json_t *kmembench);
/* How the workload filled a node; NULL: it did not. Before its teardown(). */
json_t *cell_fill_json(const struct cell *cell);
/* Percentiles of a stretch, ns (bench/cell_json_memory.c); NULL: it has no sample. */
json_t *cell_segment_latency(const struct histogram *h, double ns_per_tick);

/* Quanta of each thread that fit memory_time_s, judged by the throughput pass. Weak, as
 * the pass. */
uint64_t cell_memory_quanta(const struct cell *cell) __attribute__((weak));

/* The entry for benchmarks[]; a new reference. */
json_t *cell_entry(const struct cell *cell);
/* The same of a process that did nothing but the memory pass: its figures alone. */
json_t *cell_memory_entry(const struct cell *cell);

/*
 * The pass of `slabinfo`: probed, `quanta` of each thread. Keeps what the slab caches
 * held at the look with the most live bytes.
 */
void cell_slabinfo_pass(struct cell *cell, uint64_t quanta);
/* What it kept; a new reference. */
json_t *cell_slabinfo_entry(const struct cell *cell);

/* Reports the cell as failed on CELL_RESULT_FD and ends the process. */
void cell_fail(const char *reason) __attribute__((noreturn, cold));

#endif /* KMEMBENCH_CELL_H */
