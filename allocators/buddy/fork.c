/* SPDX-License-Identifier: MIT */
/*
 * Fork. The forking thread stops everybody else at a place where nothing is half
 * done, so that the child finds its copy usable: it freezes the per-CPU lists and
 * holds every lock (os/os_fork.h). With a memory file the child does not hang either,
 * but it goes on sharing the frames with its parent: it must neither allocate nor free.
 */
#include "allocators/buddy/reclaim_internal.h"
#include "allocators/buddy/rows_internal.h"
#include "allocators/os/os_fork.h"

/* A request that empties other CPUs' lists holds it. */
static void lock_drain(void)
{
	spin_lock(&buddy_drain_lock);
}

static bool freeze(void)
{
	bool all = true;

	for_each_zone (zone) {
		for (unsigned int kind = 0; kind < buddy.pcp_kinds; kind++) {
			if (zone_has_list(zone, kind))
				all &= percpu_freeze(&zone->pcp[kind]);
		}
	}
	return all;
}

/* In order of zone id; everybody else takes one zone lock at a time. */
static void lock_zones(void)
{
	rows_fork_lock();
	for_each_zone (zone)
		spin_lock(&zone->lock);
}

static void unlock(void)
{
	for_each_zone (zone)
		spin_unlock(&zone->lock);
	rows_fork_unlock();
	for_each_zone (zone) {
		for (unsigned int kind = 0; kind < buddy.pcp_kinds; kind++) {
			if (zone_has_list(zone, kind))
				percpu_thaw(&zone->pcp[kind]);
		}
	}
	spin_unlock(&buddy_drain_lock);
}

static void child(void)
{
	buddy.forked = true;
	reclaim_fork_child();
	kswapd_fork_child();
}

void buddy_fork_init(void)
{
	static const struct os_fork_ops ops = {
		.lock = lock_drain,
		.freeze = freeze,
		.lock_inner = lock_zones,
		.child = child,
		.unlock = unlock,
	};

	os_fork_set(OS_FORK_BUDDY, &ops);
}

void buddy_fork_exit(void)
{
	os_fork_set(OS_FORK_BUDDY, NULL);
}
