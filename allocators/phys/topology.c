/* SPDX-License-Identifier: MIT */
/* Nodes, their distances and their CPUs, from hwloc. */
#include "allocators/phys/phys_internal.h"

#include <errno.h>
#include <hwloc.h>
#include <kmem/error.h>
#include <string.h>
#include <unistd.h>

/* ACPI's values for "local" and, where a machine says nothing, "another node". */
#define LOCAL_DISTANCE	10
#define REMOTE_DISTANCE 20

static bool ends_in(const char *text, const char *suffix)
{
	size_t length = strlen(text), tail = strlen(suffix);

	return length >= tail && strcmp(text + length - tail, suffix) == 0;
}

/* Chooses hwloc's source: 0, or -EINVAL with an error text. */
static int set_source(hwloc_topology_t topology, const char *description)
{
	if (description[0] == '\0')
		return 0;
	if (ends_in(description, ".xml")) {
		if (access(description, R_OK) != 0)
			return kmem_error(
				-EINVAL,
				"topology file '%s' cannot be read: %s; give the "
				"path of a file written by lstopo",
				description, strerror(errno));
		if (hwloc_topology_set_xml(topology, description) == 0)
			return 0;
		return kmem_error(-EINVAL,
				  "topology file '%s' is no hwloc XML; write one with "
				  "'lstopo file.xml'",
				  description);
	}
	if (hwloc_topology_set_synthetic(topology, description) == 0)
		return 0;
	return kmem_error(
		-EINVAL,
		"topology '%s' is not understood; give an hwloc description such as "
		"'numa:4 core:2 pu:1', or a file that ends in .xml",
		description);
}

static void default_distances(struct phys_topology *t)
{
	for (int from = 0; from < t->nr_nodes; from++) {
		for (int to = 0; to < t->nr_nodes; to++)
			t->distance[from][to] = from == to ? LOCAL_DISTANCE
							   : REMOTE_DISTANCE;
	}
}

/* Takes over a matrix in which every node is nearest to itself. */
static void read_distances(hwloc_topology_t topology, struct phys_topology *t)
{
	struct hwloc_distances_s *d = NULL;
	unsigned int found = 1;

	default_distances(t);
	if (hwloc_distances_get_by_type(topology, HWLOC_OBJ_NUMANODE, &found, &d,
					HWLOC_DISTANCES_KIND_MEANS_LATENCY, 0) != 0 ||
	    found == 0 || d == NULL)
		return;
	for (unsigned int i = 0; i < d->nbobjs; i++) {
		for (unsigned int j = 0; j < d->nbobjs; j++) {
			unsigned int from = d->objs[i]->logical_index;
			unsigned int to = d->objs[j]->logical_index;
			uint64_t value = d->values[i * d->nbobjs + j];

			if (from < (unsigned int)t->nr_nodes &&
			    to < (unsigned int)t->nr_nodes)
				t->distance[from][to] = value > UINT8_MAX
								? UINT8_MAX
								: (uint8_t)value;
		}
	}
	hwloc_distances_release(topology, d);
	for (int from = 0; from < t->nr_nodes; from++) {
		for (int to = 0; to < t->nr_nodes; to++) {
			if (t->distance[from][to] < t->distance[from][from]) {
				default_distances(t);
				return;
			}
		}
	}
}

/* The first node whose CPUs include the unit; 0 when none does. */
static uint8_t node_of_pu(hwloc_topology_t topology, int nr_nodes, unsigned int os_index)
{
	for (int nid = 0; nid < nr_nodes; nid++) {
		hwloc_obj_t node = hwloc_get_obj_by_type(topology, HWLOC_OBJ_NUMANODE,
							 (unsigned int)nid);

		if (hwloc_bitmap_isset(node->cpuset, os_index))
			return (uint8_t)nid;
	}
	return 0;
}

/*
 * A real CPU keeps its own node. On a simulated machine CPU c plays processing
 * unit c modulo their number, so that every thread has a place on it.
 */
static void read_cpus(hwloc_topology_t topology, const struct phys_topology *t,
		      uint8_t *cpu_node, unsigned int nr_cpus)
{
	int units = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_PU);

	for (unsigned int cpu = 0; cpu < nr_cpus; cpu++) {
		unsigned int os_index = cpu;

		if (t->simulated && units > 0)
			os_index = hwloc_get_obj_by_type(topology, HWLOC_OBJ_PU,
							 cpu % (unsigned int)units)
					   ->os_index;
		cpu_node[cpu] = node_of_pu(topology, t->nr_nodes, os_index);
	}
}

static int read_nodes(hwloc_topology_t topology, struct phys_topology *t)
{
	t->nr_nodes = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_NUMANODE);
	if (t->nr_nodes < 1 || t->nr_nodes > MAX_NUMNODES)
		return kmem_error(
			-EINVAL,
			"the topology has %d nodes; 1 to %d are supported, choose "
			"another with topology='numa:2 pu:1'",
			t->nr_nodes, MAX_NUMNODES);
	for (int nid = 0; nid < t->nr_nodes; nid++)
		t->os_index[nid] = hwloc_get_obj_by_type(topology, HWLOC_OBJ_NUMANODE,
							 (unsigned int)nid)
					   ->os_index;
	t->simulated = hwloc_topology_is_thissystem(topology) == 0;
	return 0;
}

/* Weak: libkmem-malloc.so, which goes into every program, brings one without hwloc. */
__attribute__((weak)) int phys_topology_load(const char *description,
					     struct phys_topology *t, uint8_t *cpu_node,
					     unsigned int nr_cpus)
{
	hwloc_topology_t topology;
	int err;

	memset(t, 0, sizeof(*t));
	if (description == NULL)
		description = "";
	if (strcmp(description, PHYS_TOPOLOGY_FLAT) == 0) {
		phys_topology_flat(t); /* cpu_node is all zero already */
		return 0;
	}
	if (hwloc_topology_init(&topology) != 0)
		return kmem_error(-ENOMEM, "hwloc cannot start: %s", strerror(errno));
	/* Caches are of no use here; packages and groups are, for they hold the nodes. */
	hwloc_topology_set_cache_types_filter(topology, HWLOC_TYPE_FILTER_KEEP_NONE);
	err = set_source(topology, description);
	if (err == 0 && hwloc_topology_load(topology) != 0)
		err = kmem_error(-EINVAL, "topology '%s' cannot be loaded by hwloc: %s",
				 description, strerror(errno));
	if (err == 0)
		err = read_nodes(topology, t);
	if (err == 0) {
		read_distances(topology, t);
		read_cpus(topology, t, cpu_node, nr_cpus);
	}
	hwloc_topology_destroy(topology);
	return err;
}
