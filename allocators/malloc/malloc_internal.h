/* SPDX-License-Identifier: MIT */
/* Inner functions of malloc; malloc.c has the theory. */
#ifndef KMEM_MALLOC_INTERNAL_H
#define KMEM_MALLOC_INTERNAL_H

#include <kmem/malloc.h>
#include "allocators/os/spinlock.h"

/* --- malloc.c: everything the hit path of malloc_fast.h does not serve --- */

/* size bytes aligned to align (0 or a power of two); sets errno when it fails. */
void *malloc_slow(size_t size, size_t align, bool zero);
/* Up to this size blocks may be on arrays of the hit path: 0 before the start and in the
 * mode with locks. */
extern __attribute__((visibility("hidden"))) size_t malloc_hit_max;
/* The same as malloc_slow() where no array has served: plain, and above the sizes that
 * malloc_fast() looks at. */
void *malloc_miss(size_t size);
void *malloc_large(size_t size);
void free_slow(void *ptr);
void free_outside(void *ptr); /* the same where it is not in the direct map */

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
/* Nodes, as phys_config.topology; one, unless the adapter has set another before
 * kmem_malloc_init(): a string is no option of a malloc, which would have to copy it. */
extern const char *malloc_topology;

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
size_t large_cached_bytes(void);
void large_stats(struct kmem_malloc_stats *stats);
void large_fork_lock(void);
void large_fork_unlock(void);

/* --- spans.c: large blocks in spans of pages; spans_fast.h has the hit path --- */

/* Reserves up to so many bytes; without success every large block is a mapping. */
void spans_init(size_t bytes);
void spans_exit(void);
/* Gives up, for good, what has never been used of the range beyond `keep` bytes of it,
 * with its descriptors: for a limit on address space. */
void spans_give_up(size_t keep);
/* Makes what free spans cover and nothing resident mere address space again, in pieces of
 * 16 MiB: for a limit on data. Bytes. */
size_t spans_make_unusable(void);
/* NULL: no room. Contents are zero if asked. errno may change. */
void *span_alloc(size_t size, size_t align, bool zero);
/* Of this CPU's array, or NULL. */
void *span_alloc_cached(size_t size);
/* Address in the range; false after a report. */
bool span_free(void *ptr);
/* 0 after a report. */
size_t span_usable_size(const void *ptr);

/* --- spans_grow.c --- */

/* A block that is likely to grow, where it can; NULL: no such place, though there may be
 * one for span_alloc(). Never zeroed. */
void *span_alloc_growing(size_t size);
/* Makes a live block larger or smaller where it is; false: unchanged. */
bool span_resize(void *ptr, size_t size);

/* --- spans_purge.c --- */

/* Gives the memory of free spans back that are older than so many ms. Bytes. */
size_t spans_decay(uint64_t max_age_ms);
/* Empties the arrays: all, or those that have served nothing since the last call. */
void spans_drain(bool idle_only, uint64_t freed_ms);
/* All of this CPU's, as freed now. */
void spans_drain_here(void);
/* Bytes that are free and may be resident, those on arrays included. */
size_t spans_dirty_bytes(void);
/* Without those on arrays; no lock. */
size_t spans_free_bytes(void);
void spans_stats(struct kmem_malloc_stats *stats);
/* 0, or -EFAULT with a text; nobody else may be calling. */
int spans_check(void);
bool spans_fork_freeze(void);
void spans_fork_lock(void);
void spans_fork_unlock(void);

/* --- trim.c --- */

/* After a call that took the slow path: sees to it that somebody trims when it is time
 * to. small_free: the call frees, and no block above 128 KiB. */
void trim_tick(bool small_free, const void *caller);
/* What the background thread does; epoch_over in each trim_ms once. False: nothing is
 * left to be given back. */
bool trim_look(bool epoch_over);
/* Forgets what was; after start. */
void trim_reset(void);
void trim_stats(struct kmem_malloc_stats *stats);
/* Whoever trims holds it: around fork(2), and where nobody may trim meanwhile. */
void trim_lock(void);
void trim_unlock(void);

/* --- background.c --- */

/* Starts the thread unless it runs. False: there is none, the caller must look itself. */
bool background_start(const void *caller);
bool background_runs(void);
void background_init(void);
/* Returns when it has ended. */
void background_stop(void);
uint64_t background_starts(void);

/* --- fork.c --- */

void malloc_fork_init(void);
void malloc_fork_exit(void);

/* Milliseconds of a coarse monotonic clock. */
uint64_t malloc_now_ms(void);

#endif /* KMEM_MALLOC_INTERNAL_H */
