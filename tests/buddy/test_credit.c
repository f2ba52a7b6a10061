/* SPDX-License-Identifier: MIT */
/*
 * Credits of free pages: that they spare the shared count, that no mark can tell that
 * there are any, that no request fails because of another CPU's, and that the sums are
 * exact when nobody is at work. Every order they are moved in: test_credit_interleave.c.
 */
#include "allocators/buddy/rows_internal.h"
#include "tests/buddy/buddy_test.h"

#include <pthread.h>

static struct zone *zone;

/* Enough for credits on a machine with many CPUs. */
static void up(const char *more)
{
	char options[256];

	snprintf(
		options, sizeof(options),
		"memory=%uM,dma=0,highmem=0,topology=numa:1 pu:1,min_free=2M,lower=rows%s",
		64 + 32 * os_nr_cpus(), more);
	mm_up(options);
	zone = &buddy_zones[ZONE_NORMAL];
	assert_true(zone_present(zone) && zone->plenty && zone->credit_max != 0);
}

static _Atomic uint64_t *credit_of(unsigned int cpu)
{
	return &rows_cpu(&zone->rows, cpu)->credit;
}

static unsigned int other_cpu(void)
{
	return (os_cpu_id() + 1) % os_nr_cpus();
}

/* As if that CPU had taken them and freed them again. */
static void give_credit(unsigned int cpu, unsigned long pages)
{
	atomic_fetch_sub(&zone->free_pages, pages);
	atomic_fetch_add(credit_of(cpu), pages);
}

static unsigned long shared(void)
{
	return zone_free_pages(zone);
}

/* What is free in words of statistics, which must not depend on who has the credit. */
static unsigned long all_free(void)
{
	struct buddy_stats s = all_stats();

	assert_int_equal(s.free_pages, zone_free_pages_quiescent(zone));
	return s.free_pages;
}

static void shared_count_is_touched_seldom(void **state)
{
	unsigned long total, before, changes = 0, batches = 0, taken;

	(void)state;
	up("");
	total = all_free();
	before = shared();
	while (batches * 64 < zone->credit_max) {
		assert_int_equal(zone_promise(zone, 0, zone->pages_low, 64, false), 64);
		batches++;
		assert_int_equal(all_free(), total - batches * 64);
		changes += shared() != before;
		before = shared();
	}
	/* Every fourth time; and where we are moved to another CPU. */
	assert_in_range(changes, 1, batches / 4 + 4);
	for (changes = 0, taken = batches; taken > 0; taken--) {
		zone_add_free(zone, 64, false);
		changes += shared() != before;
		before = shared();
	}
	assert_in_range(changes, 1, batches / 4 + 4);
	assert_int_equal(all_free(), total);
	assert_true(shared() < total);
	mm_down();
}

static void alone_or_short_of_memory_there_are_none(void **state)
{
	unsigned long before;

	(void)state;
	up("");
	before = shared();
	assert_int_equal(zone_promise(zone, 0, 0, 64, true), 64);
	assert_int_equal(shared(), before - 64);
	zone_add_free(zone, 64, true);
	assert_int_equal(shared(), before);
	mm_down();
	/* A zone in which a CPU's part would be less than two batches. */
	mm_up("memory=4M,dma=0,highmem=0,topology=numa:1 pu:1,lower=rows");
	assert_int_equal(buddy_zones[ZONE_NORMAL].credit_max, 0);
	assert_false(buddy_zones[ZONE_NORMAL].plenty);
	mm_down();
}

/* More than a credit ever is, and what does not fit into one. */
static void large_requests_go_by_the_shared_count(void **state)
{
	unsigned long total, before;
	size_t blocks;

	(void)state;
	up("");
	total = all_free();
	blocks = (zone->credit_max >> 9) + 1;
	assert_int_equal(zone_promise(zone, 9, 0, blocks, false), blocks);
	assert_int_equal(shared(), total - (blocks << 9));
	before = shared();
	zone_add_free(zone, blocks << 9, false);
	assert_true(shared() > before);
	assert_true(atomic_load(credit_of(os_cpu_id())) <= zone->credit_max / 2);
	assert_int_equal(all_free(), total);
	mm_down();
}

/* --- near the marks --- */

/* Down to the floor, by whichever way: the other CPU's credit is called in. */
static void crossing_the_floor_calls_credits_in(void **state)
{
	(void)state;
	for (int alone = 0; alone < 2; alone++) {
		unsigned long taken = 0, total;

		up("");
		total = shared();
		give_credit(other_cpu(), zone->credit_max);
		while (zone->plenty) {
			assert_true(zone_free_pages_quiescent(zone) > zone->credit_floor);
			taken += zone_promise(zone, 0, zone->pages_low, 64, alone);
		}
		for (unsigned int cpu = 0; cpu < os_nr_cpus(); cpu++)
			assert_int_equal(atomic_load(credit_of(cpu)), 0);
		assert_int_equal(shared(), total - taken);
		assert_true(shared() > zone->pages_high + MAX_ORDER_NR_PAGES);
		/* There they stay away, and come back only when much more is free. */
		zone_add_free(zone, 64, false);
		assert_int_equal(shared(), total - taken + 64);
		assert_false(zone->plenty);
		zone_add_free(zone, taken - 64, alone);
		assert_true(zone->plenty);
		assert_int_equal(all_free(), total);
		mm_down();
	}
}

static struct page *got[1 << 22];

/* Requests of two CPUs, in turns: nobody is alone for long. */
static struct page *ask(gfp_t gfp, unsigned int order)
{
	rows_leave(rows_enter_shared());
	return alloc_pages(gfp | __GFP_NOWARN, order);
}

/* The marks that test_buddy_marks.c finds with one CPU hold to the page. */
static void marks_are_exact(void **state)
{
	static const struct {
		gfp_t gfp;
		unsigned long left; /* one more than the mark: min is 512 pages */
	} kinds[] = {
		{GFP_KERNEL | __GFP_NORETRY, 512 + 1},
		{GFP_KERNEL | __GFP_HIGH, 256 + 1},
		{GFP_ATOMIC, 128 + 1},
		{GFP_NOWAIT | __GFP_MEMALLOC, 0},
	};

	(void)state;
	up(",pcp=off");
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(kinds); i++) {
		size_t n = 0;

		give_credit(other_cpu(), zone->credit_max);
		while ((got[n] = ask(kinds[i].gfp, 0)) != NULL) {
			n++;
			assert_int_equal(zone->below_low, all_free() <= zone->pages_low);
		}
		assert_int_equal(all_free(), kinds[i].left);
		assert_int_equal(shared(), kinds[i].left);
		check();
		while (n > 0) {
			rows_leave(rows_enter_shared());
			__free_page(got[--n]);
		}
		check();
		assert_true(zone->plenty);
		/* What the other CPU has, it has from now on. */
		atomic_fetch_add(&zone->free_pages,
				 atomic_exchange(credit_of(other_cpu()), 0));
	}
	mm_down();
}

/* Another CPU has found that pages are scarce, and is about to call credits in. */
static void a_request_calls_credits_in_before_it_fails(void **state)
{
	unsigned long pages;
	struct page *page;

	(void)state;
	up(",pcp=off");
	pages = shared() - zone->pages_min / 4;
	assert_int_equal(zone_promise(zone, 0, 0, pages, true), pages);
	assert_false(zone->plenty);
	atomic_fetch_add(credit_of(other_cpu()), 8);
	page = alloc_pages(GFP_ATOMIC, 0);
	assert_non_null(page);
	assert_int_equal(atomic_load(credit_of(other_cpu())), 0);
	__free_page(page);
	atomic_fetch_sub(&zone->free_pages, 8);
	zone_add_free(zone, pages, true);
	mm_down();
}

/* --- what the walker says --- */

static void assert_broken(const char *part)
{
	assert_int_equal(buddy_check(), -EFAULT);
	if (strstr(kmem_last_error(), part) == NULL)
		fail_msg("'%s' is not about '%s'", kmem_last_error(), part);
}

static void walker_knows_credits(void **state)
{
	unsigned int cpu;

	(void)state;
	up("");
	cpu = other_cpu();
	give_credit(cpu, 100);
	check();
	atomic_fetch_add(credit_of(cpu), 1);
	assert_broken("free_pages differs from the rows");
	atomic_fetch_sub(credit_of(cpu), 1);
	zone->plenty = false;
	assert_broken("has a credit while pages are scarce");
	zone->plenty = true;
	give_credit(cpu, zone->credit_max);
	assert_broken("more credit than it may");
	give_credit(cpu, -zone->credit_max);
	check();
	zone->credit_floor = shared();
	assert_broken("plenty, but few pages are free");
	zone->credit_floor = 0;
	mm_down();
}

/* --- threads --- */

enum { NR_THREADS = 4, ROUNDS = 300 };

/* Takes and gives back, around the floor and again. */
static void *hover(void *arg)
{
	size_t share = (zone->end_pfn - zone->start_pfn) / 64 / NR_THREADS + 64;
	struct page **blocks = malloc(share * sizeof(*blocks));

	(void)arg;
	for (int round = 0; round < ROUNDS; round++) {
		size_t n = 0;

		while (n < share) {
			blocks[n] = alloc_pages(GFP_KERNEL | __GFP_NOWARN, 6);
			if (blocks[n] == NULL)
				break;
			n++;
		}
		while (n > 0)
			__free_pages(blocks[--n], 6);
	}
	free(blocks);
	return NULL;
}

/* Statistics meanwhile are possible ones. */
static void *watch(void *arg)
{
	static char impossible[] = "more is free than there is";
	unsigned long total = zone->end_pfn - zone->start_pfn;
	_Atomic bool *done = arg;

	while (!atomic_load(done)) {
		struct buddy_stats s = all_stats();

		if (s.free_pages > total)
			return impossible;
		sched_yield();
	}
	return NULL;
}

static void sums_are_exact_after_threads(void **state)
{
	pthread_t threads[NR_THREADS], watcher;
	_Atomic bool done = false;
	void *said;

	(void)state;
	up("");
	assert_int_equal(pthread_create(&watcher, NULL, watch, &done), 0);
	for (int i = 0; i < NR_THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, hover, NULL), 0);
	for (int i = 0; i < NR_THREADS; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&done, true);
	pthread_join(watcher, &said);
	assert_null(said);
	check();
	assert_int_equal(all_free() + all_stats().pcp_pages,
			 zone->end_pfn - zone->start_pfn);
	mm_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shared_count_is_touched_seldom),
		cmocka_unit_test(alone_or_short_of_memory_there_are_none),
		cmocka_unit_test(large_requests_go_by_the_shared_count),
		cmocka_unit_test(crossing_the_floor_calls_credits_in),
		cmocka_unit_test(marks_are_exact),
		cmocka_unit_test(a_request_calls_credits_in_before_it_fails),
		cmocka_unit_test(walker_knows_credits),
		cmocka_unit_test(sums_are_exact_after_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
