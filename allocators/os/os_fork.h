/* SPDX-License-Identifier: MIT */
/*
 * Fork while other threads are inside the library.
 *
 * A child has the forking thread alone: a lock that another thread held stays taken for
 * ever, a list that it was changing stays half changed. So the forking thread first
 * stops everybody else where nothing is half done. Each layer says how, in the order
 * below, which is the lock order between layers.
 *
 *   lock         from the top layer down: locks under which other CPUs' stacks are
 *                drained, and everything that is held for long
 *   freeze       all layers, again until each returns true: percpu_freeze()
 *   lock_inner   from the top down: locks that a drain in progress needs, so that they
 *                must be free until nobody drains any more
 *   (fork)
 *   child        in the child alone, all still locked: what cannot be unlocked is made
 *                anew (condition variables, readers' locks, names of threads)
 *   unlock       from the bottom up, in parent and child
 *
 * In a process of one thread nothing is done. One pthread_atfork() for all layers,
 * made at the first registration: so the handlers of libraries that came later run
 * before ours at the fork, and may allocate.
 */
#ifndef KMEM_OS_FORK_H
#define KMEM_OS_FORK_H

#include <kmem/compiler.h>

enum os_fork_layer {
	OS_FORK_MALLOC, /* the top */
	OS_FORK_KMAP,
	OS_FORK_VMALLOC,
	OS_FORK_MEMPOOL,
	OS_FORK_SLAB,
	OS_FORK_BUDDY,
	OS_FORK_LAYERS,
};

/* Any of them may be NULL. Must not allocate, nor wait for who allocates under a lock
 * of a lower layer. */
struct os_fork_ops {
	void (*lock)(void);
	bool (*freeze)(void);
	void (*lock_inner)(void);
	void (*child)(void);
	void (*unlock)(void);
};

/* From now on (ops NULL: no longer). ops stays the caller's, who keeps it; nobody forks
 * meanwhile. */
void os_fork_set(enum os_fork_layer layer, const struct os_fork_ops *ops);

#endif /* KMEM_OS_FORK_H */
