/* SPDX-License-Identifier: MIT */
/*
 * ctor: objects that are costly to make ready.
 *
 * An object is a table of words, each computed from the one before, as far as
 * ctor_words say. With caching=on a slab cache's constructor does that once for each
 * object's life on its slab; with caching=off every allocation does. Users change one
 * word and put it back before they free the object. The constructor's time is part of
 * the allocation's latency.
 *
 * Objects verify themselves: the last constructed word at each allocation, all of
 * them where contents are checked.
 */
#include <errno.h>
#include <inttypes.h>

#include <kmem/error.h>

#include "workloads/harness/arena.h"
#include "workloads/harness/own_cache.h"
#include "workloads/harness/worker_fast.h"

#define OBJECTS_PER_QUANTUM 4096u

struct ctor_params {
	bool caching;
	uint64_t ctor_words, in_flight;
};

static const struct kmem_option ctor_options[] = {
	{
		.name = "caching",
		.type = KMEM_OPT_BOOL,
		.offset = offsetof(struct ctor_params, caching),
		.initial = "off",
		.help = "on: a cache with a constructor (allocators slab and kmem only); "
			"off: construct after each allocation",
	},
	{
		.name = "ctor_words",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct ctor_params, ctor_words),
		.initial = "32",
		.help = "8-byte words that the constructor computes, about a nanosecond each",
		.min = 1,
		.max = 1u << 16,
	},
	{
		.name = "in_flight",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct ctor_params, in_flight),
		.initial = "64",
		.help = "objects each thread holds; the oldest is freed first",
		.min = 1,
		.max = 1u << 16,
	},
	KMEM_OPTION_END,
};

static const struct kmem_option_group ctor_groups[] = {{ctor_options, 0}, {NULL, 0}};

struct ctor_state {
	struct allocator base; /* ops: the real allocator's */
	struct worker saved;   /* hooks as they were */
	struct allocator *a;
	struct kmem_cache *cache; /* NULL: caching=off */
	size_t bytes;
	uint32_t words, in_flight, next;
	bool check;
	uint64_t last; /* value of the last constructed word */
	uint64_t *object[];
};

/* A constructor has no argument but the object, so the number of words is global: a
 * process runs one cell. */
static uint32_t ctor_words;

static uint64_t next_word(uint64_t word)
{
	return word * 6364136223846793005u + 1442695040888963407u;
}

static void construct(void *object)
{
	uint64_t *word = object;

	word[0] = 1;
	for (uint32_t i = 1; i < ctor_words; i++)
		word[i] = next_word(word[i - 1]);
}

static bool is_constructed(const uint64_t *word)
{
	if (word[0] != 1)
		return false;
	for (uint32_t i = 1; i < ctor_words; i++) {
		if (word[i] != next_word(word[i - 1]))
			return false;
	}
	return true;
}

static void *ctor_hook_alloc(struct allocator *a, size_t size, size_t align, gfp_t gfp,
			     int node)
{
	struct ctor_state *s = (struct ctor_state *)a;
	uint64_t *object;

	if (s->cache != NULL) {
		object = kmem_cache_alloc(s->cache, gfp);
	} else {
		object = s->a->ops->alloc(s->a, size, align, gfp, node);
		if (object != NULL)
			construct(object);
	}
	if (object != NULL &&
	    (object[s->words - 1] != s->last || (s->check && !is_constructed(object))))
		worker_fail(NULL, "workload 'ctor': object %p is not as constructed",
			    (void *)object);
	return object;
}

static void ctor_hook_free(struct allocator *a, void *ptr, size_t size)
{
	struct ctor_state *s = (struct ctor_state *)a;

	if (s->cache != NULL)
		kmem_cache_free(s->cache, ptr);
	else
		s->a->ops->free(s->a, ptr, size);
}

/* --- hooks --- */

static int ctor_validate(const struct workload_run *run)
{
	const struct ctor_params *params = run->params;

	if (params->ctor_words * sizeof(uint64_t) > run->size_bytes)
		return kmem_error(-EINVAL,
				  "workload 'ctor' has ctor_words=%" PRIu64
				  " in objects of %" PRIu64
				  " bytes: give at most %" PRIu64,
				  params->ctor_words, run->size_bytes,
				  run->size_bytes / sizeof(uint64_t));
	if (run->touch != TOUCH_NONE)
		return kmem_error(-EINVAL, "workload 'ctor' cannot have its objects "
					   "touched: leave touch=none");
	return 0;
}

static int ctor_setup(struct workload_run *run)
{
	const struct ctor_params *params = run->params;

	ctor_words = (uint32_t)params->ctor_words;
	run->shared = NULL;
	if (!params->caching)
		return 0;
	if (!own_cache_possible(run))
		return kmem_error(
			-EINVAL,
			"workload 'ctor' has caching=on, and '%s' has no object "
			"caches: use slab or kmem, or caching=off",
			run->allocator->ops->name);
	run->shared = kmem_cache_create("ctor", run->size_bytes, 0, 0, construct, NULL);
	return run->shared != NULL ? 0 : -ENOMEM;
}

static int ctor_thread_setup(struct worker *w)
{
	const struct ctor_params *params = w->run->params;
	uint32_t n = (uint32_t)params->in_flight;
	size_t bytes = sizeof(struct ctor_state) + n * sizeof(void *);
	struct ctor_state *s = arena_alloc(bytes);

	s->base.ops = w->a->ops;
	s->saved = *w;
	s->a = w->a;
	s->cache = w->run->shared;
	s->bytes = bytes;
	s->words = ctor_words;
	s->in_flight = n;
	s->next = 0;
	s->check = w->check;
	s->last = 1;
	for (uint32_t i = 1; i < ctor_words; i++)
		s->last = next_word(s->last);
	w->a = &s->base;
	w->alloc = ctor_hook_alloc;
	w->free = ctor_hook_free;
	w->check = w->after_alloc = false; /* stamps would destroy what is checked */
	w->state = s;
	for (uint32_t i = 0; i < n; i++)
		s->object[i] = worker_alloc_untimed(w, w->run->size_bytes);
	return 0;
}

static KMEM_ALWAYS_INLINE void ctor_step(struct worker *w, struct probe *p)
{
	struct ctor_state *s = w->state;
	size_t size = w->run->size_bytes;
	uint32_t next = s->next;

	for (uint32_t i = 0; i < OBJECTS_PER_QUANTUM; i++) {
		uint64_t *object = s->object[next];

		*(volatile uint64_t *)object = 1; /* used, and as constructed again */
		worker_free(w, p, object, size);
		object = worker_alloc(w, p, size);
		*(volatile uint64_t *)object = i;
		s->object[next] = object;
		next = next + 1 < s->in_flight ? next + 1 : 0;
	}
	s->next = next;
	w->ops += OBJECTS_PER_QUANTUM;
}
WORKLOAD_STEP(ctor_step);

static void ctor_thread_teardown(struct worker *w)
{
	struct ctor_state *s = w->state;

	for (uint32_t i = 0; i < s->in_flight; i++) {
		s->object[i][0] = 1;
		worker_free_untimed(w, s->object[i], w->run->size_bytes);
	}
	w->a = s->saved.a;
	w->alloc = s->saved.alloc;
	w->free = s->saved.free;
	w->check = s->saved.check;
	w->after_alloc = s->saved.after_alloc;
	arena_free(s, s->bytes);
}

static void ctor_teardown(struct workload_run *run)
{
	if (kmem_cache_destroy(run->shared) != 0)
		worker_fail(NULL, "workload 'ctor': %s", kmem_last_error());
	run->shared = NULL;
}

static const struct workload_ops ctor_workload = {
	.abi_version = WORKLOAD_OPS_VERSION,
	.name = "ctor",
	.description =
		"allocates objects that are costly to construct, from a cache that keeps "
		"them constructed or from a general allocator",
	.stresses = "object caching: what a constructor costs that runs once for each "
		    "object instead of once for each allocation",
	.not_for =
		"comparing allocators with caching=off: the constructor outweighs them; nor "
		"for objects that users leave in some other state",
	.source = "Bonwick, The Slab Allocator, USENIX 1994",
	.op = "object: free+alloc",
	.caps = CAP_OBJECT | CAP_DISTINCT,
	.params = ctor_groups,
	.params_size = sizeof(struct ctor_params),
	.default_sizes = "256",
	.size_min_bytes = 8,
	.size_max_bytes = (uint64_t)1 << 20,
	.default_threads = "1",
	.default_touch = TOUCH_NONE,
	.validate = ctor_validate,
	.setup = ctor_setup,
	.thread_setup = ctor_thread_setup,
	.step = ctor_step_plain,
	.step_probed = ctor_step_probed,
	.thread_teardown = ctor_thread_teardown,
	.teardown = ctor_teardown,
};
WORKLOAD_REGISTER(ctor_workload);
