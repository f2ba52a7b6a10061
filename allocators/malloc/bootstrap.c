/* SPDX-License-Identifier: MIT */
/*
 * Memory for allocations that are made while malloc starts, by the thread that
 * starts it: a static array that is only ever filled. Starting allocates nothing
 * as far as we know; this is for a C library that does so inside a call of ours.
 *
 *   | size | pad | block, aligned | size | pad | block | ...
 *          '- the size lies in the 16 bytes before the block
 */
#include "allocators/malloc/malloc_internal.h"

#include <stdatomic.h>

#define ARENA_BYTES  ((size_t)16 << 10)
#define HEADER_BYTES ((size_t)16)

static _Alignas(16) char arena[ARENA_BYTES] KMEM_SPARSE;
static _Atomic size_t used;

void *bootstrap_alloc(size_t size, size_t align)
{
	uintptr_t base = (uintptr_t)arena;
	uintptr_t start;

	if (align < HEADER_BYTES)
		align = HEADER_BYTES;
	if (size > ARENA_BYTES || align > ARENA_BYTES)
		return NULL;
	/* One thread at a time: the one that starts. */
	start = KMEM_ALIGN_UP(base + atomic_load(&used) + HEADER_BYTES, align);
	if (start + size > base + ARENA_BYTES)
		return NULL;
	atomic_store(&used, KMEM_ALIGN_UP(start + size - base, HEADER_BYTES));
	*(size_t *)(start - HEADER_BYTES) = size;
	return (void *)start;
}

bool bootstrap_owns(const void *ptr)
{
	return (uintptr_t)ptr - (uintptr_t)arena < ARENA_BYTES;
}

size_t bootstrap_usable_size(const void *ptr)
{
	return *(const size_t *)((uintptr_t)ptr - HEADER_BYTES);
}
