/* SPDX-License-Identifier: MIT */
/* Freed areas: reuse, limits, purging by neighbours. */
#include "tests/vmalloc/vmalloc_test.h"

static struct vmalloc_stats stats_now(void)
{
	struct vmalloc_stats stats;

	vmalloc_stats(&stats);
	return stats;
}

/* Mappings are made once, however often an area goes around. */
static void freed_areas_come_back(void **state)
{
	static const size_t pages[] = {1, 4, 16, 64, 65, 700};

	(void)state;
	stack_up(NULL);
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(pages); i++) {
		void *p = vmalloc(pages[i] * PAGE_SIZE);
		uint64_t calls = stats_now().map_calls;

		assert_non_null(p);
		for (int round = 0; round < 100; round++) {
			vfree(p);
			assert_int_equal(stats_now().areas, 0);
			/* Another size does not take it. */
			assert_ptr_equal(vmalloc(pages[i] * PAGE_SIZE - round), p);
		}
		assert_int_equal(stats_now().areas, 1);
		assert_int_equal(stats_now().area_pages, pages[i]);
		assert_int_equal(stats_now().map_calls, calls);
		assert_int_equal(stats_now().unmap_calls, 0);
		vfree(p);
		assert_vmalloc_sound();
	}
	assert_int_equal(stats_now().lazy_areas, 6);
	assert_int_equal(stats_now().lazy_pages, 1 + 4 + 16 + 64 + 65 + 700);
	vm_unmap_aliases();
	assert_int_equal(stats_now().lazy_areas, 0);
	assert_int_equal(stats_now().lazy_pages, 0);
	assert_int_equal(vmap_layer.areas, 0);
	assert_int_equal(vmap_layer.ranges.free_pages, vmap_layer.ranges.nr_pages);
	assert_vmalloc_sound();
	stack_down();
}

/* Whatever is freed, no more than lazy_bytes stays mapped. */
static void lazy_bytes_is_a_bound(void **state)
{
	enum { AREAS = 512 };
	static void *p[AREAS];
	uint64_t seed = 7;

	(void)state;
	stack_up("lazy_bytes=8M");
	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < AREAS; i++)
			p[i] = vmalloc((1 + next_random(&seed) % 40) * PAGE_SIZE);
		for (int i = 0; i < AREAS; i++) {
			vfree(p[i]);
			assert_true(stats_now().lazy_pages <=
				    ((uint64_t)8 << 20) / PAGE_SIZE);
		}
		assert_vmalloc_sound();
	}
	assert_true(stats_now().purges > 0);
	/* An area above the limit is not kept at all, and evicts nothing. */
	p[0] = vmalloc((size_t)9 << 20);
	p[1] = (void *)(uintptr_t)stats_now().lazy_areas;
	vfree(p[0]);
	assert_true(stats_now().lazy_areas >= (uintptr_t)p[1]);
	assert_true(stats_now().lazy_pages <= ((uint64_t)8 << 20) / PAGE_SIZE);
	stack_down();
}

/* Without stacks the pool has all of lazy_bytes, for areas of any size. */
static void pool_alone(void **state)
{
	uint64_t pages = ((uint64_t)4 << 20) / PAGE_SIZE, calls;
	void *p[64];

	(void)state;
	stack_up("lazy_bytes=4M,percpu_areas=off");
	assert_int_equal(vmap_layer.percpu_pages_max, 0);
	for (int i = 0; i < 64; i++)
		p[i] = vmalloc(16 * PAGE_SIZE);
	for (int i = 0; i < 64; i++) {
		vfree(p[i]);
		assert_int_equal(vmap_layer.pool.areas, i + 1);
	}
	/* As much as lazy_bytes, nothing purged, and everything is found again. */
	assert_int_equal(stats_now().lazy_pages, pages);
	assert_int_equal(stats_now().purges, 0);
	calls = stats_now().map_calls;
	for (int i = 0; i < 64; i++)
		p[i] = vmalloc(16 * PAGE_SIZE);
	assert_int_equal(stats_now().map_calls, calls);
	assert_int_equal(stats_now().lazy_areas, 0);
	assert_vmalloc_sound();
	for (int i = 0; i < 64; i++)
		vfree(p[i]);
	expect_reports();
	vfree(p[0]);
	assert_report("vfree() of %p: double free of an area of 16 pages", p[0]);
	stack_down();
}

static void eager_keeps_nothing(void **state)
{
	void *p[10];

	(void)state;
	stack_up("lazy_bytes=0");
	for (int i = 0; i < 10; i++)
		p[i] = vmalloc((size_t)(i + 1) * PAGE_SIZE);
	assert_int_equal(stats_now().areas, 10);
	for (int i = 0; i < 10; i++) {
		vfree(p[i]);
		assert_int_equal(stats_now().unmap_calls, i + 1);
		assert_int_equal(stats_now().lazy_areas, 0);
		assert_vmalloc_sound();
	}
	assert_int_equal(vmap_layer.areas, 0);
	stack_down();
}

/* 300 areas side by side, freed in any order, go by one system call. */
static void neighbours_are_unmapped_together(void **state)
{
	enum { AREAS = 300 };
	void *p[AREAS];
	uint64_t seed = 3;

	(void)state;
	stack_up(NULL);
	for (int i = 0; i < AREAS; i++) {
		p[i] = vmalloc(8 * PAGE_SIZE);
		assert_non_null(p[i]);
	}
	for (int i = AREAS - 1; i > 0; i--) {
		int j = (int)(next_random(&seed) % (uint64_t)(i + 1));
		void *swap = p[i];

		p[i] = p[j];
		p[j] = swap;
	}
	for (int i = 0; i < AREAS; i++)
		vfree(p[i]);
	assert_int_equal(stats_now().unmap_calls, 0);
	assert_int_equal(stats_now().lazy_areas, AREAS);
	vm_unmap_aliases();
	assert_int_equal(stats_now().unmap_calls, 1);
	assert_int_equal(stats_now().purges, 1);
	assert_int_equal(stats_now().map_calls, AREAS);
	assert_vmalloc_sound();

	/* With a live area in the middle, two calls. */
	for (int i = 0; i < 21; i++)
		p[i] = vmalloc(8 * PAGE_SIZE);
	for (int i = 0; i < 21; i++)
		if (i != 10)
			vfree(p[i]);
	vm_unmap_aliases();
	assert_int_equal(stats_now().unmap_calls, 3);
	vfree(p[10]);
	stack_down();
}

/* Neighbouring frames take one call, scattered ones one each; runs=off always one each.
 */
static void runs_of_frames(void **state)
{
	enum { PAGES = 64 };
	struct page *pages[PAGES];

	(void)state;
	for (int variant = 0; variant < 2; variant++) {
		uint64_t calls;
		void *p;

		stack_up(variant == 0 ? "lazy_bytes=0" : "lazy_bytes=0,runs=off");
		p = vmalloc(PAGES * PAGE_SIZE);
		calls = stats_now().map_calls;
		for (int i = 0; i < PAGES; i++) {
			pages[i] = vmalloc_to_page((char *)p + (size_t)i * PAGE_SIZE);
			if (variant == 0 && i > 0)
				assert_true(pages[i] > pages[i - 1]);
		}
		if (variant == 0)
			assert_in_range(calls, 1, PAGES / 4);
		else
			assert_int_equal(calls, PAGES);
		/* Every second frame: no two are neighbours. */
		for (int i = 0; i < PAGES / 2; i++)
			pages[i] =
				pfn_to_page(page_to_pfn(pages[0]) + 2 * (unsigned long)i);
		calls = stats_now().map_calls;
		vunmap(vmap(pages, PAGES / 2, VM_MAP));
		assert_int_equal(stats_now().map_calls - calls, PAGES / 2);
		vfree(p);
		stack_down();
	}
}

static void pages_are_sorted(void **state)
{
	enum { PAGES = 5000 };
	static struct page *pages[PAGES];
	uint64_t seed = 11;

	(void)state;
	stack_up(NULL);
	for (uint32_t nr = 1; nr < PAGES; nr = nr * 3 + 1) {
		for (int order = 0; order < 3; order++) {
			for (uint32_t i = 0; i < nr; i++)
				pages[i] = pfn_to_page(order == 0 ? 2 * i : 2 * (nr - i));
			for (uint32_t i = nr - 1; order == 2 && i > 0; i--) {
				uint32_t j = (uint32_t)(next_random(&seed) % (i + 1));
				struct page *swap = pages[i];

				pages[i] = pages[j];
				pages[j] = swap;
			}
			vmap_sort_pages(pages, nr);
			for (uint32_t i = 0; i < nr; i++)
				assert_int_equal(page_to_pfn(pages[i]),
						 order == 0 ? 2 * i : 2 * (i + 1));
		}
	}
	stack_down();
}

/* Requests that find no page are served from what lies around freed. */
static void shortage_purges(void **state)
{
	void *small[64], *big;
	uint64_t purges;

	(void)state;
	stack_up(NULL);
	for (int i = 0; i < 64; i++)
		small[i] = vmalloc(64 * PAGE_SIZE);
	for (int i = 0; i < 64; i++)
		vfree(small[i]); /* 16 of 64 MiB */
	purges = stats_now().purges;
	big = vmalloc((size_t)55 << 20);
	assert_non_null(big);
	assert_true(stats_now().purges > purges);
	vfree(big);
	stack_down();
}

/* The walker finds damage in the lists of freed areas. */
static void check_finds_damage(void **state)
{
	struct vmap_area *area;
	char *p;

	(void)state;
	stack_up(NULL);
	p = vmalloc(100 * PAGE_SIZE);
	area = vmap_lookup(p);
	vfree(p);
	assert_vmalloc_sound();

	area->state = VMAP_LIVE;
	assert_int_not_equal(vmalloc_check(), 0);
	assert_error("is linked wrongly");
	area->state = VMAP_CACHED;

	vmap_layer.pool.pages++;
	assert_int_not_equal(vmalloc_check(), 0);
	assert_error("pool of freed areas");
	vmap_layer.pool.pages--;

	area->vm.pages[3]->_mapcount = 0;
	assert_int_not_equal(vmalloc_check(), 0);
	assert_error("but its mapcount is 0");
	area->vm.pages[3]->_mapcount = 1;

	vmap_layer.table[vmap_page_index(p) + 7] = NULL;
	assert_int_not_equal(vmalloc_check(), 0);
	assert_error("page 7 of the area");
	vmap_layer.table[vmap_page_index(p) + 7] = area;

	vmap_layer.table[vmap_page_index(p)] = NULL;
	assert_int_not_equal(vmalloc_check(), 0);
	assert_error("is taken by no area");
	vmap_layer.table[vmap_page_index(p)] = area;

	vmap_layer.maps++;
	assert_int_not_equal(vmalloc_check(), 0);
	assert_error("mappings");
	vmap_layer.maps--;

	vmap_layer.areas++;
	assert_int_not_equal(vmalloc_check(), 0);
	assert_error("counted");
	vmap_layer.areas--;
	stack_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		vmalloc_test(freed_areas_come_back),
		vmalloc_test(lazy_bytes_is_a_bound),
		vmalloc_test(pool_alone),
		vmalloc_test(eager_keeps_nothing),
		vmalloc_test(neighbours_are_unmapped_together),
		vmalloc_test(runs_of_frames),
		vmalloc_test(pages_are_sorted),
		vmalloc_test(shortage_purges),
		vmalloc_test(check_finds_damage),
	};

	return cmocka_run_group_tests(tests, pin_to_one_cpu, NULL);
}
