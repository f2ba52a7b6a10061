/* SPDX-License-Identifier: MIT */
/* Set-up of the page allocator, and its options. */
#include "allocators/buddy/reclaim_internal.h"

#include <errno.h>
#include <kmem/error.h>
#include <string.h>

static const char *const lower_names[] = {"rows", "lists", NULL};
static const char *const zonelist_names[] = {"distance", "ring", NULL};

/*
 * The defaults for the lists: 512 pages are 2 MiB per CPU and zone, half of the
 * second-level cache's reach in descriptors; a batch of 64 pays for the lock 64
 * times over and bounds the wait behind it to about a microsecond.
 */
const struct kmem_option buddy_options[] = {
	{.name = "pcp",
	 .type = KMEM_OPT_BOOL,
	 .offset = offsetof(struct buddy_config, pcp),
	 .initial = "on",
	 .help = "per-CPU page lists in front of the zone lock; off: every call takes the lock"},
	{.name = "pcp_batch",
	 .type = KMEM_OPT_UINT,
	 .offset = offsetof(struct buddy_config, pcp_batch),
	 .initial = "64",
	 .min = 1,
	 .max = PCP_BATCH_MAX,
	 .help = "pages moved between a list and its zone at a time: more saves locks, fewer "
		 "shortens the wait for them"},
	{.name = "pcp_high",
	 .type = KMEM_OPT_UINT,
	 .offset = offsetof(struct buddy_config, pcp_high),
	 .initial = "512",
	 .min = 2,
	 .max = PERCPU_LIMIT_MAX,
	 .help = "pages that one list holds at most (and an eighth of the zone over all CPUs): "
		 "more hits against more memory out of others' reach"},
	{.name = "pcp_order_max",
	 .type = KMEM_OPT_UINT,
	 .offset = offsetof(struct buddy_config, pcp_order_max),
	 .initial = "3",
	 .max = MAX_ORDER - 1,
	 .help = "highest order that the lists hold; 3 serves slabs and kmalloc"},
	{.name = "pcp_huge",
	 .type = KMEM_OPT_UINT,
	 .offset = offsetof(struct buddy_config, pcp_huge),
	 .initial = "16",
	 .max = 64,
	 .help = "blocks of 2 MiB that one CPU keeps on a list, as Linux 5.13 does; 0: none"},
	{.name = "lower",
	 .type = KMEM_OPT_ENUM,
	 .offset = offsetof(struct buddy_config, lower),
	 .initial = "rows",
	 .choices = lower_names,
	 .help = "lower level: rows, bitmaps without a lock; lists, the free areas of Linux "
		 "under the zone's lock"},
	{.name = "mobility",
	 .type = KMEM_OPT_BOOL,
	 .offset = offsetof(struct buddy_config, mobility),
	 .initial = "off",
	 .help = "huge pages are opened for unmovable, reclaimable or movable blocks, so that "
		 "what stays for good does not lie between what goes (lower=rows)"},
	{.name = "zonelist",
	 .type = KMEM_OPT_ENUM,
	 .offset = offsetof(struct buddy_config, zonelist),
	 .initial = "distance",
	 .choices = zonelist_names,
	 .help = "fallback order of nodes; distance: nearest first; ring: the next number first, as Linux 2.4"},
	{.name = "min_free",
	 .type = KMEM_OPT_SIZE,
	 .offset = offsetof(struct buddy_config, min_free_bytes),
	 .initial = "0",
	 .max = (uint64_t)1 << 40,
	 .help = "watermark min of all zones together, in bytes; 0: by the square-root rule of "
		 "Linux"},
	{.name = "kswapd",
	 .type = KMEM_OPT_BOOL,
	 .offset = offsetof(struct buddy_config, kswapd),
	 .initial = "on",
	 .help = "a background thread per node that reclaims below the low watermark, from the "
		 "first shrinker on; off: only requests that may wait reclaim"},
	{.name = "purge_ms",
	 .type = KMEM_OPT_UINT,
	 .offset = offsetof(struct buddy_config, purge_ms),
	 .initial = "0",
	 .max = 86400000,
	 .help = "huge pages that stay free for one to two times this go back to the system "
		 "(lower=rows, kswapd=on); 0: only by trim"},
	KMEM_OPTION_END,
};

static void init_zone(struct zone *zone, int nid, int type)
{
	const struct phys_zone *range = &phys_memory.node[nid].zone[type];

	memset(zone, 0, sizeof(*zone));
	zone->nid = (uint8_t)nid;
	zone->type = (uint8_t)type;
	for (unsigned int order = 0; order < MAX_ORDER; order++)
		zone->allocated[order] =
			PERCPU_FROM(allocated_state(zone_id(zone), order));
	zone->start_pfn = range->start_pfn;
	zone->end_pfn = range->start_pfn + range->nr_pages;
	spin_lock_init(&zone->lock);
}

static unsigned long lowmem_pages(void)
{
	unsigned long pages = 0;

	for_each_zone (zone) {
		if (zone->type != ZONE_HIGHMEM)
			pages += zone->end_pfn - zone->start_pfn;
	}
	return pages;
}

static int check_config(const struct buddy_config *config)
{
	if (!phys_memory.up)
		return kmem_error(-EINVAL,
				  "there is no physical memory yet; call phys_init() "
				  "first");
	if (buddy.nr_frames != 0)
		return kmem_error(-EBUSY, "the page allocator is already set up; call "
					  "buddy_exit() first");
	if (config->mobility && config->lower != BUDDY_ROWS)
		return kmem_error(-EINVAL,
				  "mobility=on needs lower=rows: free areas are not "
				  "grouped by mobility");
	if (config->purge_ms != 0 && (config->lower != BUDDY_ROWS || !config->kswapd))
		return kmem_error(-EINVAL,
				  "purge_ms needs lower=rows and kswapd=on; trim gives "
				  "memory back without them");
	if (config->pcp_order_max >= MAX_ORDER || config->pcp_batch < 1 ||
	    config->pcp_batch > PCP_BATCH_MAX || config->pcp_high < 2)
		return kmem_error(
			-EINVAL,
			"pcp_order_max is at most %d, pcp_batch 1 to %d, pcp_high at "
			"least 2; start from kmem_options_defaults()",
			MAX_ORDER - 1, PCP_BATCH_MAX);
	return 0;
}

static unsigned int pcp_orders(const struct buddy_config *config)
{
	unsigned int orders = (unsigned int)config->pcp_order_max + 1;

	if (!config->pcp)
		return 0;
	return config->pcp_huge != 0 && orders <= GROUP_ORDER ? GROUP_ORDER + 1 : orders;
}

static int init_by_defaults(void)
{
	static const struct kmem_option_group groups[] = {{buddy_options, 0}, {NULL, 0}};
	struct buddy_config config;
	int err = kmem_options_defaults(groups, &config);

	return err != 0 ? err : buddy_init(&config);
}

int buddy_init(const struct buddy_config *config)
{
	int err;

	if (config == NULL)
		return init_by_defaults();
	err = check_config(config);
	if (err != 0)
		return err;
	buddy.nr_nodes = (unsigned int)phys_memory.nr_nodes;
	memset(buddy_node_stats, 0, buddy.nr_nodes * sizeof(buddy_node_stats[0]));
	buddy.mem_map = kmem_mem_map;
	buddy.direct_base = kmem_direct_base;
	buddy.block_zone = phys_memory.block_zone;
	buddy.rows = config->lower == BUDDY_ROWS;
	buddy.forked = false;
	buddy.mobility = config->mobility;
	buddy.pcp_orders = pcp_orders(config);
	buddy.pcp_kinds = buddy.mobility && buddy.pcp_orders != 0 ? NR_KINDS
								  : buddy.pcp_orders;
	buddy.miss_mask = ~(__GFP_WAIT | __GFP_HIGH | __GFP_NOWARN | __GFP_HIGHMEM |
			    (buddy.mobility ? 0 : __GFP_MOVABLE));
	for (int id = 0; id < phys_memory.nr_nodes * MAX_NR_ZONES; id++)
		init_zone(&buddy_zones[id], id / MAX_NR_ZONES, id % MAX_NR_ZONES);
	if (config->min_free_bytes >> PAGE_SHIFT > lowmem_pages() / 2)
		err = kmem_error(
			-EINVAL,
			"min_free of %lu MiB is more than half of the %lu MiB of DMA and "
			"NORMAL memory; lower it",
			(unsigned long)(config->min_free_bytes >> 20),
			lowmem_pages() >> 8);
	if (err == 0)
		err = zonelists_init(config);
	if (err == 0)
		watermarks_init(config);
	if (err == 0)
		err = zones_init_free();
	for_each_zone (zone) {
		if (err == 0 && zone_present(zone))
			err = pcp_init(zone, config);
	}
	buddy.nr_frames = kmem_nr_frames;
	buddy.hit_frames = buddy.mobility ? 0 : kmem_nr_frames;
	if (err == 0)
		err = kswapd_init(config);
	buddy_fork_init();
	if (err != 0)
		buddy_exit();
	return err;
}

void buddy_exit(void)
{
	if (buddy.nr_frames == 0)
		return;
	kswapd_exit();
	buddy_fork_exit();
	for_each_zone (zone)
		pcp_exit(zone);
	zonelists_exit();
	zones_exit_free();
	for_each_zone (zone)
		memset(zone, 0, sizeof(*zone));
	memset(&buddy, 0, sizeof(buddy));
	phys_clear_descriptors();
}
