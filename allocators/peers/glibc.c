/* SPDX-License-Identifier: MIT */
/*
 * glibc: the C library's malloc, what every Linux program has without asking.
 *
 * A descendant of Doug Lea's and Wolfram Gloger's allocators (dlmalloc,
 * ptmalloc2): boundary tags and size bins in arenas, which threads share when
 * there are more than eight per CPU, with a thread cache (tcache) of seven
 * chunks for each size to 1032 bytes in front since 2.26. Blocks from
 * 128 KiB (a bound that grows as such blocks are freed, to 32 MiB) are mappings
 * of their own.
 *
 * It is always loaded, so the functions are taken from libc.so.6 itself: right
 * even when another malloc is preloaded into this process. Harness and peer
 * then share one heap: the harness's few blocks are in the baseline.
 */
#include <gnu/libc-version.h>
#include <stdio.h>
#include <string.h>

#include "allocators/peers/library.h"

static struct allocator *glibc_create(const struct allocator_ops *ops, const void *config,
				      const struct allocator_env *env)
{
	struct allocator *a = library_create(ops, config, env);

	if (a != NULL) {
		struct library *lib = (struct library *)a;

		snprintf(lib->version, sizeof(lib->version), "%s",
			 gnu_get_libc_version());
		/*
		 * Its first call sets it up without a lock: a program's start-up makes
		 * that call before there are threads, except where another malloc (a
		 * sanitizer's, a preloaded one) has served all calls so far.
		 */
		ops->free(a, ops->alloc(a, 1, 0, GFP_KERNEL, NUMA_NO_NODE), 1);
	}
	return a;
}

/* malloc_trim(3): every arena's top and the whole free pages inside. */
static void glibc_trim(struct allocator *a)
{
	void *symbol = library_symbol((struct library *)a, "malloc_trim");
	int (*malloc_trim)(size_t pad);

	memcpy(&malloc_trim, &symbol, sizeof(symbol));
	if (malloc_trim != NULL)
		malloc_trim(0);
}

static const struct allocator_ops glibc_ops = {
	.abi_version = ALLOCATOR_OPS_VERSION,
	.name = "glibc",
	.description = "the C library's malloc (ptmalloc2 with thread caches)",
	.package = "libc6",
	.library = "libc.so.6",
	.caps = LIBRARY_CAPS | CAP_TRIM,
	.create = glibc_create,
	.trim = glibc_trim,
	LIBRARY_HOOKS,
};
ALLOCATOR_REGISTER(glibc_ops);
