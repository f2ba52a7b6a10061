/* SPDX-License-Identifier: MIT */
/*
 * The range of spans: reserved once, and usable in pieces of 16 MiB as it is needed, so
 * that a limit on data counts what may be in use and not what is reserved.
 */
#include "allocators/malloc/spans_internal.h"
#include "allocators/os/os_mem.h"

#include <string.h>

struct spans spans;
struct kmem_spinlock spans_lock;
struct span_heap span_heap;

/* Bytes made usable at a time: a system call for each is not noticed. */
#define CHUNK_BYTES ((size_t)16 << 20)
#define CHUNK_UNITS ((uint32_t)(CHUNK_BYTES >> SPAN_UNIT_SHIFT))
/* Blocks begin there, so that huge pages fit where the system gives them. */
#define BASE_ALIGN ((size_t)2 << 20)
/* The bitmap of chunks is 8 KiB, touched as far as they are used. */
#define RANGE_MAX ((size_t)1 << 40)

static uint32_t nr_units; /* of the range */
/* A bit a chunk; under lock. */
static uint64_t usable[RANGE_MAX / CHUNK_BYTES / 64] KMEM_SPARSE;

/* Linux before 6.7 aligns a reservation to a page only. */
static char *reserve_aligned(size_t bytes)
{
	char *range = os_reserve(bytes + BASE_ALIGN), *base;

	if (range == NULL)
		return NULL;
	base = range + (KMEM_ALIGN_UP((uintptr_t)range, BASE_ALIGN) - (uintptr_t)range);
	if (base != range)
		os_unmap(range, (size_t)(base - range));
	os_unmap(base + bytes, (size_t)(range + BASE_ALIGN - base));
	return base;
}

void spans_init(size_t bytes)
{
	size_t map_bytes;
	char *range;

	bytes = KMEM_ALIGN_DOWN(bytes < RANGE_MAX ? bytes : RANGE_MAX, BASE_ALIGN);
	while ((range = reserve_aligned(bytes)) == NULL) {
		bytes = KMEM_ALIGN_DOWN(bytes / 2, BASE_ALIGN);
		if (bytes <= 2 * BASE_ALIGN)
			return; /* every large block becomes a mapping */
	}
	map_bytes = KMEM_ALIGN_UP((bytes >> SPAN_UNIT_SHIFT) * sizeof(struct span),
				  PAGE_SIZE);
	spans.map = os_map_anon(map_bytes);
	if (spans.map == NULL || spans_init_arrays(malloc_config.large_slots) != 0) {
		spans.base = range;
		spans.bytes = bytes;
		spans_exit();
		return;
	}
	nr_units = (uint32_t)(bytes >> SPAN_UNIT_SHIFT);
	/* Unit 0 stands for "none"; blocks of 2 MiB begin at multiples of it. */
	span_heap.top = 1;
	spans.base = range;
	spans.bytes = bytes;
}

/* What ends the used part and is zero is used no more. Under lock. */
static void drop_top(void)
{
	struct span *last = span_before(&spans.map[span_heap.top]);

	if (last == NULL || span_state(last) != SPAN_ZERO)
		return;
	span_unlink(last);
	span_heap.top = span_index(last);
	span_set_state(last + last->units - 1, SPAN_INSIDE);
	span_set_state(last, SPAN_INSIDE);
}

void spans_give_up(size_t keep)
{
	size_t used, bytes;

	spin_lock(&spans_lock);
	drop_top();
	bytes = spans.bytes;
	used = (size_t)span_heap.top << SPAN_UNIT_SHIFT;
	keep = KMEM_ALIGN_UP(keep > used ? keep : used, BASE_ALIGN);
	if (bytes > keep) {
		uint32_t units = nr_units;
		uintptr_t from, to;

		/* Nobody has an address up there. */
		nr_units = (uint32_t)(keep >> SPAN_UNIT_SHIFT);
		__atomic_store_n(&spans.bytes, keep, __ATOMIC_RELAXED);
		os_unmap(spans.base + keep, bytes - keep);
		from = KMEM_ALIGN_UP((uintptr_t)&spans.map[nr_units], PAGE_SIZE);
		to = KMEM_ALIGN_UP((uintptr_t)&spans.map[units], PAGE_SIZE);
		if (from < to)
			os_unmap((void *)from, to - from);
	}
	spin_unlock(&spans_lock);
}

void spans_exit(void)
{
	size_t bytes = spans.bytes;

	spans.bytes = 0;
	for (unsigned int class = 0; class < SPAN_NR_CLASSES; class ++) {
		magazine_destroy(&spans.arrays[class]);
	}
	if (spans.map != NULL)
		os_unmap(spans.map,
			 KMEM_ALIGN_UP((bytes >> SPAN_UNIT_SHIFT) * sizeof(struct span),
				       PAGE_SIZE));
	if (bytes != 0)
		os_unmap(spans.base, bytes);
	spans.map = NULL;
	spans.base = NULL;
	memset(span_id_by_units, 0, sizeof(span_id_by_units));
	span_heap = (struct span_heap){.top = 0};
	nr_units = 0;
	memset(usable, 0, sizeof(usable));
}

/* --- use --- */

static bool is_usable(uint32_t chunk)
{
	return usable[chunk / 64] >> chunk % 64 & 1;
}

/* Of chunks from `first` on; the last of the range may be shorter. */
static size_t chunk_bytes(uint32_t first, uint32_t end)
{
	size_t at = (size_t)first * CHUNK_BYTES, to = (size_t)end * CHUNK_BYTES;

	return (to < spans.bytes ? to : spans.bytes) - at;
}

/* All chunks that are missing in a row by one call: a limit that has not room for all of
 * them is left to others. */
bool spans_make_usable(const struct span *span, uint32_t units)
{
	uint32_t end = (span_index(span) + units - 1) / CHUNK_UNITS + 1, next;

	for (uint32_t chunk = span_index(span) / CHUNK_UNITS; chunk < end; chunk = next) {
		next = chunk + 1;
		if (is_usable(chunk))
			continue;
		while (next < end && !is_usable(next))
			next++;
		if (os_map_anon_at(spans.base + (size_t)chunk * CHUNK_BYTES,
				   chunk_bytes(chunk, next)) == NULL)
			return false;
		for (uint32_t c = chunk; c < next; c++)
			usable[c / 64] |= (uint64_t)1 << c % 64;
	}
	return true;
}

/* Refused, it stays usable. Under lock. */
static size_t make_unusable(uint32_t chunk)
{
	size_t bytes = chunk_bytes(chunk, chunk + 1);

	if (!is_usable(chunk) ||
	    os_unmap_to_reserve(spans.base + (size_t)chunk * CHUNK_BYTES, bytes) != 0)
		return 0;
	usable[chunk / 64] &= ~((uint64_t)1 << chunk % 64);
	return bytes;
}

size_t spans_make_unusable(void)
{
	size_t bytes = 0;

	spin_lock(&spans_lock);
	for (unsigned int bin = span_bin(CHUNK_UNITS); bin < SPAN_NR_BINS; bin++) {
		for (uint32_t i = span_heap.zero.head[bin]; i != 0;
		     i = spans.map[i].next) {
			uint32_t end = (i + spans.map[i].units) / CHUNK_UNITS;

			for (uint32_t c = (i - 1) / CHUNK_UNITS + 1; c < end; c++)
				bytes += make_unusable(c);
		}
	}
	spin_unlock(&spans_lock);
	return bytes;
}

uint32_t spans_unused_units(void)
{
	return nr_units - span_heap.top;
}

bool spans_extend(uint32_t units)
{
	struct span *span = &spans.map[span_heap.top];

	if (units > spans_unused_units())
		return false;
	if (units == 0)
		return true;
	span_heap.top += units;
	span_write(span, units, SPAN_HELD);
	span_insert(span, SPAN_ZERO, 0);
	return true;
}
