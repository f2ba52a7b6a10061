/* SPDX-License-Identifier: MIT */
/*
 * The throughput pass in slices, so that several processes can take turns.
 *
 * Theory: what is compared must run close in time, and a slice of half a
 * millisecond is close. Each process keeps its threads, its blocks and its place in
 * the random decisions from slice to slice; between slices all its threads sleep, so
 * that the CPUs belong to whoever's turn it is.
 *
 * With one thread a slice is a loop in the main thread. With several, the main
 * thread wakes the others through a futex; they meet at a barrier where they spin, so
 * that all are awake and running before any of them reads the clock. Where threads
 * share CPUs, spinning would keep the others from coming: they meet at a sleeping
 * barrier, and the slice's time is from the first start to the last end.
 *
 * Whoever ran in between has filled the caches with its own. A slice therefore begins
 * with quanta that nobody times, as many as it takes to get the working set back; the
 * threads then meet a second time. How many that is, rotation_plan.c says.
 */
#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "bench/cell.h"
#include "workloads/harness/arena.h"

/* One thread's part of the pass. The main thread is index 0. */
struct slice_thread {
	struct slices *slices;
	unsigned int index;
	pthread_t id;
	struct perf_counters counters;
	/* Of the last slice, and without its lead-in; read by the main thread after it.
	 */
	uint64_t start_ns, end_ns, ops;
} KMEM_CACHELINE_ALIGNED;

struct slices {
	struct cell *cell;
	bool shares_cpus;
	bool leaving;		  /* set before the last turn */
	bool counting;		  /* perf counters run: not in the warm-up */
	uint64_t quanta, lead_in; /* of this turn; set before it */
	uint64_t cpu_start_ns;	  /* of the process, when the clock of this turn starts */
	size_t bytes;		  /* of the arena that holds this */
	/* Futexes. The main thread advances `turn`, the others count `done` up. */
	_Atomic uint32_t turn KMEM_CACHELINE_ALIGNED;
	_Atomic uint32_t arrived KMEM_CACHELINE_ALIGNED; /* at spinning barriers, ever */
	uint32_t expected; /* of `arrived`, when all have come to the next one */
	_Atomic uint32_t done KMEM_CACHELINE_ALIGNED;
	struct slice_thread thread[];
};

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void futex_wait_while(_Atomic uint32_t *word, uint32_t value)
{
	while (atomic_load_explicit(word, memory_order_acquire) == value)
		syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word, int count)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

/* All threads are awake, and have a CPU, when the last one has come. */
static void meet(struct slices *s, uint32_t expected)
{
	if (s->cell->run.threads == 1)
		return;
	if (s->shares_cpus) {
		pthread_barrier_wait(&s->cell->barrier);
		return;
	}
	atomic_fetch_add_explicit(&s->arrived, 1, memory_order_acq_rel);
	while ((int32_t)(atomic_load_explicit(&s->arrived, memory_order_acquire) -
			 expected) < 0) {
#if defined(__x86_64__)
		__builtin_ia32_pause();
#elif defined(__aarch64__)
		__asm__ __volatile__("isb" ::: "memory");
#endif
	}
}

static void run_share(struct slice_thread *t)
{
	struct slices *s = t->slices;
	struct worker *w = &s->cell->workers[t->index];
	void (*step)(struct worker *) = s->cell->run.workload->step;
	uint64_t quanta = s->quanta, lead_in = s->lead_in;
	uint32_t expected = s->expected;
	bool counting = s->counting;

	meet(s, expected);
	for (uint64_t i = 0; i < lead_in; i++)
		step(w);
	meet(s, expected + s->cell->run.threads);
	t->ops = w->ops;
	/* The process's, so that threads which the workload starts are in it. */
	if (t->index == 0)
		s->cpu_start_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	if (s->shares_cpus) /* nobody has begun before that clock was read */
		meet(s, 0);
	if (counting)
		perf_counters_start(&t->counters);
	t->start_ns = clock_ns(CLOCK_MONOTONIC);
	for (uint64_t i = 0; i < quanta; i++)
		step(w);
	t->end_ns = clock_ns(CLOCK_MONOTONIC);
	if (counting)
		perf_counters_stop(&t->counters);
	t->ops = w->ops - t->ops;
}

static void *slice_main(void *arg)
{
	struct slice_thread *t = arg;
	struct slices *s = t->slices;
	uint32_t turn = 0;

	cell_enter_thread(s->cell, t->index, PASS_THROUGHPUT, NULL);
	perf_counters_open(&t->counters);
	pthread_barrier_wait(&s->cell->barrier); /* all are set up */
	for (;;) {
		futex_wait_while(&s->turn, turn);
		turn++;
		if (s->leaving)
			break;
		run_share(t);
		if (atomic_fetch_add_explicit(&s->done, 1, memory_order_acq_rel) + 2 ==
		    s->cell->run.threads)
			futex_wake(&s->done, 1);
	}
	pthread_mutex_lock(&s->cell->lock);
	perf_counters_close(&t->counters, &s->cell->perf);
	pthread_mutex_unlock(&s->cell->lock);
	cell_leave_thread(s->cell, t->index);
	return NULL;
}

void cell_slices_begin(struct cell *cell)
{
	unsigned int threads = cell->run.threads;
	size_t bytes = sizeof(struct slices) + threads * sizeof(struct slice_thread);
	struct slices *s = arena_alloc(bytes);

	s->cell = cell;
	s->bytes = bytes;
	s->shares_cpus = cell_shares_cpus(cell);
	cell->slices = s;
	memset(&cell->perf, 0, sizeof(cell->perf));
	pthread_barrier_init(&cell->barrier, NULL, threads);
	for (unsigned int i = 0; i < threads; i++) {
		s->thread[i].slices = s;
		s->thread[i].index = i;
	}
	for (unsigned int i = 1; i < threads; i++) {
		if (pthread_create(&s->thread[i].id, NULL, slice_main, &s->thread[i]) !=
		    0)
			cell_fail(
				"cannot start a worker thread: lower -t or raise 'ulimit -u'");
	}
	cell_enter_thread(cell, 0, PASS_THROUGHPUT, NULL);
	perf_counters_open(&s->thread[0].counters);
	pthread_barrier_wait(&cell->barrier);
}

/* Lets the other threads go on; false when there are none. */
static bool begin_turn(struct slices *s)
{
	if (s->cell->run.threads == 1)
		return false;
	atomic_store_explicit(&s->done, 0, memory_order_relaxed);
	atomic_fetch_add_explicit(&s->turn, 1, memory_order_acq_rel);
	futex_wake(&s->turn, INT_MAX);
	return true;
}

static void wait_for_others(struct slices *s)
{
	uint32_t others = s->cell->run.threads - 1, done;

	while ((done = atomic_load_explicit(&s->done, memory_order_acquire)) != others)
		futex_wait_while(&s->done, done);
}

/* What the threads have noted. */
static struct cell_slice add_up(const struct slices *s)
{
	unsigned int threads = s->cell->run.threads;
	uint64_t first = UINT64_MAX, last = 0, sum = 0;
	struct cell_slice slice = {0};

	for (unsigned int i = 0; i < threads; i++) {
		const struct slice_thread *t = &s->thread[i];

		sum += t->end_ns - t->start_ns;
		first = t->start_ns < first ? t->start_ns : first;
		last = t->end_ns > last ? t->end_ns : last;
		slice.ops += t->ops;
	}
	slice.real_ns = s->shares_cpus ? last - first : sum / threads;
	return slice;
}

static struct cell_slice run_turn(struct slices *s, uint64_t quanta, uint64_t lead_in,
				  bool counting)
{
	struct cell_slice slice;
	bool others;

	s->quanta = quanta;
	s->lead_in = lead_in;
	s->counting = counting;
	s->expected += s->cell->run.threads;
	others = begin_turn(s);
	run_share(&s->thread[0]);
	if (others)
		wait_for_others(s);
	s->expected += s->cell->run.threads;
	slice = add_up(s);
	slice.cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - s->cpu_start_ns;
	return slice;
}

struct cell_slice cell_slices_warm_up(struct cell *cell, uint64_t ns)
{
	uint64_t start_ns = clock_ns(CLOCK_MONOTONIC);
	struct cell_slice best = {.real_ns = UINT64_MAX};

	do {
		struct cell_slice slice = run_turn(cell->slices, 1, 0, false);

		if (slice.real_ns < best.real_ns)
			best = slice;
	} while (clock_ns(CLOCK_MONOTONIC) - start_ns < ns);
	return best;
}

struct cell_slice cell_slices_run(struct cell *cell, uint64_t quanta, uint64_t lead_in)
{
	struct cell_slice slice = run_turn(cell->slices, quanta, lead_in, true);

	cell->timing.iterations += (int64_t)(quanta * cell->run.threads);
	cell->timing.real_s += (double)slice.real_ns * 1e-9;
	cell->timing.cpu_s += (double)slice.cpu_ns * 1e-9;
	cell->ops += slice.ops;
	return slice;
}

void cell_slices_end(struct cell *cell)
{
	struct slices *s = cell->slices;

	if (s == NULL)
		return;
	s->leaving = true;
	begin_turn(s);
	pthread_mutex_lock(&cell->lock);
	perf_counters_close(&s->thread[0].counters, &cell->perf);
	pthread_mutex_unlock(&cell->lock);
	cell_leave_thread(cell, 0);
	for (unsigned int i = 1; i < cell->run.threads; i++)
		pthread_join(s->thread[i].id, NULL);
	pthread_barrier_destroy(&cell->barrier);
	cell->slices = NULL;
	arena_free(s, s->bytes);
	if (cell->ops == 0)
		cell_fail("the workload did no operation");
}
