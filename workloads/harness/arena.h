/* SPDX-License-Identifier: MIT */
/*
 * Memory of the harness itself, straight from mmap and never from an allocator
 * that may be under test. Zeroed, pre-faulted (so that its page faults fall
 * before the clock starts), released with arena_free(). Fails by ending the
 * cell: a harness without memory has no result.
 */
#ifndef KMEMBENCH_ARENA_H
#define KMEMBENCH_ARENA_H

#include <kmem/compiler.h>

void *arena_alloc(size_t bytes);
/* bytes as given to arena_alloc(); NULL is ignored. */
void arena_free(void *p, size_t bytes);

/*
 * Bytes that arenas hold now. They are resident, and they are the harness's own:
 * whoever reports the resident memory of an allocator subtracts them.
 */
uint64_t arena_bytes(void);
/* The most that they held at any time since the last reset. */
uint64_t arena_bytes_max(void);
/* Begins the maximum anew, with what they hold now. No other thread may allocate. */
void arena_bytes_max_reset(void);

#endif /* KMEMBENCH_ARENA_H */
