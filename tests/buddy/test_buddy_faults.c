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

static void *no_mmap(void *addr, size_t size, int prot, int flags, int fd, off_t offset)
{
	(void)addr, (void)size, (void)prot, (void)flags, (void)fd, (void)offset;
	errno = ENOMEM;
	return MAP_FAILED;
}

static int no_fallocate(int fd, int mode, off_t offset, off_t size)
{
	static int calls;

	/* The third one succeeds. */
	if (++calls == 3)
		return os_hooks_system.fallocate(fd, mode, offset, size);
	errno = EINTR;
	return -1;
}

static void assert_zero(const struct page *page, unsigned int order)
{
	unsigned long pfn = page_to_pfn(page), nr = 1UL << order;
	const char *bytes = phys_map_frames(pfn, nr);

	for (size_t i = 0; i < nr << PAGE_SHIFT; i++)
		assert_int_equal(bytes[i], 0);
	phys_unmap_frames((void *)bytes, pfn, nr);
}

/* A HIGHMEM page that cannot be mapped is zeroed all the same; one that cannot be zeroed
 * is not handed out, and not lost. */
static void test_zeroing_highmem(void **state)
{
	static const struct os_hooks no_maps = {.mmap = no_mmap};
	static const struct os_hooks neither = {.mmap = no_mmap,
						.fallocate = no_fallocate};
	struct page *page, *pages[5];
	void *window;

	(void)state;
	mm_up("memory=32M,dma=0,highmem=8M,topology=numa:1 pu:1");
	page = alloc_pages(GFP_HIGHUSER, 2);
	window = phys_map_frames(page_to_pfn(page), 4);
	memset(window, 1, 4 << PAGE_SHIFT);
	phys_unmap_frames(window, page_to_pfn(page), 4);
	__free_pages(page, 2);
	kmem_error(0, "nothing");
	os_set_hooks(&no_maps);
	assert_ptr_equal(alloc_pages(GFP_HIGHUSER | __GFP_ZERO, 2), page);
	os_set_hooks(NULL);
	assert_string_equal(kmem_last_error(), "nothing");
	assert_zero(page, 2);
	__free_pages(page, 2);

	os_set_hooks(&neither);
	assert_null(alloc_pages(GFP_HIGHUSER | __GFP_ZERO, 2));
	assert_non_null(strstr(kmem_last_error(), "vm.max_map_count"));
	check();
	assert_int_equal(alloc_pages_bulk(GFP_HIGHUSER | __GFP_ZERO, 5, pages), 0);
	assert_int_equal(alloc_pages_bulk(GFP_HIGHUSER | __GFP_ZERO, 5, pages), 1);
	os_set_hooks(NULL);
	free_pages_bulk(1, pages);
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
