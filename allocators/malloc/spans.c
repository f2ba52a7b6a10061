/* SPDX-License-Identifier: MIT */
/*
 * Large blocks: spans of pages that are kept.
 *
 * THEORY
 *
 * Concepts. One range of address space is reserved at the start and used from below.
 * It is cut into spans, runs of units of 16 KiB. A block above 128 KiB and up to
 * `span_max` is one span, so it ends with its size and not with a power of two. A
 * descriptor for each unit lies beside the range; the first and the last of a span
 * say how long it is and what (boundary tags), so that neighbours are found and an
 * address that is none of ours is told.
 *
 *   base     | span: live | span: dirty | span: live ... | zero ... |  not used yet
 *   unit     1            9             21                         top
 *
 * A free span is *dirty*, its memory may still be resident and is taken again without
 * a page fault, or *zero*, as it came from the system. Only spans of the same kind
 * are joined, so that calloc() knows what it need not write.
 *
 * Allocation. Sizes up to 4 MiB have classes, four per doubling, with a small array on
 * each CPU (spans_fast.h): their blocks go back and forth between array and program,
 * touched as they are. Otherwise, under one lock: the best of the dirty spans, then of
 * the zero ones, then more of the range; what is left over of a span stays free.
 *
 * Free. Onto the array; if that is full, or the size has none, the span becomes dirty.
 * Dirty spans that nobody has taken for `trim` ms become zero (spans_purge.c), at once
 * if they exceed `large_cache`.
 *
 * Resizing. A block shrinks by its tail, and grows into the free spans behind it, which
 * are kept for it as long as there are others (spans_grow.c).
 *
 * What misuse is caught. At the call: every address that is not the start of a block,
 * and every second free, as long as the block has not been handed out again. Of two
 * threads that free the same block in the same nanoseconds neither may be told: that
 * would take a locked instruction, which costs as much as everything else here.
 *
 * Locking. spans_lock, a leaf. Memory is given back to the system without it: a span
 * is held meanwhile, which its neighbours respect.
 *
 * Where this differs from others. From jemalloc's extents: boundary tags in an array
 * instead of a radix tree, since the range is one; per-CPU arrays instead of per-thread
 * ones. From the kernel's vmalloc(): memory stays where it is, nothing is mapped.
 *
 * References: Knuth, The Art of Computer Programming 1, 2.5 C (boundary tags); Masmano
 * et al., "TLSF", ECRTS 2004, for the bins; design notes of tcmalloc's page heap.
 */
#include "allocators/malloc/spans_internal.h"
#include "allocators/os/os_mem.h"

#include <kmem/error.h>
#include <string.h>

uint8_t span_class_by_units[(SPAN_CLASS_MAX >> SPAN_UNIT_SHIFT) + 1];

/* Most blocks of up to 512 KiB on an array by large_slots; above, half, above 1 MiB a
 * quarter, at least one: 37 MiB if one CPU fills all of them. */
#define SLOTS_FULL ((size_t)512 << 10)
#define SLOTS_HALF ((size_t)1 << 20)

/* calloc() of so much gives the memory back instead of writing it: who asks for so many
 * zeroes often leaves most of them alone (tables, arrays), and who does not pays for
 * the faults what he saves in writing out of the cache. */
#define DISCARD_MIN ((size_t)4 << 20)

static size_t class_bytes(unsigned int class)
{
	size_t quarter = ((size_t)32 << 10) << class / 4;

	return quarter * (5 + class % 4);
}

uint32_t span_class_units(unsigned int class)
{
	return span_units(class_bytes(class));
}

/* The class whose blocks have exactly so many units. */
uint8_t span_class_of_units(uint32_t units)
{
	uint8_t class;

	if (units > SPAN_CLASS_MAX >> SPAN_UNIT_SHIFT)
		return SPAN_NO_CLASS;
	class = span_class_by_units[units];
	return span_units(class_bytes(class)) == units ? class : SPAN_NO_CLASS;
}

/* --- start --- */

int spans_init_arrays(uint64_t slots)
{
	unsigned int class = 0;

	for (uint32_t units = 0; units <= SPAN_CLASS_MAX >> SPAN_UNIT_SHIFT; units++) {
		while (span_units(class_bytes(class)) < units)
			class ++;
		span_class_by_units[units] = (uint8_t) class;
	}
	for (class = 0; slots != 0 && class < SPAN_NR_CLASSES; class ++) {
		size_t bytes = class_bytes(class);
		uint64_t n = bytes <= SLOTS_FULL ? slots
						 : slots / (bytes <= SLOTS_HALF ? 2 : 4);

		if (percpu_stacks_init(&spans.arrays[class], n != 0 ? (uint32_t)n : 1) !=
		    0)
			return -1;
	}
	return 0;
}

/* --- allocation --- */

bool span_is_room(const struct span *span)
{
	const struct span *before = span_before(span);

	return before != NULL && span_state(before) == SPAN_LIVE && before->grows;
}

struct span *span_carve(struct span *span, uint32_t units, size_t align)
{
	uintptr_t start = (uintptr_t)span_address(span), at;
	enum span_state kind = span_state(span);
	uint32_t freed_ms = span->freed_ms, front;
	struct span *block;

	if (span_is_room(span))
		at = KMEM_ALIGN_DOWN(
			start + ((size_t)(span->units - units) << SPAN_UNIT_SHIFT),
			align);
	else
		at = KMEM_ALIGN_UP(start, align);
	front = (uint32_t)((at - start) >> SPAN_UNIT_SHIFT);
	block = span + front;
	span_unlink(span);
	span_set_state(span, SPAN_HELD);
	if (front != 0) {
		span_write(block, span->units - front, SPAN_HELD);
		block->freed_ms = freed_ms;
		span_write(span, front, SPAN_HELD);
		span_insert(span, kind, freed_ms);
	}
	span_cut(block, units, kind, freed_ms);
	return block;
}

/* A free span of at least so many units: the best of the dirty, then of the zero ones,
 * then more of the range; what is behind a block that grows last of all. */
static struct span *find_span(uint32_t units)
{
	struct span *span = span_find(&span_heap.dirty, units);
	struct span *last;
	uint32_t have = 0;

	if (span != NULL)
		return span;
	span = span_find(&span_heap.zero, units);
	if (span != NULL && !span_is_room(span))
		return span;
	last = span_before(&spans.map[span_heap.top]);
	/* What the used part ends in counts. */
	if (last != NULL && span_state(last) == SPAN_ZERO && !span_is_room(last))
		have = last->units;
	if (have < units && spans_extend(units - have))
		return span_before(&spans.map[span_heap.top]);
	return span;
}

bool span_hand_out(struct span *span, enum span_state kind, uint8_t class)
{
	if (!spans_make_usable(span, span->units)) {
		span_insert(span, kind, span->freed_ms);
		return false;
	}
	span_heap.reused += kind == SPAN_DIRTY;
	span->class = class;
	span->grows = false;
	span_set_state(span, SPAN_LIVE);
	span_heap.out_spans++;
	span_heap.out_units += span->units;
	return true;
}

static bool discard_block(struct span *span, size_t size)
{
	return os_discard_anon(span_address(span), KMEM_ALIGN_UP(size, PAGE_SIZE)) == 0;
}

void *span_alloc(size_t size, size_t align, bool zero)
{
	uint32_t units = span_units(size), need;
	uint8_t class = SPAN_NO_CLASS;
	enum span_state kind = SPAN_ZERO;
	struct span *span;

	if (size > KMALLOC_MAX_CACHE_SIZE && size <= SPAN_CLASS_MAX) {
		class = (uint8_t)span_class(size);
		units = span_class_units(class);
	}
	if (align < SPAN_UNIT)
		align = SPAN_UNIT;
	need = units + (uint32_t)(align >> SPAN_UNIT_SHIFT) - 1;
	spin_lock(&spans_lock);
	span = find_span(need);
	if (span != NULL) {
		kind = span_state(span);
		span = span_carve(span, units, align);
		if (!span_hand_out(span, kind, class))
			span = NULL;
	}
	spin_unlock(&spans_lock);
	if (span == NULL)
		return NULL;
	if (zero && kind == SPAN_DIRTY &&
	    (size < DISCARD_MIN || !discard_block(span, size)))
		memset(span_address(span), 0, size);
	return span_address(span);
}

/* Where the arrays have locks, the hit path has not tried them. */
void *span_alloc_cached(size_t size)
{
	void *block;

	if (size > SPAN_CLASS_MAX || spans.bytes == 0 ||
	    spans.arrays[span_class(size)].base == NULL)
		return NULL;
	block = percpu_pop(&spans.arrays[span_class(size)]);
	if (block != NULL)
		span_set_state(span_of(block), SPAN_LIVE);
	return block;
}

/* --- free --- */

/* A live block starts there; false after a report. */
static bool check_live(const void *ptr, const char *call)
{
	const struct span *span = span_of(ptr);
	enum span_state state = span_state(span);

	if (KMEM_LIKELY(((uintptr_t)ptr & (SPAN_UNIT - 1)) == 0 && state == SPAN_LIVE))
		return true;
	if (((uintptr_t)ptr & (SPAN_UNIT - 1)) == 0 && state >= SPAN_CACHED)
		kmem_bug("%s of %p, which was freed already", call, ptr);
	else
		kmem_bug("%s of %p, which malloc did not return", call, ptr);
	return false;
}

/* Dirty memory that nobody has wanted for so long goes before what has just been freed,
 * when there is too much of both. */
#define STALE_MS   100
#define STALE_SCAN 16

/* A large dirty span that is stale, or NULL. Under lock. */
static struct span *find_stale(uint32_t now, uint32_t units)
{
	const struct span_bins *bins = &span_heap.dirty;
	unsigned int looked = 0;

	for (unsigned int bin = SPAN_NR_BINS; bin-- > span_bin(units);) {
		for (uint32_t i = bins->head[bin]; i != 0; i = spans.map[i].next) {
			struct span *span = &spans.map[i];

			if (looked++ == STALE_SCAN)
				return NULL;
			if (span->units >= units && now - span->freed_ms >= STALE_MS)
				return span;
		}
	}
	return NULL;
}

void span_release(struct span *span, uint32_t freed_ms)
{
	struct span *purge = NULL;

	spin_lock(&spans_lock);
	span_heap.out_spans--;
	span_heap.out_units -= span->units;
	if ((span_bins_units(&span_heap.dirty) + span->units) << SPAN_UNIT_SHIFT >
	    malloc_config.large_cache_bytes) {
		purge = find_stale(freed_ms, span->units);
		if (purge != NULL)
			span_unlink(purge);
		else
			purge = span;
		span_set_state(purge, SPAN_HELD);
	}
	if (purge != span)
		span_insert(span, SPAN_DIRTY, freed_ms);
	spin_unlock(&spans_lock);
	if (purge != NULL)
		span_purge(purge);
}

bool span_free(void *ptr)
{
	struct span *span = span_of(ptr);

	if (!check_live(ptr, "free"))
		return false;
	span_set_state(span, SPAN_CACHED);
	if (span->class != SPAN_NO_CLASS && spans.arrays[span->class].base != NULL &&
	    percpu_push(&spans.arrays[span->class], ptr))
		return true;
	span_release(span, (uint32_t)malloc_now_ms());
	return true;
}

/* --- size --- */

size_t span_usable_size(const void *ptr)
{
	return check_live(ptr, "size") ? (size_t)span_of(ptr)->units << SPAN_UNIT_SHIFT
				       : 0;
}
