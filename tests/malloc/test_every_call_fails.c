/* SPDX-License-Identifier: MIT */
/*
 * Every system call of the library made to fail, one after the other: start-up and some
 * work of all layers. What could not be done says why; what was begun is whole: the
 * walkers find nothing, all pages come back, and the next start works.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <kmem/error.h>
#include <kmem/malloc.h>
#include <kmem/mempool.h>
#include <kmem/reclaim.h>

#include "allocators/buddy/buddy_internal.h"
#include "allocators/buddy/reclaim_internal.h"
#include "allocators/os/os_cpu.h"
#include "allocators/slab/slab_internal.h"
#include "tests/os/os_faults.h"
#include "tests/vmalloc/stack_config.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

/* Every call in turn; only some where a run takes a second. */
#if KMEM_SANITIZED
#define STEP 25
#else
#define STEP 1
#endif

static struct stack_config config;
static bool with_vmalloc;

/* 0, or how far it came; a text says why. */
static int up(void)
{
	if (phys_init(&config.phys) != 0)
		return 1;
	if (buddy_init(&config.buddy) != 0)
		return 2;
	if (kmem_cache_init(&config.slab) != 0)
		return 3;
	if (with_vmalloc && vmalloc_init(&config.vmalloc) != 0)
		return 4;
	return 0;
}

static void fill(void *p, size_t size)
{
	if (p == NULL)
		return;
	memset(p, 0x5a, size < 4 * PAGE_SIZE ? size : 4 * PAGE_SIZE);
	if (size != 0)
		((char *)p)[size - 1] = 0x5a;
}

static void use_pages(void)
{
	struct page *pages[200];
	size_t n = alloc_pages_bulk(GFP_KERNEL, 200, pages);
	struct page *high = alloc_pages(GFP_HIGHUSER | __GFP_ZERO, 2);
	struct page *huge = alloc_pages(GFP_KERNEL, 10);
	void *exact = alloc_pages_exact(5 * PAGE_SIZE, GFP_KERNEL);

	free_pages_bulk(n, pages);
	if (high != NULL)
		__free_pages(high, 2);
	if (huge != NULL)
		__free_pages(huge, 10);
	free_pages_exact(exact, 5 * PAGE_SIZE);
	drain_all_pages();
	buddy_trim();
	phys_hugepage_bytes();
}

static void use_objects(void)
{
	struct kmem_cache *cache = kmem_cache_create("x", 300, 0, 0, NULL, NULL);
	mempool_t *pool = mempool_create_kmalloc_pool(3, 1000);
	void *objects[400];
	size_t n = 0;

	if (cache != NULL) {
		n = kmem_cache_alloc_bulk(cache, GFP_KERNEL, 400, objects);
		kmem_cache_free_bulk(cache, n, objects);
	}
	if (pool != NULL) {
		mempool_free(mempool_alloc(pool, GFP_NOWAIT), pool);
		mempool_resize(pool, 5);
		assert_int_equal(mempool_destroy(pool), 0);
	}
	for (n = 0; n < 100; n++) {
		objects[n] = kmalloc(n * n * 20, GFP_KERNEL);
		fill(objects[n], n * n * 20);
	}
	while (n > 0)
		kfree(objects[--n]);
	kmem_cache_reap();
	assert_int_equal(kmem_cache_destroy(cache), 0);
}

static void use_areas(void)
{
	void *small = vmalloc(3 * PAGE_SIZE), *large = vzalloc(520 * PAGE_SIZE);
	void *either = kvmalloc(5 << 20, GFP_KERNEL);

	fill(small, 3 * PAGE_SIZE);
	fill(large, 520 * PAGE_SIZE);
	fill(either, 5 << 20);
	vfree(small);
	vfree(large);
	kvfree(either);
	vm_unmap_aliases();
}

/* Everything there is, so that kswapd wakes; it is given time to fail. */
static void use_everything_up(void)
{
	enum { MAX = 1 << 14 };
	static struct page *pages[MAX];
	struct timespec t = {.tv_nsec = 500000};
	size_t n = 0;

	while (n < MAX && (pages[n] = alloc_page(GFP_HIGHUSER | __GFP_NOWARN)) != NULL)
		n++;
	nanosleep(&t, NULL);
	while (n > 0)
		__free_page(pages[--n]);
}

static void work(bool pressure)
{
	use_pages();
	use_objects();
	if (with_vmalloc)
		use_areas();
	if (pressure)
		use_everything_up();
}

static uint64_t free_pages_left(void)
{
	struct buddy_stats stats;

	drain_all_pages();
	buddy_stats(NUMA_NO_NODE, MAX_NR_ZONES, &stats);
	assert_int_equal(stats.pcp_pages, 0);
	return stats.total_pages - stats.free_pages;
}

static int open_files(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) != -1;
	return n;
}

/* Stops every background thread, walks, and takes all down; nothing may be held. */
static void down(int came_to)
{
	os_faults.fail_at = 0; /* goes on counting what is mapped; kswapd may run */
	slab_reclaim_exit();
	kswapd_exit();
	if (came_to == 0 && with_vmalloc) {
		vm_unmap_aliases(); /* what the failure has left mapped */
		assert_int_equal(vmalloc_check(), 0);
		vmalloc_exit();
	}
	if (came_to == 0 || came_to == 4) {
		if (slab_check() != 0)
			fail_msg("%s", kmem_last_error());
		kmem_cache_exit();
	}
	if (came_to == 0 || came_to >= 3) {
		if (buddy_check() != 0)
			fail_msg("%s", kmem_last_error());
		assert_int_equal(free_pages_left(), 0);
		buddy_exit();
	}
	phys_exit();
	os_faults_disarm();
}

/* True when there was no such call. */
static bool one_run(long fail_at, int err, bool pressure)
{
	int came_to, files = open_files();
	bool none;

	kmem_error(0, "%s", "");
	os_faults.mapped_bytes = 0;
	os_faults.munmaps_failed = 0;
	os_faults_arm_all(fail_at, err);
	came_to = up();
	if (came_to == 0)
		work(pressure);
	none = os_faults.failed == 0;
	/* The layer that refused has a sentence for it. */
	if (came_to != 0 && strlen(kmem_last_error()) < 20)
		fail_msg("call %ld, errno %d: layer %d says nothing", fail_at, err,
			 came_to);
	down(came_to);
	assert_int_equal(open_files(), files);
	/* The per-CPU areas belong to the process; the first run has made them. */
	if (fail_at != 0 && os_faults.munmaps_failed == 0)
		assert_int_equal(os_faults.mapped_bytes, 0);
	return none;
}

static void run(const char *options, bool vmalloc_too, bool pressure)
{
	static const int errors[] = {ENOMEM, EINVAL, EPERM};

	assert_int_equal(kmem_options_defaults(stack_groups, &config), 0);
	assert_int_equal(kmem_options_parse(stack_groups, options, &config), 0);
	with_vmalloc = vmalloc_too;
	assert_true(one_run(0, 0, pressure)); /* brings the per-CPU areas into being */
	for (size_t e = 0; e < (STEP == 1 ? KMEM_ARRAY_SIZE(errors) : 1); e++) {
		long n = 1;

		while (!one_run(n, errors[e], pressure)) {
			n += 1 + rand() % (n < (e == 0 ? 150 : 40) ? STEP : STEP + 4);
			assert_true(n < 20000);
		}
		assert_true(n > 30);
	}
	assert_true(one_run(0, 0, pressure));
	kmem_options_release(stack_groups, &config);
}

static void test_memfd(void **state)
{
	(void)state;
	run("memory=64M,highmem=16M,topology=numa:2 core:1 pu:1,range_bytes=1G,kswapd=off",
	    true, false);
	run("memory=64M,highmem=16M,topology=flat,range_bytes=1G,kswapd=off,hugepages=always,"
	    "lower=rows,lazy_bytes=0",
	    true, false);
}

static void test_private(void **state)
{
	(void)state;
	run("memory=64M,backing=private,highmem=0,topology=flat,kswapd=off", false,
	    false);
	run("memory=64M,backing=private,highmem=0,topology=flat,kswapd=off,hugepages=always,"
	    "lower=rows,pcp=off",
	    false, false);
}

/* kswapd among them: its threads, its sleep and its wake-up. */
static void test_under_pressure(void **state)
{
	(void)state;
	run("memory=16M,dma=0,highmem=0,topology=flat,kswapd=on,min_free=1M,backing=private",
	    false, true);
	run("memory=16M,dma=0,highmem=0,topology=flat,lower=rows,purge_ms=1,min_free=1M",
	    false, true);
}

/* --- malloc --- */

static void test_as_malloc(void **state)
{
	static const int errors[] = {ENOMEM, EINVAL, EPERM};
	bool done = false;

	(void)state;
	for (size_t e = 0; e < (STEP == 1 ? KMEM_ARRAY_SIZE(errors) : 1); e++) {
		done = false;
		for (long n = 1; !done; n += 1 + rand() % STEP) {
			void *p[11];

			os_faults_arm_all(n, errors[e]);
			for (size_t i = 0; i < 11; i++) {
				size_t size = (size_t)10 << 2 * i;

				errno = 0;
				p[i] = i % 3 == 2 ? kmem_calloc(1, size)
						  : kmem_malloc(size);
				assert_true(p[i] != NULL || errno == ENOMEM);
				fill(p[i], size);
			}
			for (size_t i = 0; i < 11; i++) {
				void *q = kmem_realloc(p[i], ((size_t)10 << 2 * i) * 3);

				p[i] = q != NULL ? q : p[i];
			}
			for (size_t i = 0; i < 11; i++)
				kmem_free(p[i]);
			kmem_malloc_trim();
			done = os_faults.failed == 0;
			os_faults_disarm();
			if (kmem_malloc_check() != 0)
				fail_msg("%s", kmem_last_error());
			kmem_malloc_exit();
			assert_true(n < 2000);
		}
	}
}

/* --- single calls --- */

static void test_cpus_without_sys(void **state)
{
	unsigned int cpus = os_count_possible_cpus();

	(void)state;
	for (long n = 1; n <= 2; n++) {
		os_faults_arm_all(n, EACCES);
		/* What the C library counts: never less than those that are there. */
		assert_in_range(os_count_possible_cpus(), 1, cpus);
		assert_int_equal(os_faults.failed, 1);
		os_faults_disarm();
	}
}

static int no_membarrier(int cmd)
{
	(void)cmd;
	errno = EPERM;
	return -1;
}

static int no_affinity(pid_t tid, size_t size, const cpu_set_t *cpus)
{
	(void)tid, (void)size, (void)cpus;
	errno = EPERM;
	return -1;
}

static void put(void *entry, void *arg)
{
	(void)entry;
	++*(size_t *)arg;
}

/* Taken away from the running process: the CPUs are visited, or nothing is drained. */
static void test_membarrier_is_taken_away(void **state)
{
	static const struct os_hooks barrier = {.membarrier = no_membarrier};
	static const struct os_hooks both = {.membarrier = no_membarrier,
					     .sched_setaffinity = no_affinity};
	struct percpu_stacks stacks;
	struct magazines mag;
	size_t drained = 0;
	cpu_set_t before, after;

	(void)state;
	if (!os_percpu_lockless())
		skip();
	assert_int_equal(percpu_stacks_init(&stacks, 8), 0);
	assert_true(percpu_push(&stacks, &stacks));
	assert_true(percpu_push(&stacks, &stacks));
	assert_int_equal(magazine_create(&mag, 8, 0), 0);
	assert_true(magazine_push(&mag, &mag));
	os_set_hooks(&both);
	assert_false(os_restart_sequences());
	percpu_drain_all(&stacks, false, put, &drained);
	assert_int_equal(drained, 0);
	assert_int_equal(percpu_count(&stacks), 2);
	assert_ptr_equal(percpu_pop(&stacks), &stacks);
	assert_true(percpu_push(&stacks, &stacks));
	magazine_drain_all(&mag, false, put, &drained);
	assert_int_equal(drained, 0);
	assert_ptr_equal(magazine_pop(&mag), &mag);
	assert_true(magazine_push(&mag, &mag));
	os_set_hooks(&barrier);
	sched_getaffinity(0, sizeof(before), &before);
	assert_true(os_restart_sequences());
	sched_getaffinity(0, sizeof(after), &after);
	assert_true(CPU_EQUAL(&before, &after));
	percpu_drain_all(&stacks, false, put, &drained);
	assert_int_equal(drained, 2);
	magazine_drain_all(&mag, false, put, &drained);
	assert_int_equal(drained, 3);
	magazine_destroy(&mag);
	/* From the start: locks. */
	os_cpu_force_mode(true);
	assert_false(os_percpu_lockless());
	os_set_hooks(NULL);
	os_cpu_force_mode(true);
	assert_true(os_percpu_lockless());
	percpu_stacks_destroy(&stacks);
}

static int no_thread(pthread_t *thread, void *(*fn)(void *arg), void *arg)
{
	(void)thread, (void)fn, (void)arg;
	return EAGAIN;
}

static unsigned long ready;
static _Atomic unsigned long asked;

static unsigned long count(struct shrinker *s, int nid)
{
	(void)s, (void)nid;
	return ready;
}

static unsigned long scan(struct shrinker *s, int nid, unsigned long nr, gfp_t gfp)
{
	(void)s, (void)nid, (void)nr, (void)gfp;
	asked++;
	return 0;
}

/* No thread for kswapd: requests reclaim themselves, and later it starts after all. */
static void test_no_thread_for_kswapd(void **state)
{
	static const struct os_hooks hooks = {.thread_create = no_thread};
	struct shrinker s = {.count = count, .scan = scan};
	struct timespec t = {.tv_nsec = 100000000};
	struct buddy_stats stats;

	(void)state;
	assert_int_equal(kmem_options_defaults(stack_groups, &config), 0);
	assert_int_equal(kmem_options_parse(stack_groups,
					    "memory=16M,dma=0,highmem=0,topology=flat,"
					    "min_free=1M,backing=private",
					    &config),
			 0);
	assert_int_equal(phys_init(&config.phys), 0);
	assert_int_equal(buddy_init(&config.buddy), 0);
	os_set_hooks(&hooks);
	ready = 1;
	assert_int_equal(register_shrinker(&s), 0);
	use_everything_up();
	buddy_stats(NUMA_NO_NODE, MAX_NR_ZONES, &stats);
	assert_true(asked > 0);
	assert_true(stats.alloc_stalls > 0);
	assert_int_equal(stats.pageoutrun, 0);
	os_set_hooks(NULL);
	for (int i = 0; i < 50 && stats.pageoutrun == 0; i++) {
		nanosleep(&t, NULL);
		use_everything_up();
		buddy_stats(NUMA_NO_NODE, MAX_NR_ZONES, &stats);
	}
	assert_true(stats.pageoutrun > 0);
	unregister_shrinker(&s);
	buddy_exit();
	phys_exit();
	/* Where it was asked for by name, it says so. */
	config.buddy.purge_ms = 5;
	config.buddy.lower = BUDDY_ROWS;
	assert_int_equal(phys_init(&config.phys), 0);
	os_set_hooks(&hooks);
	assert_int_equal(buddy_init(&config.buddy), -EAGAIN);
	os_set_hooks(NULL);
	assert_non_null(strstr(kmem_last_error(), "kswapd=off"));
	phys_exit();
	kmem_options_release(stack_groups, &config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memfd),
		cmocka_unit_test(test_private),
		cmocka_unit_test(test_under_pressure),
		cmocka_unit_test(test_as_malloc),
		cmocka_unit_test(test_cpus_without_sys),
		cmocka_unit_test(test_membarrier_is_taken_away),
		cmocka_unit_test(test_no_thread_for_kswapd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
