/* SPDX-License-Identifier: MIT */
/* The counted pass of a cell that runs under callgrind: see icount.h. */
#include "bench/icount.h"

#include "bench/cell.h"
#include "workloads/harness/arena.h"

#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#else
#define RUNNING_ON_VALGRIND		0
#define CALLGRIND_START_INSTRUMENTATION ((void)0)
#define CALLGRIND_STOP_INSTRUMENTATION	((void)0)
#define CALLGRIND_ZERO_STATS		((void)0)
#endif

struct icount_thread {
	struct cell *cell;
	unsigned int index;
	uint64_t ops;
};

/*
 * Counting is switched for the whole process, so that threads which the workload
 * itself starts are counted, too. Thread 0 does it while the others wait.
 */
static void *icount_main(void *arg)
{
	struct icount_thread *t = arg;
	struct cell *cell = t->cell;
	struct worker *w = &cell->workers[t->index];
	void (*step)(struct worker *) = cell->run.workload->step;

	cell_enter_thread(cell, t->index, PASS_THROUGHPUT, NULL);
	pthread_barrier_wait(&cell->barrier);
	for (int i = 0; i < ICOUNT_WARM_UP_QUANTA; i++)
		step(w);
	t->ops = w->ops;
	pthread_barrier_wait(&cell->barrier);
	if (t->index == 0)
		CALLGRIND_ZERO_STATS;
	pthread_barrier_wait(&cell->barrier);
	for (int i = 0; i < ICOUNT_QUANTA; i++)
		step(w);
	t->ops = w->ops - t->ops;
	pthread_barrier_wait(&cell->barrier);
	if (t->index == 0)
		CALLGRIND_STOP_INSTRUMENTATION;
	pthread_barrier_wait(&cell->barrier);
	cell_leave_thread(cell, t->index);
	return NULL;
}

uint64_t cell_icount_pass(struct cell *cell)
{
	unsigned int threads = cell->run.threads;
	pthread_t *ids = arena_alloc(threads * sizeof(*ids));
	struct icount_thread *args = arena_alloc(threads * sizeof(*args));
	uint64_t ops = 0;

	if (RUNNING_ON_VALGRIND == 0)
		cell_fail("instructions are counted under valgrind only: use "
			  "'kmembench run --icount'");
	CALLGRIND_START_INSTRUMENTATION;
	pthread_barrier_init(&cell->barrier, NULL, threads);
	for (unsigned int i = 0; i < threads; i++)
		args[i] = (struct icount_thread){cell, i, 0};
	for (unsigned int i = 1; i < threads; i++) {
		if (pthread_create(&ids[i], NULL, icount_main, &args[i]) != 0)
			cell_fail(
				"cannot start a worker thread: lower -t or raise 'ulimit -u'");
	}
	icount_main(&args[0]);
	for (unsigned int i = 1; i < threads; i++)
		pthread_join(ids[i], NULL);
	for (unsigned int i = 0; i < threads; i++)
		ops += args[i].ops;
	pthread_barrier_destroy(&cell->barrier);
	arena_free(ids, threads * sizeof(*ids));
	arena_free(args, threads * sizeof(*args));
	return ops;
}
