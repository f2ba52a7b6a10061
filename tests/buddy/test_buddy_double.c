/* SPDX-License-Identifier: MIT */
/*
 * Double frees: one after the other, at once, and the moments in between, which are set
 * up by hand. In each no page is handed out twice, and each is reported once.
 */
#include "allocators/buddy/page_alloc_fast.h"
#include "tests/buddy/buddy_test.h"
#include "tests/os/percpu_report.h"

#include <pthread.h>
#include <sched.h>

#define MEMORY "memory=64M,dma=0,highmem=0,topology=numa:1 pu:1"

static const char *const variants[] = {
	MEMORY ",lower=rows",
	MEMORY ",lower=lists",
	MEMORY ",lower=rows,mobility=on",
	MEMORY ",lower=rows,pcp=off",
	MEMORY ",lower=lists,pcp=off",
};

static cpu_set_t all_cpus;
static unsigned int cpus[2], nr_cpus; /* on which we may run */

static void stay_on(unsigned int cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
}

static void find_cpus(void)
{
	nr_cpus = 0;
	for (unsigned int cpu = 0; cpu < CPU_SETSIZE && nr_cpus < 2; cpu++) {
		if (CPU_ISSET(cpu, &all_cpus))
			cpus[nr_cpus++] = cpu;
	}
	stay_on(cpus[0]);
}

/* --- one after the other --- */

static void twice_in_a_row(void **state)
{
	(void)state;
	for (size_t v = 0; v < KMEM_ARRAY_SIZE(variants); v++) {
		mm_up(variants[v]);
		capture_bugs(true);
		for (unsigned int order = 0; order < MAX_ORDER; order++) {
			struct page *page = alloc_pages(GFP_KERNEL, order);
			unsigned long pfn = page_to_pfn(page);

			__free_pages(page, order);
			assert_int_equal(reports, 0);
			__free_pages(page, order);
			assert_report("double free of pfn %lu, order %u", pfn, order);
			free_pages((unsigned long)pfn_to_virt(pfn), order);
			assert_report("double free of pfn %lu, order %u", pfn, order);
			buddy_free_bulk(order, 1, &page);
			assert_report("double free of pfn %lu, order %u", pfn, order);
			/* Off the lists, too. */
			drain_all_pages();
			__free_pages(page, order);
			assert_report("double free of pfn %lu, order %u", pfn, order);
		}
		capture_bugs(false);
		mm_down();
	}
}

/* --- at once: both have looked before either has stamped --- */

struct freed {
	struct page *page;
	unsigned int order;
};

static void *free_elsewhere(void *arg)
{
	const struct freed *f = arg;

	stay_on(cpus[1]);
	__free_pages(f->page, f->order);
	return NULL;
}

/* As if another thread had looked before we freed the block: its stamp is the later. */
static struct page *free_at_once(unsigned int order)
{
	struct freed f = {alloc_pages(GFP_KERNEL, order), order};
	uint64_t before = page_state(f.page);
	pthread_t thread;

	__free_pages(f.page, order);
	atomic_store(&f.page->state, before);
	pthread_create(&thread, NULL, free_elsewhere, &f);
	pthread_join(thread, NULL);
	assert_int_equal(reports, 0);
	return f.page;
}

/* Takes everything there is, in blocks of an order: how often the page was among it. */
static unsigned int times_handed_out(const struct page *page, unsigned int order)
{
	static struct page *got[(64 << 20) / PAGE_SIZE + 1];
	unsigned int times = 0;
	size_t n = 0;

	do {
		/* By hits first, then the reserve. */
		got[n] = alloc_pages(GFP_NOWAIT | __GFP_NOWARN, order);
		if (got[n] == NULL)
			got[n] = alloc_pages(GFP_NOWAIT | __GFP_MEMALLOC | __GFP_NOWARN,
					     order);
		times += got[n] != NULL && got[n] <= page &&
			 page < got[n] + (1u << order);
	} while (got[n++] != NULL);
	n--;
	while (n > 0)
		__free_pages(got[--n], order);
	return times;
}

/* Many CPUs have none for the larger orders: then both frees swap, and one fails. */
static bool has_list(unsigned int order)
{
	struct page *page = alloc_pages(GFP_KERNEL, order);
	struct zone *zone = pfn_zone(page_to_pfn(page));
	bool has = zone->pcp[zone_page_kind(zone, page, order)].limit != 0;

	__free_pages(page, order);
	drain_all_pages();
	return has;
}

static void a_list_each(const char *options, unsigned int order, int how)
{
	struct page *page, *other;
	unsigned long pfn;

	mm_up(options);
	if (!has_list(order)) {
		mm_down();
		return;
	}
	capture_bugs(true);
	page = free_at_once(order);
	pfn = page_to_pfn(page);
	switch (how) {
	case 0: /* ours is the newest here, and not handed out */
		other = alloc_pages(GFP_KERNEL, order);
		assert_ptr_not_equal(other, page);
		__free_pages(other, order);
		break;
	case 1:
		assert_int_equal(
			buddy_alloc_bulk(NUMA_NO_NODE, GFP_KERNEL, order, 1, &other), 1);
		assert_ptr_not_equal(other, page);
		__free_pages(other, order);
		break;
	case 2:
		pcp_flush(pfn_zone(pfn), zone_page_kind(pfn_zone(pfn), page, order));
		break;
	default: drain_all_pages(); break;
	}
	assert_report("double free of pfn %lu, order %u: freed by two at once", pfn,
		      order);
	check();
	assert_int_equal(times_handed_out(page, order), 1);
	assert_int_equal(reports, 0);
	capture_bugs(false);
	mm_down();
}

static void on_two_lists(void **state)
{
	static const unsigned int orders[] = {0, 1, 3, 9};

	(void)state;
	if (nr_cpus < 2 || !os_percpu_lockless())
		skip();
	for (size_t v = 0; v < 3; v++) {
		for (size_t i = 0; i < KMEM_ARRAY_SIZE(orders); i++) {
			for (int how = 0; how < 4; how++)
				a_list_each(variants[v], orders[i], how);
		}
	}
}

/* Handed out from the right list, and freed here once more: two entries on one list, the
 * older of which stays invalid. */
static void an_invalid_entry_stays_so(void **state)
{
	struct page *page, *again;
	void *const *slot;
	uint64_t left = 0;
	struct zone *zone;

	(void)state;
	mm_up(variants[0]);
	capture_bugs(true);
	page = alloc_page(GFP_KERNEL);
	zone = pfn_zone(page_to_pfn(page));
	__free_page(page);
	/* Another list's stamp has replaced ours, and the block has been handed out from
	 * there. */
	atomic_store(&page->state, zone_allocated(zone, 0));
	__free_page(page);
	assert_int_equal(reports, 0);
	again = alloc_page(GFP_KERNEL);
	assert_ptr_equal(again, page);
	again = alloc_page(GFP_KERNEL);
	assert_ptr_not_equal(again, page);
	assert_report("double free of pfn %lu, order 0: freed by two at once",
		      page_to_pfn(page));
	__free_page(again);
	__free_page(page);
	/* Also at the very moment when the right one has been popped, not yet prepared.
	 */
	page = alloc_page(GFP_KERNEL);
	again = alloc_page(GFP_KERNEL);
	assert_true(percpu_push(&zone->pcp[0], page));
	assert_true(
		percpu_push_stamped(&zone->pcp[0], page, zone_allocated(zone, 0), &left));
	assert_ptr_equal(percpu_pop_slot(&zone->pcp[0], &slot), page);
	assert_int_equal(page_state(page), percpu_stamp(slot, zone_allocated(zone, 0)));
	__free_page(alloc_page(GFP_KERNEL));
	assert_report("double free of pfn %lu, order 0: freed by two at once",
		      page_to_pfn(page));
	prep_new_block(zone, page, 0);
	__free_page(page);
	__free_page(again);
	assert_int_equal(reports, 0);
	capture_bugs(false);
	mm_down();
}

/* The later stamp falls upon a page of the lower level: it is handed out from the list,
 * and not from the zone; nor if the list is faster. */
static void stamped_when_it_was_free(void **state)
{
	static const unsigned int orders[] = {0, 3, 9};

	(void)state;
	for (size_t i = 0; i < 2 * KMEM_ARRAY_SIZE(orders); i++) {
		unsigned int order = orders[i / 2];
		struct page *page, *lower, *got = NULL;
		uint64_t before;

		mm_up(variants[0]);
		if (!has_list(order)) {
			mm_down();
			continue;
		}
		capture_bugs(true);
		/* Not the first that the zone gives out again, which comes another way.
		 */
		lower = alloc_pages(GFP_KERNEL, order);
		page = alloc_pages(GFP_KERNEL, order);
		before = page_state(page);
		__free_pages(page, order);
		__free_pages(lower, order);
		drain_all_pages();
		atomic_store(&page->state, before);
		__free_pages(page, order);
		if (i % 2 != 0) {
			got = alloc_pages(GFP_KERNEL, order);
			assert_ptr_equal(got, page);
		}
		assert_int_equal(reports, 0);
		assert_int_equal(times_handed_out(page, order), got == NULL);
		assert_report("double free of pfn %lu, order %u: freed by two at once",
			      page_to_pfn(page), order);
		if (got != NULL)
			__free_pages(got, order);
		assert_int_equal(reports, 0);
		capture_bugs(false);
		mm_down();
	}
}

/* Nor does a request get it that goes past the lists, or has none for its order. */
static void stamped_and_asked_for_past_the_lists(void **state)
{
	static const struct {
		unsigned int order;
		gfp_t gfp;
	} ways[] = {{0, GFP_KERNEL | __GFP_COLD}, {5, GFP_KERNEL}};

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(ways); i++) {
		unsigned int order = ways[i].order;
		struct page *page, *got[64];
		uint64_t before;
		size_t n = 0;

		mm_up(variants[0]);
		capture_bugs(true);
		page = alloc_pages(GFP_KERNEL, order);
		before = page_state(page);
		__free_pages(page, order);
		drain_all_pages();
		/* As the stamp of a list that the order may not have. */
		atomic_store(&page->state, before + PERCPU_STAMP_ADDS);
		while (n < KMEM_ARRAY_SIZE(got) && reports == 0) {
			got[n] = alloc_pages(ways[i].gfp, order);
			assert_ptr_not_equal(got[n], page);
			n++;
		}
		assert_report("double free of pfn %lu, order %u: freed by two at once",
			      page_to_pfn(page), order);
		/* It has been dropped. */
		atomic_store(&page->state, before);
		__free_pages(page, order);
		while (n-- > 0) {
			if (got[n] != NULL)
				__free_pages(got[n], order);
		}
		assert_int_equal(reports, 0);
		capture_bugs(false);
		mm_down();
	}
}

static void ask_for_statistics(const char *text, void *arg)
{
	struct buddy_stats stats;

	(void)text;
	buddy_stats(NUMA_NO_NODE, MAX_NR_ZONES, &stats);
	*(int *)arg += 1;
}

/* The handler of a report that a drain makes may look at the lists. */
static void a_drain_reports_when_lists_go_on(void **state)
{
	struct page *page;
	uint64_t before;
	int told = 0;

	(void)state;
	mm_up(variants[0]);
	page = alloc_pages(GFP_KERNEL, 0);
	before = page_state(page);
	__free_pages(page, 0);
	atomic_store(&page->state, freed_state(0));
	kmem_set_bug_handler(ask_for_statistics, &told);
	drain_all_pages();
	kmem_set_bug_handler(NULL, NULL);
	assert_int_equal(told, 1);
	atomic_store(&page->state, before);
	__free_pages(page, 0);
	mm_down();
}

/* --- an interrupted attempt --- */

static void an_interrupted_free_goes_on(void **state)
{
	struct page *page, *other;
	struct zone *zone;
	uint64_t stamp;

	(void)state;
	mm_up(variants[0]);
	capture_bugs(true);
	page = alloc_page(GFP_KERNEL);
	zone = pfn_zone(page_to_pfn(page));
	/* It has been stamped, but is on no list. */
	stamp = percpu_stamp((void *const *)zone->pcp[0].base, zone_allocated(zone, 0));
	atomic_store(&page->state, stamp);
	free_pages_slow(page, 0, stamp);
	assert_int_equal(reports, 0);
	check();
	assert_ptr_equal(alloc_page(GFP_KERNEL), page);
	/* The stamp is another's, who has pushed the page into that slot: his entry is
	 * the one that is dropped. */
	__free_page(page);
	stamp = page_state(page);
	free_pages_slow(page, 0, stamp);
	assert_int_equal(reports, 0);
	assert_ptr_equal(alloc_page(GFP_KERNEL), page);
	other = alloc_page(GFP_KERNEL);
	assert_ptr_not_equal(other, page);
	assert_report("double free of pfn %lu, order 0: freed by two at once",
		      page_to_pfn(page));
	__free_page(other);
	/* It has gone on without us. */
	__free_page(page);
	stamp = page_state(page);
	drain_all_pages();
	free_pages_slow(page, 0, stamp);
	assert_report("double free of pfn %lu, order 0", page_to_pfn(page));
	capture_bugs(false);
	mm_down();
}

/* --- threads that race --- */

#if KMEM_SANITIZED
enum { ROUNDS = 8, BLOCKS = 256 };
#else
enum { ROUNDS = 40, BLOCKS = 1000 };
#endif

static struct freed contested[BLOCKS];
static _Atomic unsigned int at[2], told;
static _Atomic unsigned char told_of[(64 << 20) / PAGE_SIZE];
static pthread_barrier_t barrier;

static void count_report(const char *report, void *arg)
{
	unsigned long pfn;

	(void)arg;
	if (sscanf(report, "double free of pfn %lu", &pfn) == 1) {
		atomic_fetch_add(&told, 1);
		atomic_fetch_add(&told_of[pfn], 1);
	}
}

/* Both free the same blocks, in step as far as each has a processor. */
static void free_all(unsigned int self)
{
	for (unsigned int i = 0; i < BLOCKS; i++) {
		atomic_store(&at[self], i);
		for (unsigned int spins = 0; spins < 300 && atomic_load(&at[!self]) < i;
		     spins++)
			spin_pause();
		if (i % 4 == 3)
			buddy_free_bulk(contested[i].order, 1, &contested[i].page);
		else
			__free_pages(contested[i].page, contested[i].order);
	}
}

static void *race(void *arg)
{
	(void)arg;
	stay_on(cpus[nr_cpus - 1]);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		pthread_barrier_wait(&barrier);
		free_all(1);
		pthread_barrier_wait(&barrier);
	}
	return NULL;
}

static void of_two_frees_one_is_told(const char *options)
{
	static const unsigned int orders[] = {0, 0, 0, 1, 0, 3, 0, 4};
	pthread_t thread;

	mm_up(options);
	kmem_set_bug_handler(count_report, NULL);
	pthread_barrier_init(&barrier, NULL, 2);
	pthread_create(&thread, NULL, race, NULL);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		atomic_store(&told, 0);
		memset((void *)told_of, 0, sizeof(told_of));
		for (unsigned int i = 0; i < BLOCKS; i++) {
			unsigned int order = orders[i % KMEM_ARRAY_SIZE(orders)];

			contested[i] = (struct freed){alloc_pages(GFP_KERNEL, order),
						      order};
			assert_non_null(contested[i].page);
		}
		assert_int_equal(told, 0);
		atomic_store(&at[0], 0);
		atomic_store(&at[1], 0);
		pthread_barrier_wait(&barrier);
		free_all(0);
		pthread_barrier_wait(&barrier);
		/* The second entries come off the lists. */
		drain_all_pages();
		assert_int_equal(told, BLOCKS);
		for (unsigned int i = 0; i < BLOCKS; i++)
			assert_int_equal(told_of[page_to_pfn(contested[i].page)], 1);
	}
	pthread_join(thread, NULL);
	pthread_barrier_destroy(&barrier);
	kmem_set_bug_handler(NULL, NULL);
	mm_down();
}

static void racing_threads(void **state)
{
	(void)state;
	for (size_t v = 0; v < KMEM_ARRAY_SIZE(variants); v++)
		of_two_frees_one_is_told(variants[v]);
}

/* --- --- */

static int with_sequences(void **state)
{
	(void)state;
	os_cpu_force_mode(true);
	find_cpus();
	return 0;
}

static int without_sequences(void **state)
{
	(void)state;
	os_cpu_force_mode(false);
	find_cpus();
	return 0;
}

#define BOTH_WAYS(test_)                               \
	cmocka_unit_test_setup(test_, with_sequences), \
		cmocka_unit_test_setup(test_, without_sequences)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH_WAYS(twice_in_a_row),
		BOTH_WAYS(on_two_lists),
		BOTH_WAYS(an_invalid_entry_stays_so),
		BOTH_WAYS(stamped_when_it_was_free),
		BOTH_WAYS(stamped_and_asked_for_past_the_lists),
		BOTH_WAYS(a_drain_reports_when_lists_go_on),
		BOTH_WAYS(an_interrupted_free_goes_on),
		BOTH_WAYS(racing_threads),
	};

	if (sched_getaffinity(0, sizeof(all_cpus), &all_cpus) != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
