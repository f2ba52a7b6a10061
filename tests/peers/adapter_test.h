/* SPDX-License-Identifier: MIT */
/* An allocator made from its name and options, and its end, for tests of the adapters. */
#ifndef TESTS_PEERS_ADAPTER_TEST_H
#define TESTS_PEERS_ADAPTER_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <kmem/allocator.h>
#include <kmem/error.h>

static inline struct allocator *adapter_start(const char *spec)
{
	static const struct allocator_env env = {.threads = 1};
	struct allocator *a = allocator_new(spec, &env);

	if (!a)
		fail_msg("%s: %s", spec, kmem_last_error());
	return a;
}

/* Every invariant holds. */
static inline void adapter_end(struct allocator *a)
{
	if (a->ops->check(a) != 0)
		fail_msg("%s", kmem_last_error());
	allocator_delete(a);
}

/* The same, and no misuse was reported. */
static inline void adapter_end_unreported(struct allocator *a)
{
	assert_int_equal(kmem_bug_count(), 0);
	adapter_end(a);
}

#endif /* TESTS_PEERS_ADAPTER_TEST_H */
