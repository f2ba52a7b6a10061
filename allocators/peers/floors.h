/* SPDX-License-Identifier: MIT */
/*
 * What the floors null, bump and freelist share.
 *
 * A floor is not an allocator that anybody would use: it is the least that a
 * call through the vtable can cost, and the scale for everybody else. Floors
 * ignore gfp flags and the node; they never zero memory.
 */
#ifndef KMEM_PEERS_FLOORS_H
#define KMEM_PEERS_FLOORS_H

#include <kmem/allocator.h>
#include <kmem/mm_types.h>

#define FLOOR_MIN_ALIGN 16u
/* The largest block of the page allocator, and so the largest natural alignment. */
#define FLOOR_MAX_ALIGN (PAGE_SIZE << (MAX_ORDER - 1))

/*
 * mmap() of private zeroed memory at a multiple of align, a power of two, with
 * additional MAP_ flags. bytes is rounded to pages. NULL with errno set.
 */
void *floor_map(size_t bytes, size_t align, int flags);

/*
 * Reserves zeroed address space that takes memory only where it is touched.
 * NULL, with a text that begins with `who`, when there is not that much.
 */
void *floor_reserve(const char *who, size_t bytes, size_t align);
void floor_release(void *base, size_t bytes);

/*
 * Alignment that a block of this size has without being asked: a power-of-two
 * number of pages is a page allocator's block and lies at a multiple of its
 * size, other multiples of a page at a page, small blocks at 16 bytes.
 */
static inline size_t floor_natural_align(size_t size)
{
	if (size < PAGE_SIZE)
		return FLOOR_MIN_ALIGN;
	if ((size & (size - 1)) == 0 && size <= FLOOR_MAX_ALIGN)
		return size;
	return PAGE_SIZE;
}

/*
 * A floor's threads keep their state in thread-local variables, which belong to
 * the process: one instance may live at a time. False, with a text, when
 * one does already.
 */
bool floor_claim(const char *name, _Atomic bool *claimed);
void floor_unclaim(_Atomic bool *claimed);

#endif /* KMEM_PEERS_FLOORS_H */
