/* SPDX-License-Identifier: MIT */
/* Every system call of set-up and of work made to fail once. */
#include "tests/buddy/buddy_test.h"
#include "tests/os/os_faults.h"

/*
 * Set-up with each call failing in turn: an error text, or success where the call
 * was a hint; nothing stays mapped but the per-CPU areas, which belong to the
 * process and are used again.
 */
static void test_setup(void **state)
{
	static const char *const setups[] = {
		"memory=64M,highmem=16M,topology=numa:2 pu:1",
		"memory=64M,highmem=0,backing=private,hugepages=always",
	};

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(setups); i++) {
		bool all_done = false;

		mm_up(setups[i]); /* brings the per-CPU areas into being */
		mm_drop();
		for (long n = 1; !all_done; n++) {
			int err;

			configure(setups[i]);
			os_faults.mapped_bytes = 0;
			os_faults_arm(n, ENOMEM);
			err = phys_init(&test_config.phys);
			if (err == 0) {
				err = buddy_init(&test_config.buddy);
				if (err == 0)
					check();
				buddy_exit();
			}
			assert_true(err == 0 || strlen(kmem_last_error()) > 10);
			all_done = os_faults.failed == 0;
			phys_exit();
			os_faults_disarm();
			assert_int_equal(os_faults.mapped_bytes, 0);
			kmem_options_release(test_groups, &test_config);
			assert_true(n < 100);
		}
	}
}

/* A HIGHMEM page that cannot be zeroed is not handed out, and not lost. */
static void test_zeroing_highmem(void **state)
{
	struct page *page, *pages[5];

	(void)state;
	mm_up("memory=32M,dma=0,highmem=8M,topology=numa:1 pu:1");
	os_faults_arm(1, ENOMEM);
	page = alloc_pages(GFP_HIGHUSER | __GFP_ZERO, 2);
	os_faults_disarm();
	assert_null(page);
	assert_non_null(strstr(kmem_last_error(), "vm.max_map_count"));
	check();
	os_faults_arm(3, ENOMEM);
	assert_int_equal(alloc_pages_bulk(GFP_HIGHUSER | __GFP_ZERO, 5, pages), 2);
	os_faults_disarm();
	free_pages_bulk(2, pages);
	mm_down();
}

static void test_trim_counts_what_was_given_back(void **state)
{
	(void)state;
	mm_up("memory=16M,dma=0,highmem=0,topology=numa:1 pu:1,pcp=off,lower=lists");
	__free_page(alloc_page(GFP_KERNEL)); /* makes the first block a known one */
	os_faults_arm(1, EINVAL);
	assert_int_equal(buddy_trim(), 0);
	os_faults_disarm();
	assert_int_equal(buddy_trim(), 1024);
	mm_down();

	/* Rows know what has been touched: one group, and once it is gone, none. */
	mm_up("memory=16M,dma=0,highmem=0,topology=numa:1 pu:1,pcp=off,lower=rows");
	__free_page(alloc_page(GFP_KERNEL));
	os_faults_arm(1, EINVAL);
	assert_int_equal(buddy_trim(), 0);
	os_faults_disarm();
	assert_int_equal(buddy_trim(), 512);
	assert_int_equal(buddy_trim(), 0);
	mm_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_setup),
		cmocka_unit_test(test_zeroing_highmem),
		cmocka_unit_test(test_trim_counts_what_was_given_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
