/* SPDX-License-Identifier: MIT */
/*
 * The hit path of large blocks: a pop from, or a push onto, this CPU's array of the
 * class, and one byte of the span's descriptor. spans.c has the theory.
 */
#ifndef KMEM_MALLOC_SPANS_FAST_H
#define KMEM_MALLOC_SPANS_FAST_H

#include "allocators/malloc/malloc_internal.h"
#include "allocators/os/percpu_fast.h"
#include <kmem/mm_types.h>

/* Spans are cut in units: coarse enough that a descriptor for each costs a fifth of
 * a per cent, fine enough that the last, partly used one is a tenth of the smallest
 * block at most. */
#define SPAN_UNIT_SHIFT 14
#define SPAN_UNIT	((size_t)1 << SPAN_UNIT_SHIFT)

/* Classes with arrays: four per doubling, from 160 KiB to 4 MiB. Above, touching a
 * block costs microseconds, and a lock is not noticed. */
#define SPAN_CLASS_MAX	((size_t)4 << 20)
#define SPAN_NR_CLASSES 20u
#define SPAN_NO_CLASS	((uint8_t)0xff)

enum span_state {
	SPAN_INSIDE, /* neither the first nor the last unit of a span */
	SPAN_LAST,   /* the last of several */
	SPAN_LIVE,   /* the first; as all below */
	SPAN_CACHED, /* freed, on a per-CPU array */
	SPAN_DIRTY,  /* free; its memory may be resident */
	SPAN_ZERO,   /* free; reads as zeroes, and nothing is resident */
	SPAN_HELD,   /* on no list: in the hands of a call */
};

/*
 * One for each unit; only those of a span's first and last unit mean anything. `state`
 * of a live or cached span is its owner's, everything else is under the lock.
 */
struct span {
	uint32_t units;	       /* of the span; in its first and its last unit */
	_Atomic uint8_t state; /* enum span_state */
	uint8_t class;	       /* SPAN_NO_CLASS: no array takes it */
	bool grows;	       /* live: what is free behind it is room for it */
	uint32_t next, prev;   /* free: on the list of its bin; unit numbers, 0: none */
	uint32_t freed_ms;     /* dirty: when, modulo 2^32 */
	uint32_t unused[3];
};
_Static_assert(sizeof(struct span) == 32, "two descriptors share a cache line");

#pragma GCC visibility push(hidden)
/* Constant while malloc is up. */
extern struct spans {
	char *base;	  /* of unit 0, which is never used */
	size_t bytes;	  /* reserved; 0: there are none */
	struct span *map; /* by unit */
	struct percpu_stacks arrays[SPAN_NR_CLASSES];
} spans;
extern uint8_t span_class_by_units[(SPAN_CLASS_MAX >> SPAN_UNIT_SHIFT) + 1];
#pragma GCC visibility pop

static KMEM_ALWAYS_INLINE bool span_owns(const void *ptr)
{
	return (size_t)((const char *)ptr - spans.base) < spans.bytes;
}

static KMEM_ALWAYS_INLINE struct span *span_of(const void *ptr)
{
	return &spans.map[(size_t)((const char *)ptr - spans.base) >> SPAN_UNIT_SHIFT];
}

static KMEM_ALWAYS_INLINE enum span_state span_state(const struct span *span)
{
	return atomic_load_explicit(&span->state, memory_order_relaxed);
}

static KMEM_ALWAYS_INLINE void span_set_state(struct span *span, enum span_state state)
{
	atomic_store_explicit(&span->state, (uint8_t)state, memory_order_relaxed);
}

static KMEM_ALWAYS_INLINE size_t span_class(size_t size)
{
	return span_class_by_units[(size + SPAN_UNIT - 1) >> SPAN_UNIT_SHIFT];
}

/* A block of this CPU's array, or NULL; size <= SPAN_CLASS_MAX, above 128 KiB. */
static KMEM_ALWAYS_INLINE void *span_alloc_hit(size_t size)
{
	void *block = percpu_try_pop(&spans.arrays[span_class(size)]);

	if (KMEM_LIKELY(block != NULL))
		span_set_state(span_of(block), SPAN_LIVE);
	return block;
}

/* True when the block has gone onto this CPU's array; span_owns(ptr). */
static KMEM_ALWAYS_INLINE bool span_free_hit(void *ptr)
{
	struct span *span = span_of(ptr);

	if (KMEM_UNLIKELY(((uintptr_t)ptr & (SPAN_UNIT - 1)) != 0 ||
			  span_state(span) != SPAN_LIVE || span->class == SPAN_NO_CLASS))
		return false;
	/* Before the push: afterwards it may be somebody else's. */
	span_set_state(span, SPAN_CACHED);
	if (KMEM_LIKELY(percpu_try_push(&spans.arrays[span->class], ptr)))
		return true;
	span_set_state(span, SPAN_LIVE);
	return false;
}

#endif /* KMEM_MALLOC_SPANS_FAST_H */
