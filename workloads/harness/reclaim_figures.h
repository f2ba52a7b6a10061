/* SPDX-License-Identifier: MIT */
/*
 * What a page allocator tells of its reclaim: watermarks and free pages, HIGHMEM left
 * out, since no request for an address can have its pages; pages taken back by kswapd and
 * directly; stalls. An allocator that tells nothing of it has no such figures.
 */
#ifndef KMEMBENCH_RECLAIM_FIGURES_H
#define KMEMBENCH_RECLAIM_FIGURES_H

#include "workloads/workload.h"

/* For workload_ops.course, with reclaim_course_read(). */
#define RECLAIM_COURSE                                                                \
	{                                                                             \
		"free_pages", "pages_min", "pages_low", "pages_high", "kswapd_pages", \
			"direct_pages", "alloc_stalls"                                \
	}

void reclaim_course_read(const struct workload_run *run, double *values);

/* For workload_ops.report: the same at the end, under the same names, the marks as
 * watermark_min_pages, watermark_low_pages and watermark_high_pages. */
void reclaim_report_figures(struct allocator *a, workload_report_fn fn, void *arg);

#endif /* KMEMBENCH_RECLAIM_FIGURES_H */
