/* SPDX-License-Identifier: MIT */
/*
 * The steps on a group of rows and on a region of groups, each of them atomic.
 *
 * Promise first, bits second. A request adds the pages it wants to `used` before
 * it claims their bits, and a free clears the bits before it takes them off
 * `used`. Hence at any time
 *
 *     set bits + promises not yet claimed + clears not yet counted = used
 *
 * so a group whose used comes to 0 has no bit set and nobody between two steps.
 * Whoever brings it there closes it with the same compare-and-swap: from then on
 * nobody is promised anything, and he alone gives the group back, by its bit in
 * the region. Whoever sets that bit owns a group that is free for certain: he gives
 * it out whole without another step, or opens it with a plain store. So a whole group
 * and a part of it can never be given out at once, which is the race that a bitmap
 * with a separate mark for whole groups leaves open when bits are taken first. The
 * counter above the bits is LLFree's (Wrenger and others, USENIX ATC 2023), which counts
 * free frames and takes one frame at a time; here one step takes all blocks of a row,
 * and at the level above all huge pages of a batch.
 *
 * A promise is for pages, not for aligned blocks: a request may find fewer blocks
 * than it was promised, and the rest of its promise is counted back.
 *
 * Alone. Where the caller knows that nobody else takes steps, they are the same, made of
 * plain loads and stores: a locked instruction is 8 ns where these are one.
 *
 * ROWS_STEP() stands before every access to a shared word: the test that runs all
 * interleavings (tests/buddy/test_rows_interleave.c) switches threads there.
 */
#include "allocators/buddy/rows.h"

#ifndef ROWS_STEP
#define ROWS_STEP() ((void)0)
#endif

static inline uint64_t load_word(row_word *word)
{
	ROWS_STEP();
	return atomic_load_explicit(word, memory_order_relaxed);
}

/* Updates *expected on failure. Alone, *expected is what was loaded, and stands. */
static inline bool swap_word(row_word *word, uint64_t *expected, uint64_t to, bool alone)
{
	if (alone) {
		atomic_store_explicit(word, to, memory_order_relaxed);
		return true;
	}
	ROWS_STEP();
	return atomic_compare_exchange_strong_explicit(
		word, expected, to, memory_order_acq_rel, memory_order_relaxed);
}

unsigned int group_put(const struct group *g, unsigned int pages)
{
	uint64_t state = load_word(g->state);

	while (!swap_word(g->state, &state,
			  state == (GROUP_OPEN | pages) ? 0 : state - pages, g->alone))
		;
	return (unsigned int)state;
}

/* Promises up to n blocks of the group to the caller. */
static size_t promise(const struct group *g, unsigned int order, size_t n)
{
	uint64_t state = load_word(g->state);

	for (;;) {
		size_t room = (GROUP_PAGES - (uint32_t)state) >> order;

		if ((state & GROUP_OPEN) == 0 || room == 0)
			return 0;
		if (n > room)
			n = room;
		if (swap_word(g->state, &state, state + (n << order), g->alone))
			return n;
	}
}

/* The same of a free group, which is the caller's, and open to all afterwards. */
static size_t promise_fresh(const struct group *g, unsigned int order, size_t n)
{
	size_t room = GROUP_PAGES >> order;

	if (n > room)
		n = room;
	ROWS_STEP();
	atomic_store_explicit(g->state, GROUP_OPEN | n << order, memory_order_release);
	return n;
}

/* row_take() of a word that was `taken` a moment ago. *count: how many they are. */
static inline uint64_t claim(row_word *row, uint64_t taken, unsigned int order, size_t n,
			     bool alone, size_t *count)
{
	uint64_t starts;

	*count = ROW_PAGES >> order;
	/* The whole row, as most are. */
	if (taken == 0 && n >= ROW_PAGES >> order &&
	    swap_word(row, &taken, ~(uint64_t)0, alone))
		return row_aligned(order);
	do {
		starts = row_starts(taken, order);
		*count = row_count(starts);
		if (*count > n) {
			starts = row_lowest(starts, n);
			*count = n;
		}
	} while (starts != 0 &&
		 !swap_word(row, &taken, taken | row_spread(starts, order), alone));
	return starts;
}

uint64_t row_take(row_word *row, unsigned int order, size_t n, bool alone)
{
	size_t count;

	return claim(row, load_word(row), order, n, alone, &count);
}

bool row_take_bit(row_word *row, uint64_t bit, bool alone)
{
	uint64_t taken = load_word(row);

	while ((taken & bit) == 0) {
		if (swap_word(row, &taken, taken | bit, alone))
			return true;
	}
	return false;
}

uint64_t row_clear(row_word *row, uint64_t mask, bool alone)
{
	uint64_t before;

	ROWS_STEP();
	if (alone) {
		before = atomic_load_explicit(row, memory_order_relaxed);
		atomic_store_explicit(row, before & ~mask, memory_order_relaxed);
	} else {
		before = atomic_fetch_and_explicit(row, ~mask, memory_order_acq_rel);
	}
	return mask & ~before;
}

/* Entries that are written before it is known whether there are so many. */
#define AHEAD 4

/* Lists the blocks of a row, `count` of them; there is room for `room` entries. */
static void list_starts(uint64_t starts, size_t count, unsigned int order, size_t room,
			struct page *first, struct page **out)
{
	size_t n = 0;

	if (starts == row_aligned(order)) {
		for (; n < ROW_PAGES >> order; n++)
			out[n] = first + (n << order);
		return;
	}
	/* Rows of used memory have a few scattered blocks, no two rows as many: a loop
	 * would end unforeseen each time. The set is never empty. */
	if (order == 0 && room >= AHEAD) {
		for (; n < AHEAD; n++) {
			uint64_t rest = starts & (starts - 1);

			out[n] = first + __builtin_ctzll(starts);
			starts = rest != 0 ? rest : starts;
		}
	}
	for (; n < count; n++, starts &= starts - 1)
		out[n] = first + __builtin_ctzll(starts);
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

/* Claims `count` free rows from the first one on, or none of them. */
static bool claim_rows(const struct group *g, unsigned int first, unsigned int count)
{
	for (unsigned int r = first; r < first + count; r++) {
		uint64_t free = load_word(&g->rows[r]);

		if (free == 0 && swap_word(&g->rows[r], &free, ~(uint64_t)0, g->alone))
			continue;
		while (r-- > first)
			row_clear(&g->rows[r], ~(uint64_t)0, g->alone);
		return false;
	}
	return true;
}

/* One block of several rows, which is promised. */
static size_t take_rows(const struct group *g, unsigned int order, struct page **out)
{
	unsigned int count = 1u << (order - ROW_ORDER);

	for (unsigned int r = 0; r < GROUP_ROWS; r += count) {
		if (!claim_rows(g, r, count))
			continue;
		*out = g->base + r * ROW_PAGES;
		return 1;
	}
	return 0;
}

size_t group_take(const struct group *g, unsigned int order, size_t n, bool fresh,
		  struct page **out, unsigned int *surplus)
{
	size_t got = 0;

	/* Pages that are promised are there; of blocks only what one has seen, lest
	 * others go away for the sake of a promise that comes back. */
	if (order > ROW_ORDER)
		n = 1;
	else if (order != 0 && !fresh && !g->alone)
		n = count_blocks(g, order, n);
	if (n != 0)
		n = fresh ? promise_fresh(g, order, n) : promise(g, order, n);
	if (order > ROW_ORDER && n != 0)
		got = take_rows(g, order, out);
	for (unsigned int r = 0; r < GROUP_ROWS && got < n && order <= ROW_ORDER; r++) {
		uint64_t taken = load_word(&g->rows[r]);
		size_t count;

		if (taken == ~(uint64_t)0)
			continue;
		taken = claim(&g->rows[r], taken, order, n - got, g->alone, &count);
		if (taken == 0)
			continue;
		list_starts(taken, count, order, n - got, g->base + r * ROW_PAGES,
			    out + got);
		got += count;
	}
	*surplus = (unsigned int)((n - got) << order);
	return got;
}

void group_split(const struct group *g)
{
	/* Nobody has a promise, so nobody else touches the rows. */
	for (unsigned int r = 0; r < GROUP_ROWS; r++) {
		ROWS_STEP();
		atomic_store_explicit(&g->rows[r], ~(uint64_t)0, memory_order_relaxed);
	}
	ROWS_STEP();
	atomic_store_explicit(g->state, GROUP_OPEN | GROUP_PAGES, memory_order_release);
}
