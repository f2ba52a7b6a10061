/* SPDX-License-Identifier: MIT */
/*
 * numa-fallback: the preferred node's memory runs out while other nodes have some.
 *
 * THEORY. A thread that runs on the preferred node, where a CPU of that node is there to
 * be had, asks for block after block and frees none, in equal steps, until a request
 * fails or fill_percent of the node's memory have been asked for:
 *
 *   asked for   0 %              100 %            200 %            300 %
 *   served by   | preferred node | the nearest    | the next       | ... down to the
 *                                                                    reserves
 *
 * The latency pass times every request and looks, after each step and off the clock, on
 * which node each block lies. So there is a curve of shares and times against the fill
 * level: before, at and past the fallback. The cliffs are those of the allocator: a zone
 * at its low mark is passed over, and when all are, requests go down to the reserves.
 *
 * Then half of what the preferred node holds is freed (the blocks that were asked for
 * first) and asked for again: a request that the node could serve should be its again.
 * At last all is freed. That much is one step(), as long as it takes.
 *
 * policy says what is asked for. Of an allocator with a node argument it is that
 * argument; of any other it is the thread's memory policy, set_mempolicy(2). There a fill
 * puts blocks where the kernel finds memory when they are touched first; an allocator
 * that keeps what was freed has nothing to place in the second fill.
 */
#include "workloads/harness/page_size.h"
#include "workloads/harness/worker_fast.h"
#include "workloads/numa_fallback.h"

#include <string.h>

#include <kmem/page_alloc.h>

enum fallback_series { SERIES_PREFERRED, SERIES_FALLBACK };

/* The turn of the next interleaved request: alloc_pages_interleave() has one for each
 * thread, too, and nobody else in this process asks it. */
static __thread unsigned int next_turn;

static void begin_record(struct fallback *f, const struct worker *w)
{
	memset(&f->figures, 0, sizeof(f->figures));
	f->figures.recorded = true;
	f->figures.ns_per_tick = w->probe->clock.ns_per_tick;
	f->fill.nr_order = 0;
	for (unsigned int i = 0; i <= f->fill.nr_steps; i++) {
		memset(&f->fill.step[i], 0, sizeof(f->fill.step[i]));
		histogram_reset(&f->fill.step[i].alloc);
	}
}

static bool recording(const struct worker *w)
{
	return w->probe != NULL && w->pass != PASS_MEMORY;
}

static int fallback_thread_setup(struct worker *w)
{
	const struct fallback_params *params = w->run->params;
	struct fallback *f = w->run->shared;

	numa_nodes_bind(&f->nodes, f->fill.preferred, 0);
	w->state = f;
	if (recording(w))
		begin_record(f, w);
	return f->nodes.ours
		       ? 0
		       : numa_nodes_policy(&f->nodes, (enum numa_policy)params->policy,
					   f->fill.preferred);
}

/* --- what a step() saw, off the clock --- */

/* When in the fill, as a part of the preferred node's memory: `blocks` were served. */
static double level(const struct worker *w, const struct fallback *f, uint32_t blocks)
{
	return (double)blocks * (double)w->run->size_bytes / (double)f->fill.node_bytes;
}

static void note_order(struct workload_fill *fill, int node)
{
	for (unsigned int i = 0; i < fill->nr_order; i++) {
		if (fill->order[i] == (unsigned int)node)
			return;
	}
	fill->order[fill->nr_order++] = (unsigned int)node;
}

/* Of some blocks: those of which it is known where they lie, and those that lie where
 * they were asked for. */
struct lying {
	uint32_t known, home;
	uint32_t first; /* that lies elsewhere; or how many blocks there are */
};

/* Blocks from .. from + n of a step, or of what is returned. */
static struct lying note_blocks(struct worker *w, struct fill_step *step, uint32_t from,
				uint32_t n)
{
	struct fallback *f = w->state;
	struct lying lying = {.first = n};

	numa_nodes_of(&f->nodes, f->block + from, n, f->lies);
	for (uint32_t i = 0; i < n; i++) {
		bool home = f->lies[i] == f->asked[i];

		histogram_add(&step->alloc, probe_ticks(w->probe, 0, f->ticks[i]));
		if (f->lies[i] < 0) {
			step->unknown++;
			continue;
		}
		step->served[f->lies[i]]++;
		if (f->figures.fills == 0)
			note_order(&f->fill, f->lies[i]);
		worker_series(w->probe, home ? SERIES_PREFERRED : SERIES_FALLBACK, 0,
			      f->ticks[i]);
		lying.known++;
		lying.home += home;
		if (!home && lying.first == n)
			lying.first = i;
	}
	return lying;
}

static KMEM_NOINLINE void note_step(struct worker *w, unsigned int number, uint32_t from,
				    uint32_t n, bool *fell_back)
{
	struct fallback *f = w->state;
	struct fallback_figures *figures = &f->figures;
	struct lying lying;

	if (!recording(w))
		return;
	lying = note_blocks(w, &f->fill.step[number], from, n);
	figures->elsewhere += lying.known - lying.home;
	figures->blocks += lying.known;
	if (*fell_back || lying.first == n)
		return;
	*fell_back = true;
	figures->fell_back++;
	figures->fell_back_at += level(w, f, from + lying.first);
	figures->first_ticks += (double)probe_ticks(w->probe, 0, f->ticks[lying.first]);
}

static KMEM_NOINLINE void note_end(struct worker *w, uint32_t n, uint32_t returned,
				   bool failed)
{
	struct fallback *f = w->state;
	struct lying lying;

	if (!recording(w))
		return;
	if (failed) {
		f->figures.failed++;
		f->figures.failed_at += level(w, f, n);
	}
	lying = note_blocks(w, f->fill.returned, 0, returned);
	f->figures.returned_home += lying.home;
	f->figures.returned += lying.known;
	f->figures.fills++;
}

/* --- the work --- */

static KMEM_ALWAYS_INLINE void *request(struct worker *w, struct fallback *f, size_t size,
					int *asked)
{
	int node = f->node;

	if (f->interleave) {
		node = (int)(next_turn++ % f->nodes.nr);
		*asked = node;
		if (f->page_calls) {
			struct page *page = alloc_pages_interleave(f->gfp,
								   get_order(size));

			return page != NULL ? page_address(page) : NULL;
		}
	}
	return w->alloc(w->a, size, 0, f->gfp, node);
}

/* Asks for blocks `from` to `to`; returns how many there are. */
static KMEM_ALWAYS_INLINE uint32_t ask(struct worker *w, struct probe *p, uint32_t from,
				       uint32_t to)
{
	struct fallback *f = w->state;
	size_t size = w->run->size_bytes;
	uint32_t i;

	for (i = from; i < to; i++) {
		int asked = (int)f->fill.preferred;
		void *block;

		if (p != NULL) {
			uint64_t t0 = probe_begin(p), t1;

			block = request(w, f, size, &asked);
			t1 = tsc_end();
			if (block == NULL)
				break;
			probe_add(p, PROBE_ALLOC, t0, t1);
			probe_allocated(p, w->a, block, size);
			f->ticks[i - from] = t1 - t0;
			f->asked[i - from] = asked;
		} else {
			block = request(w, f, size, &asked);
			if (block == NULL)
				break;
		}
		f->block[i] = worker_allocated(w, block, size, 0);
	}
	return i - from;
}

static KMEM_ALWAYS_INLINE void free_blocks(struct worker *w, struct probe *p,
					   uint32_t from, uint32_t to)
{
	struct fallback *f = w->state;

	for (uint32_t i = from; i < to; i++)
		worker_free(w, p, f->block[i], w->run->size_bytes);
}

static KMEM_ALWAYS_INLINE void numa_fallback_step(struct worker *w, struct probe *p)
{
	struct fallback *f = w->state;
	bool failed = false, fell_back = false;
	uint32_t n = 0, half, again;

	for (unsigned int s = 0; s < f->fill.nr_steps && !failed; s++) {
		uint32_t to = n + f->blocks_per_step, got;

		to = to < f->blocks_max ? to : f->blocks_max;
		got = ask(w, p, n, to);
		failed = got < to - n;
		if (p != NULL)
			note_step(w, s, n, got, &fell_back);
		n += got;
	}
	/* Nothing fits, or the fill has ended where it was told to: both are in order. */
	if (KMEM_UNLIKELY(n == 0))
		worker_fail_alloc(w, w->run->size_bytes, 0);
	if (failed && !f->unlimited && !f->nodes.ours)
		worker_fail_alloc(w, w->run->size_bytes, 0);
	half = n < f->blocks_returned ? n : f->blocks_returned;
	free_blocks(w, p, 0, half);
	again = ask(w, p, 0, half);
	if (p != NULL)
		note_end(w, n, again, failed);
	free_blocks(w, p, 0, again);
	free_blocks(w, p, half, n);
	w->ops += n + again;
}
WORKLOAD_STEP(numa_fallback_step);

static void fallback_thread_teardown(struct worker *w)
{
	struct fallback *f = w->state;

	if (!f->nodes.ours)
		numa_nodes_policy(&f->nodes, POLICY_DEFAULT, f->fill.preferred);
}

/* --- what is told --- */

static void fallback_report(struct workload_run *run, workload_report_fn fn, void *arg)
{
	const struct fallback *f = run->shared;
	const struct fallback_figures *g = &f->figures;

	if (!g->recorded)
		return;
	if (g->blocks != 0)
		fn("fallback_blocks_ratio", (double)g->elsewhere / (double)g->blocks,
		   arg);
	if (g->fell_back != 0) {
		fn("fallback_from_ratio", g->fell_back_at / (double)g->fell_back, arg);
		fn("fallback_first_ns",
		   g->first_ticks / (double)g->fell_back * g->ns_per_tick, arg);
	}
	if (g->failed != 0)
		fn("failed_from_ratio", g->failed_at / (double)g->failed, arg);
	if (g->returned != 0)
		fn("returned_ratio", (double)g->returned_home / (double)g->returned, arg);
}

static const struct workload_fill *fallback_fill(const struct workload_run *run)
{
	const struct fallback *f = run->shared;

	return f->figures.recorded ? &f->fill : NULL;
}

static void fallback_course_read(const struct workload_run *run, double *values)
{
	const struct fallback *f = run->shared;

	numa_course_read(&f->nodes, f->fill.preferred, values);
}

static const struct workload_ops numa_fallback_workload = {
	.abi_version = WORKLOAD_OPS_VERSION,
	.name = "numa-fallback",
	.description =
		"a thread on the preferred node asks for block after block until its node, "
		"and then all nodes, are out of memory; half of its node is then freed and "
		"asked for again",
	.stresses =
		"zonelists, watermarks and what a request costs before, at and past the "
		"fallback; which node served at each fill level, and whether requests come "
		"back to the preferred one",
	.not_for =
		"the cost of remote memory: simulated nodes are all equally near; and of "
		"allocators without nodes of their own any fill but the first, for freed "
		"memory stays where it is",
	.source =
		"fallback as Linux 2.4 to 2.6 have it (mm/page_alloc.c, build_zonelists); "
		"no earlier benchmark is known to us",
	.op = "alloc+free of a block",
	.caps = CAP_DISTINCT,
	.params = fallback_groups,
	.params_size = sizeof(struct fallback_params),
	.default_sizes = "4K",
	.size_min_bytes = 64,
	.size_max_bytes = PAGE_BLOCK_MAX_BYTES,
	.default_threads = "1",
	.default_touch = TOUCH_PAGES, /* a page lies nowhere before */
	.validate = fallback_validate,
	.footprint = fallback_footprint,
	.series = {"preferred", "fallback"},
	.course = NUMA_COURSE,
	.course_read = fallback_course_read,
	.setup = fallback_setup,
	.thread_setup = fallback_thread_setup,
	.step = numa_fallback_step_plain,
	.step_probed = numa_fallback_step_probed,
	.thread_teardown = fallback_thread_teardown,
	.report = fallback_report,
	.fill = fallback_fill,
	.teardown = fallback_teardown,
};
WORKLOAD_REGISTER(numa_fallback_workload);
