/* SPDX-License-Identifier: MIT */
/*
 * The lower level without a lock: rows of a bitmap instead of free lists.
 *
 * THEORY
 *
 * Concepts. A zone is divided into groups of 512 pages, a group into rows of 64
 * (rows.h draws them). What is free is said by the bitmap alone: descriptors of
 * free pages are neither read nor linked, blocks need not be merged (a free block
 * is a run of clear bits at its aligned place), and 0.14 bytes a page are all.
 *
 * Allocation. (1) As many pages as the mark allows are taken off zone->free_pages:
 * a promise by the zone, exact, so a watermark is never undercut. (2) They are
 * looked for in groups: this CPU's own group for this class of orders; then the
 * lowest open group, which becomes the CPU's own; then the lowest free one; in the
 * end any. A step takes all blocks that a row has to give, so a batch of 64 pages
 * costs two locked instructions. Blocks of order 9 and 10 are groups in the first
 * place: one compare-and-swap each. (3) What was promised and not found goes back.
 *
 * Why the lowest: long-lived pages gather at the bottom of the zone, and groups
 * further up become wholly free, to serve as huge pages or to be purged.
 *
 * Free. Bits of neighbouring blocks that are freed together are cleared together:
 * one locked instruction per row and one per group. A bit that was clear already
 * is a double free that no descriptor could tell; it is reported and not counted.
 *
 * Hints. Bitmaps of groups say which are not wholly free (`busy`) and which have
 * room and are nobody's own (`open`). They follow the truth and may lag behind:
 * whoever changes a group's state from or to 0 corrects its bit, looks again, and
 * repeats until both agree, so the last change wins. A wrong hint costs a look at
 * the wrong group; a request that finds nothing by hints walks all groups before it
 * fails.
 *
 * Mobility. With option mobility a group is opened for one migrate type, kept in a
 * byte beside it, and each type has its own hint of open groups and its own groups
 * per CPU; another type's group is used only when there is no free one left (Linux
 * 2.6.24 does so with blocks of 4 MiB and free lists per type).
 *
 * Locking: none. Each step on a group is atomic (rows_group.c, with the proof);
 * no other order is relied upon.
 *
 * Fork. A request says that it is under way (rows_enter()) where a fork may happen:
 * fork waits until nobody is, for the child must not see half of one.
 *
 * Where this differs from LLFree (USENIX ATC 2023), from which come the counter above
 * the bits and the choice of the fullest place first: batches of a whole row
 * instead of a frame at a time, a CPU's own group of 2 MiB instead of a tree of 16,
 * hints instead of tree counters, and per-CPU lists above it, which LLFree has not.
 * From the kernel: no free lists, no merging, no zone lock; coalescing is what the
 * bits say.
 */
#include "allocators/buddy/rows_internal.h"

#include <kmem/error.h>

/* --- hints --- */

static void lower_to(_Atomic unsigned int *from, unsigned int word)
{
	if (word < atomic_load_explicit(from, memory_order_relaxed))
		atomic_store_explicit(from, word, memory_order_relaxed);
}

/* Of the groups of word w that are in `mask`, those that are not wholly free. */
static uint64_t busy_of(const struct rows *rows, unsigned int w, uint64_t mask)
{
	uint64_t busy = 0;

	for (; mask != 0; mask &= mask - 1) {
		unsigned int bit = (unsigned int)__builtin_ctzll(mask);

		if (rows_group_state(rows, w * HINT_GROUPS + bit) != 0)
			busy |= (uint64_t)1 << bit;
	}
	return busy;
}

void rows_note_busy(struct rows *rows, unsigned int w, uint64_t mask)
{
	uint64_t busy = busy_of(rows, w, mask), noted;

	do {
		noted = busy;
		if (busy != 0)
			atomic_fetch_or(&rows->busy[w], busy);
		if (busy != mask) {
			atomic_fetch_and(&rows->busy[w], ~(mask & ~busy));
			lower_to(&rows->free_from, w);
		}
		busy = busy_of(rows, w, mask);
	} while (busy != noted);
}

void rows_note_taken(struct rows *rows, unsigned int w, uint64_t mask)
{
	if ((~atomic_load_explicit(&rows->touched[w], memory_order_relaxed) & mask) != 0)
		atomic_fetch_or(&rows->touched[w], mask);
	if ((atomic_load_explicit(&rows->aged[w], memory_order_relaxed) & mask) != 0)
		atomic_fetch_and(&rows->aged[w], ~mask);
	rows_note_busy(rows, w, mask);
}

static unsigned int type_of(const struct rows *rows, unsigned int g)
{
	return atomic_load_explicit(&rows->type[g], memory_order_relaxed);
}

void rows_note_closed(struct rows *rows, unsigned int g)
{
	for (unsigned int type = 0; type < rows_types(); type++) {
		if (hint_test(rows->open[type], g))
			hint_clear(rows->open[type], g);
	}
}

void rows_note_open(struct rows *rows, unsigned int g)
{
	unsigned int type;

	if (!rows_has_room(rows_group_state(rows, g)))
		return;
	type = type_of(rows, g);
	hint_set(rows->open[type], g);
	lower_to(&rows->open_from[type], g / HINT_GROUPS);
}

/* --- giving back --- */

static void count_back(struct zone *zone, unsigned int g, unsigned int pages)
{
	struct rows *rows = &zone->rows;
	struct group group = rows_group(zone, g);
	uint32_t before;

	if (pages == 0)
		return;
	before = group_put(&group, pages);
	if (before == pages) {
		rows_note_busy(rows, g / HINT_GROUPS, rows_group_bit(g));
		rows_note_closed(rows, g);
	} else if (before == GROUP_PAGES) {
		rows_note_open(rows, g);
	}
}

static KMEM_COLD unsigned int report_free_already(const struct zone *zone, size_t row,
						  uint64_t pages)
{
	kmem_bug("double free of pfn %lu, order 0: the page is free already",
		 zone->start_pfn + row * ROW_PAGES +
			 (unsigned long)__builtin_ctzll(pages));
	return row_count(pages);
}

/* Blocks of order 9 and 10; pairs of groups in one step, hints once per word. Returns
 * how many pages were not taken. */
static unsigned long put_whole(struct zone *zone, unsigned int order, size_t n,
			       struct page **blocks)
{
	struct rows *rows = &zone->rows;
	unsigned long lost = 0;
	unsigned int word = 0;
	uint64_t noted = 0;

	for (size_t i = 0; i < n; i++) {
		unsigned long pfn = (unsigned long)(blocks[i] - buddy.mem_map);
		unsigned int g = (unsigned int)((pfn - zone->start_pfn) >> GROUP_ORDER);
		uint64_t whole = order > GROUP_ORDER
					 ? PAIR_WHOLE
					 : (uint64_t)GROUP_WHOLE << 32 * (g & 1);
		uint64_t bits = order > GROUP_ORDER ? 3 : 1;

		/* The other half next: a batch is in rising order, or in falling. */
		if (order == GROUP_ORDER && i + 1 < n &&
		    blocks[i + 1] == (g % 2 == 0 ? blocks[i] + GROUP_PAGES
						 : blocks[i] - GROUP_PAGES) &&
		    pair_put_whole(&rows->pair[g / 2].state, PAIR_WHOLE)) {
			i++;
			g &= ~1u;
			bits = 3;
		} else if (KMEM_UNLIKELY(
				   !pair_put_whole(&rows->pair[g / 2].state, whole))) {
			kmem_bug("double free of pfn %lu, order %u: the block is free "
				 "already",
				 pfn, order);
			lost += 1UL << order;
			continue;
		}
		if (noted != 0 && g / HINT_GROUPS != word) {
			rows_note_busy(rows, word, noted);
			noted = 0;
		}
		word = g / HINT_GROUPS;
		noted |= bits << g % HINT_GROUPS;
	}
	if (noted != 0)
		rows_note_busy(rows, word, noted);
	return lost;
}

/* Blocks that are being freed, gathered by row and by group. */
struct put {
	struct zone *zone;
	size_t row;	    /* of the zone */
	uint64_t mask;	    /* its pages to be cleared */
	unsigned int pages; /* in its group, not taken off its `used` yet */
	unsigned long lost; /* were free before, reported */
};

static void put_row(struct put *p)
{
	uint64_t free;

	if (p->mask == 0)
		return;
	free = group_clear(&p->zone->rows.row[p->row], p->mask);
	if (KMEM_UNLIKELY(free != 0)) {
		unsigned int lost = report_free_already(p->zone, p->row, free);

		p->pages -= lost;
		p->lost += lost;
	}
	p->mask = 0;
}

static void put_group(struct put *p)
{
	put_row(p);
	count_back(p->zone, (unsigned int)(p->row / GROUP_ROWS), p->pages);
	p->pages = 0;
}

/* Pages of one row, from page `at` of the zone on. */
static KMEM_ALWAYS_INLINE void put_pages(struct put *p, unsigned long at, uint64_t pages,
					 unsigned int count)
{
	size_t row = at / ROW_PAGES;

	pages <<= at % ROW_PAGES;
	if (row / GROUP_ROWS != p->row / GROUP_ROWS)
		put_group(p);
	/* The same page twice has to meet its own clear bit. */
	else if (row != p->row || KMEM_UNLIKELY((p->mask & pages) != 0))
		put_row(p);
	p->row = row;
	p->mask |= pages;
	p->pages += count;
}

/* Blocks of less than a group. Returns how many pages were not taken. */
static unsigned long put_parts(struct zone *zone, unsigned int order, size_t n,
			       struct page **blocks)
{
	struct put p = {.zone = zone};
	uint64_t pages = ~(uint64_t)0;
	unsigned int rows_each = 1, count = ROW_PAGES;

	if (order < ROW_ORDER) {
		count = 1u << order;
		pages = ((uint64_t)1 << count) - 1;
	} else {
		rows_each = 1u << (order - ROW_ORDER);
	}
	for (size_t i = 0; i < n; i++) {
		unsigned long at = (unsigned long)(blocks[i] - buddy.mem_map) -
				   zone->start_pfn;

		for (unsigned int r = 0; r < rows_each; r++, at += ROW_PAGES)
			put_pages(&p, at, pages, count);
	}
	put_group(&p);
	return p.lost;
}

void rows_put_blocks(struct zone *zone, unsigned int order, size_t n,
		     struct page **blocks)
{
	unsigned long pages = (unsigned long)n << order;

	pages -= order < GROUP_ORDER ? put_parts(zone, order, n, blocks)
				     : put_whole(zone, order, n, blocks);
	zone_add_free(zone, pages);
}

void rows_free(struct zone *zone, unsigned int order, size_t n, struct page **blocks)
{
	_Atomic long *under_way = rows_enter();

	rows_put_blocks(zone, order, n, blocks);
	rows_leave(under_way);
}

void rows_split(struct zone *zone, struct page *page, unsigned int order)
{
	unsigned long pfn = (unsigned long)(page - buddy.mem_map);
	unsigned int g = (unsigned int)((pfn - zone->start_pfn) >> GROUP_ORDER);
	_Atomic long *under_way = rows_enter();

	for (unsigned int i = 0; i < 1u << (order - GROUP_ORDER); i++) {
		struct group group = rows_group(zone, g + i);

		group_split(&group);
	}
	rows_leave(under_way);
}
