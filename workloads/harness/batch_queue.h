/* SPDX-License-Identifier: MIT */
/*
 * A bounded queue of batches of pointers, for any number of producers and
 * consumers.
 *
 * THEORY. A ring of cells, each with a turn number (after D. Vyukov's bounded
 * queue, 2010). Whoever comes takes a ticket by one atomic addition, which names
 * both the cell (ticket modulo the ring) and the turn to wait for:
 *
 *   turn == ticket          the cell is empty, its producer may fill it
 *   turn == ticket + 1      it is full, its consumer may empty it
 *   turn == ticket + cells  it is empty again, one lap later
 *
 * A ticket is never handed back, so a caller always waits until its turn comes:
 * every batch pushed must be popped by somebody. Batches are copied in and out;
 * a one-by-one ring was found to be bistable (10 or 100 ns a block, by phase),
 * a batch pays for the hand-over once.
 */
#ifndef KMEMBENCH_BATCH_QUEUE_H
#define KMEMBENCH_BATCH_QUEUE_H

#include <kmem/compiler.h>

struct batch_queue;

/* cells: a power of two, at least 2; batch: pointers in each. From an arena: never fails.
 */
struct batch_queue *batch_queue_new(uint64_t cells, uint64_t batch);
void batch_queue_delete(struct batch_queue *q);

/* Copy one batch in or out; wait while the queue is full or empty. */
void batch_queue_push(struct batch_queue *q, void *const *blocks);
void batch_queue_pop(struct batch_queue *q, void **blocks);

/* Batches pushed and not popped; exact only when nobody is calling. */
uint64_t batch_queue_length(struct batch_queue *q);

#endif /* KMEMBENCH_BATCH_QUEUE_H */
