/* SPDX-License-Identifier: MIT */
/*
 * null: hands out one and the same address, whoever asks and for whatever.
 *
 * THEORY. The time of a workload on this floor is the time of the workload
 * itself and of a call through the vtable: what is to be subtracted, in mind,
 * from everybody's figures. The address is that of a range as large as the
 * largest request to come, reserved but not backed, so that a workload may
 * touch its blocks; they all overlap, so contents cannot be verified, and since
 * every block is the same memory, everything is always in the cache. Memory
 * figures of this floor mean nothing.
 */
#include <errno.h>
#include <stdlib.h>

#include "allocators/peers/floors.h"
#include <kmem/error.h>

/* Where the largest request is not known. */
#define NULL_DEFAULT_BYTES ((size_t)1 << 30)

struct null_allocator {
	struct allocator base;
	void *block;
	size_t bytes;
};

static struct allocator *null_create(const struct allocator_ops *ops, const void *config,
				     const struct allocator_env *env)
{
	struct null_allocator *n = calloc(1, sizeof(*n));

	(void)config;
	if (n == NULL) {
		kmem_error(-ENOMEM, "no memory for allocator '%s'", ops->name);
		return NULL;
	}
	n->base.ops = ops;
	n->bytes = env->size_max_bytes != 0 ? env->size_max_bytes : NULL_DEFAULT_BYTES;
	n->block = floor_reserve("allocator 'null'", n->bytes, FLOOR_MAX_ALIGN);
	if (n->block == NULL) {
		free(n);
		return NULL;
	}
	return &n->base;
}

static void null_destroy(struct allocator *a)
{
	struct null_allocator *n = (struct null_allocator *)a;

	floor_release(n->block, n->bytes);
	free(n);
}

static void *null_alloc(struct allocator *a, size_t size, size_t align, gfp_t gfp,
			int node)
{
	struct null_allocator *n = (struct null_allocator *)a;

	(void)gfp;
	(void)node;
	if (KMEM_UNLIKELY(size > n->bytes || align > FLOOR_MAX_ALIGN))
		return NULL;
	return n->block;
}

static void null_free(struct allocator *a, void *ptr, size_t size)
{
	(void)a;
	(void)ptr;
	(void)size;
}

/* The block stays where it is: copying it onto itself would not be defined. */
static void *null_realloc(struct allocator *a, void *ptr, size_t old_size,
			  size_t new_size)
{
	(void)ptr;
	(void)old_size;
	return null_alloc(a, new_size, 0, GFP_KERNEL, NUMA_NO_NODE);
}

static const struct allocator_ops null_ops = {
	.abi_version = ALLOCATOR_OPS_VERSION,
	.name = "null",
	.description = "floor: hands out one address, so only the harness costs time",
	.caps = CAP_OBJECT | CAP_PAGE | CAP_VRANGE | CAP_ALIGN | CAP_MIXED_SIZE |
		CAP_REMOTE_FREE,
	.create = null_create,
	.destroy = null_destroy,
	.alloc = null_alloc,
	.free = null_free,
	.realloc = null_realloc,
};
ALLOCATOR_REGISTER(null_ops);
