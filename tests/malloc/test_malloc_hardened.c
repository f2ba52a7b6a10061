/* SPDX-License-Identifier: MIT */
/* Malloc with hardened=on: the same blocks, and no misuse that goes unnoticed.
 * test_hardened.sh has what a program under LD_PRELOAD sees. */
#include "malloc_test.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

static uint64_t rng_state;

static uint64_t rng(void)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return rng_state;
}

/* --- random calls against a reference --- */

#define SLOTS 600
#define STEPS 30000

struct slot {
	void *p;
	size_t size;
	unsigned int seed;
};

static size_t random_size(void)
{
	/* Some above 4 MiB, in mappings. */
	return 1 + rng() % ((size_t)1 << (4 + rng() % (rng() % 64 == 0 ? 20 : 9)));
}

static void drop(struct slot *slot)
{
	assert_true(malloc_test_filled(slot->p, slot->size, slot->size, slot->seed));
	kmem_free(slot->p);
	/* Nothing has been allocated since: it is nobody's. */
	if (rng() % 8 == 0) {
		kmem_free(slot->p);
		malloc_test_expect_report("free of");
	}
	slot->p = NULL;
}

static void misuse(const struct slot *slot)
{
	size_t offset;

	if (slot->size < 2 || slot->size > 100000)
		return;
	offset = 1 + rng() % (slot->size - 1);
	kmem_free((char *)slot->p + offset);
	malloc_test_expect_report(" of 0x");
	assert_null(kmem_realloc((char *)slot->p + offset, 10));
	malloc_test_expect_report("ksize of");
}

static void fill(struct slot *slot)
{
	size_t align = (size_t)16 << rng() % 6;

	slot->size = random_size();
	slot->seed = (unsigned int)rng();
	switch (rng() % 3) {
	case 0: slot->p = kmem_malloc(slot->size); break;
	case 1:
		slot->p = kmem_memalign(align, slot->size);
		assert_int_equal((uintptr_t)slot->p % align, 0);
		break;
	default:
		slot->p = kmem_calloc(1, slot->size);
		assert_int_equal(((char *)slot->p)[0], 0);
		assert_int_equal(((char *)slot->p)[slot->size - 1], 0);
	}
	assert_non_null(slot->p);
	malloc_test_fill(slot->p, slot->size, slot->seed);
}

static void resize(struct slot *slot)
{
	size_t size = random_size(), both = size < slot->size ? size : slot->size;

	slot->p = kmem_realloc(slot->p, size);
	assert_non_null(slot->p);
	assert_true(malloc_test_filled(slot->p, both, slot->size, slot->seed));
	slot->size = size;
	malloc_test_fill(slot->p, slot->size, slot->seed);
}

static void run_model(const char *options)
{
	static struct slot slots[SLOTS];

	malloc_test_start(options);
	rng_state = 88172645463325252ULL;
	for (int step = 0; step < STEPS; step++) {
		struct slot *slot = &slots[rng() % SLOTS];
		uint64_t what = rng() % 16;

		if (!slot->p)
			fill(slot);
		else if (what == 0)
			misuse(slot);
		else if (what < 4)
			resize(slot);
		else
			drop(slot);
		if (step % (STEPS / 4) == 0)
			assert_int_equal(kmem_malloc_check(), 0);
	}
	for (int i = 0; i < SLOTS; i++) {
		if (slots[i].p)
			drop(&slots[i]);
	}
	malloc_test_stop();
}

#define MODEL(name, options)           \
	static void name(void **state) \
	{                              \
		(void)state;           \
		run_model(options);    \
	}

MODEL(test_model, "hardened=on")
MODEL(test_model_shuffled, "hardened=on,shuffle=on,limit=4")
MODEL(test_model_without_arrays, "hardened=on,percpu=off")
MODEL(test_model_debug, "hardened=on,debug=on")

/* --- large blocks --- */

/* The size that a mapping of its own has, whatever serves smaller ones. */
#define HUGE_BYTES (200 * MIB)

static void test_guard(void **state)
{
	char *p;
	pid_t pid;
	int status;

	(void)state;
	malloc_test_start("hardened=on");
	p = kmem_malloc(HUGE_BYTES);
	assert_non_null(p);
	p[kmem_usable_size(p) - 1] = 1;
	pid = fork();
	if (pid == 0) {
		signal(SIGSEGV, SIG_DFL);
		((volatile char *)p)[kmem_usable_size(p)] = 1;
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	/* A sanitizer makes an exit of it. */
	assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	kmem_free(p);
	malloc_test_stop();
}

static void test_resized_by_copy(void **state)
{
	char *p;

	(void)state;
	malloc_test_start("hardened=on");
	p = kmem_malloc(HUGE_BYTES);
	malloc_test_fill(p, HUGE_BYTES, 1);
	p = kmem_realloc(p, 2 * HUGE_BYTES);
	assert_non_null(p);
	assert_true(malloc_test_filled(p, HUGE_BYTES, HUGE_BYTES, 1));
	p = kmem_realloc(p, HUGE_BYTES / 2 * 2 - 5 * MIB);
	assert_true(malloc_test_filled(p, HUGE_BYTES - 5 * MIB, HUGE_BYTES, 1));
	kmem_free(p);
	malloc_test_stop();
}

/* By default too: foreign memory is told before it is read. */
static void test_unreadable_header(void **state)
{
	static const char *const variants[] = {"", "hardened=on"};
	char *nowhere = (char *)(uintptr_t)0x123456780000;

	(void)state;
	for (size_t v = 0; v < KMEM_ARRAY_SIZE(variants); v++) {
		malloc_test_start(variants[v]);
		errno = 42;
		kmem_free(nowhere);
		assert_int_equal(errno, 42);
		malloc_test_expect_report(
			"free of 0x123456780000, which malloc did not return");
		assert_int_equal(kmem_usable_size(nowhere), 0);
		malloc_test_expect_report(
			"size of 0x123456780000, which malloc did not return");
		malloc_test_stop();
	}
}

/* --- threads and fork --- */

#define THREADS	 6
#define EXCHANGE 256
#define ROUNDS	 20000

static void *_Atomic exchange[EXCHANGE];

static void *work(void *arg)
{
	uint64_t x = (uintptr_t)arg * 0x9e3779b97f4a7c15;

	for (int i = 0; i < ROUNDS; i++) {
		size_t size;
		uint64_t *p;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		size = 16 + x % 2000;
		p = kmem_malloc(size);
		p[0] = size;
		p[1] = ~(uintptr_t)p;
		p = atomic_exchange(&exchange[x / 2000 % EXCHANGE], p);
		if (!p)
			continue;
		if (p[1] != ~(uintptr_t)p || kmem_usable_size(p) < p[0])
			abort();
		kmem_free(p);
	}
	return NULL;
}

static void test_threads_and_fork(void **state)
{
	pthread_t threads[THREADS];

	(void)state;
	malloc_test_start("hardened=on,limit=32");
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work, (void *)(i + 1)),
				 0);
#if !KMEM_UNDER_TSAN
	for (int i = 0; i < 5; i++) {
		pid_t pid = fork();
		int status;

		if (pid == 0) {
			void *p = kmem_malloc(100);

			kmem_free(p);
			malloc_test_report[0] = '\0';
			kmem_free(p);
			_exit(strstr(malloc_test_report, "double free") ? 0 : 1);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
#endif
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < EXCHANGE; i++)
		kmem_free(atomic_exchange(&exchange[i], NULL));
	malloc_test_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_model_shuffled),
		cmocka_unit_test(test_model_without_arrays),
		cmocka_unit_test(test_model_debug),
		cmocka_unit_test(test_guard),
		cmocka_unit_test(test_resized_by_copy),
		cmocka_unit_test(test_unreadable_header),
		cmocka_unit_test(test_threads_and_fork),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
