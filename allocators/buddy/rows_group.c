/* SPDX-License-Identifier: MIT */
/*
 * The atomic steps on one group of rows.
 *
 * Promise first, bits second. A request adds the pages it wants to `used` before
 * it claims their bits, and a free clears the bits before it takes them off
 * `used`. Hence at any time
 *
 *     set bits + promises not yet claimed + clears not yet counted = used
 *
 * so a group whose used is 0 has no bit set and nobody between two steps, and the
 * one compare-and-swap from 0 to W that takes it whole cannot meet a request for
 * part of it: whoever comes later sees W and goes away, whoever came earlier is
 * part of `used`. That is the race which a bitmap with a separate mark for whole
 * groups leaves open when bits are taken first. The counter above the bits is
 * LLFree's (Wrenger and others, USENIX ATC 2023), which counts free frames and
 * takes one frame at a time; here one step takes all blocks of a row.
 *
 * A promise is for pages, not for aligned blocks: a request may find fewer blocks
 * than it was promised, and gives the rest of its promise back.
 *
 * ROWS_STEP() stands before every access to a shared word: the test that runs all
 * interleavings (tests/buddy/test_rows_interleave.c) switches threads there.
 */
#include "allocators/buddy/rows.h"

#ifndef ROWS_STEP
#define ROWS_STEP() ((void)0)
#endif

static inline uint64_t load_word(_Atomic uint64_t *word)
{
	ROWS_STEP();
	return atomic_load_explicit(word, memory_order_relaxed);
}

/* Updates *expected on failure. */
static inline bool swap_word(_Atomic uint64_t *word, uint64_t *expected, uint64_t to)
{
	ROWS_STEP();
	return atomic_compare_exchange_strong_explicit(
		word, expected, to, memory_order_acq_rel, memory_order_relaxed);
}

uint32_t group_put(const struct group *g, unsigned int pages)
{
	ROWS_STEP();
	return (uint32_t)(atomic_fetch_sub_explicit(g->pair, (uint64_t)pages << g->shift,
						    memory_order_acq_rel) >>
			  g->shift);
}

/* Promises up to n blocks of the group to the caller. */
static size_t promise(const struct group *g, unsigned int order, size_t n, bool *was_free)
{
	uint64_t pair = load_word(g->pair);

	for (;;) {
		uint32_t used = (uint32_t)(pair >> g->shift);
		size_t room = (GROUP_PAGES - used) >> order;

		if ((used & GROUP_WHOLE) != 0 || room == 0)
			return 0;
		if (n > room)
			n = room;
		if (swap_word(g->pair, &pair,
			      pair + ((uint64_t)(n << order) << g->shift))) {
			*was_free |= used == 0;
			return n;
		}
	}
}

/*
 * Claims up to n promised blocks of one row, whose word was `taken` a moment ago; the
 * first page of each.
 */
static uint64_t claim(row_word *row, uint64_t taken, unsigned int order, size_t n)
{
	for (;;) {
		uint64_t starts = row_starts(taken, order);

		if (n < ROW_PAGES && row_count(starts) > n)
			starts = row_lowest(starts, n);
		if (starts == 0 ||
		    swap_word(row, &taken, taken | row_spread(starts, order)))
			return starts;
	}
}

static size_t list_starts(uint64_t starts, struct page *first, struct page **out)
{
	size_t n = 0;

	if (starts == ~(uint64_t)0) {
		for (; n < ROW_PAGES; n++)
			out[n] = first + n;
		return n;
	}
	for (; starts != 0; starts &= starts - 1)
		out[n++] = first + __builtin_ctzll(starts);
	return n;
}

/* How many free blocks the rows show, counted up to n. */
static size_t count_blocks(const struct group *g, unsigned int order, size_t n)
{
	size_t count = 0;

	for (unsigned int r = 0; r < GROUP_ROWS && count < n; r++) {
		uint64_t taken = load_word(&g->rows[r]);

		if (taken != ~(uint64_t)0)
			count += row_count(row_starts(taken, order));
	}
	return count < n ? count : n;
}

size_t group_take(const struct group *g, unsigned int order, size_t n, struct page **out,
		  bool *was_free)
{
	size_t promised = count_blocks(g, order, n), got = 0;

	if (promised == 0)
		return 0;
	promised = promise(g, order, promised, was_free);
	for (unsigned int r = 0; r < GROUP_ROWS && got < promised; r++) {
		uint64_t taken = load_word(&g->rows[r]);

		if (taken == ~(uint64_t)0)
			continue;
		got += list_starts(claim(&g->rows[r], taken, order, promised - got),
				   g->base + r * ROW_PAGES, out + got);
	}
	if (KMEM_UNLIKELY(got < promised))
		group_put(g, (unsigned int)((promised - got) << order));
	return got;
}

/* Claims `count` free rows from the first one on, or none of them. */
static bool claim_rows(row_word *first, unsigned int count)
{
	for (unsigned int r = 0; r < count; r++) {
		uint64_t free = 0;

		if (swap_word(&first[r], &free, ~(uint64_t)0))
			continue;
		while (r-- > 0)
			group_clear(&first[r], ~(uint64_t)0);
		return false;
	}
	return true;
}

struct page *group_take_rows(const struct group *g, unsigned int order, bool *was_free)
{
	unsigned int count = 1u << (order - ROW_ORDER);

	if (promise(g, order, 1, was_free) == 0)
		return NULL;
	for (unsigned int r = 0; r < GROUP_ROWS; r += count) {
		if (load_word(&g->rows[r]) == 0 && claim_rows(g->rows + r, count))
			return g->base + r * ROW_PAGES;
	}
	group_put(g, 1u << order);
	return NULL;
}

/* All bits that `whole` may have in its halves. */
static uint64_t halves_of(uint64_t whole)
{
	return (whole << 1) - (whole >> 10);
}

bool pair_take_whole(_Atomic uint64_t *pair, uint64_t whole)
{
	uint64_t state = load_word(pair);

	while ((state & halves_of(whole)) == 0) {
		if (swap_word(pair, &state, state | whole))
			return true;
	}
	return false;
}

bool pair_put_whole(_Atomic uint64_t *pair, uint64_t whole)
{
	uint64_t state = load_word(pair);

	while ((state & halves_of(whole)) == whole) {
		if (swap_word(pair, &state, state & ~whole))
			return true;
	}
	return false;
}

uint64_t group_clear(row_word *row, uint64_t mask)
{
	uint64_t before;

	ROWS_STEP();
	before = atomic_fetch_and_explicit(row, ~mask, memory_order_acq_rel);
	return mask & ~before;
}

bool group_split(const struct group *g)
{
	uint64_t pair = load_word(g->pair);

	/* Nobody has a promise, so nobody else touches the rows. */
	for (unsigned int r = 0; r < GROUP_ROWS; r++) {
		ROWS_STEP();
		atomic_store_explicit(&g->rows[r], ~(uint64_t)0, memory_order_relaxed);
	}
	while ((pair >> g->shift & GROUP_WHOLE) != 0) {
		uint64_t less = GROUP_WHOLE - GROUP_PAGES;

		if (swap_word(g->pair, &pair, pair - (less << g->shift)))
			return true;
	}
	return false;
}
