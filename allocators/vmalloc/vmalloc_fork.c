/* SPDX-License-Identifier: MIT */
/*
 * Fork. Parent and child go on sharing the frames, so a child must not use areas that it
 * has not got from its parent for reading; but it must not hang either: both locks are
 * free there, and the stacks whole. Areas that another thread was making or unmaking are
 * lost to the child.
 */
#include "allocators/os/os_fork.h"
#include "allocators/vmalloc/vmalloc_internal.h"

static bool freeze(void)
{
	bool all = true;

	for (unsigned int nid = 0; nid < vmap_layer.nr_nodes; nid++) {
		for (unsigned int nr = 1; nr <= vmap_layer.percpu_pages_max; nr++)
			all &= percpu_freeze(vmap_percpu(nid, nr));
	}
	return all;
}

/* Leaves, never held together by anybody else. */
static void lock_inner(void)
{
	spin_lock(&vmap_layer.lock);
	spin_lock(&vmap_layer.pool.lock);
}

/* Whoever was unmapping areas is not there. */
static void child(void)
{
	atomic_store(&vmap_layer.releasing, 0);
	vmap_shrink_fork_child();
}

static void unlock(void)
{
	spin_unlock(&vmap_layer.pool.lock);
	spin_unlock(&vmap_layer.lock);
	for (unsigned int nid = 0; nid < vmap_layer.nr_nodes; nid++) {
		for (unsigned int nr = 1; nr <= vmap_layer.percpu_pages_max; nr++)
			percpu_thaw(vmap_percpu(nid, nr));
	}
}

void vmap_fork_init(void)
{
	static const struct os_fork_ops ops = {
		.freeze = freeze,
		.lock_inner = lock_inner,
		.child = child,
		.unlock = unlock,
	};

	os_fork_set(OS_FORK_VMALLOC, &ops);
}

void vmap_fork_exit(void)
{
	os_fork_set(OS_FORK_VMALLOC, NULL);
}
