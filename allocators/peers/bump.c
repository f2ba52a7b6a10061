/* SPDX-License-Identifier: MIT */
/*
 * bump: takes the next bytes of a region of the calling thread, never frees.
 *
 * THEORY. Allocation without any bookkeeping: an addition and a comparison. The
 * difference to the other floors is that memory is not used again at once, so
 * what it costs to walk through memory is in its figures. The region is
 * larger than the caches of a core and smaller than a shared one, 4 MiB: with
 * 256 MiB, first touches of new pages made 60 ns of a pair of 64 bytes, with
 * 1 to 16 MiB it took 4 to 6 ns.
 *
 * A region that is used up is begun again from its start, however much of it
 * may still be live: old blocks are then handed out a second time. Workloads
 * whose live blocks take less than a region do not notice; contents cannot be
 * relied upon, so CAP_DISTINCT is not claimed. An instance created with
 * env->check returns NULL instead of beginning again. Since nothing is freed
 * and a region stays at its full size once it was walked through, bump must
 * never be used to claim anything about memory.
 *
 * Regions belong to the instance: when a thread leaves, its region, where live
 * blocks of it may lie, waits for the next thread, which goes on from the same
 * place.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "allocators/peers/floors.h"
#include <kmem/error.h>

struct bump_config {
	uint64_t region_bytes;
};

static const struct kmem_option bump_options[] = {
	{.name = "region_bytes",
	 .type = KMEM_OPT_SIZE,
	 .offset = offsetof(struct bump_config, region_bytes),
	 .initial = "4M",
	 .help = "bytes of addresses for each thread, begun again when used up; at least 8 of "
		 "the largest blocks",
	 .min = 1 << 20,
	 .max = (uint64_t)1 << 40},
	KMEM_OPTION_END,
};
static const struct kmem_option_group bump_option_groups[] = {{bump_options, 0},
							      {NULL, 0}};

/* One thread's region, or one that waits for a thread. */
struct bump_region {
	struct bump_region *next_all;  /* under lock */
	struct bump_region *next_idle; /* under lock */
	char *base;
	uintptr_t next; /* of an idle region: where its next thread goes on */
};

struct bump {
	struct allocator base;
	size_t region_bytes;
	bool wraps;
	pthread_mutex_t lock;
	struct bump_region *all, *idle; /* under lock */
};

/* Integers, since a thread without a region computes with 0. */
static _Thread_local struct {
	uintptr_t next, end;
	struct bump_region *region;
} bump_thread;

static _Atomic bool bump_claimed;

static struct allocator *bump_create(const struct allocator_ops *ops, const void *config,
				     const struct allocator_env *env)
{
	const struct bump_config *c = config;
	struct bump *b;
	size_t least;

	if (__builtin_mul_overflow(env->size_max_bytes, (size_t)8, &least)) {
		kmem_error(-EINVAL, "allocator 'bump' cannot serve blocks of %zu bytes",
			   env->size_max_bytes);
		return NULL;
	}
	if (!floor_claim(ops->name, &bump_claimed))
		return NULL;
	b = calloc(1, sizeof(*b));
	if (b == NULL) {
		floor_unclaim(&bump_claimed);
		kmem_error(-ENOMEM, "no memory for allocator '%s'", ops->name);
		return NULL;
	}
	b->base.ops = ops;
	b->region_bytes = c->region_bytes > least ? (size_t)c->region_bytes : least;
	b->wraps = !env->check;
	pthread_mutex_init(&b->lock, NULL);
	return &b->base;
}

static void bump_destroy(struct allocator *a)
{
	struct bump *b = (struct bump *)a;

	while (b->all != NULL) {
		struct bump_region *r = b->all;

		b->all = r->next_all;
		floor_release(r->base, b->region_bytes);
		free(r);
	}
	pthread_mutex_destroy(&b->lock);
	free(b);
	floor_unclaim(&bump_claimed);
}

/* Gives the calling thread a region; false when there are no more addresses. */
static bool bump_attach(struct bump *b)
{
	struct bump_region *r;

	pthread_mutex_lock(&b->lock);
	r = b->idle;
	if (r != NULL) {
		b->idle = r->next_idle;
	} else {
		r = calloc(1, sizeof(*r));
		if (r != NULL)
			r->base = floor_reserve("allocator 'bump'", b->region_bytes,
						FLOOR_MAX_ALIGN);
		if (r != NULL && r->base == NULL) {
			free(r);
			r = NULL;
		}
		if (r != NULL) {
			r->next = (uintptr_t)r->base;
			r->next_all = b->all;
			b->all = r;
		}
	}
	pthread_mutex_unlock(&b->lock);
	bump_thread.region = r;
	bump_thread.next = r != NULL ? r->next : 0;
	bump_thread.end = r != NULL ? (uintptr_t)r->base + b->region_bytes : 0;
	return r != NULL;
}

static void bump_thread_enter(struct allocator *a)
{
	bump_attach((struct bump *)a);
}

static void bump_thread_exit(struct allocator *a)
{
	struct bump *b = (struct bump *)a;
	struct bump_region *r = bump_thread.region;

	if (r == NULL)
		return;
	pthread_mutex_lock(&b->lock);
	r->next = bump_thread.next;
	r->next_idle = b->idle;
	b->idle = r;
	pthread_mutex_unlock(&b->lock);
	bump_thread.region = NULL;
	bump_thread.next = bump_thread.end = 0;
}

/* Takes size bytes at a multiple of align; NULL when the region has no room for them. */
static void *bump_take(size_t size, size_t align)
{
	uintptr_t start = KMEM_ALIGN_UP(bump_thread.next, align);

	if (start < bump_thread.next || start > bump_thread.end ||
	    size > bump_thread.end - start)
		return NULL;
	bump_thread.next = KMEM_ALIGN_UP(start + size, FLOOR_MIN_ALIGN);
	return (void *)start;
}

/* Pages, larger alignments, a thread's first call, and the end of a region. */
static KMEM_NOINLINE void *bump_alloc_slow(struct bump *b, size_t size, size_t align)
{
	size_t natural = floor_natural_align(size);
	void *p;

	if (align < natural)
		align = natural;
	if (bump_thread.region == NULL && !bump_attach(b))
		return NULL;
	p = bump_take(size, align);
	if (p == NULL && b->wraps) {
		bump_thread.next = (uintptr_t)bump_thread.region->base;
		p = bump_take(size, align);
	}
	return p;
}

static void *bump_alloc(struct allocator *a, size_t size, size_t align, gfp_t gfp,
			int node)
{
	uintptr_t p = bump_thread.next;
	uintptr_t next = p + KMEM_ALIGN_UP(size, FLOOR_MIN_ALIGN);

	(void)gfp;
	(void)node;
	/* The size is bounded first: a sum that wrapped around is not looked at. */
	if (KMEM_UNLIKELY(size >= PAGE_SIZE || align > FLOOR_MIN_ALIGN ||
			  next > bump_thread.end))
		return bump_alloc_slow((struct bump *)a, size, align);
	bump_thread.next = next;
	return (void *)p;
}

static void bump_free(struct allocator *a, void *ptr, size_t size)
{
	(void)a;
	(void)ptr;
	(void)size;
}

static const struct allocator_ops bump_ops = {
	.abi_version = ALLOCATOR_OPS_VERSION,
	.name = "bump",
	.description =
		"floor: the next bytes of a thread-local region, never freed; nothing "
		"about memory",
	.caps = CAP_OBJECT | CAP_PAGE | CAP_VRANGE | CAP_ALIGN | CAP_MIXED_SIZE,
	.options = bump_option_groups,
	.config_size = sizeof(struct bump_config),
	.create = bump_create,
	.destroy = bump_destroy,
	.thread_enter = bump_thread_enter,
	.thread_exit = bump_thread_exit,
	.alloc = bump_alloc,
	.free = bump_free,
};
ALLOCATOR_REGISTER(bump_ops);
