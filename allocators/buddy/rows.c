/* SPDX-License-Identifier: MIT */
/*
 * The lower level without a lock: rows of bitmaps instead of free lists.
 *
 * THEORY
 *
 * Concepts. A zone is divided into regions of 64 groups, a group into 8 rows, a row
 * into 64 pages (rows.h draws them). What is free is said by the bitmaps alone:
 * descriptors of free pages are neither read nor linked, blocks need not be merged
 * (a free block is a run of clear bits at its aligned place), and 0.19 bytes a page
 * are all.
 *
 * Allocation. (1) As many pages as the mark allows are taken off the count of free
 * pages: a promise by the zone, exact, so a watermark is never undercut; where there is
 * plenty, off this CPU's part of it (credit.c). (2) They are
 * looked for in groups: this CPU's own group for this class of orders; then the
 * lowest open group, which becomes the CPU's own; then the lowest free one; in the
 * end any. A step takes all blocks that a row has to give, so a batch of 64 pages
 * costs two locked instructions. Blocks of order 9 and 10 are bits of a region: one
 * step takes a batch of them. Free groups, to be opened or given out whole, each CPU
 * takes from a region of its own while there is one, so that two do not work on the
 * same words; among others it looks for open ones there first. (3) What was promised and
 * not found goes back.
 *
 * Why the lowest: long-lived pages gather in the lowest groups of a region, and those
 * further up become wholly free, to serve as huge pages or to be purged.
 *
 * Free. Bits of neighbouring blocks that are freed together are cleared together:
 * one locked instruction per row and one per group. A bit that was clear already
 * is a double free that no descriptor could tell; it is reported and not counted.
 * A group that gets room is the CPU's own until the CPU makes room in another: what
 * is freed from end to end is not opened to others, who would take it meanwhile.
 *
 * Alone. Every request passes a gate (rows_gate.c). While one CPU alone comes, all of
 * these steps are plain loads and stores; as soon as a second one does, they are
 * atomic. Nothing else differs, so a program with one thread pays for no locked
 * instruction, and one with many for no lock.
 *
 * Hints. Bitmaps of groups say which have room and are nobody's own (`open`). They
 * follow the truth and may lag behind. A wrong hint costs a look at the wrong group; a
 * request that finds nothing by hints walks all groups before it fails.
 *
 * Mobility. With option mobility a group is opened for one migrate type, kept in a
 * byte beside it, and each type has its own hint of open groups and its own groups
 * per CPU; another type's group is used only when there is no free one left (Linux
 * 2.6.24 does so with blocks of 4 MiB and free lists per type).
 *
 * Locking: none. Each step on a group is atomic (rows_group.c, with the proof);
 * no other order is relied upon.
 *
 * Fork waits at the gate until nobody is inside, for the child must not see half of a
 * request.
 *
 * Where this differs from LLFree (USENIX ATC 2023), from which come the counter above
 * the bits and the choice of the fullest place first: batches of a whole row, or of
 * a region's huge pages, instead of a frame at a time, a CPU's own group of 2 MiB
 * instead of a tree of 16, hints instead of tree counters, plain steps for who is alone,
 * and per-CPU lists above it, which LLFree has not. From the kernel: no free lists, no
 * merging, no zone lock; coalescing is what the bits say.
 */
#include "allocators/buddy/rows_internal.h"

#include <kmem/error.h>

/* --- hints --- */

static void lower_to(_Atomic unsigned int *from, unsigned int region)
{
	if (region < atomic_load_explicit(from, memory_order_relaxed))
		atomic_store_explicit(from, region, memory_order_relaxed);
}

void rows_note_taken(struct region *region, uint64_t groups, bool alone)
{
	hint_set(&region->touched, groups, alone);
	hint_clear(&region->aged, groups, alone);
}

void rows_note_closed(struct rows *rows, unsigned int g, bool alone)
{
	for (unsigned int type = 0; type < rows_types(); type++)
		hint_clear(&rows_region(rows, g)->open[type], rows_region_bit(g), alone);
}

void rows_note_open(struct rows *rows, unsigned int g, bool alone)
{
	unsigned int type;

	if (!rows_has_room(rows_group_state(rows, g)))
		return;
	type = rows_type(rows, g);
	hint_set(&rows_region(rows, g)->open[type], rows_region_bit(g), alone);
	lower_to(&rows->open_from[type], g / REGION_GROUPS);
}

void rows_swap_own(struct rows *rows, unsigned int class, unsigned int g, bool alone)
{
	_Atomic uint32_t *current = rows_current(rows, os_cpu_id(), class);
	uint32_t former;

	if (alone) {
		former = atomic_load_explicit(current, memory_order_relaxed);
		atomic_store_explicit(current, g + 1, memory_order_relaxed);
	} else {
		former = atomic_exchange(current, g + 1);
	}
	if (former != 0 && former != g + 1)
		rows_note_open(rows, former - 1, alone);
}

/* --- giving back --- */

uint64_t rows_give_back(const struct rows_request *rq, unsigned int region,
			uint64_t groups)
{
	struct rows *rows = &rq->zone->rows;
	uint64_t free = row_clear(&rows->region[region].taken, groups,
				  rq->visit == ROWS_ALONE);

	lower_to(&rows->free_from, region);
	return free;
}

void rows_count_back(const struct rows_request *rq, unsigned int g, unsigned int pages)
{
	struct rows *rows = &rq->zone->rows;
	bool alone = rq->visit == ROWS_ALONE;
	struct group group = rows_group(rq->zone, g, alone);
	unsigned int before;

	if (pages == 0)
		return;
	before = group_put(&group, pages);
	if (before == pages) {
		/* Closed, and ours alone until its bit is clear. */
		rows_note_closed(rows, g, alone);
		rows_give_back(rq, g / REGION_GROUPS, rows_region_bit(g));
	} else if (before == GROUP_PAGES) {
		rows_swap_own(rows, OWN_FREED, g, alone);
	}
}

/* Outside, for the handler of reports may allocate. */
static KMEM_COLD void report(struct rows_request *rq, unsigned int order,
			     unsigned long pfn)
{
	rows_leave(rq->visit);
	kmem_bug("double free of pfn %lu, order %u: the %s is free already", pfn, order,
		 order == 0 ? "page" : "block");
	rq->visit = rows_enter();
}

/* Huge pages that are being freed, gathered by region. */
struct put_whole {
	struct rows_request *rq;
	unsigned int order, region;
	uint64_t groups;
	unsigned long lost; /* pages that were free before, reported */
};

static void put_region(struct put_whole *p)
{
	uint64_t free;

	if (p->groups == 0)
		return;
	free = rows_give_back(p->rq, p->region, p->groups);
	p->groups = 0;
	/* Of an order 10 the first half speaks for both. */
	for (; KMEM_UNLIKELY(free != 0); free &= free - 1) {
		unsigned int g = p->region * REGION_GROUPS +
				 (unsigned int)__builtin_ctzll(free);

		p->lost += GROUP_PAGES;
		if (p->order == GROUP_ORDER || g % 2 == 0)
			report(p->rq, p->order, rows_first_pfn(p->rq->zone, g));
	}
}

/* Blocks of order 9 and 10. Returns how many pages were not taken. */
static unsigned long put_whole(struct rows_request *rq, unsigned int order, size_t n,
			       struct page **blocks)
{
	struct put_whole p = {.rq = rq, .order = order};
	uint64_t each = order > GROUP_ORDER ? 3 : 1;

	for (size_t i = 0; i < n; i++) {
		unsigned long at = (unsigned long)(blocks[i] - buddy.mem_map) -
				   rq->zone->start_pfn;
		unsigned int g = (unsigned int)(at >> GROUP_ORDER);
		uint64_t bits = each << g % REGION_GROUPS;

		/* The same block twice has to meet its own clear bit. */
		if (g / REGION_GROUPS != p.region || (p.groups & bits) != 0)
			put_region(&p);
		p.region = g / REGION_GROUPS;
		p.groups |= bits;
	}
	put_region(&p);
	return p.lost;
}

/* Blocks that are being freed, gathered by row and by group. */
struct put {
	struct rows_request *rq;
	size_t row;	    /* of the zone */
	uint64_t mask;	    /* its pages to be cleared */
	unsigned int pages; /* in its group, not taken off its `used` yet */
	unsigned long lost; /* were free before, reported */
};

static KMEM_COLD void lose(struct put *p, uint64_t free)
{
	unsigned int lost = row_count(free);

	p->pages -= lost;
	p->lost += lost;
	report(p->rq, 0,
	       p->rq->zone->start_pfn + p->row * ROW_PAGES +
		       (unsigned long)__builtin_ctzll(free));
}

static inline void put_row(struct put *p)
{
	uint64_t free;

	if (p->mask == 0)
		return;
	free = row_clear(&p->rq->zone->rows.row[p->row], p->mask,
			 p->rq->visit == ROWS_ALONE);
	p->mask = 0;
	if (KMEM_UNLIKELY(free != 0))
		lose(p, free);
}

static void put_group(struct put *p)
{
	put_row(p);
	rows_count_back(p->rq, (unsigned int)(p->row / GROUP_ROWS), p->pages);
	p->pages = 0;
}

/* Pages of one row, from page `at` of the zone on. */
static KMEM_ALWAYS_INLINE void put_pages(struct put *p, unsigned long at, uint64_t pages,
					 unsigned int count)
{
	size_t row = at / ROW_PAGES;

	pages <<= at % ROW_PAGES;
	/* The same page twice has to meet its own clear bit. */
	if (row == p->row && KMEM_LIKELY((p->mask & pages) == 0)) {
		p->mask |= pages;
		p->pages += count;
		return;
	}
	if (row / GROUP_ROWS != p->row / GROUP_ROWS)
		put_group(p);
	else
		put_row(p);
	p->row = row;
	p->mask = pages;
	p->pages += count;
}

/* Blocks next to each other, upwards or downwards. */
static bool in_sequence(unsigned int order, size_t n, struct page **blocks)
{
	ptrdiff_t step = (ptrdiff_t)(sizeof(struct page) << order);

	if (n > 1 && blocks[1] < blocks[0])
		step = -step;
	for (size_t i = 1; i < n; i++) {
		if ((char *)blocks[i] - (char *)blocks[i - 1] != step)
			return false;
	}
	return true;
}

/* So many pages, from page `at` of the zone on: a mask for each row. */
static unsigned long put_run(struct rows_request *rq, unsigned long at,
			     unsigned long pages)
{
	struct put p = {.rq = rq};

	while (pages != 0) {
		unsigned int count = ROW_PAGES - (unsigned int)(at % ROW_PAGES);

		if (count > pages)
			count = (unsigned int)pages;
		put_pages(&p, at, ~(uint64_t)0 >> (ROW_PAGES - count), count);
		at += count;
		pages -= count;
	}
	put_group(&p);
	return p.lost;
}

static unsigned long put_parts(struct rows_request *rq, unsigned int order, size_t n,
			       struct page **blocks);

/*
 * Blocks up to ROW_ORDER from all over the zone, for one who is alone: there is nothing
 * to gather, and looking for it costs more than the plain steps.
 */
static unsigned long put_scattered(struct rows_request *rq, unsigned int order, size_t n,
				   struct page **blocks)
{
	struct rows *rows = &rq->zone->rows;
	struct page *first = buddy.mem_map + rq->zone->start_pfn;
	unsigned int count = 1u << order;
	uint64_t pages = ~(uint64_t)0 >> (ROW_PAGES - count);
	unsigned long lost = 0;

	for (size_t i = 0; i < n; i++) {
		size_t at = (size_t)(blocks[i] - first);
		uint64_t mask = pages << at % ROW_PAGES;
		row_word *row = &rows->row[at / ROW_PAGES];
		row_word *used = &rows->state[at / GROUP_PAGES].used;
		uint64_t taken = atomic_load_explicit(row, memory_order_relaxed);
		uint64_t state = atomic_load_explicit(used, memory_order_relaxed);

		/* Misuse, and the last block of a group: with all care. */
		if (KMEM_UNLIKELY((mask & ~taken) != 0 ||
				  state == (GROUP_OPEN | count))) {
			struct put p = {.rq = rq};

			put_pages(&p, at, pages, count);
			put_group(&p);
			lost += p.lost;
			/* A report lets others in. */
			if (rq->visit != ROWS_ALONE)
				return lost +
				       put_parts(rq, order, n - i - 1, blocks + i + 1);
			continue;
		}
		atomic_store_explicit(row, taken & ~mask, memory_order_relaxed);
		atomic_store_explicit(used, state - count, memory_order_relaxed);
		if (KMEM_UNLIKELY(state == (GROUP_OPEN | GROUP_PAGES)))
			rows_note_open(rows, (unsigned int)(at / GROUP_PAGES), true);
	}
	return lost;
}

/* Blocks of less than a group. Returns how many pages were not taken. */
static unsigned long put_parts(struct rows_request *rq, unsigned int order, size_t n,
			       struct page **blocks)
{
	struct put p = {.rq = rq};
	uint64_t pages = ~(uint64_t)0;
	unsigned int rows_each = 1, count = ROW_PAGES;

	if (in_sequence(order, n, blocks)) {
		struct page *first = blocks[0] < blocks[n - 1] ? blocks[0]
							       : blocks[n - 1];

		return put_run(
			rq, (unsigned long)(first - buddy.mem_map) - rq->zone->start_pfn,
			n << order);
	}
	if (rq->visit == ROWS_ALONE && order <= ROW_ORDER)
		return put_scattered(rq, order, n, blocks);
	if (order < ROW_ORDER) {
		count = 1u << order;
		pages = ((uint64_t)1 << count) - 1;
	} else {
		rows_each = 1u << (order - ROW_ORDER);
	}
	for (size_t i = 0; i < n; i++) {
		unsigned long at = (unsigned long)(blocks[i] - buddy.mem_map) -
				   rq->zone->start_pfn;

		for (unsigned int r = 0; r < rows_each; r++, at += ROW_PAGES)
			put_pages(&p, at, pages, count);
	}
	put_group(&p);
	return p.lost;
}

void rows_put_blocks(struct rows_request *rq, unsigned int order, size_t n,
		     struct page **blocks)
{
	unsigned long pages = (unsigned long)n << order;

	if (n == 0)
		return;
	pages -= order < GROUP_ORDER ? put_parts(rq, order, n, blocks)
				     : put_whole(rq, order, n, blocks);
	zone_add_free(rq->zone, pages, rq->visit == ROWS_ALONE);
}

void rows_free(struct zone *zone, unsigned int order, size_t n, struct page **blocks)
{
	struct rows_request rq = {zone, rows_enter()};

	rows_put_blocks(&rq, order, n, blocks);
	rows_leave(rq.visit);
}

void rows_split(struct zone *zone, struct page *page, unsigned int order)
{
	unsigned long pfn = (unsigned long)(page - buddy.mem_map);
	unsigned int g = (unsigned int)((pfn - zone->start_pfn) >> GROUP_ORDER);
	enum rows_visit visit = rows_enter();

	for (unsigned int i = 0; i < 1u << (order - GROUP_ORDER); i++) {
		struct group group = rows_group(zone, g + i, visit == ROWS_ALONE);

		group_split(&group);
	}
	rows_leave(visit);
}
