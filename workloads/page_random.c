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
#include "workloads/harness/page_course.h"
#include "workloads/harness/page_size.h"
#include "workloads/harness/worker_fast.h"

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
	size_t bytes; /* of the arena that holds this */
	uint32_t n, burst, next;
	void **block;	 /* n */
	uint32_t *order; /* n indices, the permutation */
};

/* Of all threads: frees what lives only when the free blocks have been counted. */
struct page_random_shared {
	struct free_blocks after;
	struct page_random_state *state[]; /* of each thread */
};

static uint64_t blocks_per_thread(const struct workload_run *run)
{
	const struct page_random_params *params = run->params;

	return params->bulk_bytes / run->threads / run->size_bytes;
}

static int page_random_validate(const struct workload_run *run)
{
	const struct page_random_params *params = run->params;
	uint64_t n;
	int err = page_size_check(run);

	if (err != 0)
		return err;
	n = blocks_per_thread(run);
	if (n < 2 || n > UINT32_MAX)
		return kmem_error(-EINVAL,
				  "workload 'page-random' has %" PRIu64
				  " blocks of %" PRIu64
				  " bytes for each of %u threads in "
				  "bulk_bytes=%" PRIu64 ": give 2 to 2^32 blocks",
				  n, run->size_bytes, run->threads, params->bulk_bytes);
	return 0;
}

static uint64_t page_random_footprint(const struct workload_run *run)
{
	const struct page_random_params *params = run->params;

	/* What an allocator keeps of its own for each page; the pages' bytes are not
	 * touched unless the touch rule says so. */
	return run->touch == TOUCH_NONE ? params->bulk_bytes / 64 : params->bulk_bytes;
}

static size_t shared_bytes(const struct workload_run *run)
{
	return sizeof(struct page_random_shared) +
	       run->threads * sizeof(struct page_random_state *);
}

static int page_random_setup(struct workload_run *run)
{
	run->shared = arena_alloc(shared_bytes(run));
	return 0;
}

static int page_random_thread_setup(struct worker *w)
{
	const struct page_random_params *params = w->run->params;
	struct page_random_shared *shared = w->run->shared;
	uint32_t n = (uint32_t)blocks_per_thread(w->run);
	size_t bytes = sizeof(struct page_random_state) +
		       (size_t)n * (sizeof(void *) + sizeof(uint32_t));
	struct page_random_state *s = arena_alloc(bytes);

	s->bytes = bytes;
	s->n = n;
	s->burst = params->burst < n ? (uint32_t)params->burst : n;
	s->next = 0;
	s->block = (void **)(void *)(s + 1);
	s->order = (uint32_t *)(void *)(s->block + n);
	for (uint32_t i = 0; i < n; i++) {
		s->order[i] = i;
		s->block[i] = worker_alloc_untimed(w, w->run->size_bytes);
	}
	rng_shuffle_u32(&w->rng, s->order, n);
	w->state = s;
	shared->state[w->index] = s;
	return 0;
}

static KMEM_ALWAYS_INLINE void page_random_step(struct worker *w, struct probe *p)
{
	struct page_random_state *s = w->state;
	size_t size = w->run->size_bytes;
	const uint32_t *order;

	if (s->next + s->burst > s->n)
		s->next = 0;
	order = s->order + s->next;
	for (uint32_t i = 0; i < s->burst; i++)
		worker_free(w, p, s->block[order[i]], size);
	for (uint32_t i = 0; i < s->burst; i++) {
		s->block[order[i]] = worker_alloc(w, p, size);
		page_block_verify(w, s->block[order[i]], size);
	}
	s->next += s->burst;
	w->ops += s->burst;
}
WORKLOAD_STEP(page_random_step);

/* All threads have stopped, and every block is still live. */
static void page_random_pass_end(struct workload_run *run)
{
	struct page_random_shared *shared = run->shared;
	struct allocator *a = run->allocator;

	free_blocks_read(a, &shared->after);
	if (a->ops->thread_enter != NULL)
		a->ops->thread_enter(a);
	for (unsigned int t = 0; t < run->threads; t++) {
		struct page_random_state *s = shared->state[t];

		for (uint32_t i = 0; s != NULL && i < s->n; i++)
			a->ops->free(a, s->block[i], run->size_bytes);
		if (s != NULL)
			arena_free(s, s->bytes);
		shared->state[t] = NULL;
	}
	if (a->ops->thread_exit != NULL)
		a->ops->thread_exit(a);
}

static void page_random_report(struct workload_run *run, workload_report_fn fn, void *arg)
{
	const struct page_random_shared *shared = run->shared;

	page_report_free(&shared->after, fn, arg);
}

static void page_random_teardown(struct workload_run *run)
{
	arena_free(run->shared, shared_bytes(run));
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
	.pass_end = page_random_pass_end,
	.report = page_random_report,
	.teardown = page_random_teardown,
};
WORKLOAD_REGISTER(page_random_workload);
