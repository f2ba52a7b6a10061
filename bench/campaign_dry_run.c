/* SPDX-License-Identifier: MIT */
/* What would run, and how long it would take. */
#include <stdio.h>

#include "bench/campaign.h"

/* Starting a process, warming it up, and writing its entry, on the machine at hand. */
#define CELL_OVERHEAD_S 0.03

bool campaign_in_shard(const struct plan *plan, const struct campaign_options *options,
		       size_t cell)
{
	/* Whole groups: what will be compared stays in one shard. */
	return options->shards == 0 ||
	       plan->cells[cell].group % options->shards == options->shard - 1;
}

static void print_duration(double s)
{
	if (s < 120)
		printf("%.0f s", s);
	else
		printf("%.0f min", s / 60);
}

static double cell_s(const struct plan *plan, const struct plan_cell *cell)
{
	double memory_s = plan_cell_memory_time_s(plan, cell);

	if (memory_s > 0)
		memory_s += cell->idle_s;
	return plan_time_s(plan) + plan_latency_time_s(plan) + memory_s + CELL_OVERHEAD_S;
}

void campaign_dry_run(const struct plan *plan, const struct campaign_options *options)
{
	double block_s = 0;
	size_t cells = 0;

	for (size_t i = 0; i < plan->count; i++) {
		if (!campaign_in_shard(plan, options, i))
			continue;
		puts(plan->cells[i].key);
		block_s += cell_s(plan, &plan->cells[i]);
		cells++;
	}
	printf("%zu cell%s, ", cells, cells == 1 ? "" : "s");
	if (plan->reps != 0) {
		printf("%u block%s of %s, about ", plan->reps, plan->reps == 1 ? "" : "s",
		       cells == 1 ? "it" : "them");
		print_duration(plan->reps * block_s);
	} else {
		printf("%u to %u blocks of %s, until ratios are known to %g %%: about ",
		       PLAN_BLOCKS_FIRST, PLAN_BLOCKS_MAX, cells == 1 ? "it" : "them",
		       plan->precision_pct);
		print_duration(PLAN_BLOCKS_FIRST * block_s);
		printf(" to ");
		print_duration(PLAN_BLOCKS_MAX * block_s);
	}
	putchar('\n');
}
