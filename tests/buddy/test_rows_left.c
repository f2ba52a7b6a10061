/* SPDX-License-Identifier: MIT */
/*
 * No group that is opened is left where nobody looks for room: it is the CPU's own, or
 * its hint is set. The file itself is compiled in, with somebody else's step in between.
 */
#include "allocators/buddy/rows_internal.h"

/* What a thread finds free, another thread of this CPU may leave before it is taken. */
static void (*meanwhile)(void);

static inline bool take_bit_later(row_word *row, uint64_t bit, bool alone)
{
	void (*fn)(void) = meanwhile;

	meanwhile = NULL;
	if (fn != NULL)
		fn();
	return row_take_bit(row, bit, alone);
}

#define row_take_bit take_bit_later
#define rows_take    rows_take_here
size_t rows_take_here(struct zone *zone, unsigned int kind, unsigned long mark, size_t n,
		      struct page **out);
#include "allocators/buddy/rows_find.c"
#undef rows_take
#undef row_take_bit

#include "tests/buddy/buddy_test.h"
#include <sched.h>

#define MEMORY "memory=512M,highmem=0,dma=0,kswapd=off,lower=rows,pcp=off,topology=flat"
/* More than what all orders share a group below: see ROWS_APART_PAGES. */
#define MANY (ROWS_APART_PAGES / GROUP_PAGES + 4)

static struct page *huge[MANY];

static struct zone *zone_used(void)
{
	return pfn_zone(page_to_pfn(huge[0]));
}

static void up(void)
{
	mm_up(MEMORY);
	for (size_t i = 0; i < MANY; i++)
		assert_non_null(huge[i] = alloc_pages(GFP_KERNEL, GROUP_ORDER));
}

static void down(void)
{
	for (size_t i = 0; i < MANY; i++)
		__free_pages(huge[i], GROUP_ORDER);
	mm_down();
}

static struct page *take_page(void)
{
	struct page *page = NULL;

	assert_int_equal(rows_take_here(zone_used(), 0, 0, 1, &page), 1);
	return page;
}

static void put_page_back(struct page *page)
{
	rows_free(zone_used(), 0, 1, &page);
}

static unsigned int group_of(const struct page *page)
{
	return (unsigned int)((page_to_pfn(page) - zone_used()->start_pfn) / GROUP_PAGES);
}

static bool is_own(unsigned int g)
{
	const struct rows *rows = &zone_used()->rows;

	for (unsigned int cpu = 0; cpu < os_nr_cpus(); cpu++) {
		for (unsigned int class = 0; class < NR_OWN_GROUPS; class ++) {
			if (atomic_load(rows_current(rows, cpu, class)) == g + 1)
				return true;
		}
	}
	return false;
}

static bool is_found(unsigned int g)
{
	return is_own(g) || rows_bit(&rows_region(&zone_used()->rows, g)->open[0], g);
}

/* The CPU's own group is free when it looks at it, and another's is its own when it has
 * taken it. */
static unsigned int own, other;

static void another_leaves_it(void)
{
	struct rows *rows = &zone_used()->rows;

	rows_swap_own(rows, ROWS_PAGE, other, false);
	assert_false(is_own(own));
}

static void own_is_left_meanwhile(void **state)
{
	struct page *page;

	(void)state;
	up();
	page = take_page();
	own = group_of(page);
	assert_true(is_own(own));
	put_page_back(page); /* the last of its group, which is free now */
	assert_true(rows_group_free(&zone_used()->rows, own));
	/* Made room in, it would be found as well. */
	atomic_store(rows_current(&zone_used()->rows, os_cpu_id(), OWN_FREED), 0);
	other = group_of(huge[0]);
	assert_int_not_equal(own, other);
	meanwhile = another_leaves_it;
	page = take_page();
	assert_null(meanwhile);
	assert_int_equal(group_of(page), own);
	assert_true(is_found(own));
	put_page_back(page);
	down();
}

/* Hints lag behind so far that everything has to be looked at. */
static void hints_lag(struct rows *rows)
{
	for (unsigned int cpu = 0; cpu < os_nr_cpus(); cpu++) {
		for (unsigned int class = 0; class <= OWN_REGION; class ++)
			atomic_store(rows_current(rows, cpu, class), 0);
	}
	for (unsigned int r = 0; r < rows->nr_regions; r++)
		atomic_store(&rows->region[r].taker, 0);
	atomic_store(&rows->free_from, rows->nr_regions);
	atomic_store(&rows->open_from[0], rows->nr_regions);
}

static void found_by_a_look_at_everything(void **state)
{
	struct page *page, *next;
	struct rows *rows;

	(void)state;
	up();
	rows = &zone_used()->rows;
	hints_lag(rows);
	page = take_page();
	assert_false(is_own(group_of(page)));
	assert_true(is_found(group_of(page)));
	assert_int_equal(atomic_load(&rows->open_from[0]),
			 group_of(page) / REGION_GROUPS);
	/* The next page is of it, not of a group that has not been touched. */
	next = take_page();
	assert_int_equal(group_of(next), group_of(page));
	put_page_back(next);
	put_page_back(page);
	down();
}

/* Whole groups, too. */
static void found_whole(void **state)
{
	struct page *page = NULL;

	(void)state;
	up();
	hints_lag(&zone_used()->rows);
	assert_int_equal(rows_take_here(zone_used(), GROUP_ORDER, 0, 1, &page), 1);
	rows_free(zone_used(), GROUP_ORDER, 1, &page);
	down();
}

/* What is a CPU's own is looked at. */
static int stay_here(void **state)
{
	cpu_set_t set;

	(void)state;
	CPU_ZERO(&set);
	CPU_SET(sched_getcpu(), &set);
	return sched_setaffinity(0, sizeof(set), &set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(own_is_left_meanwhile),
		cmocka_unit_test(found_by_a_look_at_everything),
		cmocka_unit_test(found_whole),
	};

	return cmocka_run_group_tests_name("rows_left", tests, stay_here, NULL);
}
