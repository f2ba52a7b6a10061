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

#include <stdio.h>
#include <string.h>

struct node_stats buddy_node_stats[MAX_NUMNODES] KMEM_SPARSE;

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

struct page *alloc_pages_interleave(gfp_t gfp, unsigned int order)
{
	static __thread unsigned int next;
	unsigned int nid = buddy.nr_nodes != 0 ? next++ % buddy.nr_nodes : 0;
	struct page *page = alloc_pages_node((int)nid, gfp, order);

	if (page != NULL && page_to_nid(page) == (int)nid)
		stat_add(&buddy_node_stats[nid].interleave, 1UL << order);
	return page;
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
	s->free_pages += zone_free_pages_snapshot(zone);
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
	s->numa[NUMA_INTERLEAVE_HIT] += load(&node->interleave);
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

/* --- as the kernel shows them --- */

int buddyinfo_format(int nid, int zone, char *buf, size_t size)
{
	static const char *const names[MAX_NR_ZONES] = {
		[ZONE_DMA] = "DMA", [ZONE_NORMAL] = "Normal", [ZONE_HIGHMEM] = "HighMem"};
	const char *name = zone >= 0 && zone < MAX_NR_ZONES ? names[zone] : "?";
	struct buddy_stats stats;
	int length;

	buddy_stats(nid, zone, &stats);
	length = snprintf(buf, size, "Node %d, zone %8s ", nid, name);
	for (int order = 0; order < MAX_ORDER; order++) {
		size_t used = (size_t)length < size ? (size_t)length : size;

		length += snprintf(buf + used, size - used, "%6llu ",
				   (unsigned long long)stats.free_blocks[order]);
	}
	return length;
}

void buddy_vmstat(int nid, void (*fn)(const char *name, uint64_t value, void *arg),
		  void *arg)
{
	struct buddy_stats s;

	buddy_stats(nid, MAX_NR_ZONES, &s);
	fn("nr_free_pages", s.free_pages, arg);
	for (int item = 0; item < NR_NUMA_STAT_ITEMS; item++)
		fn(numa_names[item], s.numa[item], arg);
	fn("allocstall", s.alloc_stalls, arg);
	fn("pageoutrun", s.pageoutrun, arg);
	fn("pgsteal_kswapd", s.pgsteal_kswapd, arg);
	fn("pgsteal_direct", s.pgsteal_direct, arg);
	fn("slabs_scanned", s.slabs_scanned, arg);
	fn("kswapd_wakes", s.kswapd_wakes, arg);
	fn("pcp_pages", s.pcp_pages, arg);
	fn("pcp_refills", s.pcp_refills, arg);
	fn("pcp_drains", s.pcp_drains, arg);
	fn("purged_pages", s.purged_pages, arg);
}
