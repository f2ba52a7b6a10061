/* SPDX-License-Identifier: MIT */
/*
 * Statistics.
 *
 * NUMA counters without a counter on the hit path: every per-CPU list counts its
 * own pops (os/percpu_fast.h). A pop on CPU c from a list of node n is a hit of
 * n, local if c belongs to n and other if not, unless the slow path noted that
 * another node had been preferred. Blocks that come another way (refill, bulk,
 * large orders) are counted where that happens, in struct node_stats.
 */
#include "allocators/buddy/buddy_internal.h"

#include <string.h>

struct node_stats buddy_node_stats[MAX_NUMNODES];

static const char *const numa_names[NR_NUMA_STAT_ITEMS] = {
	[NUMA_HIT] = "numa_hit",	 [NUMA_MISS] = "numa_miss",
	[NUMA_FOREIGN] = "numa_foreign", [NUMA_INTERLEAVE_HIT] = "interleave_hit",
	[NUMA_LOCAL] = "local_node",	 [NUMA_OTHER] = "other_node",
};

const char *numa_stat_name(enum numa_stat_item item)
{
	return (unsigned int)item < NR_NUMA_STAT_ITEMS ? numa_names[item] : NULL;
}

void count_served(struct zone *zone, int nid, unsigned long pages)
{
	struct node_stats *here = &buddy_node_stats[zone->nid];

	if (zone->nid == nid) {
		stat_add(&here->hit, pages);
	} else {
		stat_add(&here->miss, pages);
		stat_add(&buddy_node_stats[nid].foreign, pages);
	}
	stat_add(zone->nid == numa_node_id() ? &here->local : &here->other, pages);
}

void count_popped_elsewhere(struct zone *zone, int nid, unsigned int order)
{
	if (zone->nid == nid)
		return;
	stat_add(&zone->pcp_misses[order], 1);
	stat_add(&buddy_node_stats[nid].foreign, 1UL << order);
}

static uint64_t load(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

static void add_list_stats(const struct zone *zone, struct buddy_stats *s)
{
	for (unsigned int order = 0; order < buddy.pcp_orders; order++) {
		uint64_t missed = load(&zone->pcp_misses[order]);

		for (unsigned int i = 0; i < os_nr_cpus() * MIGRATE_TYPES; i++) {
			unsigned int cpu = i / MIGRATE_TYPES;
			unsigned int kind = kind_of(order, i % MIGRATE_TYPES);
			uint64_t pages;

			if (!zone_has_list(zone, kind))
				continue;
			pages = percpu_pops(&zone->pcp[kind], cpu) << order;

			s->numa[NUMA_HIT] += pages;
			if (cpu_to_node(cpu) == zone->nid)
				s->numa[NUMA_LOCAL] += pages;
			else
				s->numa[NUMA_OTHER] += pages;
		}
		s->numa[NUMA_HIT] -= missed << order;
		s->numa[NUMA_MISS] += missed << order;
	}
}

static void add_zone_stats(struct zone *zone, struct buddy_stats *s)
{
	unsigned long blocks[MAX_ORDER];

	s->total_pages += zone->end_pfn - zone->start_pfn;
	s->free_pages += zone_free_pages(zone);
	s->pages_min += zone->pages_min;
	s->pages_low += zone->pages_low;
	s->pages_high += zone->pages_high;
	zone_count_blocks(zone, blocks);
	for (unsigned int order = 0; order < MAX_ORDER; order++)
		s->free_blocks[order] += blocks[order];
	s->pcp_pages += zone_pcp_pages(zone);
	s->pcp_refills += percpu_counter_sum(&zone->pcp_refills);
	s->pcp_drains += percpu_counter_sum(&zone->pcp_drains);
	s->kswapd_wakes += load(&zone->kswapd_wakes);
	add_list_stats(zone, s);
}

/* What a node counts for all its zones together; shown only when all are asked for. */
static void add_node_stats(const struct node_stats *node, struct buddy_stats *s)
{
	s->numa[NUMA_HIT] += load(&node->hit);
	s->numa[NUMA_MISS] += load(&node->miss);
	s->numa[NUMA_FOREIGN] += load(&node->foreign);
	s->numa[NUMA_LOCAL] += load(&node->local);
	s->numa[NUMA_OTHER] += load(&node->other);
	s->alloc_stalls += load(&node->stalls);
	s->pageoutrun += load(&node->pageoutruns);
	s->pgsteal_kswapd += load(&node->pgsteal_kswapd);
	s->pgsteal_direct += load(&node->pgsteal_direct);
	s->slabs_scanned += load(&node->slabs_scanned);
	s->purged_pages += load(&node->purged_pages);
}

void buddy_stats(int nid, int zone_type, struct buddy_stats *stats)
{
	memset(stats, 0, sizeof(*stats));
	for_each_zone (zone) {
		if (!zone_present(zone) || (nid != NUMA_NO_NODE && zone->nid != nid) ||
		    (zone_type != MAX_NR_ZONES && zone->type != zone_type))
			continue;
		add_zone_stats(zone, stats);
	}
	if (zone_type != MAX_NR_ZONES) {
		/* NUMA counters are a node's: of one zone alone they are not known. */
		memset(stats->numa, 0, sizeof(stats->numa));
		return;
	}
	for (int n = 0; n < (int)buddy.nr_nodes; n++) {
		if (nid == NUMA_NO_NODE || nid == n)
			add_node_stats(&buddy_node_stats[n], stats);
	}
}
