/* SPDX-License-Identifier: MIT */
/*
 * The C library's names, for LD_PRELOAD: libkmem-malloc.so. The dynamic linker
 * takes them for the whole program, glibc itself included.
 *
 * What the standards leave open is as glibc 2.36 has it: realloc(p, 0) frees,
 * memalign() rounds an odd alignment up; aligned_alloc() refuses one, as 2.38 does.
 */
#include "allocators/malloc/malloc_fast.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

KMEM_API void *malloc(size_t size)
{
	return malloc_fast(size);
}

KMEM_API void free(void *ptr)
{
	free_fast(ptr);
}

KMEM_API void *calloc(size_t n, size_t size)
{
	return kmem_calloc(n, size);
}

KMEM_API void *realloc(void *ptr, size_t size)
{
	return kmem_realloc(ptr, size);
}

KMEM_API void *reallocarray(void *ptr, size_t n, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(n, size, &total)) {
		errno = ENOMEM;
		return NULL;
	}
	return kmem_realloc(ptr, total);
}

KMEM_API int posix_memalign(void **out, size_t align, size_t size)
{
	int saved_errno = errno;
	void *p;

	if (align % sizeof(void *) != 0 || align == 0 || (align & (align - 1)) != 0)
		return EINVAL;
	p = kmem_memalign(align, size);
	errno = saved_errno; /* the result says it */
	if (p == NULL)
		return ENOMEM;
	*out = p;
	return 0;
}

KMEM_API void *aligned_alloc(size_t align, size_t size)
{
	return kmem_memalign(align, size);
}

KMEM_API void *memalign(size_t align, size_t size)
{
	size_t power = 16;

	if (align > SIZE_MAX / 2 + 1) {
		errno = EINVAL;
		return NULL;
	}
	while (power < align)
		power *= 2;
	return kmem_memalign(power, size);
}

KMEM_API void *valloc(size_t size)
{
	return kmem_memalign(PAGE_SIZE, size);
}

KMEM_API void *pvalloc(size_t size)
{
	size_t rounded = KMEM_ALIGN_UP(size, PAGE_SIZE);

	if (rounded < size) {
		errno = ENOMEM;
		return NULL;
	}
	return kmem_memalign(PAGE_SIZE, rounded);
}

KMEM_API size_t malloc_usable_size(void *ptr)
{
	return kmem_usable_size(ptr);
}

/* pad, the memory to keep, is not kept: it comes back with the next touch. */
KMEM_API int malloc_trim(size_t pad)
{
	(void)pad;
	return kmem_malloc_trim() != 0;
}
