/* SPDX-License-Identifier: MIT */
/*
 * Spans that grow and shrink.
 *
 * A block that realloc() makes larger is likely to grow on. While free units follow, it
 * takes them. Where it cannot stay it is moved, once, to where it can: a place with room
 * behind, many times its size. Room is address space only: free units, in the bins like
 * all others, that are taken last and from their far end while the block before them is
 * marked as growing. So whoever needs it gets it, and nothing has to be given back.
 *
 * The place is a large dirty span if there is one, so that a program which lets one block
 * after the other grow finds its pages again; else in zero spans or at the top.
 */
#include "allocators/malloc/spans_internal.h"

/* A block that grows takes an eighth of itself where that is free, and one that shrinks
 * by less than that keeps it: between them lie many calls. */
#define GROW_SHARE 8
#define KEEP_SHARE 8

/* Six doublings without a copy; of the range at most this share, so that dozens of blocks
 * can grow at a time. */
#define ROOM_FACTOR 64
#define ROOM_SHARE  64

/* Dirty spans looked at for one with room. */
#define PLACE_SCAN 16

/* Takes so many units from the free spans behind; they are there. Under lock. */
static void grow_into(struct span *span, uint32_t more)
{
	while (more != 0) {
		struct span *next = span_behind(span);
		enum span_state kind = span_state(next);
		uint32_t freed_ms = next->freed_ms;
		uint32_t units = span->units;

		span_unlink(next);
		span_set_state(next, SPAN_HELD);
		if (next->units > more)
			span_cut(next, more, kind, freed_ms);
		more -= next->units;
		units += next->units;
		span_set_state(next - 1, SPAN_INSIDE);
		span_set_state(next, SPAN_INSIDE);
		span_write(span, units, SPAN_LIVE);
	}
}

/* Free units behind the span, those above the used part included; at least `enough` of
 * them or all. Under lock. */
static uint64_t room_behind(const struct span *span, uint64_t enough)
{
	const struct span *next = span;
	uint64_t room = 0;

	while (room < enough && (next = span_behind(next)) != NULL) {
		if (span_state(next) != SPAN_DIRTY && span_state(next) != SPAN_ZERO)
			return room;
		room += next->units;
	}
	return next == NULL ? room + spans_unused_units() : room;
}

/* Whether so many units behind the span can be had. Under lock. */
static bool find_room(const struct span *span, uint32_t more)
{
	const struct span *next = span;
	uint32_t room = 0;

	if (room_behind(span, more) < more)
		return false;
	while (room < more && (next = span_behind(next)) != NULL)
		room += next->units;
	return (room >= more || spans_extend(more - room)) &&
	       spans_make_usable(span + span->units, more);
}

/* Grows to so many units, or somewhat more where there is room: what grows once will
 * again. Under lock. */
static bool grow(struct span *span, uint32_t units)
{
	uint32_t before = span->units, more = units - before;
	uint32_t ample = before / GROW_SHARE;

	if (more < ample && find_room(span, ample))
		more = ample;
	else if (!find_room(span, more))
		return false;
	grow_into(span, more);
	return true;
}

bool span_resize(void *ptr, size_t size)
{
	struct span *span = span_of(ptr);
	uint32_t units, before = span->units;
	bool done = true;

	/* More units than a number of them has bits for, perhaps. */
	if (size > spans.bytes)
		return false;
	units = span_units(size);
	if (units <= before && before - units <= before / KEEP_SHARE)
		return true;
	spin_lock(&spans_lock);
	if (units < before) {
		span->grows = false;
		span_cut(span, units, SPAN_DIRTY, (uint32_t)malloc_now_ms());
	} else {
		done = grow(span, units);
		span->grows |= done;
	}
	span_heap.out_units += span->units;
	span_heap.out_units -= before;
	/* No array: freed, it is joined with the room behind. */
	span_set_class(span,
		       span->grows ? SPAN_NO_CLASS : span_class_of_units(span->units));
	spin_unlock(&spans_lock);
	return done;
}

/* --- a place to grow --- */

/* Of a dirty span so many units, held, with so much room. It may be room itself, if that
 * is enough for both. */
static struct span *place_in(struct span *span, uint32_t units, uint32_t want)
{
	if (!span_is_room(span))
		return span->units + room_behind(span, want) >= want
			       ? span_carve(span, units, SPAN_UNIT)
			       : NULL;
	if (span->units / 2 < want)
		return NULL;
	/* Its second half, and of that the beginning. */
	span = span_carve(span, span->units / 2, SPAN_UNIT);
	span_cut(span, units, SPAN_DIRTY, span->freed_ms);
	return span;
}

static struct span *dirty_place(uint32_t units, uint32_t want)
{
	const struct span_bins *bins = &span_heap.dirty;
	unsigned int looked = 0;

	for (unsigned int bin = SPAN_NR_BINS; bin-- > span_bin(units);) {
		for (uint32_t i = bins->head[bin]; i != 0; i = spans.map[i].next) {
			struct span *span = &spans.map[i];

			if (looked++ == PLACE_SCAN)
				return NULL;
			if (span->units < units)
				continue;
			span = place_in(span, units, want);
			if (span != NULL)
				return span;
		}
	}
	return NULL;
}

/* So many zero units, held; of another block's room only if nothing else is left. */
static struct span *zero_place(uint32_t want)
{
	struct span *span = span_find(&span_heap.zero, want);

	if ((span == NULL || span_is_room(span)) && spans_extend(want))
		span = span_before(&spans.map[span_heap.top]);
	return span != NULL ? span_carve(span, want, SPAN_UNIT) : NULL;
}

/* Under lock. NULL: nowhere is room for so much. */
static struct span *alloc_in_room(uint32_t units, uint32_t want)
{
	enum span_state kind = SPAN_DIRTY;
	struct span *span = dirty_place(units, want);

	if (span == NULL) {
		kind = SPAN_ZERO;
		span = zero_place(want);
		if (span == NULL)
			return NULL;
		span_cut(span, units, SPAN_ZERO, 0);
	}
	if (!span_hand_out(span, kind, SPAN_NO_CLASS))
		return NULL;
	span->grows = true;
	return span;
}

void *span_alloc_growing(size_t size)
{
	uint64_t units = span_units(size), want = units * ROOM_FACTOR;
	uint64_t most = (spans.bytes >> SPAN_UNIT_SHIFT) / ROOM_SHARE;
	struct span *span = NULL;

	if (want > most)
		want = most;
	spin_lock(&spans_lock);
	for (; span == NULL && want >= 2 * units; want /= 2)
		span = alloc_in_room((uint32_t)units, (uint32_t)want);
	spin_unlock(&spans_lock);
	return span != NULL ? span_address(span) : NULL;
}
