/* SPDX-License-Identifier: MIT */
/* Rows: finding free blocks; theory: rows.c. */
#include "allocators/buddy/rows_internal.h"

/* Open groups that a request of more than a page looks at before it breaks a whole
 * one: bounds its time to about a microsecond, and leaves few gaps unused. */
#define OPEN_TRIES 32

/*
 * 64 MiB: with fewer pages in use all orders share groups. Groups of a class's own mean
 * that up to two for each are touched in part, and what is free there is not used for the
 * others; for a small program that is a fifth of its memory, and whole huge pages are
 * nothing that it needs.
 */
#define ROWS_APART_PAGES 16384ul

static enum rows_class class_of(unsigned int order)
{
	if (order == 0)
		return ROWS_PAGE;
	return order <= 3 ? ROWS_SMALL : ROWS_LARGE;
}

/* Makes the group this CPU's own for the class. */
static void adopt(struct rows *rows, unsigned int class, unsigned int g, bool alone)
{
	rows_note_closed(rows, g, alone);
	rows_swap_own(rows, class, g, alone);
}

struct find {
	struct rows_request rq;
	bool alone;
	bool few; /* pages in use */
	unsigned int order, type;
	size_t wanted, got;
	struct page **out;
};

static struct rows *rows_of(const struct find *f)
{
	return &f->rq.zone->rows;
}

/* Which of a CPU's own groups a request uses. */
static unsigned int own_of(const struct find *f)
{
	return f->type * NR_ROWS_CLASSES + (f->few ? ROWS_PAGE : class_of(f->order));
}

/* Takes what one group has: open, or fresh, which is ours by its bit in the region. */
static void take_from(struct find *f, unsigned int g, bool fresh)
{
	struct group group = rows_group(f->rq.zone, g, f->alone);
	unsigned int surplus;
	size_t got;

	do {
		got = group_take(&group, f->order, f->wanted - f->got, fresh,
				 f->out + f->got, &surplus);
		f->got += got;
		fresh = false;
		if (surplus != 0)
			rows_count_back(&f->rq, g, surplus);
		/* Large blocks come one at a time. */
	} while (got != 0 && f->order > ROW_ORDER && f->got < f->wanted);
}

/* The same with a group that is wholly free: false when it is not any more. */
static bool take_from_free(struct find *f, unsigned int g)
{
	struct rows *rows = rows_of(f);
	struct region *region = rows_region(rows, g);

	if (!row_take_bit(&region->taken, rows_region_bit(g), f->alone))
		return false;
	/* It is opened for blocks of this type. */
	if (buddy.mobility)
		atomic_store_explicit(&rows->type[g], (uint8_t)f->type,
				      memory_order_relaxed);
	rows_note_taken(region, rows_region_bit(g), f->alone);
	take_from(f, g, true);
	return true;
}

static void find_in_own(struct find *f)
{
	struct rows *rows = rows_of(f);
	unsigned int class = own_of(f);
	uint32_t own = atomic_load_explicit(rows_current(rows, os_cpu_id(), class),
					    memory_order_relaxed);

	if (own == 0)
		return;
	if (rows_group_state(rows, own - 1) != 0)
		take_from(f, own - 1, false);
	else if (rows_group_free(rows, own - 1) && take_from_free(f, own - 1))
		/* Another thread of this CPU may have left the group meanwhile. */
		adopt(rows, class, own - 1, f->alone);
	if (f->got == f->wanted || f->few)
		return;
	/* The neighbour: its state lies in the line that is here. */
	own = (own - 1) ^ 1;
	if (own < rows->nr_groups && rows_group_free(rows, own) && take_from_free(f, own))
		adopt(rows, class, own, f->alone);
}

/* The group that this CPU was the last to make room in. */
static void find_in_freed(struct find *f)
{
	struct rows *rows = rows_of(f);
	uint32_t freed = atomic_load_explicit(rows_current(rows, os_cpu_id(), OWN_FREED),
					      memory_order_relaxed);

	if (freed != 0 && rows_has_room(rows_group_state(rows, freed - 1)) &&
	    rows_type(rows, freed - 1) == f->type)
		take_from(f, freed - 1, false);
}

/* The group was found full; it may have got room since, and its hint been set. */
static void not_open(struct rows *rows, unsigned int type, unsigned int g, bool alone)
{
	hint_clear(&rows_region(rows, g)->open[type], rows_region_bit(g), alone);
	rows_note_open(rows, g, alone);
}

/* Of memory in which pages are free here and there a request looks at many groups, and
 * each is two lines from afar: the one after the next is fetched meanwhile. */
static inline void prefetch_next(const struct rows *rows, unsigned int region,
				 uint64_t open)
{
	unsigned int g;

	open &= open - 1;
	open &= open - 1;
	if (open == 0)
		return;
	g = region * REGION_GROUPS + (unsigned int)__builtin_ctzll(open);
	__builtin_prefetch(&rows->state[g], 1);
	__builtin_prefetch(&rows->row[g * GROUP_ROWS], 1);
}

/* Those of a region. False: that is enough. */
static bool find_in_hint(struct find *f, unsigned int type, unsigned int r,
			 unsigned int *tries)
{
	struct rows *rows = rows_of(f);
	uint64_t open = atomic_load_explicit(&rows->region[r].open[type],
					     memory_order_relaxed);

	for (; open != 0; open &= open - 1) {
		unsigned int g = r * REGION_GROUPS + (unsigned int)__builtin_ctzll(open);
		size_t before = f->got;

		prefetch_next(rows, r, open);
		if (!rows_has_room(rows_group_state(rows, g))) {
			not_open(rows, type, g, f->alone);
			continue;
		}
		take_from(f, g, false);
		if (!rows_has_room(rows_group_state(rows, g)))
			not_open(rows, type, g, f->alone);
		else if (f->got != before)
			adopt(rows, own_of(f), g, f->alone);
		if (f->got == f->wanted || --*tries == 0)
			return false;
	}
	return true;
}

static uint32_t own_region(const struct rows *rows)
{
	return atomic_load_explicit(rows_current(rows, os_cpu_id(), OWN_REGION),
				    memory_order_relaxed);
}

/* The open groups, the lowest first; among others those of the CPU's own region before,
 * in which nobody else is likely to be. A class adopts the one that served it last. */
static void find_in_open(struct find *f, unsigned int type)
{
	struct rows *rows = rows_of(f);
	unsigned int start = atomic_load_explicit(&rows->open_from[type],
						  memory_order_relaxed);
	unsigned int tries = f->order == 0 ? UINT32_MAX : OPEN_TRIES;
	uint32_t own = f->alone ? 0 : own_region(rows);
	bool none = true;

	if (own != 0 && !find_in_hint(f, type, own - 1, &tries))
		return;
	for (unsigned int r = start; r < rows->nr_regions; r++) {
		if (none && atomic_load_explicit(&rows->region[r].open[type],
						 memory_order_relaxed) != 0) {
			none = false;
			if (r != start)
				atomic_store_explicit(&rows->open_from[type], r,
						      memory_order_relaxed);
		}
		if (!none && !find_in_hint(f, type, r, &tries))
			return;
	}
	if (none)
		atomic_store_explicit(&rows->open_from[type], rows->nr_regions,
				      memory_order_relaxed);
}

static uint64_t free_groups(const struct rows *rows, unsigned int region)
{
	return ~atomic_load_explicit(&rows->region[region].taken, memory_order_relaxed);
}

/* Huge pages of a region: all that are wanted in one step. */
static void take_whole(struct find *f, unsigned int r)
{
	struct region *region = &rows_of(f)->region[r];
	unsigned int order = f->order - GROUP_ORDER;
	uint64_t starts = row_take(&region->taken, order, f->wanted - f->got, f->alone);
	struct page *first = buddy.mem_map +
			     rows_first_pfn(f->rq.zone, r * REGION_GROUPS);

	if (starts == 0)
		return;
	rows_note_taken(region, row_spread(starts, order), f->alone);
	for (; starts != 0; starts &= starts - 1)
		f->out[f->got++] = first +
				   ((size_t)__builtin_ctzll(starts) << GROUP_ORDER);
}

/* The first region that may have a free group, brought up to date. */
static unsigned int first_free_region(struct rows *rows)
{
	unsigned int start = atomic_load_explicit(&rows->free_from, memory_order_relaxed);
	unsigned int r = start;

	while (r < rows->nr_regions && free_groups(rows, r) == 0)
		r++;
	if (r == rows->nr_regions)
		return start;
	if (r != start)
		atomic_store_explicit(&rows->free_from, r, memory_order_relaxed);
	return r;
}

/* Makes the region the one from which this CPU takes free groups. */
static void settle(struct rows *rows, unsigned int r)
{
	unsigned int cpu = os_cpu_id();
	_Atomic uint32_t *own = rows_current(rows, cpu, OWN_REGION);
	uint32_t former = atomic_load_explicit(own, memory_order_relaxed);

	if (former != 0 && atomic_load_explicit(&rows->region[former - 1].taker,
						memory_order_relaxed) == cpu + 1)
		atomic_store_explicit(&rows->region[former - 1].taker, 0,
				      memory_order_relaxed);
	atomic_store_explicit(own, r + 1, memory_order_relaxed);
	atomic_store_explicit(&rows->region[r].taker, cpu + 1, memory_order_relaxed);
}

/* The lowest wholly free groups of a region, each of which becomes the CPU's own; those
 * with a free neighbour first, of which the CPU will then have both. */
static void take_fresh(struct find *f, unsigned int r)
{
	struct rows *rows = rows_of(f);

	for (unsigned int pairs = f->few ? 1 : 2; pairs-- > 0 && f->got < f->wanted;) {
		uint64_t taken = ~free_groups(rows, r);

		for (uint64_t free = row_starts(taken, pairs);
		     free != 0 && f->got < f->wanted; free &= free - 1) {
			unsigned int g = r * REGION_GROUPS +
					 (unsigned int)__builtin_ctzll(free);

			if (take_from_free(f, g))
				adopt(rows, own_of(f), g, f->alone);
		}
	}
}

/*
 * Free groups, to be given out whole or to be opened: each CPU takes them from a region
 * of its own while there is one, so that no two work on the same words; else the
 * lowest.
 */
static KMEM_ALWAYS_INLINE void find_in_free(struct find *f,
					    void (*take)(struct find *f, unsigned int r))
{
	struct rows *rows = rows_of(f);
	uint32_t own = own_region(rows);
	unsigned int start;

	if (own != 0)
		take(f, own - 1);
	if (f->got == f->wanted)
		return;
	start = first_free_region(rows);
	for (unsigned int r = start; r < rows->nr_regions && f->got < f->wanted; r++) {
		size_t before = f->got;

		if (free_groups(rows, r) == 0 ||
		    atomic_load_explicit(&rows->region[r].taker, memory_order_relaxed) !=
			    0)
			continue;
		take(f, r);
		if (f->got != before)
			settle(rows, r);
	}
	for (unsigned int r = start; r < rows->nr_regions && f->got < f->wanted; r++)
		take(f, r);
}

/* Hints may lag: looks at everything. */
static KMEM_COLD void find_anywhere(struct find *f)
{
	struct rows *rows = rows_of(f);

	atomic_store_explicit(&rows->free_from, 0, memory_order_relaxed);
	for (unsigned int type = 0; type < rows_types(); type++)
		atomic_store_explicit(&rows->open_from[type], 0, memory_order_relaxed);
	if (f->order >= GROUP_ORDER) {
		for (unsigned int r = 0; r < rows->nr_regions && f->got < f->wanted; r++)
			take_whole(f, r);
		return;
	}
	for (unsigned int g = 0; g < rows->nr_groups && f->got < f->wanted; g++) {
		if (rows_has_room(rows_group_state(rows, g)))
			take_from(f, g, false);
		else if (rows_group_free(rows, g) && take_from_free(f, g))
			rows_note_open(rows, g, f->alone); /* nobody's own */
	}
}

static void find_in_parts(struct find *f)
{
	find_in_own(f);
	if (f->got < f->wanted)
		find_in_open(f, f->type);
	if (f->got < f->wanted)
		find_in_freed(f);
	if (f->got < f->wanted)
		find_in_free(f, take_fresh);
	/* Only now where blocks of another type are: it will be a mixed group. */
	for (unsigned int type = 0; type < rows_types(); type++) {
		if (f->got < f->wanted && type != f->type)
			find_in_open(f, type);
	}
}

/* A batch of blocks of 8 pages is a megabyte, which a program that uses little leaves
 * lying on a list: it gets no more than a thirty-second of what it uses at a time. */
static size_t few_blocks(size_t n, unsigned int order, unsigned long used)
{
	size_t most = (ROW_PAGES + used / 32) >> order;

	if (n <= most || order == 0 || order >= GROUP_ORDER)
		return n;
	return most > 0 ? most : 1;
}

size_t rows_take(struct zone *zone, unsigned int kind, unsigned long mark, size_t n,
		 struct page **out)
{
	unsigned int order = kind_order(kind);
	struct find f = {.rq = {zone, rows_enter()},
			 .order = order,
			 .type = kind >> KIND_SHIFT,
			 .out = out};

	unsigned long used = zone->end_pfn - zone->start_pfn - zone_free_pages(zone);

	f.alone = f.rq.visit == ROWS_ALONE;
	f.few = used < ROWS_APART_PAGES;
	f.wanted = zone_promise(zone, order, mark, few_blocks(n, order, used), f.alone);
	if (f.wanted != 0 && order >= GROUP_ORDER)
		find_in_free(&f, take_whole);
	else if (f.wanted != 0)
		find_in_parts(&f);
	if (KMEM_UNLIKELY(f.got < f.wanted)) {
		find_anywhere(&f);
		zone_add_free(zone, (f.wanted - f.got) << order, f.alone);
	}
	rows_leave(f.rq.visit);
	return f.got;
}
