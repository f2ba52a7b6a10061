/* SPDX-License-Identifier: MIT */
/*
 * Physical memory, as the layers above inside the library see it.
 *
 * All boundaries between zones and nodes are multiples of the largest buddy
 * block (4 MiB), so one byte per such block tells zone and node of a frame,
 * and a block never merges across a boundary.
 */
#ifndef KMEM_PHYS_INTERNAL_H
#define KMEM_PHYS_INTERNAL_H

#include <kmem/mm_types.h>
#include <kmem/phys.h>

#define PHYS_BLOCK_ORDER (MAX_ORDER - 1)
#define PHYS_HUGE_ORDER	 9 /* the system's huge pages, 2 MiB */
#define PHYS_BLOCK_BYTES (PAGE_SIZE << PHYS_BLOCK_ORDER)

#define PHYS_NR_ZONE_IDS (MAX_NUMNODES * MAX_NR_ZONES)
_Static_assert(PHYS_NR_ZONE_IDS <= 256, "a zone id is a byte");

/* Frames of one zone of one node; nr_pages 0: the zone is absent. */
struct phys_zone {
	unsigned long start_pfn;
	unsigned long nr_pages;
};

struct phys_node {
	unsigned long start_pfn;
	unsigned long nr_pages;
	struct phys_zone zone[MAX_NR_ZONES];
	unsigned int os_index; /* the system's number of the node, for mbind() */
};

/* Written by phys_init() and phys_exit() only. */
struct phys_memory {
	bool up;
	enum phys_backing backing;
	int fd; /* PHYS_MEMFD: frame n lies at offset n * PAGE_SIZE; -1 otherwise */
	int nr_nodes;
	struct phys_node node[MAX_NUMNODES];
	uint8_t *block_zone; /* zone id by pfn >> PHYS_BLOCK_ORDER */
	/* By pfn >> PHYS_HUGE_ORDER: a huge page has been asked for; hugepages.c's. */
	_Atomic uint8_t *huge_done;
};
extern struct phys_memory phys_memory;

/* Zone ids number all zones of all nodes: nid * MAX_NR_ZONES + zone. */
static inline unsigned int phys_zone_id(unsigned long pfn)
{
	return phys_memory.block_zone[pfn >> PHYS_BLOCK_ORDER];
}

/* Where kmap() shows a HIGHMEM frame that is in use, or NULL; for page_address(). Set by
 * kmap, a layer above; NULL while that is down. */
extern void *(*_Atomic phys_highmem_address)(const struct page *page);

/* Node of a CPU, by CPU number; read-only after phys_init(). */
extern uint8_t phys_cpu_node[];

/* The memory file; -1 with the private backing. */
int phys_fd(void);

/* First address past the direct map. */
char *phys_direct_end(void);

/*
 * Inaccessible address space of range_bytes that begins VMALLOC_OFFSET past the
 * end of the direct map. NULL with an error text when so much is not to be had
 * there. Belongs to phys: phys_exit() releases it.
 */
char *phys_vmalloc_base(size_t range_bytes);

/*
 * Bytes of the frames [pfn, pfn + nr), whatever their zone: the direct map, or
 * a mapping made for the purpose, which phys_unmap_frames() takes down. NULL
 * with an error text. Costs system calls for HIGHMEM frames.
 */
void *phys_map_frames(unsigned long pfn, unsigned long nr);
void phys_unmap_frames(void *addr, unsigned long pfn, unsigned long nr);

/* Zeroes the frames. 0, or -ENOMEM with a text where HIGHMEM frames can neither be mapped
 * nor be given back. */
int phys_zero_frames(unsigned long pfn, unsigned long nr);

/* Gives the frames' memory back to the system; they read as zeroes. 0 or -errno. */
int phys_discard_frames(unsigned long pfn, unsigned long nr);

/* The same for the descriptors of free frames, as far as they fill pages: all-zero then,
 * or, where the system refuses, as they were. Nobody may take these frames meanwhile. */
void phys_discard_descriptors(unsigned long pfn, unsigned long nr);

/* Makes every descriptor all-zero again; nobody may hold a page. */
void phys_clear_descriptors(void);

/* --- hugepages.c --- */
void phys_hugepages_init(bool always);
/* Advises the system about those that are worth it in any case. */
void phys_advise_descriptors(void);
/* Where this is set, the page allocator calls phys_collapse_frames() for blocks that it
 * takes from a zone, without a lock: the 2 MiB that they lie in become huge pages, once.
 * Some 200 us each time that there is something to do. */
extern _Atomic bool phys_collapses;
void phys_collapse_frames(unsigned long pfn, unsigned long nr);
/* Their memory has gone back to the system. */
void phys_hugepages_discarded(unsigned long pfn, unsigned long nr);

/* --- topology.c --- */
struct phys_topology {
	int nr_nodes;
	bool simulated;
	unsigned int os_index[MAX_NUMNODES];
	uint8_t distance[MAX_NUMNODES][MAX_NUMNODES];
};

/* "flat": one node of all CPUs, without asking anybody. */
#define PHYS_TOPOLOGY_FLAT "flat"
void phys_topology_flat(struct phys_topology *t);

/* Reads the description (see struct phys_config) and fills cpu_node for nr_cpus CPUs. */
int phys_topology_load(const char *description, struct phys_topology *t,
		       uint8_t *cpu_node, unsigned int nr_cpus);

#endif /* KMEM_PHYS_INTERNAL_H */
