/* SPDX-License-Identifier: MIT */
#include "workloads/harness/slots_fast.h"

#include "workloads/harness/arena.h"

struct slots *slots_new(struct worker *w, uint32_t count,
			uint32_t (*draw)(struct rng *rng, const void *arg),
			const void *arg)
{
	size_t bytes = sizeof(struct slots) + count * sizeof(struct slot);
	struct slots *s = arena_alloc(bytes);

	s->bytes = bytes;
	s->count = count;
	s->slot = (struct slot *)(s + 1);
	for (uint32_t i = 0; i < count; i++) {
		s->slot[i].size = draw(&w->rng, arg);
		s->slot[i].block = worker_alloc_untimed(w, s->slot[i].size);
	}
	for (uint32_t i = 0; i < SLOTS_RING; i++) {
		s->ring[i].slot = (uint32_t)rng_below(&w->rng, count);
		s->ring[i].size = draw(&w->rng, arg);
	}
	return s;
}

void slots_delete(struct worker *w, struct slots *s)
{
	for (uint32_t i = 0; i < s->count; i++)
		worker_free_untimed(w, s->slot[i].block, s->slot[i].size);
	arena_free(s, s->bytes);
}
