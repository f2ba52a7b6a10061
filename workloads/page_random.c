/* SPDX-License-Identifier: MIT */
/*
 * page-random: free blocks at random places, allocate as many anew.
 *
 * bulk_bytes are filled before the clock starts. Then `burst` random blocks are
 * freed and as many allocated, over and over: more than a per-CPU list holds, so
 * that the lower level takes them back one by one, from all over the memory, and
 * has to find them again. The indices are one permutation of all blocks, gone
 * through again and again. One operation is one block freed and one allocated. After
 * each pass, all blocks still live, the allocator is asked for its free blocks: what the
 * scattering made of the free memory, which was whole before.
 */
#include "workloads/harness/arena.h"
#include "workloads/harness/live_blocks.h"
#include "workloads/harness/page_course.h"
#include "workloads/harness/page_size.h"

struct page_random_params {
	uint64_t bulk_bytes;
	uint64_t burst;
};

static const struct kmem_option page_random_options[] = {
	{
		.name = "bulk_bytes",
		.type = KMEM_OPT_SIZE,
		.offset = offsetof(struct page_random_params, bulk_bytes),
		.initial = "256M",
		.help = "memory that is live, all threads together",
		.min = PAGE_BLOCK_MIN_BYTES,
		.max = (uint64_t)1 << 44,
	},
	{
		.name = "burst",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct page_random_params, burst),
		.initial = "2048",
		.help = "blocks that a thread frees before it allocates again; fewer than a "
			"per-CPU list holds never reach the lower level",
		.min = 1,
		.max = 1u << 20,
	},
	KMEM_OPTION_END,
};

static const struct kmem_option_group page_random_groups[] = {{page_random_options, 0},
							      {NULL, 0}};

struct page_random_state {
	const struct live_blocks *blocks;
	uint32_t burst, next; /* place in the permutation */
};

static int page_random_validate(const struct workload_run *run)
{
	const struct page_random_params *params = run->params;

	return live_blocks_check(run, "bulk_bytes", params->bulk_bytes, 2);
}

static uint64_t page_random_footprint(const struct workload_run *run)
{
	const struct page_random_params *params = run->params;

	return live_blocks_footprint(run, params->bulk_bytes);
}

static int page_random_setup(struct workload_run *run)
{
	run->shared = live_set_new(run->threads);
	return 0;
}

static int page_random_thread_setup(struct worker *w)
{
	const struct page_random_params *params = w->run->params;
	uint32_t n = (uint32_t)live_blocks_per_thread(w->run, params->bulk_bytes);
	struct page_random_state *s = arena_alloc(sizeof(*s));

	s->blocks = live_set_fill(w->run->shared, w, n);
	s->burst = params->burst < n ? (uint32_t)params->burst : n;
	w->state = s;
	return 0;
}

static KMEM_ALWAYS_INLINE void page_random_step(struct worker *w, struct probe *p)
{
	struct page_random_state *s = w->state;
	size_t size = w->run->size_bytes;
	void **block = s->blocks->block;
	const uint32_t *order;

	if (s->next + s->burst > s->blocks->n)
		s->next = 0;
	order = s->blocks->order + s->next;
	for (uint32_t i = 0; i < s->burst; i++)
		worker_free(w, p, block[order[i]], size);
	for (uint32_t i = 0; i < s->burst; i++) {
		block[order[i]] = worker_alloc(w, p, size);
		page_block_verify(w, block[order[i]], size);
	}
	s->next += s->burst;
	w->ops += s->burst;
}
WORKLOAD_STEP(page_random_step);

static void page_random_thread_teardown(struct worker *w)
{
	arena_free(w->state, sizeof(struct page_random_state));
}

static void page_random_pass_end(struct workload_run *run)
{
	live_set_end(run->shared, run);
}

static void page_random_report(struct workload_run *run, workload_report_fn fn, void *arg)
{
	const struct live_set *set = run->shared;

	page_report_free(&set->after, fn, arg);
}

static void page_random_teardown(struct workload_run *run)
{
	live_set_delete(run->shared);
	run->shared = NULL;
}

static const struct workload_ops page_random_workload = {
	.abi_version = WORKLOAD_OPS_VERSION,
	.name = "page-random",
	.description = "keeps bulk_bytes live, frees `burst` blocks at random places and "
		       "allocates as many",
	.stresses =
		"giving scattered pages back to the lower level, one row or list at a "
		"time, and finding single free pages again",
	.not_for = "the hit path: a burst is longer than a per-CPU list",
	.source =
		"the rand benchmark of LLFree (Wrenger and others, USENIX ATC 2023), in a "
		"steady state",
	.op = "free+alloc of a block",
	.caps = CAP_PAGE | CAP_DISTINCT,
	.params = page_random_groups,
	.params_size = sizeof(struct page_random_params),
	.default_sizes = "4K",
	.size_min_bytes = PAGE_BLOCK_MIN_BYTES,
	.size_max_bytes = PAGE_BLOCK_MAX_BYTES,
	.default_threads = "1",
	.default_touch = TOUCH_NONE,
	.validate = page_random_validate,
	.footprint = page_random_footprint,
	.course = PAGE_COURSE,
	.course_read = page_course_read,
	.setup = page_random_setup,
	.thread_setup = page_random_thread_setup,
	.step = page_random_step_plain,
	.step_probed = page_random_step_probed,
	.thread_teardown = page_random_thread_teardown,
	.pass_end = page_random_pass_end,
	.report = page_random_report,
	.teardown = page_random_teardown,
};
WORKLOAD_REGISTER(page_random_workload);
