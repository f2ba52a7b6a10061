/* SPDX-License-Identifier: MIT */
/*
 * Reclaim: shrinkers, kswapd and its watermarks, direct reclaim, what the reclaimer
 * itself may take, purging by age, and a child after fork.
 */
#include "tests/buddy/buddy_test.h"
#include "allocators/buddy/reclaim_internal.h"
#include "allocators/buddy/rows_internal.h"
#include "allocators/os/os_mem.h"

#include <kmem/reclaim.h>
#include <pthread.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MEMORY "memory=64M,dma=0,highmem=0,topology=numa:1 pu:1,min_free=4M,lower=rows"

enum { CACHE_MAX = 1 << 16 };

/* A cache of single pages, oldest first out. */
static struct {
	pthread_mutex_t lock;
	struct page *page[CACHE_MAX];
	size_t first;
	_Atomic size_t n; /* written under lock */
	_Atomic unsigned long scans;
	bool allocates; /* while it scans */
} cache = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void cache_add(struct page *page)
{
	pthread_mutex_lock(&cache.lock);
	assert_true(cache.n < CACHE_MAX);
	cache.page[(cache.first + cache.n++) % CACHE_MAX] = page;
	pthread_mutex_unlock(&cache.lock);
}

static struct page *cache_remove(void)
{
	struct page *page = NULL;

	pthread_mutex_lock(&cache.lock);
	if (cache.n > 0) {
		page = cache.page[cache.first++ % CACHE_MAX];
		cache.n--;
	}
	pthread_mutex_unlock(&cache.lock);
	return page;
}

static unsigned long count(struct shrinker *s, int nid)
{
	(void)s, (void)nid;
	return cache.n;
}

static unsigned long scan(struct shrinker *s, int nid, unsigned long nr, gfp_t gfp)
{
	unsigned long freed = 0;
	struct page *page;

	(void)s, (void)nid;
	cache.scans++;
	if (cache.allocates) {
		/* The reclaimer is served below every mark, and does not reclaim again.
		 */
		page = alloc_page(gfp);
		assert_non_null(page);
		__free_page(page);
	}
	for (; freed < nr && (page = cache_remove()) != NULL; freed++)
		__free_page(page);
	return freed;
}

static struct shrinker shrinker = {.count = count, .scan = scan};

static void up(const char *options)
{
	cache.n = 0;
	cache.first = 0;
	cache.scans = 0;
	cache.allocates = false;
	mm_up(options);
	assert_int_equal(register_shrinker(&shrinker), 0);
}

static void down(void)
{
	struct page *page;

	unregister_shrinker(&shrinker);
	while ((page = cache_remove()) != NULL)
		__free_page(page);
	mm_down();
}

static void wait_ms(long ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

static void test_registration(void **state)
{
	struct shrinker nothing = {.arg = NULL};

	(void)state;
	assert_int_equal(register_shrinker(&shrinker), -EINVAL);
	up(MEMORY);
	assert_int_equal(register_shrinker(&shrinker), -EINVAL);
	assert_non_null(strstr(kmem_last_error(), "registered already"));
	assert_int_equal(register_shrinker(&nothing), -EINVAL);
	assert_non_null(strstr(kmem_last_error(), "count and scan"));
	unregister_shrinker(&nothing);
	down();
}

/* A request that may wait never fails while the cache has something to give. */
static void fill_past_memory(const char *options)
{
	up(options);
	for (int i = 0; i < 60000; i++) {
		struct page *page = alloc_page(GFP_KERNEL);

		assert_non_null(page);
		cache_add(page);
	}
	assert_true(cache.scans > 0);
}

static void test_kswapd_keeps_up(void **state)
{
	struct buddy_stats s;

	(void)state;
	fill_past_memory(MEMORY);
	for (int i = 0; i < 500 && all_stats().free_pages < all_stats().pages_high; i++)
		wait_ms(10);
	s = all_stats();
	assert_true(s.kswapd_wakes > 0);
	assert_true(s.pageoutrun > 0);
	assert_true(s.pgsteal_kswapd > 0);
	assert_true(s.free_pages + s.pcp_pages >= s.pages_low);
	/* It stops at the high mark, or a little above: the cache is not emptied. */
	assert_true(cache.n > s.total_pages / 2);
	down();
}

static void test_direct_reclaim(void **state)
{
	struct buddy_stats s;

	(void)state;
	fill_past_memory("memory=64M,dma=0,highmem=0,topology=numa:1 pu:1,min_free=4M,"
			 "kswapd=off,lower=lists");
	down();
	fill_past_memory(MEMORY ",kswapd=off");
	s = all_stats();
	assert_int_equal(s.pageoutrun, 0);
	assert_int_equal(s.pgsteal_kswapd, 0);
	assert_true(s.pgsteal_direct > 0);
	assert_true(s.alloc_stalls > 0);
	assert_true(s.slabs_scanned >= s.pgsteal_direct);
	/* Who cannot wait is refused instead, having used three quarters of min. */
	for (;;) {
		struct page *page = alloc_page(GFP_ATOMIC);

		if (page == NULL)
			break;
		cache_add(page);
	}
	drain_all_pages();
	s = all_stats();
	assert_true(s.free_pages <= s.pages_min / 4 + 64);
	down();
}

static void test_reclaimer_is_served(void **state)
{
	(void)state;
	up(MEMORY ",kswapd=off,pcp=off");
	cache.allocates = true;
	for (int i = 0; i < 30000; i++) {
		struct page *page = alloc_page(GFP_KERNEL);

		assert_non_null(page);
		cache_add(page);
	}
	assert_true(all_stats().pgsteal_direct > 0);
	down();
}

/* Huge pages that are free and stay so lose their memory; others keep it. */
static void test_purge_by_age(void **state)
{
	struct page *page;
	char *idle, *busy;

	(void)state;
	mm_up("memory=64M,dma=0,highmem=0,topology=numa:1 pu:1,pcp=off,purge_ms=20,lower=rows");
	page = alloc_pages(GFP_KERNEL, 9);
	idle = pfn_to_virt(page_to_pfn(page));
	memset(idle, 1, PAGE_SIZE << 9);
	busy = (char *)__get_free_pages(GFP_KERNEL, 9);
	memset(busy, 2, PAGE_SIZE << 9);
	__free_pages(page, 9);
	for (int i = 0; i < 500 && all_stats().purged_pages == 0; i++)
		wait_ms(10);
	assert_int_equal(all_stats().purged_pages, 512);
	assert_int_equal(idle[12345], 0);
	assert_int_equal(busy[12345], 2);
	/* Once is enough for what nobody has touched since. */
	wait_ms(100);
	assert_int_equal(all_stats().purged_pages, 512);
	free_pages((unsigned long)busy, 9);
	mm_down();
}

/* kswapd is not there in a child, and starts again where it is needed. */
/* The child uses more than there is, so that it needs a kswapd of its own. */
static void fill_in_child(void)
{
	for (int i = 0; i < 30000; i++) {
		struct page *page = alloc_page(GFP_KERNEL);

		if (page == NULL)
			_exit(1);
		cache_add(page);
	}
	for (int i = 0; i < 500 && all_stats().pgsteal_kswapd == 0; i++)
		wait_ms(10);
	if (all_stats().pgsteal_kswapd == 0)
		_exit(2);
	/* Stops it, so that nothing moves. */
	unregister_shrinker(&shrinker);
	kswapd_exit();
	_exit(buddy_check() == 0 ? 0 : 3);
}

static void fork_and_fill(void)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		os_set_hooks(NULL);
		fill_in_child();
	}
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void up_for_fork(void)
{
#if KMEM_UNDER_TSAN
	print_message(
		"ThreadSanitizer starts no threads in the child of a threaded program\n");
	skip();
#endif
	up("backing=private," MEMORY);
	for (int i = 0; i < 5000; i++)
		cache_add(alloc_page(GFP_KERNEL));
	assert_int_equal(all_stats().kswapd_wakes, 0);
}

static void test_fork(void **state)
{
	(void)state;
	up_for_fork();
	fork_and_fill();
	down();
}

static _Atomic int creations, may_create;

static int refuse_thread(pthread_t *thread, void *(*fn)(void *arg), void *arg)
{
	(void)thread, (void)fn, (void)arg;
	creations++;
	return EAGAIN;
}

/* The parent has been refused a thread a moment ago: the child need not wait for that. */
static void test_fork_after_a_refusal(void **state)
{
	static const struct os_hooks hooks = {.thread_create = refuse_thread};

	(void)state;
	up_for_fork();
	creations = 0;
	os_set_hooks(&hooks);
	for (int i = 0; creations == 0; i++) {
		assert_true(i < 30000);
		cache_add(alloc_page(GFP_KERNEL));
	}
	fork_and_fill();
	os_set_hooks(NULL);
	down();
}

static int create_later(pthread_t *thread, void *(*fn)(void *arg), void *arg)
{
	creations++;
	while (!may_create)
		wait_ms(1);
	return os_hooks_system.thread_create(thread, fn, arg);
}

static void *fill_until_it_starts(void *arg)
{
	for (int i = 0; i < 30000 && creations == 0; i++)
		cache_add(alloc_page(GFP_KERNEL));
	return arg;
}

/* Another thread is starting it while the parent forks, and is not there in the child. */
static void test_fork_while_it_starts(void **state)
{
	static const struct os_hooks hooks = {.thread_create = create_later};
	pthread_t thread;

	(void)state;
	up_for_fork();
	creations = may_create = 0;
	os_set_hooks(&hooks);
	assert_int_equal(pthread_create(&thread, NULL, fill_until_it_starts, NULL), 0);
	while (creations == 0)
		wait_ms(1);
	fork_and_fill();
	may_create = 1;
	pthread_join(thread, NULL);
	os_set_hooks(NULL);
	down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_registration),
		cmocka_unit_test(test_kswapd_keeps_up),
		cmocka_unit_test(test_direct_reclaim),
		cmocka_unit_test(test_reclaimer_is_served),
		cmocka_unit_test(test_purge_by_age),
		cmocka_unit_test(test_fork),
		cmocka_unit_test(test_fork_after_a_refusal),
		cmocka_unit_test(test_fork_while_it_starts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
