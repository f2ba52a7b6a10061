/* SPDX-License-Identifier: MIT */
/*
 * Many threads on few CPUs: areas are taken, stamped, handed to other threads
 * and freed there, while one thread purges. Both modes of the per-CPU stacks.
 */
#include "allocators/os/os_cpu.h"
#include "tests/vmalloc/vmalloc_test.h"

#include <unistd.h>

#define THREADS 8
#define SLOTS	64

static unsigned int rounds;
static _Atomic(uint64_t *) slots[SLOTS]; /* areas on their way to another thread */
static _Atomic unsigned int refused, damaged, running;

/* The first word of an area is its address, the second its number of pages. */
static uint64_t *make(uint64_t *seed)
{
	uint64_t pages = 1 + next_random(seed) % (next_random(seed) % 8 == 0 ? 100 : 6);
	uint64_t *p = vmalloc(pages * PAGE_SIZE);

	/* Memory is short at times, but for freed areas that a purge brings back. */
	if (p == NULL) {
		if (atomic_fetch_add(&refused, 1) == 0)
			print_message("%s\n", kmem_last_error());
		return NULL;
	}
	p[0] = (uintptr_t)p;
	p[1] = pages;
	p[pages * PAGE_SIZE / 8 - 1] = ~(uintptr_t)p;
	return p;
}

static void unmake(uint64_t *p)
{
	uint64_t pages = p[1];
	const struct vm_struct *area = find_vm_area(p);

	if (p[0] != (uintptr_t)p || p[pages * PAGE_SIZE / 8 - 1] != ~p[0] ||
	    area == NULL || area->nr_pages != pages)
		atomic_fetch_add(&damaged, 1);
	p[0] = p[1] = 0;
	vfree(p);
}

static void *churn(void *arg)
{
	uint64_t seed = (uintptr_t)arg * 0x9e3779b97f4a7c15u + 1;

	for (unsigned int i = 0; i < rounds; i++) {
		uint64_t *p = make(&seed);
		unsigned int slot = (unsigned int)(next_random(&seed) % SLOTS);

		p = atomic_exchange(&slots[slot], p);
		if (p != NULL)
			unmake(p);
	}
	atomic_fetch_sub(&running, 1);
	return NULL;
}

static void *purge(void *arg)
{
	struct vmalloc_stats stats;

	(void)arg;
	while (atomic_load(&running) != 0) {
		vm_unmap_aliases();
		vmalloc_stats(&stats);
		usleep(2000);
	}
	return NULL;
}

static void stress(const char *options, bool use_rseq, unsigned int rounds_per_thread)
{
	pthread_t threads[THREADS + 1];

	os_cpu_force_mode(use_rseq);
	stack_up(options);
	rounds = rounds_per_thread;
	atomic_store(&refused, 0);
	atomic_store(&damaged, 0);
	atomic_store(&running, THREADS);
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, churn, (void *)i), 0);
	assert_int_equal(pthread_create(&threads[THREADS], NULL, purge, NULL), 0);
	for (int i = 0; i <= THREADS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < SLOTS; i++) {
		uint64_t *p = atomic_exchange(&slots[i], NULL);

		if (p != NULL)
			unmake(p);
	}
	assert_int_equal(atomic_load(&damaged), 0);
	assert_int_equal(atomic_load(&refused), 0);
	stack_down();
}

static void per_cpu_by_rseq(void **state)
{
	(void)state;
	stress(NULL, true, 4000);
}

static void per_cpu_by_locks(void **state)
{
	(void)state;
	stress(NULL, false, 4000);
}

static void pool_and_purges(void **state)
{
	(void)state;
	stress("lazy_bytes=2M", true, 2000);
}

static void pool_alone(void **state)
{
	(void)state;
	stress("percpu_areas=off", true, 2000);
}

static void eager_list(void **state)
{
	(void)state;
	stress("lazy_bytes=0,search=list", true, 1000);
}

/* Two threads free the same area at once: exactly one of them is told. */
static void *free_it(void *arg)
{
	vfree(*(void **)arg);
	return NULL;
}

static void racing_double_frees(void **state)
{
	pthread_t threads[2];
	void *p;

	(void)state;
	stack_up(NULL);
	expect_reports();
	for (unsigned int i = 0; i < 100; i++) {
		p = vmalloc(PAGE_SIZE * (i % 3 == 0 ? 100 : 1));
		assert_non_null(p);
		assert_int_equal(pthread_create(&threads[0], NULL, free_it, &p), 0);
		assert_int_equal(pthread_create(&threads[1], NULL, free_it, &p), 0);
		pthread_join(threads[0], NULL);
		pthread_join(threads[1], NULL);
		assert_int_equal(nr_reports, i + 1);
		assert_non_null(strstr(last_report, "double free"));
	}
	kmem_set_bug_handler(NULL, NULL);
	stack_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		vmalloc_test(per_cpu_by_rseq), vmalloc_test(per_cpu_by_locks),
		vmalloc_test(pool_and_purges), vmalloc_test(pool_alone),
		vmalloc_test(eager_list),      vmalloc_test(racing_double_frees),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
