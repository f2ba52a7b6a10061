/* SPDX-License-Identifier: MIT */
#include "workloads/harness/script_fast.h"

#include <string.h>

#include "workloads/harness/arena.h"

struct script *script_new(uint64_t blocks_max)
{
	size_t events = 2 * blocks_max * sizeof(struct script_event);
	size_t blocks = blocks_max * sizeof(void *);
	size_t bytes = sizeof(struct script) + events + blocks +
		       blocks_max * sizeof(uint32_t);
	struct script *s;

	if (blocks_max > SCRIPT_BLOCKS_MAX)
		worker_fail(NULL, "a cycle of %llu blocks is too long: %u are the most",
			    (unsigned long long)blocks_max, SCRIPT_BLOCKS_MAX);
	s = arena_alloc(bytes);
	s->bytes = bytes;
	s->slots_max = (uint32_t)blocks_max;
	s->event = (struct script_event *)(s + 1);
	s->block = (void **)(s->event + 2 * blocks_max);
	s->size = (uint32_t *)(s->block + blocks_max);
	return s;
}

/* Which blocks live after the first `next` events, by their sizes in s->size[]. */
static void script_rewind(struct script *s)
{
	memset(s->size, 0, s->n_slots * sizeof(s->size[0]));
	for (uint32_t i = 0; i < s->next; i++) {
		const struct script_event *e = &s->event[i];

		s->size[e->slot] = e->size & SCRIPT_FREE ? 0 : e->size;
	}
}

void script_delete(struct worker *w, struct script *s)
{
	if (s == NULL)
		return;
	script_rewind(s);
	for (uint32_t slot = 0; slot < s->n_slots; slot++)
		if (s->size[slot] != 0)
			worker_free_untimed(w, s->block[slot], s->size[slot]);
	arena_free(s, s->bytes);
}

uint32_t script_alloc(struct script *s, size_t size)
{
	uint32_t slot = s->n_slots;

	if (slot == s->slots_max || size == 0 || size > SCRIPT_SIZE_MAX_BYTES)
		worker_fail(NULL,
			    "a script with room for %u blocks cannot take block %u of "
			    "%zu bytes: a fault of the workload",
			    s->slots_max, slot, size);
	s->n_slots++;
	s->size[slot] = (uint32_t)size;
	s->event[s->n_events++] = (struct script_event){slot, (uint32_t)size};
	s->live_bytes += size;
	if (s->live_bytes > s->live_bytes_max)
		s->live_bytes_max = s->live_bytes;
	return slot;
}

void script_free(struct script *s, uint32_t slot)
{
	if (slot >= s->n_slots || s->size[slot] == 0)
		worker_fail(
			NULL,
			"a script cannot free block %u, which is not live: a fault of "
			"the workload",
			slot);
	s->event[s->n_events++] = (struct script_event){slot,
							s->size[slot] | SCRIPT_FREE};
	s->live_bytes -= s->size[slot];
	s->size[slot] = 0;
}

void script_drain(struct script *s)
{
	s->drain_at = s->n_events;
	for (uint32_t slot = 0; slot < s->n_slots; slot++)
		if (s->size[slot] != 0)
			script_free(s, slot);
}
