/* SPDX-License-Identifier: MIT */
/* Refusals and failures that ordinary use does not meet: each leaves all sound. */
#include "tests/buddy/buddy_test.h"
#include "tests/os/os_faults.h"
#include "allocators/buddy/reclaim_internal.h"
#include "allocators/buddy/rows_internal.h"

#include <kmem/reclaim.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#define SMALL "memory=16M,dma=4M,highmem=0,topology=numa:1 pu:1"
#define LISTS SMALL ",lower=lists"
#define ROWS  SMALL ",lower=rows"

static void assert_error(const char *part)
{
	if (strstr(kmem_last_error(), part) == NULL)
		fail_msg("'%s' is not about '%s'", kmem_last_error(), part);
}

static void assert_reported(const char *part)
{
	assert_int_equal(reports, 1);
	if (strstr(last_report, part) == NULL)
		fail_msg("'%s' is not about '%s'", last_report, part);
	reports = 0;
}

static void assert_broken(const char *part)
{
	assert_int_equal(buddy_check(), -EFAULT);
	assert_error(part);
}

enum first_setup { UP, UP_WITHOUT_HINT, NO_LISTS, NO_BITMAPS, REFUSED, UNEXPLAINED };

/* In a process of its own: call number n of its first set-up fails. */
static enum first_setup first_setup(long n)
{
	const char *error;
	int err;

	configure(ROWS);
	os_faults_arm(n, ENOMEM);
	err = phys_init(&test_config.phys);
	if (err == 0)
		err = buddy_init(&test_config.buddy);
	os_faults_disarm();
	if (err == 0)
		return buddy_check() != 0      ? UNEXPLAINED
		       : os_faults.failed != 0 ? UP_WITHOUT_HINT
					       : UP;
	error = kmem_last_error();
	return strstr(error, "per-CPU") != NULL	     ? NO_LISTS
	       : strstr(error, "bitmaps of") != NULL ? NO_BITMAPS
	       : strlen(error) > 10		     ? REFUSED
						     : UNEXPLAINED;
}

/* The per-CPU areas are mapped once in a process, so each call needs a new one. */
static void test_first_setup(void **state)
{
	unsigned int ends[UNEXPLAINED + 1] = {0};
	int status = 0;

	(void)state;
	for (long n = 1; ends[UP] == 0; n++) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(first_setup(n));
		assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) < UNEXPLAINED);
		ends[WEXITSTATUS(status)]++;
		assert_true(n < 100);
	}
	assert_true(ends[NO_LISTS] > 0 && ends[NO_BITMAPS] == 1 && ends[REFUSED] > 0);
}

static void test_refused_configurations(void **state)
{
	(void)state;
	configure(SMALL);
	assert_int_equal(phys_init(&test_config.phys), 0);
	/* What the options would not take, from a program. */
	test_config.buddy.pcp_order_max = MAX_ORDER;
	assert_int_equal(buddy_init(&test_config.buddy), -EINVAL);
	assert_error("start from kmem_options_defaults()");
	test_config.buddy.pcp_order_max = 3;
	test_config.buddy.pcp_batch = 0;
	assert_int_equal(buddy_init(&test_config.buddy), -EINVAL);
	phys_exit();
	kmem_options_release(test_groups, &test_config);

	configure("memory=16M,dma=0,highmem=16M,topology=numa:1 pu:1");
	if (phys_init(&test_config.phys) == 0) {
		assert_int_equal(buddy_init(&test_config.buddy), -EINVAL);
		phys_exit();
	}
	assert_error("highmem");
	kmem_options_release(test_groups, &test_config);
}

static void test_nothing_left(void **state)
{
	static const char *const lowers[] = {LISTS, ROWS};
	static struct page *pages[4096];

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(lowers); i++) {
		size_t n;

		mm_up(lowers[i]);
		n = alloc_pages_bulk(GFP_KERNEL | __GFP_NOWARN, 4096, pages);
		assert_in_range(n, 3000, 4096);
		while (n < 4096 &&
		       (pages[n] = alloc_page(GFP_ATOMIC | __GFP_NOWARN)) != NULL)
			n++;
		assert_int_equal(__get_free_pages(GFP_KERNEL | __GFP_NOWARN, 4), 0);
		assert_null(alloc_pages_exact(3 * PAGE_SIZE, GFP_KERNEL | __GFP_NOWARN));
		check();
		free_pages_bulk(n, pages);
		mm_down();
	}
}

static void test_bulk_refuses_nonsense(void **state)
{
	struct page *pages[2] = {NULL, NULL};

	(void)state;
	mm_up(SMALL);
	assert_int_equal(
		alloc_pages_bulk(GFP_KERNEL | __GFP_DMA | __GFP_HIGHMEM, 2, pages), 0);
	assert_null(pages[0]);
	mm_down();
}

/* Of 4 MiB, blocks that rows took whole: what is not asked for goes back by pages. */
static void test_exact_sizes_of_whole_groups(void **state)
{
	static const char *const lowers[] = {LISTS, ROWS};
	static const size_t sizes[] = {(3u << 20), (1u << 20) + 1, (2u << 20) + PAGE_SIZE,
				       (4u << 20)};

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(lowers); i++) {
		mm_up(lowers[i]);
		for (size_t s = 0; s < KMEM_ARRAY_SIZE(sizes); s++) {
			uint64_t before,
				pages = KMEM_ALIGN_UP(sizes[s], PAGE_SIZE) >> PAGE_SHIFT;
			char *p, *q;

			drain_all_pages();
			before = all_stats().free_pages;
			p = alloc_pages_exact(sizes[s], GFP_KERNEL);
			assert_non_null(p);
			drain_all_pages();
			check();
			assert_int_equal(before - all_stats().free_pages, pages);
			memset(p, 1, sizes[s]);
			q = alloc_pages_exact(sizes[s], GFP_KERNEL);
			assert_non_null(q);
			assert_true(q >= p + pages * PAGE_SIZE ||
				    q + pages * PAGE_SIZE <= p);
			free_pages_exact(p, sizes[s]);
			check();
			free_pages_exact(q, sizes[s]);
		}
		mm_down();
	}
}

/* The page's own state says that it is in use: the bitmap knows better. */
static void test_rows_know_of_double_frees(void **state)
{
	struct page *page, *keep, *whole[2];
	unsigned long pfn;

	(void)state;
	mm_up(ROWS ",pcp=off");
	capture_bugs(true);
	keep = alloc_page(GFP_KERNEL);
	page = alloc_page(GFP_KERNEL);
	pfn = page_to_pfn(page);
	__free_page(page);
	atomic_store(&page->state, allocated_state(pfn_zone_id(pfn), 0));
	assert_int_equal(reports, 0);
	__free_page(page);
	assert_report("double free of pfn %lu, order 0: the page is free already", pfn);
	assert_int_equal(all_stats().free_pages + 1, all_stats().total_pages);
	/* Whole groups, one and two at a time. */
	for (unsigned int order = 9; order <= 10; order++) {
		whole[0] = alloc_pages(GFP_KERNEL, order);
		assert_non_null(whole[0]);
		pfn = page_to_pfn(whole[0]);
		__free_pages(whole[0], order);
		atomic_store(&whole[0]->state, allocated_state(pfn_zone_id(pfn), order));
		__free_pages(whole[0], order);
		assert_report(
			"double free of pfn %lu, order %u: the block is free already",
			pfn, order);
		assert_int_equal(all_stats().free_pages + 1, all_stats().total_pages);
		set_page_flags(whole[0], 0);
	}
	capture_bugs(false);
	set_page_flags(page, 0);
	check();
	__free_page(keep);
	mm_down();
}

/* Beyond all frames: reported by name, and the others of the batch are freed. */
static void test_bulk_free_of_no_page(void **state)
{
	struct page *pages[3];

	(void)state;
	mm_up(SMALL);
	capture_bugs(true);
	pages[0] = alloc_page(GFP_KERNEL);
	pages[1] = pfn_to_page(0) + (1ul << 30);
	pages[2] = alloc_page(GFP_KERNEL);
	free_pages_bulk(3, pages);
	assert_reported("bad pfn");
	capture_bugs(false);
	mm_down();
}

/* The walk over the free lists. */
static void test_lists_are_walked(void **state)
{
	struct page *page, *odd, *stranger, *first[2];
	struct zone *zone;

	(void)state;
	mm_up(LISTS ",pcp=off");
	page = alloc_pages(GFP_KERNEL, 2);
	stranger = alloc_page(GFP_DMA);
	zone = pfn_zone(page_to_pfn(page));
	assert_ptr_not_equal(zone, pfn_zone(page_to_pfn(stranger)));
	first[0] = zone->free_area[0].first;
	first[1] = zone->free_area[1].first;
	zone->free_area[0].first = stranger;
	assert_broken("a zone that it is not part of");
	zone->free_area[0].first = first[0];
	odd = page + 1;
	set_page_flags(odd, block_flags(PG_buddy, 1));
	odd->lru.next = odd->lru.prev = NULL;
	zone->free_area[1].first = odd;
	assert_broken("a free block is not naturally aligned");
	zone->free_area[1].first = first[1];
	set_page_flags(odd, 0);
	atomic_fetch_add(&zone->free_pages, 1);
	assert_broken("free_pages differ");
	atomic_fetch_sub(&zone->free_pages, 1);
	check();
	__free_page(stranger);
	__free_pages(page, 2);
	mm_down();
}

static void test_rows_are_walked(void **state)
{
	struct page *page;
	struct zone *zone;
	row_word *group;
	uint64_t sound;

	(void)state;
	mm_up(ROWS ",pcp=off");
	page = alloc_page(GFP_KERNEL);
	zone = pfn_zone(page_to_pfn(page));
	set_page_flags(page + 1, block_flags(PG_head, 0));
	assert_broken("free, but its descriptor says otherwise");
	set_page_flags(page + 1, 0);
	group = &zone->rows.state[0].used;
	sound = atomic_load(group);
	atomic_store(group, GROUP_OPEN | (GROUP_PAGES + 1));
	assert_broken("impossible state of a group");
	atomic_store(group, sound);
	check();
	__free_page(page);
	mm_down();
}

/* --- the gate that a fork closes --- */

static _Atomic bool closed, entered;

static void *close_gate(void *arg)
{
	rows_fork_lock();
	atomic_store(&closed, true);
	return arg;
}

static void *pass_gate(void *arg)
{
	enum rows_visit visit = rows_enter();

	atomic_store(&entered, true);
	rows_leave(visit);
	return arg;
}

/* Whoever must wait has had the time not to. */
static void let_others_run(void)
{
	usleep(20000);
}

/* It waits for those inside, and those outside wait for it. */
static void test_rows_gate(void **state)
{
	enum rows_visit visit;
	pthread_t thread;

	(void)state;
	mm_up(ROWS ",backing=private");
	visit = rows_enter();
	assert_int_equal(pthread_create(&thread, NULL, close_gate, NULL), 0);
	let_others_run();
	assert_false(atomic_load(&closed));
	rows_leave(visit);
	pthread_join(thread, NULL);
	assert_true(atomic_load(&closed));
	assert_int_equal(pthread_create(&thread, NULL, pass_gate, NULL), 0);
	let_others_run();
	assert_false(atomic_load(&entered));
	rows_fork_unlock();
	pthread_join(thread, NULL);
	assert_true(atomic_load(&entered));
	mm_down();
}

/* --- shrinkers --- */

static unsigned long scanned[2], nested;

static unsigned long count_few(struct shrinker *s, int nid)
{
	(void)s, (void)nid;
	return 5;
}

static unsigned long count_none(struct shrinker *s, int nid)
{
	(void)s, (void)nid;
	return 0;
}

static unsigned long scan_first(struct shrinker *s, int nid, unsigned long nr, gfp_t gfp)
{
	(void)s;
	scanned[0] += nr;
	/* Whoever allocates in here must not reclaim in turn. */
	nested += try_to_free_pages(nid, gfp, 0);
	return 0;
}

static unsigned long scan_second(struct shrinker *s, int nid, unsigned long nr, gfp_t gfp)
{
	(void)s, (void)nid, (void)gfp;
	scanned[1] += nr;
	return nr;
}

static int refuse_barrier(int cmd)
{
	(void)cmd;
	errno = EPERM;
	return -1;
}

static int refuse_cpus(pid_t tid, size_t size, const cpu_set_t *cpus)
{
	(void)tid, (void)size, (void)cpus;
	errno = EPERM;
	return -1;
}

/* A sandbox takes away what the mode changes by: the gate opens, and stays open. */
static void test_gate_without_barrier(void **state)
{
	static const struct os_hooks hooks = {.membarrier = refuse_barrier,
					      .sched_setaffinity = refuse_cpus};

	(void)state;
	if (!os_percpu_lockless())
		skip();
	mm_up(ROWS);
	os_set_hooks(&hooks);
	rows_leave(rows_enter_shared());
	os_set_hooks(NULL);
	for (int i = 0; i < 4096; i++) {
		rows_leave(rows_enter());
		assert_false(rows_gate_alone());
	}
	mm_down();
	/* The next allocator asks again. */
	mm_up(ROWS);
	rows_leave(rows_enter_shared());
	for (int i = 0; i < 1000000 && !rows_gate_alone(); i++)
		rows_leave(rows_enter());
	assert_true(rows_gate_alone());
	mm_down();
}

static void test_two_shrinkers(void **state)
{
	struct shrinker first = {.count = count_few, .scan = scan_first},
			second = {.count = count_few, .scan = scan_second},
			empty = {.count = count_none, .scan = scan_second};

	(void)state;
	mm_up(SMALL ",kswapd=off");
	assert_int_equal(register_shrinker(&first), 0);
	assert_int_equal(register_shrinker(&second), 0);
	assert_int_equal(register_shrinker(&empty), 0);
	assert_int_equal(register_shrinker(&first), -EINVAL);
	assert_error("registered already");
	/* Never more than there are, although 32 are wanted: seven rounds. */
	assert_int_equal(try_to_free_pages(0, GFP_KERNEL, 0), 35);
	assert_int_equal(scanned[0], 35);
	assert_int_equal(scanned[1], 35);
	assert_int_equal(nested, 0);
	unregister_shrinker(&first);
	scanned[0] = 0;
	assert_int_equal(shrink_node(0, GFP_KERNEL, 12), 5);
	assert_int_equal(scanned[0], 0);
	unregister_shrinker(&second);
	unregister_shrinker(&empty);
	assert_int_equal(shrink_node(0, GFP_KERNEL, 12), 0);
	mm_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_setup),
		cmocka_unit_test(test_refused_configurations),
		cmocka_unit_test(test_nothing_left),
		cmocka_unit_test(test_bulk_refuses_nonsense),
		cmocka_unit_test(test_exact_sizes_of_whole_groups),
		cmocka_unit_test(test_rows_know_of_double_frees),
		cmocka_unit_test(test_bulk_free_of_no_page),
		cmocka_unit_test(test_lists_are_walked),
		cmocka_unit_test(test_rows_are_walked),
		cmocka_unit_test(test_rows_gate),
		cmocka_unit_test(test_gate_without_barrier),
		cmocka_unit_test(test_two_shrinkers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
