/* SPDX-License-Identifier: MIT */
/*
 * Physical memory: a reserved range of frames per node, divided into zones.
 *
 * One process has one physical memory; phys_init() is called once, by one
 * thread, before everything else, and phys_exit() last.
 */
#ifndef KMEM_PHYS_H
#define KMEM_PHYS_H

#include <kmem/mm_types.h>
#include <kmem/options.h>

enum phys_backing {
	/* Shared memory file: one frame may be mapped at several addresses (vmalloc,
	 * kmap). Not fork-safe: parent and child share the frames. */
	PHYS_MEMFD,
	/* Anonymous memory: copy-on-write works across fork; no vmalloc, no HIGHMEM. */
	PHYS_PRIVATE,
};

struct phys_config {
	int backing;		/* enum phys_backing */
	uint64_t memory_bytes;	/* of all nodes together, all zones */
	uint64_t dma_bytes;	/* ZONE_DMA, at the start of node 0; 0: no such zone */
	uint64_t highmem_bytes; /* ZONE_HIGHMEM, of all nodes together; 0: no such zone */
	/* "": this machine; "flat": one node, hwloc is not asked; an hwloc synthetic
	 * description ("numa:4 core:2 pu:1"); or the path of an hwloc XML file (ends in
	 * .xml). */
	const char *topology;
	/* 0 the system's choice (descriptors of a zone's far frames are advised), 1
	 * never, 2 always: advised, and where the system heeds no advice, made when 2 MiB
	 * are first used. */
	int hugepages;
};

extern KMEM_API const struct kmem_option phys_options[];

/* config NULL: the defaults. 0, -EBUSY when already up, -EINVAL, -ENOMEM;
 * kmem_last_error() has the sentence. */
KMEM_API int phys_init(const struct phys_config *config);
KMEM_API void phys_exit(void);

/*
 * Bytes of the frames that lie in huge pages of the system now; 0 also where it does not
 * tell. Reads /proc/self/smaps, some 100 us: not for a hot path.
 */
KMEM_API size_t phys_hugepage_bytes(void);
/* The same of the frames' descriptors. */
KMEM_API size_t phys_hugepage_map_bytes(void);

enum phys_hugepage_support {
	PHYS_HUGEPAGES_NONE,	  /* the kernel has refused them (before Linux 6.1) */
	PHYS_HUGEPAGES_ADVISED,	  /* hugepages=always: the first touch brings them */
	PHYS_HUGEPAGES_COLLAPSED, /* hugepages=always: made before the first use */
};

struct phys_hugepage_stats {
	enum phys_hugepage_support support; /* of the backing */
	uint64_t collapsed;		    /* huge pages made */
	uint64_t refused; /* that the system could not make when asked */
};
/* Reads the mode in /sys, some microseconds. */
KMEM_API void phys_hugepage_stats(struct phys_hugepage_stats *stats);

struct phys_placement {
	uint64_t frames;    /* with memory behind them, that were looked at */
	uint64_t misplaced; /* of these, on another node of the machine than theirs */
};
/*
 * Asks the kernel where frames lie (move_pages(2) without nodes): of those with a
 * permanent address some 16,000, spread evenly. Some milliseconds. 0; -ENOTSUP with a
 * text where nodes are simulated, or there is one; or -errno with a text.
 */
KMEM_API int phys_placement(struct phys_placement *placement);

KMEM_API int phys_nr_nodes(void);
/* True when the nodes are not the machine's own: results must say so. */
KMEM_API bool phys_is_simulated(void);
/* Relative distance as ACPI SLIT has it (10: local). */
KMEM_API int node_distance(int from, int to);
KMEM_API int cpu_to_node(unsigned int cpu);
KMEM_API int numa_node_id(void); /* of the calling thread's CPU */

#endif /* KMEM_PHYS_H */
