/* SPDX-License-Identifier: MIT */
/* Rows: their memory, and the gate that fork closes. */
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

/* --- under way, or not --- */

static _Atomic bool gate_closed;
static char *gate_counts; /* per CPU; NULL: no fork will come */

static _Atomic long *gate_count(unsigned int cpu)
{
	return (_Atomic long *)(gate_counts + (size_t)cpu * ROWS_CPU_BYTES);
}

_Atomic long *rows_enter(void)
{
	_Atomic long *count;

	if (gate_counts == NULL)
		return NULL;
	for (;;) {
		count = gate_count(os_cpu_id());
		atomic_fetch_add(count, 1);
		if (KMEM_LIKELY(!atomic_load(&gate_closed)))
			return count;
		atomic_fetch_sub(count, 1);
		while (atomic_load(&gate_closed))
			sched_yield();
	}
}

void rows_leave(_Atomic long *count)
{
	if (count != NULL)
		atomic_fetch_sub(count, 1);
}

void rows_fork_lock(void)
{
	if (gate_counts == NULL)
		return;
	atomic_store(&gate_closed, true);
	for (unsigned int cpu = 0; cpu < os_nr_cpus(); cpu++) {
		while (atomic_load(gate_count(cpu)) != 0)
			sched_yield();
	}
}

void rows_fork_unlock(void)
{
	atomic_store(&gate_closed, false);
}

/* --- set-up --- */

enum { NR_HINTS = 3 + MIGRATE_TYPES };

static unsigned int zone_groups(const struct zone *zone)
{
	return (unsigned int)((zone->end_pfn - zone->start_pfn) >> GROUP_ORDER);
}

static size_t words(unsigned int groups)
{
	return (groups + HINT_GROUPS - 1) / HINT_GROUPS;
}

/* A line for each CPU. */
static size_t cpu_words(void)
{
	return os_nr_cpus() * (ROWS_CPU_BYTES / sizeof(row_word));
}

static size_t type_words(unsigned int groups)
{
	return KMEM_ALIGN_UP((size_t)groups, KMEM_CACHELINE) / sizeof(row_word);
}

static size_t pair_words(unsigned int groups)
{
	return groups / 2 * (sizeof(struct group_pair) / sizeof(row_word));
}

/* In whole cache lines, so that a group's bits are one line. */
static size_t hint_words(unsigned int groups)
{
	return KMEM_ALIGN_UP(NR_HINTS * words(groups), KMEM_CACHELINE / sizeof(row_word));
}

static void init_zone(struct zone *zone, row_word **next)
{
	struct rows *rows = &zone->rows;
	unsigned int groups = zone_groups(zone);

	rows->nr_groups = groups;
	rows->nr_words = (unsigned int)words(groups);
	rows->pair = (struct group_pair *)*next;
	*next += pair_words(groups);
	rows->row = *next;
	*next += (size_t)groups * GROUP_ROWS;
	rows->busy = *next;
	rows->touched = rows->busy + rows->nr_words;
	rows->aged = rows->touched + rows->nr_words;
	for (unsigned int type = 0; type < MIGRATE_TYPES; type++)
		rows->open[type] = rows->aged + (type + 1) * rows->nr_words;
	*next += hint_words(groups);
	rows->type = (_Atomic uint8_t *)*next;
	*next += type_words(groups);
	rows->current = (char *)*next;
	*next += cpu_words();
	zone_add_free(zone, (unsigned long)groups << GROUP_ORDER);
}

int rows_init(void)
{
	bool gate = phys_memory.backing == PHYS_PRIVATE;
	size_t nr_words = gate ? cpu_words() : 0;
	row_word *next;

	for_each_zone (zone) {
		unsigned int groups = zone_groups(zone);

		nr_words += (size_t)groups * GROUP_ROWS + pair_words(groups) +
			    hint_words(groups) + type_words(groups) + cpu_words();
	}
	memory.bytes = KMEM_ALIGN_UP(nr_words * sizeof(row_word), PAGE_SIZE);
	memory.base = os_map_anon(memory.bytes);
	if (memory.base == NULL)
		return kmem_error(-ENOMEM,
				  "bitmaps of %zu KiB cannot be mapped: no memory; "
				  "lower memory",
				  memory.bytes >> 10);
	next = (row_word *)memory.base;
	for_each_zone (zone) {
		if (zone_present(zone))
			init_zone(zone, &next);
	}
	gate_counts = gate ? (char *)next : NULL;
	return 0;
}

void rows_exit(void)
{
	gate_counts = NULL;
	if (memory.base != NULL)
		os_unmap(memory.base, memory.bytes);
	memset(&memory, 0, sizeof(memory));
}
