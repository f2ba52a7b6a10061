/* SPDX-License-Identifier: MIT */
/* Fallback order, NUMA counters, watermarks, and what the retry flags do. */
#include "tests/buddy/buddy_test.h"

#include <pthread.h>
#include <unistd.h>

#define FOUR_NODES \
	"memory=64M,dma=4M,highmem=16M,topology=numa:4 core:1 pu:1,min_free=256K"

/* Everything a request gets until it fails, in a list through the frames' numbers. */
static struct page *got[32768];

static size_t exhaust(int nid, gfp_t gfp)
{
	size_t n = 0;

	while ((got[n] = alloc_pages_node(nid, gfp, 0)) != NULL)
		n++;
	return n;
}

static void free_got(size_t n)
{
	for (size_t i = 0; i < n; i++)
		__free_page(got[i]);
}

/* The zones that pages came from, in the order of their first page, as "nid.zone" words:
 * a request goes round all zones for each mark. */
static void visited(size_t n, char *text, size_t size)
{
	uint64_t seen = 0;

	text[0] = '\0';
	for (size_t i = 0; i < n; i++) {
		int id = page_to_nid(got[i]) * MAX_NR_ZONES + (int)page_zonenum(got[i]);
		size_t used = strlen(text);

		if ((seen >> id & 1) == 0)
			snprintf(text + used, size - used, "%s%d.%c",
				 used == 0 ? "" : " ", id / MAX_NR_ZONES,
				 "DNH"[id % MAX_NR_ZONES]);
		seen |= (uint64_t)1 << id;
	}
}

static void expect_order(int nid, gfp_t gfp, const char *expected)
{
	char text[512];
	size_t n = exhaust(nid, gfp | __GFP_MEMALLOC);

	visited(n, text, sizeof(text));
	free_got(n);
	drain_all_pages();
	assert_string_equal(text, expected);
}

static void test_fallback_by_distance(void **state)
{
	(void)state;
	mm_up(FOUR_NODES ",pcp=off");
	/* Synthetic nodes are equally far: the ring decides. */
	expect_order(2, GFP_KERNEL, "2.N 3.N 0.N 0.D 1.N");
	expect_order(0, GFP_HIGHUSER, "0.H 0.N 0.D 1.H 1.N 2.H 2.N 3.H 3.N");
	expect_order(3, GFP_DMA, "0.D");
	expect_order(1, GFP_HIGHUSER | __GFP_THISNODE, "1.H 1.N");
	mm_down();
}

/* A hit is from the node of the CPU, although there are pages of another on its lists. */
static void test_hits_are_local(void **state)
{
	static const gfp_t flags[] = {GFP_KERNEL, GFP_HIGHUSER};
	cpu_set_t before, one;

	(void)state;
	mm_up(FOUR_NODES);
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	for (unsigned int cpu = 0; cpu < os_nr_cpus(); cpu++) {
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		if (sched_setaffinity(0, sizeof(one), &one) != 0)
			continue; /* not ours */
		for (size_t i = 0; i < KMEM_ARRAY_SIZE(flags); i++) {
			int zone = flags[i] == GFP_KERNEL ? ZONE_NORMAL : ZONE_HIGHMEM;
			struct page *pages[6];

			for (int n = 0; n < 6; n++)
				pages[n] = alloc_pages_node(n < 4 ? n : NUMA_NO_NODE,
							    flags[i], 0);
			for (int n = 0; n < 6; n++) {
				assert_int_equal(page_to_nid(pages[n]),
						 n < 4 ? n : cpu_to_node(cpu));
				assert_int_equal(page_zonenum(pages[n]), zone);
				__free_page(pages[n]);
			}
		}
	}
	assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
	mm_down();
}

static void test_fallback_on_the_ring(void **state)
{
	(void)state;
	mm_up(FOUR_NODES ",pcp=off,zonelist=ring");
	expect_order(1, GFP_KERNEL, "1.N 2.N 3.N 0.N 0.D");
	mm_down();
}

/* With the lists on, the order is kept and nothing stays behind on a list. */
static void test_fallback_with_lists(void **state)
{
	size_t n;

	(void)state;
	mm_up(FOUR_NODES);
	n = exhaust(2, GFP_HIGHUSER | __GFP_MEMALLOC);
	assert_int_equal(n, 16384);
	assert_int_equal(all_stats().free_pages + all_stats().pcp_pages, 0);
	free_got(n);
	mm_down();
}

/* Pages on the lists of CPUs that are not ours are found before a request fails. */
static void test_lists_are_drained_before_failing(void **state)
{
	struct zone *zone;
	size_t n, pages = 0;

	(void)state;
	mm_up("memory=16M,dma=0,highmem=0,topology=numa:1 pu:1,min_free=64K");
	n = exhaust(0, GFP_NOWAIT | __GFP_MEMALLOC);
	assert_int_equal(n, 4096);
	zone = pfn_zone(0);
	/* By hand onto the last CPU's list, as if a thread there had freed them. */
	for (unsigned int cpu = os_nr_cpus() - 1; pages < 8; pages++) {
		struct percpu_stack *stack = percpu_stack_of(&zone->pcp[0], cpu);

		assert_true(free_prepare(got[--n], 0));
		stack->slot[pages] = got[n];
		atomic_store(&got[n]->state,
			     percpu_stamp(&stack->slot[pages], zone_allocated(zone, 0)));
		atomic_fetch_add(&stack->state, 1);
	}
	check();
	for (size_t i = 0; i < pages; i++)
		assert_non_null(got[n++] = alloc_page(GFP_NOWAIT | __GFP_MEMALLOC));
	assert_null(alloc_page(GFP_NOWAIT | __GFP_MEMALLOC));
	free_got(n);
	mm_down();
}

/* --- counters --- */

static void test_numa_counters(void **state)
{
	uint64_t hit = 0, miss = 0, foreign = 0, local = 0, other = 0;
	uint64_t served[4];
	size_t n;
	int here;

	(void)state;
	for (int pcp = 0; pcp < 2; pcp++) {
		mm_up(pcp ? FOUR_NODES : FOUR_NODES ",pcp=off");
		here = numa_node_id();
		memset(served, 0, sizeof(served));
		n = exhaust(1, GFP_KERNEL);
		for (size_t i = 0; i < n; i++)
			served[page_to_nid(got[i])]++;
		for (int nid = 0; nid < 4; nid++) {
			struct buddy_stats s = stats_of(nid, MAX_NR_ZONES);

			assert_int_equal(s.numa[NUMA_HIT], nid == 1 ? served[nid] : 0);
			assert_int_equal(s.numa[NUMA_MISS], nid == 1 ? 0 : served[nid]);
			assert_int_equal(s.numa[NUMA_FOREIGN],
					 nid == 1 ? n - served[1] : 0);
			assert_int_equal(s.numa[NUMA_LOCAL] + s.numa[NUMA_OTHER],
					 served[nid]);
			assert_int_equal(s.numa[NUMA_INTERLEAVE_HIT], 0);
		}
		free_got(n);
		/* Orders count in pages, and bulk like single calls. */
		got[0] = alloc_pages_node(here, GFP_KERNEL, 3);
		assert_int_equal(buddy_alloc_bulk(here, GFP_KERNEL, 0, 100, got + 1),
				 100);
		hit = all_stats().numa[NUMA_HIT];
		assert_int_equal(hit, served[1] + 108);
		__free_pages(got[0], 3);
		free_pages_bulk(100, got + 1);
		miss = all_stats().numa[NUMA_MISS];
		foreign = all_stats().numa[NUMA_FOREIGN];
		local = all_stats().numa[NUMA_LOCAL];
		other = all_stats().numa[NUMA_OTHER];
		assert_int_equal(miss, foreign);
		assert_int_equal(hit + miss, local + other);
		mm_down();
	}
	assert_string_equal(numa_stat_name(NUMA_LOCAL), "local_node");
	assert_null(numa_stat_name(NR_NUMA_STAT_ITEMS));
}

/* --- watermarks --- */

#define ONE_NODE "memory=64M,dma=0,highmem=0,topology=numa:1 pu:1,min_free=4M,pcp=off"

static void test_watermarks_by_rule(void **state)
{
	const struct zone *zone;

	(void)state;
	mm_up("memory=1G,dma=16M,highmem=128M,topology=numa:1 pu:1");
	/* sqrt(896 MiB in KiB * 16) KiB = 3831 KiB = 957 pages, by size: 17 and 940. */
	zone = &buddy_zones[ZONE_NORMAL];
	assert_int_equal(zone->pages_min, 957 * 225280UL / 229376);
	assert_int_equal(zone->pages_low, zone->pages_min + zone->pages_min / 4);
	assert_int_equal(zone->pages_high, zone->pages_min + zone->pages_min / 2);
	assert_int_equal(buddy_zones[ZONE_DMA].pages_min, 957 * 4096UL / 229376);
	assert_int_equal(buddy_zones[ZONE_HIGHMEM].pages_min, 32);
	mm_down();
}

/* How far each kind of request may go: what stays free when it fails. */
static void test_each_request_stops_at_its_mark(void **state)
{
	static const struct {
		gfp_t gfp;
		unsigned long mark; /* min is 1024 pages */
	} kinds[] = {
		{GFP_KERNEL | __GFP_NORETRY, 1024},
		{GFP_KERNEL | __GFP_HIGH, 512},
		{GFP_NOWAIT, 256},
		{GFP_ATOMIC, 256},
		{GFP_NOWAIT | __GFP_MEMALLOC, 0},
	};

	(void)state;
	mm_up(ONE_NODE);
	assert_int_equal(buddy_zones[ZONE_NORMAL].pages_min, 1024);
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(kinds); i++) {
		size_t n = exhaust(0, kinds[i].gfp);
		unsigned long left = all_stats().free_pages;

		/* A request fails unless more than the mark and itself is free. */
		assert_int_equal(left, kinds[i].mark == 0 ? 0 : kinds[i].mark + 1);
		free_got(n);
	}
	mm_down();
}

static unsigned int wakes;

static void wake(int nid, unsigned int order)
{
	assert_int_equal(nid, 0);
	assert_int_equal(order, 0);
	wakes++;
}

static void test_low_mark_wakes_the_reclaimer(void **state)
{
	struct buddy_reclaim_hooks hooks = {.wake_kswapd = wake};
	size_t n = 0;

	(void)state;
	mm_up(ONE_NODE);
	buddy_set_reclaim_hooks(&hooks);
	wakes = 0;
	while (all_stats().free_pages > 1280 + 1)
		assert_non_null(got[n++] = alloc_page(GFP_KERNEL));
	assert_int_equal(all_stats().kswapd_wakes, 0);
	assert_non_null(got[n++] = alloc_page(GFP_KERNEL));
	assert_int_equal(all_stats().kswapd_wakes, 1);
	assert_int_equal(wakes, 1);
	assert_int_equal(all_stats().alloc_stalls, 0);
	buddy_set_reclaim_hooks(NULL);
	free_got(n);
	mm_down();
}

/* --- retries --- */

/* With these three flags a node is only looked at: nothing is woken or reclaimed, and
 * the reserve stays. */
static void test_a_look_at_a_node_reclaims_nothing(void **state)
{
	const gfp_t look = GFP_KERNEL | __GFP_THISNODE | __GFP_NORETRY | __GFP_NOWARN;
	size_t n;

	(void)state;
	mm_up(FOUR_NODES ",pcp=off,dma=0,highmem=0,min_free=4M");
	n = exhaust(1, look);
	/* Down to the low mark of 320 pages, and the page that is not given. */
	assert_int_equal(n, 4096 - 320 - 1);
	assert_int_equal(all_stats().kswapd_wakes, 0);
	assert_int_equal(all_stats().alloc_stalls, 0);
	/* Without the last of them it is a request as any other. */
	got[n] = alloc_pages_node(1, look & ~__GFP_NORETRY, 0);
	assert_non_null(got[n]);
	assert_int_equal(page_to_nid(got[n++]), 1);
	assert_int_equal(all_stats().kswapd_wakes, 1);
	free_got(n);
	mm_down();
}

static size_t held;
static unsigned int reclaims, progress_left;

/* Frees one page each time as long as it is told to. */
static unsigned long reclaim(int nid, gfp_t gfp, unsigned int order)
{
	(void)nid, (void)gfp, (void)order;
	reclaims++;
	if (progress_left == 0)
		return 0;
	progress_left--;
	__free_page(got[--held]);
	return 1;
}

/* Calls reclaim() so often for a request that finds nothing, with so much progress to
 * make. */
static unsigned int reclaims_of(gfp_t gfp, unsigned int order, unsigned int progress)
{
	reclaims = 0;
	progress_left = progress;
	assert_null(alloc_pages(gfp, order));
	return reclaims;
}

static void *free_later(void *arg)
{
	usleep(20000);
	__free_pages(arg, 9);
	return NULL;
}

static void test_retry_flags(void **state)
{
	struct buddy_reclaim_hooks hooks = {.reclaim = reclaim};
	struct page *big, *page;
	pthread_t thread;

	(void)state;
	mm_up(ONE_NODE);
	big = alloc_pages(GFP_KERNEL, 9);
	held = exhaust(0, GFP_KERNEL);
	buddy_set_reclaim_hooks(&hooks);
	assert_int_equal(all_stats().alloc_stalls, 1);
	/* Order 2 needs four pages more: without progress one reclaim is enough to give
	 * up. */
	assert_int_equal(reclaims_of(GFP_KERNEL, 2, 0), 1);
	assert_int_equal(reclaims_of(GFP_KERNEL | __GFP_NORETRY, 2, 5), 1);
	assert_int_equal(reclaims_of(GFP_KERNEL, 2, 2), 3);
	assert_int_equal(reclaims_of(GFP_ATOMIC | __GFP_HIGH, 10, 5), 0);
	/* Costly orders: once, unless __GFP_REPEAT. */
	assert_int_equal(reclaims_of(GFP_KERNEL, 6, 30), 1);
	assert_int_equal(reclaims_of(GFP_KERNEL | __GFP_REPEAT, 6, 20), 21);
	/* Waits until somebody else frees. */
	progress_left = 0;
	pthread_create(&thread, NULL, free_later, big);
	page = alloc_pages(GFP_KERNEL | __GFP_NOFAIL, 8);
	assert_non_null(page);
	pthread_join(thread, NULL);
	__free_pages(page, 8);
	buddy_set_reclaim_hooks(NULL);
	free_got(held);
	mm_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fallback_by_distance),
		cmocka_unit_test(test_hits_are_local),
		cmocka_unit_test(test_fallback_on_the_ring),
		cmocka_unit_test(test_fallback_with_lists),
		cmocka_unit_test(test_lists_are_drained_before_failing),
		cmocka_unit_test(test_numa_counters),
		cmocka_unit_test(test_watermarks_by_rule),
		cmocka_unit_test(test_each_request_stops_at_its_mark),
		cmocka_unit_test(test_low_mark_wakes_the_reclaimer),
		cmocka_unit_test(test_a_look_at_a_node_reclaims_nothing),
		cmocka_unit_test(test_retry_flags),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
