/* SPDX-License-Identifier: MIT */
/*
 * The per-CPU areas.
 *
 * A chunk is one mapping with an area of PERCPU_AREA_BYTES for each possible
 * CPU. A range is taken at the same offset of all areas of a chunk: first from
 * the ranges that were given back (first fit, sorted by address, neighbours
 * joined), then from the untouched end, then from a new chunk. The list of free
 * ranges is kept inside CPU 0's copies of them. Linux's percpu allocator
 * (mm/percpu.c, 2.6.30) has the same outline.
 *
 * Huge pages are refused: an area is touched only by its CPU, and only as far
 * as it is used.
 */
#include "allocators/os/percpu_area.h"
#include "allocators/os/os_mem.h"
#include "allocators/os/percpu_fast.h"
#include "allocators/os/spinlock.h"

#include <string.h>
#include <unistd.h>

struct free_range {
	struct free_range *next; /* at a higher address of the same chunk */
	size_t size;
};

struct chunk {
	char *base;  /* NULL: not there yet */
	size_t used; /* of each area; what follows has never been handed out */
	struct free_range *free;
};

/* 256 chunks hold some 50,000 stacks of 512 entries. */
#define CHUNKS_MAX 256

static struct kmem_spinlock lock;
static struct chunk chunks[CHUNKS_MAX] KMEM_SPARSE; /* under lock */

static size_t range_size(size_t size)
{
	return KMEM_ALIGN_UP(size, KMEM_CACHELINE);
}

static char *take_free(struct chunk *c, size_t size)
{
	for (struct free_range **link = &c->free; *link != NULL; link = &(*link)->next) {
		struct free_range *range = *link;

		if (range->size < size)
			continue;
		if (range->size > size) {
			struct free_range *rest =
				(struct free_range *)((char *)range + size);

			*rest = (struct free_range){range->next, range->size - size};
			*link = rest;
		} else {
			*link = range->next;
		}
		return (char *)range;
	}
	return NULL;
}

static char *take_untouched(struct chunk *c, size_t size)
{
	char *p;

	if (c->base == NULL) {
		size_t bytes = (size_t)os_nr_cpus() << PERCPU_AREA_SHIFT;

		c->base = os_map_anon(bytes);
		if (c->base == NULL)
			return NULL;
		os_hugepages(c->base, bytes,
			     false); /* a hint: failure costs memory only */
		c->used = 0;
		c->free = NULL;
	}
	if (PERCPU_AREA_BYTES - c->used < size)
		return NULL;
	p = c->base + c->used;
	c->used += size;
	return p;
}

/* What is large goes back to the system instead: other CPUs may never use it. */
static void zero(char *p, size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *from = (char *)KMEM_ALIGN_UP((uintptr_t)p, page);
	char *to = (char *)((uintptr_t)(p + size) & ~(uintptr_t)(page - 1));

	if (from >= to || os_discard_anon(from, (size_t)(to - from)) != 0) {
		memset(p, 0, size);
		return;
	}
	memset(p, 0, (size_t)(from - p));
	memset(to, 0, (size_t)(p + size - to));
}

char *percpu_area_alloc(size_t size, size_t header)
{
	char *p = NULL;
	bool recycled = false;

	if (size == 0 || size > PERCPU_AREA_BYTES)
		return NULL;
	size = range_size(size);
	spin_lock(&lock);
	for (unsigned int i = 0; p == NULL && i < CHUNKS_MAX; i++) {
		bool was_there = chunks[i].base != NULL;

		p = take_free(&chunks[i], size);
		recycled = p != NULL;
		if (p == NULL)
			p = take_untouched(&chunks[i], size);
		if (p == NULL && !was_there)
			break; /* the system has no memory for another chunk */
	}
	spin_unlock(&lock);

	for (unsigned int cpu = 0; recycled && cpu < os_nr_cpus(); cpu++)
		zero(p + ((size_t)cpu << PERCPU_AREA_SHIFT), header);
	return p;
}

/* Joins a range with its successor where they touch. */
static void join_next(struct free_range *range)
{
	struct free_range *next = range->next;

	if (next != NULL && (char *)range + range->size == (char *)next) {
		range->size += next->size;
		range->next = next->next;
	}
}

static void put_free(struct chunk *c, struct free_range *range)
{
	struct free_range *before = NULL;

	for (struct free_range *r = c->free; r != NULL && r < range; r = r->next)
		before = r;
	if (before == NULL) {
		range->next = c->free;
		c->free = range;
		join_next(range);
	} else {
		range->next = before->next;
		before->next = range;
		join_next(range);
		join_next(before);
	}
}

void percpu_area_free(char *base, size_t size)
{
	struct free_range *range = (struct free_range *)base;

	if (base == NULL)
		return;
	spin_lock(&lock);
	for (unsigned int i = 0; i < CHUNKS_MAX && chunks[i].base != NULL; i++) {
		if (base < chunks[i].base || base >= chunks[i].base + PERCPU_AREA_BYTES)
			continue;
		range->size = range_size(size);
		put_free(&chunks[i], range);
		break;
	}
	spin_unlock(&lock);
}

void percpu_area_fork_lock(void)
{
	spin_lock(&lock);
}

void percpu_area_fork_unlock(void)
{
	spin_unlock(&lock);
}
