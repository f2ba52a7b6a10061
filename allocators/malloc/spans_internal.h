/* SPDX-License-Identifier: MIT */
/* Free spans and their bins; spans.c has the theory. */
#ifndef KMEM_MALLOC_SPANS_INTERNAL_H
#define KMEM_MALLOC_SPANS_INTERNAL_H

#include "allocators/malloc/spans_fast.h"

/* Bins: lengths 0 to 7 by themselves, then four per doubling; enough for 2^32 units. */
#define SPAN_NR_BINS 124u

/* The free spans of one kind, binned by length. */
struct span_bins {
	uint64_t used[2]; /* bit b % 64 of word b / 64: bin b is not empty */
	uint32_t head[SPAN_NR_BINS];
	size_t spans;
	_Atomic size_t units; /* read without the lock, as an estimate */
};

/* Everything under spans_lock. */
struct span_heap {
	struct span_bins dirty, zero;
	uint32_t top; /* units below this one are in spans, those above unused */
	size_t out_spans, out_units; /* live, or on arrays */
	uint64_t reused; /* blocks made of dirty spans: without a page fault */
	uint64_t purged_units;
};

#pragma GCC visibility push(hidden)
extern struct kmem_spinlock spans_lock;
extern struct span_heap span_heap;
#pragma GCC visibility pop

static inline uint32_t span_index(const struct span *span)
{
	return (uint32_t)(span - spans.map);
}

static inline char *span_address(const struct span *span)
{
	return spans.base + ((size_t)span_index(span) << SPAN_UNIT_SHIFT);
}

/* The block's owner's; and its mark. */
static inline void span_set_class(struct span *span, uint8_t class)
{
	span->class = class;
	span->id = class != SPAN_NO_CLASS ? spans.arrays[class].out : 0;
	span_set_mark(span, span->id != 0 ? span_mark_out : SPAN_MARK_NONE);
}

static inline uint32_t span_units(size_t size)
{
	return size == 0 ? 1 : (uint32_t)((size - 1) >> SPAN_UNIT_SHIFT) + 1;
}

static inline size_t span_bins_units(const struct span_bins *bins)
{
	return atomic_load_explicit(&bins->units, memory_order_relaxed);
}

/* --- spans_bins.c: all under spans_lock --- */

unsigned int span_bin(uint32_t units);
/* Writes first and last descriptor of a span of that length and state. */
void span_write(struct span *span, uint32_t units, enum span_state state);
/* The span that ends before this one, or begins behind it; NULL at the ends. */
struct span *span_before(const struct span *span);
struct span *span_behind(const struct span *span);
/* Off its list; the span stays as it is. */
void span_unlink(struct span *span);
/* Makes it free, of the given kind, joined with its neighbours of that kind. */
void span_insert(struct span *span, enum span_state kind, uint32_t freed_ms);
/* A free span of at least so many units, which stays where it is; NULL: none. */
struct span *span_find(const struct span_bins *bins, uint32_t units);
/* Cuts a held or live span to so many units; the rest is free, of that kind. */
void span_cut(struct span *span, uint32_t units, enum span_state kind, uint32_t freed_ms);

/* --- spans_range.c: under spans_lock --- */

/* Adds so many zero units to the used part, joined with a zero span that it ends in.
 * False: there are not so many. */
bool spans_extend(uint32_t units);
uint32_t spans_unused_units(void);
/* Lets the first so many units behind a span's start be written to; false: the system
 * refuses. */
bool spans_make_usable(const struct span *span, uint32_t units);

/* --- spans.c --- */

/* Whether a free span is the room of a block before it that grows. Under lock. */
bool span_is_room(const struct span *span);
/* Cuts so many units out of a free span that is long enough, aligned to align bytes, a
 * unit or more: its first, or of room its last ones. They are held. Under lock. */
struct span *span_carve(struct span *span, uint32_t units, size_t align);
/* Makes a held span of that kind a live block; false: it cannot be used, and is free
 * again. Under lock. */
bool span_hand_out(struct span *span, enum span_state kind, uint8_t class);
/* Whether it is a block; may wait for a call that has it in its hands. Not under lock. */
bool span_is_live(const struct span *span);
/* A block becomes free; `mark` is what its mark has to be. False: it is none, or somebody
 * else has it. Not under lock. */
bool span_release(struct span *span, void *mark, uint32_t freed_ms);

/* --- spans_arrays.c --- */

int spans_init_arrays(uint64_t slots);
/* Length of the blocks of a class, and the class whose blocks have exactly so many. */
uint32_t span_class_units(unsigned int class);
uint8_t span_class_of_units(uint32_t units);
/* A block that is marked as pushed goes onto this CPU's array; false: that is full. */
bool span_push(struct span *span);
/* On all arrays together; exact when nobody else is calling. */
size_t spans_cached_units(size_t *blocks);

/* --- spans_purge.c --- */

/* Gives a held span's memory back to the system; it becomes free, dirty if the system
 * refuses (false). Not under lock. */
bool span_purge(struct span *span);

#endif /* KMEM_MALLOC_SPANS_INTERNAL_H */
