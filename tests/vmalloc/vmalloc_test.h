/* SPDX-License-Identifier: MIT */
/* What the tests of the vmalloc layer share: the whole stack up and down, reports, hooks.
 */
#ifndef TESTS_VMALLOC_TEST_H
#define TESTS_VMALLOC_TEST_H

#include "allocators/os/os_mem.h"
#include "allocators/phys/phys_internal.h"
#include "allocators/vmalloc/vmalloc_internal.h"
#include "tests/vmalloc/stack_config.h"
#include <kmem/error.h>

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Small, so that tests can use all of it, in 1 GiB of addresses. */
#define STACK_DEFAULTS "memory=64M,dma=8M,highmem=16M,range_bytes=1G,kswapd=off"

static struct stack_config stack_config;
static uint64_t stack_free_pages_at_start;

/* Pages that nobody holds, once every cache has given back what it can. */
static inline uint64_t free_pages_now(void)
{
	struct buddy_stats stats;

	kmem_cache_reap();
	drain_all_pages();
	buddy_stats(NUMA_NO_NODE, MAX_NR_ZONES, &stats);
	return stats.free_pages + stats.pcp_pages;
}

/* Everything but vmalloc itself. */
static inline void stack_up_below(const char *options)
{
	assert_int_equal(kmem_options_defaults(stack_groups, &stack_config), 0);
	assert_int_equal(kmem_options_parse(stack_groups, STACK_DEFAULTS, &stack_config),
			 0);
	if (options != NULL &&
	    kmem_options_parse(stack_groups, options, &stack_config) != 0)
		fail_msg("%s", kmem_last_error());
	if (phys_init(&stack_config.phys) != 0 || buddy_init(&stack_config.buddy) != 0 ||
	    kmem_cache_init(&stack_config.slab) != 0)
		fail_msg("%s", kmem_last_error());
}

static inline void stack_down_below(void)
{
	kmem_cache_exit();
	buddy_exit();
	phys_exit();
	kmem_options_release(stack_groups, &stack_config);
}

static inline void stack_up(const char *options)
{
	stack_up_below(options);
	stack_free_pages_at_start = free_pages_now();
	if (vmalloc_init(&stack_config.vmalloc) != 0)
		fail_msg("%s", kmem_last_error());
}

static inline void assert_vmalloc_sound(void)
{
	if (vmalloc_check() != 0)
		fail_msg("%s", kmem_last_error());
}

/* Nothing may be left: no live area, and after vmalloc_exit() no page. */
static inline void stack_down(void)
{
	struct vmalloc_stats stats;

	assert_vmalloc_sound();
	vmalloc_stats(&stats);
	assert_int_equal(stats.areas, 0);
	vmalloc_exit();
	assert_int_equal(free_pages_now(), stack_free_pages_at_start);
	stack_down_below();
}

/*
 * For tests that expect a freed area back at once: another CPU's stack would not
 * have it. Runs as the group's set-up.
 */
static inline int pin_to_one_cpu(void **state)
{
	cpu_set_t set;
	int cpu = sched_getcpu();

	(void)state;
	CPU_ZERO(&set);
	CPU_SET(cpu < 0 ? 0 : (unsigned int)cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set);
}

/* After each test: takes down what a failed one left up. */
static inline int stack_abandon(void **state)
{
	(void)state;
	os_set_hooks(NULL);
	kmem_set_bug_handler(NULL, NULL);
	vmalloc_exit();
	if (phys_memory.up)
		stack_down_below();
	return 0;
}
#define vmalloc_test(f) cmocka_unit_test_teardown(f, stack_abandon)

/* --- reports of misuse --- */

static char last_report[512];
static unsigned int nr_reports;

static inline void keep_report(const char *report, void *arg)
{
	(void)arg;
	snprintf(last_report, sizeof(last_report), "%s", report);
	nr_reports++;
}

static inline void expect_reports(void)
{
	nr_reports = 0;
	last_report[0] = '\0';
	kmem_set_bug_handler(keep_report, NULL);
}

/* The report's text, with the one address that varies filled in. */
#define assert_report(...)                                           \
	do {                                                         \
		char expected_[512];                                 \
		snprintf(expected_, sizeof(expected_), __VA_ARGS__); \
		assert_int_equal(nr_reports, 1);                     \
		assert_string_equal(last_report, expected_);         \
		nr_reports = 0;                                      \
	} while (0)

#define assert_error(text) assert_non_null(strstr(kmem_last_error(), text))

/* --- a seeded generator --- */

static inline uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

#endif /* TESTS_VMALLOC_TEST_H */
