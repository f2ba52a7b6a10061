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
#include "workloads/numa_fill.h"
#include "workloads/numa_nodes.h"

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
	char prefix[16], key[48];

	snprintf(prefix, sizeof(prefix), "node%d_", nid);
	buddy_stats(nid, MAX_NR_ZONES, &s);
	for (int item = 0; item < NR_NUMA_STAT_ITEMS; item++) {
		snprintf(key, sizeof(key), "%s%s", prefix, numa_stat_name(item));
		json_set_integer(numa, key, s.numa[item]);
	}
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

/* --- a node that is filled step by step: workload_ops.fill --- */

static json_t *step_json(const struct workload_fill *fill, const struct fill_step *step,
			 double ns_per_tick)
{
	json_t *object = json_object();
	json_t *served = json_array();
	json_t *alloc = cell_segment_latency(&step->alloc, ns_per_tick);

	for (unsigned int nid = 0; nid < fill->nr_nodes; nid++)
		json_array_append_new(served,
				      json_integer((json_int_t)step->served[nid]));
	json_set(object, "served", served);
	if (step->unknown != 0)
		json_set_integer(object, "unknown", step->unknown);
	if (alloc != NULL)
		json_set(object, "alloc", alloc);
	return object;
}

json_t *cell_fill_json(const struct cell *cell)
{
	const struct workload_ops *workload = cell->run.workload;
	const struct workload_fill *fill;
	double ns_per_tick = cell->clock.ns_per_tick;
	json_t *object, *order, *steps;

	fill = workload->fill != NULL ? workload->fill(&cell->run) : NULL;
	if (fill == NULL)
		return NULL;
	object = json_object();
	order = json_array();
	steps = json_array();
	json_set_integer(object, "preferred", fill->preferred);
	json_set_integer(object, "nodes", fill->nr_nodes);
	json_set_integer(object, "node_bytes", fill->node_bytes);
	json_set_integer(object, "step_bytes", fill->step_bytes);
	for (unsigned int i = 0; i < fill->nr_order; i++)
		json_array_append_new(order, json_integer(fill->order[i]));
	json_set(object, "order", order);
	for (unsigned int i = 0; i < fill->nr_steps && fill->step[i].alloc.count > 0; i++)
		json_array_append_new(steps,
				      step_json(fill, &fill->step[i], ns_per_tick));
	json_set(object, "steps", steps);
	json_set(object, "returned", step_json(fill, fill->returned, ns_per_tick));
	return object;
}

void cell_add_numa(const struct cell *cell, json_t *entry, json_t *kmembench)
{
	json_t *numa = json_object();
	int nodes = phys_nr_nodes();
	struct buddy_stats all;

	json_set(numa, "simulated", json_boolean(phys_is_simulated()));
	json_set_integer(numa, "nodes",
			 nodes > 0 ? (unsigned int)nodes : numa_nodes_of_system());
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
	if (cell->fill != NULL)
		json_set(kmembench, "fill", cell->fill);
	json_set(kmembench, "numa", numa);
}
