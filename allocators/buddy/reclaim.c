/* SPDX-License-Identifier: MIT */
/*
 * Reclaim: asking the shrinkers for pages.
 *
 * Effort grows by priority, from 12 down to 0: a round scans a share of 2^-priority
 * of what each shrinker could give, weighed by what it costs to make again, so that
 * the first rounds take a little from everybody, and only the last everything. A
 * round ends the attempt when it has brought enough (Linux 2.6.28, shrink_slab()
 * and do_try_to_free_pages()).
 *
 * A thread that is reclaiming must not reclaim in order to reclaim: its requests are
 * served from below the watermarks (the kernel's PF_MEMALLOC).
 *
 * Lock: `shrinkers_lock`, a readers-writer lock, outermost of all: held for reading
 * while shrinkers run, for writing while the list changes. Shrinkers may take any
 * lock of their own and of the page allocator below it. A fork does not wait for
 * shrinkers: the list changes by one store, and the child makes the lock anew.
 */
#include "allocators/buddy/reclaim_internal.h"

#include <errno.h>
#include <kmem/error.h>
#include <pthread.h>

#define DEF_PRIORITY	 12
#define SWAP_CLUSTER_MAX 32 /* pages that an attempt wants at least, as in Linux */

static pthread_rwlock_t shrinkers_lock = PTHREAD_RWLOCK_INITIALIZER;
static _Atomic(struct shrinker *) shrinkers; /* under shrinkers_lock */

__thread bool buddy_in_reclaim;

static bool registered(const struct shrinker *s)
{
	for (const struct shrinker *other = shrinkers; other != NULL;
	     other = other->next) {
		if (other == s)
			return true;
	}
	return false;
}

bool have_shrinkers(void)
{
	return atomic_load_explicit(&shrinkers, memory_order_relaxed) != NULL;
}

void reclaim_fork_child(void)
{
	pthread_rwlock_init(&shrinkers_lock, NULL);
}

int register_shrinker(struct shrinker *s)
{
	bool twice;

	if (buddy.nr_frames == 0 || s->count == NULL || s->scan == NULL)
		return kmem_error(-EINVAL,
				  "a shrinker needs the functions count and scan, "
				  "and buddy_init() before it");
	pthread_rwlock_wrlock(&shrinkers_lock);
	twice = registered(s);
	if (!twice) {
		s->next = shrinkers;
		shrinkers = s;
	}
	pthread_rwlock_unlock(&shrinkers_lock);
	if (twice)
		return kmem_error(-EINVAL, "the shrinker is registered already");
	kswapd_attach();
	return 0;
}

void unregister_shrinker(struct shrinker *s)
{
	pthread_rwlock_wrlock(&shrinkers_lock);
	if (shrinkers == s)
		shrinkers = s->next;
	for (struct shrinker *before = shrinkers; before != NULL; before = before->next) {
		if (before->next == s)
			before->next = s->next;
	}
	pthread_rwlock_unlock(&shrinkers_lock);
}

static unsigned long shrink_one(struct shrinker *s, int nid, gfp_t gfp, int priority)
{
	unsigned long freeable = s->count(s, nid);
	int seeks = s->seeks > 0 ? s->seeks : DEFAULT_SEEKS;
	unsigned long nr = (freeable >> priority) * DEFAULT_SEEKS / (unsigned long)seeks;

	if (freeable == 0)
		return 0;
	if (nr < SWAP_CLUSTER_MAX)
		nr = SWAP_CLUSTER_MAX;
	if (nr > freeable)
		nr = freeable;
	stat_add(&buddy_node_stats[nid].slabs_scanned, nr);
	return s->scan(s, nid, nr, gfp);
}

unsigned long shrink_node(int nid, gfp_t gfp, int priority)
{
	unsigned long freed = 0;

	pthread_rwlock_rdlock(&shrinkers_lock);
	for (struct shrinker *s = shrinkers; s != NULL; s = s->next)
		freed += shrink_one(s, nid, gfp, priority);
	pthread_rwlock_unlock(&shrinkers_lock);
	return freed;
}

unsigned long try_to_free_pages(int nid, gfp_t gfp, unsigned int order)
{
	unsigned long freed = 0, wanted = 1UL << order;

	if (buddy_in_reclaim || !have_shrinkers())
		return 0;
	if (wanted < SWAP_CLUSTER_MAX)
		wanted = SWAP_CLUSTER_MAX;
	buddy_in_reclaim = true;
	for (int priority = DEF_PRIORITY; priority >= 0 && freed < wanted; priority--)
		freed += shrink_node(nid, gfp, priority);
	buddy_in_reclaim = false;
	stat_add(&buddy_node_stats[nid].pgsteal_direct, freed);
	return freed;
}
