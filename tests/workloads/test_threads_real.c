/* SPDX-License-Identifier: MIT */
/*
 * The workloads of threads and entry points on real allocators, with contents checked:
 * the sanitizers see whether blocks are handed from thread to thread in order, and the
 * allocators' own checks whether everything came back.
 */
#include "tests/workloads/model.h"

#include "workloads/harness/arena.h"

struct pass {
	struct workload_run run;
	char params[256];
	struct worker workers[4];
	struct probe *probes; /* NULL: bare */
	struct probe_shared shared;
	pthread_barrier_t barrier;
	unsigned int steps;
};

static void *pass_thread(void *arg)
{
	struct worker *w = arg;
	unsigned int index = w->index;
	struct pass *p = KMEM_CONTAINER_OF(w - index, struct pass, workers);
	const struct workload_ops *ops = p->run.workload;
	struct allocator *a = p->run.allocator;
	struct probe *probe = p->probes != NULL ? &p->probes[index] : NULL;

	if (a->ops->thread_enter != NULL)
		a->ops->thread_enter(a);
	worker_init(w, &p->run, index, probe);
	if (ops->thread_setup != NULL)
		assert_int_equal(ops->thread_setup(w), 0);
	pthread_barrier_wait(&p->barrier);
	for (unsigned int i = 0; i < p->steps; i++)
		(probe != NULL ? ops->step_probed : ops->step)(w);
	pthread_barrier_wait(&p->barrier);
	if (ops->thread_teardown != NULL)
		ops->thread_teardown(w);
	if (a->ops->thread_exit != NULL)
		a->ops->thread_exit(a);
	return NULL;
}

static void run_pass(struct pass *p)
{
	pthread_t id[4];

	pthread_barrier_init(&p->barrier, NULL, p->run.threads);
	for (unsigned int i = 0; i < p->run.threads; i++) {
		p->workers[i].index = i;
		assert_int_equal(
			pthread_create(&id[i], NULL, pass_thread, &p->workers[i]), 0);
	}
	for (unsigned int i = 0; i < p->run.threads; i++)
		pthread_join(id[i], NULL);
	pthread_barrier_destroy(&p->barrier);
	if (p->run.workload->pass_end != NULL)
		p->run.workload->pass_end(&p->run);
}

static void run_cell(struct pass *p)
{
	const struct tsc_clock clock = {.ns_per_tick = 1};
	const struct workload_ops *ops = p->run.workload;

	if (ops->setup != NULL)
		assert_int_equal(ops->setup(&p->run), 0);
	p->probes = NULL;
	p->steps = 1;
	run_pass(p);
	p->steps = 3;
	run_pass(p);
	p->probes = calloc(p->run.threads, sizeof(*p->probes));
	for (unsigned int i = 0; i < p->run.threads; i++)
		probe_init(&p->probes[i], &p->shared, &clock, p->run.threads);
	run_pass(p);
	free(p->probes);
	if (ops->teardown != NULL)
		ops->teardown(&p->run);
}

/* False when the allocator cannot run it: a capability, or it is not installed. */
static bool try_cell(const char *allocator, const char *workload, const char *params,
		     unsigned int threads)
{
	const struct workload_ops *ops = workload_find(workload);
	struct allocator_env env = {.threads = threads, .check = true};
	struct pass p = {.run = {.workload = ops, .threads = threads, .seed = 3}};
	const struct allocator_ops *allocator_ops;
	bool ran = false;

	assert_non_null(ops);
	assert_int_equal(allocator_spec_check(allocator, &allocator_ops), 0);
	assert_int_equal(kmem_options_defaults(ops->params, p.params), 0);
	if (params != NULL)
		assert_int_equal(kmem_options_parse(ops->params, params, p.params), 0);
	p.run.params = p.params;
	p.run.size_bytes = ops->default_sizes != NULL ? 64 : 0;
	p.run.touch = ops->default_touch;
	p.run.check = true;
	if (workload_validate(&p.run, allocator_ops) == 0) {
		env.size_max_bytes = workload_size_max(&p.run);
		p.run.allocator = allocator_new(allocator, &env);
		if (p.run.allocator == NULL)
			fail_msg("%s: %s", allocator, kmem_last_error());
		run_cell(&p);
		if (allocator_ops->check != NULL &&
		    allocator_ops->check(p.run.allocator) != 0)
			fail_msg("%s after %s: %s", allocator, workload,
				 kmem_last_error());
		allocator_delete(p.run.allocator);
		ran = true;
	}
	kmem_options_release(ops->params, p.params);
	return ran;
}

static const struct {
	const char *workload, *params;
} cells[] = {
	{"msgpass", NULL},
	{"swap", "slots=2048"},
	{"swap", "slots=512,order=random"},
	{"threadtest", "objects=3000"},
	{"false-sharing", "mode=passive"},
	{"false-sharing", "mode=active"},
	{"churn-exit", NULL},
	{"startup", NULL},
	{"realloc", "end_bytes=8K"},
	{"realloc", "growth=linear,end_bytes=2K"},
	{"calloc", NULL},
	{"aligned", NULL},
};

static void run_on(const char *allocator, unsigned int cells_least)
{
	unsigned int ran = 0;

	for (size_t i = 0; i < KMEM_ARRAY_SIZE(cells); i++)
		for (unsigned int threads = 1; threads <= 4; threads *= 2)
			ran += try_cell(allocator, cells[i].workload, cells[i].params,
					threads);
	assert_true(ran >= cells_least);
	assert_int_equal(arena_bytes(), 0);
}

/* All but msgpass at one and two threads. */
static void slab_runs_them_all(void **state)
{
	(void)state;
	run_on("slab", 34);
}

static void kmem_runs_them_all(void **state)
{
	(void)state;
	run_on("kmem", 34);
}

/* ThreadSanitizer does not see into libc's own locks, and reports what they order. */
static void glibc_runs_them_all(void **state)
{
	(void)state;
#if KMEM_UNDER_TSAN
	skip();
#endif
	run_on("glibc", 34);
}

/* One size, and no block freed by another thread: threadtest, calloc, active sharing. */
static void freelist_runs_what_it_can(void **state)
{
	(void)state;
	run_on("freelist", 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slab_runs_them_all),
		cmocka_unit_test(kmem_runs_them_all),
		cmocka_unit_test(glibc_runs_them_all),
		cmocka_unit_test(freelist_runs_what_it_can),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
