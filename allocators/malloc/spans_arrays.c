/* SPDX-License-Identifier: MIT */
/*
 * Spans on per-CPU arrays: classes, the slow side of spans_fast.h, draining, fork.
 *
 * THEORY. The arrays are magazines (os/magazine_fast.h), one a class. Free and allocation
 * of a block are restartable sequences without a locked instruction. So two threads that
 * free the same block at once may both find that it is handed out, and both put it on an
 * array. It is found out at the latest when a block is taken, by the block's mark, which
 * says in which slot it lies:
 *
 *   mark = OUT ---- free, in its sequence -----> slot ---- pop, if that is its slot --->
 * OUT
 *               '-- free, by compare-and-swap -> PUSHED -- pop, by compare-and-swap --'
 *
 * A sequence stores its slot whatever stands there, so of several frees one has the last
 * word, and only the entry that it made is good; all others are reported and forgotten
 * when they come up. A mark that is good is taken back by whoever pops the entry, and
 * nobody else pops that one. So each free makes at most one allocation. What cannot be
 * told apart is a free that comes so late that the block has been handed out again: in
 * any malloc that is a free of the new owner's block.
 *
 * A span that goes back to the bins is no block any more before its mark is cleared, and
 * is one again after its mark has been set: an entry for it that comes up in between is
 * told by its state. (On aarch64 a store from another CPU could be seen late enough to
 * break that, for a few nanoseconds, for a program that frees one block three times at
 * once.)
 *
 * Idle. Now and then somebody looks at all entries and changes their marks to SEEN: an
 * array on which all still are at the next look has not been used, and is emptied. The
 * first use after a look takes the slow way.
 */
#include "allocators/malloc/spans_internal.h"
#include "allocators/os/magazine_internal.h"

#include <errno.h>
#include <kmem/error.h>

uint8_t span_id_by_units[(SPAN_CLASS_MAX >> SPAN_UNIT_SHIFT) + 1];
uint8_t span_class_by_units[(SPAN_CLASS_MAX >> SPAN_UNIT_SHIFT) + 1];

/* Most blocks of up to 512 KiB on an array by large_slots; above, half, above 1 MiB a
 * quarter, at least one: 37 MiB if one CPU fills all of them. */
#define SLOTS_FULL ((size_t)512 << 10)
#define SLOTS_HALF ((size_t)1 << 20)

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
		int err = magazine_create(&spans.arrays[class], n != 0 ? (uint32_t)n : 1,
					  0);

		/* Without a number left, a class has no array. */
		if (err != 0 && err != -ENOSPC)
			return -1;
	}
	span_mark_out = magazine_rseq_offset != 0 ? SPAN_MARK_OUT : SPAN_MARK_LOCKED;
	for (uint32_t units = 0; units <= SPAN_CLASS_MAX >> SPAN_UNIT_SHIFT; units++)
		span_id_by_units[units] = spans.arrays[span_class_by_units[units]].out;
	return 0;
}

/* --- the slow side --- */

void *span_mark_out = SPAN_MARK_OUT;

static bool change_mark(struct span *span, void *from, void *to)
{
	return atomic_compare_exchange_strong(&span->mark, &from, to);
}

void *span_accept(void *block, void *slot)
{
	struct span *span = span_of(block);

	if (span_is_live(span) &&
	    ((slot != NULL && change_mark(span, slot, span_mark_out)) ||
	     change_mark(span, SPAN_MARK_PUSHED, span_mark_out) ||
	     change_mark(span, SPAN_MARK_SEEN, span_mark_out)))
		return block;
	kmem_bug("free of %p, which another call had freed already", block);
	return NULL;
}

void *span_alloc_cached(size_t size)
{
	void *block, *entry, **slot;

	if (size > SPAN_CLASS_MAX || spans.bytes == 0)
		return NULL;
	do {
		entry = NULL;
		slot = NULL;
		if (magazine_rseq_offset != 0)
			block = span_alloc_hit(size, &entry, &slot);
		else
			block = entry = magazine_pop(&spans.arrays[span_class(size)]);
		if (entry != NULL)
			block = span_accept(entry, slot);
	} while (entry != NULL && block == NULL);
	return block;
}

bool span_push(struct span *span)
{
	return magazine_push(&spans.arrays[span->class], span_address(span));
}

/* --- all CPUs --- */

struct drain {
	uint32_t freed_ms;
	void **slots; /* of the array */
	uint32_t limit;
};

/* The array is ours alone: every block with a mark in it is good, once. */
static void drain_block(void *block, void *arg)
{
	const struct drain *d = arg;
	struct span *span = span_of(block);
	void *mark = span_mark(span);
	size_t index = (size_t)((char *)mark - (char *)d->slots) / sizeof(void *);

	if (index >= d->limit && mark != SPAN_MARK_PUSHED && mark != SPAN_MARK_SEEN)
		mark = SPAN_MARK_OUT; /* which no entry has */
	if (mark == SPAN_MARK_OUT || !span_release(span, mark, d->freed_ms))
		kmem_bug("free of %p, which another call had freed already", block);
}

static void drain_array(unsigned int class, unsigned int cpu, uint32_t freed_ms)
{
	const struct magazines *m = &spans.arrays[class];
	struct drain d = {
		.freed_ms = freed_ms,
		.slots = bottom_of(cpu, m->out, false),
		.limit = m->limit,
	};

	magazine_drain_cpu(m, cpu, drain_block, &d);
}

/* Whether the block has been used since the last look. */
static bool look_at_block(struct span *span, void *slot)
{
	void *mark = span_mark(span);

	if (mark == slot || mark == SPAN_MARK_PUSHED)
		change_mark(span, mark, SPAN_MARK_SEEN);
	return mark != SPAN_MARK_SEEN;
}

/* Whether nothing on the array has been used since the last look, at the entries as they
 * come and go. */
static bool array_is_idle(unsigned int class, unsigned int cpu)
{
	size_t id = spans.arrays[class].out;
	struct magazine_cpu *c = cpu_of(cpu);
	bool used = false;
	void **top;

	if (id == 0 || !cpu_used(cpu))
		return false;
	if (!lockless())
		spin_word_lock(&c->lock[id]);
	top = load_top(c, id);
	if (!is_pair(top)) {
		for (void **slot = bottom_of(cpu, id, false); slot < top; slot++) {
			void *block = __atomic_load_n(slot, __ATOMIC_RELAXED);

			if (block != NULL)
				used |= look_at_block(span_of(block), slot);
		}
	}
	if (!lockless())
		spin_word_unlock(&c->lock[id]);
	return !used;
}

void spans_drain(bool idle_only, uint64_t freed_ms)
{
	if (spans.bytes == 0)
		return;
	for (unsigned int class = 0; class < SPAN_NR_CLASSES; class ++) {
		for (unsigned int cpu = 0; cpu < os_nr_cpus(); cpu++) {
			if (spans.arrays[class].out != 0 && cpu_used(cpu) &&
			    (!idle_only || array_is_idle(class, cpu)))
				drain_array(class, cpu, (uint32_t)freed_ms);
		}
	}
}

void spans_drain_here(void)
{
	uint32_t now = (uint32_t)malloc_now_ms();
	unsigned int cpu = os_cpu_id();

	for (unsigned int class = 0; class < SPAN_NR_CLASSES; class ++) {
		if (spans.arrays[class].out != 0 && cpu_used(cpu))
			drain_array(class, cpu, now);
	}
}

size_t spans_cached_units(size_t *blocks)
{
	size_t units = 0;

	*blocks = 0;
	for (unsigned int class = 0; class < SPAN_NR_CLASSES; class ++) {
		size_t n = spans.arrays[class].out != 0
				   ? magazine_count(&spans.arrays[class])
				   : 0;

		*blocks += n;
		units += n * span_class_units(class);
	}
	return units;
}

/* --- fork --- */

bool spans_fork_freeze(void)
{
	bool all = true;

	for (unsigned int class = 0; class < SPAN_NR_CLASSES; class ++) {
		if (spans.arrays[class].out != 0)
			all &= magazine_freeze(&spans.arrays[class]);
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
		if (spans.arrays[class].out != 0)
			magazine_thaw(&spans.arrays[class]);
	}
}
