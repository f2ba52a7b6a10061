/* SPDX-License-Identifier: MIT */
/* The multiplication that tells where objects start, against a plain division. */
#include "slab_test.h"

static void check_every_address(const struct slab_geometry *g)
{
	size_t bytes = PAGE_SIZE << g->gfporder;
	struct slab_grid grid;

	assert_int_equal(g->colours, 1);
	assert_int_equal(g->first, 0);
	assert_true(g->off_slab || g->desc >= g->num * g->stride);
	assert_true(g->off_slab || g->desc + g->desc_bytes <= bytes);
	slab_grid_of(&grid, g);
	for (size_t offset = 0; offset < bytes; offset++) {
		bool starts = offset % g->stride == 0 && offset / g->stride < g->num;

		if (slab_grid_has(grid.mask, grid.reciprocal, offset) != starts)
			fail_msg("size %zu, slab of %zu bytes, offset %zu",
				 g->object_size, bytes, offset);
		/* In the 1000th slab the same. */
		if (slab_grid_has(grid.mask, grid.reciprocal, offset + 1000 * bytes) !=
		    starts)
			fail_msg("size %zu, the 1000th slab, offset %zu", g->object_size,
				 offset);
	}
}

static void test_without_colours(void **state)
{
	static const unsigned int places[] = {SLAB_DESC_ON_SLAB, SLAB_DESC_OFF_SLAB, 0};
	struct slab_geometry g;

	(void)state;
	for (size_t p = 0; p < KMEM_ARRAY_SIZE(places); p++) {
		for (size_t size = 1; size <= KMALLOC_MAX_SIZE; size += 1 + size / 6) {
			for (size_t align = 8; align <= 4096; align *= 8) {
				if (slab_geometry_compute(&g, size, align, places[p],
							  0) == 0)
					check_every_address(&g);
			}
		}
	}
	/* The extremes: the most objects, and the largest ones. */
	assert_int_equal(slab_geometry_compute(&g, 1, 1, 0, 0), 0);
	check_every_address(&g);
	assert_int_equal(slab_geometry_compute(&g, KMALLOC_MAX_SIZE, 4096, 0, 0), 0);
	check_every_address(&g);
}

/* With colours nothing that is an object may be refused, and nothing let pass that is
 * less aligned than they are. */
static void test_with_colours(void **state)
{
	(void)state;
	for (size_t size = 8; size <= 100000; size += 1 + size / 6) {
		struct slab_geometry g;
		struct slab_grid grid;

		assert_int_equal(slab_geometry_compute(&g, size, 0, 0, 64), 0);
		if (g.colours == 1)
			continue;
		slab_grid_of(&grid, &g);
		for (unsigned int c = 0; c < g.colours; c++) {
			for (unsigned int i = 0; i < g.num; i++)
				assert_true(slab_grid_has(grid.mask, grid.reciprocal,
							  c * g.colour_off + g.first +
								  i * g.stride));
		}
		for (size_t offset = 0; offset < PAGE_SIZE << g.gfporder; offset++) {
			if (offset % g.align != 0)
				assert_false(slab_grid_has(grid.mask, grid.reciprocal,
							   offset));
		}
	}
}

static struct kmem_cache *cache_of(const void *object)
{
	return virt_to_page(object)->slab_cache;
}

/* With four classes a doubling, as malloc has them: every address of an object but its
 * first is reported at the call, and the object is not handed out again meanwhile. */
static void test_every_class(void **state)
{
	static const char *const variants[] = {"classes=four", "classes=linux",
					       "classes=pow2"};

	(void)state;
	for (size_t v = 0; v < KMEM_ARRAY_SIZE(variants); v++) {
		slab_test_start(variants[v]);
		for (size_t size = 16; size <= KMALLOC_MAX_CACHE_SIZE;
		     size += 1 + size / 16) {
			char *object = kmalloc(size, GFP_KERNEL);
			struct kmem_cache *cache = cache_of(object);
			size_t step = cache->stride / 512 / 8 * 8 + 8;

			/* An array that holds something: a wrong push would be a hit. */
			kfree(kmalloc(size, GFP_KERNEL));
			for (size_t offset = step; offset < cache->stride;
			     offset += step) {
				kfree(object + offset);
				assert_report(
					"cache '%s': free of %p, which lies %zu bytes "
					"inside object %p",
					cache->name, (void *)(object + offset), offset,
					(void *)object);
			}
			kfree(object);
			assert_no_report();
		}
		slab_test_stop();
	}
}

/* The descriptor and what lies before it start no object, though a stride may end there.
 */
static void test_behind_the_last_object(void **state)
{
	struct kmem_cache *cache;
	struct slab *slab;
	void *object;
	char *end;

	(void)state;
	slab_test_start("classes=four");
	for (size_t size = 48; size <= 896; size += 16) {
		object = kmalloc(size, GFP_KERNEL);
		cache = cache_of(object);
		slab = slab_of(cache, object);
		end = slab_object(cache, slab, cache->num);
		if (cache->geometry.colours > 1 || slab_of(cache, end) != slab) {
			kfree(object);
			continue;
		}
		kfree(end);
		assert_report(
			"cache '%s': free of %p, which is in the slab at %p but in no "
			"object",
			cache->name, (void *)end, (void *)slab->s_mem);
		kfree(object);
		assert_no_report();
	}
	slab_test_stop();
}

/* A slab of several pages of which one object is used touches one of them. */
static void test_first_object_beside_the_descriptor(void **state)
{
	struct kmem_cache *cache;
	struct slab *slab;
	char *object;

	(void)state;
	slab_test_start("percpu=off,classes=four,descriptors=on");
	object = kmalloc(896, GFP_KERNEL);
	cache = cache_of(object);
	slab = slab_of(cache, object);
	assert_true(cache->gfporder > 0);
	assert_in_range((char *)slab - object, 1, PAGE_SIZE - 1);
	kfree(object);
	slab_test_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_without_colours),
		cmocka_unit_test(test_with_colours),
		cmocka_unit_test(test_every_class),
		cmocka_unit_test(test_behind_the_last_object),
		cmocka_unit_test(test_first_object_beside_the_descriptor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
