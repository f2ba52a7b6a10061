/* SPDX-License-Identifier: MIT */
/* On which nodes of the machine the frames really lie. */
#include "allocators/os/os_mem.h"
#include "allocators/phys/phys_internal.h"

#include <errno.h>
#include <kmem/error.h>
#include <string.h>

/* Frames that are looked at, spread evenly: some milliseconds, whatever the memory. */
#define FRAMES_MAX 16384u
#define BATCH	   256u

struct batch {
	size_t n;
	unsigned int wanted[BATCH]; /* node, as the system numbers it */
	void *addr[BATCH];
	int node[BATCH];
};

static int look(struct batch *b, struct phys_placement *p)
{
	int err = os_pages_nodes(b->addr, b->n, b->node);

	if (err != 0)
		return kmem_error(err,
				  "the system does not tell where frames lie: %s; allow "
				  "move_pages(2)",
				  strerror(-err));
	for (size_t i = 0; i < b->n; i++) {
		if (b->node[i] < 0) /* no memory behind it yet */
			continue;
		p->frames++;
		p->misplaced += (unsigned int)b->node[i] != b->wanted[i];
	}
	b->n = 0;
	return 0;
}

int phys_placement(struct phys_placement *placement)
{
	unsigned long step = kmem_nr_frames / FRAMES_MAX + 1;
	struct batch b = {.n = 0};
	int err = 0;

	memset(placement, 0, sizeof(*placement));
	if (!phys_memory.up || phys_is_simulated() || phys_memory.nr_nodes == 1)
		return kmem_error(
			-ENOTSUP,
			"placement is a question for memory of several nodes of "
			"this machine, which is not set up");
	for (unsigned long pfn = 0; err == 0 && pfn < kmem_nr_frames; pfn += step) {
		unsigned int id = phys_zone_id(pfn);

		if (id % MAX_NR_ZONES == ZONE_HIGHMEM)
			continue;
		b.wanted[b.n] = phys_memory.node[id / MAX_NR_ZONES].os_index;
		b.addr[b.n++] = pfn_to_virt(pfn);
		if (b.n == BATCH)
			err = look(&b, placement);
	}
	return err == 0 && b.n != 0 ? look(&b, placement) : err;
}
