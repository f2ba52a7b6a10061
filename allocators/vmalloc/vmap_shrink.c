/* SPDX-License-Identifier: MIT */
/*
 * Freed areas under memory pressure: the vmalloc layer's shrinker.
 *
 * All pages of cached areas can be had: those of the pool, oldest first, then those on
 * the CPUs' stacks. Areas that are neighbours are unmapped by one call, and one that is
 * larger than what is asked for goes as a whole.
 *
 * Who scans may be on its way to a new area, a slab, or a page of any kind, and hold what
 * locks it likes but the spin locks of this layer, under which nobody allocates. An area
 * that it is making belongs to it, and is not cached. One thread scans at a time; others
 * wait for it a little (the pages are on their way), and not without end, for a report in
 * the midst of a scan may allocate.
 */
#include "allocators/vmalloc/vmalloc_internal.h"

#include <kmem/reclaim.h>

static struct kmem_spinlock scanning;

static bool lock_in_reclaim(void)
{
	enum { TRIES = 1000 };

	for (int i = 0; i < TRIES; i++) {
		if (spin_trylock(&scanning))
			return true;
		sched_yield();
	}
	return false;
}

static unsigned long count(struct shrinker *s, int nid)
{
	unsigned long pages = (unsigned long)vmap_lazy_pages((unsigned int)nid);

	(void)s;
	/* What others are giving back is worth the wait. */
	return pages == 0 && atomic_load(&vmap_layer.releasing) != 0 ? 1 : pages;
}

/* A page array is cached only when the area it belonged to has gone. */
static unsigned long release(unsigned int nid, unsigned long nr)
{
	struct vmap_area *chain;
	unsigned long freed = 0;

	while (freed < nr) {
		unsigned long before = freed;

		/* Raised before: nobody finds the areas nowhere. */
		atomic_fetch_add(&vmap_layer.releasing, 1);
		chain = vmap_take_cached(nid, nr - freed);
		if (chain != NULL) {
			atomic_fetch_add_explicit(&vmap_layer.purges, 1,
						  memory_order_relaxed);
			freed += (unsigned long)vmap_release_chain(chain);
		}
		atomic_fetch_sub(&vmap_layer.releasing, 1);
		if (freed == before)
			break;
	}
	return freed;
}

static unsigned long scan(struct shrinker *s, int nid, unsigned long nr, gfp_t gfp)
{
	unsigned long freed;

	(void)s, (void)gfp;
	if (!lock_in_reclaim())
		return 0;
	freed = release((unsigned int)nid, nr);
	spin_unlock(&scanning);
	return freed;
}

static struct shrinker shrinker = {.count = count, .scan = scan};

/* It fails only where the page allocator is not up, or this has been called already. */
void vmap_shrink_init(void)
{
	register_shrinker(&shrinker);
}

void vmap_shrink_exit(void)
{
	unregister_shrinker(&shrinker);
}

void vmap_shrink_stop(void)
{
	spin_lock(&scanning);
}

void vmap_shrink_go_on(void)
{
	spin_unlock(&scanning);
}

void vmap_shrink_fork_child(void)
{
	spin_lock_init(&scanning);
}
