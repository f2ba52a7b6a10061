/* SPDX-License-Identifier: MIT */
/*
 * Large blocks: random calls with contents checked while memory decays, by one thread
 * and by several, in both modes of the arrays; and forks in the middle of it.
 */
#include "spans_test.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#define MODEL_BLOCKS 40
#define MODEL_STEPS  1500

struct model_block {
	char *p;
	size_t size;
	unsigned int seed;
};

struct model {
	struct model_block blocks[MODEL_BLOCKS];
	uint32_t seed;
	bool good;
};

static uint32_t model_random(struct model *m)
{
	m->seed = m->seed * 1664525u + 1013904223u;
	return m->seed >> 8;
}

/* 64 KiB to 1 MiB, seldom to 16 MiB. */
static size_t model_size(struct model *m)
{
	size_t scale = (size_t)64 << (10 + model_random(m) % 4);

	if (model_random(m) % 16 == 0)
		scale *= 16;
	return scale + model_random(m) % scale;
}

static char *model_new(struct model *m, size_t size)
{
	size_t align = (size_t)1 << (4 + model_random(m) % 19);
	char *p;

	switch (model_random(m) % 6) {
	case 0:
	case 1:
		p = kmem_calloc(1, size);
		m->good &= all_zero(p, size);
		return p;
	case 2:
		p = kmem_memalign(align, size);
		m->good &= (uintptr_t)p % align == 0;
		return p;
	default: return kmem_malloc(size);
	}
}

static void model_step(struct model *m)
{
	struct model_block *b = &m->blocks[model_random(m) % MODEL_BLOCKS];
	size_t size = model_size(m);

	if (b->p == NULL) {
		b->p = model_new(m, size);
	} else if (model_random(m) % 2) {
		m->good &= malloc_test_filled(b->p, b->size, b->size, b->seed);
		kmem_free(b->p);
		b->p = NULL;
		return;
	} else {
		b->p = kmem_realloc(b->p, size);
		m->good &= malloc_test_filled(b->p, size < b->size ? size : b->size,
					      b->size, b->seed);
	}
	b->size = size;
	b->seed = model_random(m);
	m->good &= kmem_usable_size(b->p) >= size;
	malloc_test_fill(b->p, size, b->seed);
}

static void *model_run(void *arg)
{
	struct model *m = arg;

	m->good = true;
	for (int step = 0; step < MODEL_STEPS && m->good; step++)
		model_step(m);
	for (int i = 0; i < MODEL_BLOCKS; i++) {
		if (m->blocks[i].p != NULL)
			m->good &= malloc_test_filled(m->blocks[i].p, m->blocks[i].size,
						      m->blocks[i].size,
						      m->blocks[i].seed);
		kmem_free(m->blocks[i].p);
	}
	return NULL;
}

static void test_model(void **state)
{
	static const char *const variants[] = {"trim=20", "trim=20,large_slots=0",
					       "trim=20,span_max=0",
					       "trim=5,background=off,large_cache=10M"};
	static struct model m;

	(void)state;
	for (size_t v = 0; v < KMEM_ARRAY_SIZE(variants); v++) {
		malloc_test_start(variants[v]);
		m = (struct model){.seed = (uint32_t)v};
		model_run(&m);
		assert_true(m.good);
		assert_int_equal(stats_now().large_live, 0);
		malloc_test_stop();
	}
}

static void run_threads(void)
{
	enum { THREADS = 4 };
	static struct model m[THREADS];
	pthread_t threads[THREADS];

	malloc_test_start("trim=20");
	for (uint32_t i = 0; i < THREADS; i++) {
		m[i] = (struct model){.seed = i};
		assert_int_equal(pthread_create(&threads[i], NULL, model_run, &m[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		assert_true(m[i].good);
	}
	assert_int_equal(stats_now().large_live, 0);
	assert_true(decays());
	malloc_test_stop();
}

static void test_threads(void **state)
{
	(void)state;
	run_threads();
}

static void test_threads_with_locks(void **state)
{
	(void)state;
	os_cpu_force_mode(false);
	run_threads();
	os_cpu_force_mode(true);
}

/* Forks while a thread and the background thread are at it: children can do all again,
 * the background thread included. */
static void test_fork(void **state)
{
	static struct model m, in_child;
	pthread_t thread;

	(void)state;
	malloc_test_start("trim=8");
	malloc_config.background = !MALLOC_TEST_TSAN;
	m = (struct model){.seed = 1};
	assert_int_equal(pthread_create(&thread, NULL, model_run, &m), 0);
	for (int i = 0; i < 12; i++) {
		pid_t pid = fork();
		int status = -1;

		if (pid == 0) {
			uint64_t starts = background_starts();

			alarm(60); /* a child that hangs dies by SIGALRM */
			for (int step = 0; step < 60; step++)
				model_step(&in_child);
			free_some(40 * MIB, 200 * KIB);
			if (MALLOC_TEST_TSAN)
				_exit(0);
			_exit(background_starts() > starts && decays() ? 0 : 1);
		}
		in_child.good = true;
		assert_true(pid > 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
	pthread_join(thread, NULL);
	assert_true(m.good);
	malloc_test_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_threads_with_locks),
		cmocka_unit_test(test_fork),
	};

	return cmocka_run_group_tests_name("malloc_spans_model", tests, NULL, NULL);
}
