/* SPDX-License-Identifier: MIT */
/* Memory pools: the reserve's size, order of sources, waiting, resizing, failures. */
#include "slab_test.h"
#include <errno.h>
#include <kmem/mempool.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

/* An allocator of numbered elements that can be made to fail. */
struct source {
	_Atomic bool fails;
	_Atomic int live, fail_after; /* fail_after < 0: never */
	_Atomic gfp_t last_gfp;
};

static void *source_alloc(gfp_t gfp, void *arg)
{
	struct source *s = arg;

	s->last_gfp = gfp;
	if (s->fails || s->live == s->fail_after)
		return NULL;
	s->live++;
	return malloc(32);
}

static void source_free(void *element, void *arg)
{
	((struct source *)arg)->live--;
	free(element);
}

static struct mempool_stats stats_of(mempool_t *pool)
{
	struct mempool_stats stats;

	mempool_stats(pool, &stats);
	return stats;
}

static void test_reserve(void **state)
{
	struct source s = {.fail_after = -1};
	void *e[5];
	mempool_t *pool;

	(void)state;
	pool = mempool_create(4, source_alloc, source_free, &s);
	assert_int_equal(s.live, 4);
	/* The allocator comes first, asked without leave to sleep. */
	e[0] = mempool_alloc(pool, GFP_KERNEL);
	assert_int_equal(s.live, 5);
	assert_int_equal(s.last_gfp & __GFP_WAIT, 0);
	mempool_free(e[0], pool);
	assert_int_equal(s.live, 4);
	/* Then the reserve, exactly min_nr times. */
	s.fails = true;
	for (int i = 0; i < 4; i++)
		assert_non_null(e[i] = mempool_alloc(pool, GFP_ATOMIC));
	assert_null(mempool_alloc(pool, GFP_ATOMIC));
	assert_int_equal(mempool_destroy(pool), -EBUSY);
	assert_string_equal(kmem_last_error(),
			    "the pool lacks 4 of its 4 elements, free them first");
	/* A free fills the reserve, not the allocator. */
	s.fails = false;
	for (int i = 0; i < 4; i++)
		mempool_free(e[i], pool);
	assert_int_equal(s.live, 4);
	assert_int_equal(stats_of(pool).from_reserve, 4);
	assert_int_equal(stats_of(pool).refills, 4);
	assert_int_equal(stats_of(pool).failures, 1);
	mempool_free(NULL, pool);
	assert_null(mempool_alloc(pool, GFP_KERNEL | __GFP_ZERO));
	assert_int_equal(mempool_destroy(pool), 0);
	assert_int_equal(mempool_destroy(NULL), 0);
	assert_int_equal(s.live, 0);
}

static void test_create_fails(void **state)
{
	struct source s = {.fail_after = 3};

	(void)state;
	assert_null(mempool_create(5, source_alloc, source_free, &s));
	assert_string_equal(kmem_last_error(),
			    "a pool of '5' elements: only 3 were to be had");
	assert_int_equal(s.live, 0);
	assert_null(mempool_create(0, source_alloc, source_free, &s));
	assert_null(
		mempool_create(MEMPOOL_MIN_NR_MAX + 1, source_alloc, source_free, &s));
}

static void test_resize(void **state)
{
	struct source s = {.fail_after = -1};
	mempool_t *pool = mempool_create(2, source_alloc, source_free, &s);
	void *e[2];

	(void)state;
	assert_int_equal(mempool_resize(pool, 2000), 0);
	assert_int_equal(s.live, 2000);
	assert_int_equal(mempool_resize(pool, 3), 0);
	assert_int_equal(s.live, 3);
	assert_int_equal(mempool_resize(pool, 0), -EINVAL);
	/* Growing without memory: what is freed later fills it. */
	e[0] = mempool_alloc(pool, GFP_KERNEL);
	e[1] = mempool_alloc(pool, GFP_KERNEL);
	s.fails = true;
	assert_int_equal(mempool_resize(pool, 5), 0);
	assert_int_equal(stats_of(pool).curr_nr, 3);
	mempool_free(e[0], pool);
	mempool_free(e[1], pool);
	assert_int_equal(stats_of(pool).curr_nr, 5);
	assert_int_equal(mempool_destroy(pool), 0);
	assert_int_equal(s.live, 0);
}

static void *free_later(void *arg)
{
	void **args = arg;

	/* Until the other one sleeps: then only this free can wake it. */
	while (stats_of(args[0]).waits == 0)
		usleep(100);
	mempool_free(args[1], args[0]);
	return NULL;
}

static void *wait_for_one(void *pool)
{
	return mempool_alloc(pool, GFP_KERNEL);
}

/* Who waits is not there in a child, which need not wait for it to leave. */
static void test_fork(void **state)
{
	struct source s = {.fail_after = -1};
	mempool_t *pool = mempool_create(1, source_alloc, source_free, &s);
	struct mempool_stats stats = {.waits = 0};
	void *element, *other;
	pthread_t thread;
	int status;
	pid_t pid;

	(void)state;
	s.fails = true;
	element = mempool_alloc(pool, GFP_KERNEL);
	assert_int_equal(pthread_create(&thread, NULL, wait_for_one, pool), 0);
	while (stats.waits == 0) {
		usleep(1000);
		mempool_stats(pool, &stats);
	}
	pid = fork();
	if (pid == 0) {
		alarm(20);
		mempool_free(element, pool);
		_exit(mempool_alloc(pool, GFP_KERNEL) == element &&
				      mempool_destroy(pool) == -EBUSY
			      ? 0
			      : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	pid = fork();
	if (pid == 0) {
		alarm(20);
		mempool_free(element, pool);
		_exit(mempool_destroy(pool) == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	mempool_free(element, pool);
	pthread_join(thread, &other);
	assert_ptr_equal(element, other);
	mempool_free(element, pool);
	assert_int_equal(mempool_destroy(pool), 0);
}

static _Atomic bool stop_using;

static void *use_reserve(void *pool)
{
	while (!stop_using)
		mempool_free(mempool_alloc(pool, GFP_NOWAIT), pool);
	return NULL;
}

/* Somebody has the pool's lock at most of these moments, and none has it in the child. */
static void test_fork_in_use(void **state)
{
	struct source s = {.fail_after = -1};
	mempool_t *pool = mempool_create(2, source_alloc, source_free, &s);
	pthread_t thread;

	(void)state;
	s.fails = true;
	stop_using = false;
	assert_int_equal(pthread_create(&thread, NULL, use_reserve, pool), 0);
	for (int i = 0; i < 100; i++) {
		int status;
		pid_t pid = fork();

		if (pid == 0) {
			alarm(20);
			mempool_free(mempool_alloc(pool, GFP_NOWAIT), pool);
			_exit(mempool_alloc(pool, GFP_NOWAIT) != NULL ? 0 : 1);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
	stop_using = true;
	pthread_join(thread, NULL);
	assert_int_equal(mempool_destroy(pool), 0);
}

static void test_waits(void **state)
{
	struct source s = {.fail_after = -1};
	mempool_t *pool = mempool_create(1, source_alloc, source_free, &s);
	void *args[2], *second;
	pthread_t thread;

	(void)state;
	s.fails = true;
	args[0] = pool;
	args[1] = mempool_alloc(pool, GFP_KERNEL);
	assert_int_equal(pthread_create(&thread, NULL, free_later, args), 0);
	second = mempool_alloc(pool, GFP_KERNEL);
	assert_ptr_equal(second, args[1]);
	pthread_join(thread, NULL);
	mempool_free(second, pool);
	assert_int_equal(mempool_destroy(pool), 0);
}

/* Many threads, fewer elements than threads, an allocator that mostly fails. */
#define THREADS 4
static void *churn(void *arg)
{
	mempool_t *pool = arg;

	for (int i = 0; i < 3000; i++) {
		unsigned char *e = mempool_alloc(pool, GFP_KERNEL);

		for (int b = 0; b < 32; b++)
			e[b] = (unsigned char)i;
		for (int b = 0; b < 32; b++)
			if (e[b] != (unsigned char)i)
				return e;
		mempool_free(e, pool);
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct source s = {.fail_after = -1};
	mempool_t *pool = mempool_create(THREADS - 2, source_alloc, source_free, &s);
	pthread_t threads[THREADS];
	void *bad;

	(void)state;
	s.fails = true;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, churn, pool), 0);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &bad);
		assert_null(bad);
	}
	assert_int_equal(stats_of(pool).curr_nr, THREADS - 2);
	assert_int_equal(mempool_destroy(pool), 0);
	assert_int_equal(s.live, 0);
}

/* Masks that make no sense are refused before anything is asked; waiting for what the
 * allocator refuses had no end. */
static void test_nonsense(void **state)
{
	static const gfp_t masks[] = {
		(gfp_t)0x80000000u,
		__GFP_NOFAIL,
		__GFP_DMA | __GFP_HIGHMEM,
		GFP_KERNEL | __GFP_NOFAIL | __GFP_NORETRY,
		GFP_KERNEL | __GFP_RECLAIMABLE | __GFP_MOVABLE,
		GFP_KERNEL | __GFP_ZERO,
	};
	mempool_t *pool;
	void *e;

	(void)state;
	slab_test_start("");
	pool = mempool_create_kmalloc_pool(2, 1000);
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(masks); i++) {
		kmem_error(0, "nothing");
		assert_null(mempool_alloc(pool, masks[i]));
		assert_string_not_equal(kmem_last_error(), "nothing");
	}
	assert_int_equal(stats_of(pool).curr_nr, 2);
	assert_int_equal(stats_of(pool).failures, 0);
	assert_null(mempool_create(2, NULL, mempool_kfree, NULL));
	assert_null(mempool_create(2, mempool_kmalloc, NULL, NULL));
	assert_non_null(strstr(kmem_last_error(), "one that frees"));
	e = mempool_alloc(pool, GFP_KERNEL | __GFP_NOFAIL);
	assert_non_null(e);
	mempool_free(e, pool);
	assert_int_equal(mempool_destroy(pool), 0);
	slab_test_stop();
}

static void test_ready_made(void **state)
{
	struct kmem_cache *cache;
	mempool_t *pool;
	void *e;

	(void)state;
	slab_test_start("");
	cache = kmem_cache_create("own", 100, 0, 0, NULL, NULL);
	pool = mempool_create_slab_pool(10, cache);
	assert_int_equal(slab_test_info("own").active_objs, 10);
	e = mempool_alloc(pool, GFP_KERNEL);
	assert_int_equal(slab_test_info("own").active_objs, 11);
	mempool_free(e, pool);
	assert_int_equal(mempool_destroy(pool), 0);
	assert_int_equal(kmem_cache_destroy(cache), 0);
	pool = mempool_create_kmalloc_pool(10, 1000);
	assert_int_equal(slab_test_info("size-1024").active_objs, 10);
	mempool_free(mempool_alloc(pool, GFP_NOWAIT), pool);
	assert_int_equal(mempool_destroy(pool), 0);
	assert_no_report();
	slab_test_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reserve),	   cmocka_unit_test(test_create_fails),
		cmocka_unit_test(test_nonsense),   cmocka_unit_test(test_resize),
		cmocka_unit_test(test_waits),	   cmocka_unit_test(test_fork),
		cmocka_unit_test(test_threads),	   cmocka_unit_test(test_fork_in_use),
		cmocka_unit_test(test_ready_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
