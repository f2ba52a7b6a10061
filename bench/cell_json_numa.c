/* SPDX-License-Identifier: MIT */
/*
 * Placement in a cell's entry: the kernel's counters in pages, and what they say of each
 * node and of all together (Linux Documentation/admin-guide/numastat.rst).
 *
 *   fallback_in   miss / (hit + miss)        served here, though another node was
 * preferred fallback_out  foreign / (hit + foreign)  preferred here, served elsewhere
 *   locality      local / (local + other)    served to threads that run here
 *
 * Only libkmem has nodes of its own. With one node there is nothing to tell.
 */
#include <stdio.h>

#include <kmem/page_alloc.h>
#include <kmem/phys.h>

#include "bench/cell.h"
#include "bench/json_set.h"

static void add_ratio(json_t *object, const char *prefix, const char *name, uint64_t part,
		      uint64_t rest)
{
	char key[48];

	snprintf(key, sizeof(key), "%s%s", prefix, name);
	if (part + rest != 0)
		json_set_real(object, key, (double)part / (double)(part + rest));
}

static void add_ratios(json_t *object, const char *prefix, const struct buddy_stats *s)
{
	const uint64_t *n = s->numa;

	add_ratio(object, prefix, "fallback_in", n[NUMA_MISS], n[NUMA_HIT]);
	add_ratio(object, prefix, "fallback_out", n[NUMA_FOREIGN], n[NUMA_HIT]);
	add_ratio(object, prefix, "locality", n[NUMA_LOCAL], n[NUMA_OTHER]);
}

static void add_node(json_t *numa, int nid)
{
	struct buddy_stats s;
	char prefix[16];

	snprintf(prefix, sizeof(prefix), "node%d_", nid);
	buddy_stats(nid, MAX_NR_ZONES, &s);
	add_ratios(numa, prefix, &s);
}

/* Where frames really lie; absent where the kernel does not tell. */
static void add_verified(json_t *numa)
{
	struct phys_placement placement;

	if (phys_placement(&placement) != 0)
		return;
	json_set_integer(numa, "frames_verified", placement.frames);
	json_set_integer(numa, "frames_misplaced", placement.misplaced);
}

void cell_add_numa(json_t *entry, json_t *kmembench)
{
	json_t *numa = json_object();
	int nodes = phys_nr_nodes();
	struct buddy_stats all;

	json_set(numa, "simulated", json_boolean(phys_is_simulated()));
	json_set(numa, "nodes", json_integer(nodes > 0 ? nodes : 1));
	if (nodes > 1) {
		buddy_stats(NUMA_NO_NODE, MAX_NR_ZONES, &all);
		for (int item = 0; item < NR_NUMA_STAT_ITEMS; item++)
			json_set_integer(numa, numa_stat_name(item), all.numa[item]);
		add_ratios(numa, "", &all);
		add_ratios(entry, "", &all);
		for (int nid = 0; nid < nodes; nid++)
			add_node(numa, nid);
		add_verified(numa);
	}
	json_set(kmembench, "numa", numa);
}
