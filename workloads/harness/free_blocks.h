/* SPDX-License-Identifier: MIT */
/*
 * Fragmentation of free memory, from what a page allocator's stats hook tells under
 * the names free_blocks_order_0 and following (the kernel's buddyinfo).
 *
 * With F free pages in B blocks, of which S pages lie in blocks of at least order j:
 *   unusable free space index  (F - S) / F: the share that a request of order j
 *       cannot use (Gorman and Whitcroft, "The What, The Why and the Where To of
 *       Anti-Fragmentation", OLS 2006)
 *   fragmentation index        1 - (1 + F / 2^j) / B, where no block suits: towards 1
 *       a failure is due to fragmentation, towards 0 to lack of memory (the same)
 */
#ifndef KMEMBENCH_FREE_BLOCKS_H
#define KMEMBENCH_FREE_BLOCKS_H

#include <kmem/mm_types.h>

#include "workloads/workload.h"

/* 2 MiB: the huge page of x86-64 and aarch64. */
#define FREE_BLOCKS_HUGE_ORDER 9u

struct free_blocks {
	double of_order[MAX_ORDER]; /* blocks */
	double highmem_pages;	    /* free pages that no address reaches, whole */
	bool known;		    /* the allocator tells */
};

/* Asks now; not in a timed region. */
void free_blocks_read(struct allocator *a, struct free_blocks *b);

/* Pages in blocks of at least this order; order 0: all. HIGHMEM is left out. */
double free_blocks_pages(const struct free_blocks *b, unsigned int order);

/* 0 to 1; 0 when nothing is free. */
double free_blocks_unusable(const struct free_blocks *b, unsigned int order);
/* False: a block suits, and the index is not defined. */
bool free_blocks_fragmentation(const struct free_blocks *b, unsigned int order,
			       double *index);

#endif /* KMEMBENCH_FREE_BLOCKS_H */
