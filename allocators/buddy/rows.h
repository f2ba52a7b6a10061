/* SPDX-License-Identifier: MIT */
/*
 * Rows: the lock-free lower level of the page allocator; theory: rows.c.
 *
 * A row is 64 pages and one word of a bitmap: a set bit is a taken page. A group
 * is 8 rows, one huge page (2 MiB), whose bits fill one cache line. Two groups are
 * a pair, the largest block (4 MiB), with one word of state, a half for each:
 *
 *   63       43  42  41         32 31       11  10  9          0
 *   |    0     | W |     used     |     0     | W |     used     |
 *   '------- odd group -----------'------- even group -----------'
 *
 * used: pages taken or promised, 0..512. W: taken whole; then used is 0. All-zero
 * is all-free, so untouched memory costs none.
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

#define GROUP_WHOLE ((uint32_t)1 << 10)
#define PAIR_WHOLE  ((uint64_t)GROUP_WHOLE << 32 | GROUP_WHOLE)

typedef _Atomic uint64_t row_word;

/* A line of its own, for a CPU works on one pair at a time. 0.06 bytes a page. */
struct group_pair {
	_Atomic uint64_t state;
} __attribute__((aligned(KMEM_CACHELINE)));

/* One group, for the steps below. */
struct group {
	_Atomic uint64_t *pair;
	unsigned int shift; /* of its half: 0 or 32 */
	row_word *rows;
	struct page *base; /* its first page */
};

/* --- rows_group.c: the atomic steps --- */

/* Takes up to n blocks of an order up to ROW_ORDER, in rising order. *was_free: the
 * group had been wholly free. */
size_t group_take(const struct group *g, unsigned int order, size_t n, struct page **out,
		  bool *was_free);
/* The same for one block of several rows (orders 7 and 8). */
struct page *group_take_rows(const struct group *g, unsigned int order, bool *was_free);

/*
 * Takes the groups of `whole` (GROUP_WHOLE in one or both halves) whole, all or none:
 * false when one of them is not wholly free. And gives them back: false, and
 * nothing done, when one was not taken whole.
 */
bool pair_take_whole(_Atomic uint64_t *pair, uint64_t whole);
bool pair_put_whole(_Atomic uint64_t *pair, uint64_t whole);

/*
 * Frees pages of one row. Returns those of the mask that were not taken: the caller
 * reports them and must not count them. Then the rest is to be counted back, once
 * for all rows: group_put() returns the group's state before.
 */
uint64_t group_clear(row_word *row, uint64_t mask);
uint32_t group_put(const struct group *g, unsigned int pages);
/* Turns a group that the caller has taken whole into 512 taken pages. */
bool group_split(const struct group *g);

/* --- bit patterns --- */

/* First pages of all free blocks of an order within one row. */
static inline uint64_t row_starts(uint64_t taken, unsigned int order)
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
	uint64_t free = ~taken;

	for (unsigned int k = 0; k < order; k++)
		free &= free >> (1u << k);
	return free & aligned[order];
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
