/* SPDX-License-Identifier: MIT */
/*
 * An array of live blocks that all threads of a cell share: each takes what it finds
 * in a slot and leaves a block of its own there, by one atomic exchange.
 *
 * THEORY. Whoever takes a block must know its size, and may want to know whose it was.
 * Nothing is kept inside blocks (a floor hands out one address for all), and two words
 * cannot be exchanged at once everywhere, so both go into the slot's one word with
 * the address, of which the upper 16 bits and the lower 3 are always zero:
 *
 *    63                                  19 18         8 7        0
 *   +--------------------------------------+------------+----------+
 *   |            address >> 3              |   size     |  owner   |
 *   +--------------------------------------+------------+----------+
 *
 * Address 0 is an empty slot. The owner is the index of the allocating worker modulo
 * 256: with more threads, a 256th of the remote frees is taken for local ones.
 */
#ifndef KMEMBENCH_SHARED_SLOTS_FAST_H
#define KMEMBENCH_SHARED_SLOTS_FAST_H

#include <stdatomic.h>

#include "workloads/harness/worker_fast.h"

#define SHARED_SLOTS_OWNER_BITS 8
#define SHARED_SLOTS_SIZE_BITS	11
#define SHARED_SLOTS_TAG_BITS	(SHARED_SLOTS_OWNER_BITS + SHARED_SLOTS_SIZE_BITS)
/* Blocks of less than 8 bytes need not be aligned to 8. */
#define SHARED_SLOTS_SIZE_MIN 8u
#define SHARED_SLOTS_SIZE_MAX ((1u << SHARED_SLOTS_SIZE_BITS) - 1)

/*
 * The options size_min_bytes and size_max_bytes of a workload whose parameters have
 * fields of these names: what a slot can hold.
 */
#define SHARED_SLOTS_SIZE_OPTIONS(params, size_max_initial)                              \
	{                                                                                \
		.name = "size_min_bytes",                                                \
		.type = KMEM_OPT_SIZE,                                                   \
		.offset = offsetof(params, size_min_bytes),                              \
		.initial = "16",                                                         \
		.help = "smallest block; sizes are uniform between the two",             \
		.min = SHARED_SLOTS_SIZE_MIN,                                            \
		.max = SHARED_SLOTS_SIZE_MAX,                                            \
	},                                                                               \
	{                                                                                \
		.name = "size_max_bytes", .type = KMEM_OPT_SIZE,                         \
		.offset = offsetof(params, size_max_bytes), .initial = size_max_initial, \
		.help = "largest block", .min = SHARED_SLOTS_SIZE_MIN,                   \
		.max = SHARED_SLOTS_SIZE_MAX,                                            \
	}

struct shared_slots {
	size_t bytes; /* of the arena that holds this */
	uint64_t count;
	_Atomic uint64_t slot[];
};

/* For validate(): 0, or -EINVAL with a text when a thread would have no slot. */
int shared_slots_check(const struct workload_run *run, uint64_t slots);

/* All empty. From an arena: never fails. */
struct shared_slots *shared_slots_new(uint64_t count);
void shared_slots_delete(struct shared_slots *s);

/*
 * Fills, or empties, this thread's share of the slots: count / threads of them. For
 * thread_setup(), which ends before any thread's first step, and thread_teardown(),
 * which begins after every thread's last one. Sizes are uniform between the two.
 */
void shared_slots_fill(struct worker *w, struct shared_slots *s, uint64_t size_min_bytes,
		       uint64_t size_max_bytes);
void shared_slots_drain(struct worker *w, struct shared_slots *s);

/* An address that does not fit into a slot: ends the cell. */
void shared_slots_fail(const struct worker *w, const void *block)
	__attribute__((noreturn, cold));

static KMEM_ALWAYS_INLINE uint64_t shared_slots_pack(const struct worker *w,
						     const void *block, size_t size)
{
	uintptr_t address = (uintptr_t)block;

	if (KMEM_UNLIKELY((address & ~(((uintptr_t)1 << 48) - 8)) != 0))
		shared_slots_fail(w, block);
	return ((uint64_t)address >> 3) << SHARED_SLOTS_TAG_BITS |
	       (uint64_t)size << SHARED_SLOTS_OWNER_BITS |
	       (w->index & ((1u << SHARED_SLOTS_OWNER_BITS) - 1));
}

static KMEM_ALWAYS_INLINE void *shared_slots_block(uint64_t packed)
{
	return (void *)(uintptr_t)(packed >> SHARED_SLOTS_TAG_BITS << 3);
}

static KMEM_ALWAYS_INLINE size_t shared_slots_size(uint64_t packed)
{
	return (size_t)(packed >> SHARED_SLOTS_OWNER_BITS & SHARED_SLOTS_SIZE_MAX);
}

static KMEM_ALWAYS_INLINE bool shared_slots_remote(const struct worker *w,
						   uint64_t packed)
{
	return ((packed ^ w->index) & ((1u << SHARED_SLOTS_OWNER_BITS) - 1)) != 0;
}

/*
 * Leaves block in the slot and returns what was there, packed. The acquire is for the
 * block that arrives (its content was written by its owner), the release for the one
 * that is left.
 */
static KMEM_ALWAYS_INLINE uint64_t shared_slots_exchange(struct shared_slots *s,
							 uint64_t slot, uint64_t packed)
{
	return atomic_exchange_explicit(&s->slot[slot], packed, memory_order_acq_rel);
}

#endif /* KMEMBENCH_SHARED_SLOTS_FAST_H */
