/* SPDX-License-Identifier: MIT */
/*
 * Fragmentation of free memory for the page workloads: over time, as columns of the
 * memory pass's time line, and as figures of an entry. What the indices are stands in
 * free_blocks.h. An allocator that does not tell its free blocks has neither.
 */
#ifndef KMEMBENCH_PAGE_COURSE_H
#define KMEMBENCH_PAGE_COURSE_H

#include "workloads/harness/free_blocks.h"

/* For workload_ops.course, with page_course_read(). HIGHMEM is left out. */
#define PAGE_COURSE                                                                   \
	{                                                                             \
		"free_pages", "free_in_huge_blocks_ratio",                            \
			"unusable_index_order3_ratio", "unusable_index_order6_ratio", \
			"fragmentation_index_order9_ratio"                            \
	}

void page_course_read(const struct workload_run *run, double *values);

/*
 * For workload_ops.report: free_in_huge_blocks_ratio, unusable_index_orderN_ratio of N
 * from 1 to 10 and, where no block of 2 MiB is free, fragmentation_index_order9_ratio.
 */
void page_report_free(const struct free_blocks *b, workload_report_fn fn, void *arg);

#endif /* KMEMBENCH_PAGE_COURSE_H */
