/* SPDX-License-Identifier: MIT */
/*
 * The latency pass of a cell: the same steps, a clock around every operation. And what
 * it shares with the memory pass: how many quanta fit, and the threads.
 */
#include <kmem/error.h>

#include "bench/cell_probed.h"
#include "workloads/harness/arena.h"

/* What a probe adds to an operation, as clock pairs: two pairs, the second for a
 * free beside an alloc, and the histogram and the look at the clock before each. */
#define LATENCY_EXTRA_PAIRS 4.0

struct probed_thread {
	struct cell *cell;
	unsigned int index;
	void (*main_of)(struct cell *cell, unsigned int index);
};

static void *probed_main(void *arg)
{
	struct probed_thread *t = arg;

	t->main_of(t->cell, t->index);
	return NULL;
}

void cell_probed_threads(struct cell *cell, void (*main_of)(struct cell *, unsigned int))
{
	unsigned int threads = cell->run.threads;
	pthread_t *ids = arena_alloc(threads * sizeof(*ids));
	struct probed_thread *args = arena_alloc(threads * sizeof(*args));

	pthread_barrier_init(&cell->barrier, NULL, threads);
	for (unsigned int i = 0; i < threads; i++)
		args[i] = (struct probed_thread){cell, i, main_of};
	for (unsigned int i = 1; i < threads; i++) {
		if (pthread_create(&ids[i], NULL, probed_main, &args[i]) != 0)
			cell_fail(
				"cannot start a worker thread: lower -t or raise 'ulimit -u'");
	}
	probed_main(&args[0]);
	for (unsigned int i = 1; i < threads; i++)
		pthread_join(ids[i], NULL);
	pthread_barrier_destroy(&cell->barrier);
	arena_free(ids, threads * sizeof(*ids));
	arena_free(args, threads * sizeof(*args));
}

uint64_t cell_probed_quanta(const struct cell *cell, double time_s, double extra_pairs)
{
	double quanta = (double)cell->timing.iterations;
	double quantum_s = cell->timing.real_s * cell->run.threads / quanta;
	double ops_per_quantum = (double)cell->ops / quanta;
	double pair_s = (double)cell->clock.pair_ticks * cell->clock.ns_per_tick * 1e-9;
	double fit;

	quantum_s += ops_per_quantum * extra_pairs * pair_s;
	fit = time_s / quantum_s;
	return fit < 1 ? 1 : (uint64_t)fit;
}

/*
 * What the threads saw together. Where all stayed below the step in which they tell each
 * other, they saw nothing of each other, and the sum of their own maxima is the better
 * guess.
 */
uint64_t cell_live_bytes_max(const struct probe *probes, unsigned int threads)
{
	int64_t together = 0, apart = 0;
	bool told = false;

	for (unsigned int i = 0; i < threads; i++) {
		if (probes[i].live_bytes_max > together)
			together = probes[i].live_bytes_max;
		apart += probes[i].live_own_bytes_max;
		told |= probes[i].live_own_bytes_max >= probes[i].live_step_bytes;
	}
	return (uint64_t)(told || together > apart ? together : apart);
}

/*
 * The thresholds are raised after the first, second, fourth, ... quantum: they settle,
 * and the harness's own 3 us are rarely in the way of a workload that keeps to a
 * schedule.
 */
static void latency_main(struct cell *cell, unsigned int index)
{
	struct worker *w = &cell->workers[index];
	struct probe *probe = &cell->probes[index];

	cell_enter_thread(cell, index, PASS_LATENCY, probe);
	pthread_barrier_wait(&cell->barrier); /* start together */
	for (uint64_t i = 1; i <= cell->latency_quanta; i++) {
		cell->run.workload->step_probed(w);
		if ((i & (i - 1)) == 0)
			tail_adapt(probe->tail, &probe->alloc, &probe->free);
	}
	probe_live_flush(probe);
	pthread_barrier_wait(&cell->barrier); /* all work is done */
	if (index == 0)
		cell_memory(&cell->live);
	pthread_barrier_wait(&cell->barrier); /* memory has been read */
	cell_leave_thread(cell, index);
}

void cell_latency_pass(struct cell *cell)
{
	unsigned int threads = cell->run.threads;
	enum memory_calls_seen seen = memory_calls_install(cell->run.allocator, threads);
	uint64_t hide_ticks = tail_calibrate();

	cell->tails = arena_alloc(threads * sizeof(*cell->tails));
	cell->latency_quanta = cell_probed_quanta(cell, cell->latency_time_s,
						  LATENCY_EXTRA_PAIRS);
	for (unsigned int i = 0; i < threads; i++) {
		probe_init(&cell->probes[i], cell->probe_shared, &cell->clock, threads);
		tail_init(&cell->tails[i], hide_ticks, seen);
		cell->probes[i].tail = &cell->tails[i];
	}
	cell_probed_threads(cell, latency_main);
	cell->live_bytes_max = cell_live_bytes_max(cell->probes, threads);
}
