/* SPDX-License-Identifier: MIT */
/*
 * Threads, and fork in the middle of them. A child uses everything that its parent
 * left it: it hangs if a lock stayed taken and finds wrong bytes if a block was
 * handed out twice. Both modes of the per-CPU arrays.
 */
#include "malloc_test.h"

#include "allocators/malloc/malloc_internal.h"
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS	     4
#define SHARED_SLOTS 64

struct block {
	size_t size;
	unsigned char bytes[];
};

static _Atomic(struct block *) shared[SHARED_SLOTS];
static atomic_bool stop;
static atomic_ulong wrong;

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

static struct block *new_block(uint32_t *seed)
{
	size_t size = next_random(seed) % ((size_t)32 << next_random(seed) % 10);
	struct block *b;

	if (next_random(seed) % 2000 == 0)
		size = 5 * MIB;
	b = kmem_malloc(sizeof(*b) + size);
	if (b == NULL)
		return NULL;
	b->size = size;
	malloc_test_fill(b->bytes, size, (unsigned int)size);
	return b;
}

static bool free_block(struct block *b)
{
	bool good = b == NULL ||
		    malloc_test_filled(b->bytes, b->size, b->size, (unsigned int)b->size);

	kmem_free(b);
	return good;
}

/* Swaps new blocks against others': most are freed by another thread than made them. */
static void *churn(void *arg)
{
	uint32_t seed = (uint32_t)(uintptr_t)arg;

	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		struct block *b = new_block(&seed);

		b = atomic_exchange(&shared[next_random(&seed) % SHARED_SLOTS], b);
		if (!free_block(b))
			atomic_fetch_add(&wrong, 1);
	}
	return NULL;
}

static void free_shared(void)
{
	for (int i = 0; i < SHARED_SLOTS; i++) {
		if (!free_block(atomic_exchange(&shared[i], NULL)))
			atomic_fetch_add(&wrong, 1);
	}
}

static void start_threads(pthread_t *threads)
{
	atomic_store(&stop, false);
	atomic_store(&wrong, 0);
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, churn, (void *)(i + 1)), 0);
}

static void stop_threads(pthread_t *threads)
{
	atomic_store(&stop, true);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	free_shared();
	assert_int_equal(atomic_load(&wrong), 0);
}

static void run_threads(void)
{
	pthread_t threads[THREADS];

	malloc_test_start("trim=30");
	start_threads(threads);
	for (int i = 0; i < 10; i++) {
		usleep(20000);
		kmem_malloc_trim();
	}
	stop_threads(threads);
	malloc_test_stop();
}

/* In the child: every size, many at once, all distinct; 0 when all is well. */
static int child_work(void)
{
	enum { N = 600 };
	struct block *blocks[N];
	uint32_t seed = (uint32_t)getpid();
	int bad = 0;

	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < N; i++) {
			blocks[i] = new_block(&seed);
			bad |= blocks[i] == NULL;
		}
		for (int i = 0; i < N; i++)
			bad |= !free_block(blocks[i]);
	}
	kmem_malloc_trim();
	/* A grandchild, from a process with one thread. */
	if (seed % 4 == 0) {
		pid_t pid = fork();
		int status = -1;

		if (pid == 0)
			_exit(free_block(new_block(&seed)) ? 0 : 1);
		waitpid(pid, &status, 0);
		bad |= status != 0;
	}
	return bad;
}

static void run_forks(int forks, const char *options)
{
	pthread_t threads[THREADS];

	malloc_test_start(options);
	malloc_config.background = !MALLOC_TEST_TSAN;
	start_threads(threads);
	for (int i = 0; i < forks; i++) {
		pid_t pid = fork();
		int status = -1;

		if (pid == 0) {
			alarm(60); /* a child that hangs dies by SIGALRM */
			_exit(child_work());
		}
		assert_true(pid > 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
	stop_threads(threads);
	malloc_test_stop();
}

/* Two threads fork at once while others allocate. */
static void *fork_often(void *arg)
{
	for (int i = 0; i < 20; i++) {
		pid_t pid = fork();
		int status = -1;

		if (pid == 0) {
			alarm(60);
			_exit(child_work());
		}
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
			atomic_fetch_add(&wrong, 1);
	}
	return arg;
}

static void test_two_forking(void **state)
{
	pthread_t threads[THREADS], forking[2];

	(void)state;
	malloc_test_start("");
	malloc_config.background = !MALLOC_TEST_TSAN;
	start_threads(threads);
	for (int i = 0; i < 2; i++)
		pthread_create(&forking[i], NULL, fork_often, NULL);
	for (int i = 0; i < 2; i++)
		pthread_join(forking[i], NULL);
	stop_threads(threads);
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

static void test_fork(void **state)
{
	(void)state;
	run_forks(40, "");
}

/* Arrays so small that every few calls somebody is in a depot. */
static void test_fork_with_depots(void **state)
{
	(void)state;
	run_forks(20, "limit=4,batchcount=2");
	run_forks(20, "limit=4,batchcount=2,depot=shared");
}

static void test_fork_with_locks(void **state)
{
	(void)state;
	os_cpu_force_mode(false);
	run_forks(20, "");
	run_forks(20, "limit=4,batchcount=2");
	os_cpu_force_mode(true);
}

/* The lower level without a lock has a gate instead, which a fork closes and waits for;
 * without per-CPU lists every page goes through it. */
static void test_fork_with_rows(void **state)
{
	(void)state;
	run_forks(40, "lower=rows,pcp=off");
}

/* The first calls of a process, by many threads at once: one of them starts it. */
static void *first_call(void *arg)
{
	pthread_barrier_wait(arg);
	for (int i = 0; i < 100; i++)
		kmem_free(kmem_malloc((size_t)i * 100));
	return NULL;
}

static void test_first_calls(void **state)
{
	(void)state;
	for (int round = 0; round < 20; round++) {
		pthread_t threads[THREADS];
		pthread_barrier_t barrier;

		pthread_barrier_init(&barrier, NULL, THREADS);
		for (int i = 0; i < THREADS; i++)
			pthread_create(&threads[i], NULL, first_call, &barrier);
		for (int i = 0; i < THREADS; i++)
			pthread_join(threads[i], NULL);
		pthread_barrier_destroy(&barrier);
		malloc_test_stop();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_calls),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_threads_with_locks),
		cmocka_unit_test(test_fork),
		cmocka_unit_test(test_fork_with_depots),
		cmocka_unit_test(test_fork_with_locks),
		cmocka_unit_test(test_fork_with_rows),
		cmocka_unit_test(test_two_forking),
	};

	return cmocka_run_group_tests_name("malloc_fork", tests, NULL, NULL);
}
