/* SPDX-License-Identifier: MIT */
#include "workloads/harness/tally.h"

#include <stdatomic.h>

#include "workloads/harness/arena.h"

struct tally {
	_Atomic uint64_t open[TALLY_FIGURES]; /* of the pass that runs */
	uint64_t closed[TALLY_FIGURES];	      /* of the one before */
};

struct tally *tally_new(void)
{
	return arena_alloc(sizeof(struct tally));
}

void tally_delete(struct tally *t)
{
	arena_free(t, sizeof(*t));
}

void tally_add(struct tally *t, unsigned int figure, uint64_t value)
{
	atomic_fetch_add_explicit(&t->open[figure], value, memory_order_relaxed);
}

void tally_close(struct tally *t)
{
	for (unsigned int i = 0; i < TALLY_FIGURES; i++)
		t->closed[i] = atomic_exchange_explicit(&t->open[i], 0,
							memory_order_relaxed);
}

uint64_t tally_sum(const struct tally *t, unsigned int figure)
{
	return t->closed[figure];
}
