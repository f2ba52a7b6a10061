/* SPDX-License-Identifier: MIT */
/* Free spans: bins by length, splitting and joining. Everything under spans_lock. */
#include "allocators/malloc/spans_internal.h"

/* Spans looked at in a bin whose members may be too short: the best of them is taken.
 * More would bound the time under the lock less, and hardly waste less. */
#define BIN_SCAN 16

static struct span_bins *bins_of(enum span_state kind)
{
	return kind == SPAN_DIRTY ? &span_heap.dirty : &span_heap.zero;
}

/* Under the lock, so load and store need not be one step. */
static void add_units(struct span_bins *bins, size_t units)
{
	atomic_store_explicit(&bins->units, span_bins_units(bins) + units,
			      memory_order_relaxed);
}

unsigned int span_bin(uint32_t units)
{
	unsigned int shift;

	if (units < 8)
		return units;
	shift = 29 - (unsigned int)__builtin_clz(units);
	return shift * 4 + (units >> shift);
}

void span_write(struct span *span, uint32_t units, enum span_state state)
{
	struct span *last = span + units - 1;

	last->units = units;
	span_set_state(last, SPAN_LAST);
	span->units = units;
	span_set_state(span, state);
}

struct span *span_before(const struct span *span)
{
	struct span *last;

	if (span_index(span) <= 1)
		return NULL;
	last = &spans.map[span_index(span) - 1];
	return span_state(last) == SPAN_LAST ? last - (last->units - 1) : last;
}

struct span *span_behind(const struct span *span)
{
	uint32_t index = span_index(span) + span->units;

	return index < span_heap.top ? &spans.map[index] : NULL;
}

static void span_link(struct span *span, enum span_state kind)
{
	struct span_bins *bins = bins_of(kind);
	unsigned int bin = span_bin(span->units);

	span->prev = 0;
	span->next = bins->head[bin];
	if (span->next != 0)
		spans.map[span->next].prev = span_index(span);
	bins->head[bin] = span_index(span);
	bins->used[bin / 64] |= (uint64_t)1 << bin % 64;
	add_units(bins, span->units);
	bins->spans++;
}

void span_unlink(struct span *span)
{
	struct span_bins *bins = bins_of(span_state(span));
	unsigned int bin = span_bin(span->units);

	if (span->prev != 0)
		spans.map[span->prev].next = span->next;
	else
		bins->head[bin] = span->next;
	if (span->next != 0)
		spans.map[span->next].prev = span->prev;
	if (bins->head[bin] == 0)
		bins->used[bin / 64] &= ~((uint64_t)1 << bin % 64);
	add_units(bins, -(size_t)span->units);
	bins->spans--;
}

/* Two neighbours become one; the descriptors between mean nothing any more. */
static struct span *join(struct span *low, struct span *high)
{
	enum span_state state = span_state(low);

	span_set_state(high - 1, SPAN_INSIDE);
	span_set_state(high, SPAN_INSIDE);
	span_write(low, low->units + high->units, state);
	return low;
}

/* Joined, spans count as freed when the last of them was, which need not be the one that
 * comes last: what lay on an idle array is old. But a small one must not keep a large one
 * from its time, again and again, where it is used in turns, nor take it along. */
#define AGE_SHARE 4

static uint32_t joined_ms(const struct span *a, const struct span *b)
{
	if (a->units / AGE_SHARE >= b->units)
		return a->freed_ms;
	if (b->units / AGE_SHARE >= a->units)
		return b->freed_ms;
	return (int32_t)(a->freed_ms - b->freed_ms) > 0 ? a->freed_ms : b->freed_ms;
}

void span_insert(struct span *span, enum span_state kind, uint32_t freed_ms)
{
	struct span *before = span_before(span), *behind = span_behind(span);

	span_set_state(span, kind);
	span->freed_ms = freed_ms;
	if (behind != NULL && span_state(behind) == kind) {
		span_unlink(behind);
		span->freed_ms = joined_ms(span, behind);
		span = join(span, behind);
	}
	if (before != NULL && span_state(before) == kind) {
		span_unlink(before);
		before->freed_ms = joined_ms(span, before);
		span = join(before, span);
	}
	span_link(span, kind);
}

/* The shortest of the first few that are long enough. */
static struct span *best_in_bin(const struct span_bins *bins, unsigned int bin,
				uint32_t units)
{
	struct span *best = NULL;
	unsigned int looked = 0;

	for (uint32_t i = bins->head[bin]; i != 0 && looked < BIN_SCAN;
	     i = spans.map[i].next, looked++) {
		struct span *span = &spans.map[i];

		if (span->units >= units && (best == NULL || span->units < best->units))
			best = span;
	}
	return best;
}

static unsigned int next_used_bin(const struct span_bins *bins, unsigned int from)
{
	for (unsigned int word = from / 64; word < 2; word++) {
		uint64_t bits = bins->used[word];

		if (word == from / 64)
			bits &= ~(uint64_t)0 << from % 64;
		if (bits != 0)
			return word * 64 + (unsigned int)__builtin_ctzll(bits);
	}
	return SPAN_NR_BINS;
}

struct span *span_find(const struct span_bins *bins, uint32_t units)
{
	unsigned int bin = span_bin(units);
	struct span *span = best_in_bin(bins, bin, units);

	if (span == NULL) {
		bin = next_used_bin(bins, bin + 1);
		if (bin < SPAN_NR_BINS)
			span = best_in_bin(bins, bin, units);
	}
	return span;
}

void span_cut(struct span *span, uint32_t units, enum span_state kind, uint32_t freed_ms)
{
	struct span *rest = span + units;
	uint32_t rest_units = span->units - units;

	if (rest_units == 0)
		return;
	span_write(span, units, span_state(span));
	span_write(rest, rest_units, SPAN_HELD);
	span_insert(rest, kind, freed_ms);
}
