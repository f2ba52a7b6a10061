/* SPDX-License-Identifier: MIT */
/*
 * Memory that ends: at every single page in turn, and at the first mapping.
 * Whatever fails, the caller gets NULL, nothing is lost, nothing is damaged.
 */
#include "slab_test.h"
#include "allocators/os/os_mem.h"
#include <errno.h>
#include <sys/mman.h>

static void *no_mmap(void *addr, size_t size, int prot, int flags, int fd, off_t offset)
{
	(void)addr, (void)size, (void)prot, (void)flags, (void)fd, (void)offset;
	errno = ENOMEM;
	return MAP_FAILED;
}

/* First in this program: later the per-CPU areas are there for good. */
static void test_no_percpu_area(void **state)
{
	static const struct os_hooks hooks = {.mmap = no_mmap};
	uint64_t free_pages;

	(void)state;
	slab_test_parse("pcp=off,lower=lists"); /* rows count per CPU, too */
	assert_int_equal(phys_init(&slab_test.phys), 0);
	assert_int_equal(kmem_cache_init(&slab_test.slab), -EINVAL);
	assert_string_equal(kmem_last_error(), "there are no pages to take, call "
					       "phys_init and buddy_init first");
	assert_int_equal(buddy_init(&slab_test.buddy), 0);
	free_pages = slab_test_free_pages();
	os_set_hooks(&hooks);
	assert_int_equal(kmem_cache_init(&slab_test.slab), -ENOMEM);
	assert_string_equal(kmem_last_error(),
			    "no memory for a byte for each of 65536 page frames, lower "
			    "option 'memory' or raise 'ulimit -v'");
	os_set_hooks(NULL);
	assert_int_equal(slab_test_free_pages(), free_pages);
	/* It can be tried again. */
	assert_int_equal(kmem_cache_init(&slab_test.slab), 0);
	kfree(kmalloc(100, GFP_KERNEL));
	kmem_cache_exit();
	assert_int_equal(slab_test_free_pages(), free_pages);
	buddy_exit();
	phys_exit();
}

/* Takes every page there is, then gives `leave` single pages back. */
static struct page **take_all_but(size_t leave, size_t *count)
{
	struct page **pages = calloc(1 << 16, sizeof(*pages));
	size_t n = 0;

	drain_all_pages();
	while (n < 1 << 16 &&
	       (pages[n] = alloc_pages(GFP_KERNEL | __GFP_MEMALLOC | __GFP_NOWARN, 0)))
		n++;
	while (leave-- > 0 && n > 0)
		__free_pages(pages[--n], 0);
	*count = n;
	return pages;
}

static void give_back(struct page **pages, size_t count)
{
	while (count > 0)
		__free_pages(pages[--count], 0);
	free(pages);
}

#define TRIES 400

/* Objects of several kinds until each kind has failed; then all go back. */
static size_t exhaust(void)
{
	static const size_t sizes[] = {32, 300, 512, 1024, 5000, 70000, 200000};
	gfp_t gfp = GFP_ATOMIC | __GFP_MEMALLOC | __GFP_NOWARN;
	struct kmem_cache *cache;
	void *objects[TRIES], *bulk[700];
	size_t n = 0, got;

	for (size_t i = 0; i < TRIES; i++) {
		objects[n] = kmalloc(sizes[i % KMEM_ARRAY_SIZE(sizes)], gfp);
		n += objects[n] != NULL;
	}
	cache = kmem_cache_create("late", 256, 0, 0, NULL, NULL);
	if (cache) {
		got = kmem_cache_alloc_bulk(cache, gfp, 700, bulk);
		kmem_cache_free_bulk(cache, got, bulk);
		assert_int_equal(kmem_cache_destroy(cache), 0);
	}
	assert_int_equal(slab_check(), 0);
	for (size_t i = 0; i < n; i++)
		kfree(objects[i]);
	return n;
}

static void run_every_page(const char *options)
{
	size_t served = 0;

	for (size_t leave = 0; leave < 60; leave++) {
		struct page **pages;
		size_t count, n;

		slab_test_start(options);
		pages = take_all_but(leave, &count);
		n = exhaust();
		assert_true(n < TRIES);
		served += n;
		give_back(pages, count);
		assert_no_report();
		slab_test_stop();
	}
	assert_true(served > 100);
}

static void test_every_page(void **state)
{
	(void)state;
	run_every_page("memory=24M,dma=0");
}

/* Depots without a page of pointers to be had. */
static void test_every_page_small_arrays(void **state)
{
	(void)state;
	run_every_page("memory=24M,dma=0,limit=4");
	run_every_page("memory=24M,dma=0,limit=4,depot=shared");
}

static void test_every_page_percpu_off(void **state)
{
	(void)state;
	run_every_page("memory=24M,dma=0,percpu=off");
}

static void test_every_page_two_nodes(void **state)
{
	(void)state;
	run_every_page("memory=24M,dma=0,topology=numa:2 core:1 pu:1");
}

/* kmem_cache_init() itself without a page. */
static void test_init_without_pages(void **state)
{
	bool succeeded = false;

	(void)state;
	for (size_t leave = 0; !succeeded; leave++) {
		struct page **pages;
		size_t count;
		int err;

		slab_test_parse("memory=24M,dma=0");
		assert_int_equal(phys_init(&slab_test.phys), 0);
		assert_int_equal(buddy_init(&slab_test.buddy), 0);
		slab_test.free_pages = slab_test_free_pages();
		pages = take_all_but(leave, &count);
		err = kmem_cache_init(&slab_test.slab);
		if (err == 0) {
			kmem_cache_exit();
			succeeded = true;
		} else {
			assert_int_equal(err, -ENOMEM);
		}
		give_back(pages, count);
		assert_int_equal(slab_test_free_pages(), slab_test.free_pages);
		buddy_exit();
		phys_exit();
		assert_true(leave < 2000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_percpu_area),
		cmocka_unit_test(test_every_page),
		cmocka_unit_test(test_every_page_small_arrays),
		cmocka_unit_test(test_every_page_percpu_off),
		cmocka_unit_test(test_every_page_two_nodes),
		cmocka_unit_test(test_init_without_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
