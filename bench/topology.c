/* SPDX-License-Identifier: MIT */
/*
 * The order of CPUs for worker threads.
 *
 * Each cell asks once, in its own process, so hwloc loads only what is needed:
 * cores and processing units. No devices, no caches, no packages.
 */
#include "bench/topology.h"

#include <errno.h>
#include <hwloc.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include <kmem/error.h>

static int load_cores(hwloc_topology_t *topology)
{
	if (hwloc_topology_init(topology) != 0)
		return kmem_error(-ENOMEM, "no memory for hwloc's topology");
	hwloc_topology_set_all_types_filter(*topology, HWLOC_TYPE_FILTER_KEEP_NONE);
	hwloc_topology_set_type_filter(*topology, HWLOC_OBJ_CORE,
				       HWLOC_TYPE_FILTER_KEEP_ALL);
	if (hwloc_topology_load(*topology) != 0) {
		int err = errno;

		hwloc_topology_destroy(*topology);
		return kmem_error(-err, "hwloc cannot read this machine's topology: %s",
				  strerror(err));
	}
	return 0;
}

/* The n-th (from 0) allowed CPU of a core in order; -1 when it has no more. */
static int nth_allowed(hwloc_const_bitmap_t core, hwloc_const_bitmap_t allowed,
		       unsigned int n)
{
	int cpu;

	for (cpu = hwloc_bitmap_next(core, -1); cpu >= 0;
	     cpu = hwloc_bitmap_next(core, cpu)) {
		if (hwloc_bitmap_isset(allowed, (unsigned int)cpu) && n-- == 0)
			break;
	}
	return cpu;
}

/* All allowed CPUs in the order of topology_worker_cpus(); returns how many. */
static unsigned int order_cpus(hwloc_topology_t topology, hwloc_const_bitmap_t allowed,
			       unsigned int *order, unsigned int size)
{
	int depth = hwloc_get_type_or_above_depth(topology, HWLOC_OBJ_CORE);
	unsigned int count = 0, count_before;
	unsigned int round = 0;

	do {
		hwloc_obj_t core = NULL;

		count_before = count;
		while ((core = hwloc_get_next_obj_by_depth(topology, depth, core)) !=
		       NULL) {
			int cpu = nth_allowed(core->cpuset, allowed, round);

			if (cpu >= 0 && count < size)
				order[count++] = (unsigned int)cpu;
		}
		round++;
	} while (count > count_before);
	return count;
}

static int fill(hwloc_topology_t topology, hwloc_bitmap_t allowed, unsigned int threads,
		unsigned int *os_index)
{
	unsigned int *order;
	unsigned int count;
	int weight;

	if (hwloc_get_cpubind(topology, allowed, HWLOC_CPUBIND_THREAD) != 0)
		return kmem_error(-errno,
				  "cannot read which CPUs this thread may use: %m");
	weight = hwloc_bitmap_weight(allowed);
	if (weight <= 0)
		return kmem_error(-EINVAL, "this thread may use no CPU: see taskset(1)");
	order = calloc((size_t)weight, sizeof(*order));
	if (order == NULL)
		return kmem_error(-ENOMEM, "no memory for the order of %d CPUs", weight);
	count = order_cpus(topology, allowed, order, (unsigned int)weight);
	for (unsigned int i = 0; count > 0 && i < threads; i++)
		os_index[i] = order[i % count];
	free(order);
	if (count == 0)
		return kmem_error(-EINVAL,
				  "hwloc knows none of the CPUs this thread may use");
	return 0;
}

int topology_worker_cpus(unsigned int threads, unsigned int *os_index)
{
	hwloc_topology_t topology;
	hwloc_bitmap_t allowed;
	int err = load_cores(&topology);

	if (err != 0)
		return err;
	allowed = hwloc_bitmap_alloc();
	if (allowed == NULL)
		err = kmem_error(-ENOMEM, "no memory for a set of CPUs");
	else
		err = fill(topology, allowed, threads, os_index);
	hwloc_bitmap_free(allowed);
	hwloc_topology_destroy(topology);
	return err;
}

int topology_pin_self(unsigned int os_index)
{
	size_t bytes = CPU_ALLOC_SIZE(os_index + 1);
	cpu_set_t *set = CPU_ALLOC(os_index + 1);
	int err = 0;

	if (set == NULL)
		return kmem_error(-ENOMEM, "no memory for a set of CPUs");
	CPU_ZERO_S(bytes, set);
	CPU_SET_S(os_index, bytes, set);
	if (sched_setaffinity(0, bytes, set) != 0)
		err = kmem_error(-errno, "cannot bind a thread to CPU %u: %m", os_index);
	CPU_FREE(set);
	return err;
}
