/* SPDX-License-Identifier: MIT */
/* Spans: the invariant walker. */
#include "allocators/malloc/spans_internal.h"

#include <errno.h>
#include <kmem/error.h>

struct walk {
	size_t spans[SPAN_HELD + 1], units[SPAN_HELD + 1];
	size_t cached, on_arrays, bad_entries;
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
	w->cached += state == SPAN_LIVE && span_mark(span) > SPAN_MARK_LOCKED;
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
	if (!span_owns(block) || span_state(span) != SPAN_LIVE ||
	    span_mark(span) <= SPAN_MARK_LOCKED || span->class != w->class)
		w->bad_entries++;
}

static int check_arrays(struct walk *w)
{
	for (w->class = 0; w->class < SPAN_NR_CLASSES; w->class ++) {
		if (spans.arrays[w->class].out != 0)
			magazine_walk(&spans.arrays[w->class], check_entry, w);
	}
	if (w->bad_entries != 0 || w->on_arrays != w->cached)
		return kmem_error(-EFAULT,
				  "%zu blocks on arrays of spans, %zu of them wrong; %zu "
				  "spans are cached",
				  w->on_arrays, w->bad_entries, w->cached);
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
	if (err == 0 && span_heap.out_units != w.units[SPAN_LIVE])
		err = kmem_error(-EFAULT, "%zu units of spans are out, and %zu counted",
				 w.units[SPAN_LIVE], span_heap.out_units);
	return err;
}
