/* SPDX-License-Identifier: MIT */
/*
 * The passes over a zonelist: which mark each request meets, in which order, what the
 * retry flags change, what a failure says; and the counters under the kernel's names.
 */
#include "tests/buddy/buddy_test.h"
#include "allocators/buddy/reclaim_internal.h"

#include <pthread.h>
#include <time.h>

/* Two nodes of 16 MiB; min is 256 pages a node, low 320. */
#define TWO_NODES \
	"memory=32M,dma=0,highmem=0,topology=numa:2 core:1 pu:1,min_free=2M,pcp=off"
#define MIN 256UL
#define LOW 320UL

static struct page *got[16384];

static size_t exhaust(int nid, gfp_t gfp)
{
	size_t n = 0;

	while ((got[n] = alloc_pages_node(nid, gfp | __GFP_NOWARN, 0)) != NULL)
		n++;
	return n;
}

static void free_got(size_t n)
{
	while (n > 0)
		__free_page(got[--n]);
}

static unsigned long free_of(int nid)
{
	return stats_of(nid, MAX_NR_ZONES).free_pages;
}

/* One node after the other down to low, then again down to the request's own mark. */
static void test_two_passes(void **state)
{
	static const struct {
		gfp_t gfp;
		unsigned long left; /* one more than the mark: free > mark + request */
	} kinds[] = {
		{GFP_KERNEL | __GFP_NORETRY, MIN + 1},
		{GFP_KERNEL, MIN + 1},
		{GFP_KERNEL | __GFP_REPEAT, MIN + 1},
		{GFP_KERNEL | __GFP_HIGH, MIN / 2 + 1},
		{GFP_NOWAIT, MIN / 4 + 1},
		{GFP_ATOMIC, MIN / 4 + 1},
		{GFP_NOWAIT | __GFP_MEMALLOC, 0},
		{GFP_ATOMIC | __GFP_MEMALLOC, 0},
	};

	(void)state;
	mm_up(TWO_NODES);
	assert_int_equal(buddy_zones[ZONE_NORMAL].pages_min, MIN);
	assert_int_equal(buddy_zones[ZONE_NORMAL].pages_low, LOW);
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(kinds); i++) {
		size_t n = 0, all;

		/* Its own node to low, then the other one, and only then below. */
		while (free_of(1) == 4096) {
			got[n] = alloc_pages_node(0, kinds[i].gfp, 0);
			assert_non_null(got[n++]);
		}
		assert_int_equal(free_of(0), LOW + 1);
		while (free_of(1) > LOW + 1) {
			got[n] = alloc_pages_node(0, kinds[i].gfp, 0);
			assert_non_null(got[n]);
			assert_int_equal(page_to_nid(got[n++]), 1);
		}
		got[n] = alloc_pages_node(0, kinds[i].gfp, 0);
		assert_int_equal(page_to_nid(got[n++]), 0);
		free_got(n);
		all = exhaust(0, kinds[i].gfp);
		assert_int_equal(free_of(0), kinds[i].left);
		assert_int_equal(free_of(1), kinds[i].left);
		free_got(all);
		/* The same of one node alone; but GFP_THISNODE of 2.6.28, these three
		 * flags together, only looks. */
		all = exhaust(1, kinds[i].gfp | __GFP_THISNODE | __GFP_NOWARN);
		assert_int_equal(free_of(1),
				 kinds[i].gfp & __GFP_NORETRY ? LOW + 1 : kinds[i].left);
		assert_int_equal(free_of(0), 4096);
		free_got(all);
	}
	mm_down();
}

/* A block of an order needs the mark and itself, and one page more. */
static void test_orders_count(void **state)
{
	size_t n;

	(void)state;
	mm_up(TWO_NODES);
	n = exhaust(0, GFP_KERNEL | __GFP_THISNODE);
	while (free_of(0) < MIN + 32)
		__free_page(got[--n]);
	assert_null(alloc_pages_node(
		0, GFP_KERNEL | __GFP_THISNODE | __GFP_NORETRY | __GFP_NOWARN, 5));
	free_got(n);
	mm_down();
}

/* --- who is reclaiming --- */

static void test_the_reclaimer_needs_no_mark_and_wakes_nobody(void **state)
{
	struct page *page;
	uint64_t wakes;
	size_t n;

	(void)state;
	mm_up(TWO_NODES);
	n = exhaust(0, GFP_KERNEL);
	wakes = all_stats().kswapd_wakes;
	assert_true(wakes > 0);
	assert_null(alloc_page(GFP_KERNEL | __GFP_NOWARN));
	assert_true(all_stats().kswapd_wakes > wakes);
	wakes = all_stats().kswapd_wakes;
	buddy_in_reclaim = true;
	page = alloc_page(GFP_KERNEL);
	buddy_in_reclaim = false;
	assert_non_null(page);
	assert_int_equal(all_stats().kswapd_wakes, wakes);
	__free_page(page);
	free_got(n);
	mm_down();
}

/* --- retries --- */

static struct {
	size_t held;	       /* pages of got[] that it can free */
	unsigned int calls;    /* so far */
	unsigned int progress; /* calls that still free a page */
} reclaimer;

static unsigned long reclaim(int nid, gfp_t gfp, unsigned int order)
{
	(void)nid, (void)gfp, (void)order;
	reclaimer.calls++;
	if (reclaimer.progress == 0)
		return 0;
	reclaimer.progress--;
	__free_page(got[--reclaimer.held]);
	return 1;
}

static struct page *ask(gfp_t gfp, unsigned int order, unsigned int progress)
{
	reclaimer.calls = 0;
	reclaimer.progress = progress;
	return alloc_pages_node(0, gfp | __GFP_NOWARN, order);
}

static void expect(gfp_t gfp, unsigned int order, unsigned int progress, bool served,
		   unsigned int calls)
{
	struct page *page = ask(gfp, order, progress);

	assert_int_equal(page != NULL, served);
	assert_int_equal(reclaimer.calls, calls);
	if (page == NULL)
		return;
	/* Taken again, so that the next request finds the same. */
	assert_int_equal(order, 0);
	got[reclaimer.held++] = page;
}

static void test_each_retry_flag(void **state)
{
	static const struct buddy_reclaim_hooks hooks = {.reclaim = reclaim};
	uint64_t stalls;

	(void)state;
	mm_up("memory=32M,dma=0,highmem=0,topology=numa:1 pu:1,min_free=2M,pcp=off");
	reclaimer.held = exhaust(0, GFP_KERNEL);
	buddy_set_reclaim_hooks(&hooks);
	stalls = all_stats().alloc_stalls;
	/* One page frees one page: all that may wait are served by one reclaim. */
	expect(GFP_KERNEL, 0, 1, true, 1);
	expect(GFP_KERNEL | __GFP_NORETRY, 0, 1, true, 1);
	expect(GFP_KERNEL | __GFP_REPEAT, 0, 1, true, 1);
	expect(GFP_KERNEL | __GFP_NOFAIL, 0, 1, true, 1);
	assert_int_equal(all_stats().alloc_stalls, stalls + 4);
	/* Who has reserves left does not reclaim, nor who may not wait. */
	expect(GFP_KERNEL | __GFP_HIGH, 0, 9, true, 0);
	expect(GFP_ATOMIC, 0, 9, true, 0);
	expect(GFP_NOWAIT, 0, 9, true, 0);
	expect(GFP_KERNEL | __GFP_MEMALLOC, 0, 9, true, 0);
	assert_int_equal(all_stats().alloc_stalls, stalls + 4);
	reclaimer.held = exhaust(0, GFP_ATOMIC) + reclaimer.held;
	expect(GFP_ATOMIC, 0, 9, false, 0);
	/* Without progress: once, whatever the flag but __GFP_NOFAIL. */
	expect(GFP_KERNEL, 0, 0, false, 1);
	expect(GFP_KERNEL | __GFP_NORETRY, 0, 0, false, 1);
	expect(GFP_KERNEL | __GFP_REPEAT, 0, 0, false, 1);
	assert_int_equal(all_stats().alloc_stalls, stalls + 7);
	buddy_set_reclaim_hooks(NULL);
	mm_drop();
}

static void *free_later(void *arg)
{
	/* Long enough for a request that gives up to have done so. */
	nanosleep(&(struct timespec){.tv_nsec = 3000000}, NULL);
	__free_page(arg);
	return NULL;
}

/* __GFP_NOFAIL waits also where nobody may reclaim: __GFP_MEMALLOC, and in a shrinker. */
static void test_nofail_without_reclaim(void **state)
{
	size_t n;

	(void)state;
	mm_up("memory=32M,dma=0,highmem=0,topology=numa:1 pu:1,min_free=2M,pcp=off");
	n = exhaust(0, GFP_NOWAIT | __GFP_MEMALLOC);
	assert_int_equal(free_of(0), 0);
	for (int reclaiming = 0; reclaiming < 2; reclaiming++) {
		gfp_t gfp = GFP_KERNEL | __GFP_NOFAIL | (reclaiming ? 0 : __GFP_MEMALLOC);
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, free_later, got[--n]), 0);
		buddy_in_reclaim = reclaiming;
		got[n] = alloc_page(gfp);
		buddy_in_reclaim = false;
		pthread_join(thread, NULL);
		assert_non_null(got[n++]);
		/* Without it such a request fails at once. */
		assert_null(alloc_page(GFP_KERNEL | __GFP_MEMALLOC | __GFP_NOWARN));
	}
	free_got(n);
	mm_down();
}

static void test_failure_says_why(void **state)
{
	size_t n;

	(void)state;
	mm_up(TWO_NODES);
	n = exhaust(0, GFP_KERNEL);
	kmem_error(0, "nothing");
	assert_null(alloc_pages_node(0, GFP_KERNEL | __GFP_NOWARN, 2));
	assert_string_equal(kmem_last_error(), "nothing");
	assert_null(alloc_pages_node(1, GFP_KERNEL, 2));
	assert_string_equal(
		kmem_last_error(),
		"page allocation failure: order 2, mode 0x10, node 1: of the zones "
		"allowed 514 pages are free, 512 are the reserve; free some, or raise "
		"option 'memory'");
	assert_null(alloc_pages_node(1, GFP_KERNEL | __GFP_THISNODE, 2));
	assert_non_null(strstr(kmem_last_error(), "257 pages are free, 256 are"));
	free_got(n);
	mm_down();
}

/* --- counters --- */

static void test_interleave(void **state)
{
	size_t n = 0, more;

	(void)state;
	mm_up("memory=64M,dma=0,highmem=0,topology=numa:4 core:1 pu:1");
	for (; n < 40; n++) {
		got[n] = alloc_pages_interleave(GFP_KERNEL, 0);
		assert_non_null(got[n]);
		assert_int_equal(page_to_nid(got[n]), (page_to_nid(got[0]) + (int)n) % 4);
	}
	for (int nid = 0; nid < 4; nid++) {
		struct buddy_stats s = stats_of(nid, MAX_NR_ZONES);

		assert_int_equal(s.numa[NUMA_INTERLEAVE_HIT], 10);
		assert_int_equal(s.numa[NUMA_HIT], 10);
	}
	free_got(n);
	/* A node that is full has no hit when its turn comes. */
	n = exhaust(2, GFP_KERNEL | __GFP_THISNODE);
	for (more = 0; more < 8; more++)
		got[n + more] = alloc_pages_interleave(GFP_KERNEL, 0);
	assert_int_equal(stats_of(2, MAX_NR_ZONES).numa[NUMA_INTERLEAVE_HIT], 10);
	assert_int_equal(all_stats().numa[NUMA_INTERLEAVE_HIT], 46);
	free_got(n + more);
	mm_down();
}

static char vmstat_text[4096];

static void vmstat_line(const char *name, uint64_t value, void *arg)
{
	size_t used = strlen(vmstat_text);

	(void)arg;
	snprintf(vmstat_text + used, sizeof(vmstat_text) - used, "%s %llu\n", name,
		 (unsigned long long)value);
}

static void test_the_kernels_names(void **state)
{
	static const char *const names[] = {
		"nr_free_pages ",   "numa_hit 8\n",	  "numa_miss 0\n",
		"numa_foreign 0\n", "interleave_hit 0\n", "local_node 8\n",
		"other_node 0\n",   "allocstall 0\n",	  "pageoutrun 0\n",
		"pgsteal_kswapd ",  "pgsteal_direct ",	  "slabs_scanned ",
		"kswapd_wakes ",    "pcp_refills ",	  "pcp_drains ",
		"purged_pages ",
	};
	char line[256], tiny[8];
	struct page *page;

	(void)state;
	mm_up("memory=32M,dma=4M,highmem=0,topology=numa:1 pu:1,pcp=off");
	page = alloc_pages(GFP_KERNEL, 3);
	buddyinfo_format(0, ZONE_NORMAL, line, sizeof(line));
	assert_string_equal(line,
			    "Node 0, zone   Normal      0      0      0      1      1 "
			    "     1      1      1      1      1      6 ");
	assert_int_equal(buddyinfo_format(0, ZONE_DMA, tiny, sizeof(tiny)), strlen(line));
	assert_string_equal(tiny, "Node 0,");
	vmstat_text[0] = '\0';
	buddy_vmstat(NUMA_NO_NODE, vmstat_line, NULL);
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(names); i++)
		assert_non_null(strstr(vmstat_text, names[i]));
	__free_pages(page, 3);
	mm_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_passes),
		cmocka_unit_test(test_orders_count),
		cmocka_unit_test(test_the_reclaimer_needs_no_mark_and_wakes_nobody),
		cmocka_unit_test(test_each_retry_flag),
		cmocka_unit_test(test_nofail_without_reclaim),
		cmocka_unit_test(test_failure_says_why),
		cmocka_unit_test(test_interleave),
		cmocka_unit_test(test_the_kernels_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
