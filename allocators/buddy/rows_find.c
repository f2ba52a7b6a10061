/* SPDX-License-Identifier: MIT */
/* Rows: finding free blocks; theory: rows.c. */
#include "allocators/buddy/rows_internal.h"

/* Open groups that a request of more than a page looks at before it breaks a whole
 * one: bounds its time to about a microsecond, and leaves few gaps unused. */
#define OPEN_TRIES 32

static enum rows_class class_of(unsigned int order)
{
	if (order == 0)
		return ROWS_PAGE;
	return order <= 3 ? ROWS_SMALL : ROWS_LARGE;
}

/* Makes the group this CPU's own for the class; the former one is open to all. */
static void adopt(struct rows *rows, unsigned int class, unsigned int g)
{
	_Atomic uint32_t *current = rows_current(rows, os_cpu_id(), class);
	uint32_t former;

	rows_note_closed(rows, g);
	former = atomic_exchange(current, g + 1);
	if (former != 0 && former != g + 1)
		rows_note_open(rows, former - 1);
}

struct find {
	struct zone *zone;
	unsigned int order, type;
	size_t wanted, got;
	struct page **out;
};

/* Which of a CPU's own groups a request uses. */
static unsigned int own_of(const struct find *f)
{
	return f->type * NR_ROWS_CLASSES + class_of(f->order);
}

/* A wholly free group is opened for blocks of this type. */
static void set_type(const struct find *f, unsigned int g)
{
	if (buddy.mobility)
		atomic_store_explicit(&f->zone->rows.type[g], (uint8_t)f->type,
				      memory_order_relaxed);
}

/* Takes what one group has; true when nothing more is wanted. */
static bool find_in(struct find *f, unsigned int g)
{
	struct rows *rows = &f->zone->rows;
	struct group group = rows_group(f->zone, g);
	bool was_free = false;

	if (f->order <= ROW_ORDER) {
		f->got += group_take(&group, f->order, f->wanted - f->got,
				     f->out + f->got, &was_free);
	} else {
		while (f->got < f->wanted) {
			struct page *page = group_take_rows(&group, f->order, &was_free);

			if (page == NULL)
				break;
			f->out[f->got++] = page;
		}
	}
	if (was_free)
		rows_note_taken(rows, g / HINT_GROUPS, rows_group_bit(g));
	return f->got == f->wanted;
}

static void find_in_own(struct find *f)
{
	struct rows *rows = &f->zone->rows;
	unsigned int class = own_of(f);
	uint32_t own = atomic_load_explicit(rows_current(rows, os_cpu_id(), class),
					    memory_order_relaxed);
	uint32_t other;
	size_t before;

	if (own == 0 || find_in(f, own - 1))
		return;
	/* The other half of the pair: its state lies in the line that is here. */
	other = (own - 1) ^ 1;
	if (other >= rows->nr_groups || rows_group_state(rows, other) != 0)
		return;
	before = f->got;
	set_type(f, other);
	find_in(f, other);
	if (f->got != before)
		adopt(rows, class, other);
}

/* The open groups, the lowest first. A class adopts the one that served it last. */
static void find_in_open(struct find *f, unsigned int type)
{
	struct rows *rows = &f->zone->rows;
	unsigned int start = atomic_load_explicit(&rows->open_from[type],
						  memory_order_relaxed);
	unsigned int tries = f->order == 0 ? UINT32_MAX : OPEN_TRIES;
	bool none = true;

	for (unsigned int w = start; w < rows->nr_words; w++) {
		uint64_t open = atomic_load_explicit(&rows->open[type][w],
						     memory_order_relaxed);

		if (open != 0 && none) {
			none = false;
			if (w != start)
				atomic_store_explicit(&rows->open_from[type], w,
						      memory_order_relaxed);
		}
		for (; open != 0; open &= open - 1) {
			unsigned int g = w * HINT_GROUPS +
					 (unsigned int)__builtin_ctzll(open);
			size_t before = f->got;
			bool done;

			if (!rows_has_room(rows_group_state(rows, g))) {
				hint_clear(rows->open[type], g);
				rows_note_open(rows, g);
				continue;
			}
			done = find_in(f, g);
			if (f->got != before)
				adopt(rows, own_of(f), g);
			if (done || --tries == 0)
				return;
		}
	}
	if (none)
		atomic_store_explicit(&rows->open_from[type], rows->nr_words,
				      memory_order_relaxed);
}

/* Groups of the word that are wholly free; pairs: the first of two that both are. */
static uint64_t free_groups(const struct rows *rows, unsigned int w, bool pairs)
{
	uint64_t free = ~atomic_load_explicit(&rows->busy[w], memory_order_relaxed) &
			rows_word_mask(rows, w);

	return pairs ? row_starts(~free, 1) : free;
}

/*
 * Whole groups of word w that are in `free`; in pairs where both halves are free and
 * wanted, for that is one step instead of two.
 */
static void take_whole(struct find *f, unsigned int w, uint64_t free)
{
	struct rows *rows = &f->zone->rows;
	uint64_t taken = 0;

	while (free != 0 && f->got < f->wanted) {
		unsigned int bit = (unsigned int)__builtin_ctzll(free), half = bit & 1;
		_Atomic uint64_t *pair = &rows->pair[(w * HINT_GROUPS + bit) / 2].state;
		struct page *page = buddy.mem_map +
				    rows_first_pfn(f->zone, w * HINT_GROUPS + bit);
		uint64_t both = (uint64_t)3 << bit;

		if (f->order > GROUP_ORDER) {
			if (pair_take_whole(pair, PAIR_WHOLE)) {
				taken |= both;
				f->out[f->got++] = page;
			}
		} else if (half == 0 && (free & both) == both &&
			   f->wanted - f->got >= 2 && pair_take_whole(pair, PAIR_WHOLE)) {
			taken |= both;
			f->out[f->got++] = page;
			f->out[f->got++] = page + GROUP_PAGES;
			free &= ~both;
		} else if (pair_take_whole(pair, (uint64_t)GROUP_WHOLE << 32 * half)) {
			taken |= (uint64_t)1 << bit;
			f->out[f->got++] = page;
		}
		free &= ~((uint64_t)1 << bit);
	}
	if (taken != 0)
		rows_note_taken(rows, w, taken);
}

/* Blocks from wholly free groups of word w, each of which becomes the CPU's own. */
static void use_free(struct find *f, unsigned int w, uint64_t free)
{
	for (; free != 0 && f->got < f->wanted; free &= free - 1) {
		unsigned int g = w * HINT_GROUPS + (unsigned int)__builtin_ctzll(free);
		size_t before = f->got;

		set_type(f, g);
		find_in(f, g);
		if (f->got != before)
			adopt(&f->zone->rows, own_of(f), g);
	}
}

/* The lowest wholly free groups, or only those with a wholly free neighbour. */
static void find_in_free(struct find *f, bool pairs)
{
	struct rows *rows = &f->zone->rows;
	unsigned int start = atomic_load_explicit(&rows->free_from, memory_order_relaxed);
	bool none = true;

	for (unsigned int w = start; w < rows->nr_words; w++) {
		uint64_t free = free_groups(rows, w, pairs);

		/* Words without any free group are not looked at again. */
		if (none && free_groups(rows, w, false) != 0) {
			none = false;
			if (w != start)
				atomic_store_explicit(&rows->free_from, w,
						      memory_order_relaxed);
		}
		if (f->order >= GROUP_ORDER)
			take_whole(f, w, free);
		else
			use_free(f, w, free);
		if (f->got == f->wanted)
			return;
	}
}

/* Hints may lag: looks at everything. */
static KMEM_COLD void find_anywhere(struct find *f)
{
	struct rows *rows = &f->zone->rows;

	atomic_store_explicit(&rows->free_from, 0, memory_order_relaxed);
	for (unsigned int type = 0; type < rows_types(); type++)
		atomic_store_explicit(&rows->open_from[type], 0, memory_order_relaxed);
	if (f->order >= GROUP_ORDER) {
		for (unsigned int w = 0; w < rows->nr_words && f->got < f->wanted; w++) {
			uint64_t all = rows_word_mask(rows, w);

			take_whole(f, w,
				   f->order > GROUP_ORDER ? all & 0x5555555555555555u
							  : all);
		}
		return;
	}
	for (unsigned int g = 0; g < rows->nr_groups; g++) {
		if (rows_group_state(rows, g) < GROUP_PAGES && find_in(f, g))
			return;
	}
}

static void find_blocks(struct find *f)
{
	if (f->order < GROUP_ORDER) {
		find_in_own(f);
		if (f->got < f->wanted)
			find_in_open(f, f->type);
	}
	if (f->got < f->wanted && f->order != GROUP_ORDER)
		find_in_free(f, true);
	if (f->got < f->wanted && f->order <= GROUP_ORDER)
		find_in_free(f, false);
	/* Only now where blocks of another type are: it will be a mixed group. */
	for (unsigned int type = 0; f->order < GROUP_ORDER && type < rows_types();
	     type++) {
		if (f->got < f->wanted && type != f->type)
			find_in_open(f, type);
	}
	if (KMEM_UNLIKELY(f->got < f->wanted))
		find_anywhere(f);
}

size_t rows_take(struct zone *zone, unsigned int kind, unsigned long mark, size_t n,
		 struct page **out)
{
	unsigned int order = kind_order(kind);
	struct find f = {
		.zone = zone, .order = order, .type = kind >> KIND_SHIFT, .out = out};
	_Atomic long *under_way = rows_enter();

	f.wanted = zone_promise(zone, order, mark, n);
	if (f.wanted != 0)
		find_blocks(&f);
	if (f.got < f.wanted)
		zone_add_free(zone, (f.wanted - f.got) << order);
	rows_leave(under_way);
	return f.got;
}
