/* SPDX-License-Identifier: MIT */
/* Ranges in the per-CPU areas: the same offset, once for every possible CPU. */
#ifndef KMEM_OS_PERCPU_AREA_H
#define KMEM_OS_PERCPU_AREA_H

#include <kmem/compiler.h>

/*
 * Address of CPU 0's copy of a new range; CPU c's lies c * PERCPU_AREA_BYTES
 * further on. The first `header` bytes of each copy are zero, and so is the
 * whole of a copy never used before. NULL: no memory. Any thread may call.
 */
char *percpu_area_alloc(size_t size, size_t header);
void percpu_area_free(char *base, size_t size);

/* Around fork(2), as the last lock: nobody else is inside the two functions above. */
void percpu_area_fork_lock(void);
void percpu_area_fork_unlock(void);

#endif /* KMEM_OS_PERCPU_AREA_H */
