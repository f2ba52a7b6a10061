/* SPDX-License-Identifier: MIT */
/* Where threads run: CPUs in the order in which workers are put on them. */
#ifndef KMEMBENCH_TOPOLOGY_H
#define KMEMBENCH_TOPOLOGY_H

#include <kmem/compiler.h>

/*
 * Fills os_index[threads] with the operating system's numbers of the CPUs for
 * that many threads: first one CPU of each core, in hwloc's order (neighbours
 * share a cache), then the cores' second hyperthreads, and so on; round again
 * when there are more threads than CPUs. Only CPUs that the calling thread may
 * use (cgroup, taskset). Takes a few milliseconds. 0, or -errno with an error
 * text.
 */
int topology_worker_cpus(unsigned int threads, unsigned int *os_index);

/* Binds the calling thread to one CPU. 0, or -errno with an error text. */
int topology_pin_self(unsigned int os_index);

#endif /* KMEMBENCH_TOPOLOGY_H */
