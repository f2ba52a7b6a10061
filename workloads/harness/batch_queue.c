/* SPDX-License-Identifier: MIT */
#include "workloads/harness/batch_queue.h"

#include <stdatomic.h>
#include <string.h>

#include "workloads/harness/arena.h"
#include "workloads/harness/wait_fast.h"

struct batch_cell {
	_Atomic uint64_t turn;
	void *block[];
};

/* The two counters are written by different threads: a line each. */
struct batch_queue {
	KMEM_CACHELINE_ALIGNED _Atomic uint64_t pushed;
	KMEM_CACHELINE_ALIGNED _Atomic uint64_t popped;
	KMEM_CACHELINE_ALIGNED uint64_t cells; /* this and below: constant */
	uint64_t batch;
	size_t cell_bytes;
	size_t total_bytes;
	char ring[] KMEM_CACHELINE_ALIGNED;
};

static struct batch_cell *batch_queue_cell(struct batch_queue *q, uint64_t ticket)
{
	return (struct batch_cell *)(void *)(q->ring +
					     (ticket & (q->cells - 1)) * q->cell_bytes);
}

struct batch_queue *batch_queue_new(uint64_t cells, uint64_t batch)
{
	size_t cell_bytes =
		KMEM_ALIGN_UP(sizeof(struct batch_cell) + batch * sizeof(void *),
			      (size_t)KMEM_CACHELINE);
	size_t total_bytes = sizeof(struct batch_queue) + cells * cell_bytes;
	struct batch_queue *q = arena_alloc(total_bytes);

	q->cells = cells;
	q->batch = batch;
	q->cell_bytes = cell_bytes;
	q->total_bytes = total_bytes;
	for (uint64_t i = 0; i < cells; i++)
		atomic_init(&batch_queue_cell(q, i)->turn, i);
	return q;
}

void batch_queue_delete(struct batch_queue *q)
{
	if (q != NULL)
		arena_free(q, q->total_bytes);
}

static void batch_cell_wait(struct batch_cell *cell, uint64_t turn)
{
	unsigned int turns = 0;

	while (atomic_load_explicit(&cell->turn, memory_order_acquire) != turn)
		wait_pause(&turns);
}

void batch_queue_push(struct batch_queue *q, void *const *blocks)
{
	uint64_t ticket = atomic_fetch_add_explicit(&q->pushed, 1, memory_order_relaxed);
	struct batch_cell *cell = batch_queue_cell(q, ticket);

	batch_cell_wait(cell, ticket);
	memcpy(cell->block, blocks, q->batch * sizeof(void *));
	atomic_store_explicit(&cell->turn, ticket + 1, memory_order_release);
}

void batch_queue_pop(struct batch_queue *q, void **blocks)
{
	uint64_t ticket = atomic_fetch_add_explicit(&q->popped, 1, memory_order_relaxed);
	struct batch_cell *cell = batch_queue_cell(q, ticket);

	batch_cell_wait(cell, ticket + 1);
	memcpy(blocks, cell->block, q->batch * sizeof(void *));
	atomic_store_explicit(&cell->turn, ticket + q->cells, memory_order_release);
}

uint64_t batch_queue_length(struct batch_queue *q)
{
	return atomic_load_explicit(&q->pushed, memory_order_relaxed) -
	       atomic_load_explicit(&q->popped, memory_order_relaxed);
}
