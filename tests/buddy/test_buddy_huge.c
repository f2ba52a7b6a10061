/* SPDX-License-Identifier: MIT */
/* Huge pages behind the frames: made once, before the first use, and again after their
 * memory went back; what the system refuses is done without. */
#include "tests/buddy/buddy_test.h"
#include "tests/os/os_faults.h"

#include <fcntl.h>
#include <sched.h>

#define HUGE_BYTES ((size_t)2 << 20)
#define MEMORY	   "memory=64M,dma=0,highmem=0,topology=flat,hugepages=always,"

static struct phys_hugepage_stats huge_stats(void)
{
	struct phys_hugepage_stats stats;

	phys_hugepage_stats(&stats);
	return stats;
}

/* False where this kernel, or what surrounds the process, gives none. */
static bool collapsing(void)
{
	struct page *page = alloc_page(GFP_KERNEL);

	__free_page(page);
	return huge_stats().collapsed != 0;
}

static void run(const char *options)
{
	struct page *pages[512], *one;
	char *block;

	mm_up(options);
	one = alloc_page(GFP_KERNEL);
	if (huge_stats().collapsed == 0) {
		__free_page(one);
		mm_down();
		skip();
	}
	assert_int_equal(huge_stats().support, PHYS_HUGEPAGES_COLLAPSED);
	assert_int_equal(huge_stats().collapsed, 1);
	assert_int_equal(phys_hugepage_bytes(), HUGE_BYTES);
	/* The neighbours are there already. */
	assert_int_equal(alloc_pages_bulk(GFP_KERNEL, 256, pages), 256);
	assert_int_equal(huge_stats().collapsed, 1);
	block = (char *)__get_free_pages(GFP_KERNEL, 10);
	assert_int_equal(huge_stats().collapsed, 3);
	memset(block, 7, 2 * HUGE_BYTES);
	assert_int_equal(phys_hugepage_bytes(), 3 * HUGE_BYTES);
	/* Used again as it is; given back, it has to be made again. */
	free_pages((unsigned long)block, 10);
	block = (char *)__get_free_pages(GFP_KERNEL, 10);
	assert_int_equal(huge_stats().collapsed, 3);
	free_pages((unsigned long)block, 10);
	free_pages_bulk(256, pages);
	__free_page(one);
	assert_true(buddy_trim() >= 1024);
	assert_int_equal(phys_hugepage_bytes(), 0);
	block = (char *)__get_free_pages(GFP_KERNEL, 10);
	assert_true(huge_stats().collapsed >= 5);
	assert_int_equal(block[HUGE_BYTES], 0);
	assert_int_equal(huge_stats().refused, 0);
	free_pages((unsigned long)block, 10);
	mm_down();
	assert_int_equal(huge_stats().collapsed, 0);
}

static void test_lists(void **state)
{
	(void)state;
	run(MEMORY "lower=lists");
}

static void test_rows(void **state)
{
	(void)state;
	run(MEMORY "lower=rows");
}

/* Frames without an address in the direct map: through a mapping for the purpose. */
static void test_highmem(void **state)
{
	struct page *page;
	char *a;

	(void)state;
	mm_up("memory=64M,dma=0,highmem=32M,topology=flat,hugepages=always,pcp=off");
	if (!collapsing()) {
		mm_down();
		skip();
	}
	page = alloc_pages(GFP_HIGHUSER, 9);
	assert_int_equal(page_zonenum(page), ZONE_HIGHMEM);
	assert_int_equal(huge_stats().collapsed, 2);
	a = phys_map_frames(page_to_pfn(page) + 3, 1);
	strcpy(a, "a frame of a huge page");
	phys_unmap_frames(a, page_to_pfn(page) + 3, 1);
	a = phys_map_frames(page_to_pfn(page), 512);
	assert_string_equal(a + 3 * PAGE_SIZE, "a frame of a huge page");
	phys_unmap_frames(a, page_to_pfn(page), 512);
	__free_pages(page, 9);
	mm_down();
}

/* Not asked for: nothing is made. */
static void test_not_by_default(void **state)
{
	(void)state;
	mm_up("memory=64M,dma=0,highmem=0,topology=flat");
	__free_pages(alloc_pages(GFP_KERNEL, 10), 10);
	assert_int_equal(huge_stats().collapsed, 0);
	assert_int_equal(phys_hugepage_bytes(), 0);
	mm_down();
}

/* --- a system that cannot --- */

static int collapse_error;

static int no_collapse(void *addr, size_t size, int advice)
{
	if (advice != 25) /* MADV_COLLAPSE */
		return madvise(addr, size, advice);
	errno = collapse_error;
	return -1;
}

static const char *mode;

static ssize_t read_mode(int fd, void *buf, size_t size)
{
	(void)fd, (void)size;
	memcpy(buf, mode, strlen(mode));
	return (ssize_t)strlen(mode);
}

static void test_refusals(void **state)
{
	static const struct os_hooks hooks = {.madvise = no_collapse};
	struct page *a, *b;

	(void)state;
	os_set_hooks(&hooks);
	/* An old kernel is asked once, one without a free huge page again and again. */
	collapse_error = EINVAL;
	mm_up(MEMORY "lower=lists,pcp=off");
	assert_int_equal(huge_stats().collapsed, 0);
	if (huge_stats().support != PHYS_HUGEPAGES_COLLAPSED) {
		os_set_hooks(NULL);
		mm_down();
		skip();
	}
	a = alloc_pages(GFP_KERNEL, 9);
	b = alloc_pages(GFP_KERNEL, 9);
	assert_int_equal(huge_stats().refused, 1);
	assert_int_equal(huge_stats().support, PHYS_HUGEPAGES_NONE);
	memset(page_address(a), 1, HUGE_BYTES);
	__free_pages(a, 9);
	__free_pages(b, 9);
	mm_down();
	collapse_error = ENOMEM;
	mm_up(MEMORY "lower=lists,pcp=off");
	a = alloc_pages(GFP_KERNEL, 9);
	b = alloc_pages(GFP_KERNEL, 9);
	assert_int_equal(huge_stats().refused, 2);
	assert_int_equal(huge_stats().support, PHYS_HUGEPAGES_COLLAPSED);
	__free_pages(a, 9);
	__free_pages(b, 9);
	mm_down();
	os_set_hooks(NULL);
}

/* Where advice counts, the first touch does it, and nothing is made beforehand. */
static void test_modes(void **state)
{
	static const struct {
		const char *text;
		enum phys_hugepage_support support;
	} modes[] = {
		{"always within_size [advise] never deny force\n",
		 PHYS_HUGEPAGES_ADVISED},
		{"[always] within_size advise never deny force\n",
		 PHYS_HUGEPAGES_ADVISED},
		{"always [madvise] never\n", PHYS_HUGEPAGES_ADVISED},
		{"always madvise [never]\n", PHYS_HUGEPAGES_COLLAPSED},
		{"always within_size advise never [deny] force\n",
		 PHYS_HUGEPAGES_COLLAPSED},
	};
	static const struct os_hooks hooks = {.read = read_mode};

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(modes); i++) {
		mode = modes[i].text;
		os_set_hooks(&hooks);
		mm_up(MEMORY "backing=private");
		assert_int_equal(huge_stats().support, modes[i].support);
		assert_int_equal(atomic_load(&phys_collapses),
				 modes[i].support == PHYS_HUGEPAGES_COLLAPSED);
		os_set_hooks(NULL);
		mm_down();
	}
}

/* Another CPU would open a huge page of its own. */
static int stay_here(void **state)
{
	int cpu = sched_getcpu();
	cpu_set_t set;

	(void)state;
	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lists),	 cmocka_unit_test(test_rows),
		cmocka_unit_test(test_highmem),	 cmocka_unit_test(test_not_by_default),
		cmocka_unit_test(test_refusals), cmocka_unit_test(test_modes),
	};

	return cmocka_run_group_tests(tests, stay_here, NULL);
}
