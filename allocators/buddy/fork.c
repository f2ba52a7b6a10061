/* SPDX-License-Identifier: MIT */
/*
 * Fork. The forking thread stops everybody else at a place where nothing is half
 * done, so that the child finds its copy usable: it freezes the per-CPU lists and
 * holds every lock. The private backing only: with a memory file parent and child
 * would go on sharing the frames.
 */
#include "allocators/buddy/rows_internal.h"

void buddy_fork_lock_drain(void)
{
	spin_lock(&buddy_drain_lock);
}

bool buddy_fork_freeze(void)
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
void buddy_fork_lock_zones(void)
{
	rows_fork_lock();
	for_each_zone (zone)
		spin_lock(&zone->lock);
}

void buddy_fork_unlock(void)
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
