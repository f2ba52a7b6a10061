/* SPDX-License-Identifier: MIT */
/* The two passes of a cell: throughput without a clock, latency with one. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include <kmem/error.h>

#include "bench/cell.h"
#include "bench/topology.h"
#include "workloads/harness/arena.h"

static void enter_thread(struct cell *cell, unsigned int index, struct probe *probe)
{
	struct worker *w = &cell->workers[index];
	struct allocator *a = cell->run.allocator;

	if (topology_pin_self(cell->cpus[index]) != 0)
		cell_fail(kmem_last_error());
	if (a->ops->thread_enter != NULL)
		a->ops->thread_enter(a);
	worker_init(w, &cell->run, index, probe);
	if (cell->run.workload->thread_setup != NULL &&
	    cell->run.workload->thread_setup(w) != 0)
		cell_fail(kmem_last_error());
}

/* The last thread to leave tells the workload that the pass is over. */
static void leave_thread(struct cell *cell, unsigned int index)
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

/* CPUs are dealt out in rounds: the first one comes again when all are taken. */
static bool shares_cpus(const struct cell *cell)
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

	enter_thread(cell, index, NULL);
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
	leave_thread(cell, index);
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
	if (shares_cpus(cell))
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

struct latency_thread {
	struct cell *cell;
	unsigned int index;
};

static void *latency_main(void *arg)
{
	struct latency_thread *t = arg;
	struct cell *cell = t->cell;
	struct worker *w = &cell->workers[t->index];
	struct probe *probe = &cell->probes[t->index];

	enter_thread(cell, t->index, probe);
	pthread_barrier_wait(&cell->barrier); /* start together */
	for (uint64_t i = 0; i < cell->latency_quanta; i++)
		cell->run.workload->step_probed(w);
	probe_live_flush(probe);
	pthread_barrier_wait(&cell->barrier); /* all work is done */
	if (t->index == 0)
		cell_memory(&cell->live);
	pthread_barrier_wait(&cell->barrier); /* memory has been read */
	leave_thread(cell, t->index);
	return NULL;
}

/*
 * Every thread does the same number of quanta, as in the throughput pass, so
 * that producers and consumers stay paired. The number is what fits into
 * latency_time_s, two clock pairs an operation added.
 */
static uint64_t quanta_that_fit(const struct cell *cell)
{
	double quanta = (double)cell->timing.iterations;
	double quantum_s = cell->timing.real_s * cell->run.threads / quanta;
	double ops_per_quantum = (double)cell->ops / quanta;
	double pair_s = (double)cell->clock.pair_ticks * cell->clock.ns_per_tick * 1e-9;
	double fit;

	quantum_s += ops_per_quantum * 2 * 1.5 * pair_s;
	fit = cell->latency_time_s / quantum_s;
	return fit < 1 ? 1 : (uint64_t)fit;
}

/* What the threads passed on; or, when all stayed below that, their own maxima. */
static uint64_t live_bytes_max(const struct cell *cell)
{
	int64_t together = 0, apart = 0;

	for (unsigned int i = 0; i < cell->run.threads; i++) {
		if (cell->probes[i].live_bytes_max > together)
			together = cell->probes[i].live_bytes_max;
		apart += cell->probes[i].live_pending_bytes_max;
	}
	return (uint64_t)(together > 0 ? together : apart);
}

/*
 * The main thread is worker 0, as in Google Benchmark's run: with one thread, the
 * process has no other, and an allocator that treats the first thread or a
 * single-threaded process in its own way (glibc does both) does so in both passes.
 */
void cell_latency_pass(struct cell *cell)
{
	unsigned int threads = cell->run.threads;
	pthread_t *ids = arena_alloc(threads * sizeof(*ids));
	struct latency_thread *args = arena_alloc(threads * sizeof(*args));

	cell->latency_quanta = quanta_that_fit(cell);
	pthread_barrier_init(&cell->barrier, NULL, threads);
	for (unsigned int i = 0; i < threads; i++) {
		probe_init(&cell->probes[i], cell->probe_shared, &cell->clock, threads);
		args[i] = (struct latency_thread){cell, i};
	}
	for (unsigned int i = 1; i < threads; i++) {
		if (pthread_create(&ids[i], NULL, latency_main, &args[i]) != 0)
			cell_fail(
				"cannot start a worker thread: lower -t or raise 'ulimit -u'");
	}
	latency_main(&args[0]);
	for (unsigned int i = 1; i < threads; i++)
		pthread_join(ids[i], NULL);
	cell->live_bytes_max = live_bytes_max(cell);
	pthread_barrier_destroy(&cell->barrier);
	arena_free(ids, threads * sizeof(*ids));
	arena_free(args, threads * sizeof(*args));
}
