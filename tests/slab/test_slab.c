/* SPDX-License-Identifier: MIT */
/* Caches: creation, constructors, colouring, bulk, shrinking, destruction, nodes. */
#include "slab_test.h"
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_create_and_describe(void **state)
{
	struct kmem_cache *cache;
	struct kmem_cache_info info;
	void *objects[10];

	(void)state;
	slab_test_start("");
	cache = kmem_cache_create("inode", 100, 0, 0, NULL, NULL);
	assert_non_null(cache);
	assert_int_equal(kmem_cache_size(cache), 100);
	assert_string_equal(kmem_cache_name(cache), "inode");
	for (int i = 0; i < 10; i++) {
		objects[i] = kmem_cache_alloc(cache, GFP_KERNEL);
		assert_non_null(objects[i]);
		memset(objects[i], i, 100);
	}
	info = slab_test_info("inode");
	assert_int_equal(info.active_objs, 10);
	assert_int_equal(info.objsize_bytes, 104);
	assert_int_equal(info.num_slabs, 1); /* a refill takes what one new slab has */
	assert_int_equal(info.num_objs, info.num_slabs * info.objperslab);
	assert_int_equal(info.limit, 16384 / 100); /* before it grows */
	assert_int_equal(info.batchcount, 82);
	assert_int_equal(slab_check(), 0);
	for (int i = 0; i < 10; i++)
		kmem_cache_free(cache, objects[i]);
	assert_int_equal(slab_test_info("inode").active_objs, 0);
	assert_int_equal(kmem_cache_destroy(cache), 0);
	assert_no_report();
	slab_test_stop();
}

static void test_cache_cache_describes_itself(void **state)
{
	struct kmem_cache_info info;
	struct slab_stats stats;

	(void)state;
	slab_test_start("");
	info = slab_test_info("kmem_cache");
	slab_stats(&stats);
	/* Every cache but the first lives in it. */
	assert_int_equal(info.active_objs, stats.caches - 1);
	assert_false(info.off_slab);
	slab_test_stop();
}

static int count_of_caches(void)
{
	struct slab_stats stats;

	slab_stats(&stats);
	return (int)stats.caches;
}

static void test_create_errors(void **state)
{
	struct kmem_cache *cache;
	int before;

	(void)state;
	assert_null(kmem_cache_create("early", 8, 0, 0, NULL, NULL));
	slab_test_start("");
	before = count_of_caches();
	assert_null(kmem_cache_create("", 8, 0, 0, NULL, NULL));
	assert_null(kmem_cache_create(NULL, 8, 0, 0, NULL, NULL));
	assert_null(kmem_cache_create("x", 0, 0, 0, NULL, NULL));
	assert_string_equal(kmem_last_error(),
			    "cache 'x': object size '0' is not in 1 to 4194304");
	assert_null(kmem_cache_create("x", KMALLOC_MAX_SIZE + 1, 0, 0, NULL, NULL));
	assert_null(kmem_cache_create("x", 8, 24, 0, NULL, NULL));
	assert_string_equal(kmem_last_error(),
			    "cache 'x': alignment '24' is no power of two, use one or 0");
	assert_null(kmem_cache_create("x", 8, 0, 0x4000, NULL, NULL));
	assert_string_equal(
		kmem_last_error(),
		"cache 'x': unknown flags '0x4000', use the SLAB_ names only");
	assert_null(kmem_cache_create("x", 8, (size_t)8 << 20, 0, NULL, NULL));
	/* Sums with the largest power of two must not wrap around to small ones. */
	for (unsigned int flags = 0; flags <= SLAB_STORE_USER; flags += SLAB_RED_ZONE)
		assert_null(
			kmem_cache_create("x", 8, (size_t)1 << 63, flags, NULL, NULL));
	cache = kmem_cache_create("x", 8, 0, 0, NULL, NULL);
	assert_non_null(cache);
	assert_null(kmem_cache_create("x", 16, 0, 0, NULL, NULL));
	assert_string_equal(kmem_last_error(),
			    "a cache named 'x' exists, choose another name");
	assert_int_equal(kmem_cache_destroy(cache), 0);
	assert_int_equal(count_of_caches(), before);
	assert_int_equal(kmem_cache_init(NULL), -EBUSY);
	slab_test_stop();
}

static void test_config_errors(void **state)
{
	static const char *const options[] = {"colour_off=48", "limit=10,batchcount=11"};

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(options); i++) {
		slab_test_parse(options[i]);
		assert_int_equal(phys_init(&slab_test.phys), 0);
		assert_int_equal(buddy_init(&slab_test.buddy), 0);
		assert_int_equal(kmem_cache_init(&slab_test.slab), -EINVAL);
		buddy_exit();
		phys_exit();
	}
	assert_string_equal(kmem_last_error(),
			    "batchcount '11' is above limit '10', lower it");
}

/* --- constructors --- */

static long constructed, destroyed;

static void ctor(void *object)
{
	constructed++;
	memset(object, 0xc0, 48);
}

static void dtor(void *object)
{
	destroyed++;
	/* The state that the constructor made must still be there. */
	for (int i = 0; i < 48; i++)
		assert_int_equal(((unsigned char *)object)[i], 0xc0);
}

static void test_constructor_once_per_slab_life(void **state)
{
	static const char *const variants[] = {"", "percpu=off", "debug=on"};

	(void)state;
	for (size_t v = 0; v < KMEM_ARRAY_SIZE(variants); v++) {
		struct kmem_cache *cache;
		struct kmem_cache_info info;
		unsigned char *object;

		slab_test_start(variants[v]);
		constructed = destroyed = 0;
		cache = kmem_cache_create("ctor", 48, 0, 0, ctor, dtor);
		for (int i = 0; i < 1000; i++) {
			object = kmem_cache_alloc(cache, GFP_KERNEL);
			for (int b = 0; b < 48; b++)
				assert_int_equal(object[b], 0xc0);
			kmem_cache_free(cache, object);
		}
		info = slab_test_info("ctor");
		assert_int_equal(constructed, info.num_objs);
		assert_int_equal(destroyed, 0);
		assert_null(kmem_cache_alloc(cache, GFP_KERNEL | __GFP_ZERO));
		assert_int_equal(kmem_cache_shrink(cache), info.num_slabs);
		assert_int_equal(destroyed, constructed);
		object = kmem_cache_alloc(cache, GFP_KERNEL);
		kmem_cache_free(cache, object);
		assert_int_equal(kmem_cache_destroy(cache), 0);
		assert_int_equal(destroyed, constructed);
		assert_no_report();
		slab_test_stop();
	}
}

/* --- colouring --- */

/* Makes `count` slabs and returns the offset of each one's first object. */
static void slab_offsets(struct kmem_cache *cache, size_t count, size_t *offsets)
{
	size_t block = PAGE_SIZE << cache->gfporder;

	for (size_t i = 0; i < count; i++) {
		struct list_head *last;

		assert_int_equal(slab_grow(cache, GFP_KERNEL, 0), 0);
		last = cache->node[0].slabs_free.prev;
		offsets[i] = (size_t)(list_entry(last, struct slab, list)->s_mem -
				      kmem_direct_base) %
			     block;
	}
}

static void test_colours_cycle(void **state)
{
	struct kmem_cache *cache;
	struct kmem_cache_info info;
	size_t offsets[32];

	(void)state;
	slab_test_start("");
	cache = kmem_cache_create("colour", 700, 0, 0, NULL, NULL);
	info = slab_test_info("colour");
	assert_int_equal(info.colour_off_bytes, 64);
	assert_int_equal(info.colours, info.slack_bytes / 64 + 1);
	assert_in_range(info.colours, 2, 15);
	slab_offsets(cache, 32, offsets);
	for (size_t i = 0; i < 32; i++)
		assert_int_equal(offsets[i], offsets[0] + i % info.colours * 64);
	assert_int_equal(slab_check(), 0);
	slab_test_stop();

	slab_test_start("colour=off");
	cache = kmem_cache_create("colour", 700, 0, 0, NULL, NULL);
	assert_int_equal(slab_test_info("colour").colours, 1);
	slab_offsets(cache, 32, offsets);
	for (size_t i = 0; i < 32; i++)
		assert_int_equal(offsets[i], offsets[0]);
	slab_test_stop();

	slab_test_start("colour_off=128");
	cache = kmem_cache_create("colour", 700, 0, 0, NULL, NULL);
	slab_offsets(cache, 2, offsets);
	assert_int_equal(offsets[1] - offsets[0], 128);
	slab_test_stop();
}

/* --- flags --- */

static void test_alignment(void **state)
{
	(void)state;
	slab_test_start("");
	for (size_t align = 8; align <= 8192; align *= 2) {
		struct kmem_cache *cache = kmem_cache_create("align", 72, align, 0, NULL,
							     NULL);

		for (int i = 0; i < 200; i++)
			assert_int_equal((uintptr_t)kmem_cache_alloc(cache, GFP_KERNEL) %
						 align,
					 0);
		assert_int_equal(slab_check(), 0);
		assert_int_equal(kmem_cache_destroy(cache), -EBUSY);
		slab_test_stop();
		slab_test_start("");
	}
	assert_int_equal(
		(uintptr_t)kmem_cache_alloc(
			kmem_cache_create("line", 40, 0, SLAB_HWCACHE_ALIGN, NULL, NULL),
			0) %
			64,
		0);
	/* Two fit into a line, so half a line is enough. */
	kmem_cache_create("half", 24, 0, SLAB_HWCACHE_ALIGN, NULL, NULL);
	assert_int_equal(slab_test_info("half").objsize_bytes, 32);
	slab_test_stop();
}

static void test_dma_cache(void **state)
{
	struct kmem_cache *dma, *normal;
	void *object;

	(void)state;
	slab_test_start("");
	dma = kmem_cache_create("dma", 512, 0, SLAB_CACHE_DMA, NULL, NULL);
	normal = kmem_cache_create("normal", 512, 0, 0, NULL, NULL);
	object = kmem_cache_alloc(dma, GFP_KERNEL | GFP_DMA);
	assert_int_equal(page_zonenum(virt_to_page(object)), ZONE_DMA);
	object = kmem_cache_alloc(normal, GFP_KERNEL);
	assert_int_equal(page_zonenum(virt_to_page(object)), ZONE_NORMAL);
	assert_null(kmem_cache_alloc(normal, GFP_KERNEL | GFP_DMA));
	assert_string_equal(kmem_last_error(),
			    "cache 'normal' has no DMA memory, create it "
			    "with SLAB_CACHE_DMA");
	assert_null(kmem_cache_alloc(normal, GFP_HIGHUSER));
	assert_null(kmem_cache_alloc(normal, 0x80000000u));
	assert_null(kmem_cache_alloc(normal, GFP_KERNEL | __GFP_NOFAIL | __GFP_NORETRY));
	slab_test_stop();
}

static void test_panic_aborts(void **state)
{
	int status;
	pid_t child;

	(void)state;
	fflush(NULL);
	child = fork();
	if (child == 0) {
		fclose(stderr);
		signal(SIGABRT, SIG_DFL);
		kmem_cache_create("early", 8, 0, SLAB_PANIC, NULL, NULL);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}

static void test_reap_leaves_no_reap_alone(void **state)
{
	struct kmem_cache *yes, *no;

	(void)state;
	slab_test_start("");
	yes = kmem_cache_create("yes", 64, 0, 0, NULL, NULL);
	no = kmem_cache_create("no", 64, 0, SLAB_NO_REAP, NULL, NULL);
	kmem_cache_free(yes, kmem_cache_alloc(yes, GFP_KERNEL));
	kmem_cache_free(no, kmem_cache_alloc(no, GFP_KERNEL));
	assert_int_equal(kmem_cache_reap(), slab_test_info("no").num_slabs);
	assert_int_equal(slab_test_info("yes").num_slabs, 0);
	assert_true(slab_test_info("no").num_slabs > 0);
	assert_int_equal(kmem_cache_reap(), 0);
	slab_test_stop();
}

static void test_zero(void **state)
{
	struct kmem_cache *cache;
	unsigned char *object;

	(void)state;
	slab_test_start("");
	cache = kmem_cache_create("zero", 200, 0, 0, NULL, NULL);
	for (int i = 0; i < 300; i++) {
		object = kmem_cache_alloc(cache, GFP_KERNEL | __GFP_ZERO);
		for (int b = 0; b < 200; b++)
			assert_int_equal(object[b], 0);
		memset(object, 0xff, 200);
		kmem_cache_free(cache, object);
	}
	slab_test_stop();
}

/* --- life --- */

static void test_destroy_busy(void **state)
{
	struct kmem_cache *cache;
	void *objects[3];

	(void)state;
	slab_test_start("");
	cache = kmem_cache_create("x", 300, 0, 0, NULL, NULL);
	for (int i = 0; i < 3; i++)
		objects[i] = kmem_cache_alloc(cache, GFP_KERNEL);
	assert_int_equal(kmem_cache_destroy(cache), -EBUSY);
	assert_string_equal(kmem_last_error(),
			    "cache 'x' still has 3 objects, free them first");
	/* It stays usable. */
	kmem_cache_free(cache, kmem_cache_alloc(cache, GFP_KERNEL));
	for (int i = 0; i < 3; i++)
		kmem_cache_free(cache, objects[i]);
	assert_int_equal(kmem_cache_destroy(cache), 0);
	assert_int_equal(kmem_cache_destroy(NULL), 0);
	slab_test_stop();
}

static void test_shrink_returns_all_pages(void **state)
{
	static const char *const variants[] = {"", "percpu=off", "depot=off", "limit=7"};
	enum { COUNT = 20000 };
	void **objects = calloc(COUNT, sizeof(*objects));

	(void)state;
	for (size_t v = 0; v < KMEM_ARRAY_SIZE(variants); v++) {
		struct kmem_cache *cache;
		uint64_t before;

		slab_test_start(variants[v]);
		cache = kmem_cache_create("shrink", 256, 0, 0, NULL, NULL);
		kmem_cache_reap();
		before = slab_test_free_pages();
		for (int i = 0; i < COUNT; i++)
			objects[i] = kmem_cache_alloc(cache, GFP_KERNEL);
		for (int i = 0; i < COUNT; i++)
			kmem_cache_free(cache, objects[(size_t)i * 7919 % COUNT]);
		assert_int_equal(slab_test_info("shrink").active_objs, 0);
		kmem_cache_shrink(cache);
		kmem_cache_reap(); /* the descriptors off the slabs */
		assert_int_equal(slab_test_info("shrink").num_objs, 0);
		assert_int_equal(slab_test_free_pages(), before);
		slab_test_stop();
	}
	free(objects);
}

static void test_bulk(void **state)
{
	static const char *const variants[] = {"", "percpu=off", "debug=on", "limit=16"};
	static const size_t counts[] = {0, 1, 59, 60, 120, 121, 1000, 5000};
	void **objects = calloc(5000, sizeof(*objects));

	(void)state;
	for (size_t v = 0; v < KMEM_ARRAY_SIZE(variants); v++) {
		struct kmem_cache *cache;

		slab_test_start(variants[v]);
		cache = kmem_cache_create("bulk", 96, 0, 0, NULL, NULL);
		for (size_t c = 0; c < KMEM_ARRAY_SIZE(counts); c++) {
			size_t n = counts[c];

			assert_int_equal(
				kmem_cache_alloc_bulk(cache, GFP_KERNEL, n, objects), n);
			assert_int_equal(slab_test_info("bulk").active_objs, n);
			for (size_t i = 0; i < n; i++)
				memset(objects[i], (int)i, 96);
			for (size_t i = 0; i < n; i++)
				assert_int_equal(*(unsigned char *)objects[i], i & 0xff);
			kmem_cache_free_bulk(cache, n, objects);
			assert_int_equal(slab_test_info("bulk").active_objs, 0);
			assert_int_equal(slab_check(), 0);
		}
		assert_no_report();
		slab_test_stop();
	}
	free(objects);
}

/* --- nodes --- */

static void test_nodes(void **state)
{
	struct kmem_cache *cache;
	void *objects[4][200];

	(void)state;
	slab_test_start("topology=numa:4 core:1 pu:1");
	assert_int_equal(phys_nr_nodes(), 4);
	cache = kmem_cache_create("node", 128, 0, 0, NULL, NULL);
	for (int nid = 0; nid < 4; nid++) {
		for (int i = 0; i < 200; i++) {
			objects[nid][i] = kmem_cache_alloc_node(cache, GFP_KERNEL, nid);
			assert_int_equal(page_to_nid(virt_to_page(objects[nid][i])), nid);
		}
	}
	assert_null(kmem_cache_alloc_node(cache, GFP_KERNEL, 4));
	assert_string_equal(kmem_last_error(),
			    "node '4' does not exist, use 0 to 3 or NUMA_NO_NODE");
	for (int nid = 0; nid < 4; nid++)
		assert_int_equal(
			page_to_nid(virt_to_page(kmalloc_node(100, GFP_KERNEL, nid))),
			nid);
	/* All go home: the next objects of each node are its own again. */
	for (int nid = 0; nid < 4; nid++) {
		for (int i = 0; i < 200; i++)
			kmem_cache_free(cache, objects[nid][i]);
	}
	assert_int_equal(slab_check(), 0);
	assert_int_equal(slab_test_info("node").active_objs, 0);
	for (int nid = 3; nid >= 0; nid--) {
		void *object = kmem_cache_alloc_node(cache, GFP_KERNEL | __GFP_THISNODE,
						     nid);

		assert_int_equal(page_to_nid(virt_to_page(object)), nid);
		kmem_cache_free(cache, object);
	}
	assert_int_equal(kmem_cache_destroy(cache), 0);
	assert_no_report();
	slab_test_stop();
}

static void nid_is(void *object, void *arg)
{
	assert_int_equal(page_to_nid(virt_to_page(object)), *(int *)arg);
}

/* A thread's array gets objects of its own node only; strangers go home. */
static void test_remote_frees_go_home(void **state)
{
	struct kmem_cache *cache;
	void *objects[2][100];
	cpu_set_t before, one;
	int here, there;

	(void)state;
	slab_test_start("topology=numa:2 core:1 pu:1,limit=64,limits=fixed");
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	CPU_ZERO(&one);
	CPU_SET((unsigned int)sched_getcpu(), &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	here = numa_node_id();
	there = 1 - here;
	cache = kmem_cache_create("home", 64, 0, 0, NULL, NULL);
	for (int i = 0; i < 100; i++) {
		objects[0][i] = kmem_cache_alloc_node(cache, GFP_KERNEL, here);
		objects[1][i] = kmem_cache_alloc_node(cache, GFP_KERNEL, there);
	}
	for (int i = 0; i < 100; i++) {
		kmem_cache_free(cache, objects[0][i]);
		kmem_cache_free(cache, objects[1][i]);
	}
	assert_true(magazine_count(&cache->mag) > 0);
	magazine_walk(&cache->mag, nid_is, &here);
	assert_int_equal(cache->node[there].depot.avail +
				 percpu_count(&cache->node[there].alien),
			 100);
	assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
	assert_int_equal(slab_test_info("home").active_objs, 0);
	assert_no_report();
	slab_test_stop();
}

/* A node without memory is served by another one, unless the mask forbids it. */
static void test_node_fallback(void **state)
{
	struct kmem_cache *cache;
	void *object;
	size_t taken = 0;

	(void)state;
	slab_test_start("topology=numa:2 core:1 pu:1,memory=64M,dma=0");
	cache = kmem_cache_create("fall", 4096, 0, 0, NULL, NULL);
	while (kmem_cache_alloc_node(cache, GFP_KERNEL | __GFP_THISNODE | __GFP_NOWARN,
				     1))
		taken++;
	assert_true(taken > 1000);
	object = kmem_cache_alloc_node(cache, GFP_KERNEL, 1);
	assert_non_null(object);
	assert_int_equal(page_to_nid(virt_to_page(object)), 0);
	assert_int_equal(slab_check(), 0);
	slab_test_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_create_and_describe),
		cmocka_unit_test(test_cache_cache_describes_itself),
		cmocka_unit_test(test_create_errors),
		cmocka_unit_test(test_config_errors),
		cmocka_unit_test(test_constructor_once_per_slab_life),
		cmocka_unit_test(test_colours_cycle),
		cmocka_unit_test(test_alignment),
		cmocka_unit_test(test_dma_cache),
		cmocka_unit_test(test_panic_aborts),
		cmocka_unit_test(test_reap_leaves_no_reap_alone),
		cmocka_unit_test(test_zero),
		cmocka_unit_test(test_destroy_busy),
		cmocka_unit_test(test_shrink_returns_all_pages),
		cmocka_unit_test(test_bulk),
		cmocka_unit_test(test_nodes),
		cmocka_unit_test(test_remote_frees_go_home),
		cmocka_unit_test(test_node_fallback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
