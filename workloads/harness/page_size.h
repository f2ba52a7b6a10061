/* SPDX-License-Identifier: MIT */
/* What the page workloads share: a size is a block of 2^order pages. */
#ifndef KMEMBENCH_PAGE_SIZE_H
#define KMEMBENCH_PAGE_SIZE_H

#include <errno.h>
#include <inttypes.h>

#include <kmem/error.h>
#include <kmem/mm_types.h>

#include "workloads/workload.h"

#define PAGE_BLOCK_MIN_BYTES ((uint64_t)PAGE_SIZE)
#define PAGE_BLOCK_MAX_BYTES ((uint64_t)PAGE_SIZE << (MAX_ORDER - 1))

/* 0, or -EINVAL with a text. The bounds themselves stand in the workload's table. */
static inline int page_size_check(const struct workload_run *run)
{
	if ((run->size_bytes & (run->size_bytes - 1)) == 0)
		return 0;
	return kmem_error(-EINVAL,
			  "workload '%s' takes blocks of 2^order pages, and %" PRIu64
			  " bytes is none: give 4K, 8K, 16K, up to 4M",
			  run->workload->name, run->size_bytes);
}

/* A block of 2^order pages starts at a multiple of its size; seen to when checking. */
static KMEM_ALWAYS_INLINE void page_block_verify(const struct worker *w,
						 const void *block, size_t size)
{
	if (KMEM_UNLIKELY(w->check) && ((uintptr_t)block & (size - 1)) != 0)
		worker_fail(
			w,
			"allocator '%s' returned a block of %zu bytes at %p, which is not "
			"a multiple of its size",
			w->a->ops->name, size, block);
}

#endif /* KMEMBENCH_PAGE_SIZE_H */
