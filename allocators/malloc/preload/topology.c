/* SPDX-License-Identifier: MIT */
/*
 * The machine as a preloaded malloc sees it: one node. It takes the place of
 * phys/topology.c, because a library that goes into every program must not load
 * hwloc into it, which allocates itself and takes longer to start than many
 * programs run. On a machine with several nodes the system places each page on the
 * node that touches it first.
 */
#include "allocators/phys/phys_internal.h"

#include <errno.h>
#include <kmem/error.h>
#include <string.h>

/* cpu_node is all zero already: every CPU belongs to the one node. */
int phys_topology_load(const char *description, struct phys_topology *t,
		       uint8_t *cpu_node, unsigned int nr_cpus)
{
	(void)cpu_node;
	(void)nr_cpus;
	if (description == NULL || strcmp(description, PHYS_TOPOLOGY_FLAT) != 0)
		return kmem_error(-EINVAL,
				  "topology '%s' needs hwloc, which is not in this "
				  "library; use '" PHYS_TOPOLOGY_FLAT "'",
				  description != NULL ? description : "");
	phys_topology_flat(t);
	return 0;
}
