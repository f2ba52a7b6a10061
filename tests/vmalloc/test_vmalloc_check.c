/* SPDX-License-Identifier: MIT */
/* vmalloc_check() fails for each thing it walks over, and passes once that is mended. */
#include "tests/vmalloc/vmalloc_test.h"

#include <errno.h>

static void assert_broken(const char *part)
{
	assert_int_equal(vmalloc_check(), -EFAULT);
	if (strstr(kmem_last_error(), part) == NULL)
		fail_msg("'%s' is not about '%s'", kmem_last_error(), part);
}

static void test_area(void **state)
{
	struct vmap_area *area;
	struct page *page;
	uint32_t at;
	void *addr;

	(void)state;
	stack_up(NULL);
	addr = vmalloc(3 * PAGE_SIZE);
	area = vmap_lookup(addr);
	at = vmap_page_index(addr);
	area->vm.size_bytes += PAGE_SIZE;
	assert_broken("pages in");
	area->vm.size_bytes -= PAGE_SIZE;
	atomic_store(&area->state, VMAP_GOING);
	assert_broken("neither live nor freed");
	atomic_store(&area->state, VMAP_CACHED);
	assert_broken("not all of them wait for reuse");
	atomic_store(&area->state, VMAP_LIVE);
	atomic_store(&vmap_layer.table[at + 1], NULL);
	assert_broken("is not in the table");
	atomic_store(&vmap_layer.table[at + 1], area);
	atomic_store(&vmap_layer.table[at + 3], area);
	assert_broken("guard page");
	atomic_store(&vmap_layer.table[at + 3], NULL);
	atomic_store(&vmap_layer.table[at], NULL);
	assert_broken("is taken by no area");
	atomic_store(&vmap_layer.table[at], area);
	page = area->vm.pages[1];
	atomic_fetch_sub(&page->_mapcount, 1);
	assert_broken("mapcount");
	atomic_fetch_add(&page->_mapcount, 1);
	area->vm.pages[1] = NULL;
	assert_broken("is no page");
	area->vm.pages[1] = page;
	area->nr_maps++;
	assert_broken("mappings");
	area->nr_maps--;
	vfree(addr);
	stack_down();
}

static void test_counters(void **state)
{
	void *addr;

	(void)state;
	stack_up(NULL);
	addr = vmalloc(PAGE_SIZE);
	vmap_layer.areas++;
	assert_broken("counted");
	vmap_layer.areas--;
	vmap_layer.area_pages++;
	assert_broken("counted");
	vmap_layer.area_pages--;
	atomic_fetch_add(&vmap_layer.maps, 1);
	assert_broken("mappings");
	atomic_fetch_sub(&vmap_layer.maps, 1);
	vfree(addr);
	stack_down();
}

/* Freed areas: on a CPU's stack, in the pool's list and in its hash. */
static void test_cached(void **state)
{
	struct vmap_area *small, *large;

	(void)state;
	stack_up(NULL);
	small = vmap_lookup(vmalloc(PAGE_SIZE));
	large = vmap_lookup(vmalloc(300 * PAGE_SIZE));
	vfree(large->vm.addr);
	assert_ptr_equal(vmap_layer.pool.newest, large);
	assert_true(percpu_push(small->percpu, small));
	assert_broken("does not belong there");
	assert_ptr_equal(percpu_pop(small->percpu), small);
	vfree(small->vm.addr);
	assert_true(percpu_push(small->percpu, small));
	assert_broken("not all of them wait for reuse");
	assert_ptr_equal(percpu_pop(small->percpu), small);
	vmap_layer.pool.pages++;
	assert_broken("pool of freed areas");
	vmap_layer.pool.pages--;
	*large->bucket_link = NULL;
	assert_broken("pool of freed areas");
	*large->bucket_link = large;
	vmap_layer.pool.newest = NULL;
	assert_broken("pool of freed areas");
	vmap_layer.pool.newest = large;
	assert_vmalloc_sound();
	stack_down();
}

/* A range given back although an area still stands there, whatever the search. */
static void range_lost(const char *options)
{
	struct vmap_area *area;
	uint32_t at, start;
	void *low, *high;

	stack_up(options);
	low = vmalloc(PAGE_SIZE);
	high = vmalloc(PAGE_SIZE);
	area = vmap_lookup(low);
	at = vmap_page_index(low);
	assert_true(vm_range_free(&vmap_layer.ranges, at, area->vm.nr_pages + 1));
	assert_broken("hole");
	assert_true(vm_range_alloc(&vmap_layer.ranges, area->vm.nr_pages + 1, 1, &start));
	assert_int_equal(start, at);
	assert_true(vm_range_alloc(&vmap_layer.ranges, 5, 1, &start));
	assert_broken("is taken by no area");
	assert_true(vm_range_free(&vmap_layer.ranges, start, 5));
	vmap_layer.ranges.free_pages--;
	assert_broken("counter");
	vmap_layer.ranges.free_pages++;
	vmap_layer.ranges.nr_nodes++;
	assert_broken("vmalloc");
	vmap_layer.ranges.nr_nodes--;
	assert_vmalloc_sound();
	vfree(low);
	vfree(high);
	stack_down();
}

static void test_range_radix(void **state)
{
	(void)state;
	range_lost("search=radix");
}

static void test_range_tree(void **state)
{
	(void)state;
	range_lost("search=tree");
}

static void test_range_list(void **state)
{
	(void)state;
	range_lost("search=list");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		vmalloc_test(test_area),       vmalloc_test(test_counters),
		vmalloc_test(test_cached),     vmalloc_test(test_range_radix),
		vmalloc_test(test_range_tree), vmalloc_test(test_range_list),
	};

	return cmocka_run_group_tests(tests, pin_to_one_cpu, NULL);
}
