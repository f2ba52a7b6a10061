/* SPDX-License-Identifier: MIT */
/* Blocks held more than once: the last holder frees them, whoever that is. */
#include "tests/buddy/buddy_test.h"

#include <pthread.h>

/* Both threads walk the same blocks in the same order, so that they meet often. */
enum { ROUNDS = 4000, BLOCKS = 1024 };

/* Written by the main thread between two rounds. */
static struct page *shared[BLOCKS];
static _Atomic unsigned int started, ended;

static void wait_for(_Atomic unsigned int *counter, unsigned int value)
{
	for (unsigned int spins = 0; atomic_load(counter) < value; spins++) {
		if (spins % 1024 == 1023)
			sched_yield();
	}
}

static void put_all(void)
{
	for (int i = 0; i < BLOCKS; i++)
		put_page(shared[i]);
}

static void *put_in_rounds(void *arg)
{
	(void)arg;
	for (unsigned int round = 1; round <= ROUNDS; round++) {
		wait_for(&started, round);
		put_all();
		atomic_store(&ended, round);
	}
	return NULL;
}

/* Two threads let go at once: one of them frees, nobody is reported. */
static void test_both_let_go(void **state)
{
	pthread_t other;

	(void)state;
	mm_up("memory=64M,dma=0,highmem=0,topology=numa:1 pu:1");
	capture_bugs(true);
	assert_int_equal(pthread_create(&other, NULL, put_in_rounds, NULL), 0);
	for (unsigned int round = 1; round <= ROUNDS; round++) {
		for (unsigned int i = 0; i < BLOCKS; i++) {
			shared[i] = alloc_pages(GFP_KERNEL, i % 3);
			assert_non_null(shared[i]);
			get_page(shared[i]);
		}
		atomic_store(&started, round);
		put_all();
		wait_for(&ended, round);
	}
	pthread_join(other, NULL);
	assert_int_equal(reports, 0);
	capture_bugs(false);
	mm_down();
}

/* One hold more than frees keeps the block; one free too many is reported. */
static void test_count(void **state)
{
	struct page *page;

	(void)state;
	mm_up("memory=16M,dma=0,highmem=0,topology=numa:1 pu:1");
	capture_bugs(true);
	page = alloc_pages(GFP_KERNEL, 2);
	get_page(page);
	get_page(page);
	__free_pages(page, 2);
	put_page(page);
	assert_int_equal(page_block_order(page), 2);
	put_page(page);
	assert_int_equal(page_block_order(page), -1);
	assert_int_equal(reports, 0);
	put_page(page);
	assert_report("double free of pfn %lu, order 0", page_to_pfn(page));
	capture_bugs(false);
	mm_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_let_go),
		cmocka_unit_test(test_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
