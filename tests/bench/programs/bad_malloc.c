/* SPDX-License-Identifier: MIT */
/*
 * A malloc library that misbehaves as -DCRASH, -DHANG, -DFAIL or -DOVERLAP says,
 * after its first thousand calls, or as many as -DAFTER=N says. For tests of the runner.
 */
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#ifndef AFTER
#define AFTER 1000
#endif

static _Alignas(64) char pool[1 << 26];
static size_t used, calls;

void *malloc(size_t size);
void free(void *ptr);
void *calloc(size_t n, size_t size);
void *realloc(void *ptr, size_t size);
int posix_memalign(void **out, size_t align, size_t size);
size_t malloc_usable_size(void *ptr);

void *malloc(size_t size)
{
	if (++calls > AFTER) {
#if defined(CRASH)
		raise(SIGSEGV);
#elif defined(HANG)
		for (;;)
			pause();
#elif defined(FAIL)
		return NULL;
#elif defined(OVERLAP)
		return pool + 64;
#endif
	}
	size = (size + 63) & ~(size_t)63;
	if (used + size > sizeof(pool))
		used = 0;
	used += size;
	return pool + used - size;
}

void free(void *ptr)
{
	(void)ptr;
}

void *calloc(size_t n, size_t size)
{
	char *p = malloc(n * size);

	for (size_t i = 0; p != NULL && i < n * size; i++)
		p[i] = 0;
	return p;
}

void *realloc(void *ptr, size_t size)
{
	(void)ptr;
	return malloc(size);
}

int posix_memalign(void **out, size_t align, size_t size)
{
	uintptr_t p = (uintptr_t)malloc(size + align);

	*out = (void *)((p + align - 1) & ~(align - 1));
	return 0;
}

size_t malloc_usable_size(void *ptr)
{
	(void)ptr;
	return 0;
}
