/* SPDX-License-Identifier: MIT */
/* Allocators with planted faults: each fault has the size that was asked for. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include <kmem/allocator.h>
#include <kmem/error.h>

static struct allocator *start(const char *spec)
{
	struct allocator_env env = {.size_max_bytes = 8192, .threads = 1};
	struct allocator *a = allocator_new(spec, &env);

	assert_non_null(a);
	a->ops->thread_enter(a);
	return a;
}

static void *take(struct allocator *a, size_t size)
{
	void *p = a->ops->alloc(a, size, 0, GFP_KERNEL, NUMA_NO_NODE);

	assert_non_null(p);
	return p;
}

static void pairs(struct allocator *a, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		a->ops->free(a, take(a, 64), 64);
}

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

struct wanted {
	const char *name;
	double value;
	bool found;
};

static void look_for(const char *name, double value, void *arg)
{
	struct wanted *wanted = arg;

	if (strcmp(name, wanted->name) == 0) {
		wanted->value = value;
		wanted->found = true;
	}
}

/* A figure of the instance's, after its threads have left. */
static double stat_of(struct allocator *a, const char *name)
{
	struct wanted wanted = {.name = name};

	a->ops->stats(a, look_for, &wanted);
	assert_true(wanted.found);
	return wanted.value;
}

static void is_hidden_and_has_the_bases_abilities(void **state)
{
	const struct allocator_ops *ops = allocator_find("planted");
	struct allocator *a;

	(void)state;
	assert_non_null(ops);
	assert_true(ops->hidden);
	a = start("planted:over=glibc");
	assert_true(a->ops->caps & CAP_MIXED_SIZE);
	assert_non_null(a->ops->version(a));
	a->ops->thread_exit(a);
	allocator_delete(a);
	a = start("planted:over=freelist");
	assert_false(a->ops->caps & CAP_MIXED_SIZE);
	assert_null(a->ops->realloc);
	assert_null(a->ops->zalloc);
	a->ops->thread_exit(a);
	allocator_delete(a);
}

static void refuses_what_cannot_be(void **state)
{
	struct allocator *a;

	(void)state;
	assert_null(allocator_new("planted:over=planted", NULL));
	assert_non_null(strstr(kmem_last_error(), "over itself"));
	assert_null(allocator_new("planted:over=nosuch", NULL));
	assert_non_null(strstr(kmem_last_error(), "nosuch"));
	assert_null(allocator_new("planted:slow_pct=-1", NULL));
	assert_null(allocator_new("planted:extra_instructions=1e9", NULL));
	/* Accounts are thread-local variables: one at a time, and another afterwards. */
	a = allocator_new("planted", NULL);
	assert_non_null(a);
	assert_null(allocator_new("planted", NULL));
	allocator_delete(a);
	a = allocator_new("planted", NULL);
	assert_non_null(a);
	allocator_delete(a);
}

static void hands_every_hook_on(void **state)
{
	struct allocator *a = start("planted:over=glibc,clock=on");
	char *p = take(a, 100);

	(void)state;
	assert_true(a->ops->usable_size(a, p) >= 100);
	memset(p, 7, 100);
	p = a->ops->realloc(a, p, 100, 5000);
	assert_non_null(p);
	assert_int_equal(p[99], 7);
	a->ops->free(a, p, 5000);
	p = a->ops->zalloc(a, 300);
	assert_non_null(p);
	assert_int_equal(p[0] | p[299], 0);
	a->ops->free(a, p, 300);
	a->ops->trim(a);
	assert_int_equal(a->ops->check(a), 0);
	a->ops->thread_exit(a);
	allocator_delete(a);
}

/* The account's own share is exact; what it calls its time is most of the time. */
static void pays_the_share_of_its_time(void **state)
{
	struct allocator *a = start("planted:over=glibc,slow_pct=3");
	double began = now_ns(), elapsed, pct, own;

	(void)state;
	do
		pairs(a, 10000);
	while (now_ns() - began < 1e8);
	elapsed = now_ns() - began;
	a->ops->thread_exit(a);
	pct = stat_of(a, "planted_slow_pct");
	own = stat_of(a, "planted_own_ns");
	assert_true(pct > 2.95 && pct < 3.05);
	/* Less where other programs took the processor. */
	assert_true(own * 1.03 < elapsed * 1.001);
	assert_true(own > elapsed / 20);
	allocator_delete(a);
}

static void the_control_pays_nothing(void **state)
{
	struct allocator *a = start("planted:over=glibc,clock=on");

	(void)state;
	pairs(a, 100000);
	a->ops->thread_exit(a);
	assert_true(stat_of(a, "planted_own_ns") > 0);
	assert_true(stat_of(a, "planted_slow_pct") == 0);
	allocator_delete(a);
}

/* Between slices a process sleeps; that is none of its time. */
static void waiting_costs_nothing(void **state)
{
	struct allocator *a = start("planted:over=glibc,slow_pct=3");
	const struct timespec nap = {0, 5000000};
	double began, elapsed;

	(void)state;
	pairs(a, 20000);
	began = now_ns();
	for (int i = 0; i < 20; i++) {
		nanosleep(&nap, NULL);
		pairs(a, 5000);
	}
	elapsed = now_ns() - began;
	a->ops->thread_exit(a);
	assert_true(stat_of(a, "planted_own_ns") < elapsed - 20 * 4e6);
	allocator_delete(a);
}

static void forgets_every_nth_free(void **state)
{
	struct allocator *a = start("planted:over=glibc,leak_every=10");
	void *first[10];

	(void)state;
	for (int i = 0; i < 10; i++)
		first[i] = take(a, 64);
	for (int i = 0; i < 10; i++)
		a->ops->free(a, first[i], 64);
	/* The tenth was not freed, so it still holds what is written to it. */
	memset(first[9], 0x5a, 64);
	for (int i = 0; i < 9; i++)
		memset(take(a, 64), 0, 64);
	for (int i = 0; i < 64; i++)
		assert_int_equal(((unsigned char *)first[9])[i], 0x5a);
	pairs(a, 990);
	a->ops->thread_exit(a);
	assert_true(stat_of(a, "planted_leaked_blocks") == 100);
	assert_true(stat_of(a, "planted_leaked_bytes") == 6400);
	allocator_delete(a);
}

static void delays_every_nth_allocation(void **state)
{
	struct allocator *a = start("planted:over=glibc,tail_every=10,tail_ns=300000");
	unsigned int slow = 0;

	(void)state;
	for (int i = 1; i <= 200; i++) {
		double began = now_ns();
		void *p = take(a, 64);
		bool late = now_ns() - began >= 300000;

		a->ops->free(a, p, 64);
		slow += late;
		/* Another one may be late because the machine is. */
		if (i % 10 == 0)
			assert_true(late);
	}
	assert_true(slow >= 20);
	a->ops->thread_exit(a);
	assert_true(stat_of(a, "planted_tails") == 20);
	allocator_delete(a);
}

static void *work(void *arg)
{
	struct allocator *a = arg;

	a->ops->thread_enter(a);
	pairs(a, 1000);
	a->ops->thread_exit(a);
	return NULL;
}

/* Accounts are each thread's own, and are added up when it leaves. */
static void threads_add_up(void **state)
{
	struct allocator *a = allocator_new(
		"planted:over=glibc,clock=on,leak_every=100,extra_instructions=1.5",
		NULL);
	pthread_t ids[4];

	(void)state;
	assert_non_null(a);
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(ids); i++)
		assert_int_equal(pthread_create(&ids[i], NULL, work, a), 0);
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(ids); i++)
		pthread_join(ids[i], NULL);
	assert_true(stat_of(a, "planted_leaked_blocks") == 40);
	allocator_delete(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_hidden_and_has_the_bases_abilities),
		cmocka_unit_test(refuses_what_cannot_be),
		cmocka_unit_test(hands_every_hook_on),
		cmocka_unit_test(pays_the_share_of_its_time),
		cmocka_unit_test(the_control_pays_nothing),
		cmocka_unit_test(waiting_costs_nothing),
		cmocka_unit_test(forgets_every_nth_free),
		cmocka_unit_test(delays_every_nth_allocation),
		cmocka_unit_test(threads_add_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
