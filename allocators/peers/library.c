/* SPDX-License-Identifier: MIT */
/*
 * Loading of malloc-compatible shared objects.
 *
 * THEORY. A peer is measured as its users get it: the distribution's shared
 * object at its default configuration. It is not preloaded, because then the
 * harness would allocate from it, too, but opened with dlopen(), and its
 * functions are called through pointers. That costs what a call through the
 * PLT costs: measured against preloading, within noise.
 *
 * Four things can go wrong, and are looked after:
 *
 * - dlsym() searches a library's dependencies as well. A library without malloc
 *   of its own would pass with the C library's. So the object that defines a
 *   symbol must be the object that was opened.
 * - A library's own calls, such as realloc() calling malloc(), would bind to the
 *   C library's, whose names are found first. RTLD_DEEPBIND turns that round.
 *   (Sanitizers' run times refuse that flag and do without.)
 * - jemalloc's thread-local variables want static TLS, of which a running
 *   process has little left; the runner starts each cell's process with
 *   GLIBC_TUNABLES=glibc.rtld.optional_static_tls=16384.
 * - An allocator that was unloaded would leave its thread-exit handlers behind:
 *   once opened, a library stays for the life of the process.
 */
#include "allocators/peers/library.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kmem/error.h>

/* What malloc promises for any size that has room for it: alignof(max_align_t). */
#define MALLOC_ALIGN ((size_t)16)

#if KMEM_SANITIZED
#define OPEN_FLAGS (RTLD_NOW | RTLD_LOCAL)
#else
#define OPEN_FLAGS (RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND)
#endif

#if KMEM_UNDER_ASAN
/* gperftools keeps one object for ever; it is no leak of ours. */
const char *__lsan_default_suppressions(void);
KMEM_API const char *__lsan_default_suppressions(void)
{
	return "leak:MallocExtension::Register\n";
}
#endif

/* --- opening --- */

static int open_error(const struct allocator_ops *ops)
{
	const char *reason = dlerror();

	if (reason == NULL)
		reason = "the dynamic linker gave no reason";
	if (strstr(reason, "static TLS") != NULL)
		return kmem_error(
			-EAGAIN,
			"'%s' cannot be loaded into a running process: start it with "
			"GLIBC_TUNABLES=glibc.rtld.optional_static_tls=16384 (%s)",
			ops->library, reason);
	if (ops->package != NULL && strstr(reason, "No such file") != NULL)
		return kmem_error(
			-ENOENT, "'%s' is not installed: install the Debian package '%s'",
			ops->library, ops->package);
	return kmem_error(-EINVAL, "cannot load '%s': %s", ops->library, reason);
}

/* The object that defines an address; NULL when none does. */
static const struct link_map *object_of(const void *address)
{
	struct link_map *map = NULL;
	Dl_info info;

	if (dladdr1(address, &info, (void **)&map, RTLD_DL_LINKMAP) == 0)
		return NULL;
	return map;
}

void *library_symbol(const struct library *lib, const char *name)
{
	struct link_map *own = NULL;
	void *symbol = dlsym(lib->handle, name);

	if (symbol == NULL || dlinfo(lib->handle, RTLD_DI_LINKMAP, &own) != 0)
		return NULL;
	return object_of(symbol) == own ? symbol : NULL;
}

static int missing_symbol(const struct library *lib, const char *name)
{
	const void *symbol = dlsym(lib->handle, name);
	const struct link_map *map = symbol != NULL ? object_of(symbol) : NULL;

	if (map != NULL)
		return kmem_error(
			-EINVAL,
			"'%s' has no '%s' of its own, only that of '%s': name a library "
			"that replaces malloc",
			lib->path, name,
			map->l_name[0] != '\0' ? map->l_name : "the program");
	return kmem_error(-EINVAL,
			  "'%s' has no '%s': name a library that replaces malloc",
			  lib->path, name);
}

/* ISO C has no conversion from void * to a pointer to a function; POSIX promises one. */
#define LOOK_UP(lib_, function_) look_up(lib_, #function_, &(lib_)->function_)
static bool look_up(struct library *lib, const char *name, void *function)
{
	void *symbol = library_symbol(lib, name);

	memcpy(function, &symbol, sizeof(symbol));
	return symbol != NULL;
}

static int look_up_all(struct library *lib)
{
	if (!LOOK_UP(lib, malloc))
		return missing_symbol(lib, "malloc");
	if (!LOOK_UP(lib, free))
		return missing_symbol(lib, "free");
	if (!LOOK_UP(lib, calloc))
		return missing_symbol(lib, "calloc");
	if (!LOOK_UP(lib, realloc))
		return missing_symbol(lib, "realloc");
	if (!LOOK_UP(lib, malloc_usable_size))
		return missing_symbol(lib, "malloc_usable_size");
	LOOK_UP(lib, aligned_alloc);
	if (!LOOK_UP(lib, posix_memalign) && lib->aligned_alloc == NULL)
		return missing_symbol(lib, "posix_memalign");
	return 0;
}

int library_open(const struct allocator_ops *ops, struct library **opened)
{
	struct library *lib = calloc(1, sizeof(*lib));
	struct link_map *map = NULL;
	const char *slash;
	int err;

	*opened = NULL;
	if (lib == NULL)
		return kmem_error(-ENOMEM, "no memory for allocator '%s'", ops->name);
	lib->base.ops = ops;
	lib->handle = dlopen(ops->library, OPEN_FLAGS);
	if (lib->handle == NULL) {
		err = open_error(ops);
		free(lib);
		return err;
	}
	dlinfo(lib->handle, RTLD_DI_LINKMAP, &map);
	lib->path = map != NULL && map->l_name[0] != '\0' ? map->l_name : ops->library;
	slash = strrchr(lib->path, '/');
	snprintf(lib->version, sizeof(lib->version), "%s",
		 slash != NULL ? slash + 1 : lib->path);
	err = look_up_all(lib);
	if (err != 0) {
		free(lib);
		return err;
	}
	*opened = lib;
	return 0;
}

/* --- hooks --- */

struct allocator *library_create(const struct allocator_ops *ops, const void *config,
				 const struct allocator_env *env)
{
	struct library *lib;

	(void)config;
	(void)env;
	return library_open(ops, &lib) == 0 ? &lib->base : NULL;
}

void library_close(struct allocator *a)
{
	free((struct library *)a);
}

const char *library_version(struct allocator *a)
{
	return ((struct library *)a)->version;
}

const char *library_path(const struct allocator *a)
{
	return a->ops->destroy == library_close ? ((const struct library *)a)->path
						: NULL;
}

/* Alignments beyond what malloc promises for the size, and zeroed memory. */
static KMEM_NOINLINE void *alloc_slow(const struct library *lib, size_t size,
				      size_t align, gfp_t gfp)
{
	void *p = NULL;

	if (align <= MALLOC_ALIGN && size >= align) {
		p = (gfp & __GFP_ZERO) != 0 ? lib->calloc(1, size) : lib->malloc(size);
		return p;
	}
	if (align < sizeof(void *))
		align = sizeof(void *);
	if (lib->posix_memalign != NULL) {
		if (lib->posix_memalign(&p, align, size) != 0)
			p = NULL;
	} else if (size <= SIZE_MAX - align) {
		p = lib->aligned_alloc(align, KMEM_ALIGN_UP(size, align));
	}
	if (p != NULL && (gfp & __GFP_ZERO) != 0)
		memset(p, 0, size);
	return p;
}

void *library_alloc(struct allocator *a, size_t size, size_t align, gfp_t gfp, int node)
{
	const struct library *lib = (const struct library *)a;

	(void)node;
	if (KMEM_UNLIKELY((align | (gfp & __GFP_ZERO)) != 0))
		return alloc_slow(lib, size, align, gfp);
	return lib->malloc(size);
}

void library_free(struct allocator *a, void *ptr, size_t size)
{
	(void)size;
	((const struct library *)a)->free(ptr);
}

void *library_realloc(struct allocator *a, void *ptr, size_t old_size, size_t new_size)
{
	(void)old_size;
	return ((const struct library *)a)->realloc(ptr, new_size);
}

void *library_zalloc(struct allocator *a, size_t size)
{
	return ((const struct library *)a)->calloc(1, size);
}

size_t library_usable_size(struct allocator *a, void *ptr)
{
	return ((const struct library *)a)->malloc_usable_size(ptr);
}
