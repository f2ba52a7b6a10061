/* SPDX-License-Identifier: MIT */
/*
 * tcmalloc: the allocator of gperftools, in its minimal build (no profilers).
 *
 * Thread caches of singly linked lists, one for each size class, over central
 * lists and a page heap of spans; the caches grow as their threads miss. It
 * returns little memory by itself. Reference: Ghemawat and Menage, "TCMalloc:
 * Thread-Caching Malloc", 2005. Google's later tcmalloc (per-CPU caches) is
 * another program, which Debian does not carry; --library can name it.
 */
#include <stdio.h>
#include <string.h>

#include "allocators/peers/library.h"

static struct allocator *tcmalloc_create(const struct allocator_ops *ops,
					 const void *config,
					 const struct allocator_env *env)
{
	struct allocator *a = library_create(ops, config, env);
	struct library *lib = (struct library *)a;
	const char *(*tc_version)(int *major, int *minor, const char **patch);
	void *symbol;

	if (a == NULL)
		return NULL;
	symbol = library_symbol(lib, "tc_version");
	memcpy(&tc_version, &symbol, sizeof(symbol));
	if (tc_version != NULL) {
		const char *patch = "";
		int major, minor;

		tc_version(&major, &minor, &patch);
		snprintf(lib->version, sizeof(lib->version), "gperftools %d.%d%s", major,
			 minor, patch);
	}
	return a;
}

/* Free spans of the page heap; what lies in threads' caches stays there. */
static void tcmalloc_trim(struct allocator *a)
{
	void *symbol = library_symbol((struct library *)a,
				      "MallocExtension_ReleaseFreeMemory");
	void (*release_free_memory)(void);

	memcpy(&release_free_memory, &symbol, sizeof(symbol));
	if (release_free_memory != NULL)
		release_free_memory();
}

static const struct allocator_ops tcmalloc_ops = {
	.abi_version = ALLOCATOR_OPS_VERSION,
	.name = "tcmalloc",
	.description = "tcmalloc of gperftools: per-thread caches over a heap of spans",
	.package = "libtcmalloc-minimal4",
	.library = "libtcmalloc_minimal.so.4",
	.caps = LIBRARY_CAPS | CAP_TRIM,
	.create = tcmalloc_create,
	.trim = tcmalloc_trim,
	LIBRARY_HOOKS,
};
ALLOCATOR_REGISTER(tcmalloc_ops);
