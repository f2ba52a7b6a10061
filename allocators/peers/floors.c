/* SPDX-License-Identifier: MIT */
/* Address space of the floors. */
#include "allocators/peers/floors.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include <kmem/error.h>

void *floor_map(size_t bytes, size_t align, int flags)
{
	size_t length = KMEM_ALIGN_UP(bytes, PAGE_SIZE);
	/* What has to be mapped too much to find a multiple of align in it. */
	size_t extra = align > PAGE_SIZE ? align - PAGE_SIZE : 0;
	char *map, *base;
	size_t head;

	if (length < bytes || length + extra < length) {
		errno = ENOMEM;
		return NULL;
	}
	map = mmap(NULL, length + extra, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
	if (map == MAP_FAILED)
		return NULL;
	head = (align - ((uintptr_t)map & (align - 1))) & (align - 1);
	base = map + head;
	if (head > 0)
		munmap(map, head);
	if (extra > head)
		munmap(base + length, extra - head);
	return base;
}

void *floor_reserve(const char *who, size_t bytes, size_t align)
{
	void *base = floor_map(bytes, align, MAP_NORESERVE);

	if (base == NULL)
		kmem_error(-errno, "%s cannot reserve %zu bytes of addresses: %m", who,
			   bytes);
	return base;
}

void floor_release(void *base, size_t bytes)
{
	munmap(base, KMEM_ALIGN_UP(bytes, PAGE_SIZE));
}

bool floor_claim(const char *name, _Atomic bool *claimed)
{
	if (!atomic_exchange(claimed, true))
		return true;
	kmem_error(-EBUSY,
		   "allocator '%s' has an instance in this process: delete it first",
		   name);
	return false;
}

void floor_unclaim(_Atomic bool *claimed)
{
	atomic_store(claimed, false);
}
