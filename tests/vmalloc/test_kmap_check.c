/* SPDX-License-Identifier: MIT */
/* kmap_init() and kmap_exit(), and the walker. */
#include "tests/vmalloc/kmap_test.h"

#include <errno.h>

static void set_up_is_checked(void **state)
{
	const struct kmap_config config = {.pkmap_slots = 4, .pkmap_flush = true};
	const struct kmap_config none = {.pkmap_slots = 0};
	uint64_t maps_max;
	struct page *page;

	(void)state;
	assert_int_equal(kmap_init(&config), -EINVAL);
	assert_error("call phys_init() first");
	assert_int_equal(kmap_check(), -EINVAL);
	stack_up_below("backing=private,highmem=0");
	assert_int_equal(kmap_init(&config), -EINVAL);
	assert_error("use 'backing=memfd'");
	stack_down_below();
	stack_up(NULL);
	page = alloc_page(GFP_HIGHUSER);
	assert_null(kmap(page));
	assert_error("before kmap_init()");
	assert_null(kmap_atomic(page));
	assert_error("'kmap_atomic' of a HIGHMEM page before kmap_init()");
	assert_int_equal(kmap_init(&none), -EINVAL);
	assert_error("'pkmap_slots'");
	maps_max = vmap_layer.maps_max;
	assert_int_equal(kmap_init(&config), 0);
	assert_int_equal(kmap_init(&config), -EBUSY);
	/* vmalloc leaves the window its mappings, and gets them back. */
	assert_int_equal(vmap_layer.maps_max, maps_max - 5);
	/* What is mapped at the end is not, afterwards. */
	kmap(page);
	kmap_atomic(page);
	kmap_exit();
	assert_int_equal(vmap_layer.maps_max, maps_max);
	assert_int_equal(atomic_load(&page->_mapcount), 0);
	assert_null(page_address(page));
	kmap_exit();
	__free_page(page);
	stack_down();
}

static void check_finds_damage(void **state)
{
	uint64_t word;
	void *addr;

	(void)state;
	kmap_up(NULL, 4, true, 2);
	kmap(high[0]);
	assert_kmap_sound();

	atomic_store(&high[0]->_mapcount, 0);
	assert_int_equal(kmap_check(), -EFAULT);
	assert_error("has 1 users of pfn");
	atomic_store(&high[0]->_mapcount, 1);

	word = atomic_load(&kmap_layer.word[0]);
	atomic_store(&kmap_layer.word[0], word & ~(uint64_t)UINT32_MAX);
	assert_int_equal(kmap_check(), -EFAULT);
	assert_error("slot 0 of kmap has no count");
	atomic_store(&kmap_layer.word[0], 2);
	assert_int_equal(kmap_check(), -EFAULT);
	assert_error("no HIGHMEM page");
	atomic_store(&kmap_layer.word[0], word);

	atomic_store(&kmap_layer.slot_of[page_to_pfn(high[0])], 3);
	assert_int_equal(kmap_check(), -EFAULT);
	assert_error("whose slot is said to be 2");
	atomic_store(&kmap_layer.slot_of[page_to_pfn(high[0])], 1);

	atomic_store(&kmap_layer.slot_of[page_to_pfn(high[1])], 1);
	assert_int_equal(kmap_check(), -EFAULT);
	assert_error("which does not show it");
	atomic_store(&kmap_layer.slot_of[page_to_pfn(high[1])], 9);
	assert_int_equal(kmap_check(), -EFAULT);
	assert_error("in slot 8 of 4");
	atomic_store(&kmap_layer.slot_of[page_to_pfn(high[1])], 0);

	atomic_store(&kmap_layer.waiters, 1);
	assert_int_equal(kmap_check(), -EFAULT);
	assert_error("said to wait");
	atomic_store(&kmap_layer.waiters, 0);
	kunmap(high[0]);

	addr = kmap_atomic(high[1]);
	atomic_store(&high[1]->_mapcount, 0);
	assert_int_equal(kmap_check(), -EFAULT);
	assert_error("mapped by kmap_atomic(), but its mapcount is 0");
	atomic_store(&high[1]->_mapcount, 1);
	kmap_layer.stack[0].page[0] = NULL;
	assert_int_equal(kmap_check(), -EFAULT);
	assert_error("level 0 of atomic stack 0 shows no page");
	kmap_layer.stack[0].page[0] = high[1];
	kunmap_atomic(addr);
	kmap_layer.stack[0].depth = 1;
	atomic_store(&high[1]->_mapcount, 1);
	assert_int_equal(kmap_check(), -EFAULT);
	assert_error("is free with 1 pages mapped");
	kmap_layer.stack[0].depth = 0;
	atomic_store(&high[1]->_mapcount, 0);
	atomic_fetch_add(&kmap_layer.nr_stacks, 1);
	assert_int_equal(kmap_check(), -EFAULT);
	assert_error("1 atomic stacks are free and 0 held, 2 were made");
	atomic_fetch_sub(&kmap_layer.nr_stacks, 1);
	kmap_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		kmap_test(set_up_is_checked),
		kmap_test(check_finds_damage),
	};

	return cmocka_run_group_tests(tests, pin_to_one_cpu, NULL);
}
