/* SPDX-License-Identifier: MIT */
/* Entries of stress tests that know whether somebody holds them. Include it in one file
 * of a program. */
#ifndef KMEM_TEST_TOKENS_H
#define KMEM_TEST_TOKENS_H

#include <stdatomic.h>

struct token {
	_Atomic int held;
} __attribute__((aligned(16)));

/* Handed out while somebody had them. */
static _Atomic unsigned long doubled;

static inline void hold(void *p)
{
	if (atomic_exchange_explicit(&((struct token *)p)->held, 1,
				     memory_order_relaxed) != 0)
		atomic_fetch_add(&doubled, 1);
}

/* Before others can get it. */
static inline void release(void *p)
{
	atomic_store_explicit(&((struct token *)p)->held, 0, memory_order_relaxed);
}

#endif /* KMEM_TEST_TOKENS_H */
