/* SPDX-License-Identifier: MIT */
/* Inner functions of malloc; malloc.c has the theory. */
#ifndef KMEM_MALLOC_INTERNAL_H
#define KMEM_MALLOC_INTERNAL_H

#include <kmem/malloc.h>
#include "allocators/os/spinlock.h"

/* --- malloc.c: everything the hit path of malloc_fast.h does not serve --- */

/* size bytes aligned to align (0 or a power of two); sets errno when it fails. */
void *malloc_slow(size_t size, size_t align, bool zero);
void *malloc_slow_plain(size_t size); /* the same; two arguments fewer to set up */
void free_slow(void *ptr);

/* --- malloc_init.c --- */

enum malloc_start {
	MALLOC_READY,
	MALLOC_STARTING, /* by this very thread, further up its stack */
	MALLOC_FAILED,	 /* no memory to start with; the next call tries again */
};
/* Starts if nobody has; waits while another thread does. */
enum malloc_start malloc_start(void);
bool malloc_is_up(void);
/* What the running instance was started with. */
extern struct malloc_config malloc_config;

/* --- bootstrap.c: blocks for whoever allocates while we start --- */
void *bootstrap_alloc(size_t size, size_t align);
bool bootstrap_owns(const void *ptr);
size_t bootstrap_usable_size(const void *ptr);

/* --- large.c: blocks in mappings of their own --- */

/* At least size bytes, size >= 1; contents are zero if asked. NULL with errno. */
void *large_alloc(size_t size, size_t align, bool zero);
/* False after a report: not a live large block. */
bool large_free(void *ptr);
/* 0 after a report. */
size_t large_usable_size(const void *ptr);
/* Makes a live block larger or smaller, moving it if need be; NULL: unchanged. */
void *large_resize(void *ptr, size_t size);
/* Unmaps the freed blocks that are kept, or only those older than max_age_ms. Bytes. */
size_t large_release(uint64_t max_age_ms);
void large_stats(struct kmem_malloc_stats *stats);
void large_fork_lock(void);
void large_fork_unlock(void);

/* --- trim.c --- */

/* After a call that took the slow path: trims when it is time to. */
void trim_tick(void);
/* Forgets what was; after start. */
void trim_reset(void);
void trim_stats(struct kmem_malloc_stats *stats);
void trim_fork_lock(void);
void trim_fork_unlock(void);

/* --- fork.c --- */

void malloc_fork_init(void);
void malloc_fork_exit(void);

/* Milliseconds of a coarse monotonic clock. */
uint64_t malloc_now_ms(void);

#endif /* KMEM_MALLOC_INTERNAL_H */
