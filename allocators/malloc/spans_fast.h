/* SPDX-License-Identifier: MIT */
/*
 * The hit path of large blocks: a pop from, or a push onto, this CPU's array of the
 * class, and one byte of the span's descriptor. spans.c has the theory.
 */
#ifndef KMEM_MALLOC_SPANS_FAST_H
#define KMEM_MALLOC_SPANS_FAST_H

#include "allocators/malloc/malloc_internal.h"
#include "allocators/os/magazine_fast.h"
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
	SPAN_LIVE,   /* the first; as all below. A block that is handed out or on an array
		      */
	SPAN_DIRTY,  /* free; its memory may be resident */
	SPAN_ZERO,   /* free; reads as zeroes, and nothing is resident */
	SPAN_HELD,   /* on no list: in the hands of a call */
};

/* What `mark` holds besides slots: spans_arrays.c. */
#define SPAN_MARK_NONE	 ((void *)0) /* no array takes it; or not live */
#define SPAN_MARK_OUT	 ((void *)1) /* handed out, and an array takes it */
#define SPAN_MARK_LOCKED ((void *)2) /* the same where arrays have locks */
#define SPAN_MARK_PUSHED ((void *)3) /* on an array, put there by compare-and-swap */
#define SPAN_MARK_SEEN	 ((void *)4) /* on an array, and not used since the last look */

/*
 * One for each unit; only those of a span's first and last unit mean anything.
 * `mark` of a block is its owner's, everything else is under the lock.
 */
struct span {
	uint32_t units;	       /* of the span; in its first and its last unit */
	_Atomic uint8_t state; /* enum span_state */
	uint8_t class;	       /* SPAN_NO_CLASS: none */
	uint8_t id;	       /* number of the class's magazines; 0: none */
	bool grows;	       /* live: what is free behind it is room for it */
	void *_Atomic mark;    /* live: where on an array, or SPAN_MARK_... */
	uint32_t next, prev;   /* free: on the list of its bin; unit numbers, 0: none */
	uint32_t freed_ms;     /* dirty: when, modulo 2^32 */
	uint32_t unused;
};
_Static_assert(sizeof(struct span) == 32, "two descriptors share a cache line");
#define SPAN_PER_UNIT_SHIFT (SPAN_UNIT_SHIFT - 5) /* a unit's bytes by a descriptor's */

#pragma GCC visibility push(hidden)
/* Constant while malloc is up. */
extern struct spans {
	char *base;	  /* of unit 0, which is never used */
	size_t bytes;	  /* reserved; 0: there are none */
	struct span *map; /* by unit */
	struct magazines arrays[SPAN_NR_CLASSES];
} spans;
/* By length: class, and number of its magazines. */
extern uint8_t span_class_by_units[(SPAN_CLASS_MAX >> SPAN_UNIT_SHIFT) + 1];
extern uint8_t span_id_by_units[(SPAN_CLASS_MAX >> SPAN_UNIT_SHIFT) + 1];

/* The mark of blocks that are handed out: OUT or LOCKED. */
extern void *span_mark_out;

/* A block that was popped from that slot (NULL: not known), and could not be taken at
 * once: the block, or NULL after a report. */
void *span_accept(void *block, void *slot);
#pragma GCC visibility pop

static KMEM_ALWAYS_INLINE bool span_owns(const void *ptr)
{
	return (size_t)((const char *)ptr - spans.base) < spans.bytes;
}

static KMEM_ALWAYS_INLINE struct span *span_of(const void *ptr)
{
	return &spans.map[(size_t)((const char *)ptr - spans.base) >> SPAN_UNIT_SHIFT];
}

/* The same for the start of a unit: a shift and an addition less between a block and what
 * the next call waits for. */
static KMEM_ALWAYS_INLINE struct span *span_of_start(const void *ptr)
{
	return (struct span *)((char *)spans.map +
			       ((size_t)((const char *)ptr - spans.base) >>
				SPAN_PER_UNIT_SHIFT));
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

static KMEM_ALWAYS_INLINE void *span_mark(const struct span *span)
{
	return atomic_load_explicit(&span->mark, memory_order_relaxed);
}

static KMEM_ALWAYS_INLINE void span_set_mark(struct span *span, void *mark)
{
	atomic_store_explicit(&span->mark, mark, memory_order_relaxed);
}

/* A block of this CPU's array, or NULL; *doubtful is one that was popped, of *slot, for
 * span_accept(). size <= SPAN_CLASS_MAX, above 128 KiB, and magazine_rseq_offset is not
 * 0. */
static KMEM_ALWAYS_INLINE void *span_alloc_hit(size_t size, void **doubtful, void ***slot)
{
#if OS_PERCPU_RSEQ
	size_t id = span_id_by_units[(size + SPAN_UNIT - 1) >> SPAN_UNIT_SHIFT];
	struct span *span;
	void *block;

	block = rseq_magazine_pop_slot(magazine_rseq_offset, &magazine_table[2], id,
				       slot);
	if (KMEM_UNLIKELY(block == NULL))
		return NULL;
	span = span_of_start(block);
	/* Acquire: see span_hand_out(). */
	if (KMEM_UNLIKELY(atomic_load_explicit(&span->state, memory_order_acquire) !=
				  SPAN_LIVE ||
			  span_mark(span) != (void *)*slot)) {
		*doubtful = block;
		return NULL;
	}
	span_set_mark(span, SPAN_MARK_OUT);
	return block;
#else
	(void)size, (void)doubtful, (void)slot;
	return NULL;
#endif
}

/* True when the block has gone onto this CPU's array; span_owns(ptr). */
static KMEM_ALWAYS_INLINE bool span_free_hit(void *ptr)
{
#if OS_PERCPU_RSEQ
	struct span *span = span_of_start(ptr); /* if it is one */

	/* With locks none has this mark. */
	if (KMEM_UNLIKELY(((uintptr_t)ptr & (SPAN_UNIT - 1)) != 0 ||
			  span_mark(span) != SPAN_MARK_OUT))
		return false;
	if (KMEM_LIKELY(rseq_magazine_push_marked(magazine_rseq_offset,
						  &magazine_table[2], span->id, ptr,
						  &span->mark)))
		return true;
	/* A sequence that was restarted on a full array may have left a slot there. */
	span_set_mark(span, SPAN_MARK_OUT);
#else
	(void)ptr;
#endif
	return false;
}

#endif /* KMEM_MALLOC_SPANS_FAST_H */
