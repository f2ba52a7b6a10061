/* SPDX-License-Identifier: MIT */
/*
 * When a group has enough blocks.
 *
 * The rule looks at the width of the intervals alone, never at what they say: to stop
 * as soon as a difference is significant would find one in 12 to 16 % of comparisons
 * of an allocator with itself. Ten blocks come first, then five at a time.
 */
#include <math.h>
#include <string.h>

#include "bench/campaign_internal.h"
#include "bench/compare.h"
#include "bench/slices.h"
#include "bench/stats.h"

/* log(cell / reference) in one block; false when the block has no figures of both. */
static bool block_log_ratio(const json_t *entry, const json_t *reference, double *out)
{
	double own, other;

	if (entry == NULL || reference == NULL)
		return false;
	if (slices_compare(entry, reference, reference, out))
		return true;
	own = json_number_value(json_object_get(entry, "real_time"));
	other = json_number_value(json_object_get(reference, "real_time"));
	*out = log(own / other);
	return own > 0 && other > 0;
}

double campaign_half_width_pct(const struct campaign *c, size_t cell, unsigned int blocks)
{
	size_t reference = plan_reference(c->plan, c->plan->cells[cell].group), n = 0;
	struct stats_interval interval;
	double ratio[PLAN_BLOCKS_MAX];

	if (cell == reference || c->failed[cell] || c->failed[reference])
		return 0;
	for (unsigned int b = 0; b < blocks && n < PLAN_BLOCKS_MAX; b++) {
		if (block_log_ratio(*campaign_slot(c, cell, b),
				    *campaign_slot(c, reference, b), &ratio[n]))
			n++;
	}
	if (n == 0 ||
	    stats_hodges_lehmann(ratio, n, COMPARE_CONFIDENCE, &interval) != 0 ||
	    !interval.bounded)
		return INFINITY;
	return 100 * expm1((interval.high - interval.low) / 2);
}

bool campaign_precise(const struct campaign *c, unsigned int group, unsigned int blocks)
{
	for (size_t i = 0; i < c->plan->count; i++) {
		if (c->plan->cells[i].group == group &&
		    campaign_half_width_pct(c, i, blocks) > c->plan->precision_pct)
			return false;
	}
	return true;
}
