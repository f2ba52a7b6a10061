/* SPDX-License-Identifier: MIT */
#include "workloads/harness/reclaim_figures.h"

#include <math.h>
#include <string.h>

#include <kmem/page_alloc.h>

struct report {
	workload_report_fn fn;
	void *arg;
};

/* The allocator's own view, under the kernel's names. */
static void report_stat(const char *name, double value, void *arg)
{
	static const struct {
		const char *stat, *figure;
	} shown[] = {
		{"alloc_stalls", "alloc_stalls"},   {"kswapd_wakes", "kswapd_wakes"},
		{"pageoutrun", "kswapd_runs"},	    {"pgsteal_kswapd", "kswapd_pages"},
		{"pgsteal_direct", "direct_pages"}, {"slabs_scanned", "scanned_pages"},
	};
	const struct report *r = arg;

	for (size_t i = 0; i < KMEM_ARRAY_SIZE(shown); i++) {
		if (strcmp(name, shown[i].stat) == 0)
			r->fn(shown[i].figure, value, r->arg);
	}
}

/* Marks and free pages of the zones that reads take pages from: not HIGHMEM's. False:
 * not this library's page allocator. */
static bool lowmem_stats(const struct allocator *a, struct buddy_stats *sum)
{
	if (strcmp(a->ops->name, "buddy") != 0)
		return false;
	memset(sum, 0, sizeof(*sum));
	for (int zone = 0; zone < MAX_NR_ZONES; zone++) {
		struct buddy_stats one;

		if (zone == ZONE_HIGHMEM)
			continue;
		buddy_stats(NUMA_NO_NODE, zone, &one);
		sum->free_pages += one.free_pages;
		sum->pages_min += one.pages_min;
		sum->pages_low += one.pages_low;
		sum->pages_high += one.pages_high;
	}
	return true;
}

/* Since the start, of the whole allocator. */
struct reclaimed {
	double kswapd_pages, direct_pages, stalls;
};

static void take_reclaimed(const char *name, double value, void *arg)
{
	struct reclaimed *r = arg;

	if (strcmp(name, "pgsteal_kswapd") == 0)
		r->kswapd_pages = value;
	else if (strcmp(name, "pgsteal_direct") == 0)
		r->direct_pages = value;
	else if (strcmp(name, "alloc_stalls") == 0)
		r->stalls = value;
}

void reclaim_course_read(const struct workload_run *run, double *values)
{
	struct reclaimed r = {NAN, NAN, NAN};
	struct buddy_stats s;
	bool known = lowmem_stats(run->allocator, &s);

	values[0] = known ? (double)s.free_pages : NAN;
	values[1] = known ? (double)s.pages_min : NAN;
	values[2] = known ? (double)s.pages_low : NAN;
	values[3] = known ? (double)s.pages_high : NAN;
	if (known)
		run->allocator->ops->stats(run->allocator, take_reclaimed, &r);
	values[4] = r.kswapd_pages;
	values[5] = r.direct_pages;
	values[6] = r.stalls;
}

void reclaim_report_figures(struct allocator *a, workload_report_fn fn, void *arg)
{
	struct report r = {fn, arg};
	struct buddy_stats s;

	if (a->ops->stats != NULL)
		a->ops->stats(a, report_stat, &r);
	if (lowmem_stats(a, &s)) {
		fn("watermark_min_pages", (double)s.pages_min, arg);
		fn("watermark_low_pages", (double)s.pages_low, arg);
		fn("watermark_high_pages", (double)s.pages_high, arg);
	}
}
