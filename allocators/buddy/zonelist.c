/* SPDX-License-Identifier: MIT */
/*
 * Zonelists: which zones serve a request, in which order.
 *
 * There is one list per node and per highest zone that the gfp flags allow.
 * It goes node by node, and within a node from that zone down: HIGHMEM, NORMAL,
 * DMA. Nodes follow by distance, and at equal distance in the order of the ring
 * that starts at the node itself, so that neighbours do not all fall back to
 * node 0 (Linux 2.6 find_next_best_node()); or, as a variant, in the order of
 * that ring alone, as Linux 2.4 has it.
 */
#include "allocators/buddy/buddy_internal.h"
#include "allocators/os/os_mem.h"

#include <errno.h>
#include <kmem/error.h>

enum { ZONELIST_DISTANCE, ZONELIST_RING };

/* Place of node `to` on the ring that starts at `from`. */
static int ring_place(int from, int to)
{
	int nr = (int)buddy.nr_nodes;

	return (to - from + nr) % nr;
}

static bool comes_before(int from, int a, int b, int order)
{
	if (order == ZONELIST_DISTANCE &&
	    node_distance(from, a) != node_distance(from, b))
		return node_distance(from, a) < node_distance(from, b);
	return ring_place(from, a) < ring_place(from, b);
}

/* Insertion sort: at most 64 nodes, once. */
static void order_nodes(int from, int order, int *nodes)
{
	for (int n = 0; n < (int)buddy.nr_nodes; n++) {
		int at = n;

		while (at > 0 && comes_before(from, n, nodes[at - 1], order)) {
			nodes[at] = nodes[at - 1];
			at--;
		}
		nodes[at] = n;
	}
}

static void build_zonelist(struct zonelist *list, const int *nodes, int highest)
{
	size_t n = 0;

	for (int i = 0; i < (int)buddy.nr_nodes; i++) {
		for (int type = highest; type >= 0; type--) {
			struct zone *zone = &buddy_zones[nodes[i] * MAX_NR_ZONES + type];

			if (zone_present(zone))
				list->zones[n++] = zone;
		}
	}
	list->zones[n] = NULL;
}

int zonelists_init(const struct buddy_config *config)
{
	int nodes[MAX_NUMNODES];

	buddy.zonelists_bytes = KMEM_ALIGN_UP(
		buddy.nr_nodes * GFP_ZONE_KINDS * sizeof(struct zonelist), PAGE_SIZE);
	buddy.zonelists = os_map_anon(buddy.zonelists_bytes);
	if (buddy.zonelists == NULL)
		return kmem_error(-ENOMEM,
				  "zonelists cannot be allocated: no memory; stop other "
				  "programs, or raise 'ulimit -v'");
	for (int nid = 0; nid < (int)buddy.nr_nodes; nid++) {
		struct zonelist *lists = &buddy.zonelists[nid * GFP_ZONE_KINDS];

		order_nodes(nid, config->zonelist, nodes);
		for (int kind = 0; kind < GFP_ZONE_KINDS; kind++)
			build_zonelist(&lists[kind], nodes, kind);
		buddy.preferred[nid][0] = lists[ZONE_NORMAL].zones[0];
		buddy.preferred[nid][1] = lists[ZONE_HIGHMEM].zones[0];
		if (buddy.preferred[nid][0] == NULL)
			return kmem_error(
				-EINVAL, "there is no DMA or NORMAL memory; raise memory "
					 "or lower highmem");
	}
	for (unsigned int cpu = 0; cpu < os_nr_cpus(); cpu++) {
		for (int high = 0; high < 2; high++)
			buddy_cpu_zone[cpu][high] = zone_words(
				zone_id(buddy.preferred[phys_cpu_node[cpu]][high]));
	}
	return 0;
}

void zonelists_exit(void)
{
	if (buddy.zonelists != NULL)
		os_unmap(buddy.zonelists, buddy.zonelists_bytes);
	buddy.zonelists = NULL;
}
