/* SPDX-License-Identifier: MIT */
/*
 * Where the objects of a cache start, told from an address alone, in one multiplication.
 *
 * A slab lies on a multiple of its size (the direct map on one of PHYS_BLOCK_BYTES, the
 * largest). Where a cache has no colours, its objects begin on the slab's start:
 *
 *   | object 0 | object 1 | ... | object num-1 | slack, descriptor |
 *   '- a multiple of the slab's size                               '- the next one
 *
 * So an address starts an object if and only if n, its offset in the slab, is a multiple
 * q * d of the stride d, and q < num.
 *
 * The test. Let B = 2^31, M = ceil((2^64 + B / num) / d) and e = d * M - 2^64, so that
 * B / num <= e <= B / num + d. With n = q * d + r, 0 <= r < d:
 *
 *   n * M mod 2^64 = r * M + q * e
 *
 * which is below B if and only if r = 0 and q < num:
 *   r = 0, q < num   q * e <= (num - 1) * e < B, where num * num * (d + 1) <= B
 *   r = 0, q >= num  q * e >= num * e >= B
 *   r > 0            M > B, and r * M + q * e <= 2^64 - M + (q + 1) * e < 2^64
 * for slabs of up to 2^22 bytes.
 *
 * Where a cache has colours, all of its objects lie on multiples of its alignment, and
 * that is d. This is as good for objects of a power of two that is their alignment,
 * but for addresses in the slab's descriptor and slack; of others it lets pass what is
 * as aligned as an object. There, and where num is too large for the first line, M =
 * floor((2^64 - 1) / d) + 2, so that d <= e < 2 * d, bounds nothing: q * e < 2 * n < B.
 *
 * See Lemire, Kaser and Kurz, "Faster remainder by direct computation", 2019.
 */
#ifndef KMEM_SLAB_GRID_H
#define KMEM_SLAB_GRID_H

#include <kmem/mm_types.h>
#include "allocators/slab/slab_geometry.h"

struct slab_grid {
	uint64_t mask;	     /* bytes of a slab - 1 */
	uint64_t reciprocal; /* M */
};

#define SLAB_GRID_BOUND ((uint64_t)1 << 31)

static inline void slab_grid_of(struct slab_grid *grid, const struct slab_geometry *g)
{
	unsigned __int128 numerator = (SLAB_GRID_BOUND + g->num - 1) / g->num;
	uint64_t d = g->colours > 1 ? g->align : g->stride;

	grid->mask = (PAGE_SIZE << g->gfporder) - 1;
	if (g->colours > 1 || (uint64_t)g->num * g->num * (d + 1) > SLAB_GRID_BOUND) {
		grid->reciprocal = UINT64_MAX / d + 2;
		return;
	}
	numerator += (unsigned __int128)1 << 64;
	grid->reciprocal = (uint64_t)((numerator + d - 1) / d);
}

/* The address lies in a slab of the cache. */
static KMEM_ALWAYS_INLINE bool slab_grid_has(uint64_t mask, uint64_t reciprocal,
					     uintptr_t addr)
{
	return (addr & mask) * reciprocal < SLAB_GRID_BOUND;
}

#endif /* KMEM_SLAB_GRID_H */
