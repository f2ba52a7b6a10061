/* SPDX-License-Identifier: MIT */
/* Between campaign.c (outputs), campaign_block.c (runs cells) and campaign_stop.c. */
#ifndef KMEMBENCH_CAMPAIGN_INTERNAL_H
#define KMEMBENCH_CAMPAIGN_INTERNAL_H

#include "bench/campaign.h"
#include "bench/journal.h"
#include "bench/progress.h"

struct campaign {
	struct plan *plan;
	const struct campaign_options *options;
	unsigned int blocks_max;
	json_t **entries;     /* [block * plan->count + cell]; NULL: not done */
	bool *failed;	      /* [cell]: not tried again in later blocks */
	bool *journalled;     /* [block * plan->groups + group]: done before we began */
	unsigned int *target; /* [group]: blocks wanted as far as is known */
	int cpu;	      /* of a cell's first worker; -1: not known */
	struct journal journal;
	struct progress progress;
	json_t *context;
};

/* The place of a cell's entry of a block. */
static inline json_t **campaign_slot(const struct campaign *c, size_t cell,
				     unsigned int block)
{
	return &c->entries[(size_t)block * c->plan->count + cell];
}

/*
 * Runs one block of one group: the cells at `order`, all of that group and in the
 * order in which they take part. Fills the slots of those that have not failed before.
 * False when interrupted: then the block left nothing behind.
 */
bool campaign_run_block(struct campaign *c, const size_t *order, size_t count,
			unsigned int block);

/*
 * After `blocks` blocks of a group, whether it has enough of them: each cell's ratio to
 * the reference is known to plan->precision_pct, or cannot be.
 */
bool campaign_precise(const struct campaign *c, unsigned int group, unsigned int blocks);

/*
 * Half the width of the 95 % interval of a cell's ratio to its group's reference over
 * the first `blocks` blocks, in per cent. Infinite when there are too few blocks; 0
 * for the reference itself and for cells that failed.
 */
double campaign_half_width_pct(const struct campaign *c, size_t cell,
			       unsigned int blocks);

/* The results file's root, complete or not; a new reference. */
json_t *campaign_gather(const struct campaign *c, bool complete);

#endif /* KMEMBENCH_CAMPAIGN_INTERNAL_H */
