/* SPDX-License-Identifier: MIT */
/*
 * A schedule drawn from a model: births and deaths of one thread, in a circle.
 *
 * THEORY. The model is a Markov process: births at rate 1 (the thread's own clock),
 * of cell i with probability weight_i; each of the n_i live blocks of cell i dies at rate
 * 1 / life_i. So the next event is a birth with probability 1 / (1 + H), H = sum of
 * n_i / life_i; else a death, in cell i with probability n_i / life_i / H, of any of
 * its blocks alike. A tree over the cells holds the rates (weighted_tree.h). The process
 * starts in its stationary state: n_i is Poisson with mean weight_i * life_i, so there
 * is no warm-up.
 *
 * The circle. After the last birth the schedule starts again, so it must end with the
 * blocks with which it began. A block that lived at the start and died is made one
 * with a block of the same cell that was born later and lives at the end: same slot,
 * same size. What is left over, some sqrt(n_i), dies or is born at the seam. Blocks that
 * live all the while are never touched.
 */
#ifndef KMEMBENCH_EMPIRICAL_PLAN_H
#define KMEMBENCH_EMPIRICAL_PLAN_H

#include "workloads/harness/load_model.h"

/* In place of a size, which is 1 .. LOAD_SIZE_MAX. */
#define EMPIRICAL_FREE 0u
#define EMPIRICAL_HAND UINT32_MAX /* to another thread, which frees it */

struct empirical_event {
	uint32_t slot;
	uint32_t size; /* of the allocation, or one of the two above */
};

struct empirical_plan {
	uint32_t initial; /* slots 0 .. initial - 1 have blocks at the start, */
	uint32_t *size;	  /* of these sizes */
	uint32_t slots;
	uint32_t count;
	struct empirical_event *events;
	uint32_t events_room;
};

/* 0, or -E2BIG with a text when more blocks would live than a schedule can have. */
int empirical_plan_check(const struct load_model *model);

/*
 * From arenas. births: of the schedule. threads: of the run; with one thread nothing
 * is handed over. Lifetimes in the thread's own births are the model's divided by
 * model->threads. 0 or -E2BIG, as above.
 */
int empirical_plan_new(const struct load_model *model, uint32_t births,
		       unsigned int threads, struct rng *rng,
		       struct empirical_plan *plan);
void empirical_plan_delete(struct empirical_plan *plan);

#endif /* KMEMBENCH_EMPIRICAL_PLAN_H */
