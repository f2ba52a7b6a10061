/* SPDX-License-Identifier: MIT */
/* Set-up of the page allocator from an option string, and captured bug reports. */
#ifndef TESTS_BUDDY_TEST_H
#define TESTS_BUDDY_TEST_H

#include "allocators/buddy/buddy_internal.h"
#include "allocators/os/os_cpu.h"

#include <errno.h>
#include <kmem/error.h>
#include <kmem/page_alloc.h>
#include <kmem/phys.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct test_config {
	struct phys_config phys;
	struct buddy_config buddy;
};

static const struct kmem_option_group test_groups[] = {
	{phys_options, offsetof(struct test_config, phys)},
	{buddy_options, offsetof(struct test_config, buddy)},
	{NULL, 0},
};

static struct test_config test_config;

static inline void configure(const char *options)
{
	assert_int_equal(kmem_options_defaults(test_groups, &test_config), 0);
	if (kmem_options_parse(test_groups, options, &test_config) != 0)
		fail_msg("options: %s", kmem_last_error());
}

static inline void mm_up(const char *options)
{
	configure(options);
	if (phys_init(&test_config.phys) != 0 || buddy_init(&test_config.buddy) != 0)
		fail_msg("set-up: %s", kmem_last_error());
}

static inline void check(void)
{
	if (buddy_check() != 0)
		fail_msg("%s", kmem_last_error());
}

static inline struct buddy_stats stats_of(int nid, int zone)
{
	struct buddy_stats s;

	buddy_stats(nid, zone, &s);
	return s;
}

static inline struct buddy_stats all_stats(void)
{
	return stats_of(NUMA_NO_NODE, MAX_NR_ZONES);
}

/* Ends a test in which everything was freed: all memory is back in whole blocks. */
static inline void mm_down(void)
{
	struct buddy_stats s;

	check();
	drain_all_pages();
	check();
	s = all_stats();
	assert_int_equal(s.pcp_pages, 0);
	assert_int_equal(s.free_pages, s.total_pages);
	assert_int_equal(s.free_blocks[MAX_ORDER - 1], s.total_pages >> (MAX_ORDER - 1));
	buddy_exit();
	phys_exit();
	kmem_options_release(test_groups, &test_config);
}

/* The same with blocks still allocated, or leaked on purpose. */
static inline void mm_drop(void)
{
	buddy_exit();
	phys_exit();
	kmem_options_release(test_groups, &test_config);
}

/* --- bug reports --- */

static char last_report[512];
static unsigned int reports;

static inline void capture(const char *report, void *arg)
{
	(void)arg;
	snprintf(last_report, sizeof(last_report), "%s", report);
	reports++;
}

static inline void capture_bugs(bool on)
{
	reports = 0;
	last_report[0] = '\0';
	kmem_set_bug_handler(on ? capture : NULL, NULL);
}

/* Exactly one report since the last call, and this one. */
#define assert_report(...)                                           \
	do {                                                         \
		char expected_[512];                                 \
                                                                     \
		snprintf(expected_, sizeof(expected_), __VA_ARGS__); \
		assert_string_equal(last_report, expected_);         \
		assert_int_equal(reports, 1);                        \
		reports = 0;                                         \
	} while (0)

#endif /* TESTS_BUDDY_TEST_H */
