/* SPDX-License-Identifier: MIT */
/*
 * A model allocator that sees everything a workload does, and a driver that runs
 * passes as the program does.
 *
 * The model keeps each live block in a table under one lock: so it notices a
 * block freed twice, a wrong size on free, a block left behind, which thread
 * frees whose blocks, and, in its log, the order of everything. Memory comes from
 * malloc, so that the sanitizers watch what is written into blocks.
 */
#ifndef KMEMBENCH_TESTS_MODEL_H
#define KMEMBENCH_TESTS_MODEL_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kmem/error.h>

#include "workloads/harness/worker_fast.h"

#define MODEL_UNUSED __attribute__((unused))
#define MODEL_TABLE  (1u << 17) /* slots; at most half of them are live at once */
#define MODEL_LOG    (1u << 18)

struct model_block {
	void *ptr;
	size_t size;
	uint64_t thread;
	uint64_t serial;
};

struct model_event {
	uint64_t what;	 /* 'a' alloc, 'f' free, 'r' realloc, 'z' zalloc */
	uint64_t serial; /* of the block, in order of allocation */
	size_t size;
	size_t align;
	uint64_t thread;
};

struct model {
	struct allocator base;
	struct allocator_ops ops;
	pthread_mutex_t lock;
	struct model_block table[MODEL_TABLE];
	struct model_event log[MODEL_LOG];
	size_t logged; /* stops at MODEL_LOG */
	uint64_t allocs, frees, reallocs;
	uint64_t remote_frees; /* by another thread than allocated the block */
	uint64_t bad_frees;    /* of no live block */
	uint64_t bad_sizes;    /* with another size than asked for */
	uint64_t outside;      /* calls of a thread that has not entered */
	uint64_t enters, exits;
	uint64_t live_blocks, live_bytes, live_bytes_max;
	uint64_t fail_after; /* allocations until NULL; 0: never */
	bool natural;	     /* align blocks to their size: pages */
};

/* Which thread this is to the model: 0 until thread_enter(). */
static __thread uint64_t model_thread;

static struct model_block *model_find(struct model *m, const void *ptr)
{
	size_t i = ((uintptr_t)ptr >> 4) * 0x9e3779b97f4a7c15u >> 47;

	while (m->table[i % MODEL_TABLE].ptr != NULL &&
	       m->table[i % MODEL_TABLE].ptr != ptr)
		i++;
	return &m->table[i % MODEL_TABLE];
}

/* Open addressing without tombstones: whoever follows is put in again. */
static void model_remove(struct model *m, struct model_block *b)
{
	size_t i = (size_t)(b - m->table);

	b->ptr = NULL;
	while (m->table[++i % MODEL_TABLE].ptr != NULL) {
		struct model_block moved = m->table[i % MODEL_TABLE];

		m->table[i % MODEL_TABLE].ptr = NULL;
		*model_find(m, moved.ptr) = moved;
	}
}

static void model_note(struct model *m, char what, const struct model_block *b,
		       size_t align)
{
	if (model_thread == 0)
		m->outside++;
	if (m->logged < MODEL_LOG)
		m->log[m->logged++] = (struct model_event){(uint64_t)what, b->serial,
							   b->size, align, model_thread};
}

static void *model_alloc_as(struct model *m, size_t size, size_t align, char what)
{
	size_t real_align = m->natural ? size : align > 16 ? align : 16;
	struct model_block *b;
	void *ptr = NULL;

	pthread_mutex_lock(&m->lock);
	if (m->fail_after != 0 && m->allocs >= m->fail_after)
		goto out;
	if (posix_memalign(&ptr, real_align, size) != 0)
		abort();
	b = model_find(m, ptr);
	m->allocs++;
	*b = (struct model_block){ptr, size, model_thread, m->allocs};
	model_note(m, what, b, align);
	m->live_blocks++;
	m->live_bytes += size;
	if (m->live_bytes > m->live_bytes_max)
		m->live_bytes_max = m->live_bytes;
out:
	pthread_mutex_unlock(&m->lock);
	return ptr;
}

static void *model_alloc(struct allocator *a, size_t size, size_t align, gfp_t gfp,
			 int node)
{
	(void)gfp;
	(void)node;
	return model_alloc_as((struct model *)a, size, align, 'a');
}

static void *model_zalloc(struct allocator *a, size_t size)
{
	void *ptr = model_alloc_as((struct model *)a, size, 0, 'z');

	return ptr != NULL ? memset(ptr, 0, size) : NULL;
}

static void model_free(struct allocator *a, void *ptr, size_t size)
{
	struct model *m = (struct model *)a;
	struct model_block *b;

	pthread_mutex_lock(&m->lock);
	b = model_find(m, ptr);
	if (b->ptr == NULL) {
		m->bad_frees++;
		pthread_mutex_unlock(&m->lock);
		return;
	}
	if (b->size != size)
		m->bad_sizes++;
	if (b->thread != model_thread)
		m->remote_frees++;
	model_note(m, 'f', b, 0);
	m->frees++;
	m->live_blocks--;
	m->live_bytes -= b->size;
	model_remove(m, b);
	pthread_mutex_unlock(&m->lock);
	free(ptr);
}

/* Always moves, so that a stale address shows. */
static MODEL_UNUSED void *model_realloc(struct allocator *a, void *ptr, size_t old_size,
					size_t new_size)
{
	struct model *m = (struct model *)a;
	struct model_block *b;
	void *moved = NULL;

	if (posix_memalign(&moved, 16, new_size) != 0)
		abort();
	pthread_mutex_lock(&m->lock);
	b = model_find(m, ptr);
	if (b->ptr == NULL || b->size != old_size) {
		m->bad_frees++;
	} else {
		struct model_block next = *b;

		memcpy(moved, ptr, old_size < new_size ? old_size : new_size);
		model_remove(m, b);
		next.ptr = moved;
		next.size = new_size;
		*model_find(m, moved) = next;
		m->live_bytes += new_size - old_size;
		m->reallocs++;
		model_note(m, 'r', &next, 0);
	}
	pthread_mutex_unlock(&m->lock);
	free(ptr);
	return moved;
}

static void model_enter(struct allocator *a)
{
	struct model *m = (struct model *)a;

	pthread_mutex_lock(&m->lock);
	model_thread = ++m->enters;
	pthread_mutex_unlock(&m->lock);
}

static void model_exit(struct allocator *a)
{
	struct model *m = (struct model *)a;

	pthread_mutex_lock(&m->lock);
	m->exits++;
	model_thread = 0;
	pthread_mutex_unlock(&m->lock);
}

static MODEL_UNUSED struct model *model_new(void)
{
	struct model *m = calloc(1, sizeof(*m));

	pthread_mutex_init(&m->lock, NULL);
	m->base.ops = &m->ops;
	m->ops.abi_version = ALLOCATOR_OPS_VERSION;
	m->ops.name = "model";
	m->ops.caps = ~(uint64_t)0 >> 51; /* all 13 of them */
	m->ops.alloc = model_alloc;
	m->ops.free = model_free;
	m->ops.zalloc = model_zalloc;
	m->ops.thread_enter = model_enter;
	m->ops.thread_exit = model_exit;
	return m;
}

/* Nothing left behind, nothing freed twice, every thread said hello and goodbye. */
static MODEL_UNUSED void model_assert_clean(struct model *m)
{
	assert_int_equal(m->live_blocks, 0);
	assert_int_equal(m->live_bytes, 0);
	assert_int_equal(m->bad_frees, 0);
	assert_int_equal(m->bad_sizes, 0);
	assert_int_equal(m->outside, 0);
	assert_int_equal(m->allocs, m->frees);
	assert_int_equal(m->enters, m->exits);
}

static MODEL_UNUSED void model_delete(struct model *m)
{
	pthread_mutex_destroy(&m->lock);
	free(m);
}

/* --- the driver --- */

#define DRIVER_THREADS 8

struct driver {
	struct workload_run run;
	char params[256];
	struct model *model;
	struct worker workers[DRIVER_THREADS];
	struct probe *probes; /* NULL: throughput pass */
	struct probe_shared shared;
	unsigned int steps;
	pthread_barrier_t start, end;
	/* May be NULL: called by thread 0 between the steps and the teardown. */
	void (*between)(struct driver *d);
};

static MODEL_UNUSED void driver_init(struct driver *d, const char *workload,
				     const char *params, uint64_t size_bytes,
				     unsigned int threads)
{
	const struct workload_ops *ops = workload_find(workload);

	assert_non_null(ops);
	memset(d, 0, sizeof(*d));
	assert_true(ops->params_size <= sizeof(d->params));
	assert_int_equal(kmem_options_defaults(ops->params, d->params), 0);
	if (params != NULL)
		assert_int_equal(kmem_options_parse(ops->params, params, d->params), 0);
	d->run.workload = ops;
	d->run.params = d->params;
	d->run.size_bytes = size_bytes;
	d->run.threads = threads;
	d->run.seed = 42;
	d->run.touch = ops->default_touch;
	d->model = model_new();
	d->run.allocator = NULL;
}

static void *driver_thread(void *arg)
{
	struct worker *w = arg;
	unsigned int index = w->index;
	struct driver *d = KMEM_CONTAINER_OF(w - index, struct driver, workers);
	const struct workload_ops *ops = d->run.workload;
	struct probe *probe = d->probes != NULL ? &d->probes[index] : NULL;

	model_enter(d->run.allocator);
	worker_init(w, &d->run, index, probe);
	if (ops->thread_setup != NULL)
		assert_int_equal(ops->thread_setup(w), 0);
	pthread_barrier_wait(&d->start);
	for (unsigned int i = 0; i < d->steps; i++)
		(probe != NULL ? ops->step_probed : ops->step)(w);
	if (probe != NULL)
		probe_live_flush(probe);
	pthread_barrier_wait(&d->end);
	if (index == 0 && d->between != NULL)
		d->between(d);
	pthread_barrier_wait(&d->end);
	if (ops->thread_teardown != NULL)
		ops->thread_teardown(w);
	model_exit(d->run.allocator);
	return NULL;
}

static MODEL_UNUSED void driver_setup(struct driver *d)
{
	d->run.allocator = NULL;
	if (workload_validate(&d->run, &d->model->ops) != 0)
		fail_msg("%s", kmem_last_error());
	d->run.allocator = &d->model->base;
	if (d->run.workload->setup != NULL && d->run.workload->setup(&d->run) != 0)
		fail_msg("%s", kmem_last_error());
}

/* One pass; returns the operations of all threads. */
static MODEL_UNUSED uint64_t driver_pass(struct driver *d, unsigned int steps)
{
	pthread_t id[DRIVER_THREADS];
	uint64_t ops = 0;

	d->steps = steps;
	pthread_barrier_init(&d->start, NULL, d->run.threads);
	pthread_barrier_init(&d->end, NULL, d->run.threads);
	for (unsigned int i = 0; i < d->run.threads; i++)
		d->workers[i].index = i;
	/* A single one stays on this thread, so that CATCH_FAIL() sees its failures. */
	for (unsigned int i = 1; i < d->run.threads; i++)
		assert_int_equal(
			pthread_create(&id[i], NULL, driver_thread, &d->workers[i]), 0);
	driver_thread(&d->workers[0]);
	for (unsigned int i = 1; i < d->run.threads; i++)
		pthread_join(id[i], NULL);
	pthread_barrier_destroy(&d->start);
	pthread_barrier_destroy(&d->end);
	if (d->run.workload->pass_end != NULL)
		d->run.workload->pass_end(&d->run);
	for (unsigned int i = 0; i < d->run.threads; i++)
		ops += d->workers[i].ops;
	return ops;
}

/* The latency pass: the same with probes, which the caller frees. */
static MODEL_UNUSED uint64_t driver_probed_pass(struct driver *d, unsigned int steps)
{
	const struct tsc_clock clock = {.ns_per_tick = 1, .pair_ticks = 0};
	uint64_t ops;

	d->probes = calloc(d->run.threads, sizeof(*d->probes));
	d->shared.live_bytes = 0;
	for (unsigned int i = 0; i < d->run.threads; i++)
		probe_init(&d->probes[i], &d->shared, &clock, d->run.threads);
	ops = driver_pass(d, steps);
	return ops;
}

static MODEL_UNUSED void driver_finish(struct driver *d)
{
	if (d->run.workload->teardown != NULL)
		d->run.workload->teardown(&d->run);
	model_assert_clean(d->model);
	model_delete(d->model);
	kmem_options_release(d->run.workload->params, d->params);
	free(d->probes);
}

/* --- failures: worker_fail() comes back here instead of ending the process --- */

static jmp_buf fail_jump;
static char fail_reason[512];

static MODEL_UNUSED void __attribute__((noreturn)) fail_catch(const char *reason)
{
	snprintf(fail_reason, sizeof(fail_reason), "%s", reason);
	longjmp(fail_jump, 1);
}

/* Runs the statement and leaves its failure's text in fail_reason, or "". */
#define CATCH_FAIL(statement)                        \
	do {                                         \
		fail_reason[0] = '\0';               \
		worker_set_fail_handler(fail_catch); \
		if (setjmp(fail_jump) == 0) {        \
			statement;                   \
		}                                    \
		worker_set_fail_handler(NULL);       \
	} while (0)

/* 0 is a text's absence; else the text contains the piece. */
#define assert_contains(text, piece)                                         \
	do {                                                                 \
		if (strstr(text, piece) == NULL)                             \
			fail_msg("'%s' does not contain '%s'", text, piece); \
	} while (0)

/* --- what every workload's tests ask --- */

/* The cell is refused, and the error says so in these words. */
static MODEL_UNUSED void driver_refused(const char *workload, const char *params,
					uint64_t size_bytes, unsigned int threads,
					const char *text)
{
	struct driver d;

	driver_init(&d, workload, params, size_bytes, threads);
	assert_int_equal(workload_validate(&d.run, &d.model->ops), -EINVAL);
	assert_contains(kmem_last_error(), text);
	model_delete(d.model);
	kmem_options_release(d.run.workload->params, d.params);
}

/* One seed twice makes the same events, another seed others, if seeds matter at all. */
static MODEL_UNUSED void driver_same_seed(const char *workload, const char *params,
					  unsigned int steps, bool seed_matters)
{
	struct driver d[3];
	size_t bytes;

	for (int i = 0; i < 3; i++) {
		driver_init(&d[i], workload, params, 0, 1);
		d[i].model->ops.realloc = model_realloc;
		d[i].run.seed = i < 2 ? 7 : 8;
		driver_setup(&d[i]);
		driver_pass(&d[i], steps);
	}
	bytes = d[0].model->logged * sizeof(struct model_event);
	assert_int_equal(d[0].model->logged, d[1].model->logged);
	assert_memory_equal(d[0].model->log, d[1].model->log, bytes);
	assert_int_equal(d[0].model->logged != d[2].model->logged ||
				 memcmp(d[0].model->log, d[2].model->log, bytes) != 0,
			 seed_matters);
	for (int i = 0; i < 3; i++)
		driver_finish(&d[i]);
}

#endif /* KMEMBENCH_TESTS_MODEL_H */
