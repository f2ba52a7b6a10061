/* SPDX-License-Identifier: MIT */
/*
 * The table of metrics: what each figure of a result entry is.
 *
 * R(t) is the resident memory of the cell's process less the harness's own (pages of
 * shared memory once, mapped or not: memory_usage.h), L(t) the bytes that were asked for
 * and not yet freed, U(t) their usable bytes.
 */
#include "bench/metrics.h"

#include <errno.h>
#include <string.h>

#include <kmem/error.h>
#include <kmem/options.h>

#define LATENCY(op_, suffix_, definition_)                                     \
	{                                                                      \
		"latency_" op_ "_ns_" suffix_, "ns", METRIC_LOWER, definition_ \
	}

/* Rows leave out the flag that few of them have. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
static const struct metric metrics[] = {
	{"real_time", "ns", METRIC_LOWER,
	 "wall time of one operation, as one thread sees it: a thread's time divided by its "
	 "operations, no clock read inside; of a whole program, from start to end"},
	{"cpu_time", "ns", METRIC_LOWER,
	 "CPU time of all threads together, divided by the operations of all of them; of a "
	 "whole program, with all processes it starts"},
	{"items_per_second", "1/s", METRIC_HIGHER,
	 "operations of all threads together in a second of wall time"},
	{"iterations", "1", METRIC_NEITHER, "operations that the figures above rest on"},

	LATENCY("alloc", "p50",
		"median time of one allocation; the clock's own cost is subtracted"),
	LATENCY("alloc", "p90", "90 of 100 allocations took at most this long"),
	LATENCY("alloc", "p99", "99 of 100 allocations took at most this long"),
	LATENCY("alloc", "p99_9", "999 of 1,000 allocations took at most this long"),
	LATENCY("alloc", "p99_99", "9,999 of 10,000 allocations took at most this long"),
	LATENCY("alloc", "max",
		"longest allocation; on a shared machine mostly the machine's: see the floors'"),
	LATENCY("free", "p50",
		"median time of one free; the clock's own cost is subtracted"),
	LATENCY("free", "p90", "90 of 100 frees took at most this long"),
	LATENCY("free", "p99", "99 of 100 frees took at most this long"),
	LATENCY("free", "p99_9", "999 of 1,000 frees took at most this long"),
	LATENCY("free", "p99_99", "9,999 of 10,000 frees took at most this long"),
	LATENCY("free", "max",
		"longest free; on a shared machine mostly the machine's: see the floors'"),

	{"rss_bytes_peak", "B", METRIC_LOWER,
	 "highest resident memory while the workload ran, less that before the first "
	 "allocation: max R; of a whole program, all of the largest process, or of all of its "
	 "processes at one moment where that is more, shared pages once"},
	{"rss_bytes_live", "B", METRIC_LOWER,
	 "resident memory at the end of the work, blocks still live, less that before: R"},
	{"rss_bytes_final", "B", METRIC_LOWER,
	 "resident memory after every block was freed, less that before: what is kept"},
	{"live_bytes_max", "B", METRIC_NEITHER,
	 "most bytes asked for and live at once: max L, the workload's own"},

	LATENCY("service", "p50",
		"median time of one request (open-loop), from when it was begun"),
	LATENCY("service", "p90", "90 of 100 requests were served in at most this time"),
	LATENCY("service", "p99", "99 of 100 requests were served in at most this time"),
	LATENCY("service", "p99_9",
		"999 of 1,000 requests were served in at most this time"),
	LATENCY("service", "p99_99",
		"9,999 of 10,000 requests were served in at most this time"),
	LATENCY("service", "max", "longest time in which a request was served"),
	LATENCY("response", "p50",
		"median time of one request (open-loop), from when it was due: the wait for "
		"those before it included"),
	LATENCY("response", "p90",
		"90 of 100 requests were answered this soon after due"),
	LATENCY("response", "p99",
		"99 of 100 requests were answered this soon after due"),
	LATENCY("response", "p99_9",
		"999 of 1,000 requests were answered this soon after due"),
	LATENCY("response", "p99_99",
		"9,999 of 10,000 requests were answered this soon after due"),
	LATENCY("response", "max", "longest time from when a request was due"),

	{"internal_fragmentation", "B/B", METRIC_LOWER,
	 "(U - L) / U, of means over the time of the memory pass's work: share of the usable "
	 "bytes of live blocks that nobody asked for; U as usable_size() has it"},
	{"external_fragmentation", "B/B", METRIC_LOWER,
	 "(R - U) / R, of means over the time of the memory pass's work: share of resident "
	 "memory that is no live block, free blocks and the allocator's own; a proxy, and "
	 "below 0 where blocks are not touched"},
	{"realised_fragmentation", "B/B", METRIC_LOWER,
	 "(R - L) / R when the memory pass ends, idle time included, before the last blocks "
	 "are freed: what a drained heap keeps beyond its live bytes"},
	{"space_ratio", "B/B", METRIC_LOWER,
	 "max R / max L of the memory pass: memory needed for each byte asked for; max R is "
	 "the highest sample, or the kernel's high-water mark where that is higher"},
	{"blow_up", "B/B", METRIC_LOWER,
	 "max R with several threads / max R of the same cell and block with one; at best 1 "
	 "where threads share the work (threadtest), their number where each has its own"},
	{"mappings_max", "mappings", METRIC_LOWER,
	 "most memory mappings of the process in the memory pass, the program's own "
	 "included; the system allows vm.max_map_count"},
	{"rss_bytes_idle_0_1s", "B", METRIC_LOWER,
	 "resident memory 0.1 s after the last step, blocks still live, nothing called"},
	{"rss_bytes_idle_1s", "B", METRIC_LOWER, "the same after 1 s"},
	{"rss_bytes_idle_5s", "B", METRIC_LOWER, "the same after 5 s"},

	{"replay_events_verified", "1", METRIC_NEITHER,
	 "events of probed passes whose counts were those of the trace, thread by thread"},
	{"trace_live_bytes_max", "B", METRIC_NEITHER,
	 "most bytes live at once in the recorded program"},
	{"model_live_bytes_mean", "B", METRIC_NEITHER,
	 "bytes that live on average by the model that 'empirical' follows"},
	{"handovers", "1", METRIC_NEITHER,
	 "blocks that 'empirical' gave to another thread to free, in all passes"},

	{"free_in_huge_blocks_ratio", "pages/page", METRIC_HIGHER,
	 "share of a page allocator's free memory that lies in whole blocks of 2 MiB when a "
	 "pass of page-frag or page-random has ended, blocks still live; HIGHMEM left out"},
	{"free_in_huge_blocks_unaged_ratio", "pages/page", METRIC_NEITHER,
	 "the same before page-frag replaces anything: the workload's own"},
	{"unusable_index_order3_ratio", "pages/page", METRIC_LOWER,
	 "share of free memory in blocks too small for order 3 (unusable free space index); "
	 "results have it for orders 1 to 10"},
	{"unusable_index_order9_ratio", "pages/page", METRIC_LOWER,
	 "the same for order 9, 2 MiB"},
	{"fragmentation_index_order9_ratio", "1/1", METRIC_LOWER,
	 "towards 1 a request of order 9 would fail for fragmentation, towards 0 for lack of "
	 "memory; absent where a block suits"},
	{"pages_read", "pages", METRIC_NEITHER,
	 "pages that reclaim read in all passes: what the next three are divided by"},
	{"kswapd_pages", "pages", METRIC_NEITHER,
	 "pages that kswapd took back, in all passes"},
	{"direct_pages", "pages", METRIC_LOWER,
	 "pages that requests had to take back themselves, in all passes"},
	{"alloc_stalls", "stalls", METRIC_LOWER, "requests that did so, in all passes"},
	{"modelled_l1_misses_per_touch", "1/op", METRIC_LOWER,
	 "misses of a model of this machine's first data cache, at each touch of colour"},
	{"modelled_l1_sets_used_count", "sets", METRIC_HIGHER,
	 "sets of that cache that colour's objects lie in"},
	{"cache_colours", "colours", METRIC_NEITHER,
	 "starts of a slab that colour's cache has: with one there is nothing to colour"},
	{"kmap_maps_per_op", "1/op", METRIC_LOWER,
	 "share of the operations of kmap for which the system had to map the page"},
	{"kmap_flushes_count", "1", METRIC_LOWER,
	 "times that unused slots of kmap's window were unmapped together, in all passes"},
	{"kmap_waits_count", "1", METRIC_LOWER,
	 "times that a caller of kmap slept for a slot, in all passes"},

	{"fallback_in", "pages/page", METRIC_LOWER,
	 "numa_miss / (numa_hit + numa_miss): share of the pages that were served by a node "
	 "that was not preferred; of all nodes of libkmem's together, where there are several"},
	{"fallback_out", "pages/page", METRIC_LOWER,
	 "numa_foreign / (numa_hit + numa_foreign): share of a node's requests that others "
	 "served; over all nodes the same as fallback_in, node by node not (results have both)"},
	{"locality", "pages/page", METRIC_HIGHER,
	 "local_node / (local_node + other_node): share of the pages that lie on the node "
	 "that the requesting thread ran on"},

	LATENCY("preferred", "p50",
		"numa-fallback: median time of a request that the node served which it was "
		"meant for"),
	LATENCY("preferred", "p99", "99 of 100 of these took at most this long"),
	LATENCY("preferred", "p99_9", "999 of 1,000 of these took at most this long"),
	LATENCY("fallback", "p50",
		"numa-fallback: median time of a request that another node served"),
	LATENCY("fallback", "p99", "99 of 100 of these took at most this long"),
	LATENCY("fallback", "p99_9", "999 of 1,000 of these took at most this long"),
	{"fallback_first_ns", "ns", METRIC_LOWER,
	 "numa-fallback: time of the request with which it begins, mean over fills"},
	{"fallback_blocks_ratio", "blocks/block", METRIC_NEITHER,
	 "numa-fallback: share of a fill's blocks that lie on another node than they were "
	 "asked for: as far as it was filled, the workload's own"},
	{"fallback_from_ratio", "B/B", METRIC_HIGHER,
	 "numa-fallback: part of the preferred node's memory that had been served when the "
	 "first block lay elsewhere"},
	{"failed_from_ratio", "B/B", METRIC_HIGHER,
	 "numa-fallback: memory served when a request failed, as a part of the preferred "
	 "node's; with four equal nodes 4 would be all of it"},
	{"returned_ratio", "blocks/block", METRIC_HIGHER,
	 "numa-fallback: of the requests after half of the preferred node was freed, the "
	 "share that it served"},
	{"producer_local_ratio", "blocks/block", METRIC_HIGHER,
	 "numa-pass: share of the producers' blocks that lie on the producers' node"},
	{"consumer_local_ratio", "blocks/block", METRIC_HIGHER,
	 "numa-pass: share of the consumers' own blocks that lie on their node: what they "
	 "freed for others must not be among them"},
	{"home_ratio", "blocks/block", METRIC_HIGHER,
	 "numa-pass: share of the producers' blocks, but for the first ones, that had been "
	 "theirs before: memory freed on another node that has gone home"},
	LATENCY("touch", "p50",
		"numa-pass: median time of the consumer's touch of a block by the touch rule"),
	LATENCY("touch", "p99", "99 of 100 touches took at most this long"),
	LATENCY("own", "p50",
		"numa-pass: median time of a consumer's allocation for itself"),
	LATENCY("own", "p99", "99 of 100 of these took at most this long"),

	{"page_faults", "1", METRIC_LOWER,
	 "page faults of all threads in the timed region, a total: divide by iterations"},
	{"context_switches", "1", METRIC_LOWER,
	 "times a thread left its CPU in the timed region"},
	{"cpu_migrations", "1", METRIC_LOWER,
	 "times a thread went to another CPU in the timed region: 0 while threads are pinned"},
	{"cycles", "1", METRIC_LOWER,
	 "processor cycles of all threads in the timed region"},
	{"instructions", "1", METRIC_LOWER,
	 "instructions retired by all threads in the timed region"},
	{"branch_misses", "1", METRIC_LOWER, "mispredicted branches in the timed region"},
	{"l1d_misses", "1", METRIC_LOWER, "loads that missed the first data cache"},
	{"llc_misses", "1", METRIC_LOWER, "loads that missed the last cache"},
	{"dtlb_misses", "1", METRIC_LOWER, "loads that missed the data TLB"},

	{"instructions_per_op", "1/op", METRIC_LOWER,
	 "instructions of one operation, harness included, counted by callgrind: run "
	 "--icount",
	 true},
	{"l1d_misses_modelled_per_op", "1/op", METRIC_LOWER,
	 "data accesses of one operation that miss the first cache of callgrind's model",
	 true},
	{"ll_misses_modelled_per_op", "1/op", METRIC_LOWER,
	 "data accesses of one operation that miss the last cache of callgrind's model",
	 true},
};

bool metric_is_total(const char *name)
{
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(metrics); i++) {
		if (strcmp(metrics[i].name, name) == 0)
			return metrics[i].better == METRIC_LOWER &&
			       strcmp(metrics[i].unit, "1") == 0;
	}
	return false;
}

const struct metric *metric_at(size_t index)
{
	return index < KMEM_ARRAY_SIZE(metrics) ? &metrics[index] : NULL;
}

const struct metric *metric_find(const char *name)
{
	const char *names[KMEM_ARRAY_SIZE(metrics)];
	const char *nearest;

	for (size_t i = 0; i < KMEM_ARRAY_SIZE(metrics); i++) {
		if (strcmp(metrics[i].name, name) == 0)
			return &metrics[i];
		names[i] = metrics[i].name;
	}
	nearest = kmem_nearest_name(name, names, KMEM_ARRAY_SIZE(metrics));
	if (nearest != NULL)
		kmem_error(-EINVAL, "unknown metric '%s': did you mean '%s'?", name,
			   nearest);
	else
		kmem_error(-EINVAL,
			   "unknown metric '%s': 'kmembench list metrics' has them all",
			   name);
	return NULL;
}

const char *metric_better_name(enum metric_better better)
{
	static const char *const names[] = {"lower", "higher", "neither"};

	return names[better];
}
