/* SPDX-License-Identifier: MIT */
/* Programs that use malloc in ways few do; each prints what went wrong, or "ok". */
#ifndef KMEM_TESTS_UNUSUAL_H
#define KMEM_TESTS_UNUSUAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern _Atomic int failures;

#define CHECK(condition)                                                       \
	do {                                                                   \
		if (!(condition)) {                                            \
			printf("%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			failures++;                                            \
		}                                                              \
	} while (0)

struct unusual {
	const char *name;
	void (*run)(void);
};

/* Each table ends with a NULL name. */
extern const struct unusual unusual_blocks[], unusual_threads[], unusual_processes[],
	unusual_limits[], unusual_rights[];

/* Fresh blocks of many sizes, written and read back: 0 when all is well. */
static inline int churn_some(unsigned int seed, int rounds)
{
	enum { SLOTS = 64 };
	struct {
		unsigned char *p;
		size_t n;
		unsigned char c;
	} slot[SLOTS] = {{NULL, 0, 0}};
	int wrong = 0;

	for (int i = 0; i < rounds + SLOTS; i++) {
		size_t at = (seed >> 8) % SLOTS;

		if (i >= rounds) {
			at = (size_t)(i - rounds);
		}
		if (slot[at].p != NULL && slot[at].n > 0)
			wrong += slot[at].p[0] != slot[at].c ||
				 slot[at].p[slot[at].n - 1] != slot[at].c ||
				 slot[at].p[slot[at].n / 2] != slot[at].c;
		free(slot[at].p);
		slot[at].p = NULL;
		if (i >= rounds)
			continue;
		seed = seed * 1664525 + 1013904223;
		slot[at].n = (seed >> 10) % (seed % 97 == 0 ? 300000 : 900);
		slot[at].c = (unsigned char)(seed >> 3);
		slot[at].p = malloc(slot[at].n);
		if (slot[at].p == NULL)
			return wrong + 1;
		memset(slot[at].p, slot[at].c, slot[at].n);
	}
	return wrong;
}

#endif /* KMEM_TESTS_UNUSUAL_H */
