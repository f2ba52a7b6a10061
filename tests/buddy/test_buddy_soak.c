/* SPDX-License-Identifier: MIT */
/*
 * Soak: threads that allocate on one CPU and free on another, more of them than there are
 * CPUs and moved about all the time, so that sequences are restarted in the middle; every
 * page is stamped with its owner. And the same where one thread works all the time and
 * the others now and then, so that its CPU is alone, and not, and alone again.
 */
#include "allocators/buddy/rows_internal.h"
#include "tests/buddy/buddy_test.h"
#include "tests/os/percpu_report.h"
#include "tests/os/soak.h"

enum { TABLE = 4096 };

static _Atomic(struct page *) table[TABLE];
static _Atomic unsigned long wrong;
static uint32_t *stamps; /* by pfn: who holds it, 0: nobody */

static void take(struct page *page, unsigned int order, uint32_t owner)
{
	_Atomic uint32_t *stamp = (_Atomic uint32_t *)&stamps[page_to_pfn(page)];

	for (unsigned long i = 0; i < 1UL << order; i++) {
		if (atomic_exchange_explicit(&stamp[i], owner, memory_order_relaxed) != 0)
			atomic_fetch_add(&wrong, 1);
	}
}

static void give(struct page *page, unsigned int order)
{
	_Atomic uint32_t *stamp = (_Atomic uint32_t *)&stamps[page_to_pfn(page)];

	for (unsigned long i = 0; i < 1UL << order; i++) {
		if (atomic_exchange_explicit(&stamp[i], 0, memory_order_relaxed) == 0)
			atomic_fetch_add(&wrong, 1);
	}
	__free_pages(page, order);
}

/* --- one that works all the time: its threads' rests, and what it sees of the gate ---
 */

enum { BURST = 64, SAMPLE_EVERY = 256 };
static bool one_works;
static _Atomic bool one_is_done;
static _Atomic unsigned long ops_of_others;
static unsigned long seen_alone, seen_shared;

/* False: there is nothing more to do. */
static bool goes_on(uint64_t self, unsigned long i, unsigned long ops)
{
	if (!one_works || self == 1) {
		if (one_works && i % SAMPLE_EVERY == 0)
			*(rows_gate_alone() ? &seen_alone : &seen_shared) += 1;
		return i < ops;
	}
	if (i % BURST == 0) {
		atomic_fetch_add(&ops_of_others, i == 0 ? 0 : BURST);
		usleep((useconds_t)(200 * self));
	}
	return !atomic_load(&one_is_done);
}

static void work(uint64_t self, unsigned long ops)
{
	uint64_t random = self * 0x9e3779b97f4a7c15u;

	for (unsigned long i = 0; goes_on(self, i, ops); i++) {
		unsigned int dice, order;
		struct page *page, *old;

		random = random * 6364136223846793005u + 1442695040888963407u;
		dice = (unsigned int)(random >> 33);
		order = dice % 64 == 0	? dice / 64 % 10
			: dice % 4 == 0 ? dice / 4 % 4
					: 0;
		page = alloc_pages(GFP_NOWAIT, order);
		if (page != NULL)
			take(page, order, (uint32_t)self);
		if (dice % 8 < 5) { /* by the same thread, at once */
			if (page != NULL)
				give(page, order);
			continue;
		}
		old = atomic_exchange_explicit(&table[dice / 8 % TABLE], page,
					       memory_order_acq_rel);
		if (old != NULL)
			give(old, (unsigned int)page_block_order(old));
	}
	if (self == 1)
		atomic_store(&one_is_done, true);
}

static void disturb(unsigned int round)
{
	if (round % 64 == 0)
		drain_all_pages();
}

/* Returns how many sequences were restarted. */
static unsigned long run(const char *options, unsigned long ops)
{
	struct soak soak = {
		.work = work,
		.disturb = disturb,
		.ops_each = one_works ? ops : ops / SOAK_THREADS,
	};
	unsigned long aborts;

	mm_up(options);
	capture_bugs(true);
	stamps = calloc(kmem_nr_frames, sizeof(*stamps));
	atomic_store(&one_is_done, false);
	aborts = soak_run(&soak);
	for (int i = 0; i < TABLE; i++) {
		struct page *page = atomic_exchange(&table[i], NULL);

		if (page != NULL)
			give(page, (unsigned int)page_block_order(page));
	}
	assert_int_equal(atomic_load(&wrong), 0);
	assert_int_equal(reports, 0);
	for (unsigned long pfn = 0; pfn < kmem_nr_frames; pfn++)
		assert_int_equal(stamps[pfn], 0);
	capture_bugs(false);
	free(stamps);
	mm_down();
	print_message("%lu operations, %lu sequences restarted\n", ops, aborts);
	return aborts;
}

static void test_rows(void **state)
{
	unsigned long aborts = 0;

	(void)state;
	/* Without restarts nothing has been shown; a busy machine may bring few. */
	for (int round = 0; round < 20 && aborts == 0; round++) {
		aborts =
			run("memory=256M,dma=0,highmem=0,topology=numa:1 pu:1,lower=rows",
			    soak_ops());
		if (!os_percpu_lockless())
			return;
	}
	assert_true(aborts > 0);
}

static void test_lists(void **state)
{
	(void)state;
	run("memory=256M,dma=0,highmem=0,topology=numa:1 pu:1,lower=lists",
	    soak_ops() / 8);
}

static void soak_gate(bool use_rseq)
{
	os_cpu_force_mode(use_rseq);
	one_works = true;
	seen_alone = seen_shared = 0;
	atomic_store(&ops_of_others, 0);
	/* The mode changes as often as it can. */
	rows_gate_patience_max = 1;
	run("memory=256M,dma=0,highmem=0,topology=numa:1 pu:1,lower=rows,pcp=off",
	    soak_ops() / 8);
	print_message("others did %lu; alone at %lu of %lu looks\n", ops_of_others,
		      seen_alone, seen_alone + seen_shared);
	one_works = false;
	os_cpu_force_mode(true);
	assert_int_not_equal(seen_alone, 0);
}

static void test_gate(void **state)
{
	(void)state;
	soak_gate(true);
	soak_gate(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_gate),
		cmocka_unit_test(test_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
