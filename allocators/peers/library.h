/* SPDX-License-Identifier: MIT */
/*
 * Malloc-compatible shared objects behind the vtable.
 *
 * A peer's file names its library and adds what only this library has: its
 * version and how it gives memory back. Everything else is here.
 */
#ifndef KMEM_PEERS_LIBRARY_H
#define KMEM_PEERS_LIBRARY_H

#include <kmem/allocator.h>

/* Every library here answers these; LIBRARY_HOOKS fills them in. */
#define LIBRARY_CAPS                                                                \
	(CAP_OBJECT | CAP_ALIGN | CAP_USABLE_SIZE | CAP_MIXED_SIZE | CAP_DISTINCT | \
	 CAP_REMOTE_FREE)

/* An instance: functions of the library's own, never of the C library's. */
struct library {
	struct allocator base;
	/* read by every call */
	void *(*malloc)(size_t size);
	void (*free)(void *ptr);
	void *(*realloc)(void *ptr, size_t size);
	void *(*calloc)(size_t n, size_t size);
	size_t (*malloc_usable_size)(void *ptr);
	int (*posix_memalign)(void **ptr, size_t align, size_t size); /* or NULL, then: */
	void *(*aligned_alloc)(size_t align, size_t size);
	/* identity */
	void *handle; /* of dlopen(); never closed: see library_close() */
	const char *path;
	char version[96];
};

/*
 * Opens the shared object ops->library (a soname or a path) and looks up its
 * functions. 0, or with a text: -ENOENT not installed (names ops->package);
 * -EAGAIN not in this process (static TLS); -EINVAL no ELF file, a function
 * missing, or a function that is another library's; -ENOMEM. The library's
 * version is its file name until the caller knows better.
 */
KMEM_MUST_CHECK int library_open(const struct allocator_ops *ops,
				 struct library **opened);

/* A function of the library itself; NULL, without a text, when it has none of that name.
 */
void *library_symbol(const struct library *lib, const char *name);

/* File from which an instance of a library peer was loaded; NULL for other allocators. */
const char *library_path(const struct allocator *a);

/*
 * Hook: asks the dynamic linker, in a child process, so that nothing is left
 * loaded in this one. 0, or -ENOENT or -EINVAL with the text of library_open().
 */
int library_available(const struct allocator_ops *ops);

/* Hook: create() of a library of which nothing more than malloc is known. */
struct allocator *library_create(const struct allocator_ops *ops, const void *config,
				 const struct allocator_env *env);

/* The other hooks. */
void library_close(struct allocator *a);
const char *library_version(struct allocator *a);
void *library_alloc(struct allocator *a, size_t size, size_t align, gfp_t gfp, int node);
void library_free(struct allocator *a, void *ptr, size_t size);
void *library_realloc(struct allocator *a, void *ptr, size_t old_size, size_t new_size);
void *library_zalloc(struct allocator *a, size_t size);
size_t library_usable_size(struct allocator *a, void *ptr);

#define LIBRARY_HOOKS                                                             \
	.available = library_available, .destroy = library_close,                 \
	.version = library_version, .alloc = library_alloc, .free = library_free, \
	.realloc = library_realloc, .zalloc = library_zalloc,                     \
	.usable_size = library_usable_size

#endif /* KMEM_PEERS_LIBRARY_H */
