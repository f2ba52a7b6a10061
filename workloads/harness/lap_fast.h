/* SPDX-License-Identifier: MIT */
/*
 * Pre-drawn places that are read in a circle, and moved on from lap to lap.
 *
 * A ring of draws is read again when it has been read to its end. If the places in it
 * meant the same slots each time, a set of more slots than draws would never be replaced
 * as a whole, and the same blocks would replace each other for ever. So a place is an
 * offset from a shift that changes with each lap, by 0.618 of the slots: where the
 * next lap's draws land is spread as evenly as any step can spread it.
 */
#ifndef KMEMBENCH_LAP_FAST_H
#define KMEMBENCH_LAP_FAST_H

#include <kmem/compiler.h>

/* The slot for a drawn place. Both below count, which is at most 2^31. */
static KMEM_ALWAYS_INLINE uint32_t lap_slot(uint32_t place, uint32_t shift,
					    uint32_t count)
{
	uint32_t slot = place + shift;

	return slot >= count ? slot - count : slot;
}

/* The shift of the next lap. An odd step reaches every shift of a power of two. */
static inline uint32_t lap_next_shift(uint32_t shift, uint32_t count)
{
	uint64_t step = ((uint64_t)count * 0x9e3779b9u >> 32) | 1;

	return (uint32_t)((shift + step) % count);
}

#endif /* KMEMBENCH_LAP_FAST_H */
