/* SPDX-License-Identifier: MIT */
/* A thread's way into a pass and out of it; the throughput pass of plain repetitions. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include <kmem/error.h>

#include "bench/cell.h"
#include "bench/topology.h"
#include "workloads/harness/arena.h"

void cell_enter_thread(struct cell *cell, unsigned int index, enum worker_pass pass,
		       struct probe *probe)
{
	struct worker *w = &cell->workers[index];
	struct allocator *a = cell->run.allocator;

	if (topology_pin_self(cell->cpus[index]) != 0)
		cell_fail(kmem_last_error());
	if (a->ops->thread_enter != NULL)
		a->ops->thread_enter(a);
	worker_init(w, &cell->run, index, probe);
	w->pass = pass;
	if (cell->run.workload->thread_setup != NULL &&
	    cell->run.workload->thread_setup(w) != 0)
		cell_fail(kmem_last_error());
}

/* The last thread to leave tells the workload that the pass is over. */
void cell_leave_thread(struct cell *cell, unsigned int index)
{
	const struct workload_ops *workload = cell->run.workload;
	struct allocator *a = cell->run.allocator;

	if (workload->thread_teardown != NULL)
		workload->thread_teardown(&cell->workers[index]);
	if (pthread_barrier_wait(&cell->barrier) == PTHREAD_BARRIER_SERIAL_THREAD &&
	    workload->pass_end != NULL)
		workload->pass_end(&cell->run);
	pthread_barrier_wait(&cell->barrier);
	if (a->ops->thread_exit != NULL)
		a->ops->thread_exit(a);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The time from the first thread's start to the last one's end. */
static void widen_span(struct cell *cell, uint64_t start_ns, uint64_t end_ns)
{
	if (start_ns < cell->first_start_ns)
		cell->first_start_ns = start_ns;
	if (end_ns > cell->last_end_ns)
		cell->last_end_ns = end_ns;
}

/* The first CPU comes again when all are taken. */
bool cell_shares_cpus(const struct cell *cell)
{
	for (unsigned int i = 1; i < cell->run.threads; i++) {
		if (cell->cpus[i] == cell->cpus[0])
			return true;
	}
	return false;
}

/*
 * Google Benchmark holds all threads before the first and after the last
 * keep_running(), so nobody tears down while others still work.
 */
static void throughput_body(void *arg, unsigned int index,
			    gbench_keep_running keep_running, void *state)
{
	struct cell *cell = arg;
	struct worker *w = &cell->workers[index];
	void (*step)(struct worker *) = cell->run.workload->step;
	struct perf_counters counters;
	bool counting = false;
	uint64_t start_ns = 0, end_ns;

	cell_enter_thread(cell, index, PASS_THROUGHPUT, NULL);
	if (index == 0) {
		memset(&cell->perf, 0, sizeof(cell->perf));
		cell->first_start_ns = UINT64_MAX;
		cell->last_end_ns = 0;
	}
	perf_counters_open(&counters);
	while (keep_running(state)) {
		if (!counting) {
			start_ns = now_ns();
			perf_counters_start(&counters);
			counting = true;
		}
		step(w);
	}
	end_ns = now_ns();
	perf_counters_stop(&counters);
	pthread_mutex_lock(&cell->lock);
	widen_span(cell, start_ns, end_ns);
	perf_counters_close(&counters, &cell->perf);
	pthread_mutex_unlock(&cell->lock);
	cell_leave_thread(cell, index);
}

static uint64_t ops_of_all(const struct cell *cell)
{
	uint64_t ops = 0;

	for (unsigned int i = 0; i < cell->run.threads; i++)
		ops += cell->workers[i].ops;
	return ops;
}

static void run_gbench(struct cell *cell, int64_t iterations)
{
	struct gbench_request request = {
		.name = cell->run.workload->name,
		.threads = cell->run.threads,
		.min_time_s = cell->time_s,
		.iterations = iterations,
		.body = throughput_body,
		.arg = cell,
	};

	if (gbench_run(&request, &cell->timing) != 0)
		cell_fail("google benchmark reported no result");
	/* The last run is the one that the library reports. */
	cell->ops = ops_of_all(cell);
	if (cell->ops == 0)
		cell_fail("the workload did no operation");
	/*
	 * A thread that waits for a CPU before its first operation, while others work on
	 * that CPU, does not count the wait. With more threads than CPUs only the time
	 * from the first start to the last end is wall time.
	 */
	if (cell_shares_cpus(cell))
		cell->timing.real_s = (double)(cell->last_end_ns - cell->first_start_ns) *
				      1e-9;
}

void cell_throughput_pass(struct cell *cell)
{
	unsigned int threads = cell->run.threads;

	pthread_barrier_init(&cell->barrier, NULL, threads);
	/*
	 * A process's first quantum runs on cold code and an empty allocator. It is
	 * never the one that counts, however long a quantum or short the time.
	 */
	run_gbench(cell, 1);
	if (cell->ops_wanted != 0) {
		uint64_t per_quantum;

		per_quantum = cell->ops / threads > 0 ? cell->ops / threads : 1;
		run_gbench(cell,
			   (int64_t)((cell->ops_wanted + per_quantum - 1) / per_quantum));
	} else {
		run_gbench(cell, 0);
	}
	pthread_barrier_destroy(&cell->barrier);
}
