/* SPDX-License-Identifier: MIT */
/* For the test of the template; a registered allocator needs no header. */
#ifndef KMEM_PEERS_SKELETON_H
#define KMEM_PEERS_SKELETON_H

#include <kmem/allocator.h>

extern const struct allocator_ops skeleton_ops;

#endif /* KMEM_PEERS_SKELETON_H */
