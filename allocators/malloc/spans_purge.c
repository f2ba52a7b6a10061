/* SPDX-License-Identifier: MIT */
/*
 * Spans: memory back to the system, and statistics. None of it is on a hot path.
 */
#include "allocators/malloc/spans_internal.h"
#include "allocators/os/os_mem.h"

#include <errno.h>
#include <kmem/error.h>

/* Spans that are taken out of the bins at a time, to be given back without the lock. */
#define PURGE_BATCH 32

bool span_purge(struct span *span)
{
	size_t bytes = (size_t)span->units << SPAN_UNIT_SHIFT;
	bool done = os_discard_anon(span_address(span), bytes) == 0;

	spin_lock(&spans_lock);
	if (done)
		span_heap.purged_units += span->units;
	/* Refused, it stays as it is, until its time comes again. */
	span_insert(span, done ? SPAN_ZERO : SPAN_DIRTY, (uint32_t)malloc_now_ms());
	spin_unlock(&spans_lock);
	return done;
}

/* Takes spans that were freed so long ago; returns how many. */
static size_t take_old(uint64_t max_age_ms, struct span **out)
{
	struct span_bins *bins = &span_heap.dirty;
	size_t n = 0;
	uint32_t now;

	spin_lock(&spans_lock);
	now = (uint32_t)malloc_now_ms(); /* none is freed later */
	for (unsigned int bin = 0; bin < SPAN_NR_BINS && n < PURGE_BATCH; bin++) {
		uint32_t next;

		for (uint32_t i = bins->head[bin]; i != 0 && n < PURGE_BATCH; i = next) {
			struct span *span = &spans.map[i];

			next = span->next;
			if (now - span->freed_ms < max_age_ms)
				continue;
			span_unlink(span);
			span_set_state(span, SPAN_HELD);
			out[n++] = span;
		}
	}
	spin_unlock(&spans_lock);
	return n;
}

size_t spans_decay(uint64_t max_age_ms)
{
	struct span *old[PURGE_BATCH];
	size_t n, bytes = 0;
	bool refused = false;

	do {
		n = take_old(max_age_ms, old);
		for (size_t i = 0; i < n; i++) {
			bytes += (size_t)old[i]->units << SPAN_UNIT_SHIFT;
			refused |= !span_purge(old[i]);
		}
	} while (n == PURGE_BATCH && !refused);
	return bytes;
}

/* --- statistics --- */

size_t spans_dirty_bytes(void)
{
	size_t blocks, units;

	if (spans.bytes == 0)
		return 0;
	units = spans_cached_units(&blocks);
	spin_lock(&spans_lock);
	units += span_bins_units(&span_heap.dirty);
	spin_unlock(&spans_lock);
	return units << SPAN_UNIT_SHIFT;
}

size_t spans_free_bytes(void)
{
	return span_bins_units(&span_heap.dirty) << SPAN_UNIT_SHIFT;
}

void spans_stats(struct kmem_malloc_stats *stats)
{
	size_t blocks, cached;

	if (spans.bytes == 0)
		return;
	cached = spans_cached_units(&blocks);
	spin_lock(&spans_lock);
	stats->large_live += span_heap.out_spans - blocks;
	stats->large_live_bytes += (span_heap.out_units - cached) << SPAN_UNIT_SHIFT;
	stats->large_cached += span_heap.dirty.spans + blocks;
	stats->large_cached_bytes += (span_bins_units(&span_heap.dirty) + cached)
				     << SPAN_UNIT_SHIFT;
	stats->large_hits += span_heap.reused;
	stats->large_purged_bytes += span_heap.purged_units << SPAN_UNIT_SHIFT;
	spin_unlock(&spans_lock);
}
