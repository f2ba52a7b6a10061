/* SPDX-License-Identifier: MIT */
/*
 * jemalloc: Jason Evans's allocator, FreeBSD's and long Facebook's.
 *
 * Four arenas per CPU, to which threads are assigned in turn; thread caches in
 * front of slabs of size classes (four per doubling); extents in pairing heaps;
 * pages decay back to the system over ten seconds by default. Reference: Evans,
 * "A scalable concurrent malloc(3) implementation for FreeBSD", BSDCan 2006.
 *
 * Its shared object uses initial-exec TLS: see library.c.
 */
#include <stdio.h>
#include <string.h>

#include "allocators/peers/library.h"

/* MALLCTL_ARENAS_ALL of jemalloc's header: stands for all arenas. */
#define PURGE_ALL_ARENAS "arena.4096.purge"

typedef int (*mallctl_fn)(const char *name, void *old, size_t *old_size, void *new_value,
			  size_t new_size);

static mallctl_fn find_mallctl(const struct library *lib)
{
	void *symbol = library_symbol(lib, "mallctl");
	mallctl_fn mallctl;

	memcpy(&mallctl, &symbol, sizeof(symbol));
	return mallctl;
}

static struct allocator *jemalloc_create(const struct allocator_ops *ops,
					 const void *config,
					 const struct allocator_env *env)
{
	struct allocator *a = library_create(ops, config, env);
	struct library *lib = (struct library *)a;
	const char *version = NULL;
	size_t size = sizeof(version);
	mallctl_fn mallctl;

	if (a == NULL)
		return NULL;
	mallctl = find_mallctl(lib);
	/* "5.3.0-0-g54eaed1d8b56": the release, commits since then, the commit. */
	if (mallctl != NULL && mallctl("version", &version, &size, NULL, 0) == 0)
		snprintf(lib->version, sizeof(lib->version), "%.*s",
			 (int)strcspn(version, "-"), version);
	return a;
}

/* The calling thread's cache goes to its arena, every arena's unused pages to the system.
 */
static void jemalloc_trim(struct allocator *a)
{
	mallctl_fn mallctl = find_mallctl((struct library *)a);

	if (mallctl == NULL)
		return;
	mallctl("thread.tcache.flush", NULL, NULL, NULL, 0);
	mallctl(PURGE_ALL_ARENAS, NULL, NULL, NULL, 0);
}

static const struct allocator_ops jemalloc_ops = {
	.abi_version = ALLOCATOR_OPS_VERSION,
	.name = "jemalloc",
	.description =
		"jemalloc: per-thread caches over arenas of slabs, pages decay in time",
	.package = "libjemalloc2",
	.library = "libjemalloc.so.2",
	.caps = LIBRARY_CAPS | CAP_TRIM,
	.create = jemalloc_create,
	.trim = jemalloc_trim,
	LIBRARY_HOOKS,
};
ALLOCATOR_REGISTER(jemalloc_ops);
