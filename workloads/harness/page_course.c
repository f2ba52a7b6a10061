/* SPDX-License-Identifier: MIT */
#include "workloads/harness/page_course.h"

#include <math.h>
#include <stdio.h>

static double huge_share(const struct free_blocks *b)
{
	return 1 - free_blocks_unusable(b, FREE_BLOCKS_HUGE_ORDER);
}

void page_course_read(const struct workload_run *run, double *values)
{
	struct free_blocks b;

	free_blocks_read(run->allocator, &b);
	values[0] = b.known ? free_blocks_pages(&b, 0) : NAN;
	values[1] = b.known ? huge_share(&b) : NAN;
	values[2] = b.known ? free_blocks_unusable(&b, 3) : NAN;
	values[3] = b.known ? free_blocks_unusable(&b, 6) : NAN;
	if (!b.known ||
	    !free_blocks_fragmentation(&b, FREE_BLOCKS_HUGE_ORDER, &values[4]))
		values[4] = NAN;
}

void page_report_free(const struct free_blocks *b, workload_report_fn fn, void *arg)
{
	double index;

	if (!b->known)
		return;
	fn("free_in_huge_blocks_ratio", huge_share(b), arg);
	for (unsigned int order = 1; order < MAX_ORDER; order++) {
		char name[40];

		snprintf(name, sizeof(name), "unusable_index_order%u_ratio", order);
		fn(name, free_blocks_unusable(b, order), arg);
	}
	if (free_blocks_fragmentation(b, FREE_BLOCKS_HUGE_ORDER, &index))
		fn("fragmentation_index_order9_ratio", index, arg);
}
