/* SPDX-License-Identifier: MIT */
/*
 * Memory back to the system. A free block keeps its frames, which costs resident
 * memory but makes the next use cheap; trimming is the caller's decision. It
 * holds the zone lock over system calls, so allocation from that zone waits.
 */
#include "allocators/buddy/buddy_internal.h"

/* 64 KiB: below that a system call (1 us and more) costs more than the touch of
 * the few pages that it saves. */
#define TRIM_ORDER_MIN 4

unsigned long buddy_trim(void)
{
	unsigned long pages = 0;

	drain_all_pages();
	for_each_zone (zone) {
		spin_lock(&zone->lock);
		for (unsigned int order = TRIM_ORDER_MIN; order < MAX_ORDER; order++) {
			for (struct page *page = zone->free_area[order].first;
			     page != NULL; page = page->lru.next) {
				unsigned long pfn = (unsigned long)(page - buddy.mem_map);

				if (phys_discard_frames(pfn, 1UL << order) == 0)
					pages += 1UL << order;
			}
		}
		spin_unlock(&zone->lock);
	}
	return pages;
}
