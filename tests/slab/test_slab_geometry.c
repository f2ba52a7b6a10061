/* SPDX-License-Identifier: MIT */
/* The layout computation: everything fits, nothing fits better. */
#include "slab_test.h"
#include <errno.h>

/* Objects a slab would hold with the descriptor on it, counted one by one. */
static size_t count_on_slab(size_t bytes, size_t stride, size_t align)
{
	size_t n = 0;

	while (KMEM_ALIGN_UP(sizeof(struct slab) + (n + 1) * sizeof(kmem_bufctl_t),
			     align) +
		       (n + 1) * stride <=
	       bytes)
		n++;
	return n;
}

static void check_geometry(const struct slab_geometry *g, size_t size, size_t align)
{
	size_t bytes = PAGE_SIZE << g->gfporder;
	size_t on = count_on_slab(bytes, g->stride, g->align);

	assert_int_equal(g->object_size, size);
	assert_true(g->align >= align && g->align % sizeof(void *) == 0);
	assert_int_equal(g->stride % g->align, 0);
	assert_true(g->stride >= g->left_pad + size);
	assert_true(g->num >= 1 && g->num <= SLAB_MAX_OBJECTS);
	assert_int_equal(g->mgmt + g->num * g->stride + g->slack, bytes);
	assert_int_equal(g->colour_off % g->align, 0);
	assert_true((g->colours - 1) * g->colour_off <= g->slack);
	assert_int_equal(g->desc_bytes,
			 sizeof(struct slab) + g->num * sizeof(kmem_bufctl_t));
	if (g->off_slab) {
		size_t desc = kmalloc_class_size(g->desc_bytes);

		assert_int_equal(g->mgmt, 0);
		assert_true(g->desc_bytes <= SLAB_DESC_MAX_BYTES);
		assert_int_equal(g->num, bytes / g->stride);
		/* It wastes less for each object than the other place would. */
		if (on > 0)
			assert_true((bytes - g->num * g->stride + desc) * on <
				    (bytes - on * g->stride) * g->num);
	} else {
		assert_int_equal(g->num, on);
		assert_true(g->mgmt >= g->desc_bytes);
	}
}

static void test_sizes(void **state)
{
	static const unsigned int flags[] = {0, SLAB_HWCACHE_ALIGN, SLAB_RED_ZONE,
					     SLAB_RED_ZONE | SLAB_STORE_USER};
	struct slab_geometry g;

	(void)state;
	for (size_t f = 0; f < KMEM_ARRAY_SIZE(flags); f++) {
		for (size_t size = 1; size <= 1 << 20; size += 1 + size / 50) {
			for (size_t align = 0; align <= 4096;
			     align = align ? align * 2 : 8) {
				if (slab_geometry_compute(&g, size, align, flags[f],
							  64) != 0)
					fail_msg("size %zu align %zu", size, align);
				check_geometry(&g, size, align);
			}
		}
	}
}

/* An eighth of a slab at most is wasted up to the order at which that gets costly. */
static void test_waste(void **state)
{
	struct slab_geometry g;

	(void)state;
	for (size_t size = 8; size <= 32768; size += 8) {
		size_t bytes, waste;

		assert_int_equal(slab_geometry_compute(&g, size, 0, 0, 64), 0);
		bytes = PAGE_SIZE << g.gfporder;
		waste = bytes - g.num * g.stride - (g.off_slab ? 0 : g.desc_bytes);
		if (g.gfporder < SLAB_BREAK_ORDER && !g.off_slab)
			assert_true(waste * 8 <= bytes);
		if (g.gfporder < SLAB_MIN_OBJECTS_ORDER)
			assert_true(g.num >= SLAB_MIN_OBJECTS);
	}
}

static void test_known_layouts(void **state)
{
	struct slab_geometry g;

	(void)state;
	/* 32 + 2 * 119 bytes of descriptor, rounded to 288, and 119 * 32 fill a page. */
	assert_int_equal(slab_geometry_compute(&g, 32, 32, 0, 64), 0);
	assert_int_equal(g.num, 119);
	assert_int_equal(g.slack, 0);
	assert_int_equal(g.colours, 1);
	assert_false(g.off_slab);
	/* Eight times 512 fill a page, so the descriptor leaves it. */
	assert_int_equal(slab_geometry_compute(&g, 512, 512, 0, 64), 0);
	assert_int_equal(g.num, 8);
	assert_true(g.off_slab);
	/* Two pages hold nine times 896, of which one holds four and wastes an eighth. */
	assert_int_equal(slab_geometry_compute(&g, 896, 128, SLAB_EXACT, 0), 0);
	assert_int_equal(g.num, 9);
	/* Four are enough, where that wastes less than a sixteenth. */
	assert_int_equal(slab_geometry_compute(&g, 768, 256, SLAB_EXACT, 0), 0);
	assert_int_equal(g.num, 5);
	assert_int_equal(slab_geometry_compute(&g, 4096, 4096, 0, 64), 0);
	assert_int_equal(g.num, 4);
	assert_int_equal(slab_geometry_compute(&g, 512, 512, SLAB_DESC_ON_SLAB, 64), 0);
	assert_false(g.off_slab);
	assert_int_equal(slab_geometry_compute(&g, KMALLOC_MAX_SIZE, 0, 0, 64), 0);
	assert_int_equal(g.gfporder, MAX_ORDER - 1);
	assert_int_equal(g.num, 1);
	assert_int_equal(
		slab_geometry_compute(&g, KMALLOC_MAX_SIZE, 0, SLAB_RED_ZONE, 64),
		-EINVAL);
}

/* The variants put descriptors where they say, and colours follow from the slack. */
static void test_descriptors(void **state)
{
	struct kmem_cache *cache;

	(void)state;
	slab_test_start("descriptors=on");
	cache = kmem_cache_create("own", 256, 0, 0, NULL, NULL);
	assert_false(slab_test_info("own").off_slab);
	assert_true(slab_test_info("own").colours > 1);
	assert_int_equal(kmem_cache_destroy(cache), 0);
	slab_test_stop();

	slab_test_start("descriptors=off");
	cache = kmem_cache_create("own", 200, 0, 0, NULL, NULL);
	assert_true(slab_test_info("own").off_slab);
	kmem_cache_free(cache, kmem_cache_alloc(cache, GFP_KERNEL));
	assert_int_equal(kmem_cache_destroy(cache), 0);
	/* Small objects would need too large a descriptor. */
	cache = kmem_cache_create("small", 8, 0, 0, NULL, NULL);
	assert_false(slab_test_info("small").off_slab);
	assert_int_equal(kmem_cache_destroy(cache), 0);
	slab_test_stop();
}

/* The columns are where the kernel's tools look for them. */
static void test_slabinfo_format(void **state)
{
	struct kmem_cache_info info;
	unsigned long long v[11];
	char line[512], name[64];
	void *p;

	(void)state;
	slab_test_start("");
	assert_true(slabinfo_format(NULL, line, sizeof(line)) < (int)sizeof(line));
	assert_non_null(strstr(line, "slabinfo - version: 2.1\n# name "));
	p = kmalloc(100, GFP_KERNEL);
	info = slab_test_info("size-128");
	slabinfo_format(&info, line, sizeof(line));
	assert_int_equal(sscanf(line,
				"%63s %llu %llu %llu %llu %llu : tunables %llu %llu %llu "
				": slabdata %llu %llu %llu",
				name, &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6],
				&v[7], &v[8], &v[9], &v[10]),
			 12);
	assert_string_equal(name, "size-128");
	assert_int_equal(v[0], 1);
	assert_int_equal(v[1], v[3] * v[9]);
	assert_int_equal(v[2], 128);
	assert_int_equal(v[5], info.limit);
	assert_int_equal(v[8], 1);
	kfree(p);
	slab_test_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_waste),
		cmocka_unit_test(test_known_layouts),
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_slabinfo_format),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
