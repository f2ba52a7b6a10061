/* SPDX-License-Identifier: MIT */
/*
 * mimalloc: Daan Leijen's allocator from Microsoft Research.
 *
 * Each thread has a heap of segments cut into pages of one size class, and each
 * page has three lists: one to allocate from, one for frees by its thread, one,
 * atomic, for frees by others. Reference: Leijen, Zorn, de Moura, "Mimalloc:
 * free list sharding in action", APLAS 2019.
 *
 * From 2.1 on it asks for transparent huge pages by itself, which the other peers
 * do not: compare memory with that in mind.
 */
#include <stdio.h>
#include <string.h>

#include "allocators/peers/library.h"

static struct allocator *mimalloc_create(const struct allocator_ops *ops,
					 const void *config,
					 const struct allocator_env *env)
{
	struct allocator *a = library_create(ops, config, env);
	struct library *lib = (struct library *)a;
	int (*mi_version)(void);
	void *symbol;

	if (a == NULL)
		return NULL;
	symbol = library_symbol(lib, "mi_version");
	memcpy(&mi_version, &symbol, sizeof(symbol));
	if (mi_version != NULL) {
		/* 2.0.9 is 209; with two digits for each of the last two, 2.10.9 is
		 * 21009. */
		int v = mi_version();
		int unit = v < 1000 ? 10 : 100;

		snprintf(lib->version, sizeof(lib->version), "%d.%d.%d",
			 v / (unit * unit), v / unit % unit, v % unit);
	}
	return a;
}

/* mi_collect(true): the calling thread's heap and abandoned segments. */
static void mimalloc_trim(struct allocator *a)
{
	void *symbol = library_symbol((struct library *)a, "mi_collect");
	void (*mi_collect)(bool force);

	memcpy(&mi_collect, &symbol, sizeof(symbol));
	if (mi_collect != NULL)
		mi_collect(true);
}

static const struct allocator_ops mimalloc_ops = {
	.abi_version = ALLOCATOR_OPS_VERSION,
	.name = "mimalloc",
	.description = "mimalloc: per-thread heaps with free lists for each page",
	.package = "libmimalloc2.0",
	.library = "libmimalloc.so.2",
	.caps = LIBRARY_CAPS | CAP_TRIM,
	.create = mimalloc_create,
	.trim = mimalloc_trim,
	LIBRARY_HOOKS,
};
ALLOCATOR_REGISTER(mimalloc_ops);
