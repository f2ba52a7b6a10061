/* SPDX-License-Identifier: MIT */
/*
 * page-bulk: allocate a large share of memory block by block, then free it all.
 *
 * A quantum is one whole bulk, so it lasts longer than that of other workloads:
 * 2^18 pages at 10 to 100 ns. Threads share the bulk evenly and do not wait for
 * each other between the two halves. Alloc and free are told apart by the
 * latency pass; the throughput figure is their sum.
 */
#include "workloads/harness/arena.h"
#include "workloads/harness/page_course.h"
#include "workloads/harness/page_size.h"
#include "workloads/harness/worker_fast.h"

enum bulk_order { BULK_FIFO, BULK_RANDOM };

static const char *const order_names[] = {"fifo", "random", NULL};

struct page_bulk_params {
	uint64_t bulk_bytes;
	int order;
};

static const struct kmem_option page_bulk_options[] = {
	{
		.name = "bulk_bytes",
		.type = KMEM_OPT_SIZE,
		.offset = offsetof(struct page_bulk_params, bulk_bytes),
		.initial = "1G",
		.help = "memory taken before any is freed, all threads together; half of what "
			"the allocator manages is usual",
		.min = PAGE_BLOCK_MIN_BYTES,
		.max = (uint64_t)1 << 44,
	},
	{
		.name = "order",
		.type = KMEM_OPT_ENUM,
		.offset = offsetof(struct page_bulk_params, order),
		.initial = "fifo",
		.help = "order of freeing; fifo: as allocated; random: one permutation for "
			"the whole pass",
		.choices = order_names,
	},
	KMEM_OPTION_END,
};

static const struct kmem_option_group page_bulk_groups[] = {{page_bulk_options, 0},
							    {NULL, 0}};

struct page_bulk_state {
	size_t bytes; /* of the arena that holds this */
	uint32_t n;
	void **block;	 /* n */
	uint32_t *order; /* n indices, in the order of freeing; also for fifo, so that
			  * both orders run the same instructions */
};

static uint64_t blocks_per_thread(const struct workload_run *run)
{
	const struct page_bulk_params *params = run->params;

	return params->bulk_bytes / run->threads / run->size_bytes;
}

static uint64_t page_bulk_footprint(const struct workload_run *run)
{
	return ((const struct page_bulk_params *)run->params)->bulk_bytes;
}

static int page_bulk_validate(const struct workload_run *run)
{
	const struct page_bulk_params *params = run->params;
	uint64_t n;
	int err = page_size_check(run);

	if (err != 0)
		return err;
	n = blocks_per_thread(run);
	if (n == 0)
		return kmem_error(-EINVAL,
				  "workload 'page-bulk' has no block of %" PRIu64
				  " bytes for each of %u threads in bulk_bytes=%" PRIu64
				  ": give more",
				  run->size_bytes, run->threads, params->bulk_bytes);
	if (n > UINT32_MAX)
		return kmem_error(
			-EINVAL,
			"workload 'page-bulk' has more than 2^32 blocks a thread with "
			"bulk_bytes=%" PRIu64 ": give less",
			params->bulk_bytes);
	return 0;
}

static int page_bulk_thread_setup(struct worker *w)
{
	const struct page_bulk_params *params = w->run->params;
	uint32_t n = (uint32_t)blocks_per_thread(w->run);
	size_t bytes = sizeof(struct page_bulk_state) +
		       (size_t)n * (sizeof(void *) + sizeof(uint32_t));
	struct page_bulk_state *s = arena_alloc(bytes);

	s->bytes = bytes;
	s->n = n;
	s->block = (void **)(void *)(s + 1);
	s->order = (uint32_t *)(void *)(s->block + n);
	for (uint32_t i = 0; i < n; i++)
		s->order[i] = i;
	if (params->order == BULK_RANDOM)
		rng_shuffle_u32(&w->rng, s->order, n);
	w->state = s;
	return 0;
}

static KMEM_ALWAYS_INLINE void page_bulk_step(struct worker *w, struct probe *p)
{
	struct page_bulk_state *s = w->state;
	size_t size = w->run->size_bytes;
	uint32_t n = s->n;

	for (uint32_t i = 0; i < n; i++) {
		s->block[i] = worker_alloc(w, p, size);
		page_block_verify(w, s->block[i], size);
	}
	for (uint32_t i = 0; i < n; i++)
		worker_free(w, p, s->block[s->order[i]], size);
	w->ops += n;
}
WORKLOAD_STEP(page_bulk_step);

static void page_bulk_thread_teardown(struct worker *w)
{
	struct page_bulk_state *s = w->state;

	arena_free(s, s->bytes);
}

static const struct workload_ops page_bulk_workload = {
	.abi_version = WORKLOAD_OPS_VERSION,
	.name = "page-bulk",
	.description =
		"allocates bulk_bytes in blocks of 2^order pages, then frees all of "
		"them in order of allocation or at random",
	.stresses =
		"refilling and draining of per-CPU lists, splitting and merging, and the "
		"zone lock when several threads do it",
	.not_for = "fragmentation: everything is free after each bulk",
	.source =
		"the bulk and rand benchmarks of LLFree (Wrenger and others, USENIX ATC 2023)",
	.op = "alloc+free of a block",
	.caps = CAP_PAGE,
	.params = page_bulk_groups,
	.params_size = sizeof(struct page_bulk_params),
	.default_sizes = "4K",
	.size_min_bytes = PAGE_BLOCK_MIN_BYTES,
	.size_max_bytes = PAGE_BLOCK_MAX_BYTES,
	.default_threads = "1",
	.default_touch = TOUCH_NONE,
	.validate = page_bulk_validate,
	.footprint = page_bulk_footprint,
	.course = PAGE_COURSE,
	.course_read = page_course_read,
	.thread_setup = page_bulk_thread_setup,
	.step = page_bulk_step_plain,
	.step_probed = page_bulk_step_probed,
	.thread_teardown = page_bulk_thread_teardown,
};
WORKLOAD_REGISTER(page_bulk_workload);
