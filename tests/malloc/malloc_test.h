/* SPDX-License-Identifier: MIT */
/* What the tests of malloc share: start and stop with options, reports caught. */
#ifndef TESTS_MALLOC_TEST_H
#define TESTS_MALLOC_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs those above. */
#include <cmocka.h>

#include "allocators/os/os_cpu.h"
#include "allocators/os/percpu_fast.h"
#include <errno.h>
#include <kmem/error.h>
#include <kmem/malloc.h>
#include <stdlib.h>
#include <string.h>

#define MIB ((size_t)1 << 20)

/* ThreadSanitizer allows no new thread in the child of a process with threads: no
 * background thread in tests that fork. */
#define MALLOC_TEST_TSAN KMEM_UNDER_TSAN

static char malloc_test_report[4096]; /* the last one; "": none */

static inline void malloc_test_on_bug(const char *report, void *arg)
{
	(void)arg;
	strncpy(malloc_test_report, report, sizeof(malloc_test_report) - 1);
}

/* Starts with "name=value,..." on top of the defaults; -errno as the call gives it. */
static inline int malloc_test_try(const char *options)
{
	static const struct kmem_option_group groups[] = {
		{kmem_malloc_options, offsetof(struct kmem_malloc_config, malloc)},
		{buddy_options, offsetof(struct kmem_malloc_config, buddy)},
		{slab_options, offsetof(struct kmem_malloc_config, slab)},
		{NULL, 0},
	};
	struct kmem_malloc_config config;

	assert_int_equal(kmem_options_defaults(groups, &config), 0);
	assert_int_equal(kmem_options_parse(groups, options, &config), 0);
	malloc_test_report[0] = '\0';
	kmem_set_bug_handler(malloc_test_on_bug, NULL);
	return kmem_malloc_init(&config);
}

static inline void malloc_test_start(const char *options)
{
	int err = malloc_test_try(options);

	if (err != 0)
		fail_msg("cannot start with '%s': %s", options, kmem_last_error());
}

/* Everything must be sound and nothing have been reported. */
static inline void malloc_test_stop(void)
{
	if (kmem_malloc_check() != 0)
		fail_msg("%s", kmem_last_error());
	assert_string_equal(malloc_test_report, "");
	kmem_malloc_exit();
	kmem_set_bug_handler(NULL, NULL);
}

static inline void malloc_test_expect_report(const char *part)
{
	if (strstr(malloc_test_report, part) == NULL)
		fail_msg("'%s' is not in '%s'", part, malloc_test_report);
	malloc_test_report[0] = '\0';
}

static inline void malloc_test_fill(void *ptr, size_t size, unsigned int seed)
{
	unsigned char *p = ptr;

	/* Every byte of small blocks; of large ones what makes them touched. */
	for (size_t i = 0; i<size; i += size> 100000 ? 1000 : 1)
		p[i] = (unsigned char)(seed + i);
}

static inline bool malloc_test_filled(const void *ptr, size_t size, size_t filled_size,
				      unsigned int seed)
{
	const unsigned char *p = ptr;

	for (size_t i = 0; i<size; i += filled_size> 100000 ? 1000 : 1) {
		if (p[i] != (unsigned char)(seed + i))
			return false;
	}
	return true;
}

#endif /* TESTS_MALLOC_TEST_H */
