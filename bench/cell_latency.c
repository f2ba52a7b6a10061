/* SPDX-License-Identifier: MIT */
/* The latency pass of a cell: the same steps, a clock around every operation. */
#include <kmem/error.h>

#include "bench/cell.h"
#include "workloads/harness/arena.h"

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

	cell_enter_thread(cell, t->index, PASS_LATENCY, probe);
	pthread_barrier_wait(&cell->barrier); /* start together */
	for (uint64_t i = 0; i < cell->latency_quanta; i++)
		cell->run.workload->step_probed(w);
	probe_live_flush(probe);
	pthread_barrier_wait(&cell->barrier); /* all work is done */
	if (t->index == 0)
		cell_memory(&cell->live);
	pthread_barrier_wait(&cell->barrier); /* memory has been read */
	cell_leave_thread(cell, t->index);
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
