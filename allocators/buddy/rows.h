/* SPDX-License-Identifier: MIT */
/*
 * Rows: the lock-free lower level of the page allocator; theory: rows.c.
 *
 * A row is 64 pages and one word of a bitmap: a set bit is a taken page. A group
 * is 8 rows, one huge page (2 MiB), whose bits fill one cache line. A region is 64
 * groups (128 MiB) and one word of a bitmap again: a set bit is a group that is not
 * wholly free.
 *
 *   bit in region   used of group
 *        0               0          free: nobody but who sets the bit may touch it
 *        1               0          given out whole, or being opened or closed by
 *                                   whoever set the bit, or brought used to 0
 *        1          OPEN | 1..512   open: so many of its pages are taken or promised
 *
 * All-zero is all-free, so untouched memory costs none.
 */
#ifndef KMEM_BUDDY_ROWS_H
#define KMEM_BUDDY_ROWS_H

#include <kmem/mm_types.h>
#include <stdatomic.h>

#define ROW_ORDER 6
#define ROW_PAGES (1u << ROW_ORDER)
#ifndef GROUP_ORDER /* a test makes them smaller, to see all there is */
#define GROUP_ORDER 9
#endif
#define GROUP_PAGES (1u << GROUP_ORDER)
#define GROUP_ROWS  (GROUP_PAGES / ROW_PAGES)

#define GROUP_OPEN ((uint64_t)1 << 32)

typedef _Atomic uint64_t row_word;

/* Two to a line: a CPU opens neighbours where it can. 0.06 bytes a page. */
struct group_state {
	row_word used;
} __attribute__((aligned(KMEM_CACHELINE / 2)));

/* One group, for the steps below. */
struct group {
	row_word *state;
	row_word *rows;
	struct page *base; /* its first page */
	bool alone;	   /* nobody else takes a step meanwhile: see rows_gate.c */
};

/* --- rows_group.c: the atomic steps --- */

/*
 * Takes up to n blocks of an order up to ROW_ORDER, in rising order, or one block of
 * several rows (orders 7 and 8). fresh: the caller has set the group's bit in its
 * region, which was clear. *surplus: pages that are to be counted back.
 */
size_t group_take(const struct group *g, unsigned int order, size_t n, bool fresh,
		  struct page **out, unsigned int *surplus);

/*
 * Counts pages back whose bits are clear. Returns how many were in use before: when it
 * is as many, the group is closed, and its bit in the region is the caller's to clear.
 */
unsigned int group_put(const struct group *g, unsigned int pages);

/* Turns a group that the caller has taken whole into 512 taken pages. */
void group_split(const struct group *g);

/* Takes up to n aligned sets of 2^order bits of a row, or of a region: the first bit of
 * each, lowest first. */
uint64_t row_take(row_word *row, unsigned int order, size_t n, bool alone);
/* Takes one bit: false when it was taken already. */
bool row_take_bit(row_word *row, uint64_t bit, bool alone);
/* Clears bits of a row: pages that are freed, to be counted back then by group_put();
 * or of a region. Returns those that were clear, which the caller reports. */
uint64_t row_clear(row_word *row, uint64_t mask, bool alone);

/* --- bit patterns --- */

/* First pages of all blocks of an order within one row. */
static inline uint64_t row_aligned(unsigned int order)
{
	static const uint64_t aligned[ROW_ORDER + 1] = {
		~(uint64_t)0,
		0x5555555555555555u,
		0x1111111111111111u,
		0x0101010101010101u,
		0x0001000100010001u,
		0x0000000100000001u,
		1,
	};

	return aligned[order];
}

/* First pages of all free ones. */
static inline uint64_t row_starts(uint64_t taken, unsigned int order)
{
	uint64_t free = ~taken;

	for (unsigned int k = 0; k < order; k++)
		free &= free >> (1u << k);
	return free & row_aligned(order);
}

/* The pages of the blocks that start there. */
static inline uint64_t row_spread(uint64_t starts, unsigned int order)
{
	for (unsigned int k = 0; k < order; k++)
		starts |= starts << (1u << k);
	return starts;
}

/* Bits of a set. The build knows of no popcnt instruction, and the library's function
 * is slower than this; most sets are whole rows. */
static inline unsigned int row_count(uint64_t set)
{
	if (set == ~(uint64_t)0)
		return ROW_PAGES;
	set -= set >> 1 & 0x5555555555555555u;
	set = (set & 0x3333333333333333u) + (set >> 2 & 0x3333333333333333u);
	set = (set + (set >> 4)) & 0x0f0f0f0f0f0f0f0fu;
	return (unsigned int)(set * 0x0101010101010101u >> 56);
}

/* The lowest n bits of a set that has more. */
static inline uint64_t row_lowest(uint64_t set, size_t n)
{
	uint64_t rest = set;

	while (n-- > 0)
		rest &= rest - 1;
	return set ^ rest;
}

#endif /* KMEM_BUDDY_ROWS_H */
