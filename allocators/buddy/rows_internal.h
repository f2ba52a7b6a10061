/* SPDX-License-Identifier: MIT */
/* What a zone keeps for its rows; theory: rows.c. */
#ifndef KMEM_BUDDY_ROWS_INTERNAL_H
#define KMEM_BUDDY_ROWS_INTERNAL_H

#include "allocators/buddy/buddy_internal.h"
#include "allocators/buddy/rows.h"

/* Orders whose blocks share a group, so that long-lived small ones do not end up
 * between the large: single pages; slabs' sizes; the rest of a group. */
enum rows_class { ROWS_PAGE, ROWS_SMALL, ROWS_LARGE, NR_ROWS_CLASSES };

/* A CPU's own groups: one for each class and migrate type, and the one that it was the
 * last to make room in; and the region from which it takes free groups, to give them out
 * as huge pages or to open them. */
#define OWN_FREED     (NR_ROWS_CLASSES * MIGRATE_TYPES)
#define NR_OWN_GROUPS (OWN_FREED + 1)
#define OWN_REGION    NR_OWN_GROUPS

/* What a CPU writes has a line of its own; any may. */
struct rows_cpu {
	_Atomic uint32_t own[NR_OWN_GROUPS + 1]; /* numbers, plus one */
	_Atomic uint64_t credit; /* free pages not in free_pages: credit.c */
} KMEM_CACHELINE_ALIGNED;
_Static_assert(sizeof(struct rows_cpu) == KMEM_CACHELINE, "they fit into a line");

/* Migrate types that are told apart. */
static inline unsigned int rows_types(void)
{
	return buddy.mobility ? MIGRATE_TYPES : 1;
}

#define REGION_GROUPS 64u

size_t rows_take(struct zone *zone, unsigned int kind, unsigned long mark, size_t n,
		 struct page **out);
void rows_free(struct zone *zone, unsigned int order, size_t n, struct page **blocks);
/* An allocated block of order 9 or 10 is going to be freed in pieces. */
void rows_split(struct zone *zone, struct page *page, unsigned int order);

/* --- rows_gate.c: around each request --- */

/* How a request has entered. */
enum rows_visit {
	ROWS_SHARED, /* among others */
	ROWS_GUEST,  /* among others, without a restartable sequence */
	ROWS_ALONE   /* nobody else is inside: its steps need not be atomic */
};
/* Nobody who is inside may enter again, or sleep. */
enum rows_visit rows_enter(void);
/* Not alone: for requests that sleep. */
enum rows_visit rows_enter_shared(void);
void rows_leave(enum rows_visit visit);
/* Keeps everybody outside. */
void rows_fork_lock(void);
void rows_fork_unlock(void);
int rows_gate_init(void);
void rows_gate_exit(void);
/* For tests: a CPU is alone; and how hard it becomes to be so again. */
bool rows_gate_alone(void);
extern unsigned int rows_gate_patience_max;

/* A request that is inside. */
struct rows_request {
	struct zone *zone;
	enum rows_visit visit;
};
/* rows_free() by a caller that has entered. */
void rows_put_blocks(struct rows_request *rq, unsigned int order, size_t n,
		     struct page **blocks);
/* Pages of a group whose bits are clear. */
void rows_count_back(const struct rows_request *rq, unsigned int g, unsigned int pages);

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

static inline struct region *rows_region(const struct rows *rows, unsigned int g)
{
	return &rows->region[g / REGION_GROUPS];
}

static inline uint64_t rows_region_bit(unsigned int g)
{
	return (uint64_t)1 << g % REGION_GROUPS;
}

static inline bool rows_bit(const row_word *word, unsigned int g)
{
	return (atomic_load_explicit(word, memory_order_relaxed) & rows_region_bit(g)) !=
	       0;
}

/* Wholly free. */
static inline bool rows_group_free(const struct rows *rows, unsigned int g)
{
	return !rows_bit(&rows_region(rows, g)->taken, g);
}

/* GROUP_OPEN and how many of its pages are in use; 0: free, or given out whole. */
static inline uint64_t rows_group_state(const struct rows *rows, unsigned int g)
{
	return atomic_load_explicit(&rows->state[g].used, memory_order_relaxed);
}

static inline struct group rows_group(const struct zone *zone, unsigned int g, bool alone)
{
	return (struct group){.state = &zone->rows.state[g].used,
			      .rows = &zone->rows.row[g * GROUP_ROWS],
			      .base = buddy.mem_map + rows_first_pfn(zone, g),
			      .alone = alone};
}

/* The migrate type for which it was last opened. */
static inline unsigned int rows_type(const struct rows *rows, unsigned int g)
{
	return atomic_load_explicit(&rows->type[g], memory_order_relaxed);
}

/* Used in part. */
static inline bool rows_has_room(uint64_t state)
{
	return (state & GROUP_OPEN) != 0 && (uint32_t)state < GROUP_PAGES;
}

/* The bits of a region that stand for a group. */
static inline uint64_t rows_region_mask(const struct rows *rows, unsigned int region)
{
	unsigned int groups = rows->nr_groups - region * REGION_GROUPS;

	return groups >= REGION_GROUPS ? ~(uint64_t)0 : ((uint64_t)1 << groups) - 1;
}

static inline void hint_set(row_word *hint, uint64_t bits, bool alone)
{
	uint64_t set = atomic_load_explicit(hint, memory_order_relaxed);

	if ((~set & bits) == 0)
		return;
	if (alone)
		atomic_store_explicit(hint, set | bits, memory_order_relaxed);
	else
		atomic_fetch_or(hint, bits);
}

static inline void hint_clear(row_word *hint, uint64_t bits, bool alone)
{
	uint64_t set = atomic_load_explicit(hint, memory_order_relaxed);

	if ((set & bits) == 0)
		return;
	if (alone)
		atomic_store_explicit(hint, set & ~bits, memory_order_relaxed);
	else
		atomic_fetch_and(hint, ~bits);
}

static inline struct rows_cpu *rows_cpu(const struct rows *rows, unsigned int cpu)
{
	return &rows->cpu[cpu];
}

static inline _Atomic uint32_t *rows_current(const struct rows *rows, unsigned int cpu,
					     unsigned int class)
{
	return &rows_cpu(rows, cpu)->own[class];
}

/* Free groups of a region are going to be used. */
void rows_note_taken(struct region *region, uint64_t groups, bool alone);
/* Gives groups back that the caller had set the bits of: the bits that were clear. */
uint64_t rows_give_back(const struct rows_request *rq, unsigned int region,
			uint64_t groups);
/* The group is not for others any more. Its type may have changed since its bit was set:
 * looks for all types. */
void rows_note_closed(struct rows *rows, unsigned int g, bool alone);
/* Makes the group this CPU's own; the former one is open to all. */
void rows_swap_own(struct rows *rows, unsigned int class, unsigned int g, bool alone);
/* The group has room again for whoever looks for some. */
void rows_note_open(struct rows *rows, unsigned int g, bool alone);

#endif /* KMEM_BUDDY_ROWS_INTERNAL_H */
