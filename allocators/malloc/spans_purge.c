/* SPDX-License-Identifier: MIT */
/*
 * Spans: memory back to the system, and what looks at all of them: statistics, the
 * invariant walker, fork. None of it is on a hot path.
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
static size_t take_old(uint32_t now, uint64_t max_age_ms, struct span **out)
{
	struct span_bins *bins = &span_heap.dirty;
	size_t n = 0;

	spin_lock(&spans_lock);
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
	uint32_t now = (uint32_t)malloc_now_ms();
	struct span *old[PURGE_BATCH];
	size_t n, bytes = 0;
	bool refused = false;

	do {
		n = take_old(now, max_age_ms, old);
		for (size_t i = 0; i < n; i++) {
			bytes += (size_t)old[i]->units << SPAN_UNIT_SHIFT;
			refused |= !span_purge(old[i]);
		}
	} while (n == PURGE_BATCH && !refused);
	return bytes;
}

/* --- arrays --- */

static void drain_block(void *block, void *arg)
{
	span_release(span_of(block), (uint32_t) * (const uint64_t *)arg);
}

/* By CPU: blocks that its arrays had served at the last look. */
static uint64_t served_before[OS_MAX_CPUS];

static bool cpu_is_idle(unsigned int cpu)
{
	uint64_t served = 0;
	bool idle;

	for (unsigned int class = 0; class < SPAN_NR_CLASSES; class ++)
		served += percpu_pops(&spans.arrays[class], cpu);
	idle = served == served_before[cpu];
	if (!idle)
		served_before[cpu] = served;
	return idle;
}

void spans_drain(bool idle_only, uint64_t freed_ms)
{
	if (spans.bytes == 0 || spans.arrays[0].base == NULL)
		return;
	for (unsigned int cpu = 0; cpu < spans.arrays[0].nr_cpus; cpu++) {
		if (idle_only && !cpu_is_idle(cpu))
			continue;
		for (unsigned int class = 0; class < SPAN_NR_CLASSES; class ++)
			percpu_drain_cpu(&spans.arrays[class], cpu, drain_block,
					 &freed_ms);
	}
}

/* --- statistics --- */

static size_t cached_units(size_t *blocks)
{
	size_t units = 0;

	*blocks = 0;
	for (unsigned int class = 0; class < SPAN_NR_CLASSES; class ++) {
		size_t n;

		if (spans.arrays[class].base == NULL)
			continue;
		n = percpu_count(&spans.arrays[class]);
		*blocks += n;
		units += n * span_class_units(class);
	}
	return units;
}

size_t spans_dirty_bytes(void)
{
	size_t blocks, units;

	if (spans.bytes == 0)
		return 0;
	units = cached_units(&blocks);
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
	cached = cached_units(&blocks);
	for (unsigned int class = 0; class < SPAN_NR_CLASSES; class ++) {
		for (unsigned int cpu = 0; cpu < spans.arrays[class].nr_cpus; cpu++)
			stats->large_hits += percpu_pops(&spans.arrays[class], cpu);
	}
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

/* --- the walker --- */

struct walk {
	size_t spans[SPAN_HELD + 1], units[SPAN_HELD + 1];
	size_t on_arrays, bad_entries;
	unsigned int class;
};

static int check_span(const struct span *span, const struct span *before, struct walk *w)
{
	enum span_state state = span_state(span);
	uint32_t index = span_index(span);
	const struct span *last = span + span->units - 1;

	if (state == SPAN_INSIDE || state == SPAN_LAST || state > SPAN_HELD)
		return kmem_error(-EFAULT, "span at unit %u: state %d begins none", index,
				  (int)state);
	if (span->units == 0 || span->units > span_heap.top - index)
		return kmem_error(-EFAULT, "span at unit %u: %u units, and %u are used",
				  index, span->units, span_heap.top);
	if (last != span && (span_state(last) != SPAN_LAST || last->units != span->units))
		return kmem_error(
			-EFAULT, "span at unit %u: its last unit does not say so", index);
	if (before != NULL && span_state(before) == state &&
	    (state == SPAN_DIRTY || state == SPAN_ZERO))
		return kmem_error(-EFAULT, "span at unit %u: not joined with unit %u",
				  index, span_index(before));
	if (state == SPAN_LIVE && span->grows && span->class != SPAN_NO_CLASS)
		return kmem_error(-EFAULT, "span at unit %u: grows, and has class %u",
				  index, span->class);
	for (uint32_t i = 1; i + 1 < span->units; i++) {
		if (span_state(span + i) != SPAN_INSIDE)
			return kmem_error(-EFAULT,
					  "unit %u, inside of span %u, has state %d",
					  index + i, index, (int)span_state(span + i));
	}
	w->spans[state]++;
	w->units[state] += span->units;
	return 0;
}

static int check_bins(const struct span_bins *bins, enum span_state kind,
		      const struct walk *w)
{
	size_t n = 0, units = 0;

	for (unsigned int bin = 0; bin < SPAN_NR_BINS; bin++) {
		uint32_t before = 0;

		if ((bins->head[bin] != 0) != (bins->used[bin / 64] >> bin % 64 & 1))
			return kmem_error(-EFAULT, "bin %u of spans: its bit is wrong",
					  bin);
		for (uint32_t i = bins->head[bin]; i != 0; i = spans.map[i].next) {
			const struct span *span = &spans.map[i];

			if (span_state(span) != kind || span_bin(span->units) != bin ||
			    span->prev != before || ++n > w->spans[kind])
				return kmem_error(-EFAULT,
						  "bin %u of spans: unit %u is not of it",
						  bin, i);
			units += span->units;
			before = i;
		}
	}
	if (n != w->spans[kind] || n != bins->spans || units != w->units[kind] ||
	    units != span_bins_units(bins))
		return kmem_error(-EFAULT, "%zu free spans of kind %d, %zu in bins", n,
				  (int)kind, bins->spans);
	return 0;
}

static void check_entry(void *block, void *arg)
{
	struct walk *w = arg;
	const struct span *span = span_of(block);

	w->on_arrays++;
	if (!span_owns(block) || span_state(span) != SPAN_CACHED ||
	    span->class != w->class)
		w->bad_entries++;
}

static int check_arrays(struct walk *w)
{
	for (w->class = 0; w->class < SPAN_NR_CLASSES; w->class ++) {
		if (spans.arrays[w->class].base != NULL)
			percpu_walk(&spans.arrays[w->class], check_entry, w);
	}
	if (w->bad_entries != 0 || w->on_arrays != w->spans[SPAN_CACHED])
		return kmem_error(-EFAULT,
				  "%zu blocks on arrays of spans, %zu of them wrong; %zu "
				  "spans are cached",
				  w->on_arrays, w->bad_entries, w->spans[SPAN_CACHED]);
	return 0;
}

int spans_check(void)
{
	const struct span *span, *before = NULL;
	struct walk w = {.on_arrays = 0};
	int err = 0;

	if (spans.bytes == 0)
		return 0;
	for (span = &spans.map[1]; err == 0 && span_index(span) < span_heap.top;
	     span += span->units) {
		err = check_span(span, before, &w);
		before = span;
	}
	if (err == 0)
		err = check_bins(&span_heap.dirty, SPAN_DIRTY, &w);
	if (err == 0)
		err = check_bins(&span_heap.zero, SPAN_ZERO, &w);
	if (err == 0)
		err = check_arrays(&w);
	if (err == 0 && span_heap.out_units != w.units[SPAN_LIVE] + w.units[SPAN_CACHED])
		err = kmem_error(-EFAULT, "%zu units of spans are out, and %zu counted",
				 w.units[SPAN_LIVE] + w.units[SPAN_CACHED],
				 span_heap.out_units);
	return err;
}

/* --- fork --- */

bool spans_fork_freeze(void)
{
	bool all = true;

	for (unsigned int class = 0; class < SPAN_NR_CLASSES; class ++) {
		if (spans.arrays[class].base != NULL)
			all &= percpu_freeze(&spans.arrays[class]);
	}
	return all;
}

void spans_fork_lock(void)
{
	spin_lock(&spans_lock);
}

void spans_fork_unlock(void)
{
	spin_unlock(&spans_lock);
	for (unsigned int class = 0; class < SPAN_NR_CLASSES; class ++) {
		if (spans.arrays[class].base != NULL)
			percpu_thaw(&spans.arrays[class]);
	}
}
