/* SPDX-License-Identifier: MIT */
/* kmap and kmap_atomic: what each call promises, and misuse. */
#include "tests/vmalloc/kmap_test.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static void direct_pages_cost_nothing(void **state)
{
	struct page *page;

	(void)state;
	kmap_up(NULL, 4, true, 1);
	for (int i = 0; i < 100; i++) {
		page = alloc_page(GFP_KERNEL);
		assert_non_null(page);
		assert_ptr_equal(kmap(page), page_address(page));
		assert_ptr_equal(kmap_atomic(page), page_address(page));
		kunmap_atomic(page_address(page));
		kunmap(page);
		assert_int_equal(atomic_load(&page->_mapcount), 0);
		__free_page(page);
	}
	assert_int_equal(kmap_stats_now().pkmap_maps, 0);
	assert_int_equal(kmap_stats_now().atomic_stacks, 0);
	kmap_down();
	/* Even before kmap_init(), and with the backing that has no HIGHMEM. */
	stack_up_below("backing=private,highmem=0");
	page = alloc_page(GFP_KERNEL);
	assert_ptr_equal(kmap(page), page_address(page));
	assert_ptr_equal(kmap_atomic(page), page_address(page));
	kunmap_atomic(page_address(page));
	kunmap(page);
	__free_page(page);
	stack_down_below();
}

static void all_windows_show_the_same_bytes(void **state)
{
	char *window, *atomic, *area;

	(void)state;
	kmap_up(NULL, 4, true, 2);
	window = kmap(high[0]);
	atomic = kmap_atomic(high[0]);
	area = vmap(high, 2, VM_MAP);
	assert_ptr_not_equal(window, atomic);
	window[17] = 'a';
	assert_int_equal(atomic[17], 'a');
	atomic[PAGE_SIZE - 1] = 'b';
	assert_int_equal(area[PAGE_SIZE - 1], 'b');
	assert_int_equal(atomic_load(&high[0]->_mapcount), 3);
	vunmap(area);
	kunmap_atomic(atomic + 100);
	kunmap(high[0]);
	window = kmap(high[1]);
	window[17] = 'c';
	kunmap(high[1]);
	window = kmap(high[0]);
	assert_int_equal(window[17], 'a');
	assert_int_equal(window[PAGE_SIZE - 1], 'b');
	kunmap(high[0]);
	kmap_down();
}

static void users_are_counted(void **state)
{
	void *addr;

	(void)state;
	kmap_up(NULL, 8, true, 2);
	addr = kmap(high[0]);
	for (int i = 0; i < 5; i++)
		assert_ptr_equal(kmap(high[0]), addr);
	assert_ptr_equal(page_address(high[0]), addr);
	assert_int_equal(atomic_load(&high[0]->_mapcount), 1);
	assert_int_equal(kmap_stats_now().pkmap_used, 1);
	for (int i = 0; i < 5; i++)
		kunmap(high[0]);
	assert_ptr_equal(page_address(high[0]), addr);
	kunmap(high[0]);
	assert_null(page_address(high[0]));
	assert_int_equal(kmap_stats_now().pkmap_used, 0);
	assert_int_equal(kmap_stats_now().pkmap_unused, 1);
	/* Still shown: no system call. */
	assert_ptr_equal(kmap(high[0]), addr);
	assert_int_equal(kmap_stats_now().pkmap_maps, 1);
	kunmap(high[0]);
	kmap_down();
}

/* --- flushes --- */

static unsigned int reserves;

static void *counting_mmap(void *addr, size_t size, int prot, int flags, int fd,
			   off_t offset)
{
	if (addr != NULL && prot == PROT_NONE)
		reserves++;
	return mmap(addr, size, prot, flags, fd, offset);
}

static const struct os_hooks counting = {.mmap = counting_mmap};

static void unused_slots_go_in_one_go(void **state)
{
	(void)state;
	kmap_up(NULL, 64, true, 130);
	os_set_hooks(&counting);
	reserves = 0;
	for (int i = 0; i < 64; i++) {
		assert_non_null(kmap(high[i]));
		if (i != 20)
			kunmap(high[i]);
	}
	assert_int_equal(reserves, 0);
	assert_int_equal(kmap_stats_now().pkmap_unused, 63);
	/* The search comes round: the 63 go by two calls, around the one in use. */
	kmap(high[64]);
	assert_int_equal(reserves, 2);
	assert_int_equal(kmap_stats_now().pkmap_flushes, 1);
	assert_int_equal(kmap_stats_now().pkmap_unused, 0);
	assert_int_equal(kmap_stats_now().pkmap_used, 2);
	kunmap(high[64]);
	kunmap(high[20]);
	reserves = 0;
	kmap_flush_unused();
	assert_int_equal(reserves, 1);
	kmap_flush_unused();
	assert_int_equal(reserves, 1);
	os_set_hooks(NULL);
	assert_int_equal(kmap_stats_now().pkmap_unused, 0);
	kmap_down();
}

static void without_flushes_slots_are_mapped_over(void **state)
{
	(void)state;
	kmap_up(NULL, 16, false, 100);
	os_set_hooks(&counting);
	reserves = 0;
	for (int i = 0; i < 100; i++) {
		char *addr = kmap(high[i]);

		assert_non_null(addr);
		addr[8] = (char)i;
		kunmap(high[i]);
	}
	assert_int_equal(reserves, 0);
	assert_int_equal(kmap_stats_now().pkmap_unused, 16);
	assert_int_equal(kmap_stats_now().pkmap_flushes, 0);
	os_set_hooks(NULL);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(((char *)kmap(high[i]))[8], (char)i);
		kunmap(high[i]);
	}
	kmap_down();
}

static bool faults_at(volatile char *addr)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		signal(SIGSEGV, SIG_DFL);
		signal(SIGBUS, SIG_DFL);
		(void)addr[0];
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status != 0;
}

/* What is flushed faults, and so does the page behind the window. */
static void flushed_slots_fault(void **state)
{
	char *addr;

	(void)state;
	kmap_up(NULL, 4, true, 1);
	addr = kmap(high[0]);
	kunmap(high[0]);
	assert_false(faults_at(addr));
	kmap_flush_unused();
	assert_true(faults_at(addr));
	assert_true(faults_at(pkmap_addr(4)));
	kmap_down();
}

/* --- atomic slots --- */

static void atomic_slots_nest(void **state)
{
	char *addr[KMAP_ATOMIC_DEPTH];

	(void)state;
	kmap_up(NULL, 4, true, KMAP_ATOMIC_DEPTH + 1);
	for (unsigned int round = 0; round < 2; round++) {
		for (unsigned int i = 0; i < KMAP_ATOMIC_DEPTH; i++) {
			addr[i] = kmap_atomic(high[i]);
			assert_non_null(addr[i]);
			if (round == 0)
				addr[i][5] = (char)i;
			else
				assert_int_equal(addr[i][5], (char)i);
			assert_int_equal(atomic_load(&high[i]->_mapcount), 1);
			assert_kmap_sound();
		}
		expect_reports();
		assert_null(kmap_atomic(high[KMAP_ATOMIC_DEPTH]));
		assert_report("kmap_atomic() of pfn %lu: the thread has mapped 16 pages, "
			      "which is as many as it may: unmap some, or use kmap()",
			      page_to_pfn(high[KMAP_ATOMIC_DEPTH]));
		for (unsigned int i = KMAP_ATOMIC_DEPTH; i > 0; i--)
			kunmap_atomic(addr[i - 1]);
		/* The second time each slot shows its page already. */
		assert_int_equal(kmap_stats_now().atomic_maps, KMAP_ATOMIC_DEPTH);
		assert_int_equal(kmap_stats_now().atomic_stacks, 1);
	}
	kmap_down();
}

struct held {
	pthread_barrier_t mapped, go_on;
	_Atomic unsigned int good;
};

static void *hold_one(void *arg)
{
	struct held *held = arg;
	size_t i = atomic_fetch_add(&held->good, 1);
	uint64_t *addr = kmap_atomic(high[i]);

	*addr = i;
	pthread_barrier_wait(&held->mapped);
	pthread_barrier_wait(&held->go_on);
	if (*addr != i)
		atomic_fetch_add(&held->good, 1000);
	kunmap_atomic(addr);
	return NULL;
}

/* More threads inside than CPUs have stacks: nobody waits, and the stacks are used again.
 */
static void atomic_never_waits(void **state)
{
	enum { THREADS = 40 };
	pthread_t threads[THREADS];
	struct held held;

	(void)state;
	kmap_up(NULL, 1, true, THREADS);
	kmap(high[0]); /* the window is full */
	pthread_barrier_init(&held.mapped, NULL, THREADS + 1);
	pthread_barrier_init(&held.go_on, NULL, THREADS + 1);
	for (int round = 0; round < 3; round++) {
		atomic_store(&held.good, 0);
		for (int i = 0; i < THREADS; i++)
			assert_int_equal(
				pthread_create(&threads[i], NULL, hold_one, &held), 0);
		pthread_barrier_wait(&held.mapped);
		assert_kmap_sound();
		assert_int_equal(kmap_stats_now().atomic_stacks, THREADS);
		pthread_barrier_wait(&held.go_on);
		for (int i = 0; i < THREADS; i++)
			pthread_join(threads[i], NULL);
		assert_int_equal(atomic_load(&held.good), THREADS);
	}
	pthread_barrier_destroy(&held.mapped);
	pthread_barrier_destroy(&held.go_on);
	kunmap(high[0]);
	kmap_down();
}

/* --- misuse --- */

static void kunmap_misuse_is_reported(void **state)
{
	struct page *wrong = (struct page *)(void *)last_report;

	(void)state;
	kmap_up(NULL, 4, true, 2);
	expect_reports();
	kunmap(high[0]);
	assert_report(
		"kunmap() of pfn %lu: not mapped by kmap(); unmapped twice, or never "
		"mapped",
		page_to_pfn(high[0]));
	kmap(high[1]);
	kunmap(high[1]);
	kunmap(high[1]);
	assert_report(
		"kunmap() of pfn %lu: not mapped by kmap(); unmapped twice, or never "
		"mapped",
		page_to_pfn(high[1]));
	kunmap(wrong);
	assert_report("kunmap() of %p: no page descriptor", (void *)wrong);
	assert_null(kmap(wrong));
	assert_report("kmap() of %p: no page descriptor", (void *)wrong);
	assert_null(kmap_atomic(NULL));
	assert_report("kmap_atomic() of %p: no page descriptor", NULL);
	assert_kmap_sound();
	kmap_down();
}

static void *leave_mapped(void *arg)
{
	kmap_atomic(arg);
	kmap_atomic(arg);
	return NULL;
}

static void unbalanced_atomic_is_reported(void **state)
{
	char *a, *b;
	pthread_t thread;

	(void)state;
	kmap_up(NULL, 4, true, 2);
	expect_reports();
	kunmap_atomic(pkmap_addr(0));
	assert_report("kunmap_atomic() of %p: this thread has nothing mapped by "
		      "kmap_atomic()",
		      (void *)pkmap_addr(0));
	a = kmap_atomic(high[0]);
	b = kmap_atomic(high[1]);
	kunmap_atomic(a);
	assert_report(
		"kunmap_atomic() of %p: the page that this thread mapped last is at "
		"%p; unmap in the opposite order",
		(void *)a, (void *)b);
	kunmap_atomic(b);
	kunmap_atomic(a);
	assert_int_equal(nr_reports, 0);
	kunmap_atomic(a);
	assert_int_equal(nr_reports, 1);
	nr_reports = 0;
	/* A thread that ends so does not keep its stack. */
	assert_int_equal(pthread_create(&thread, NULL, leave_mapped, high[0]), 0);
	pthread_join(thread, NULL);
	assert_report(
		"a thread ended with 2 pages mapped by kmap_atomic(): unmap each by "
		"kunmap_atomic()");
	assert_kmap_sound();
	kmap_down();
}

/* A thread that is inside when all goes, and comes back when there is another window. */
static void *stay_inside(void *arg)
{
	pthread_barrier_t *step = arg;
	uint64_t *addr = kmap_atomic(high[0]);

	pthread_barrier_wait(step); /* inside */
	pthread_barrier_wait(step); /* down */
	kunmap_atomic(addr);
	pthread_barrier_wait(step);
	pthread_barrier_wait(step); /* up again, and another is inside */
	addr = kmap_atomic(high[1]);
	*addr = 1;
	kunmap_atomic(addr);
	return NULL;
}

static void exit_ends_what_was_mapped(void **state)
{
	pthread_barrier_t step;
	pthread_t thread;
	uint64_t *addr;

	(void)state;
	kmap_up(NULL, 4, true, 2);
	expect_reports();
	pthread_barrier_init(&step, NULL, 2);
	assert_int_equal(pthread_create(&thread, NULL, stay_inside, &step), 0);
	pthread_barrier_wait(&step);
	kmap_exit();
	pthread_barrier_wait(&step);
	pthread_barrier_wait(&step);
	assert_int_equal(nr_reports, 1); /* "this thread has nothing mapped" */
	nr_reports = 0;
	assert_int_equal(kmap_init(NULL), 0);
	addr = kmap_atomic(high[0]);
	*addr = 7;
	pthread_barrier_wait(&step);
	pthread_join(thread, NULL);
	assert_int_equal(*addr, 7);
	kunmap_atomic(addr);
	assert_int_equal(nr_reports, 0);
	pthread_barrier_destroy(&step);
	kmap_down();
}

static void *map_and_unmap(void *page)
{
	char *addr = kmap(page);

	if (addr != NULL)
		kunmap(page);
	return addr;
}

/* Who waits for a slot goes on when its frame is shown meanwhile, though no slot is free,
 * whoever else waits. */
static void a_shown_frame_ends_the_wait(void **state)
{
	pthread_t first, second;
	void *addr;

	(void)state;
	for (int round = 0; round < 20; round++) {
		uint64_t before;

		kmap_up(NULL, 1, true, 3);
		before = kmap_stats_now().pkmap_waits;
		kmap(high[0]);
		assert_int_equal(pthread_create(&first, NULL, map_and_unmap, high[1]), 0);
		while (kmap_stats_now().pkmap_waits < before + 1)
			usleep(100);
		assert_int_equal(pthread_create(&second, NULL, map_and_unmap, high[2]),
				 0);
		while (kmap_stats_now().pkmap_waits < before + 2)
			usleep(100);
		alarm(60);
		kunmap(high[0]);
		addr = kmap(high[2]);
		assert_non_null(addr);
		pthread_join(second, &addr);
		assert_non_null(addr);
		kunmap(high[2]);
		pthread_join(first, &addr);
		assert_non_null(addr);
		alarm(0);
		kmap_down();
	}
}

/* The page allocator keeps frames that some window shows to a user. */
static void freeing_a_mapped_page_is_reported(void **state)
{
	struct page *page;
	void *addr;

	(void)state;
	kmap_up(NULL, 4, true, 1);
	page = high[0];
	for (int atomic = 0; atomic < 2; atomic++) {
		expect_reports();
		addr = atomic ? kmap_atomic(page) : kmap(page);
		__free_page(page);
		assert_int_equal(nr_reports, 1);
		assert_non_null(strstr(last_report, "mapped"));
		if (atomic)
			kunmap_atomic(addr);
		else
			kunmap(page);
		kmem_set_bug_handler(NULL, NULL);
	}
	kmap_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		kmap_test(direct_pages_cost_nothing),
		kmap_test(all_windows_show_the_same_bytes),
		kmap_test(users_are_counted),
		kmap_test(unused_slots_go_in_one_go),
		kmap_test(without_flushes_slots_are_mapped_over),
		kmap_test(flushed_slots_fault),
		kmap_test(atomic_slots_nest),
		kmap_test(atomic_never_waits),
		kmap_test(kunmap_misuse_is_reported),
		kmap_test(unbalanced_atomic_is_reported),
		kmap_test(exit_ends_what_was_mapped),
		kmap_test(a_shown_frame_ends_the_wait),
		kmap_test(freeing_a_mapped_page_is_reported),
	};

	return cmocka_run_group_tests(tests, pin_to_one_cpu, NULL);
}
