/* SPDX-License-Identifier: MIT */
/*
 * Memory back to the system. A free block keeps its frames, which costs resident
 * memory but makes the next use cheap; trimming is the caller's decision, or that of
 * the background thread (kswapd.c), which gives back what has been free for a
 * while. With lists the zone's lock is held over system calls, so allocation from
 * that zone waits; with rows nobody does.
 */
#include "allocators/buddy/rows_internal.h"

unsigned long buddy_trim(void)
{
	unsigned long pages = 0;

	drain_all_pages();
	for_each_zone (zone) {
		if (zone_present(zone))
			pages += buddy.rows ? rows_purge(zone, false) : area_trim(zone);
	}
	return pages;
}
