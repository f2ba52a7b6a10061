/* SPDX-License-Identifier: MIT */
/*
 * A malloc library of a few instructions: stacks of freed blocks by size, and a pool
 * that is never given back. Built with -DEXTRA=N, each malloc executes N instructions
 * more: a change whose size is known, for the test of the instruction-count gate.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#ifndef EXTRA
#define EXTRA 0
#endif
#define STR(x_)	 #x_
#define XSTR(x_) STR(x_)

#define POOL_BYTES ((size_t)1 << 28)
#define CLASSES	   64

/* Before each block, for free(). */
struct header {
	size_t class;
	struct header *next;
};

void *malloc(size_t size);
void free(void *ptr);
void *calloc(size_t n, size_t size);
void *realloc(void *ptr, size_t size);
int posix_memalign(void **out, size_t align, size_t size);
size_t malloc_usable_size(void *ptr);

static char *pool, *pool_end;
static struct header *stacks[CLASSES];

static size_t class_of(size_t size)
{
	return size <= 16 ? 4 : 64 - (size_t)__builtin_clzll(size - 1);
}

void *malloc(size_t size)
{
	size_t class = class_of(size),
	       bytes = sizeof(struct header) + ((size_t)1 << class);
	struct header *h = stacks[class];

	__asm__ __volatile__(".rept " XSTR(EXTRA) "\n\tnop\n\t.endr");
	if (h != NULL) {
		stacks[class] = h->next;
		return h + 1;
	}
	if (pool == NULL) {
		pool = mmap(NULL, POOL_BYTES, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (pool == MAP_FAILED)
			return NULL;
		pool_end = pool + POOL_BYTES;
	}
	if (size > POOL_BYTES / 2 || (size_t)(pool_end - pool) < bytes)
		return NULL;
	h = (struct header *)(void *)pool;
	pool += bytes;
	h->class = class;
	return h + 1;
}

void free(void *ptr)
{
	struct header *h = ptr;

	if (h == NULL)
		return;
	h--;
	h->next = stacks[h->class];
	stacks[h->class] = h;
}

size_t malloc_usable_size(void *ptr)
{
	return ptr == NULL ? 0 : (size_t)1 << ((struct header *)ptr - 1)->class;
}

void *calloc(size_t n, size_t size)
{
	void *p = malloc(n * size);

	return p != NULL ? memset(p, 0, n * size) : NULL;
}

void *realloc(void *ptr, size_t size)
{
	size_t old = malloc_usable_size(ptr);
	void *p = malloc(size);

	if (p != NULL && ptr != NULL) {
		memcpy(p, ptr, old < size ? old : size);
		free(ptr);
	}
	return p;
}

int posix_memalign(void **out, size_t align, size_t size)
{
	if (align > 16)
		return 12; /* ENOMEM: nobody asks for it here */
	*out = malloc(size);
	return *out != NULL ? 0 : 12;
}
