/* SPDX-License-Identifier: MIT */
/* What a zone keeps for its rows; theory: rows.c. */
#ifndef KMEM_BUDDY_ROWS_INTERNAL_H
#define KMEM_BUDDY_ROWS_INTERNAL_H

#include "allocators/buddy/buddy_internal.h"
#include "allocators/buddy/rows.h"

/* Orders whose blocks share a group, so that long-lived small ones do not end up
 * between the large: single pages; slabs' sizes; the rest of a group. */
enum rows_class { ROWS_PAGE, ROWS_SMALL, ROWS_LARGE, NR_ROWS_CLASSES };

/* What a CPU writes has a line of its own. */
#define ROWS_CPU_BYTES KMEM_CACHELINE

/* A CPU's own groups: one for each class and migrate type. */
#define NR_OWN_GROUPS (NR_ROWS_CLASSES * MIGRATE_TYPES)
_Static_assert(NR_OWN_GROUPS * sizeof(uint32_t) <= ROWS_CPU_BYTES, "they fill a line");

/* Migrate types that are told apart. */
static inline unsigned int rows_types(void)
{
	return buddy.mobility ? MIGRATE_TYPES : 1;
}

/* One bit per group, 64 groups (128 MiB) to a word. */
#define HINT_GROUPS 64u

size_t rows_take(struct zone *zone, unsigned int kind, unsigned long mark, size_t n,
		 struct page **out);
void rows_free(struct zone *zone, unsigned int order, size_t n, struct page **blocks);
/* rows_free() by a caller that has entered. */
void rows_put_blocks(struct zone *zone, unsigned int order, size_t n,
		     struct page **blocks);
/* An allocated block of order 9 or 10 is going to be freed in pieces. */
void rows_split(struct zone *zone, struct page *page, unsigned int order);

/* Around each request, where a fork may come (private backing); fork waits for all. */
_Atomic long *rows_enter(void);
void rows_leave(_Atomic long *under_way);
void rows_fork_lock(void);
void rows_fork_unlock(void);

/* Memory of all zones together; 0 or -ENOMEM with a text. */
int rows_init(void);
void rows_exit(void);

/* --- rows_scan.c: slow looks at everything --- */

/* Free blocks per order, as the buddy system would hold them. */
void rows_count(const struct zone *zone, unsigned long *blocks);
int rows_check(const struct zone *zone);
/* The page is free; a look at a moving target unless the zone is quiescent. */
bool rows_page_free(const struct zone *zone, unsigned long pfn);
/*
 * Gives memory of free blocks back: all of at least 64 KiB at once (decay false), or
 * the whole groups that have been free since the last call. Returns how many pages.
 */
unsigned long rows_purge(struct zone *zone, bool decay);

/* --- for rows_scan.c --- */
static inline unsigned long rows_first_pfn(const struct zone *zone, unsigned int g)
{
	return zone->start_pfn + ((unsigned long)g << GROUP_ORDER);
}

static inline uint32_t rows_group_state(const struct rows *rows, unsigned int g)
{
	return (uint32_t)(atomic_load(&rows->pair[g / 2].state) >> 32 * (g & 1));
}

static inline struct group rows_group(const struct zone *zone, unsigned int g)
{
	return (struct group){.pair = &zone->rows.pair[g / 2].state,
			      .shift = 32 * (g & 1),
			      .rows = &zone->rows.row[g * GROUP_ROWS],
			      .base = buddy.mem_map + rows_first_pfn(zone, g)};
}

static inline uint64_t rows_group_bit(unsigned int g)
{
	return (uint64_t)1 << g % HINT_GROUPS;
}

/* Used in part. */
static inline bool rows_has_room(uint32_t state)
{
	return state != 0 && state < GROUP_PAGES;
}

/* The bits of a hint's word that stand for a group. */
static inline uint64_t rows_word_mask(const struct rows *rows, unsigned int w)
{
	unsigned int groups = rows->nr_groups - w * HINT_GROUPS;

	return groups >= HINT_GROUPS ? ~(uint64_t)0 : ((uint64_t)1 << groups) - 1;
}

static inline bool hint_test(const row_word *hint, unsigned int g)
{
	return atomic_load_explicit(&hint[g / HINT_GROUPS], memory_order_relaxed) >>
		       (g % HINT_GROUPS) &
	       1;
}

static inline void hint_set(row_word *hint, unsigned int g)
{
	atomic_fetch_or(&hint[g / HINT_GROUPS], (uint64_t)1 << (g % HINT_GROUPS));
}

static inline void hint_clear(row_word *hint, unsigned int g)
{
	atomic_fetch_and(&hint[g / HINT_GROUPS], ~((uint64_t)1 << (g % HINT_GROUPS)));
}

static inline _Atomic uint32_t *rows_current(const struct rows *rows, unsigned int cpu,
					     unsigned int class)
{
	return (_Atomic uint32_t *)(rows->current + (size_t)cpu * ROWS_CPU_BYTES) + class;
}

/* States of the groups of word w in `mask` have changed from or to 0: brings the hint in
 * line. */
void rows_note_busy(struct rows *rows, unsigned int w, uint64_t mask);
/* The same, for wholly free groups that are now used. */
void rows_note_taken(struct rows *rows, unsigned int w, uint64_t mask);
/* The group is not for others any more. Its type may have changed since its bit was set:
 * looks for all types. */
void rows_note_closed(struct rows *rows, unsigned int g);
/* The group has room again for whoever looks for some. */
void rows_note_open(struct rows *rows, unsigned int g);

#endif /* KMEM_BUDDY_ROWS_INTERNAL_H */
