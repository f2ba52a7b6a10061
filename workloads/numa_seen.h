/* SPDX-License-Identifier: MIT */
/* A set of addresses: was a block handed out before? 8 MiB, from an arena, all zero. */
#ifndef KMEMBENCH_NUMA_SEEN_H
#define KMEMBENCH_NUMA_SEEN_H

#include <kmem/compiler.h>

#define SEEN_BITS  20
#define SEEN_SLOTS ((size_t)1 << SEEN_BITS)

struct seen {
	size_t count;
	uintptr_t slot[SEEN_SLOTS]; /* open addressing; 0: empty */
};

/* Remembers it. Once three quarters are full nothing new is remembered: it is never seen
 * before. */
static inline bool seen_before(struct seen *s, const void *block)
{
	uintptr_t key = (uintptr_t)block;
	size_t at = (key >> 4) * 0x9e3779b97f4a7c15u >> (64 - SEEN_BITS);

	for (; s->slot[at] != 0; at = (at + 1) % SEEN_SLOTS) {
		if (s->slot[at] == key)
			return true;
	}
	if (s->count < SEEN_SLOTS / 4 * 3) {
		s->slot[at] = key;
		s->count++;
	}
	return false;
}

#endif /* KMEMBENCH_NUMA_SEEN_H */
