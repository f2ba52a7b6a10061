/* SPDX-License-Identifier: MIT */
/*
 * page-frag: ages the memory of a page allocator, and looks at what is left whole.
 *
 * Before the clock starts fill_bytes are allocated and half of the blocks, chosen at
 * random, freed: free pages lie everywhere. Then each round frees replace_percent of
 * the live blocks, again at random, and allocates as many. `rounds` of them are done
 * before the clock; the timed steps go on with further ones. An allocator that
 * hands out the lowest or the fullest place first closes the gaps meanwhile, one that
 * hands out the last freed page first leaves them.
 *
 * After each pass, all blocks still live, the allocator is asked for its free blocks:
 * the figures are those of free_blocks.h. HIGHMEM, which cannot be asked for by address
 * and is therefore all free, is left out.
 */
#include "workloads/harness/arena.h"
#include "workloads/harness/page_course.h"
#include "workloads/harness/page_size.h"
#include "workloads/harness/worker_fast.h"

struct page_frag_params {
	uint64_t fill_bytes;
	uint64_t replace_percent;
	uint64_t rounds;
};

static const struct kmem_option page_frag_options[] = {
	{
		.name = "fill_bytes",
		.type = KMEM_OPT_SIZE,
		.offset = offsetof(struct page_frag_params, fill_bytes),
		.initial = "1600M",
		.help = "memory allocated at first, all threads together: nine tenths of what "
			"the allocator manages is usual",
		.min = PAGE_BLOCK_MIN_BYTES,
		.max = (uint64_t)1 << 44,
	},
	{
		.name = "replace_percent",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct page_frag_params, replace_percent),
		.initial = "10",
		.help = "share of the live blocks that one round replaces",
		.min = 1,
		.max = 100,
	},
	{
		.name = "rounds",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct page_frag_params, rounds),
		.initial = "100",
		.help = "rounds before the clock starts; 0, 10, 20, 50, ... draw the course of "
			"ageing",
		.max = 1u << 20,
	},
	KMEM_OPTION_END,
};

static const struct kmem_option_group page_frag_groups[] = {{page_frag_options, 0},
							    {NULL, 0}};

/* Each round takes another window of one permutation, so that the blocks that come first,
 * and are the first on a per-CPU list, are others each time. */
#define STARTS 256u

struct page_frag_state {
	size_t bytes; /* of the arena that holds this */
	uint32_t live, round, rounds_done;
	void **block;		/* live */
	uint32_t *order;	/* live indices, the permutation */
	uint32_t start[STARTS]; /* where rounds begin in it */
};

/* Of all threads: frees what lives only when all have been looked at. */
struct page_frag_shared {
	struct free_blocks before, after; /* the first round, and the last one */
	struct page_frag_state *state[];  /* of each thread */
};

static uint64_t blocks_per_thread(const struct workload_run *run)
{
	const struct page_frag_params *params = run->params;

	return params->fill_bytes / run->threads / run->size_bytes;
}

static int page_frag_validate(const struct workload_run *run)
{
	const struct page_frag_params *params = run->params;
	uint64_t n;
	int err = page_size_check(run);

	if (err != 0)
		return err;
	n = blocks_per_thread(run);
	if (n < 20 || n > UINT32_MAX)
		return kmem_error(-EINVAL,
				  "workload 'page-frag' has %" PRIu64
				  " blocks of %" PRIu64
				  " bytes for each of %u threads in fill_bytes=%" PRIu64
				  ": give 20 to 2^32 blocks",
				  n, run->size_bytes, run->threads, params->fill_bytes);
	return 0;
}

static uint64_t page_frag_footprint(const struct workload_run *run)
{
	const struct page_frag_params *params = run->params;

	return run->touch == TOUCH_NONE ? params->fill_bytes / 64 : params->fill_bytes;
}

static size_t shared_bytes(const struct workload_run *run)
{
	return sizeof(struct page_frag_shared) +
	       run->threads * sizeof(struct page_frag_state *);
}

static int page_frag_setup(struct workload_run *run)
{
	run->shared = arena_alloc(shared_bytes(run));
	return 0;
}

static KMEM_ALWAYS_INLINE void page_frag_step(struct worker *w, struct probe *p)
{
	struct page_frag_state *s = w->state;
	size_t size = w->run->size_bytes;
	uint32_t from = s->start[s->rounds_done++ % STARTS], at = from;

	for (uint32_t i = 0; i < s->round; i++) {
		worker_free(w, p, s->block[s->order[at]], size);
		at = at + 1 < s->live ? at + 1 : 0;
	}
	at = from;
	for (uint32_t i = 0; i < s->round; i++) {
		void *block = worker_alloc(w, p, size);

		page_block_verify(w, block, size);
		s->block[s->order[at]] = block;
		at = at + 1 < s->live ? at + 1 : 0;
	}
	w->ops += s->round;
}
WORKLOAD_STEP(page_frag_step);

/* Fills, then frees a random half: the permutation's second one. */
static void fill(struct worker *w, struct page_frag_state *s, uint32_t n)
{
	size_t size = w->run->size_bytes;

	for (uint32_t i = 0; i < n; i++) {
		s->order[i] = i;
		s->block[i] = worker_alloc_untimed(w, size);
	}
	rng_shuffle_u32(&w->rng, s->order, n);
	for (uint32_t i = s->live; i < n; i++) {
		worker_free_untimed(w, s->block[s->order[i]], size);
		s->block[s->order[i]] = NULL;
	}
	/* The survivors move together, in rising order of place. */
	for (uint32_t i = 0, to = 0; i < n; i++) {
		if (s->block[i] != NULL)
			s->block[to++] = s->block[i];
	}
	for (uint32_t i = 0; i < s->live; i++)
		s->order[i] = i;
	rng_shuffle_u32(&w->rng, s->order, s->live);
}

static int page_frag_thread_setup(struct worker *w)
{
	const struct page_frag_params *params = w->run->params;
	struct page_frag_shared *shared = w->run->shared;
	uint32_t n = (uint32_t)blocks_per_thread(w->run);
	size_t bytes = sizeof(struct page_frag_state) +
		       (size_t)n * (sizeof(void *) + sizeof(uint32_t));
	struct page_frag_state *s = arena_alloc(bytes);
	uint64_t ops = w->ops;

	s->bytes = bytes;
	s->live = n / 2;
	s->round = (uint32_t)(s->live * params->replace_percent / 100);
	if (s->round == 0)
		s->round = 1;
	s->rounds_done = 0;
	for (uint32_t i = 0; i < STARTS; i++)
		s->start[i] = (uint32_t)rng_below(&w->rng, s->live);
	s->block = (void **)(void *)(s + 1);
	s->order = (uint32_t *)(void *)(s->block + n);
	w->state = s;
	fill(w, s, n);
	if (w->index == 0)
		free_blocks_read(w->a, &shared->before);
	for (uint64_t r = 0; r < params->rounds; r++)
		page_frag_step(w, NULL);
	w->ops = ops;
	shared->state[w->index] = s;
	return 0;
}

/* All threads have stopped, and every block is still live. */
static void page_frag_pass_end(struct workload_run *run)
{
	struct page_frag_shared *shared = run->shared;
	struct allocator *a = run->allocator;

	free_blocks_read(a, &shared->after);
	if (a->ops->thread_enter != NULL)
		a->ops->thread_enter(a);
	for (unsigned int t = 0; t < run->threads; t++) {
		struct page_frag_state *s = shared->state[t];

		for (uint32_t i = 0; s != NULL && i < s->live; i++)
			a->ops->free(a, s->block[i], run->size_bytes);
		if (s != NULL)
			arena_free(s, s->bytes);
		shared->state[t] = NULL;
	}
	if (a->ops->thread_exit != NULL)
		a->ops->thread_exit(a);
}

static void page_frag_report(struct workload_run *run, workload_report_fn fn, void *arg)
{
	const struct page_frag_shared *shared = run->shared;
	const struct free_blocks *after = &shared->after;

	if (!after->known)
		return;
	fn("free_pages_aged", free_blocks_pages(after, 0), arg);
	fn("free_in_huge_blocks_unaged_ratio",
	   1 - free_blocks_unusable(&shared->before, FREE_BLOCKS_HUGE_ORDER), arg);
	page_report_free(after, fn, arg);
}

static void page_frag_teardown(struct workload_run *run)
{
	arena_free(run->shared, shared_bytes(run));
	run->shared = NULL;
}

static const struct workload_ops page_frag_workload = {
	.abi_version = WORKLOAD_OPS_VERSION,
	.name = "page-frag",
	.description =
		"fills memory, frees half of it at random, replaces a share of the rest "
		"in rounds, and counts the free memory in whole 2 MiB blocks",
	.stresses = "where pages are placed: whether free memory grows together or stays "
		    "scattered",
	.not_for =
		"speed of the hit path; and with threads the figure 'unaged' is a look at a "
		"moving target",
	.source =
		"the fragmentation benchmark of LLFree (Wrenger and others, USENIX ATC 2023)",
	.op = "free+alloc of a block",
	.caps = CAP_PAGE | CAP_DISTINCT,
	.params = page_frag_groups,
	.params_size = sizeof(struct page_frag_params),
	.default_sizes = "4K",
	.size_min_bytes = PAGE_BLOCK_MIN_BYTES,
	.size_max_bytes = PAGE_BLOCK_MAX_BYTES,
	.default_threads = "1",
	.default_touch = TOUCH_NONE,
	.validate = page_frag_validate,
	.footprint = page_frag_footprint,
	.course = PAGE_COURSE,
	.course_read = page_course_read,
	.setup = page_frag_setup,
	.thread_setup = page_frag_thread_setup,
	.step = page_frag_step_plain,
	.step_probed = page_frag_step_probed,
	.pass_end = page_frag_pass_end,
	.report = page_frag_report,
	.teardown = page_frag_teardown,
};
WORKLOAD_REGISTER(page_frag_workload);
