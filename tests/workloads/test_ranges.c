/* SPDX-License-Identifier: MIT */
/* The page workloads and those of virtual ranges. */
#include "tests/workloads/model.h"

#include <errno.h>
#include <stdio.h>

#include <kmem/mm_types.h>

#include "workloads/harness/arena.h"
#include "workloads/harness/vm_areas.h"

static void page_repeat_is_a_hot_pair(void **state)
{
	(void)state;
	for (unsigned int threads = 1; threads <= 4; threads *= 2) {
		struct driver d;
		uint64_t ops;

		driver_init(&d, "page-repeat", NULL, 16384, threads);
		d.model->natural = true;
		d.run.check = true;
		driver_setup(&d);
		ops = driver_pass(&d, 1);
		assert_int_equal(ops, threads * 4096);
		assert_int_equal(d.model->allocs, ops);
		assert_true(d.model->live_bytes_max <= threads * 16384);
		driver_finish(&d);
	}
}

/* All are live before the first is freed; then the order is the one asked for. */
static void check_bulk(const char *order, unsigned int threads)
{
	enum { BLOCKS = 256 };
	char params[64];
	struct driver d;
	uint64_t ops, ascents = 0;

	snprintf(params, sizeof(params), "bulk_bytes=2M,order=%s", order);
	driver_init(&d, "page-bulk", params, 8192, threads);
	d.model->natural = true;
	driver_setup(&d);
	ops = driver_pass(&d, 2);
	assert_int_equal(ops, 2 * BLOCKS);
	assert_int_equal(d.model->allocs, ops);
	if (threads == 1) {
		assert_int_equal(d.model->live_bytes_max, 2 << 20);
		for (int i = 0; i < BLOCKS; i++) {
			assert_int_equal(d.model->log[i].what, 'a');
			assert_int_equal(d.model->log[BLOCKS + i].what, 'f');
			ascents += i > 0 && d.model->log[BLOCKS + i].serial >
						    d.model->log[BLOCKS + i - 1].serial;
		}
		if (strcmp(order, "fifo") == 0)
			assert_int_equal(ascents, BLOCKS - 1);
		else
			assert_in_range(ascents, BLOCKS * 2 / 5, BLOCKS * 3 / 5);
	}
	driver_finish(&d);
}

static void page_bulk_frees_in_the_named_order(void **state)
{
	(void)state;
	for (unsigned int threads = 1; threads <= 4; threads *= 2) {
		check_bulk("fifo", threads);
		check_bulk("random", threads);
	}
}

/* As many live before as after, and nothing left in the end. */
static void check_replaced(const char *workload, const char *params, uint64_t live)
{
	for (unsigned int threads = 1; threads <= 2; threads++) {
		uint64_t arenas = arena_bytes();
		struct driver d;

		driver_init(&d, workload, params, 8192, threads);
		d.model->natural = true;
		d.run.check = true;
		driver_setup(&d);
		assert_true(driver_pass(&d, 3) > 0);
		assert_true(d.model->live_bytes_max >= live);
		driver_finish(&d);
		assert_int_equal(arena_bytes(), arenas);
	}
}

static void page_random_replaces_bursts(void **state)
{
	(void)state;
	/* 256 blocks; a burst is at most a thread's share. */
	check_replaced("page-random", "bulk_bytes=2M,burst=64", 2 << 20);
	check_replaced("page-random", "bulk_bytes=2M,burst=100000", 2 << 20);
}

static void page_frag_ages(void **state)
{
	(void)state;
	/* Each thread frees half of what it has filled, perhaps before the other fills.
	 */
	check_replaced("page-frag", "fill_bytes=2M,rounds=7", 1 << 20);
}

/* The model gives whatever is asked for: all of the file, each page once. */
static void reclaim_caches_all(void **state)
{
	(void)state;
	check_replaced("reclaim", "file_bytes=2M", 2 << 20);
}

static char pages[128 << 10] __attribute__((aligned(128 << 10)));

static void *alloc_off_by_a_page(struct allocator *a, size_t size, size_t align,
				 gfp_t gfp, int node)
{
	(void)a;
	(void)size;
	(void)align;
	(void)gfp;
	(void)node;
	return pages + 4096;
}

/* A page allocator whose blocks are not aligned to their size is found out. */
static void page_alignment_is_checked(void **state)
{
	static const char *const workloads[] = {"page-repeat", "page-bulk"};

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(workloads); i++) {
		static struct driver d;

		driver_init(&d, workloads[i], NULL, 65536, 1);
		d.model->ops.alloc = alloc_off_by_a_page;
		d.run.check = true;
		driver_setup(&d);
		CATCH_FAIL(driver_pass(&d, 1));
		assert_contains(fail_reason, "which is not a multiple of its size");
		assert_contains(fail_reason, "'model'");
		model_thread = 0;
		model_delete(d.model);
	}
}

static void page_sizes_are_powers_of_two(void **state)
{
	static const struct {
		const char *workload, *params;
		uint64_t size;
		const char *text;
	} cases[] = {
		{"page-repeat", NULL, 2048, "takes no size below 4096 bytes, and 2048"},
		{"page-repeat", NULL, 12288, "2^order pages, and 12288 bytes is none"},
		{"page-repeat", NULL, 8 << 20, "takes no size above 4194304 bytes"},
		{"page-repeat", NULL, 0, "needs a size, such as 4K"},
		{"page-bulk", NULL, 12288, "2^order pages, and 12288 bytes is none"},
		{"page-bulk", "bulk_bytes=4K", 8192,
		 "has no block of 8192 bytes for each of 2"},
		{"page-bulk", "bulk_bytes=16384G", 4096, NULL},
		{"page-random", "bulk_bytes=4K", 4096, "give 2 to 2^32 blocks"},
		{"reclaim", "file_bytes=1M", 1 << 20, "give 16 to 2^31 pages"},
		{"page-frag", "fill_bytes=64K", 4096, "give 20 to 2^32 blocks"},
		{"vm-fix", NULL, 5000, "takes whole pages, and 5000 bytes is none"},
		{"vm-fix", NULL, 100, "takes no size below 4096"},
		{"vm-random", "pages_min=9,pages_max=8", 0,
		 "pages_min=9 above pages_max=8"},
		{"vm-random", "pages_min=9,pages_max=9", 0, NULL},
		{"vm-align", "align_max_bytes=12K", 0, "12288, which is no power of two"},
		{"vm-align", "align_max_bytes=4K", 0, NULL},
		{"vm-busy", NULL, 0, NULL},
	};

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(cases); i++) {
		struct driver d;
		int err;

		driver_init(&d, cases[i].workload, cases[i].params, cases[i].size, 2);
		err = workload_validate(&d.run, &d.model->ops);
		assert_int_equal(err, cases[i].text != NULL ? -EINVAL : 0);
		if (cases[i].text != NULL)
			assert_contains(kmem_last_error(), cases[i].text);
		model_delete(d.model);
	}
}

static void vm_fix_touches_every_page(void **state)
{
	struct driver d;
	uint64_t ops;

	(void)state;
	driver_init(&d, "vm-fix", NULL, 16384, 2);
	assert_int_equal(d.run.touch, TOUCH_PAGES);
	driver_setup(&d);
	ops = driver_pass(&d, 2);
	assert_int_equal(ops, 2 * 2 * 128);
	assert_int_equal(d.model->allocs, ops);
	for (size_t i = 0; i < d.model->logged; i++)
		assert_int_equal(d.model->log[i].size, 16384);
	driver_finish(&d);
}

/* Uniform between the bounds, both reached; freed with the size asked for. */
static void vm_random_draws_pages(void **state)
{
	uint64_t seen[8] = {0}, ops;
	struct driver d;

	(void)state;
	driver_init(&d, "vm-random", "pages_min=3,pages_max=7", 0, 2);
	d.run.check = true;
	assert_int_equal(d.run.touch, TOUCH_PAGES);
	assert_int_equal(workload_size_max(&d.run), 7 * PAGE_SIZE);
	driver_setup(&d);
	ops = driver_pass(&d, 100);
	assert_int_equal(ops, 2 * 100 * 8);
	/* Those before the clock starts are drawn alike. */
	assert_int_equal(d.model->allocs, ops + 2 * VM_WARM_REQUESTS);
	ops = d.model->allocs;
	for (size_t i = 0; i < d.model->logged; i++) {
		assert_int_equal(d.model->log[i].size % PAGE_SIZE, 0);
		assert_in_range(d.model->log[i].size, 3 * PAGE_SIZE, 7 * PAGE_SIZE);
		seen[d.model->log[i].size / PAGE_SIZE]++;
	}
	for (int n = 3; n <= 7; n++)
		assert_in_range(seen[n], 2 * ops / 10, 2 * ops / 3);
	driver_finish(&d);
	driver_same_seed("vm-random", NULL, 5, true);
}

static void vm_align_asks_for_every_power(void **state)
{
	uint64_t seen = 0, ops;
	struct driver d;

	(void)state;
	driver_init(&d, "vm-align", "align_max_bytes=64K,pages_max=3", 0, 2);
	d.run.check = true;
	assert_int_equal(workload_size_max(&d.run), 64 << 10);
	driver_setup(&d);
	ops = driver_pass(&d, 20);
	assert_int_equal(ops, 2 * 20 * 32);
	for (size_t i = 0; i < d.model->logged; i++) {
		const struct model_event *e = &d.model->log[i];

		if (e->what != 'a')
			continue;
		assert_in_range(e->size, PAGE_SIZE, 3 * PAGE_SIZE);
		assert_int_equal(e->size % PAGE_SIZE + (e->align & (e->align - 1)), 0);
		seen |= e->align;
	}
	assert_int_equal(seen, 0x1f000); /* 4 to 64 KiB, and nothing else */
	driver_finish(&d);
	driver_same_seed("vm-align", NULL, 5, true);
}

/* An allocator that forgets the alignment is found out. */
static void vm_align_checks(void **state)
{
	static struct driver d;

	(void)state;
	driver_init(&d, "vm-align", "align_max_bytes=64K,pages_max=1", 0, 1);
	d.model->ops.alloc = alloc_off_by_a_page;
	driver_setup(&d);
	CATCH_FAIL(driver_pass(&d, 1));
	assert_contains(fail_reason, "'model'");
	assert_contains(fail_reason, "not aligned to");
	model_thread = 0;
	model_delete(d.model);
}

/* A large and a small range at a time, beside those that stay. */
static void vm_busy_keeps_areas(void **state)
{
	(void)state;
	for (unsigned int threads = 1; threads <= 3; threads += 2) {
		uint64_t arenas = arena_bytes(), ops;
		struct driver d;

		driver_init(&d, "vm-busy", "busy_areas=100,large_pages=5", 0, threads);
		d.run.check = true;
		assert_int_equal(workload_size_max(&d.run), 5 * PAGE_SIZE);
		assert_int_equal(d.run.workload->footprint(&d.run),
				 (100 + threads * 6) * PAGE_SIZE);
		driver_setup(&d);
		ops = driver_pass(&d, 10);
		assert_int_equal(ops, threads * 10 * 4);
		assert_int_equal(d.model->allocs, 100 + 2 * ops);
		assert_in_range(d.model->live_bytes_max, 106 * PAGE_SIZE / threads,
				(100 + threads * 6) * PAGE_SIZE);
		for (size_t i = 100; threads == 1 && i < 100 + 4 * ops; i++) {
			assert_int_equal(d.model->log[i].what, "aaff"[i % 4]);
			assert_int_equal(d.model->log[i].size,
					 (i % 2 == 0 ? 5 : 1) * PAGE_SIZE);
		}
		driver_finish(&d);
		assert_int_equal(arena_bytes(), arenas);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(page_repeat_is_a_hot_pair),
		cmocka_unit_test(page_bulk_frees_in_the_named_order),
		cmocka_unit_test(page_random_replaces_bursts),
		cmocka_unit_test(page_frag_ages),
		cmocka_unit_test(reclaim_caches_all),
		cmocka_unit_test(page_alignment_is_checked),
		cmocka_unit_test(page_sizes_are_powers_of_two),
		cmocka_unit_test(vm_fix_touches_every_page),
		cmocka_unit_test(vm_random_draws_pages),
		cmocka_unit_test(vm_align_asks_for_every_power),
		cmocka_unit_test(vm_align_checks),
		cmocka_unit_test(vm_busy_keeps_areas),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
