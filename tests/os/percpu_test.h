/* SPDX-License-Identifier: MIT */
/* What tests of per-CPU structures share. */
#ifndef KMEM_TEST_PERCPU_TEST_H
#define KMEM_TEST_PERCPU_TEST_H

#include "allocators/os/magazine_fast.h"
#include "tests/os/cpu_modes.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Keeps the thread where it is, so that what was pushed can be popped again. */
static inline void stay_on_one_cpu(bool on)
{
	static cpu_set_t before;
	cpu_set_t one;

	if (on) {
		assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
		CPU_ZERO(&one);
		CPU_SET(sched_getcpu(), &one);
		assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	} else {
		assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
	}
}

struct seen {
	uintptr_t sum;
	size_t n;
};

/* For walks and drains. */
static inline void see(void *p, void *arg)
{
	struct seen *seen = arg;

	seen->sum += (uintptr_t)p;
	seen->n++;
}

/* Magazines: the hit path, and what lies behind it. */
static inline bool mag_push(const struct magazines *m, void *p)
{
	return magazine_push_hit(m->in, p) || magazine_push_batch(m, 1, &p) == 1;
}

static inline void *mag_pop(const struct magazines *m)
{
	void *p = magazine_pop_hit(m->out);

	return p ? p : magazine_pop(m);
}

#endif /* KMEM_TEST_PERCPU_TEST_H */
