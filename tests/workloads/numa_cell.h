/* SPDX-License-Identifier: MIT */
/*
 * One cell of a NUMA workload on an allocator of this library, with nodes whose sizes and
 * watermarks are known, and what it reports.
 */
#ifndef KMEMBENCH_TESTS_NUMA_CELL_H
#define KMEMBENCH_TESTS_NUMA_CELL_H

#include "tests/workloads/model.h"

#include <sched.h>
#include <unistd.h>

#include <kmem/page_alloc.h>
#include <kmem/phys.h>

/*
 * Four nodes of 4096 pages. The reserve of 64 pages makes a min mark of 16 and a low mark
 * of 20 each. A zone serves a page as long as more than its mark and one are free: down
 * to 21 in the first pass over the zonelist, to 17 in the second.
 */
#define MEMORY "memory=64M,dma=0,highmem=0,pcp=off,kswapd=off,min_free=256K,"
#define FOUR   "buddy:" MEMORY "topology=numa:4 core:1 pu:1"

enum { NODE_PAGES = 4096, TO_LOW = 4075, TO_MIN = 4079, ALL = 4 * TO_MIN };

/* --- one cell --- */

struct cell {
	struct workload_run run;
	char params[256];
	struct worker workers[2];
	struct probe probes[2];
	struct probe_shared shared;
	pthread_barrier_t barrier;
	unsigned int steps;
};

static struct cell cell;

/* 0, or the refusal's -EINVAL, after which the cell is gone. */
static int cell_begin(const char *spec, const char *workload, const char *params,
		      uint64_t size_bytes, unsigned int threads)
{
	const struct workload_ops *ops = workload_find(workload);
	int err;

	memset(&cell, 0, sizeof(cell));
	assert_non_null(ops);
	assert_int_equal(kmem_options_defaults(ops->params, cell.params), 0);
	assert_int_equal(kmem_options_parse(ops->params, params, cell.params), 0);
	cell.run.workload = ops;
	cell.run.params = cell.params;
	cell.run.size_bytes = size_bytes;
	cell.run.threads = threads;
	cell.run.touch = ops->default_touch;
	cell.run.allocator = allocator_new(spec, &(struct allocator_env){0});
	if (cell.run.allocator == NULL)
		fail_msg("%s", kmem_last_error());
	err = workload_validate(&cell.run, cell.run.allocator->ops);
	if (err == 0)
		err = ops->setup(&cell.run);
	if (err != 0)
		allocator_delete(cell.run.allocator);
	return err;
}

static void *cell_thread(void *arg)
{
	struct worker *w = arg;
	unsigned int index = w->index;
	const struct workload_ops *ops = cell.run.workload;

	worker_init(w, &cell.run, index, &cell.probes[index]);
	w->pass = PASS_LATENCY;
	assert_int_equal(ops->thread_setup(w), 0);
	pthread_barrier_wait(&cell.barrier);
	for (unsigned int i = 0; i < cell.steps; i++)
		ops->step_probed(w);
	pthread_barrier_wait(&cell.barrier);
	ops->thread_teardown(w);
	return NULL;
}

/* A latency pass of so many steps, in threads of their own: they are bound to CPUs. */
static void cell_pass(unsigned int steps)
{
	const struct tsc_clock clock = {.ns_per_tick = 1};
	pthread_t id[2];

	cell.steps = steps;
	pthread_barrier_init(&cell.barrier, NULL, cell.run.threads);
	for (unsigned int i = 0; i < cell.run.threads; i++) {
		probe_init(&cell.probes[i], &cell.shared, &clock, cell.run.threads);
		cell.workers[i].index = i;
		assert_int_equal(
			pthread_create(&id[i], NULL, cell_thread, &cell.workers[i]), 0);
	}
	for (unsigned int i = 0; i < cell.run.threads; i++)
		pthread_join(id[i], NULL);
	pthread_barrier_destroy(&cell.barrier);
	if (cell.run.workload->pass_end != NULL)
		cell.run.workload->pass_end(&cell.run);
}

static void cell_end(void)
{
	cell.run.workload->teardown(&cell.run);
	if (cell.run.allocator->ops->check != NULL)
		assert_int_equal(cell.run.allocator->ops->check(cell.run.allocator), 0);
	allocator_delete(cell.run.allocator);
}

/* --- what it reports --- */

struct wanted {
	const char *name;
	double value;
};

static void take(const char *name, double value, void *arg)
{
	struct wanted *w = arg;

	if (strcmp(name, w->name) == 0)
		w->value = value;
}

/* -1: there is no such figure. */
static double figure(const char *name)
{
	struct wanted w = {name, -1};

	cell.run.workload->report(&cell.run, take, &w);
	return w.value;
}

#define assert_figure(name, expected)                                               \
	do {                                                                        \
		double figure_ = figure(name), expected_ = (expected);              \
		if (figure_ < expected_ - 1e-9 || figure_ > expected_ + 1e-9)       \
			fail_msg("%s is %.9g, not %.9g", name, figure_, expected_); \
	} while (0)

static MODEL_UNUSED struct buddy_stats stats_of(int nid)
{
	struct buddy_stats s;

	buddy_stats(nid, MAX_NR_ZONES, &s);
	return s;
}

/* Nodes are dealt out to CPUs in turn: is there one for this node? */
static bool have_cpu_of(unsigned int nid)
{
	cpu_set_t set;

	assert_int_equal(sched_getaffinity(0, sizeof(set), &set), 0);
	for (unsigned int cpu = nid; cpu < CPU_SETSIZE; cpu += 4) {
		if (CPU_ISSET(cpu, &set))
			return true;
	}
	return false;
}

/* --- refusals --- */

static void refused(const char *spec, const char *workload, const char *params,
		    uint64_t size, unsigned int threads, const char *text)
{
	assert_int_equal(cell_begin(spec, workload, params, size, threads), -EINVAL);
	assert_contains(kmem_last_error(), text);
}

#endif /* KMEMBENCH_TESTS_NUMA_CELL_H */
