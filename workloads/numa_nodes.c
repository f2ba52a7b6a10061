/* SPDX-License-Identifier: MIT */
#include "workloads/numa_nodes.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <numa.h>
#include <numaif.h>
#include <sched.h>
#include <string.h>

#include <kmem/error.h>
#include <kmem/page_alloc.h>
#include <kmem/phys.h>
#include <kmem/vmalloc.h>

/* Addresses in one question to the kernel. */
#define QUESTION 512u
/* The kernel's own bound (CONFIG_NODES_SHIFT) is 10 at most. */
#define NODEMASK_BITS  1024u
#define WORD_BITS      (8 * sizeof(unsigned long))
#define NODEMASK_WORDS (NODEMASK_BITS / WORD_BITS)

/* The CPUs that the program may use; later each thread is pinned to one of them. */
static cpu_set_t cpus_at_start;

static void KMEM_CONSTRUCTOR note_cpus(void)
{
	if (sched_getaffinity(0, sizeof(cpus_at_start), &cpus_at_start) != 0)
		CPU_ZERO(&cpus_at_start);
}

static void find_system_nodes(struct numa_nodes *n)
{
	n->nr = 0;
	if (numa_available() < 0)
		return;
	for (int node = 0; node <= numa_max_node() && n->nr < MAX_NUMNODES; node++) {
		if (numa_node_size64(node, NULL) > 0)
			n->os_index[n->nr++] = node;
	}
}

unsigned int numa_nodes_of_system(void)
{
	struct numa_nodes n;

	find_system_nodes(&n);
	return n.nr > 0 ? n.nr : 1;
}

static int refuse_one_node(const struct numa_nodes *n, const struct workload_run *run)
{
	const char *workload = run->workload->name, *name = run->allocator->ops->name;

	if (n->ours)
		return kmem_error(
			-EINVAL,
			"workload '%s' needs two memory nodes, and allocator '%s' has one "
			"node: run it on a machine with several, or with simulated ones, "
			"%s:topology=numa:4 core:1 pu:1",
			workload, name, name);
	return kmem_error(
		-EINVAL,
		"workload '%s' needs two memory nodes, and this machine, whose memory "
		"allocator '%s' uses, has one node: run it on a machine with several; only "
		"buddy, slab and kmem have simulated ones",
		workload, name);
}

int numa_nodes_open(struct numa_nodes *n, const struct workload_run *run,
		    uint64_t preferred)
{
	n->ours = phys_nr_nodes() > 0;
	if (n->ours)
		n->nr = (unsigned int)phys_nr_nodes();
	else
		find_system_nodes(n);
	if (n->nr < 2)
		return refuse_one_node(n, run);
	if (preferred >= n->nr)
		return kmem_error(-EINVAL,
				  "workload '%s' has node=%" PRIu64
				  ", and there are %u nodes: give 0 to %u",
				  run->workload->name, preferred, n->nr, n->nr - 1);
	if (!n->ours && run->touch == TOUCH_NONE && !run->check)
		return kmem_error(
			-EINVAL,
			"workload '%s' has touch=none: memory of allocator '%s' "
			"lies nowhere until it is touched; give touch=ends",
			run->workload->name, run->allocator->ops->name);
	return 0;
}

uint64_t numa_nodes_bytes(const struct numa_nodes *n, unsigned int nid)
{
	long long free_bytes = 0;
	uint64_t pages = 0;

	if (!n->ours) {
		numa_node_size64(n->os_index[nid], &free_bytes);
		return (uint64_t)free_bytes;
	}
	for (int zone = 0; zone < ZONE_HIGHMEM; zone++) {
		struct buddy_stats s;

		buddy_stats((int)nid, zone, &s);
		pages += s.total_pages;
	}
	return pages * PAGE_SIZE;
}

static bool cpu_is_of(const struct numa_nodes *n, unsigned int cpu, unsigned int nid)
{
	if (!CPU_ISSET(cpu, &cpus_at_start))
		return false;
	return n->ours ? cpu_to_node(cpu) == (int)nid
		       : numa_node_of_cpu((int)cpu) == n->os_index[nid];
}

unsigned int numa_nodes_cpus(const struct numa_nodes *n, unsigned int nid)
{
	unsigned int count = 0;

	for (unsigned int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		count += cpu_is_of(n, cpu, nid);
	return count;
}

bool numa_nodes_bind(const struct numa_nodes *n, unsigned int nid, unsigned int turn)
{
	unsigned int count = numa_nodes_cpus(n, nid), seen = 0;
	cpu_set_t one;

	for (unsigned int cpu = 0; count > 0 && cpu < CPU_SETSIZE; cpu++) {
		if (!cpu_is_of(n, cpu, nid) || seen++ != turn % count)
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		return sched_setaffinity(0, sizeof(one), &one) == 0;
	}
	return false;
}

/* --- where blocks lie --- */

static int node_of_ours(const void *block)
{
	const struct page *page;

	if (virt_addr_valid(block))
		return page_to_nid(virt_to_page(block));
	if (!is_vmalloc_addr(block))
		return -1;
	page = vmalloc_to_page(block);
	return page != NULL ? page_to_nid(page) : -1;
}

static int index_of(const struct numa_nodes *n, int os_index)
{
	for (unsigned int i = 0; i < n->nr; i++) {
		if (n->os_index[i] == os_index)
			return (int)i;
	}
	return -1;
}

static void ask_kernel(const struct numa_nodes *n, void *const *block, size_t count,
		       int *node)
{
	void *page[QUESTION];
	int status[QUESTION];

	for (size_t i = 0; i < count; i++)
		page[i] = (void *)((uintptr_t)block[i] & PAGE_MASK);
	if (move_pages(0, count, page, NULL, status, 0) != 0)
		memset(status, -1, sizeof(status));
	for (size_t i = 0; i < count; i++)
		node[i] = status[i] >= 0 ? index_of(n, status[i]) : -1;
}

void numa_nodes_of(const struct numa_nodes *n, void *const *block, size_t count,
		   int *node)
{
	if (n->ours) {
		for (size_t i = 0; i < count; i++)
			node[i] = node_of_ours(block[i]);
		return;
	}
	for (size_t i = 0; i < count; i += QUESTION)
		ask_kernel(n, block + i, count - i < QUESTION ? count - i : QUESTION,
			   node + i);
}

int numa_nodes_policy(const struct numa_nodes *n, enum numa_policy policy,
		      unsigned int nid)
{
	static const int modes[] = {
		[POLICY_DEFAULT] = MPOL_DEFAULT,
		[POLICY_PREFERRED] = MPOL_PREFERRED,
		[POLICY_BIND] = MPOL_BIND,
		[POLICY_INTERLEAVE] = MPOL_INTERLEAVE,
	};
	unsigned long mask[NODEMASK_WORDS] = {0};
	const bool none = policy == POLICY_DEFAULT;

	for (unsigned int i = 0; i < n->nr; i++) {
		unsigned int os = (unsigned int)n->os_index[i];

		if ((i == nid || policy == POLICY_INTERLEAVE) && os < NODEMASK_BITS)
			mask[os / WORD_BITS] |= 1UL << os % WORD_BITS;
	}
	if (set_mempolicy(modes[policy], none ? NULL : mask, none ? 0 : NODEMASK_BITS) !=
	    0)
		return kmem_error(-errno, "set_mempolicy(2) for node %d: %s",
				  n->os_index[nid], strerror(errno));
	return 0;
}

/* --- over time --- */

static double share(uint64_t part, uint64_t rest)
{
	return part + rest != 0 ? (double)part / (double)(part + rest) : NAN;
}

void numa_course_read(const struct numa_nodes *n, unsigned int preferred, double *values)
{
	struct buddy_stats here, all;

	for (int i = 0; i < 4; i++)
		values[i] = NAN;
	if (!n->ours)
		return;
	buddy_stats((int)preferred, MAX_NR_ZONES, &here);
	buddy_stats(NUMA_NO_NODE, MAX_NR_ZONES, &all);
	values[0] = (double)here.free_pages;
	values[1] = (double)(all.free_pages - here.free_pages);
	values[2] = share(all.numa[NUMA_MISS], all.numa[NUMA_HIT]);
	values[3] = share(all.numa[NUMA_LOCAL], all.numa[NUMA_OTHER]);
}
