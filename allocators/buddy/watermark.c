/* SPDX-License-Identifier: MIT */
/*
 * Watermarks, by the rules of Linux 2.6.28 (setup_per_zone_pages_min()).
 *
 * The reserve of all zones together is 4 * sqrt(lowmem in KiB) KiB, between 128
 * KiB and 64 MiB, dealt out to the DMA and NORMAL zones by size: it has to grow
 * with the machine, but by less. A HIGHMEM zone needs next to none, for nothing
 * that cannot wait depends on it: 1/1024 of its pages, 32 to 128. The low mark
 * is a quarter above min, the high mark a half.
 */
#include "allocators/buddy/buddy_internal.h"

#define RESERVE_KIB_MIN 128
#define RESERVE_KIB_MAX 65536

static unsigned long zone_pages(const struct zone *zone)
{
	return zone->end_pfn - zone->start_pfn;
}

static uint64_t integer_sqrt(uint64_t x)
{
	uint64_t root = 0;

	for (uint64_t bit = (uint64_t)1 << 31; bit != 0; bit >>= 1) {
		if ((root + bit) * (root + bit) <= x)
			root += bit;
	}
	return root;
}

static unsigned long reserve_pages(const struct buddy_config *config,
				   unsigned long lowmem)
{
	uint64_t kib;

	if (config->min_free_bytes != 0)
		return (unsigned long)(config->min_free_bytes >> PAGE_SHIFT);
	kib = integer_sqrt((uint64_t)lowmem * (PAGE_SIZE >> 10) * 16);
	if (kib < RESERVE_KIB_MIN)
		kib = RESERVE_KIB_MIN;
	if (kib > RESERVE_KIB_MAX)
		kib = RESERVE_KIB_MAX;
	return (unsigned long)(kib / (PAGE_SIZE >> 10));
}

void watermarks_init(const struct buddy_config *config)
{
	unsigned long lowmem = 0, reserve;

	for_each_zone (zone) {
		if (zone->type != ZONE_HIGHMEM)
			lowmem += zone_pages(zone);
	}
	reserve = reserve_pages(config, lowmem);
	for_each_zone (zone) {
		unsigned long min;

		if (zone->type == ZONE_HIGHMEM) {
			min = zone_pages(zone) / 1024;
			min = min < 32 ? 32 : min > 128 ? 128 : min;
		} else {
			min = (unsigned long)((__uint128_t)reserve * zone_pages(zone) /
					      lowmem);
		}
		zone->pages_min = min;
		zone->pages_low = min + min / 4;
		zone->pages_high = min + min / 2;
	}
}
