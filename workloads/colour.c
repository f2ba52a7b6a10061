/* SPDX-License-Identifier: MIT */
/*
 * colour: equal fields of many objects, touched in turn.
 *
 * Objects whose size is a power of two put their first words into few sets of the
 * processor's caches: of 64 sets of a 32 KiB cache, objects of 1 KiB use four, unless
 * successive slabs start at different lines. On slab and kmem the objects come from a
 * cache of their own, created with no more alignment than a word, so that
 * colour=off and colour=on can be compared; elsewhere from the allocator.
 *
 * What colours there are is the slack of a slab: what its objects leave over. Four
 * objects of 1 KiB leave nothing of a page, so that there is one colour; an object that
 * is a little larger than a power of two (1100 bytes: 796 to spare on a page of three)
 * has some ten, and it is such caches that colouring is for. The slack of this cache and
 * the number of its colours are reported; with one colour colour=on cannot do anything.
 *
 * An operation is one touch: the loads of a round form a chain, so that a miss is
 * waited for. By default they go through the objects in a random order, the same in every
 * round: in the order of allocation they are a stride apart, and the processor fetches
 * them before they are missed (order=allocated shows by how much). Beside the time, and
 * the hardware's counters where there are any, the touched addresses are run through a
 * model of the first-level cache: sets and ways of this machine, least recently used line
 * out, virtual addresses (their index bits lie below the page size). Where the lines fit
 * into the cache if they are spread evenly (n_objects at most all its lines) colouring
 * can save misses; with more than that they miss in any colour, and it does not pay, nor
 * does it with so few that they fit into the few sets they share.
 */
#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include <kmem/error.h>

#include "workloads/harness/arena.h"
#include "workloads/harness/own_cache.h"
#include "workloads/harness/worker_fast.h"

#define TOUCHES_PER_QUANTUM 65536u
#define LINE_SHIFT	    6
#define CACHE_NAME	    "colour"
#define WAYS_MAX	    32u
/* What most processors have had since 2008, where the system does not say. */
#define L1_BYTES_DEFAULT ((size_t)32 << 10)
#define L1_WAYS_DEFAULT	 8u

enum touch_order { TOUCHED_RANDOM, TOUCHED_ALLOCATED };

static const char *const touch_order_names[] = {"random", "allocated", NULL};

struct colour_params {
	uint64_t n_objects;
	int order;
};

static const struct kmem_option colour_options[] = {
	{
		.name = "n_objects",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct colour_params, n_objects),
		.initial = "256",
		.help = "objects each thread touches; 256 lines are half of a 32 KiB cache",
		.min = 2,
		.max = 1u << 20,
	},
	{
		.name = "order",
		.type = KMEM_OPT_ENUM,
		.offset = offsetof(struct colour_params, order),
		.initial = "random",
		.help = "order in which they are touched; allocated: a stride that the "
			"processor may fetch ahead",
		.choices = touch_order_names,
	},
	KMEM_OPTION_END,
};

static const struct kmem_option_group colour_groups[] = {{colour_options, 0}, {NULL, 0}};

/* The first word of an object leads to the next one. */
struct colour_object {
	struct colour_object *next;
};

struct colour_state {
	size_t bytes;
	struct kmem_cache *cache; /* NULL: from the allocator */
	struct colour_object *at;
	uint32_t n;
	struct colour_object *object[];
};

struct colour_shared {
	struct kmem_cache *cache;
	uint64_t colours, slack_bytes; /* of the cache; 0 where there is none */
	double misses_per_touch;       /* of the model, thread 0 */
	uint32_t sets_used;
};

/* --- the model --- */

struct l1_model {
	uint32_t sets, ways;
	uintptr_t *line; /* [set * ways]: most recently used first; 0: none */
};

static bool l1_touch(struct l1_model *l1, const void *addr)
{
	uintptr_t line = (uintptr_t)addr >> LINE_SHIFT;
	uintptr_t *set = &l1->line[(line % l1->sets) * l1->ways];
	uint32_t way = 0;
	bool hit;

	while (way + 1 < l1->ways && set[way] != line)
		way++;
	hit = set[way] == line;
	for (; way > 0; way--)
		set[way] = set[way - 1];
	set[0] = line;
	return hit;
}

static uint32_t count_used_sets(const struct l1_model *l1)
{
	uint32_t used = 0;

	for (uint32_t set = 0; set < l1->sets; set++)
		used += l1->line[set * l1->ways] != 0;
	return used;
}

/* Two rounds over the objects: one to warm up, one to count. */
static void model_misses(const struct colour_state *s, struct colour_shared *shared)
{
	long bytes = sysconf(_SC_LEVEL1_DCACHE_SIZE),
	     ways = sysconf(_SC_LEVEL1_DCACHE_ASSOC);
	struct l1_model l1 = {.ways = ways > 0 && ways <= (long)WAYS_MAX
					      ? (uint32_t)ways
					      : L1_WAYS_DEFAULT};
	size_t size = bytes > 0 ? (size_t)bytes : L1_BYTES_DEFAULT;
	uint64_t misses = 0;

	l1.sets = (uint32_t)((size >> LINE_SHIFT) / l1.ways);
	l1.line = arena_alloc(l1.sets * l1.ways * sizeof(*l1.line));
	memset(l1.line, 0, l1.sets * l1.ways * sizeof(*l1.line));
	for (uint32_t i = 0; i < s->n; i++)
		l1_touch(&l1, s->object[i]);
	for (uint32_t i = 0; i < s->n; i++)
		misses += !l1_touch(&l1, s->object[i]);
	shared->misses_per_touch = (double)misses / s->n;
	shared->sets_used = count_used_sets(&l1);
	arena_free(l1.line, l1.sets * l1.ways * sizeof(*l1.line));
}

/* --- hooks --- */

static void take_colours(const struct kmem_cache_info *info, void *arg)
{
	struct colour_shared *shared = arg;

	if (strcmp(info->name, CACHE_NAME) != 0)
		return;
	shared->colours = info->colours;
	shared->slack_bytes = info->slack_bytes;
}

static int colour_setup(struct workload_run *run)
{
	struct colour_shared *shared = arena_alloc(sizeof(*shared));

	*shared = (struct colour_shared){.cache = NULL};
	run->shared = shared;
	if (!own_cache_possible(run))
		return 0;
	shared->cache = kmem_cache_create(CACHE_NAME, run->size_bytes, 0, 0, NULL, NULL);
	if (shared->cache == NULL) {
		arena_free(shared, sizeof(*shared));
		return -ENOMEM;
	}
	slabinfo(take_colours, shared);
	return 0;
}

static struct colour_object *get_object(struct worker *w, struct colour_state *s)
{
	void *object;

	if (s->cache == NULL)
		return worker_alloc_untimed(w, w->run->size_bytes);
	object = kmem_cache_alloc(s->cache, GFP_KERNEL);
	if (object == NULL)
		worker_fail_alloc(w, w->run->size_bytes, 0);
	return object;
}

static int colour_thread_setup(struct worker *w)
{
	const struct colour_params *params = w->run->params;
	struct colour_shared *shared = w->run->shared;
	uint32_t n = (uint32_t)params->n_objects;
	size_t bytes = sizeof(struct colour_state) + n * sizeof(void *);
	struct colour_state *s = arena_alloc(bytes);
	uint32_t *order;

	s->bytes = bytes;
	s->cache = shared->cache;
	s->n = n;
	for (uint32_t i = 0; i < n; i++)
		s->object[i] = get_object(w, s);
	order = arena_alloc(n * sizeof(*order));
	for (uint32_t i = 0; i < n; i++)
		order[i] = i;
	if (params->order == TOUCHED_RANDOM)
		rng_shuffle_u32(&w->rng, order, n);
	for (uint32_t i = 0; i < n; i++)
		s->object[order[i]]->next = s->object[order[(i + 1) % n]];
	arena_free(order, n * sizeof(*order));
	s->at = s->object[0];
	if (w->index == 0)
		model_misses(s, shared);
	w->state = s;
	return 0;
}

static KMEM_ALWAYS_INLINE void colour_step(struct worker *w, struct probe *p)
{
	struct colour_state *s = w->state;
	struct colour_object *at = s->at;

	(void)p; /* nothing is allocated: there is no latency to sample */
	for (uint32_t i = 0; i < TOUCHES_PER_QUANTUM; i++)
		at = *(struct colour_object *volatile *)&at->next;
	s->at = at;
	w->ops += TOUCHES_PER_QUANTUM;
}
WORKLOAD_STEP(colour_step);

static void colour_thread_teardown(struct worker *w)
{
	struct colour_state *s = w->state;

	for (uint32_t i = 0; i < s->n; i++) {
		if (s->cache != NULL)
			kmem_cache_free(s->cache, s->object[i]);
		else
			w->free(w->a, s->object[i], w->run->size_bytes);
	}
	arena_free(s, s->bytes);
}

static void colour_report(struct workload_run *run, workload_report_fn fn, void *arg)
{
	const struct colour_shared *shared = run->shared;

	fn("modelled_l1_misses_per_touch", shared->misses_per_touch, arg);
	fn("modelled_l1_sets_used_count", shared->sets_used, arg);
	if (shared->colours > 0) {
		fn("cache_colours", (double)shared->colours, arg);
		fn("slab_slack_bytes", (double)shared->slack_bytes, arg);
	}
}

static void colour_teardown(struct workload_run *run)
{
	struct colour_shared *shared = run->shared;

	if (kmem_cache_destroy(shared->cache) != 0)
		worker_fail(NULL, "workload 'colour': %s", kmem_last_error());
	arena_free(shared, sizeof(*shared));
	run->shared = NULL;
}

static const struct workload_ops colour_workload = {
	.abi_version = WORKLOAD_OPS_VERSION,
	.name = "colour",
	.description =
		"touches the first word of many objects of one size in turn, in random order",
	.stresses =
		"conflict misses: how an allocator's addresses spread over the sets of "
		"the first-level cache; slab:colour=off against slab",
	.not_for =
		"the speed of allocation: nothing is allocated while the clock runs; nor "
		"for programs that touch whole objects or walk them in order of address; "
		"on caches with one colour (cache_colours) colour=on does nothing",
	.source = "Bonwick, The Slab Allocator, USENIX 1994",
	.op = "touch",
	.caps = CAP_OBJECT | CAP_DISTINCT,
	.params = colour_groups,
	.params_size = sizeof(struct colour_params),
	.default_sizes = "1100,2100",
	.size_min_bytes = 16,
	.size_max_bytes = (uint64_t)1 << 17,
	.default_threads = "1",
	.default_touch = TOUCH_NONE,
	.setup = colour_setup,
	.thread_setup = colour_thread_setup,
	.step = colour_step_plain,
	.step_probed = colour_step_probed,
	.thread_teardown = colour_thread_teardown,
	.report = colour_report,
	.teardown = colour_teardown,
};
WORKLOAD_REGISTER(colour_workload);
