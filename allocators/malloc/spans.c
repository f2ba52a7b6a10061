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
 * Resizing. A block shrinks by its tail, and grows into the free spans behind it.
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

struct spans spans;
uint8_t span_class_by_units[(SPAN_CLASS_MAX >> SPAN_UNIT_SHIFT) + 1];
struct kmem_spinlock spans_lock;
struct span_heap span_heap;

/* Bytes made usable at a time: a system call for each is not noticed. */
#define EXTEND_BYTES ((size_t)16 << 20)
/* Blocks begin there, so that huge pages fit where the system gives them. */
#define BASE_ALIGN ((size_t)2 << 20)
/* Most blocks of up to 512 KiB on an array by large_slots; above, half, above 1 MiB a
 * quarter, at least one: 37 MiB if one CPU fills all of them. */
#define SLOTS_FULL ((size_t)512 << 10)
#define SLOTS_HALF ((size_t)1 << 20)

/* A block that grows takes an eighth of itself where that is free, and one that shrinks
 * by less than a quarter keeps it: between them lie many calls. */
#define GROW_SHARE 8
#define KEEP_SHARE 4

/* calloc() of so much gives the memory back instead of writing it: who asks for so many
 * zeroes often leaves most of them alone (tables, arrays), and who does not pays for
 * the faults what he saves in writing out of the cache. */
#define DISCARD_MIN ((size_t)4 << 20)

static uint32_t nr_units;     /* of the range */
static uint32_t usable_units; /* accessible so far; under lock */

static size_t class_bytes(unsigned int class)
{
	size_t quarter = ((size_t)32 << 10) << class / 4;

	return quarter * (5 + class % 4);
}

static uint32_t units_of(size_t size)
{
	return size == 0 ? 1 : (uint32_t)((size - 1) >> SPAN_UNIT_SHIFT) + 1;
}

uint32_t span_class_units(unsigned int class)
{
	return units_of(class_bytes(class));
}

/* The class whose blocks have exactly so many units. */
static uint8_t class_of_units(uint32_t units)
{
	uint8_t class;

	if (units > SPAN_CLASS_MAX >> SPAN_UNIT_SHIFT)
		return SPAN_NO_CLASS;
	class = span_class_by_units[units];
	return units_of(class_bytes(class)) == units ? class : SPAN_NO_CLASS;
}

/* --- start and end --- */

static int init_arrays(uint64_t slots)
{
	unsigned int class = 0;

	for (uint32_t units = 0; units <= SPAN_CLASS_MAX >> SPAN_UNIT_SHIFT; units++) {
		while (units_of(class_bytes(class)) < units)
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

/* Linux before 6.7 aligns a reservation to a page only. */
static char *reserve_aligned(size_t bytes)
{
	char *range = os_reserve(bytes + BASE_ALIGN), *base;

	if (range == NULL)
		return NULL;
	base = range + (KMEM_ALIGN_UP((uintptr_t)range, BASE_ALIGN) - (uintptr_t)range);
	if (base != range)
		os_unmap(range, (size_t)(base - range));
	os_unmap(base + bytes, (size_t)(range + BASE_ALIGN - base));
	return base;
}

void spans_init(size_t bytes)
{
	size_t map_bytes;
	char *range;

	bytes = KMEM_ALIGN_DOWN(bytes, BASE_ALIGN);
	while ((range = reserve_aligned(bytes)) == NULL) {
		bytes = KMEM_ALIGN_DOWN(bytes / 2, BASE_ALIGN);
		if (bytes <= 2 * BASE_ALIGN)
			return; /* every large block becomes a mapping */
	}
	map_bytes = KMEM_ALIGN_UP((bytes >> SPAN_UNIT_SHIFT) * sizeof(struct span),
				  PAGE_SIZE);
	spans.map = os_map_anon(map_bytes);
	if (spans.map == NULL || init_arrays(malloc_config.large_slots) != 0) {
		spans.base = range;
		spans.bytes = bytes;
		spans_exit();
		return;
	}
	nr_units = (uint32_t)(bytes >> SPAN_UNIT_SHIFT);
	/* Unit 0 stands for "none"; blocks of 2 MiB begin at multiples of it. */
	span_heap.top = usable_units = 1;
	spans.base = range;
	spans.bytes = bytes;
}

void spans_give_up(size_t keep)
{
	size_t used, bytes;

	spin_lock(&spans_lock);
	bytes = spans.bytes;
	used = (size_t)usable_units << SPAN_UNIT_SHIFT;
	keep = KMEM_ALIGN_UP(keep > used ? keep : used, BASE_ALIGN);
	if (bytes > keep) {
		uint32_t units = nr_units;
		uintptr_t from, to;

		/* Nobody has an address up there. */
		nr_units = (uint32_t)(keep >> SPAN_UNIT_SHIFT);
		__atomic_store_n(&spans.bytes, keep, __ATOMIC_RELAXED);
		os_unmap(spans.base + keep, bytes - keep);
		from = KMEM_ALIGN_UP((uintptr_t)&spans.map[nr_units], PAGE_SIZE);
		to = KMEM_ALIGN_UP((uintptr_t)&spans.map[units], PAGE_SIZE);
		if (from < to)
			os_unmap((void *)from, to - from);
	}
	spin_unlock(&spans_lock);
}

void spans_exit(void)
{
	size_t bytes = spans.bytes;

	spans.bytes = 0;
	for (unsigned int class = 0; class < SPAN_NR_CLASSES; class ++) {
		if (spans.arrays[class].base != NULL)
			percpu_stacks_destroy(&spans.arrays[class]);
	}
	if (spans.map != NULL)
		os_unmap(spans.map,
			 KMEM_ALIGN_UP((bytes >> SPAN_UNIT_SHIFT) * sizeof(struct span),
				       PAGE_SIZE));
	if (bytes != 0)
		os_unmap(spans.base, bytes);
	spans.map = NULL;
	spans.base = NULL;
	span_heap = (struct span_heap){.top = 0};
	nr_units = usable_units = 0;
}

/* --- allocation --- */

static bool make_usable(uint32_t top)
{
	size_t more = (size_t)(top - usable_units) << SPAN_UNIT_SHIFT;
	size_t rest = (size_t)(nr_units - usable_units) << SPAN_UNIT_SHIFT;
	char *at = spans.base + ((size_t)usable_units << SPAN_UNIT_SHIFT);

	if (top <= usable_units)
		return true;
	more = KMEM_ALIGN_UP(more, EXTEND_BYTES);
	if (more > rest)
		more = rest;
	if (os_map_anon_at(at, more) == NULL)
		return false;
	usable_units += (uint32_t)(more >> SPAN_UNIT_SHIFT);
	return true;
}

bool spans_extend(uint32_t units)
{
	struct span *span = &spans.map[span_heap.top], *last;

	/* What the used part ends in counts. */
	last = span_before(span);
	if (last != NULL && span_state(last) == SPAN_ZERO)
		units = units > last->units ? units - last->units : 0;
	if (units > nr_units - span_heap.top || !make_usable(span_heap.top + units))
		return false;
	if (units == 0)
		return true;
	span_heap.top += units;
	span_write(span, units, SPAN_HELD);
	span_insert(span, SPAN_ZERO, 0);
	return true;
}

/* A held span of at least so many units; its kind by *kind. */
static struct span *find_span(uint32_t units, enum span_state *kind)
{
	struct span *span = span_take(&span_heap.dirty, units);

	*kind = SPAN_DIRTY;
	if (span != NULL) {
		span_heap.reused++;
		return span;
	}
	*kind = SPAN_ZERO;
	span = span_take(&span_heap.zero, units);
	if (span == NULL && spans_extend(units))
		span = span_take(&span_heap.zero, units);
	return span;
}

/* Cuts off what lies before the first aligned unit. */
static struct span *align_span(struct span *span, size_t align, enum span_state kind)
{
	uintptr_t at = (uintptr_t)span_address(span);
	uint32_t front = (uint32_t)((KMEM_ALIGN_UP(at, align) - at) >> SPAN_UNIT_SHIFT);
	uint32_t freed_ms = span->freed_ms, units = span->units;
	struct span *block = span + front;

	if (front == 0)
		return span;
	span_write(block, units - front, SPAN_HELD);
	block->freed_ms = freed_ms;
	span_write(span, front, SPAN_HELD);
	span_insert(span, kind, freed_ms);
	return block;
}

static bool discard_block(struct span *span, size_t size)
{
	return os_discard_anon(span_address(span), KMEM_ALIGN_UP(size, PAGE_SIZE)) == 0;
}

void *span_alloc(size_t size, size_t align, bool zero)
{
	uint32_t units = units_of(size), need;
	uint8_t class = SPAN_NO_CLASS;
	enum span_state kind;
	struct span *span;

	if (size > KMALLOC_MAX_CACHE_SIZE && size <= SPAN_CLASS_MAX) {
		class = (uint8_t)span_class(size);
		units = units_of(class_bytes(class));
	}
	need = units;
	if (align > SPAN_UNIT)
		need += (uint32_t)(align >> SPAN_UNIT_SHIFT) - 1;
	spin_lock(&spans_lock);
	span = find_span(need, &kind);
	if (span != NULL) {
		if (align > SPAN_UNIT)
			span = align_span(span, align, kind);
		span_cut(span, units, kind, span->freed_ms);
		span->class = class;
		span_set_state(span, SPAN_LIVE);
		span_heap.out_spans++;
		span_heap.out_units += units;
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

void span_release(struct span *span, uint32_t freed_ms)
{
	bool over;

	spin_lock(&spans_lock);
	span_heap.out_spans--;
	span_heap.out_units -= span->units;
	over = (span_bins_units(&span_heap.dirty) + span->units) << SPAN_UNIT_SHIFT >
	       malloc_config.large_cache_bytes;
	if (!over)
		span_insert(span, SPAN_DIRTY, freed_ms);
	else
		span_set_state(span, SPAN_HELD);
	spin_unlock(&spans_lock);
	if (over)
		span_purge(span);
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

/* Whether so many free units lie behind the span, or can be had there because it is the
 * last but for free ones. Under lock. */
static bool find_room(const struct span *span, uint32_t more)
{
	const struct span *last = span, *next;
	uint32_t room = 0;

	while ((next = span_behind(last)) != NULL) {
		if (span_state(next) != SPAN_DIRTY && span_state(next) != SPAN_ZERO)
			return false;
		room += next->units;
		if (room >= more)
			return true;
		last = next;
	}
	more -= room;
	/* What is added joins a zero span. */
	if (last != span && span_state(last) == SPAN_ZERO)
		more += last->units;
	return spans_extend(more);
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
	uint32_t units = units_of(size), before = span->units;
	bool done = true;

	if (units <= before && before - units <= before / KEEP_SHARE)
		return true;
	spin_lock(&spans_lock);
	if (units < before)
		span_cut(span, units, SPAN_DIRTY, (uint32_t)malloc_now_ms());
	else
		done = grow(span, units);
	span_heap.out_units += span->units;
	span_heap.out_units -= before;
	span->class = class_of_units(span->units);
	spin_unlock(&spans_lock);
	return done;
}
