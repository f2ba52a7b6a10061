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
#include "allocators/os/os_mem.h"

#include <errno.h>
#include <kmem/error.h>
#include <string.h>

/* Open groups that a request of more than a page looks at before it breaks a whole
 * one: bounds its time to about a microsecond, and leaves few gaps unused. */
#define OPEN_TRIES 32

/* All zones' words in one mapping. */
static struct {
	char *base;
	size_t bytes;
} memory;

static enum rows_class class_of(unsigned int order)
{
	if (order == 0)
		return ROWS_PAGE;
	return order <= 3 ? ROWS_SMALL : ROWS_LARGE;
}

/* --- hints --- */

static uint32_t state_of(const struct rows *rows, unsigned int g)
{
	return rows_group_state(rows, g);
}

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

		if (state_of(rows, w * HINT_GROUPS + bit) != 0)
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

static uint64_t group_bit(unsigned int g)
{
	return (uint64_t)1 << g % HINT_GROUPS;
}

/* Wholly free groups of one word are used. */
static void note_taken(struct rows *rows, unsigned int w, uint64_t mask)
{
	if ((~atomic_load_explicit(&rows->touched[w], memory_order_relaxed) & mask) != 0)
		atomic_fetch_or(&rows->touched[w], mask);
	if ((atomic_load_explicit(&rows->aged[w], memory_order_relaxed) & mask) != 0)
		atomic_fetch_and(&rows->aged[w], ~mask);
	rows_note_busy(rows, w, mask);
}

static bool has_room(uint32_t state)
{
	return state != 0 && state < GROUP_PAGES;
}

static unsigned int type_of(const struct rows *rows, unsigned int g)
{
	return atomic_load_explicit(&rows->type[g], memory_order_relaxed);
}

/* Its type may have changed since a bit was set: looks for all. */
static void note_closed(struct rows *rows, unsigned int g)
{
	for (unsigned int type = 0; type < rows_types(); type++) {
		if (hint_test(rows->open[type], g))
			hint_clear(rows->open[type], g);
	}
}

void rows_note_open(struct rows *rows, unsigned int g)
{
	unsigned int type;

	if (!has_room(state_of(rows, g)))
		return;
	type = type_of(rows, g);
	hint_set(rows->open[type], g);
	lower_to(&rows->open_from[type], g / HINT_GROUPS);
}

/* --- taking --- */

/* Makes the group this CPU's own for the class; the former one is open to all. */
static void adopt(struct rows *rows, unsigned int class, unsigned int g)
{
	_Atomic uint32_t *current = rows_current(rows, os_cpu_id(), class);
	uint32_t former;

	note_closed(rows, g);
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
		note_taken(rows, g / HINT_GROUPS, group_bit(g));
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
	if (other >= rows->nr_groups || state_of(rows, other) != 0)
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

			if (!has_room(state_of(rows, g))) {
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
		note_taken(rows, w, taken);
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
		if (state_of(rows, g) < GROUP_PAGES && find_in(f, g))
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
		rows_note_busy(rows, g / HINT_GROUPS, group_bit(g));
		note_closed(rows, g);
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

/* --- under way, or not --- */

static _Atomic bool gate_closed;
static char *gate_counts; /* per CPU; NULL: no fork will come */

static _Atomic long *gate_count(unsigned int cpu)
{
	return (_Atomic long *)(gate_counts + (size_t)cpu * ROWS_CPU_BYTES);
}

_Atomic long *rows_enter(void)
{
	_Atomic long *count;

	if (gate_counts == NULL)
		return NULL;
	for (;;) {
		count = gate_count(os_cpu_id());
		atomic_fetch_add(count, 1);
		if (KMEM_LIKELY(!atomic_load(&gate_closed)))
			return count;
		atomic_fetch_sub(count, 1);
		while (atomic_load(&gate_closed))
			sched_yield();
	}
}

void rows_leave(_Atomic long *count)
{
	if (count != NULL)
		atomic_fetch_sub(count, 1);
}

void rows_fork_lock(void)
{
	if (gate_counts == NULL)
		return;
	atomic_store(&gate_closed, true);
	for (unsigned int cpu = 0; cpu < os_nr_cpus(); cpu++) {
		while (atomic_load(gate_count(cpu)) != 0)
			sched_yield();
	}
}

void rows_fork_unlock(void)
{
	atomic_store(&gate_closed, false);
}

/* --- set-up --- */

enum { NR_HINTS = 3 + MIGRATE_TYPES };

static unsigned int zone_groups(const struct zone *zone)
{
	return (unsigned int)((zone->end_pfn - zone->start_pfn) >> GROUP_ORDER);
}

static size_t words(unsigned int groups)
{
	return (groups + HINT_GROUPS - 1) / HINT_GROUPS;
}

/* A line for each CPU. */
static size_t cpu_words(void)
{
	return os_nr_cpus() * (ROWS_CPU_BYTES / sizeof(row_word));
}

static size_t type_words(unsigned int groups)
{
	return KMEM_ALIGN_UP((size_t)groups, KMEM_CACHELINE) / sizeof(row_word);
}

static size_t pair_words(unsigned int groups)
{
	return groups / 2 * (sizeof(struct group_pair) / sizeof(row_word));
}

/* In whole cache lines, so that a group's bits are one line. */
static size_t hint_words(unsigned int groups)
{
	return KMEM_ALIGN_UP(NR_HINTS * words(groups), KMEM_CACHELINE / sizeof(row_word));
}

static void init_zone(struct zone *zone, row_word **next)
{
	struct rows *rows = &zone->rows;
	unsigned int groups = zone_groups(zone);

	rows->nr_groups = groups;
	rows->nr_words = (unsigned int)words(groups);
	rows->pair = (struct group_pair *)*next;
	*next += pair_words(groups);
	rows->row = *next;
	*next += (size_t)groups * GROUP_ROWS;
	rows->busy = *next;
	rows->touched = rows->busy + rows->nr_words;
	rows->aged = rows->touched + rows->nr_words;
	for (unsigned int type = 0; type < MIGRATE_TYPES; type++)
		rows->open[type] = rows->aged + (type + 1) * rows->nr_words;
	*next += hint_words(groups);
	rows->type = (_Atomic uint8_t *)*next;
	*next += type_words(groups);
	rows->current = (char *)*next;
	*next += cpu_words();
	zone_add_free(zone, (unsigned long)groups << GROUP_ORDER);
}

int rows_init(void)
{
	bool gate = phys_memory.backing == PHYS_PRIVATE;
	size_t nr_words = gate ? cpu_words() : 0;
	row_word *next;

	for_each_zone (zone) {
		unsigned int groups = zone_groups(zone);

		nr_words += (size_t)groups * GROUP_ROWS + pair_words(groups) +
			    hint_words(groups) + type_words(groups) + cpu_words();
	}
	memory.bytes = KMEM_ALIGN_UP(nr_words * sizeof(row_word), PAGE_SIZE);
	memory.base = os_map_anon(memory.bytes);
	if (memory.base == NULL)
		return kmem_error(-ENOMEM,
				  "bitmaps of %zu KiB cannot be mapped: no memory; "
				  "lower memory",
				  memory.bytes >> 10);
	next = (row_word *)memory.base;
	for_each_zone (zone) {
		if (zone_present(zone))
			init_zone(zone, &next);
	}
	gate_counts = gate ? (char *)next : NULL;
	return 0;
}

void rows_exit(void)
{
	gate_counts = NULL;
	if (memory.base != NULL)
		os_unmap(memory.base, memory.bytes);
	memset(&memory, 0, sizeof(memory));
}
