/* SPDX-License-Identifier: MIT */
/*
 * What workloads write into blocks: touches, and the stamp of the content check.
 *
 * THEORY. A stamped block is filled to its last byte with a sequence of 64-bit
 * words that depends on its address, its size and the cell's seed:
 *
 *   key     = mix(seed, address, size)
 *   word[i] = key + i * an odd constant       (a shorter tail: the word's first bytes)
 *
 * Two blocks that overlap therefore disagree in nearly every byte they share, and a
 * shifted block disagrees with itself. A block handed out twice with the same size has
 * the same stamp twice; but the stamp is spoiled when the block is freed, which the other
 * owner finds. Nothing is stored beside the block: whoever knows its
 * address and size can verify it.
 */
#include <string.h>

#include "workloads/harness/worker_fast.h"

#define TOUCH_PAGE_SIZE 4096u
#define STAMP_STEP	0x9e3779b97f4a7c15u

static uint64_t stamp_key(const struct worker *w, uintptr_t address, size_t size)
{
	struct rng r = {w->stamp_seed ^ (uint64_t)address};

	r.state = rng_next(&r) ^ size;
	return rng_next(&r);
}

/* The first byte of the block, then the first byte of each further page it reaches. */
static void touch_pages(char *ptr, size_t size)
{
	volatile char *byte = ptr;
	size_t offset = TOUCH_PAGE_SIZE - ((uintptr_t)ptr & (TOUCH_PAGE_SIZE - 1));

	byte[0] = (char)size;
	for (; offset < size; offset += TOUCH_PAGE_SIZE)
		byte[offset] = (char)size;
}

void worker_touch(struct worker *w, void *ptr, size_t size)
{
	if (w->check) {
		worker_stamp(w, ptr, size);
		return;
	}
	switch (w->touch) {
	case TOUCH_DEFAULT:
	case TOUCH_NONE: break;
	case TOUCH_ENDS:
		((volatile char *)ptr)[0] = (char)size;
		((volatile char *)ptr)[size - 1] = (char)size;
		break;
	case TOUCH_PAGES: touch_pages(ptr, size); break;
	case TOUCH_FULL: memset(ptr, (int)(size & 0xff), size); break;
	}
}

void worker_stamp(struct worker *w, void *ptr, size_t size)
{
	uint64_t word = stamp_key(w, (uintptr_t)ptr, size);
	char *p = ptr;
	size_t i;

	for (i = 0; i + sizeof(word) <= size; i += sizeof(word), word += STAMP_STEP)
		memcpy(p + i, &word, sizeof(word));
	memcpy(p + i, &word, size - i);
}

/* The byte at which the block and the word differ; there is one. */
static void __attribute__((noreturn, cold))
stamp_mismatch(struct worker *w, const unsigned char *block, size_t offset, uint64_t word,
	       size_t size)
{
	const unsigned char *expected = (const unsigned char *)&word;
	size_t i = 0;

	while (block[offset + i] == expected[i])
		i++;
	worker_fail(w,
		    "allocator '%s' damaged a live block of %zu bytes at %p: the byte at "
		    "offset %zu is 0x%02x, not 0x%02x as written",
		    w->a->ops->name, size, (const void *)block, offset + i,
		    block[offset + i], expected[i]);
}

void worker_verify_moved(struct worker *w, const void *ptr, size_t length,
			 uintptr_t old_address, size_t old_size)
{
	uint64_t word = stamp_key(w, old_address, old_size);
	const unsigned char *p = ptr;
	size_t i;

	for (i = 0; i + sizeof(word) <= length; i += sizeof(word), word += STAMP_STEP)
		if (KMEM_UNLIKELY(memcmp(p + i, &word, sizeof(word)) != 0))
			stamp_mismatch(w, p, i, word, old_size);
	if (KMEM_UNLIKELY(memcmp(p + i, &word, length - i) != 0))
		stamp_mismatch(w, p, i, word, old_size);
}

void worker_verify(struct worker *w, const void *ptr, size_t size)
{
	worker_verify_moved(w, ptr, size, (uintptr_t)ptr, size);
}

/* As many bytes as a stamp's word has, since blocks may be shorter than one. */
void worker_retire(struct worker *w, void *ptr, size_t size)
{
	unsigned char *byte = ptr;

	worker_verify(w, ptr, size);
	for (size_t i = 0; i < size && i < sizeof(uint64_t); i++)
		byte[i] = (unsigned char)~byte[i];
}

void worker_verify_zero(struct worker *w, const void *ptr, size_t size)
{
	const unsigned char *p = ptr;

	for (size_t i = 0; i < size; i++)
		if (KMEM_UNLIKELY(p[i] != 0))
			worker_fail(
				w,
				"allocator '%s' returned %zu bytes for calloc that are "
				"not zero: the byte at offset %zu is 0x%02x",
				w->a->ops->name, size, i, p[i]);
}
