/* SPDX-License-Identifier: MIT */
/* What `topology` shows, as JSON, from an hwloc topology. */
#ifndef KMEMBENCH_TOPOLOGY_VIEW_H
#define KMEMBENCH_TOPOLOGY_VIEW_H

#include <hwloc.h>
#include <jansson.h>

#include <kmem/compiler.h>

/*
 * Loads this machine (NULL or ""), an hwloc XML file (the name ends in .xml) or
 * a synthetic description ("numa:2 core:4 pu:2"). 0, or -errno with an error
 * text; the caller destroys the topology.
 */
KMEM_MUST_CHECK int topology_load(const char *spec, hwloc_topology_t *topology);

/* A new reference. `spec` as for topology_load(). */
json_t *topology_json(hwloc_topology_t topology, const char *spec);

/* The same object as text, to stdout. */
void topology_print(const json_t *view);

#endif /* KMEMBENCH_TOPOLOGY_VIEW_H */
