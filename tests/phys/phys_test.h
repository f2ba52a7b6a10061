/* SPDX-License-Identifier: MIT */
/* A physical memory from an option string, for the tests of phys. */
#ifndef TESTS_PHYS_PHYS_TEST_H
#define TESTS_PHYS_PHYS_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <kmem/error.h>
#include <kmem/phys.h>

static const struct kmem_option_group groups[] = {{phys_options, 0}, {NULL, 0}};
static struct phys_config config;

/* Fills config with the defaults and what the text changes. */
static inline void configure(const char *text)
{
	assert_int_equal(kmem_options_defaults(groups, &config), 0);
	assert_int_equal(kmem_options_parse(groups, text, &config), 0);
}

static inline void up(const char *text)
{
	configure(text);
	if (phys_init(&config) != 0)
		fail_msg("phys_init: %s", kmem_last_error());
}

static inline void down(void)
{
	phys_exit();
	kmem_options_release(groups, &config);
}

#endif /* TESTS_PHYS_PHYS_TEST_H */
