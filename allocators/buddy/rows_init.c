/* SPDX-License-Identifier: MIT */
/* Rows: their memory. */
#include "allocators/buddy/rows_internal.h"
#include "allocators/os/os_mem.h"

#include <errno.h>
#include <kmem/error.h>
#include <string.h>

/* All zones' words in one mapping. */
static struct {
	char *base;
	size_t bytes;
} memory;

/* --- set-up --- */

static unsigned int zone_groups(const struct zone *zone)
{
	return (unsigned int)((zone->end_pfn - zone->start_pfn) >> GROUP_ORDER);
}

static size_t regions(unsigned int groups)
{
	return (groups + REGION_GROUPS - 1) / REGION_GROUPS;
}

/* A line for each CPU. */
static size_t cpu_words(void)
{
	return os_nr_cpus() * (sizeof(struct rows_cpu) / sizeof(row_word));
}

static size_t type_words(unsigned int groups)
{
	return KMEM_ALIGN_UP((size_t)groups, KMEM_CACHELINE) / sizeof(row_word);
}

static size_t region_words(unsigned int groups)
{
	return regions(groups) * (sizeof(struct region) / sizeof(row_word));
}

/* In whole lines, so that a group's bits are one. */
static size_t state_words(unsigned int groups)
{
	return KMEM_ALIGN_UP((size_t)groups * sizeof(struct group_state),
			     KMEM_CACHELINE) /
	       sizeof(row_word);
}

static void init_zone(struct zone *zone, row_word **next)
{
	struct rows *rows = &zone->rows;
	unsigned int groups = zone_groups(zone), last;

	rows->nr_groups = groups;
	rows->nr_regions = (unsigned int)regions(groups);
	rows->region = (struct region *)*next;
	*next += region_words(groups);
	rows->state = (struct group_state *)*next;
	*next += state_words(groups);
	rows->row = *next;
	*next += (size_t)groups * GROUP_ROWS;
	rows->type = (_Atomic uint8_t *)*next;
	*next += type_words(groups);
	rows->cpu = (struct rows_cpu *)*next;
	*next += cpu_words();
	last = rows->nr_regions - 1;
	atomic_store(&rows->region[last].taken, ~rows_region_mask(rows, last));
	zone_credit_init(zone);
	zone_add_free(zone, (unsigned long)groups << GROUP_ORDER, false);
}

int rows_init(void)
{
	size_t nr_words = 0;
	row_word *next;

	for_each_zone (zone) {
		unsigned int groups = zone_groups(zone);

		nr_words += (size_t)groups * GROUP_ROWS + region_words(groups) +
			    state_words(groups) + type_words(groups) + cpu_words();
	}
	memory.bytes = KMEM_ALIGN_UP(nr_words * sizeof(row_word), PAGE_SIZE);
	memory.base = os_map_anon(memory.bytes);
	if (memory.base == NULL)
		return kmem_error(-ENOMEM,
				  "bitmaps of %zu KiB cannot be mapped: no memory; "
				  "lower memory",
				  memory.bytes >> 10);
	if (rows_gate_init() != 0) {
		rows_exit();
		return kmem_error(
			-ENOMEM,
			"per-CPU counters of the bitmaps cannot be allocated: no "
			"memory; stop other programs, or use lower=lists");
	}
	next = (row_word *)memory.base;
	for_each_zone (zone) {
		if (zone_present(zone))
			init_zone(zone, &next);
	}
	return 0;
}

void rows_exit(void)
{
	rows_gate_exit();
	if (memory.base != NULL)
		os_unmap(memory.base, memory.bytes);
	memset(&memory, 0, sizeof(memory));
}
