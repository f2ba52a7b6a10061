/* SPDX-License-Identifier: MIT */
/*
 * The vtable behind which every allocator stands: ours, the peers, the floors.
 *
 * An implementation is one file: it fills a `struct allocator_ops`, and
 * ALLOCATOR_REGISTER(ops) puts it into the registry before main. A missing
 * required hook is refused by name. allocators/peers/skeleton.c documents each
 * hook in a template that compiles.
 *
 * Context: after create() has returned, every hook but destroy() may be called
 * from any thread at the same time. A thread calls thread_enter() before its
 * first call and thread_exit() after its last one.
 */
#ifndef KMEM_ALLOCATOR_H
#define KMEM_ALLOCATOR_H

#include <kmem/compiler.h>
#include <kmem/gfp.h>
#include <kmem/options.h>

/* Raised whenever a hook is added, removed or changes its meaning. */
#define ALLOCATOR_OPS_VERSION 1

/* What an allocator can do; a workload names what it needs. */
enum allocator_capability {
	CAP_OBJECT = 1 << 0,	   /* objects of any size, as malloc */
	CAP_PAGE = 1 << 1,	   /* naturally aligned blocks of 2^order pages */
	CAP_VRANGE = 1 << 2,	   /* page-multiple, virtually contiguous ranges */
	CAP_NODE = 1 << 3,	   /* the node argument is obeyed */
	CAP_BULK = 1 << 4,	   /* alloc_bulk and free_bulk are native */
	CAP_SIZED_FREE = 1 << 5,   /* free() makes use of the size */
	CAP_ALIGN = 1 << 6,	   /* any power-of-two alignment up to a page */
	CAP_USABLE_SIZE = 1 << 7,  /* usable_size() */
	CAP_STATS = 1 << 8,	   /* stats() */
	CAP_TRIM = 1 << 9,	   /* trim() */
	CAP_MIXED_SIZE = 1 << 10,  /* different sizes may be live at once */
	CAP_DISTINCT = 1 << 11,	   /* live blocks do not overlap: contents survive */
	CAP_REMOTE_FREE = 1 << 12, /* a block freed by another thread is used again */
};

/* Name of one capability bit ("object", "page", ...); NULL past the last. */
const char *allocator_capability_name(unsigned int bit);

/* What the caller will ask for; lets a floor or a model size its memory. */
struct allocator_env {
	size_t size_max_bytes; /* largest request to come; 0: not known */
	unsigned int threads;  /* threads that will call */
	bool check;	       /* block contents will be verified */
};

struct allocator_ops;

/* An instance. Implementations embed it as their first member. */
struct allocator {
	const struct allocator_ops *ops;
};

typedef void (*allocator_stat_fn)(const char *name, double value, void *arg);

struct allocator_ops {
	/* --- identity --- */
	unsigned int abi_version; /* ALLOCATOR_OPS_VERSION */
	const char *name;
	const char *description; /* one sentence */
	const char *package;	 /* Debian package that brings it; NULL: built in */
	const char *library;	 /* malloc-compatible shared object; NULL: built in */
	uint64_t caps;
	uint64_t
		size_max_bytes; /* largest request it can serve; 0: no bound of its own */
	const struct kmem_option_group *options; /* NULL: none */
	size_t config_size;			 /* of the structure the options fill */
	bool hidden; /* left out of listings unless all are asked for */

	/* --- life --- */
	/* May be NULL. Returns 0, or -errno with an error text when it cannot run here.
	 */
	int (*available)(const struct allocator_ops *ops);
	/* Required. config is owned by the caller and outlives the instance. NULL: see
	 * kmem_last_error(). */
	struct allocator *(*create)(const struct allocator_ops *ops, const void *config,
				    const struct allocator_env *env);
	void (*destroy)(struct allocator *a); /* required */
	/* May be NULL. "2.0.9", "glibc 2.36"; lives as long as the instance. */
	const char *(*version)(struct allocator *a);
	void (*thread_enter)(struct allocator *a); /* may be NULL */
	void (*thread_exit)(struct allocator *a);  /* may be NULL */

	/* --- work --- */
	/*
	 * Required. size >= 1 byte; align 0 or a power of two; node a node number
	 * or NUMA_NO_NODE. NULL when memory is out.
	 */
	void *(*alloc)(struct allocator *a, size_t size, size_t align, gfp_t gfp,
		       int node);
	/* Required. size is what was asked for, or 0 when the caller does not know. */
	void (*free)(struct allocator *a, void *ptr, size_t size);
	/* May be NULL: then alloc, copy, free. old_size is what was asked for. */
	void *(*realloc)(struct allocator *a, void *ptr, size_t old_size,
			 size_t new_size);
	/* May be NULL: then calloc is alloc and memset. */
	void *(*zalloc)(struct allocator *a, size_t size);
	/* With CAP_BULK. Returns how many of n were delivered. */
	size_t (*alloc_bulk)(struct allocator *a, size_t size, gfp_t gfp, size_t n,
			     void **out);
	void (*free_bulk)(struct allocator *a, size_t size, size_t n, void **ptrs);
	size_t (*usable_size)(struct allocator *a, void *ptr); /* with CAP_USABLE_SIZE */
	void (*stats)(struct allocator *a, allocator_stat_fn fn,
		      void *arg);	   /* with CAP_STATS */
	void (*trim)(struct allocator *a); /* with CAP_TRIM: give memory back now */
	/* May be NULL. Walks every invariant of a quiescent instance; 0, or -EFAULT with
	 * text. */
	int (*check)(struct allocator *a);
};

/* --- registry --- */

/*
 * 0, or with a text: -EINVAL, which names the allocator and the missing hook, -EEXIST
 * for a name that is taken. From constructors, or before threads start.
 */
int allocator_register(const struct allocator_ops *ops);

/* A registration before main cannot return: it prints the reason and exits. */
#define ALLOCATOR_REGISTER(ops_)                                     \
	static void KMEM_CONSTRUCTOR allocator_register_##ops_(void) \
	{                                                            \
		allocator_register_or_exit(&(ops_));                 \
	}                                                            \
	_Static_assert(1, "a semicolon follows")
void allocator_register_or_exit(const struct allocator_ops *ops);

/*
 * Adds a malloc-compatible library under a new name ("--library NAME=PATH").
 * The file must be an ELF shared object; it is loaded by create() only. 0, or
 * -errno with an error text.
 */
int allocator_register_library(const char *name, const char *path);

/* NULL when unknown; the error text then names the nearest registered names. */
const struct allocator_ops *allocator_find(const char *name);

/* In order of name, floors first; NULL past the last. */
const struct allocator_ops *allocator_at(size_t index);

/*
 * Splits "slab:percpu=off,limit=120" and creates an instance. The configuration
 * is kept with it and released by allocator_delete(). NULL: kmem_last_error().
 */
struct allocator *allocator_new(const char *spec, const struct allocator_env *env);
void allocator_delete(struct allocator *a);

/* Parses "name" or "name:options" without creating; 0 or -EINVAL with an error text. */
int allocator_spec_check(const char *spec, const struct allocator_ops **ops);

#endif /* KMEM_ALLOCATOR_H */
