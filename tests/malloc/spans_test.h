/* SPDX-License-Identifier: MIT */
/* What the tests of spans share. */
#ifndef TESTS_SPANS_TEST_H
#define TESTS_SPANS_TEST_H

#include "malloc_test.h"

#include "allocators/malloc/spans_internal.h"
#include <sched.h>
#include <time.h>

#define KIB ((size_t)1 << 10)

static inline void sleep_ms(long ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

static inline struct kmem_malloc_stats stats_now(void)
{
	struct kmem_malloc_stats stats;

	kmem_malloc_stats(&stats);
	return stats;
}

/* Another CPU's arrays are others. */
static inline void stay_on_one_cpu(cpu_set_t *before)
{
	cpu_set_t here;

	CPU_ZERO(&here);
	CPU_SET(sched_getcpu(), &here);
	assert_int_equal(sched_getaffinity(0, sizeof(*before), before), 0);
	assert_int_equal(sched_setaffinity(0, sizeof(here), &here), 0);
}

static inline bool on_array(const void *p)
{
	return span_state(span_of(p)) == SPAN_LIVE &&
	       span_mark(span_of(p)) > SPAN_MARK_LOCKED;
}

static inline bool all_zero(const char *p, size_t size)
{
	return p[0] == 0 && memcmp(p, p + 1, size - 1) == 0;
}

/* Waits until nothing is kept any more; false after some seconds. */
static inline bool decays(void)
{
	for (int i = 0; i < 500; i++) {
		if (stats_now().large_cached_bytes == 0)
			return true;
		sleep_ms(10);
	}
	return false;
}

static inline void free_some(size_t bytes, size_t size)
{
	char *p[256];
	size_t n = bytes / size;

	assert_true(n <= KMEM_ARRAY_SIZE(p));
	for (size_t i = 0; i < n; i++) {
		p[i] = kmem_malloc(size);
		memset(p[i], 1, size);
	}
	for (size_t i = 0; i < n; i++)
		kmem_free(p[i]);
}

#endif /* TESTS_SPANS_TEST_H */
