/* SPDX-License-Identifier: MIT */
#include "workloads/harness/shared_slots_fast.h"

#include <errno.h>
#include <inttypes.h>

#include <kmem/error.h>

#include "workloads/harness/arena.h"

_Static_assert(45 + SHARED_SLOTS_TAG_BITS == 64, "address, size and owner fill a word");

int shared_slots_check(const struct workload_run *run, uint64_t slots)
{
	if (slots >= run->threads)
		return 0;
	return kmem_error(-EINVAL,
			  "workload '%s' has slots=%" PRIu64
			  " for %u threads: give at least one each",
			  run->workload->name, slots, run->threads);
}

struct shared_slots *shared_slots_new(uint64_t count)
{
	size_t bytes = sizeof(struct shared_slots) + count * sizeof(_Atomic uint64_t);
	struct shared_slots *s = arena_alloc(bytes);

	s->bytes = bytes;
	s->count = count;
	for (uint64_t i = 0; i < count; i++)
		atomic_init(&s->slot[i], 0);
	return s;
}

void shared_slots_delete(struct shared_slots *s)
{
	if (s != NULL)
		arena_free(s, s->bytes);
}

/* The first slot of a thread's share. */
static uint64_t share_begin(const struct worker *w, const struct shared_slots *s,
			    unsigned int index)
{
	return s->count * index / w->run->threads;
}

void shared_slots_fill(struct worker *w, struct shared_slots *s, uint64_t size_min_bytes,
		       uint64_t size_max_bytes)
{
	uint64_t end = share_begin(w, s, w->index + 1);

	for (uint64_t i = share_begin(w, s, w->index); i < end; i++) {
		size_t size = (size_t)rng_between(&w->rng, size_min_bytes,
						  size_max_bytes);
		void *block = worker_alloc_untimed(w, size);

		atomic_store_explicit(&s->slot[i], shared_slots_pack(w, block, size),
				      memory_order_release);
	}
}

void shared_slots_drain(struct worker *w, struct shared_slots *s)
{
	uint64_t end = share_begin(w, s, w->index + 1);

	for (uint64_t i = share_begin(w, s, w->index); i < end; i++) {
		uint64_t packed = shared_slots_exchange(s, i, 0);

		if (packed != 0)
			worker_free_untimed(w, shared_slots_block(packed),
					    shared_slots_size(packed));
	}
}

void shared_slots_fail(const struct worker *w, const void *block)
{
	worker_fail(w,
		    "allocator '%s' returned %p, which is not aligned to 8 bytes or lies "
		    "beyond 48 bits: this workload's slots cannot hold it",
		    w->a->ops->name, block);
}
