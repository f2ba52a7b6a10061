/* SPDX-License-Identifier: MIT */
/*
 * Alien caches: what a CPU frees of another node's objects it keeps on a stack for that
 * node, and sends home by the batch: one lock and one visit of another node's lines for
 * ALIEN_LIMIT objects instead of one for each. At home they go onto the node's own depot,
 * from where its CPUs refill their arrays, and to their slabs when that is full.
 *
 * The stacks are those of os/percpu_fast.h, one set for each home node. Nobody allocates
 * from them: draining, which shrinking and reaping do, is what empties those of a CPU
 * that frees no more. (Linux empties one of them every two seconds, reap_alien().)
 */
#include "allocators/slab/slab_internal.h"
#include <errno.h>

/* Eight lines of pointers. Linux has 12 objects. */
#define ALIEN_LIMIT 64u

int slab_alien_init(struct kmem_cache *cache)
{
	uint32_t limit = cache->batchcount < ALIEN_LIMIT ? cache->batchcount
							 : ALIEN_LIMIT;

	if (!slab_config.alien || slab_nr_nodes == 1)
		return 0;
	for (unsigned int nid = 0; nid < slab_nr_nodes; nid++) {
		if (percpu_stacks_init(&cache->node[nid].alien, limit) != 0)
			return -ENOMEM;
	}
	return 0;
}

void slab_alien_destroy(struct kmem_cache *cache)
{
	for (unsigned int nid = 0; nid < slab_nr_nodes; nid++)
		percpu_stacks_destroy(&cache->node[nid].alien);
}

void slab_alien_free(struct kmem_cache *cache, int nid, void *object)
{
	const struct percpu_stacks *alien = &cache->node[nid].alien;
	void *objects[ALIEN_LIMIT + 1];
	size_t n = 0;

	if (alien->base) {
		if (KMEM_LIKELY(percpu_push(alien, object)))
			return;
		/* These count as pops: it is the statistics of what was sent. */
		n = percpu_pop_batch(alien, ALIEN_LIMIT, objects);
	}
	objects[n++] = object;
	slab_node_put(cache, n, objects);
}

struct slab_alien_sums slab_alien_sum(const struct kmem_cache *cache)
{
	struct slab_alien_sums sums = {0};

	for (unsigned int nid = 0; nid < slab_nr_nodes; nid++) {
		const struct percpu_stacks *alien = &cache->node[nid].alien;

		sums.objects += percpu_count(alien);
		for (unsigned int cpu = 0; cpu < alien->nr_cpus; cpu++)
			sums.sent += percpu_pops(alien, cpu);
	}
	return sums;
}
