/* SPDX-License-Identifier: MIT */
/*
 * Many threads: each allocates, stamps, hands blocks to others through a shared
 * table and frees what it finds there, while one keeps draining the lists.
 */
#include "tests/buddy/buddy_test.h"
#include "tests/os/cpu_modes.h"
#include "tests/os/percpu_report.h"

#include <pthread.h>

#if KMEM_SANITIZED
#define STEPS 30000
#else
#define STEPS 100000
#endif

enum { NR_THREADS = 12, TABLE = 256 };

static _Atomic(struct page *) table[TABLE];
static _Atomic bool done;
static _Atomic unsigned long wrong;

static uint64_t *words(struct page *page)
{
	return pfn_to_virt(page_to_pfn(page));
}

/* The block's own number and order at both ends: another's stamp would show. */
static uint64_t stamp_of(struct page *page, unsigned int order)
{
	return page_to_pfn(page) << 8 | order;
}

static void stamp(struct page *page, unsigned int order)
{
	words(page)[0] = stamp_of(page, order);
	words(page)[(PAGE_SIZE << order) / 8 - 1] = stamp_of(page, order);
}

static void free_stamped(struct page *page)
{
	int order = page_block_order(page);
	uint64_t expected;

	if (order < 0) {
		atomic_fetch_add(&wrong, 1);
		return;
	}
	expected = stamp_of(page, (unsigned int)order);
	if (words(page)[0] != expected ||
	    words(page)[(PAGE_SIZE << order) / 8 - 1] != expected)
		atomic_fetch_add(&wrong, 1);
	words(page)[0] = 0;
	words(page)[(PAGE_SIZE << order) / 8 - 1] = 0;
	__free_pages(page, (unsigned int)order);
}

static void bulk_step(void)
{
	struct page *pages[50];
	size_t n = alloc_pages_bulk(GFP_KERNEL, 50, pages);

	for (size_t i = 0; i < n; i++)
		stamp(pages[i], 0);
	for (size_t i = 0; i < n; i++) {
		if (words(pages[i])[0] != stamp_of(pages[i], 0))
			atomic_fetch_add(&wrong, 1);
	}
	free_pages_bulk(n, pages);
}

static void *churn(void *arg)
{
	uint64_t random = (uintptr_t)arg * 0x9e3779b97f4a7c15u + 1;

	for (int i = 0; i < STEPS; i++) {
		unsigned int dice, order;
		struct page *page, *old;

		random = random * 6364136223846793005u + 1442695040888963407u;
		dice = (unsigned int)(random >> 33);
		if (dice % 128 == 0) {
			bulk_step();
			continue;
		}
		order = dice % 8 < 6 ? dice % 3 : dice / 8 % 7;
		page = alloc_pages_node((int)(dice / 64 % (buddy.nr_nodes + 1)) - 1,
					GFP_KERNEL, order);
		if (page != NULL)
			stamp(page, order);
		old = atomic_exchange_explicit(&table[dice / 512 % TABLE], page,
					       memory_order_acq_rel);
		if (old != NULL)
			free_stamped(old);
	}
	return NULL;
}

static void *drain(void *arg)
{
	unsigned int round = 0;

	(void)arg;
	while (!atomic_load(&done)) {
		drain_all_pages();
		all_stats();
		if (++round % 64 == 0)
			buddy_trim();
		sched_yield();
	}
	return NULL;
}

static void stress(const char *options)
{
	pthread_t threads[NR_THREADS], drainer;

	mm_up(options);
	capture_bugs(true);
	atomic_store(&done, false);
	for (uintptr_t i = 0; i < NR_THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, churn, (void *)i), 0);
	assert_int_equal(pthread_create(&drainer, NULL, drain, NULL), 0);
	for (int i = 0; i < NR_THREADS; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&done, true);
	pthread_join(drainer, NULL);
	check();
	for (int i = 0; i < TABLE; i++) {
		struct page *page = atomic_exchange(&table[i], NULL);

		if (page != NULL)
			free_stamped(page);
	}
	assert_int_equal(atomic_load(&wrong), 0);
	assert_int_equal(reports, 0);
	capture_bugs(false);
	mm_down();
}

static void test_plenty(void **state)
{
	(void)state;
	stress("memory=256M,dma=4M,highmem=0,topology=numa:2 core:1 pu:1,lower=rows");
}

/* So little memory that lists are drained and nodes fall back all the time. */
static void test_scarce(void **state)
{
	(void)state;
	stress("memory=8M,dma=0,highmem=0,topology=numa:2 core:1 pu:1,min_free=128K,lower=rows");
}

static void test_free_areas(void **state)
{
	(void)state;
	stress("memory=64M,dma=0,highmem=0,topology=numa:2 core:1 pu:1,lower=lists");
}

static void test_without_lists(void **state)
{
	(void)state;
	stress("memory=64M,dma=0,highmem=0,topology=numa:1 pu:1,pcp=off,lower=rows");
}

/* With locks, too, a free goes onto the list and takes no batch off it. */
static void test_lists_with_locks(void **state)
{
	struct page *pages[32];

	(void)state;
	mm_up("memory=64M,dma=0,highmem=0,topology=numa:1 pu:1,lower=rows");
	for (int round = 0; round < 100; round++) {
		for (int i = 0; i < 32; i++) {
			pages[i] = alloc_pages(GFP_KERNEL, 0);
			assert_non_null(pages[i]);
		}
		for (int i = 0; i < 32; i++)
			__free_pages(pages[i], 0);
	}
	/* Some: the thread may move to another CPU, where the list is another. */
	assert_in_range(all_stats().pcp_drains, 0, 100);
	mm_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_plenty, use_rseq),
		cmocka_unit_test_setup(test_scarce, use_rseq),
		cmocka_unit_test_setup(test_plenty, use_locks),
		cmocka_unit_test_setup(test_scarce, use_locks),
		cmocka_unit_test_setup(test_lists_with_locks, use_locks),
		cmocka_unit_test_setup(test_free_areas, use_rseq),
		cmocka_unit_test(test_without_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
