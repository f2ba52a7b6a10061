/* SPDX-License-Identifier: MIT */
/* Each CPU takes free groups from a region of its own, of whatever order, while there is
 * one for each; else they share, and none is left unused. And which groups are open. */
#include "allocators/buddy/rows_internal.h"
#include "tests/buddy/buddy_test.h"

#include <pthread.h>
#include <sched.h>

#define OPTIONS "dma=0,highmem=0,topology=numa:1 pu:1,min_free=1M,pcp=off,lower=rows"

static unsigned int cpus[2], nr_cpus;		     /* on which we may run */
static enum { ANYHOW, ALONE, AMONG_OTHERS } company; /* when blocks are taken */

struct job {
	unsigned int cpu, order;
	size_t n, got;
	struct page **pages;
};

static void stay_on(unsigned int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	assert_int_equal(sched_setaffinity(0, sizeof(set), &set), 0);
}

static void *take(void *arg)
{
	struct job *job = arg;

	stay_on(job->cpu);
	if (company == AMONG_OTHERS)
		rows_leave(rows_enter_shared());
	/* Two looks of 256 entries, and one in which we might have been elsewhere. */
	for (int i = 0; company == ALONE && i < 1024; i++)
		rows_leave(rows_enter());
	if (company != ANYHOW)
		assert_int_equal(rows_gate_alone(), company == ALONE);
	for (job->got = 0; job->got < job->n; job->got++) {
		job->pages[job->got] = alloc_pages(GFP_KERNEL | __GFP_NOWARN, job->order);
		if (job->pages[job->got] == NULL)
			break;
	}
	return NULL;
}

/* By a thread on a CPU. Returns how many there were. */
static size_t take_on(unsigned int cpu, unsigned int order, size_t n, struct page **pages)
{
	struct job job = {.cpu = cpu, .order = order, .n = n, .pages = pages};
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, take, &job), 0);
	pthread_join(thread, NULL);
	return job.got;
}

static void *put(void *arg)
{
	struct job *job = arg;

	stay_on(job->cpu);
	__free_pages(job->pages[0], job->order);
	return NULL;
}

static void free_on(unsigned int cpu, unsigned int order, struct page *page)
{
	struct job job = {.cpu = cpu, .order = order, .pages = &page};
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, put, &job), 0);
	pthread_join(thread, NULL);
}

static void give_back(unsigned int order, size_t n, struct page **pages)
{
	while (n > 0)
		__free_pages(pages[--n], order);
}

static unsigned long region_of(const struct page *page)
{
	return page_to_pfn(page) / (REGION_GROUPS * GROUP_PAGES);
}

static int find_cpus(void **state)
{
	cpu_set_t set;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(set), &set), 0);
	for (unsigned int cpu = 0; cpu < CPU_SETSIZE && nr_cpus < 2; cpu++) {
		if (CPU_ISSET(cpu, &set))
			cpus[nr_cpus++] = cpu;
	}
	return 0;
}

/* Who comes in turns meets nobody: more than a group each, of several orders. */
static void apart(void **state)
{
	static const unsigned int orders[] = {0, 3, 6, 8, 9, 10};
	struct page *pages[2][6][8];

	(void)state;
	if (nr_cpus < 2)
		skip();
	mm_up("memory=512M," OPTIONS);
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(orders); i++) {
		for (int c = 0; c < 2; c++)
			assert_int_equal(take_on(cpus[c], orders[i], 8, pages[c][i]), 8);
	}
	check();
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(orders); i++) {
		for (int c = 0; c < 2; c++) {
			for (int k = 0; k < 8; k++)
				assert_int_equal(region_of(pages[c][i][k]),
						 region_of(pages[c][0][0]));
			give_back(orders[i], 8, pages[c][i]);
		}
	}
	assert_int_not_equal(region_of(pages[0][0][0]), region_of(pages[1][0][0]));
	mm_down();
}

static bool is_open(const struct page *page)
{
	const struct zone *zone = pfn_zone(page_to_pfn(page));
	unsigned int g =
		(unsigned int)((page_to_pfn(page) - zone->start_pfn) / GROUP_PAGES);

	return rows_bit(&rows_region(&zone->rows, g)->open[0], g);
}

/* What a CPU frees from end to end is open to others only when it goes on to another
 * group: who takes from it meanwhile would work on the same words. */
static void half_freed(void **state)
{
	struct page *a[2], *b[2], *one[1];

	(void)state;
	if (nr_cpus < 2)
		skip();
	mm_up("memory=512M," OPTIONS);
	assert_int_equal(take_on(cpus[0], 8, 2, a), 2);
	assert_int_equal(take_on(cpus[0], 8, 2, b), 2);
	free_on(cpus[0], 8, a[1]);
	assert_false(is_open(a[0]));
	check();
	/* Another CPU does not come here; this one does before it breaks a group. */
	assert_int_equal(take_on(cpus[1], 8, 1, one), 1);
	assert_int_not_equal(region_of(one[0]), region_of(a[0]));
	free_on(cpus[1], 8, one[0]);
	assert_int_equal(take_on(cpus[0], 8, 1, one), 1);
	assert_ptr_equal(one[0], a[1]);
	/* On to the next: */
	free_on(cpus[0], 8, a[1]);
	free_on(cpus[0], 8, b[1]);
	assert_true(is_open(a[0]));
	assert_false(is_open(b[0]));
	check();
	/* For a request that has no group of its own. */
	atomic_store(rows_current(&pfn_zone(page_to_pfn(a[0]))->rows, cpus[1], ROWS_PAGE),
		     0);
	assert_int_equal(take_on(cpus[1], 3, 1, one), 1);
	assert_in_range(one[0] - a[0], 256, 511);
	free_on(cpus[0], 3, one[0]);
	free_on(cpus[0], 8, b[0]);
	free_on(cpus[0], 8, a[0]);
	mm_down();
}

/* Both regions have an open group: among others the CPU's own comes first, alone the
 * lower one. */
static void open_groups_of_the_own_region_first(void **state)
{
	struct page *blocks[2][4], *one[1], *huge[40];

	(void)state;
	if (nr_cpus < 2)
		skip();
	rows_gate_patience_max = 1;
	for (int others = 0; others < 2; others++) {
		mm_up("memory=512M," OPTIONS);
		/* With so much in use orders do not share a CPU's own group. */
		assert_int_equal(take_on(cpus[0], 9, KMEM_ARRAY_SIZE(huge), huge),
				 KMEM_ARRAY_SIZE(huge));
		for (int c = 0; c < 2; c++)
			assert_int_equal(take_on(cpus[c], 8, 4, blocks[c]), 4);
		for (int c = 0; c < 2; c++) {
			free_on(cpus[c], 8, blocks[c][1]);
			free_on(cpus[c], 8, blocks[c][3]);
			assert_true(is_open(blocks[c][0]));
		}
		assert_true(blocks[0][0] < blocks[1][0]);
		company = others != 0 ? AMONG_OTHERS : ALONE;
		assert_int_equal(take_on(cpus[1], 3, 1, one), 1);
		assert_int_equal(region_of(one[0]), region_of(blocks[others][0]));
		company = ANYHOW;
		free_on(cpus[1], 3, one[0]);
		for (int c = 0; c < 2; c++) {
			free_on(cpus[c], 8, blocks[c][0]);
			free_on(cpus[c], 8, blocks[c][2]);
		}
		for (size_t i = 0; i < KMEM_ARRAY_SIZE(huge); i++)
			free_on(cpus[0], 9, huge[i]);
		mm_down();
	}
}

/* All that the marks allow, by one CPU while another has a region, or from one region. */
static void nothing_is_left(const char *options, unsigned int order)
{
	static struct page *pages[512], *one[1];
	size_t n;

	mm_up(options);
	assert_int_equal(take_on(cpus[nr_cpus - 1], order, 1, one), 1);
	n = take_on(cpus[0], order, KMEM_ARRAY_SIZE(pages), pages);
	assert_in_range(all_stats().free_pages, 1, (2UL << order) + 256);
	check();
	give_back(order, 1, one);
	give_back(order, n, pages);
	mm_down();
}

static void all_of_it(void **state)
{
	(void)state;
	nothing_is_left("memory=384M," OPTIONS, 9);
	nothing_is_left("memory=384M," OPTIONS, 8);
	nothing_is_left("memory=128M," OPTIONS, 9);
	nothing_is_left("memory=128M," OPTIONS, 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(apart),
		cmocka_unit_test(half_freed),
		cmocka_unit_test(open_groups_of_the_own_region_first),
		cmocka_unit_test(all_of_it),
	};

	return cmocka_run_group_tests(tests, find_cpus, NULL);
}
