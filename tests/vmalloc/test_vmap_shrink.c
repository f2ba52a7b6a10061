/* SPDX-License-Identifier: MIT */
/*
 * Memory pressure: requests for pages, kswapd, and vmalloc itself take the pages of
 * freed areas back; nobody waits for itself, and a fork in the midst of it loses nothing.
 */
#include "allocators/os/os_cpu.h"
#include "tests/vmalloc/vmalloc_test.h"

#include <errno.h>
#include <kmem/reclaim.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MEMORY "memory=64M,dma=0,highmem=0,min_free=2M,topology=numa:1 core:1 pu:1"

enum { PAGES_MAX = 1 << 14 };

static struct page *pages[PAGES_MAX];

static struct vmalloc_stats stats_now(void)
{
	struct vmalloc_stats stats;

	vmalloc_stats(&stats);
	return stats;
}

static struct buddy_stats page_stats(int nid)
{
	struct buddy_stats stats;

	buddy_stats(nid, MAX_NR_ZONES, &stats);
	return stats;
}

/* Single pages until none is to be had; returns how many. */
static size_t take_pages(gfp_t gfp)
{
	size_t n = 0;

	while (n < PAGES_MAX && (pages[n] = alloc_page(gfp | __GFP_NOWARN)) != NULL)
		n++;
	assert_true(n < PAGES_MAX);
	return n;
}

static void give_pages(size_t n)
{
	while (n > 0)
		__free_page(pages[--n]);
}

/* Freed areas of all kinds: on stacks and in the pool; one has a page array of its own.
 */
static void leave_areas(int nid)
{
	static const size_t sizes[] = {1, 2, 7, 16, 40, 64, 65, 300, 700};
	void *p[4 * KMEM_ARRAY_SIZE(sizes)];

	for (size_t i = 0; i < KMEM_ARRAY_SIZE(p); i++) {
		p[i] = vmalloc_node(sizes[i % KMEM_ARRAY_SIZE(sizes)] * PAGE_SIZE, nid);
		assert_non_null(p[i]);
	}
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(p); i++)
		vfree(p[i]);
}

static void run_direct(const char *options)
{
	uint64_t lazy;
	size_t without, n;

	stack_up(options);
	leave_areas(0);
	lazy = stats_now().lazy_pages;
	assert_in_range(lazy, 4700, 4800);
	/* Who must not wait does not reclaim. */
	without = take_pages(GFP_ATOMIC);
	assert_int_equal(stats_now().lazy_pages, lazy);
	give_pages(without);
	n = take_pages(GFP_KERNEL);
	assert_int_equal(stats_now().lazy_pages, 0);
	assert_int_equal(stats_now().lazy_areas, 0);
	/* All but what min keeps from it. */
	assert_true(n + page_stats(NUMA_NO_NODE).pages_min >= without + lazy);
	assert_true(page_stats(NUMA_NO_NODE).slabs_scanned > 0);
	assert_true(page_stats(NUMA_NO_NODE).pgsteal_direct >= lazy);
	assert_vmalloc_sound();
	give_pages(n);
	stack_down();
}

static void a_request_gets_the_pages(void **state)
{
	(void)state;
	run_direct(MEMORY);
	run_direct(MEMORY ",pcp=off,lower=lists");
	run_direct(MEMORY ",search=list,runs=off");
}

/* It gives what is asked for, not everything: of the pool what was freed first. */
static void a_little_at_a_time(void **state)
{
	void *old, *new;
	uint64_t lazy;

	(void)state;
	stack_up(MEMORY);
	old = vmalloc(80 * PAGE_SIZE);
	new = vmalloc(90 * PAGE_SIZE);
	vfree(old);
	vfree(new);
	leave_areas(0);
	lazy = stats_now().lazy_pages;
	assert_true(try_to_free_pages(0, GFP_KERNEL, 0) >= 32);
	assert_in_range(lazy - stats_now().lazy_pages, 32, 400);
	assert_ptr_equal(vmalloc(90 * PAGE_SIZE), new);
	assert_vmalloc_sound();
	vfree(new);
	/* Until nothing is left. */
	for (int i = 0; i < 1000 && stats_now().lazy_pages != 0; i++)
		assert_int_not_equal(try_to_free_pages(0, GFP_KERNEL, 0), 0);
	assert_int_equal(stats_now().lazy_pages, 0);
	stack_down();
}

/* While somebody else is at it, or at a check, it gives nothing and does not wait. */
static void one_at_a_time(void **state)
{
	uint64_t lazy;

	(void)state;
	stack_up(MEMORY);
	leave_areas(0);
	lazy = stats_now().lazy_pages;
	vmap_shrink_stop();
	assert_int_equal(try_to_free_pages(0, GFP_KERNEL, 0), 0);
	assert_int_equal(try_to_free_pages(0, GFP_KERNEL, 0), 0);
	assert_int_equal(stats_now().lazy_pages, lazy);
	vmap_shrink_go_on();
	assert_true(try_to_free_pages(0, GFP_KERNEL, 0) > 0);
	/* Nor has it kept the lock. */
	assert_true(try_to_free_pages(0, GFP_KERNEL, 0) > 0);
	assert_true(stats_now().lazy_pages < lazy);
	stack_down();
}

static void kswapd_does_too(void **state)
{
	struct timespec t = {.tv_nsec = 10000000};
	uint64_t lazy;
	size_t n;

	(void)state;
	stack_up(MEMORY ",kswapd=on");
	leave_areas(0);
	lazy = stats_now().lazy_pages;
	n = take_pages(GFP_ATOMIC);
	/* It counts what it took after it took it. */
	for (int i = 0; i < 500 && (stats_now().lazy_pages == lazy ||
				    page_stats(NUMA_NO_NODE).pgsteal_kswapd == 0);
	     i++)
		nanosleep(&t, NULL);
	assert_true(stats_now().lazy_pages < lazy);
	assert_true(page_stats(NUMA_NO_NODE).pgsteal_kswapd > 0);
	assert_int_equal(page_stats(NUMA_NO_NODE).pgsteal_direct, 0);
	assert_vmalloc_sound(); /* though kswapd may be at work */
	give_pages(n);
	stack_down();
}

/* vmalloc is who asks: in the midst of making an area it reclaims others. */
static void vmalloc_reclaims(void **state)
{
	uint64_t lazy;
	void *p;

	(void)state;
	stack_up(MEMORY);
	leave_areas(0);
	lazy = stats_now().lazy_pages;
	/* More than is free, less than there would be. */
	p = vmalloc((page_stats(NUMA_NO_NODE).free_pages + lazy / 2) * PAGE_SIZE);
	assert_non_null(p);
	assert_true(page_stats(NUMA_NO_NODE).pgsteal_direct > 0);
	assert_in_range(stats_now().lazy_pages, 1, lazy - 1);
	vfree(p);
	assert_vmalloc_sound();
	stack_down();
}

static void each_node_its_own(void **state)
{
	uint64_t lazy;

	(void)state;
	stack_up("memory=64M,dma=0,highmem=0,topology=numa:2 core:1 pu:1,"
		 "lazy_bytes=256M");
	leave_areas(0);
	lazy = stats_now().lazy_pages;
	assert_int_equal(vmap_lazy_pages(0), lazy);
	assert_int_equal(vmap_lazy_pages(1), 0);
	assert_int_equal(try_to_free_pages(1, GFP_KERNEL, 10), 0);
	assert_int_equal(stats_now().lazy_pages, lazy);
	leave_areas(1);
	assert_int_equal(vmap_lazy_pages(1), lazy);
	assert_true(try_to_free_pages(1, GFP_KERNEL, 10) >= 1024);
	/* Page arrays come from the node that the thread is on. */
	assert_in_range(vmap_lazy_pages(0), lazy - 8, lazy + 8);
	assert_in_range(vmap_lazy_pages(1), 1, lazy - 1024);
	assert_int_equal(page_stats(0).pgsteal_direct, 0);
	assert_vmalloc_sound();
	stack_down();
}

static void *refuse_to_map(void *addr, size_t size, int prot, int flags, int fd,
			   off_t offset)
{
	(void)addr, (void)size, (void)prot, (void)flags, (void)fd, (void)offset;
	errno = ENOMEM;
	return MAP_FAILED;
}

static int refuse_to_protect(void *addr, size_t size, int prot)
{
	(void)addr, (void)size, (void)prot;
	errno = ENOMEM;
	return -1;
}

/* Where the system refuses to unmap, nothing is given back, nor counted so, nor lost. */
static void stuck_areas_stay(void **state)
{
	static const struct os_hooks hooks = {.mmap = refuse_to_map,
					      .mprotect = refuse_to_protect};
	uint64_t lazy, areas;

	(void)state;
	stack_up(MEMORY);
	leave_areas(0);
	lazy = stats_now().lazy_pages;
	areas = stats_now().lazy_areas;
	kmem_cache_reap();
	os_set_hooks(&hooks);
	assert_int_equal(try_to_free_pages(0, GFP_KERNEL, 10), 0);
	os_set_hooks(NULL);
	assert_int_equal(stats_now().lazy_pages, lazy);
	assert_int_equal(stats_now().lazy_areas, areas);
	assert_vmalloc_sound();
	assert_true(try_to_free_pages(0, GFP_KERNEL, 10) >= 1024);
	assert_vmalloc_sound();
	stack_down();
}

/* --- many at once --- */

static atomic_bool stop;

static void *churn(void *arg)
{
	uint64_t seed = (uintptr_t)arg;
	enum { HELD = 40 };
	uint64_t *held[HELD];
	size_t n = 0;

	while (!atomic_load(&stop)) {
		size_t nr = 1 + next_random(&seed) % 90;

		held[n] = vmalloc(nr * PAGE_SIZE);
		if (held[n] != NULL)
			held[n][0] = held[n][nr * PAGE_SIZE / 8 - 1] = nr;
		n += held[n] != NULL;
		if (n == HELD || (n > 0 && held[n] == NULL))
			while (n > 0)
				vfree(held[--n]);
	}
	while (n > 0)
		vfree(held[--n]);
	return NULL;
}

#if KMEM_SANITIZED
#define ROUNDS 10
#else
#define ROUNDS 40
#endif

static void press(const char *options, bool use_rseq)
{
	pthread_t threads[3];

	alarm(240);
	os_cpu_force_mode(use_rseq);
	stack_up(options);
	atomic_store(&stop, false);
	for (uintptr_t i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, churn, (void *)(i + 1));
	for (int i = 0; i < ROUNDS; i++) {
		size_t n = take_pages(GFP_KERNEL);

		give_pages(n);
		try_to_free_pages(0, GFP_KERNEL, i % MAX_ORDER);
		if (i % 8 == 0)
			vm_unmap_aliases();
	}
	atomic_store(&stop, true);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	assert_int_not_equal(page_stats(NUMA_NO_NODE).slabs_scanned, 0);
	stack_down();
	alarm(0);
}

static void threads_under_pressure(void **state)
{
	(void)state;
	press(MEMORY ",kswapd=on", true);
	press(MEMORY ",kswapd=on,lazy_bytes=4M", false);
}

static void *reclaim(void *arg)
{
	while (!atomic_load(&stop))
		try_to_free_pages(0, GFP_KERNEL, 3);
	return arg;
}

/* A child shares the frames and must not use areas, but may ask for what they hold. */
static void fork_in_the_midst(void **state)
{
	pthread_t threads[2];

	(void)state;
	stack_up(MEMORY);
	atomic_store(&stop, false);
	pthread_create(&threads[0], NULL, churn, (void *)7);
	pthread_create(&threads[1], NULL, reclaim, NULL);
	for (int i = 0; i < ROUNDS; i++) {
		int status = -1;
		pid_t pid = fork();

		if (pid == 0) {
			alarm(60);
			vmap_shrink_stop();
			vmap_shrink_go_on();
			_exit(vmap_lazy_pages(0) <= kmem_nr_frames ? 0 : 1);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
	atomic_store(&stop, true);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	stack_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		vmalloc_test(a_request_gets_the_pages),
		vmalloc_test(a_little_at_a_time),
		vmalloc_test(one_at_a_time),
		vmalloc_test(kswapd_does_too),
		vmalloc_test(vmalloc_reclaims),
		vmalloc_test(each_node_its_own),
		vmalloc_test(stuck_areas_stay),
		vmalloc_test(threads_under_pressure),
		vmalloc_test(fork_in_the_midst),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
