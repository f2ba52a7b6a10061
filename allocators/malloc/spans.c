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
 * threads that free the same block in the same nanoseconds one may be told later, when
 * its entry comes up; the block is not handed out twice (spans_arrays.c).
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

/* calloc() of so much gives the memory back instead of writing it: who asks for so many
 * zeroes often leaves most of them alone (tables, arrays), and who does not pays for
 * the faults what he saves in writing out of the cache. */
#define DISCARD_MIN ((size_t)4 << 20)

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

/* A free span of at least so many units: the best of the dirty, which what this CPU keeps
 * on its arrays joins before memory is touched that has not been; then of the zero ones,
 * then more of the range; what is behind a block that grows last of all. Under lock,
 * which is dropped to empty the arrays. */
static struct span *find_span(uint32_t units)
{
	struct span *span = span_find(&span_heap.dirty, units);
	struct span *last;
	uint32_t have = 0;

	if (span == NULL) {
		spin_unlock(&spans_lock);
		spans_drain_here();
		spin_lock(&spans_lock);
		span = span_find(&span_heap.dirty, units);
	}
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
	span_set_class(span, class);
	span->grows = false;
	/* Who sees that it is a block sees that mark. */
	atomic_store_explicit(&span->state, SPAN_LIVE, memory_order_release);
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

/* --- free --- */

static void report(const void *ptr, const char *call)
{
	const struct span *span = span_of(ptr);
	enum span_state state = span_state(span);

	if (((uintptr_t)ptr & (SPAN_UNIT - 1)) == 0 && state >= SPAN_LIVE)
		kmem_bug("%s of %p, which was freed already", call, ptr);
	else
		kmem_bug("%s of %p, which malloc did not return", call, ptr);
}

bool span_is_live(const struct span *span)
{
	enum span_state state =
		(enum span_state)atomic_load_explicit(&span->state, memory_order_acquire);

	/* take_back() may be about to see that it must not. */
	if (KMEM_UNLIKELY(state == SPAN_HELD)) {
		spin_lock(&spans_lock);
		state = span_state(span);
		spin_unlock(&spans_lock);
	}
	return state == SPAN_LIVE;
}

static bool is_block(const void *ptr)
{
	return ((uintptr_t)ptr & (SPAN_UNIT - 1)) == 0 && span_is_live(span_of(ptr));
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

/* The span is no block from here on. False: it was none, or the mark is another. Under
 * lock. */
static bool take_back(struct span *span, void *mark)
{
	void *seen = SPAN_MARK_SEEN;
	bool entry = mark > SPAN_MARK_LOCKED;

	if (span_state(span) != SPAN_LIVE)
		return false;
	/* First the state: see spans_arrays.c. */
	span_set_state(span, SPAN_HELD);
	/* Somebody may have looked at the entry meanwhile: spans_arrays.c. */
	if (atomic_compare_exchange_strong(&span->mark, &mark, SPAN_MARK_NONE) ||
	    (entry && atomic_compare_exchange_strong(&span->mark, &seen, SPAN_MARK_NONE)))
		return true;
	span_set_state(span, SPAN_LIVE);
	return false;
}

bool span_release(struct span *span, void *mark, uint32_t freed_ms)
{
	struct span *purge = NULL;

	spin_lock(&spans_lock);
	if (!take_back(span, mark)) {
		spin_unlock(&spans_lock);
		return false;
	}
	span_heap.out_spans--;
	span_heap.out_units -= span->units;
	if ((span_bins_units(&span_heap.dirty) + span->units) << SPAN_UNIT_SHIFT >
	    malloc_config.large_cache_bytes) {
		purge = find_stale((uint32_t)malloc_now_ms(), span->units);
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
	return true;
}

/* Marks are decided by compare-and-swap here: one free of several gets on. */
bool span_free(void *ptr)
{
	struct span *span = span_of(ptr);
	void *mark = SPAN_MARK_NONE, *out = span_mark_out;

	if (is_block(ptr) && span->id != 0) {
		mark = SPAN_MARK_PUSHED;
		if (!atomic_compare_exchange_strong(&span->mark, &out, mark)) {
			report(ptr, "free");
			return false;
		}
		if (span_push(span))
			return true;
	}
	if (is_block(ptr) && span_release(span, mark, (uint32_t)malloc_now_ms()))
		return true;
	report(ptr, "free");
	return false;
}

/* --- size --- */

size_t span_usable_size(const void *ptr)
{
	/* Neither on an array nor free. */
	if (is_block(ptr) && span_mark(span_of(ptr)) <= SPAN_MARK_LOCKED)
		return (size_t)span_of(ptr)->units << SPAN_UNIT_SHIFT;
	report(ptr, "size");
	return 0;
}
