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
#include "workloads/harness/live_blocks.h"
#include "workloads/harness/page_course.h"
#include "workloads/harness/page_size.h"

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
	const struct live_blocks *blocks;
	uint32_t round; /* blocks that one replaces */
	uint32_t rounds_done;
	uint32_t start[STARTS]; /* where rounds begin in the permutation */
};

struct page_frag_shared {
	struct free_blocks before; /* the first round */
	struct live_set *set;
};

static int page_frag_validate(const struct workload_run *run)
{
	const struct page_frag_params *params = run->params;

	return live_blocks_check(run, "fill_bytes", params->fill_bytes, 20);
}

static uint64_t page_frag_footprint(const struct workload_run *run)
{
	const struct page_frag_params *params = run->params;

	return live_blocks_footprint(run, params->fill_bytes);
}

static int page_frag_setup(struct workload_run *run)
{
	struct page_frag_shared *shared = arena_alloc(sizeof(*shared));

	shared->set = live_set_new(run->threads);
	run->shared = shared;
	return 0;
}

static KMEM_ALWAYS_INLINE void page_frag_step(struct worker *w, struct probe *p)
{
	struct page_frag_state *s = w->state;
	uint32_t live = s->blocks->n, *order = s->blocks->order;
	void **block = s->blocks->block;
	size_t size = w->run->size_bytes;
	uint32_t from = s->start[s->rounds_done++ % STARTS], at = from;

	for (uint32_t i = 0; i < s->round; i++) {
		worker_free(w, p, block[order[at]], size);
		at = at + 1 < live ? at + 1 : 0;
	}
	at = from;
	for (uint32_t i = 0; i < s->round; i++) {
		void **slot = &block[order[at]];

		*slot = worker_alloc(w, p, size);
		page_block_verify(w, *slot, size);
		at = at + 1 < live ? at + 1 : 0;
	}
	w->ops += s->round;
}
WORKLOAD_STEP(page_frag_step);

static int page_frag_thread_setup(struct worker *w)
{
	const struct page_frag_params *params = w->run->params;
	struct page_frag_shared *shared = w->run->shared;
	uint32_t n = (uint32_t)live_blocks_per_thread(w->run, params->fill_bytes);
	struct page_frag_state *s = arena_alloc(sizeof(*s));
	struct live_blocks *blocks;
	uint64_t ops = w->ops;

	s->round = (uint32_t)(n / 2 * params->replace_percent / 100);
	if (s->round == 0)
		s->round = 1;
	for (uint32_t i = 0; i < STARTS; i++)
		s->start[i] = (uint32_t)rng_below(&w->rng, n / 2);
	blocks = live_set_fill(shared->set, w, n);
	live_blocks_thin(w, blocks, n / 2);
	s->blocks = blocks;
	w->state = s;
	if (w->index == 0)
		free_blocks_read(w->a, &shared->before);
	for (uint64_t r = 0; r < params->rounds; r++)
		page_frag_step(w, NULL);
	w->ops = ops;
	return 0;
}

static void page_frag_thread_teardown(struct worker *w)
{
	arena_free(w->state, sizeof(struct page_frag_state));
}

static void page_frag_pass_end(struct workload_run *run)
{
	struct page_frag_shared *shared = run->shared;

	live_set_end(shared->set, run);
}

static void page_frag_report(struct workload_run *run, workload_report_fn fn, void *arg)
{
	const struct page_frag_shared *shared = run->shared;
	const struct free_blocks *after = &shared->set->after;

	if (!after->known)
		return;
	fn("free_pages_aged", free_blocks_pages(after, 0), arg);
	fn("free_in_huge_blocks_unaged_ratio",
	   1 - free_blocks_unusable(&shared->before, FREE_BLOCKS_HUGE_ORDER), arg);
	page_report_free(after, fn, arg);
}

static void page_frag_teardown(struct workload_run *run)
{
	struct page_frag_shared *shared = run->shared;

	live_set_delete(shared->set);
	arena_free(shared, sizeof(*shared));
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
	.thread_teardown = page_frag_thread_teardown,
	.pass_end = page_frag_pass_end,
	.report = page_frag_report,
	.teardown = page_frag_teardown,
};
WORKLOAD_REGISTER(page_frag_workload);
