/* SPDX-License-Identifier: MIT */
/* Nodes that a table of distances calls equally near. */
#include "tests/slab/slab_test.h"

#include <hwloc.h>
#include <unistd.h>

/* A machine of two nodes at distance 10 from each other, as some firmware says. */
static void write_machine(const char *path)
{
	hwloc_uint64_t near[4] = {10, 10, 10, 10};
	hwloc_distances_add_handle_t handle;
	hwloc_topology_t topology;
	hwloc_obj_t nodes[2];

	assert_int_equal(hwloc_topology_init(&topology), 0);
	assert_int_equal(hwloc_topology_set_synthetic(topology, "numa:2 core:1 pu:1"), 0);
	assert_int_equal(hwloc_topology_load(topology), 0);
	for (unsigned int i = 0; i < 2; i++)
		nodes[i] = hwloc_get_obj_by_type(topology, HWLOC_OBJ_NUMANODE, i);
	handle = hwloc_distances_add_create(
		topology, "NUMALatency",
		HWLOC_DISTANCES_KIND_FROM_USER | HWLOC_DISTANCES_KIND_MEANS_LATENCY, 0);
	assert_non_null(handle);
	assert_int_equal(hwloc_distances_add_values(topology, handle, 2, nodes, near, 0),
			 0);
	assert_int_equal(hwloc_distances_add_commit(topology, handle, 0), 0);
	assert_int_equal(hwloc_topology_export_xml(topology, path, 0), 0);
	hwloc_topology_destroy(topology);
}

/* With no page left anywhere, what the other node has free is found all the same. */
static void test_equally_near(void **state)
{
	static struct page *taken[8192];
	char path[] = "/tmp/kmem-test-XXXXXX.xml", options[128];
	struct kmem_cache *cache;
	void *object;
	size_t n = 0;
	int fd = mkstemps(path, 4);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	write_machine(path);
	snprintf(options, sizeof(options), "memory=16M,dma=0,percpu=off,topology=%s",
		 path);
	for (int node = 0; node < 2; node++) {
		slab_test_start(options);
		assert_int_equal(node_distance(1, 0), 10);
		cache = kmem_cache_create("x", 64, 0, 0, NULL, NULL);
		object = kmem_cache_alloc_node(cache, GFP_KERNEL, node);
		assert_int_equal(page_to_nid(virt_to_page(object)), node);
		kmem_cache_free(cache, object);
		for (n = 0; n < KMEM_ARRAY_SIZE(taken); n++) {
			taken[n] = alloc_page(__GFP_MEMALLOC | __GFP_NOWARN);
			if (taken[n] == NULL)
				break;
		}
		object = kmem_cache_alloc_node(cache, GFP_NOWAIT, 1 - node);
		assert_non_null(object);
		assert_int_equal(page_to_nid(virt_to_page(object)), node);
		kmem_cache_free(cache, object);
		while (n > 0)
			__free_page(taken[--n]);
		slab_test_stop();
	}
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_equally_near),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
