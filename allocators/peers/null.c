/* SPDX-License-Identifier: MIT */
/*
 * null: hands out one and the same address to a thread, whatever it asks for.
 *
 * THEORY. The time of a workload on this floor is the time of the workload
 * itself and of a call through the vtable: what is to be subtracted, in mind,
 * from everybody's figures. The address is that of a range as large as the
 * largest request to come, reserved but not backed, so that a workload may
 * touch its blocks; they all overlap, so contents cannot be verified, and since
 * every block is the same memory, everything is always in the cache. Memory
 * figures of this floor mean nothing.
 *
 * Each thread has an address of its own: with one for all, threads that touch
 * their blocks would pass its cache lines to and fro, and the floor would cost
 * more than the allocators above it (a replacement of larson at two threads 13.9
 * ns instead of 3). A thread takes the lowest free place when it enters; where
 * more threads live than there are places, they share the first.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "allocators/peers/floors.h"
#include <kmem/error.h>

/* Where the largest request is not known. */
#define NULL_DEFAULT_BYTES ((size_t)1 << 30)

/* Places for the threads, a bit each; a workload's threads may start one more each. */
#define NULL_PLACES_MAX 64

struct null_allocator {
	struct allocator base;
	char *block;
	size_t bytes;  /* largest request */
	size_t stride; /* from one thread's address to the next */
	unsigned int places;
	_Atomic uint64_t taken;
};

static _Atomic bool null_claimed;
static _Thread_local size_t null_offset; /* of this thread's address */
static _Thread_local uint64_t null_bit;	 /* its place in `taken`; 0: none */

static struct allocator *null_create(const struct allocator_ops *ops, const void *config,
				     const struct allocator_env *env)
{
	struct null_allocator *n;

	(void)config;
	if (!floor_claim(ops->name, &null_claimed))
		return NULL;
	n = calloc(1, sizeof(*n));
	if (n == NULL) {
		kmem_error(-ENOMEM, "no memory for allocator '%s'", ops->name);
		floor_unclaim(&null_claimed);
		return NULL;
	}
	n->base.ops = ops;
	n->bytes = env->size_max_bytes != 0 ? env->size_max_bytes : NULL_DEFAULT_BYTES;
	n->stride = KMEM_ALIGN_UP(n->bytes, FLOOR_MAX_ALIGN);
	n->places = env->threads == 0			 ? 1
		    : env->threads < NULL_PLACES_MAX / 2 ? 2 * env->threads
							 : NULL_PLACES_MAX;
	n->block = floor_reserve("allocator 'null'", n->places * n->stride,
				 FLOOR_MAX_ALIGN);
	if (n->block == NULL) {
		free(n);
		floor_unclaim(&null_claimed);
		return NULL;
	}
	return &n->base;
}

static void null_destroy(struct allocator *a)
{
	struct null_allocator *n = (struct null_allocator *)a;

	floor_release(n->block, n->places * n->stride);
	free(n);
	floor_unclaim(&null_claimed);
}

static void null_thread_enter(struct allocator *a)
{
	struct null_allocator *n = (struct null_allocator *)a;
	uint64_t taken = atomic_load(&n->taken);
	unsigned int place;

	null_offset = 0;
	null_bit = 0;
	do {
		if (taken == UINT64_MAX)
			return;
		place = (unsigned int)__builtin_ctzll(~taken);
		if (place >= n->places)
			return;
	} while (!atomic_compare_exchange_weak(&n->taken, &taken, taken | 1ull << place));
	null_offset = place * n->stride;
	null_bit = 1ull << place;
}

static void null_thread_exit(struct allocator *a)
{
	struct null_allocator *n = (struct null_allocator *)a;

	atomic_fetch_and(&n->taken, ~null_bit);
	null_offset = 0;
	null_bit = 0;
}

static void *null_alloc(struct allocator *a, size_t size, size_t align, gfp_t gfp,
			int node)
{
	struct null_allocator *n = (struct null_allocator *)a;

	(void)gfp;
	(void)node;
	if (KMEM_UNLIKELY(size > n->bytes || align > FLOOR_MAX_ALIGN))
		return NULL;
	return n->block + null_offset;
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
	.description =
		"floor: hands each thread one address, so only the harness costs time",
	.caps = CAP_OBJECT | CAP_PAGE | CAP_VRANGE | CAP_ALIGN | CAP_MIXED_SIZE |
		CAP_REMOTE_FREE,
	.create = null_create,
	.destroy = null_destroy,
	.thread_enter = null_thread_enter,
	.thread_exit = null_thread_exit,
	.alloc = null_alloc,
	.free = null_free,
	.realloc = null_realloc,
};
ALLOCATOR_REGISTER(null_ops);
