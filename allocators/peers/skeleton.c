/* SPDX-License-Identifier: MIT */
/*
 * skeleton: a template of an allocator behind the vtable.
 *
 * Copy this file to peers/NAME.c (or FOLDER/NAME_ops.c for an allocator of this
 * library), rename everything, delete the hooks that you do not need, and turn
 * the last line into ALLOCATOR_REGISTER(NAME_ops). Nothing else in the project
 * has to change: the build finds the file, and `kmembench list` shows it.
 *
 * The head of the file is the place for the theory: what the concepts are, which
 * structures hold them, how allocation and free go, which locks are taken in
 * which order, what happens at fork and at start-up, where it differs from the
 * kernel and from the papers, references.
 *
 * This example serves objects from the C library and counts them. It is
 * compiled and tested, but not registered.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <kmem/allocator.h>
#include <kmem/error.h>

/* --- options: one structure, one table; the table feeds parser, help and results --- */

struct skeleton_config {
	bool scrub; /* units last in a name, if there are any: limit_bytes */
};

static const struct kmem_option skeleton_options[] = {
	{.name = "scrub",
	 .type = KMEM_OPT_BOOL,
	 .offset = offsetof(struct skeleton_config, scrub),
	 .initial = "off",
	 .help = "overwrite blocks when they are freed: finds use after free, costs time"},
	KMEM_OPTION_END,
};
/* Several tables may be joined: an upper layer lists those of the layers below. */
static const struct kmem_option_group skeleton_option_groups[] = {{skeleton_options, 0},
								  {NULL, 0}};

/* --- the instance: struct allocator comes first, so that one is the other --- */

struct skeleton {
	struct allocator base;
	/* properties: constant after create() */
	bool scrub;
	/* statistics: any thread, by atomics */
	_Alignas(KMEM_CACHELINE) _Atomic int64_t live_blocks;
};

/*
 * Can it run on this machine? Leave nothing loaded and nothing changed; `list`
 * asks, too. Absent: always.
 */
static int skeleton_available(const struct allocator_ops *ops)
{
	(void)ops;
	return 0;
}

/*
 * config is the structure above, filled from the defaults and the user's
 * options; it outlives the instance. env says what will be asked. Blocks must
 * not come from memory that the harness uses, if that can be helped.
 */
static struct allocator *skeleton_create(const struct allocator_ops *ops,
					 const void *config,
					 const struct allocator_env *env)
{
	const struct skeleton_config *c = config;
	struct skeleton *s = aligned_alloc(KMEM_CACHELINE, sizeof(*s));

	(void)env;
	if (s == NULL) {
		kmem_error(-ENOMEM, "no memory for allocator '%s'", ops->name);
		return NULL;
	}
	memset(s, 0, sizeof(*s));
	s->base.ops = ops;
	s->scrub = c->scrub;
	return &s->base;
}

/* All threads have left. Blocks that are still live may be released or left alone. */
static void skeleton_destroy(struct allocator *a)
{
	free(a);
}

/* Shown by `list` and kept in the results; a static text or one of the instance's. */
static const char *skeleton_version(struct allocator *a)
{
	(void)a;
	return "1";
}

/* Before a thread's first call: set up what it has of its own. Absent: nothing to do. */
static void skeleton_thread_enter(struct allocator *a)
{
	(void)a;
}

/* After a thread's last call. Its blocks may live on in other threads' hands. */
static void skeleton_thread_exit(struct allocator *a)
{
	(void)a;
}

/*
 * The hot path. align 0 asks for what malloc gives (or the natural alignment of
 * a page block). gfp and node matter where the capabilities say so.
 */
static void *skeleton_alloc(struct allocator *a, size_t size, size_t align, gfp_t gfp,
			    int node)
{
	struct skeleton *s = (struct skeleton *)a;
	void *p = NULL;

	(void)gfp;
	(void)node;
	if (align < sizeof(void *))
		align = sizeof(void *);
	if (posix_memalign(&p, align, size) != 0)
		return NULL;
	atomic_fetch_add_explicit(&s->live_blocks, 1, memory_order_relaxed);
	return p;
}

/* size is what was asked for, or 0: claim CAP_SIZED_FREE where it helps. */
static void skeleton_free(struct allocator *a, void *ptr, size_t size)
{
	struct skeleton *s = (struct skeleton *)a;

	if (s->scrub)
		memset(ptr, 0x6b, size);
	free(ptr);
	atomic_fetch_sub_explicit(&s->live_blocks, 1, memory_order_relaxed);
}

/* Absent: the caller allocates, copies min(old_size, new_size) bytes, frees. */
static void *skeleton_realloc(struct allocator *a, void *ptr, size_t old_size,
			      size_t new_size)
{
	(void)a;
	(void)old_size;
	return realloc(ptr, new_size);
}

/* Absent: the caller allocates and clears. Worth having where memory is known to be zero.
 */
static void *skeleton_zalloc(struct allocator *a, size_t size)
{
	struct skeleton *s = (struct skeleton *)a;
	void *p = calloc(1, size);

	if (p != NULL)
		atomic_fetch_add_explicit(&s->live_blocks, 1, memory_order_relaxed);
	return p;
}

/* CAP_BULK: n blocks of one size for less than n calls. Returns how many there were. */
static size_t skeleton_alloc_bulk(struct allocator *a, size_t size, gfp_t gfp, size_t n,
				  void **out)
{
	size_t i;

	for (i = 0; i < n; i++) {
		out[i] = skeleton_alloc(a, size, 0, gfp, NUMA_NO_NODE);
		if (out[i] == NULL)
			break;
	}
	return i;
}

static void skeleton_free_bulk(struct allocator *a, size_t size, size_t n, void **ptrs)
{
	for (size_t i = 0; i < n; i++)
		skeleton_free(a, ptrs[i], size);
}

/* CAP_STATS: the field's own names, values in base units. Not while others allocate. */
static void skeleton_stats(struct allocator *a, allocator_stat_fn fn, void *arg)
{
	struct skeleton *s = (struct skeleton *)a;

	fn("live_blocks",
	   (double)atomic_load_explicit(&s->live_blocks, memory_order_relaxed), arg);
}

/* CAP_TRIM: give everything back that is not in use, now. May be slow. */
static void skeleton_trim(struct allocator *a)
{
	(void)a;
}

/*
 * Walks whatever there is and compares it with what must hold; runs when no
 * other thread is inside. The text names the structure that is wrong.
 */
static int skeleton_check(struct allocator *a)
{
	struct skeleton *s = (struct skeleton *)a;
	int64_t live = atomic_load_explicit(&s->live_blocks, memory_order_relaxed);

	if (live < 0)
		return kmem_error(-EFAULT,
				  "skeleton: more blocks were freed than allocated: %lld",
				  (long long)-live);
	return 0;
}

/* A real table is static: this one is seen by the template's test. */
extern const struct allocator_ops skeleton_ops;
const struct allocator_ops skeleton_ops = {
	.abi_version = ALLOCATOR_OPS_VERSION,
	.name = "skeleton",
	.description = "template: the C library's malloc with a count",
	/* .package and .library: for an allocator that is somebody else's shared object.
	 */
	.caps = CAP_OBJECT | CAP_ALIGN | CAP_BULK | CAP_STATS | CAP_TRIM |
		CAP_MIXED_SIZE | CAP_DISTINCT | CAP_REMOTE_FREE,
	.size_max_bytes = 0,
	.options = skeleton_option_groups,
	.config_size = sizeof(struct skeleton_config),
	.available = skeleton_available,
	.create = skeleton_create,
	.destroy = skeleton_destroy,
	.version = skeleton_version,
	.thread_enter = skeleton_thread_enter,
	.thread_exit = skeleton_thread_exit,
	.alloc = skeleton_alloc,
	.free = skeleton_free,
	.realloc = skeleton_realloc,
	.zalloc = skeleton_zalloc,
	.alloc_bulk = skeleton_alloc_bulk,
	.free_bulk = skeleton_free_bulk,
	.stats = skeleton_stats,
	.trim = skeleton_trim,
	.check = skeleton_check,
};
/* A real one ends in: ALLOCATOR_REGISTER(skeleton_ops); */
