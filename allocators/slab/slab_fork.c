/* SPDX-License-Identifier: MIT */
/*
 * Fork: the forking thread stops everybody else where no array, list or depot is
 * half changed. What another thread had in hands between two of them, a batch on
 * its way, is lost to the child; nothing is handed out twice.
 */
#include "allocators/os/os_fork.h"
#include "allocators/slab/slab_internal.h"

/* The depots' locks, too: with locks in place of sequences who holds one of them may wait
 * for a magazine, which will be stopped next. */
static void lock(void)
{
	struct kmem_cache *cache;

	slab_chain_lock();
	list_for_each_entry (cache, &slab_cache_chain, next) {
		slab_depot_lock_all(cache);
	}
}

static bool freeze(void)
{
	struct kmem_cache *cache;
	bool all = true;

	list_for_each_entry (cache, &slab_cache_chain, next) {
		all &= magazine_freeze(&cache->mag);
		for (unsigned int nid = 0; nid < slab_nr_nodes; nid++)
			all &= percpu_freeze(&cache->node[nid].alien);
	}
	return all;
}

/* In the order of the chain; everybody else takes one list_lock at a time. */
static void lock_lists(void)
{
	struct kmem_cache *cache;

	list_for_each_entry (cache, &slab_cache_chain, next) {
		for (unsigned int nid = 0; nid < slab_nr_nodes; nid++)
			spin_lock(&cache->node[nid].list_lock);
	}
}

static void unlock(void)
{
	struct kmem_cache *cache;

	list_for_each_entry (cache, &slab_cache_chain, next) {
		for (unsigned int nid = 0; nid < slab_nr_nodes; nid++) {
			spin_unlock(&cache->node[nid].list_lock);
			percpu_thaw(&cache->node[nid].alien);
		}
		magazine_thaw(&cache->mag);
		slab_depot_unlock_all(cache);
	}
	slab_chain_unlock();
}

void slab_fork_init(void)
{
	static const struct os_fork_ops ops = {
		.lock = lock,
		.freeze = freeze,
		.lock_inner = lock_lists,
		.unlock = unlock,
	};

	os_fork_set(OS_FORK_SLAB, &ops);
}

void slab_fork_exit(void)
{
	os_fork_set(OS_FORK_SLAB, NULL);
}
