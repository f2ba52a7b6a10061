/* SPDX-License-Identifier: MIT */
/*
 * Physical memory.
 *
 * THEORY. Frames are numbered without holes, node after node, and in each node
 * DMA, NORMAL, HIGHMEM in this order. One reservation of address space holds
 * the direct map, the guard gap and the vmalloc range:
 *
 *   base (4 MiB aligned)            direct_end    + 8 MiB              end
 *   |node 0: DMA NORMAL .. |node 1 ..|...gap.......| vmalloc range ......|
 *                       '--HIGHMEM: inaccessible
 *
 * Backings. MEMFD: frame n is the page at offset n * 4096 of one shared memory
 * file, so it can be mapped at a second address; the direct map maps DMA and
 * NORMAL of each node with one call. PRIVATE: the direct map is anonymous
 * memory, which fork() copies on write; there is no second address, hence no
 * HIGHMEM and no vmalloc by aliasing.
 *
 * Laziness. Neither frames nor descriptors are touched at start-up; an all-zero
 * descriptor is valid, and zone and node come from one byte per 4 MiB block.
 *
 * Where this differs from the kernel: node boundaries are ours to choose, so
 * there are no holes, no e820 map, no sections; the share of a zone in a node
 * is a setting instead of an address limit (a DMA zone here models the policy,
 * not a bus); start-up is one function instead of a boot allocator.
 *
 * Locking: none. Everything is written by phys_init() and phys_exit() and
 * read-only in between.
 *
 * References: Linux 2.6.28 mm/page_alloc.c, arch/x86/mm/init_32.c; Gorman,
 * "Understanding the Linux Virtual Memory Manager", chapters 2 and 3.
 */
#include "allocators/phys/phys_internal.h"
#include "allocators/os/os_sys.h"
#include "allocators/os/percpu_fast.h"

#include <errno.h>
#include <kmem/error.h>
#include <string.h>

/* Address space reserved for vmalloc at the start, where it is to be had: as much
 * as its largest default asks for. Costs nothing but page-table-free addresses. */
#define VMALLOC_RESERVE_BYTES ((size_t)64 << 30)

static const char *const backing_names[] = {"memfd", "private", NULL};
static const char *const hugepages_names[] = {"system", "never", "always", NULL};

const struct kmem_option phys_options[] = {
	{.name = "backing",
	 .type = KMEM_OPT_ENUM,
	 .offset = offsetof(struct phys_config, backing),
	 .initial = "memfd",
	 .choices = backing_names,
	 .help = "what holds the frames; memfd: a file that can be mapped twice (vmalloc, HIGHMEM); "
		 "private: anonymous memory, which survives fork (needs highmem=0)"},
	{.name = "memory",
	 .type = KMEM_OPT_SIZE,
	 .offset = offsetof(struct phys_config, memory_bytes),
	 .initial = "2G",
	 .min = PHYS_BLOCK_BYTES,
	 .max = (uint64_t)16 << 40,
	 .help = "physical memory of all nodes and zones together, in bytes; used only as far "
		 "as it is touched"},
	{.name = "dma",
	 .type = KMEM_OPT_SIZE,
	 .offset = offsetof(struct phys_config, dma_bytes),
	 .initial = "16M",
	 .max = (uint64_t)1 << 40,
	 .help = "ZONE_DMA at the start of node 0, in bytes; 0: no such zone"},
	{.name = "highmem",
	 .type = KMEM_OPT_SIZE,
	 .offset = offsetof(struct phys_config, highmem_bytes),
	 .initial = "256M",
	 .max = (uint64_t)16 << 40,
	 .help = "ZONE_HIGHMEM of all nodes together, in bytes; reached through vmalloc only; "
		 "0: no such zone"},
	{.name = "topology",
	 .type = KMEM_OPT_STRING,
	 .offset = offsetof(struct phys_config, topology),
	 .initial = "",
	 .help = "nodes: empty for this machine, an hwloc description (numa:4 core:2 pu:1), or "
		 "an hwloc XML file"},
	{.name = "hugepages",
	 .type = KMEM_OPT_ENUM,
	 .offset = offsetof(struct phys_config, hugepages),
	 .initial = "system",
	 .choices = hugepages_names,
	 .help = "huge pages behind the frames, of memory files too, and their "
		 "descriptors; system: as the system is set, with advice for descriptors of "
		 "far frames; never: small pages only; always: asked for and made: cheaper "
		 "first touch, fewer TLB misses, more resident memory"},
	KMEM_OPTION_END,
};

struct page *kmem_mem_map;
char *kmem_direct_base;
unsigned long kmem_nr_frames;

struct phys_memory phys_memory = {.fd = -1};
uint8_t phys_cpu_node[OS_MAX_CPUS] KMEM_SPARSE;

static struct phys_topology topology KMEM_SPARSE;

/* The reservation, and what was mapped for the descriptors. */
static struct {
	char *base, *end;
	char *map;
	size_t map_bytes;
} space;

void phys_topology_flat(struct phys_topology *t)
{
	/* Not all of it: start-up touches no more pages than it needs. */
	t->nr_nodes = 1;
	t->simulated = false;
	t->os_index[0] = 0;
	t->distance[0][0] = 10; /* ACPI: local */
}

/* --- layout --- */

/* Share of node nid when blocks are dealt out evenly, the first nodes first. */
static unsigned long share(unsigned long blocks, int nid)
{
	unsigned long nr = (unsigned long)phys_memory.nr_nodes;

	return blocks / nr + ((unsigned long)nid < blocks % nr ? 1 : 0);
}

static unsigned long to_blocks(uint64_t bytes)
{
	return (unsigned long)((bytes + PHYS_BLOCK_BYTES - 1) / PHYS_BLOCK_BYTES);
}

static void lay_out_node(int nid, unsigned long first_block, const unsigned long *blocks)
{
	struct phys_node *node = &phys_memory.node[nid];

	node->start_pfn = first_block << PHYS_BLOCK_ORDER;
	node->nr_pages = 0;
	node->os_index = topology.os_index[nid];
	for (int z = 0; z < MAX_NR_ZONES; z++) {
		node->zone[z].start_pfn = node->start_pfn + node->nr_pages;
		node->zone[z].nr_pages = blocks[z] << PHYS_BLOCK_ORDER;
		node->nr_pages += node->zone[z].nr_pages;
	}
}

/* Divides the blocks among nodes and zones: 0, or -EINVAL with an error text. */
static int lay_out(const struct phys_config *config)
{
	unsigned long total = to_blocks(config->memory_bytes);
	unsigned long dma = to_blocks(config->dma_bytes);
	unsigned long high = to_blocks(config->highmem_bytes);
	unsigned long first = 0;

	for (int nid = 0; nid < phys_memory.nr_nodes; nid++) {
		unsigned long all = share(total, nid);
		unsigned long blocks[MAX_NR_ZONES] = {nid == 0 ? dma : 0, 0,
						      share(high, nid)};
		unsigned long special = blocks[ZONE_DMA] + blocks[ZONE_HIGHMEM];

		/* Each node has lowmem, so that a local request without HIGHMEM is served
		 * locally. */
		if (all == 0 || special > all || blocks[ZONE_HIGHMEM] == all)
			return kmem_error(
				-EINVAL,
				"memory of %lu MiB over %d nodes leaves node %d with "
				"%lu MiB, too little for its %lu MiB of DMA and "
				"HIGHMEM; raise memory or lower dma and highmem",
				total * 4, phys_memory.nr_nodes, nid, all * 4,
				special * 4);
		blocks[ZONE_NORMAL] = all - special;
		lay_out_node(nid, first, blocks);
		first += all;
	}
	kmem_nr_frames = total << PHYS_BLOCK_ORDER;
	return 0;
}

static void fill_block_zone(void)
{
	for (int nid = 0; nid < phys_memory.nr_nodes; nid++) {
		for (int z = 0; z < MAX_NR_ZONES; z++) {
			const struct phys_zone *zone = &phys_memory.node[nid].zone[z];

			memset(phys_memory.block_zone +
				       (zone->start_pfn >> PHYS_BLOCK_ORDER),
			       nid * MAX_NR_ZONES + z,
			       zone->nr_pages >> PHYS_BLOCK_ORDER);
		}
	}
}

/* --- mapping --- */

/* So many bytes at a multiple of PHYS_BLOCK_BYTES, without ever having more. */
static char *reserve_bare(size_t bytes)
{
	char *p = os_reserve(bytes), *aligned;

	if (p == NULL || (uintptr_t)p % PHYS_BLOCK_BYTES == 0)
		return p;
	/* Addresses are given out downwards: those below are free as a rule. */
	aligned = (char *)KMEM_ALIGN_DOWN((uintptr_t)p, PHYS_BLOCK_BYTES);
	os_unmap(p, bytes);
	return os_reserve_at(aligned, bytes);
}

/* Reserves the direct map with what follows it; less for vmalloc rather than nothing,
 * and not even the gap before it where a limit leaves no room (phys_vmalloc_base()
 * tries again then). */
static int reserve_space(void)
{
	size_t direct = kmem_nr_frames << PAGE_SHIFT;
	/* Private frames cannot be mapped a second time: there is no vmalloc. */
	size_t extra = phys_memory.backing == PHYS_MEMFD ? VMALLOC_RESERVE_BYTES : 0;
	char *p = NULL;

	for (;;) {
		p = os_reserve(direct + VMALLOC_OFFSET + extra + PHYS_BLOCK_BYTES);
		if (p != NULL || extra == 0)
			break;
		extra = extra > ((size_t)64 << 20) ? extra / 2 : 0;
	}
	if (p == NULL) {
		p = reserve_bare(direct);
		if (p != NULL) {
			kmem_direct_base = space.base = p;
			space.end = p + direct;
			return 0;
		}
		return kmem_error(
			-ENOMEM,
			"%zu MiB of address space cannot be reserved: %s; lower memory, "
			"or raise 'ulimit -v'",
			direct >> 20, strerror(errno));
	}
	kmem_direct_base = (char *)KMEM_ALIGN_UP((uintptr_t)p, PHYS_BLOCK_BYTES);
	if (kmem_direct_base != p)
		os_unmap(p, (size_t)(kmem_direct_base - p));
	space.base = kmem_direct_base;
	space.end = p + direct + VMALLOC_OFFSET + extra + PHYS_BLOCK_BYTES;
	return 0;
}

/* Descriptors, and behind them a byte for each block and for each huge page. */
static int map_descriptors(int hugepages)
{
	size_t pages_bytes = kmem_nr_frames * sizeof(struct page);
	size_t blocks = kmem_nr_frames >> PHYS_BLOCK_ORDER;

	size_t huge = kmem_nr_frames >> PHYS_HUGE_ORDER;

	space.map_bytes = KMEM_ALIGN_UP(pages_bytes + blocks + huge, PAGE_SIZE);
	space.map = os_map_anon(space.map_bytes);
	if (space.map == NULL)
		return kmem_error(
			-ENOMEM,
			"%zu MiB for page descriptors cannot be mapped: %s; lower memory",
			space.map_bytes >> 20, strerror(errno));
	kmem_mem_map = (struct page *)space.map;
	if (hugepages != 0)
		os_hugepages(space.map, space.map_bytes, hugepages == 2);
	else
		phys_advise_descriptors();
	phys_memory.block_zone = (uint8_t *)(space.map + pages_bytes);
	phys_memory.huge_done = (_Atomic uint8_t *)(phys_memory.block_zone + blocks);
	fill_block_zone();
	return 0;
}

static int map_node(const struct phys_node *node, int hugepages)
{
	unsigned long low = node->nr_pages - node->zone[ZONE_HIGHMEM].nr_pages;
	size_t bytes = low << PAGE_SHIFT;
	char *addr = pfn_to_virt(node->start_pfn);
	void *p;

	if (low == 0)
		return 0;
	if (phys_memory.backing == PHYS_MEMFD)
		p = os_map_shared_at(addr, bytes, phys_memory.fd,
				     (off_t)(node->start_pfn << PAGE_SHIFT));
	else
		p = os_map_anon_at(addr, bytes);
	if (p == NULL)
		return kmem_error(-ENOMEM,
				  "%zu MiB of frames cannot be mapped: %s; lower memory",
				  bytes >> 20, strerror(errno));
	/* Only a hint: a system without huge pages runs all the same. */
	if (hugepages != 0)
		os_hugepages(addr, bytes, hugepages == 2);
	return 0;
}

/*
 * Puts a node's frames and descriptors on the machine's node. A shared file
 * keeps the policy with its pages, so a passing mapping reaches HIGHMEM too.
 */
static int bind_node(const struct phys_node *node)
{
	size_t bytes = node->nr_pages << PAGE_SHIFT;
	bool shared = phys_memory.backing == PHYS_MEMFD;
	void *addr = pfn_to_virt(node->start_pfn);
	int err;

	if (shared)
		addr = os_map_shared(bytes, phys_memory.fd,
				     (off_t)(node->start_pfn << PAGE_SHIFT));
	if (addr == NULL)
		return kmem_error(-ENOMEM, "frames cannot be mapped for binding: %s",
				  strerror(errno));
	err = os_bind_node(addr, bytes, node->os_index);
	if (shared)
		os_unmap(addr, bytes);
	/* Nearer descriptors are faster; far ones still work. */
	os_bind_node(pfn_to_page(node->start_pfn), node->nr_pages * sizeof(struct page),
		     node->os_index);
	return err;
}

/* A sandbox without mbind() leaves the nodes unbound: then they are simulated. */
static int bind_nodes(void)
{
	if (topology.simulated || phys_memory.nr_nodes == 1)
		return 0;
	for (int nid = 0; nid < phys_memory.nr_nodes; nid++) {
		int err = bind_node(&phys_memory.node[nid]);

		if (err == -EPERM || err == -ENOSYS) {
			topology.simulated = true;
			return 0;
		}
		if (err != 0)
			return kmem_error(
				err,
				"memory cannot be bound to node %u: %s; choose a "
				"topology='numa:%d pu:1' without binding",
				phys_memory.node[nid].os_index, strerror(-err),
				phys_memory.nr_nodes);
	}
	return 0;
}

static int map_memory(const struct phys_config *config)
{
	int err;

	if (phys_memory.backing == PHYS_MEMFD) {
		int fd = os_memfd("kmem-frames", kmem_nr_frames << PAGE_SHIFT);

		if (fd < 0)
			return kmem_error(
				fd,
				"a memory file of %lu MiB cannot be created: %s; lower "
				"memory, or use backing=private",
				kmem_nr_frames >> 8, strerror(-fd));
		phys_memory.fd = fd;
	}
	err = reserve_space();
	if (err == 0)
		err = map_descriptors(config->hugepages);
	for (int nid = 0; err == 0 && nid < phys_memory.nr_nodes; nid++)
		err = map_node(&phys_memory.node[nid], config->hugepages);
	return err != 0 ? err : bind_nodes();
}

/* --- life --- */

static void tear_down(void)
{
	if (space.base != NULL)
		os_unmap(space.base, (size_t)(space.end - space.base));
	if (space.map != NULL)
		os_unmap(space.map, space.map_bytes);
	if (phys_memory.fd >= 0)
		os_close(phys_memory.fd);
	phys_hugepages_init(false);
	memset(&space, 0, sizeof(space));
	memset(&phys_memory, 0, sizeof(phys_memory));
	memset(phys_cpu_node, 0, sizeof(phys_cpu_node));
	phys_memory.fd = -1;
	kmem_mem_map = NULL;
	kmem_direct_base = NULL;
	kmem_nr_frames = 0;
}

static int init_by_defaults(void)
{
	static const struct kmem_option_group groups[] = {{phys_options, 0}, {NULL, 0}};
	struct phys_config config;
	int err = kmem_options_defaults(groups, &config);

	if (err != 0)
		return err;
	err = phys_init(&config);
	kmem_options_release(groups, &config);
	return err;
}

int phys_init(const struct phys_config *config)
{
	int err;

	if (config == NULL)
		return init_by_defaults();
	if (phys_memory.up)
		return kmem_error(
			-EBUSY, "physical memory is already set up; one process has one, "
				"call phys_exit() first");
	if (config->backing == PHYS_PRIVATE && config->highmem_bytes != 0)
		return kmem_error(-EINVAL,
				  "backing 'private' has no HIGHMEM, for its frames have "
				  "one address only; give highmem=0, or backing=memfd");
	err = phys_topology_load(config->topology, &topology, phys_cpu_node,
				 os_nr_cpus());
	if (err == 0) {
		phys_memory.backing = (enum phys_backing)config->backing;
		phys_memory.nr_nodes = topology.nr_nodes;
		err = lay_out(config);
	}
	if (err == 0)
		err = map_memory(config);
	if (err != 0) {
		tear_down();
		return err;
	}
	phys_hugepages_init(config->hugepages == 2);
	phys_memory.up = true;
	return 0;
}

void phys_exit(void)
{
	if (phys_memory.up)
		tear_down();
}

/* --- what others ask --- */

int phys_nr_nodes(void)
{
	return phys_memory.nr_nodes;
}

bool phys_is_simulated(void)
{
	return topology.simulated;
}

int node_distance(int from, int to)
{
	if (from < 0 || to < 0 || from >= phys_memory.nr_nodes ||
	    to >= phys_memory.nr_nodes)
		return UINT8_MAX; /* ACPI: unreachable */
	return topology.distance[from][to];
}

int cpu_to_node(unsigned int cpu)
{
	return cpu < os_nr_cpus() ? phys_cpu_node[cpu] : 0;
}

int numa_node_id(void)
{
	return phys_cpu_node[os_cpu_id()];
}

enum zone_type page_zonenum(const struct page *page)
{
	return (enum zone_type)(phys_zone_id(page_to_pfn(page)) % MAX_NR_ZONES);
}

int page_to_nid(const struct page *page)
{
	return (int)(phys_zone_id(page_to_pfn(page)) / MAX_NR_ZONES);
}

void *(*_Atomic phys_highmem_address)(const struct page *page);

void *page_address(const struct page *page)
{
	void *(*window)(const struct page *page);

	if (page_zonenum(page) != ZONE_HIGHMEM)
		return pfn_to_virt(page_to_pfn(page));
	window = atomic_load_explicit(&phys_highmem_address, memory_order_acquire);
	return window != NULL ? window(page) : NULL;
}

void phys_clear_descriptors(void)
{
	size_t bytes = kmem_nr_frames * sizeof(struct page);

	/* A failed discard leaves the old contents, so write them then. */
	if (phys_memory.up && os_discard_anon(kmem_mem_map, bytes) != 0)
		memset(kmem_mem_map, 0, bytes);
}

int phys_fd(void)
{
	return phys_memory.fd;
}

char *phys_direct_end(void)
{
	return kmem_direct_base + (kmem_nr_frames << PAGE_SHIFT);
}

char *phys_vmalloc_base(size_t range_bytes)
{
	ptrdiff_t room; /* below 0: part of the gap is missing */
	size_t more;
	char *start;

	if (!phys_memory.up) {
		kmem_error(-EINVAL,
			   "there is no physical memory yet; call phys_init() first");
		return NULL;
	}
	start = phys_direct_end() + VMALLOC_OFFSET;
	room = space.end - start;
	if (room >= 0 && range_bytes <= (size_t)room)
		return start;
	/* The first addresses of a 48-bit space only: a larger sum would wrap. */
	more = range_bytes < (size_t)1 << 48
		       ? KMEM_ALIGN_UP(range_bytes - (size_t)room, PAGE_SIZE)
		       : 0;
	if (more == 0 || os_reserve_at(space.end, more) == NULL) {
		kmem_error(
			-ENOMEM,
			"%zu MiB of address space for vmalloc are not to be had after the "
			"direct map; ask for a smaller range, or raise 'ulimit -v'",
			range_bytes >> 20);
		return NULL;
	}
	space.end += more;
	return start;
}
