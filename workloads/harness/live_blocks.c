/* SPDX-License-Identifier: MIT */
#include "workloads/harness/live_blocks.h"

#include <errno.h>
#include <inttypes.h>

#include <kmem/error.h>

#include "workloads/harness/arena.h"
#include "workloads/harness/page_size.h"

uint64_t live_blocks_per_thread(const struct workload_run *run, uint64_t bytes)
{
	return bytes / run->threads / run->size_bytes;
}

int live_blocks_check(const struct workload_run *run, const char *name, uint64_t bytes,
		      uint64_t least)
{
	int err = page_size_check(run);
	uint64_t n;

	if (err != 0)
		return err;
	n = live_blocks_per_thread(run, bytes);
	if (n >= least && n <= UINT32_MAX)
		return 0;
	return kmem_error(-EINVAL,
			  "workload '%s' has %" PRIu64 " blocks of %" PRIu64
			  " bytes for each of %u threads in %s=%" PRIu64 ": give %" PRIu64
			  " to 2^32 blocks",
			  run->workload->name, n, run->size_bytes, run->threads, name,
			  bytes, least);
}

uint64_t live_blocks_footprint(const struct workload_run *run, uint64_t bytes)
{
	return run->touch == TOUCH_NONE ? bytes / 64 : bytes;
}

static size_t set_bytes(unsigned int threads)
{
	return sizeof(struct live_set) + threads * sizeof(struct live_blocks *);
}

struct live_set *live_set_new(unsigned int threads)
{
	struct live_set *set = arena_alloc(set_bytes(threads));

	set->threads = threads;
	return set;
}

void live_set_delete(struct live_set *set)
{
	arena_free(set, set_bytes(set->threads));
}

static void permute(struct worker *w, struct live_blocks *b)
{
	for (uint32_t i = 0; i < b->n; i++)
		b->order[i] = i;
	rng_shuffle_u32(&w->rng, b->order, b->n);
}

struct live_blocks *live_set_fill(struct live_set *set, struct worker *w, uint32_t n)
{
	size_t bytes = sizeof(struct live_blocks) +
		       (size_t)n * (sizeof(void *) + sizeof(uint32_t));
	struct live_blocks *b = arena_alloc(bytes);

	b->bytes = bytes;
	b->block = (void **)(void *)(b + 1);
	b->order = (uint32_t *)(void *)(b->block + n);
	for (b->n = 0; b->n < n; b->n++)
		b->block[b->n] = worker_alloc_untimed(w, w->run->size_bytes);
	permute(w, b);
	set->of[w->index] = b;
	return b;
}

void live_blocks_thin(struct worker *w, struct live_blocks *b, uint32_t n)
{
	uint32_t to = 0;

	for (uint32_t i = n; i < b->n; i++) {
		void **block = &b->block[b->order[i]];

		worker_free_untimed(w, *block, w->run->size_bytes);
		*block = NULL;
	}
	for (uint32_t i = 0; i < b->n; i++) {
		if (b->block[i] != NULL)
			b->block[to++] = b->block[i];
	}
	b->n = to;
	permute(w, b);
}

void live_set_end(struct live_set *set, struct workload_run *run)
{
	struct allocator *a = run->allocator;

	free_blocks_read(a, &set->after);
	if (a->ops->thread_enter != NULL)
		a->ops->thread_enter(a);
	for (unsigned int t = 0; t < set->threads; t++) {
		struct live_blocks *b = set->of[t];

		if (b == NULL)
			continue;
		for (uint32_t i = 0; i < b->n; i++)
			a->ops->free(a, b->block[i], run->size_bytes);
		arena_free(b, b->bytes);
		set->of[t] = NULL;
	}
	if (a->ops->thread_exit != NULL)
		a->ops->thread_exit(a);
}
