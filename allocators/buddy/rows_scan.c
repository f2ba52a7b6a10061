/* SPDX-License-Identifier: MIT */
/* Rows: counting free blocks, checking every invariant, giving memory back. */
#include "allocators/buddy/rows_internal.h"

#include <errno.h>
#include <kmem/error.h>

static uint64_t row_of(const struct rows *rows, unsigned int g, unsigned int r)
{
	return atomic_load_explicit(&rows->row[g * GROUP_ROWS + r], memory_order_relaxed);
}

bool rows_page_free(const struct zone *zone, unsigned long pfn)
{
	unsigned long at = pfn - zone->start_pfn;
	unsigned int g = (unsigned int)(at / GROUP_PAGES);

	if (rows_group_free(&zone->rows, g))
		return true;
	return rows_group_state(&zone->rows, g) != 0 &&
	       (row_of(&zone->rows, g, (unsigned int)(at / ROW_PAGES % GROUP_ROWS)) >>
			(at % ROW_PAGES) &
		1) == 0;
}

/* --- buddyinfo --- */

/* The largest blocks that make up the clear bits, largest first. */
static void count_row(uint64_t taken, unsigned long *blocks)
{
	for (unsigned int order = ROW_ORDER + 1; order-- > 0 && ~taken != 0;) {
		uint64_t starts = row_starts(taken, order);

		blocks[order] += (unsigned long)row_count(starts);
		taken |= row_spread(starts, order);
	}
}

static bool rows_clear(const struct rows *rows, unsigned int g, unsigned int r,
		       unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		if (row_of(rows, g, r + i) != 0)
			return false;
	}
	return true;
}

static void count_group(const struct rows *rows, unsigned int g, unsigned long *blocks)
{
	unsigned int r = 0;

	while (r < GROUP_ROWS) {
		unsigned int order = GROUP_ORDER - 1;

		while (order > ROW_ORDER &&
		       (r % (1u << (order - ROW_ORDER)) != 0 ||
			!rows_clear(rows, g, r, 1u << (order - ROW_ORDER))))
			order--;
		if (order > ROW_ORDER)
			blocks[order]++;
		else
			count_row(row_of(rows, g, r), blocks);
		r += 1u << (order - ROW_ORDER);
	}
}

void rows_count(const struct zone *zone, unsigned long *blocks)
{
	const struct rows *rows = &zone->rows;

	for (unsigned int order = 0; order < MAX_ORDER; order++)
		blocks[order] = 0;
	for (unsigned int g = 0; g < rows->nr_groups; g++) {
		bool free = rows_group_free(rows, g);

		if (free && g % 2 == 0 && rows_group_free(rows, g + 1)) {
			blocks[GROUP_ORDER + 1]++;
			g++;
		} else if (free) {
			blocks[GROUP_ORDER]++;
		} else if (rows_has_room(rows_group_state(rows, g))) {
			count_group(rows, g, blocks);
		}
	}
}

/* --- check --- */

static int broken(const struct zone *zone, unsigned int g, const char *what)
{
	return kmem_error(-EFAULT, "buddy: node %d zone %d pfn %lu: %s", zone->nid,
			  zone->type, rows_first_pfn(zone, g), what);
}

static bool is_somebodys_own(const struct rows *rows, unsigned int g)
{
	for (unsigned int cpu = 0; cpu < os_nr_cpus(); cpu++) {
		for (unsigned int own = 0; own < NR_OWN_GROUPS; own++) {
			if (atomic_load(rows_current(rows, cpu, own)) == g + 1)
				return true;
		}
	}
	return false;
}

static bool is_open(const struct rows *rows, unsigned int g)
{
	for (unsigned int type = 0; type < rows_types(); type++) {
		if (rows_bit(&rows_region(rows, g)->open[type], g))
			return true;
	}
	return false;
}

static int check_group(const struct zone *zone, unsigned int g, unsigned long *free)
{
	const struct rows *rows = &zone->rows;
	uint64_t state = rows_group_state(rows, g);
	uint32_t used = (uint32_t)state, taken = 0;

	for (unsigned int r = 0; r < GROUP_ROWS; r++)
		taken += (uint32_t)row_count(row_of(rows, g, r));
	if (rows_group_free(rows, g)) {
		*free += GROUP_PAGES;
		return state == 0 && taken == 0
			       ? 0
			       : broken(zone, g, "free by its region, but in use");
	}
	if (!rows_bit(&rows_region(rows, g)->touched, g))
		return broken(zone, g, "the group is in use, but not marked as touched");
	if (state == 0)
		return taken == 0 ? 0 : broken(zone, g, "taken whole and in parts");
	if ((state & ~(uint64_t)UINT32_MAX) != GROUP_OPEN || used == 0 ||
	    used > GROUP_PAGES)
		return broken(zone, g, "impossible state of a group");
	if (taken != used)
		return broken(zone, g, "used differs from the taken bits");
	if (used < GROUP_PAGES && !is_open(rows, g) && !is_somebodys_own(rows, g))
		return broken(zone, g, "has room, but is neither open nor any CPU's own");
	*free += GROUP_PAGES - used;
	return 0;
}

/* Nobody has a page to himself where a mark may be near. */
static int check_credits(const struct zone *zone)
{
	unsigned long credits = zone_free_pages_quiescent(zone) - zone_free_pages(zone);
	bool plenty = atomic_load(&zone->plenty);

	if (plenty && zone_free_pages(zone) <= zone->credit_floor)
		return broken(zone, 0, "plenty, but few pages are free");
	if (!plenty && credits != 0)
		return broken(zone, 0, "a CPU has a credit while pages are scarce");
	for (unsigned int cpu = 0; cpu < os_nr_cpus(); cpu++) {
		if (atomic_load(&rows_cpu(&zone->rows, cpu)->credit) > zone->credit_max)
			return broken(zone, 0, "a CPU has more credit than it may");
	}
	return 0;
}

int rows_check(const struct zone *zone)
{
	unsigned long free = 0;

	for (unsigned int g = 0; g < zone->rows.nr_groups; g++) {
		int err = check_group(zone, g, &free);

		if (err != 0)
			return err;
	}
	if (free != zone_free_pages_quiescent(zone))
		return broken(zone, 0, "free_pages differs from the rows");
	if (check_credits(zone) != 0)
		return -EFAULT;
	if (atomic_load(&zone->below_low) != (free <= zone->pages_low))
		return broken(zone, 0, "below_low differs from free_pages");
	return 0;
}

/* --- purging --- */

/*
 * A group that is purged is taken first, as by a request, so that nobody uses it
 * meanwhile, and nobody waits for the system call.
 */
static unsigned long purge_whole(const struct rows_request *rq, unsigned int g)
{
	struct zone *zone = rq->zone;
	struct region *region = rows_region(&zone->rows, g);
	uint64_t bit = rows_region_bit(g);
	unsigned long pages = 0;

	/* Never the last pages above the mark: a request would fail for our sake. */
	if (zone_promise(zone, GROUP_ORDER, zone->pages_low, 1, false) == 0)
		return 0;
	if (row_take_bit(&region->taken, bit, false)) {
		if (phys_discard_frames(rows_first_pfn(zone, g), GROUP_PAGES) == 0) {
			hint_clear(&region->touched, bit, false);
			hint_clear(&region->aged, bit, false);
			pages = GROUP_PAGES;
			phys_discard_descriptors(rows_first_pfn(zone, g), GROUP_PAGES);
		}
		rows_give_back(rq, g / REGION_GROUPS, bit);
	}
	zone_add_free(zone, GROUP_PAGES, false);
	return pages;
}

/* Free runs of at least 64 KiB within a group that is partly in use. */
static unsigned long purge_parts(struct rows_request *rq, unsigned int g)
{
	struct zone *zone = rq->zone;
	struct group group = rows_group(zone, g, false);
	struct page *block[GROUP_PAGES >> TRIM_ORDER_MIN];
	unsigned long pages = 0;
	size_t n = zone_promise(zone, TRIM_ORDER_MIN, zone->pages_low,
				KMEM_ARRAY_SIZE(block), false);
	unsigned int surplus;
	size_t got = group_take(&group, TRIM_ORDER_MIN, n, false, block, &surplus);

	rows_count_back(rq, g, surplus);
	zone_add_free(zone, (n - got) << TRIM_ORDER_MIN, false);
	for (size_t i = 0; i < got;) {
		size_t run = 1;

		while (i + run < got &&
		       block[i + run] == block[i] + (run << TRIM_ORDER_MIN))
			run++;
		if (phys_discard_frames((unsigned long)(block[i] - buddy.mem_map),
					run << TRIM_ORDER_MIN) == 0)
			pages += run << TRIM_ORDER_MIN;
		i += run;
	}
	rows_put_blocks(rq, TRIM_ORDER_MIN, got, block);
	return pages;
}

unsigned long rows_purge(struct zone *zone, bool decay)
{
	struct rows *rows = &zone->rows;
	unsigned long pages = 0;

	for (unsigned int g = 0; g < rows->nr_groups; g++) {
		struct region *region = rows_region(rows, g);
		bool free = rows_group_free(rows, g);
		struct rows_request rq = {.zone = zone};

		if (!rows_bit(&region->touched, g) ||
		    (!free && !rows_has_room(rows_group_state(rows, g))))
			continue;
		if (decay && (!free || !rows_bit(&region->aged, g))) {
			if (free)
				hint_set(&region->aged, rows_region_bit(g), false);
			continue;
		}
		/* Others do not wait for the system calls. */
		rq.visit = rows_enter_shared();
		pages += free ? purge_whole(&rq, g) : purge_parts(&rq, g);
		rows_leave(rq.visit);
	}
	return pages;
}
