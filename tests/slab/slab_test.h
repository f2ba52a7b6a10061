/* SPDX-License-Identifier: MIT */
/* What the slab tests share: a whole allocator from one option string, captured
 * bug reports, and a look at one cache's slabinfo. */
#ifndef TESTS_SLAB_SLAB_TEST_H
#define TESTS_SLAB_SLAB_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <kmem/error.h>
#include <kmem/page_alloc.h>
#include <kmem/phys.h>
#include <kmem/slab.h>
#include "allocators/slab/slab_internal.h"

struct slab_test {
	struct phys_config phys;
	struct buddy_config buddy;
	struct slab_config slab;
	uint64_t free_pages; /* before kmem_cache_init() */
};

static struct slab_test slab_test;
static char slab_test_report[512];
static int slab_test_reports;

static inline uint64_t slab_test_free_pages(void)
{
	struct buddy_stats stats;

	drain_all_pages();
	buddy_stats(NUMA_NO_NODE, MAX_NR_ZONES, &stats);
	return stats.free_pages + stats.pcp_pages;
}

static void slab_test_keep_report(const char *report, void *arg)
{
	(void)arg;
	snprintf(slab_test_report, sizeof(slab_test_report), "%s", report);
	slab_test_reports++;
}

static const struct kmem_option_group slab_test_groups[] = {
	{phys_options, offsetof(struct slab_test, phys)},
	{buddy_options, offsetof(struct slab_test, buddy)},
	{slab_options, offsetof(struct slab_test, slab)},
	{NULL, 0},
};

/* Into slab_test; the strings of the parse before are released. */
static inline void slab_test_parse(const char *options)
{
	kmem_options_release(slab_test_groups, &slab_test);
	assert_int_equal(kmem_options_defaults(slab_test_groups, &slab_test), 0);
	assert_int_equal(kmem_options_parse(slab_test_groups,
					    "memory=256M,highmem=0,kswapd=off",
					    &slab_test),
			 0);
	if (*options && kmem_options_parse(slab_test_groups, options, &slab_test) != 0)
		fail_msg("%s: %s", options, kmem_last_error());
}

/* Starts everything, slab by that function; options go to all three layers. */
static inline void slab_test_start_by(const char *options,
				      int (*init)(const struct slab_config *config))
{
	if (phys_nr_nodes() > 0) { /* a test that failed has left it */
		kmem_cache_exit();
		buddy_exit();
		phys_exit();
	}
	slab_test_parse(options);
	if (phys_init(&slab_test.phys) != 0 || buddy_init(&slab_test.buddy) != 0)
		fail_msg("%s: %s", options, kmem_last_error());
	slab_test.free_pages = slab_test_free_pages();
	if (init(&slab_test.slab) != 0)
		fail_msg("%s: %s", options, kmem_last_error());
	slab_test_reports = 0;
	slab_test_report[0] = '\0';
	kmem_set_bug_handler(slab_test_keep_report, NULL);
}

static inline void slab_test_start(const char *options)
{
	slab_test_start_by(options, kmem_cache_init);
}

/* Ends everything; no page may be missing. */
static inline void slab_test_stop(void)
{
	if (slab_check() != 0)
		fail_msg("%s", kmem_last_error());
	kmem_cache_exit();
	/* kswapd may have in its hands what it has taken off a list. */
	for (int i = 0; i < 200 && slab_test_free_pages() != slab_test.free_pages; i++)
		usleep(5000);
	assert_int_equal(slab_test_free_pages(), slab_test.free_pages);
	assert_int_equal(buddy_check(), 0);
	buddy_exit();
	phys_exit();
	kmem_set_bug_handler(NULL, NULL);
}

struct slab_test_find {
	const char *name;
	struct kmem_cache_info info;
	int found;
};

static void slab_test_find_one(const struct kmem_cache_info *info, void *arg)
{
	struct slab_test_find *find = arg;

	if (strcmp(info->name, find->name) != 0)
		return;
	find->info = *info;
	find->found++;
}

static inline struct kmem_cache_info slab_test_info(const char *name)
{
	struct slab_test_find find = {.name = name};

	slabinfo(slab_test_find_one, &find);
	assert_int_equal(find.found, 1);
	return find.info;
}

/* The one report expected since the last look. */
#define assert_report(...)                                           \
	do {                                                         \
		char expected_[512];                                 \
		snprintf(expected_, sizeof(expected_), __VA_ARGS__); \
		assert_string_equal(slab_test_report, expected_);    \
		assert_int_equal(slab_test_reports, 1);              \
		slab_test_reports = 0;                               \
		slab_test_report[0] = '\0';                          \
	} while (0)

#define assert_no_report()                                 \
	do {                                               \
		assert_string_equal(slab_test_report, ""); \
		assert_int_equal(slab_test_reports, 0);    \
	} while (0)

#endif /* TESTS_SLAB_SLAB_TEST_H */
