/* SPDX-License-Identifier: MIT */
/*
 * Fork while other threads hold every lock there is: the child does all of it again,
 * finds what it was left, and ends. A child that hangs dies by SIGALRM.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include <kmem/error.h>
#include <kmem/mempool.h>
#include <kmem/reclaim.h>

#include "allocators/buddy/buddy_internal.h"
#include "allocators/os/os_cpu.h"
#include "allocators/slab/slab_internal.h"
#include "allocators/vmalloc/vmalloc_internal.h"
#include "tests/vmalloc/stack_config.h"

#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

static struct stack_config config;
static mempool_t *pool;
static atomic_bool stop;
static atomic_int wrong;

static void up(const char *options, bool vmalloc_too)
{
	assert_int_equal(kmem_options_defaults(stack_groups, &config), 0);
	if (kmem_options_parse(stack_groups, options, &config) != 0 ||
	    phys_init(&config.phys) != 0 || buddy_init(&config.buddy) != 0 ||
	    kmem_cache_init(&config.slab) != 0 ||
	    (vmalloc_too && vmalloc_init(&config.vmalloc) != 0))
		fail_msg("%s: %s", options, kmem_last_error());
	atomic_store(&stop, false);
	atomic_store(&wrong, 0);
}

static void down(void)
{
	assert_int_equal(atomic_load(&wrong), 0);
	vmalloc_exit();
	slab_reclaim_exit();
	assert_int_equal(slab_check(), 0);
	kmem_cache_exit();
	buddy_exit();
	phys_exit();
	kmem_options_release(stack_groups, &config);
}

/* --- what threads do, and the child again: one step each --- */

static unsigned long no_pages(struct shrinker *s, int nid)
{
	(void)s, (void)nid;
	return 0;
}

static unsigned long nothing(struct shrinker *s, int nid, unsigned long nr, gfp_t gfp)
{
	(void)s, (void)nid, (void)nr, (void)gfp;
	return 0;
}

static void use_shrinkers(uintptr_t who)
{
	struct shrinker s = {.count = no_pages, .scan = nothing};

	(void)who;
	if (register_shrinker(&s) != 0)
		atomic_fetch_add(&wrong, 1);
	unregister_shrinker(&s);
}

static void use_objects(uintptr_t who)
{
	char *held[300];

	for (int i = 0; i < 300; i++) {
		held[i] = kmalloc((size_t)i * 37 % 9000 + 1, GFP_KERNEL);
		if (held[i] == NULL)
			atomic_fetch_add(&wrong, 1);
		else
			held[i][0] = (char)who;
	}
	for (int i = 0; i < 300; i++) {
		if (held[i] != NULL && held[i][0] != (char)who)
			atomic_fetch_add(&wrong, 1);
		kfree(held[i]);
	}
}

static void use_caches(uintptr_t who)
{
	struct kmem_cache *cache;
	char name[32];

	snprintf(name, sizeof(name), "cache-%d-%d", (int)who, (int)getpid());
	cache = kmem_cache_create(name, 200, 0, 0, NULL, NULL);
	if (cache == NULL) {
		atomic_fetch_add(&wrong, 1);
		return;
	}
	kmem_cache_free(cache, kmem_cache_alloc(cache, GFP_KERNEL));
	kmem_cache_shrink(cache);
	if (kmem_cache_destroy(cache) != 0)
		atomic_fetch_add(&wrong, 1);
}

static void use_reaping(uintptr_t who)
{
	(void)who;
	kmem_cache_reap();
	drain_all_pages();
	buddy_trim();
}

static void use_pool(uintptr_t who)
{
	void *held[6];

	for (int i = 0; i < 6; i++)
		held[i] = mempool_alloc(pool, GFP_NOWAIT);
	mempool_free(mempool_alloc(pool, who == 0 ? GFP_NOWAIT : GFP_KERNEL), pool);
	for (int i = 0; i < 6; i++)
		mempool_free(held[i], pool);
	mempool_destroy(mempool_create_kmalloc_pool(2, 100));
}

static void no_report(const char *report, void *arg)
{
	(void)report, (void)arg;
}

static void use_reports(uintptr_t who)
{
	(void)who;
	kmem_set_bug_handler(no_report, NULL);
	kmem_bug("not a bug");
}

/* Pressure: kswapd runs, and requests reclaim. */
static void use_everything_up(uintptr_t who)
{
	static struct page *taken[2][1 << 14];
	struct page **pages = taken[who % 2];
	size_t n = 0;

	if (who > 1)
		return;
	while (n < 1 << 14 && (pages[n] = alloc_page(GFP_KERNEL | __GFP_NORETRY)) != NULL)
		n++;
	while (n > 0)
		__free_page(pages[--n]);
}

static void (*const steps[])(uintptr_t who) = {
	use_shrinkers, use_objects, use_caches,	 use_reaping,
	use_pool,      use_reports, use_objects,
};
enum { STEPS = KMEM_ARRAY_SIZE(steps) };

static void *repeat(void *arg)
{
	uintptr_t who = (uintptr_t)arg;

	while (!atomic_load(&stop))
		steps[(who - 1) % STEPS](who);
	return NULL;
}

static void *press(void *arg)
{
	while (!atomic_load(&stop)) {
		use_everything_up((uintptr_t)arg);
		usleep(1000);
	}
	return NULL;
}

/* Objects fail while the pressing thread has everything: they are left out then. */
static int child_work(const char **kept)
{
	alarm(60);
	atomic_store(&stop, true);
	atomic_store(&wrong, 0);
	for (int i = 0; i < 50; i++) {
		if (strcmp(kept[i], "kept by the parent") != 0)
			return 2;
	}
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < STEPS; i++)
			steps[i](0);
	}
	return atomic_load(&wrong) == 0 ? 0 : 1;
}

static void run(const char *options, bool pressure, int forks)
{
	pthread_t threads[STEPS + 1];
	char *kept[50];

	up(options, false);
	pool = mempool_create_kmalloc_pool(4, 300);
	assert_non_null(pool);
	for (int i = 0; i < 50; i++) {
		kept[i] = kmalloc(64, GFP_KERNEL);
		strcpy(kept[i], "kept by the parent");
	}
	for (uintptr_t i = 0; i < STEPS; i++) {
		if (pressure && steps[i] == use_objects)
			pthread_create(&threads[i], NULL, press, (void *)1);
		else
			pthread_create(&threads[i], NULL, repeat, (void *)(i + 1));
	}
	for (int i = 0; i < forks; i++) {
		int status = -1;
		pid_t pid = fork();

		if (pid == 0)
			_exit(pressure ? (alarm(60), use_shrinkers(0), use_reaping(0),
					  use_pool(0), use_reports(0), 0)
				       : child_work((const char **)kept));
		assert_true(pid > 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
		usleep(2000);
	}
	atomic_store(&stop, true);
	for (uintptr_t i = 0; i < STEPS; i++)
		pthread_join(threads[i], NULL);
	if (pressure)
		atomic_store(&wrong, 0); /* there may have been no memory */
	for (int i = 0; i < 50; i++)
		kfree(kept[i]);
	assert_int_equal(mempool_destroy(pool), 0);
	down();
	kmem_set_bug_handler(NULL, NULL);
}

#define PRIVATE "backing=private,highmem=0,dma=0,topology=flat,"

static void test_every_lock(void **state)
{
	(void)state;
	run(PRIVATE "memory=256M,kswapd=off", false, 40);
	run(PRIVATE "memory=256M,kswapd=off,lower=lists", false, 20);
	run(PRIVATE "memory=256M,kswapd=off,lower=rows", false, 20);
}

static void test_every_lock_in_lock_mode(void **state)
{
	(void)state;
	os_cpu_force_mode(false);
	run(PRIVATE "memory=256M,kswapd=off", false, 20);
	os_cpu_force_mode(true);
}

static void test_under_pressure(void **state)
{
	(void)state;
#if KMEM_UNDER_TSAN
	print_message(
		"ThreadSanitizer starts no threads in the child of a threaded program\n");
	skip();
#endif
	run(PRIVATE "memory=32M,min_free=1M,kswapd=on", true, 40);
}

/* --- vmalloc: the child shares the frames, and may read, ask and exit --- */

static void *churn_areas(void *arg)
{
	while (!atomic_load(&stop)) {
		void *p[8];

		for (size_t i = 0; i < 8; i++)
			p[i] = vmalloc((i + (uintptr_t)arg) * PAGE_SIZE);
		for (size_t i = 0; i < 8; i++)
			vfree(p[i]);
		if ((uintptr_t)arg == 1)
			vm_unmap_aliases();
	}
	return NULL;
}

static void test_vmalloc(void **state)
{
	pthread_t threads[3];
	char *area;

	(void)state;
	up("memory=64M,dma=0,highmem=16M,topology=flat,kswapd=off,lazy_bytes=1M", true);
	area = vmalloc(3 * PAGE_SIZE);
	strcpy(area, "the parent's");
	for (uintptr_t i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, churn_areas, (void *)(i + 1));
	for (int i = 0; i < 40; i++) {
		struct vmalloc_stats stats;
		int status = -1;
		pid_t pid = fork();

		if (pid == 0) {
			alarm(60);
			vmalloc_stats(&stats);
			if (atomic_load(&vmap_layer.releasing) != 0)
				_exit(1);
			_exit(strcmp(area, "the parent's") == 0 ? 0 : 2);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
	atomic_store(&stop, true);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	vfree(area);
	assert_int_equal(vmalloc_check(), 0);
	down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_lock),
		cmocka_unit_test(test_every_lock_in_lock_mode),
		cmocka_unit_test(test_under_pressure),
		cmocka_unit_test(test_vmalloc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
