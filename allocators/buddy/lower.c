/* SPDX-License-Identifier: MIT */
/*
 * The lower level: free pages of a zone (credit.c: how many they are).
 *
 * Two forms: `lists`, the classical free areas of the kernel under the zone's lock
 * (free_area.c), and `rows`, a bitmap without a lock (rows.c). They are told
 * apart here, once per batch of blocks, so that nothing above knows the
 * difference.
 */
#include "allocators/buddy/rows_internal.h"

size_t zone_take_blocks(struct zone *zone, unsigned int kind, unsigned long mark,
			size_t n, struct page **out)
{
	size_t got = buddy.rows ? rows_take(zone, kind, mark, n, out)
				: area_take_blocks(zone, kind_order(kind), mark, n, out);

	if (KMEM_UNLIKELY(atomic_load_explicit(&phys_collapses, memory_order_relaxed))) {
		for (size_t i = 0; i < got; i++)
			phys_collapse_frames((unsigned long)(out[i] - buddy.mem_map),
					     1UL << kind_order(kind));
	}
	return got;
}

void zone_free_blocks(struct zone *zone, unsigned int order, size_t n,
		      struct page **blocks)
{
	if (buddy.rows)
		rows_free(zone, order, n, blocks);
	else
		area_free_blocks(zone, order, n, blocks);
}

/* Lists know nothing of a block that is in use, rows only which pages. */
void zone_split_block(struct zone *zone, struct page *page, unsigned int order)
{
	if (buddy.rows && order >= GROUP_ORDER)
		rows_split(zone, page, order);
}

int zones_init_free(void)
{
	if (buddy.rows)
		return rows_init();
	for_each_zone (zone) {
		if (zone_present(zone))
			area_init_free(zone);
	}
	return 0;
}

void zones_exit_free(void)
{
	if (buddy.rows)
		rows_exit();
}

void zone_count_blocks(struct zone *zone, unsigned long *blocks)
{
	if (buddy.rows) {
		rows_count(zone, blocks);
		return;
	}
	spin_lock(&zone->lock);
	for (unsigned int order = 0; order < MAX_ORDER; order++)
		blocks[order] = zone->free_area[order].nr_free;
	spin_unlock(&zone->lock);
}

unsigned int zone_page_kind(const struct zone *zone, const struct page *page,
			    unsigned int order)
{
	unsigned long at = (unsigned long)(page - buddy.mem_map) - zone->start_pfn;

	if (KMEM_LIKELY(!buddy.mobility))
		return order;
	return kind_of(order, atomic_load_explicit(&zone->rows.type[at >> GROUP_ORDER],
						   memory_order_relaxed));
}

bool zone_page_free(struct zone *zone, unsigned long pfn)
{
	return buddy.rows ? rows_page_free(zone, pfn) : area_page_free(zone, pfn);
}
