/* SPDX-License-Identifier: MIT */
/* Between reclaim.c, kswapd.c and the slow path of allocation. */
#ifndef KMEM_BUDDY_RECLAIM_INTERNAL_H
#define KMEM_BUDDY_RECLAIM_INTERNAL_H

#include "allocators/buddy/buddy_internal.h"

#include <kmem/reclaim.h>

/* One round over all shrinkers, priority 12 (a little) to 0 (everything). Returns how
 * many pages they gave back. buddy_in_reclaim is set. */
unsigned long shrink_node(int nid, gfp_t gfp, int priority);

/* Whether anybody is there to ask. */
bool have_shrinkers(void);
/* Nobody who holds the list is in the child. */
void reclaim_fork_child(void);

/* --- kswapd.c --- */

/* What buddy_init() was asked for; starts the threads if memory is to be purged. */
int kswapd_init(const struct buddy_config *config);
/* From now on requests find kswapd and direct reclaim. */
void kswapd_attach(void);
/* Starts the threads unless they run, or are not wanted: 0, or -EAGAIN with a text. */
int kswapd_start(void);
/* None of the threads is in the child. */
void kswapd_fork_child(void);
/* Stops and joins them. No request may be under way. */
void kswapd_exit(void);

#endif /* KMEM_BUDDY_RECLAIM_INTERNAL_H */
