/* SPDX-License-Identifier: MIT */
/* Nodes: tables of distances that call them equally near, and the way home of objects
 * that another node's CPUs have freed. */
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

/* --- the way home --- */

#define OBJECTS 400

static struct kmem_cache *cache;
static void *objects[2][OBJECTS];
static int here, there; /* nodes */
static cpu_set_t before;

/* Two nodes, this thread on one of them, and OBJECTS of each. */
static void start_two_nodes(const char *more)
{
	char options[128];
	cpu_set_t one;

	snprintf(options, sizeof(options), "topology=numa:2 core:1 pu:1,%s", more);
	slab_test_start(options);
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	CPU_ZERO(&one);
	CPU_SET((unsigned int)sched_getcpu(), &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	here = numa_node_id();
	there = 1 - here;
	cache = kmem_cache_create("home", 64, 0, 0, NULL, NULL);
	for (int i = 0; i < OBJECTS; i++) {
		objects[0][i] = kmem_cache_alloc_node(cache, GFP_KERNEL, here);
		objects[1][i] = kmem_cache_alloc_node(cache, GFP_KERNEL, there);
		assert_int_equal(page_to_nid(virt_to_page(objects[1][i])), there);
	}
}

static void stop_two_nodes(void)
{
	if (slab_check() != 0)
		fail_msg("%s", kmem_last_error());
	assert_int_equal(slab_test_info("home").active_objs, 0);
	assert_int_equal(kmem_cache_destroy(cache), 0);
	assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
	assert_no_report();
	slab_test_stop();
}

static void free_all(void)
{
	for (int i = 0; i < OBJECTS; i++) {
		kmem_cache_free(cache, objects[0][i]);
		kmem_cache_free(cache, objects[1][i]);
	}
}

static uint64_t flushes(int nid)
{
	return cache->node[nid].flushes + cache->node[nid].depot.flushes;
}

/* A batch at a time; the rest stays until somebody drains it, and is counted. */
static void test_aliens_go_home_in_batches(void **state)
{
	struct kmem_list3 *home;
	struct slab_stats stats;

	(void)state;
	start_two_nodes("limit=128,batchcount=64,depot=percpu");
	home = &cache->node[there];
	free_all();
	slab_stats(&stats);
	/* The one that finds the stack of 64 full goes along: 6 times 65, and 10. */
	assert_int_equal(stats.alien, 6 * 64);
	assert_int_equal(percpu_count(&home->alien), OBJECTS - 6 * 65);
	assert_int_equal(percpu_count(&cache->node[here].alien), 0);
	/* One batch to the depot, the others past it to the slabs, and what is over. */
	assert_true(flushes(there) >= 6 && flushes(there) <= 12);
	assert_int_equal(slab_test_info("home").active_objs, 0);
	assert_int_equal(slab_check(), 0);
	/* At home they are found by whoever asks for that node. */
	for (int i = 0; i < 100; i++)
		objects[1][i] = kmem_cache_alloc_node(cache, GFP_KERNEL, there);
	for (int i = 0; i < 100; i++)
		assert_int_equal(page_to_nid(virt_to_page(objects[1][i])), there);
	for (int i = 0; i < 100; i++)
		kmem_cache_free(cache, objects[1][i]);
	kmem_cache_shrink(cache);
	assert_int_equal(percpu_count(&home->alien), 0);
	assert_int_equal(slab_test_info("home").num_slabs, 0);
	stop_two_nodes();
}

static void test_alien_off(void **state)
{
	struct slab_stats stats;

	(void)state;
	start_two_nodes("limit=128,batchcount=64,alien=off");
	free_all();
	slab_stats(&stats);
	assert_int_equal(stats.alien, 0);
	assert_null(cache->node[there].alien.base);
	assert_true(flushes(there) >= OBJECTS);
	stop_two_nodes();
}

/* The walk knows what lies in an alien cache. */
static void test_alien_twice(void **state)
{
	const struct percpu_stacks *alien;

	(void)state;
	start_two_nodes("limit=128");
	alien = &cache->node[there].alien;
	kmem_cache_free(cache, objects[1][0]);
	assert_int_equal(percpu_count(alien), 1);
	assert_true(percpu_push(alien, objects[1][0]));
	assert_int_equal(slab_check(), -14);
	assert_non_null(strstr(kmem_last_error(), "is on arrays twice"));
	assert_ptr_equal(percpu_pop(alien), objects[1][0]);
	assert_int_equal(slab_check(), 0);
	objects[1][0] = kmem_cache_alloc_node(cache, GFP_KERNEL, there);
	free_all();
	stop_two_nodes();
}

static uint64_t numa_sum(enum numa_stat_item item)
{
	struct buddy_stats stats;

	buddy_stats(NUMA_NO_NODE, MAX_NR_ZONES, &stats);
	return stats.numa[item];
}

/* An object that goes home is used again there: no page is asked for, of any node; and
 * none that was asked for came from where it was not wanted. */
static void test_no_page_is_misplaced(void **state)
{
	uint64_t hits;

	(void)state;
	start_two_nodes("limit=128,batchcount=64");
	assert_int_equal(numa_sum(NUMA_MISS), 0);
	assert_int_equal(numa_sum(NUMA_FOREIGN), 0);
	assert_true(numa_sum(NUMA_OTHER) > 0); /* pages of the other node, as asked */
	free_all();
	hits = numa_sum(NUMA_HIT);
	for (int round = 0; round < 10; round++) {
		for (int i = 0; i < OBJECTS / 2; i++) {
			objects[0][i] = kmem_cache_alloc(cache, GFP_KERNEL);
			objects[1][i] = kmem_cache_alloc_node(cache, GFP_KERNEL, there);
			assert_int_equal(page_to_nid(virt_to_page(objects[0][i])), here);
			assert_int_equal(page_to_nid(virt_to_page(objects[1][i])), there);
		}
		for (int i = 0; i < OBJECTS / 2; i++) {
			kmem_cache_free(cache, objects[1][i]);
			kmem_cache_free(cache, objects[0][i]);
		}
	}
	/* But for pages of depots. */
	assert_true(numa_sum(NUMA_HIT) <= hits + 4);
	assert_int_equal(numa_sum(NUMA_MISS), 0);
	stop_two_nodes();
}

/* A thread that was moved has left a stranger on an array: with the next batch it goes
 * home. */
static void test_stranger_on_an_array(void **state)
{
	struct slab_depot *d;
	void *own;

	(void)state;
	start_two_nodes("limit=4,batchcount=4,limits=fixed,magazines=one");
	d = slab_depot_of_cpu(cache, (unsigned int)sched_getcpu());
	kmem_cache_shrink(cache);
	for (int i = 0; i < 2; i++) {
		assert_true(magazine_push(&cache->mag, objects[0][i]));
		assert_true(magazine_push(&cache->mag, objects[1][i]));
	}
	kmem_cache_free(cache, objects[0][2]);
	assert_int_equal(magazine_count(&cache->mag), 1);
	assert_int_equal(d->avail, 2);
	assert_int_equal(cache->node[there].depot.avail, 2);
	if (slab_check() != 0)
		fail_msg("%s", kmem_last_error());
	/* The walk would have noticed. */
	own = d->top->slot[0];
	d->top->slot[0] = objects[1][3];
	assert_int_equal(slab_check(), -14);
	assert_non_null(strstr(kmem_last_error(), "has object"));
	d->top->slot[0] = own;
	for (int i = 0; i < 3; i++)
		objects[0][i] = kmem_cache_alloc_node(cache, GFP_KERNEL, here);
	for (int i = 0; i < 2; i++)
		objects[1][i] = kmem_cache_alloc_node(cache, GFP_KERNEL, there);
	free_all();
	stop_two_nodes();
}

/* Blocks of pages, too, are of the node that is asked for. */
static void test_large_blocks(void **state)
{
	(void)state;
	slab_test_start("topology=numa:4 core:1 pu:1");
	for (int nid = 0; nid < 4; nid++) {
		void *large = kmalloc_node(200000, GFP_KERNEL, nid);

		assert_int_equal(page_to_nid(virt_to_page(large)), nid);
		kfree(large);
	}
	assert_null(kmalloc_node(200000, GFP_KERNEL, 4));
	slab_test_stop();
}

/* What only a CPU of that node keeps is stolen before the node gets another slab. */
static void test_node_is_searched_before_it_grows(void **state)
{
	uint64_t slabs;

	(void)state;
	start_two_nodes("limit=64,batchcount=32,limits=fixed");
	free_all();
	assert_true(slab_depot_of_cpu(cache, (unsigned int)sched_getcpu())->avail > 100);
	slabs = slab_test_info("home").num_slabs;
	for (int i = 0; i < OBJECTS - 64; i++)
		objects[0][i] = kmem_cache_alloc_node(cache, GFP_KERNEL | __GFP_THISNODE,
						      here);
	assert_true(slab_test_info("home").num_slabs <= slabs);
	for (int i = 0; i < OBJECTS - 64; i++)
		kmem_cache_free(cache, objects[0][i]);
	stop_two_nodes();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_equally_near),
		cmocka_unit_test(test_aliens_go_home_in_batches),
		cmocka_unit_test(test_alien_off),
		cmocka_unit_test(test_alien_twice),
		cmocka_unit_test(test_no_page_is_misplaced),
		cmocka_unit_test(test_stranger_on_an_array),
		cmocka_unit_test(test_large_blocks),
		cmocka_unit_test(test_node_is_searched_before_it_grows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
