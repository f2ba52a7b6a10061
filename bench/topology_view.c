/* SPDX-License-Identifier: MIT */
/* Nodes, distances, caches and CPUs of an hwloc topology. */
#include "bench/topology_view.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "allocators/os/os_cpu.h"
#include "bench/topology.h"
#include <kmem/error.h>

/* ACPI's values where a description has no distances, as phys/topology.c assumes them. */
#define LOCAL_DISTANCE	10
#define REMOTE_DISTANCE 20

static bool is_xml(const char *spec)
{
	size_t length = strlen(spec);

	return length > 4 && strcmp(spec + length - 4, ".xml") == 0;
}

static bool is_this_machine(const char *spec)
{
	return spec == NULL || *spec == '\0';
}

static int not_xml(const char *spec)
{
	return kmem_error(
		-EINVAL,
		"'%s' is not an hwloc XML file: write one with 'lstopo FILE.xml'", spec);
}

static int set_source(hwloc_topology_t topology, const char *spec)
{
	if (is_this_machine(spec))
		return 0;
	if (is_xml(spec)) {
		if (access(spec, R_OK) != 0)
			return kmem_error(-errno, "cannot read the topology '%s': %m",
					  spec);
		return hwloc_topology_set_xml(topology, spec) == 0 ? 0 : not_xml(spec);
	}
	if (hwloc_topology_set_synthetic(topology, spec) != 0)
		return kmem_error(
			-EINVAL,
			"'%s' is neither an hwloc description nor the name of an .xml "
			"file: write for example 'numa:2 core:4 pu:2'",
			spec);
	return 0;
}

int topology_load(const char *spec, hwloc_topology_t *topology)
{
	int err;

	if (hwloc_topology_init(topology) != 0)
		return kmem_error(-ENOMEM, "no memory for hwloc's topology");
	err = set_source(*topology, spec);
	if (err == 0 && hwloc_topology_load(*topology) != 0) {
		/* A file is only parsed now. */
		if (!is_this_machine(spec) && is_xml(spec))
			err = not_xml(spec);
		else
			err = kmem_error(-EINVAL, "hwloc cannot load the topology: %s",
					 strerror(errno));
	}
	if (err != 0)
		hwloc_topology_destroy(*topology);
	return err;
}

/* --- nodes --- */

/* Numbers of a set as ranges, "0-3,8". */
static json_t *set_json(hwloc_const_bitmap_t set)
{
	char *text = NULL;
	json_t *result;

	if (set == NULL || hwloc_bitmap_list_asprintf(&text, set) < 0)
		return json_string("");
	result = json_string(text);
	free(text);
	return result;
}

/* The matrix, row by row; `given` tells whether the machine or description has one. */
static json_t *distances_json(hwloc_topology_t topology, unsigned int nodes, bool *given)
{
	struct hwloc_distances_s *d = NULL;
	unsigned int found = 1;
	json_t *matrix = json_array();

	*given = hwloc_distances_get_by_type(topology, HWLOC_OBJ_NUMANODE, &found, &d,
					     HWLOC_DISTANCES_KIND_MEANS_LATENCY,
					     0) == 0 &&
		 found > 0 && d != NULL && d->nbobjs == nodes;
	for (unsigned int from = 0; from < nodes; from++) {
		json_t *row = json_array();

		for (unsigned int to = 0; to < nodes; to++) {
			hwloc_uint64_t value = from == to ? LOCAL_DISTANCE
							  : REMOTE_DISTANCE;

			if (*given)
				value = d->values[from * nodes + to];
			json_array_append_new(row, json_integer((json_int_t)value));
		}
		json_array_append_new(matrix, row);
	}
	if (d != NULL)
		hwloc_distances_release(topology, d);
	return matrix;
}

static json_t *nodes_json(hwloc_topology_t topology)
{
	json_t *nodes = json_array();
	hwloc_obj_t node = NULL;

	while ((node = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_NUMANODE, node)) !=
	       NULL)
		json_array_append_new(
			nodes, json_pack("{s:i, s:i, s:I, s:o}", "node",
					 (int)node->logical_index, "os_index",
					 (int)node->os_index, "memory_bytes",
					 (json_int_t)node->attr->numanode.local_memory,
					 "cpus", set_json(node->cpuset)));
	return nodes;
}

/* --- caches and CPUs --- */

static const char *cache_type_name(hwloc_obj_cache_type_t type)
{
	switch (type) {
	case HWLOC_OBJ_CACHE_DATA: return "data";
	case HWLOC_OBJ_CACHE_INSTRUCTION: return "instruction";
	case HWLOC_OBJ_CACHE_UNIFIED: break;
	}
	return "unified";
}

/* One entry for each level and kind, from the first such cache. */
static json_t *caches_json(hwloc_topology_t topology)
{
	json_t *caches = json_array();

	for (int type = HWLOC_OBJ_L1CACHE; type <= HWLOC_OBJ_L3ICACHE; type++) {
		int count = hwloc_get_nbobjs_by_type(topology, (hwloc_obj_type_t)type);
		hwloc_obj_t cache;
		json_t *entry;

		if (count <= 0)
			continue;
		cache = hwloc_get_obj_by_type(topology, (hwloc_obj_type_t)type, 0);
		entry = json_pack("{s:i, s:s, s:I, s:i, s:i}", "level",
				  (int)cache->attr->cache.depth, "type",
				  cache_type_name(cache->attr->cache.type), "size_bytes",
				  (json_int_t)cache->attr->cache.size, "count", count,
				  "shared_by_cpus", hwloc_bitmap_weight(cache->cpuset));
		/* Descriptions need not say: absent then, not 0. */
		if (cache->attr->cache.linesize > 0)
			json_object_set_new(
				entry, "line_bytes",
				json_integer((json_int_t)cache->attr->cache.linesize));
		json_array_append_new(caches, entry);
	}
	return caches;
}

static int count_of(hwloc_topology_t topology, hwloc_obj_type_t type)
{
	int count = hwloc_get_nbobjs_by_type(topology, type);

	return count > 0 ? count : 0;
}

/* The CPUs that `run` would put 1, 2, 3, ... threads on. */
static json_t *worker_order_json(unsigned int cpus)
{
	unsigned int *order = calloc(cpus, sizeof(*order));
	json_t *list = json_array();

	if (order != NULL && topology_worker_cpus(cpus, order) == 0) {
		for (unsigned int i = 0; i < cpus; i++)
			json_array_append_new(list, json_integer(order[i]));
	}
	free(order);
	return list;
}

json_t *topology_json(hwloc_topology_t topology, const char *spec)
{
	int nodes = count_of(topology, HWLOC_OBJ_NUMANODE);
	int cpus = count_of(topology, HWLOC_OBJ_PU);
	bool simulated = !is_this_machine(spec);
	bool given;
	json_t *distances = distances_json(topology, (unsigned int)nodes, &given);
	json_t *view;

	view = json_pack("{s:s, s:b, s:i, s:i, s:i, s:o, s:o, s:b, s:o}", "source",
			 simulated ? spec : "this machine", "simulated", simulated,
			 "packages", count_of(topology, HWLOC_OBJ_PACKAGE), "cores",
			 count_of(topology, HWLOC_OBJ_CORE), "cpus", cpus, "nodes",
			 nodes_json(topology), "distances", distances, "distances_given",
			 given, "caches", caches_json(topology));
	if (!simulated)
		json_object_set_new(view, "percpu", json_string(os_percpu_mode()));
	if (!simulated && cpus > 0)
		json_object_set_new(view, "worker_order",
				    worker_order_json((unsigned int)cpus));
	return view;
}
