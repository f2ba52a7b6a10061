/* SPDX-License-Identifier: MIT */
/*
 * ff-worst: the program that fragments first fit, and nobody escapes wholly.
 *
 * A cycle is Robson's adversary as workloads/harness/robson.h explains it: blocks of
 * doubling sizes, and of each size only so many kept that no hole holds a block of the
 * next one. Live bytes never exceed live_bytes a thread. It is decided against a model
 * of first fit beforehand and is the same for every allocator.
 *
 * header_bytes are taken off every request: an allocator that keeps a header of 8
 * bytes in each block then has blocks that are powers of two, as the proof wants them,
 * and one with size classes gets requests of the same classes as without.
 *
 * Sizes stop at a page by default. Holes of whole pages can be given back, so beyond
 * that resident memory says less than the span of addresses, which is what the bounds
 * are about.
 */
#include <errno.h>
#include <inttypes.h>

#include <kmem/error.h>

#include "workloads/harness/arena.h"
#include "workloads/harness/draw.h"
#include "workloads/harness/robson.h"
#include "workloads/harness/tally.h"

enum ff_figure { FIRST_FIT_BYTES, CYCLES_DONE };

static const struct kmem_option ff_options[] = {
	{
		.name = "live_bytes",
		.type = KMEM_OPT_SIZE,
		.offset = offsetof(struct robson_program, live_bytes),
		.initial = "1M",
		.help = "the most that a thread has live, headers included: a power of two",
		.min = 1,
		.max = (uint64_t)1 << 32,
	},
	{
		.name = "size_min_bytes",
		.type = KMEM_OPT_SIZE,
		.offset = offsetof(struct robson_program, size_min_bytes),
		.initial = "32",
		.help = "smallest block with its header: a power of two",
		.min = 1,
		.max = 1u << 30,
	},
	{
		.name = "size_max_bytes",
		.type = KMEM_OPT_SIZE,
		.offset = offsetof(struct robson_program, size_max_bytes),
		.initial = "4K",
		.help = "largest block with its header: a power of two; the bound grows with "
			"the logarithm of largest over smallest",
		.min = 1,
		.max = 1u << 30,
	},
	{
		.name = "header_bytes",
		.type = KMEM_OPT_SIZE,
		.offset = offsetof(struct robson_program, header_bytes),
		.initial = "8",
		.help = "taken off each request for the allocator's own header (8 in glibc)",
		.min = 0,
		.max = 4096,
	},
	KMEM_OPTION_END,
};

static const struct kmem_option_group ff_groups[] = {{ff_options, 0}, {NULL, 0}};

struct ff_state {
	size_t bytes; /* of the arena that holds this */
	struct script *script;
	uint64_t first_fit_bytes;
};

static int check_power(const char *name, uint64_t value)
{
	if ((value & (value - 1)) == 0)
		return 0;
	return kmem_error(-EINVAL,
			  "workload 'ff-worst' has %s=%" PRIu64 ": give a power of two",
			  name, value);
}

static int ff_validate(const struct workload_run *run)
{
	const struct robson_program *program = run->params;
	int err = check_power("live_bytes", program->live_bytes);

	if (err == 0)
		err = check_power("size_min_bytes", program->size_min_bytes);
	if (err == 0)
		err = check_power("size_max_bytes", program->size_max_bytes);
	if (err == 0)
		err = draw_check_range("ff-worst", "size_", program->size_min_bytes,
				       program->size_max_bytes);
	if (err != 0)
		return err;
	if (program->header_bytes >= program->size_min_bytes)
		return kmem_error(-EINVAL,
				  "workload 'ff-worst' has header_bytes=%" PRIu64
				  ": give less than size_min_bytes=%" PRIu64,
				  program->header_bytes, program->size_min_bytes);
	if (program->live_bytes < program->size_max_bytes)
		return kmem_error(-EINVAL,
				  "workload 'ff-worst' has live_bytes=%" PRIu64
				  ": give at least size_max_bytes=%" PRIu64,
				  program->live_bytes, program->size_max_bytes);
	if (robson_blocks_max(program) > SCRIPT_BLOCKS_MAX)
		return kmem_error(-EINVAL,
				  "workload 'ff-worst' has live_bytes=%" PRIu64
				  " in blocks of %" PRIu64
				  ": give at most %u times size_min_bytes",
				  program->live_bytes, program->size_min_bytes,
				  SCRIPT_BLOCKS_MAX / 2);
	return 0;
}

static uint64_t ff_size_max(const struct workload_run *run)
{
	return ((const struct robson_program *)run->params)->size_max_bytes;
}

static uint64_t ff_footprint(const struct workload_run *run)
{
	return ((const struct robson_program *)run->params)->live_bytes * run->threads;
}

static int ff_setup(struct workload_run *run)
{
	run->shared = tally_new();
	return 0;
}

static int ff_thread_setup(struct worker *w)
{
	const struct robson_program *program = w->run->params;
	struct ff_state *s = arena_alloc(sizeof(*s));

	s->bytes = sizeof(*s);
	s->script = script_new(robson_blocks_max(program));
	s->first_fit_bytes = robson_compose(program, s->script);
	w->state = s;
	return 0;
}

static KMEM_ALWAYS_INLINE void ff_step(struct worker *w, struct probe *p)
{
	struct ff_state *s = w->state;

	script_step(w, p, s->script);
}
WORKLOAD_STEP(ff_step);

static void ff_thread_teardown(struct worker *w)
{
	struct ff_state *s = w->state;

	tally_add(w->run->shared, FIRST_FIT_BYTES, s->first_fit_bytes);
	tally_add(w->run->shared, CYCLES_DONE, script_cycles(s->script));
	script_delete(w, s->script);
	arena_free(s, s->bytes);
}

static void ff_pass_end(struct workload_run *run)
{
	tally_close(run->shared);
}

/* The bounds are those of the live bytes of all threads together. */
static void ff_report(struct workload_run *run, workload_report_fn fn, void *arg)
{
	const struct robson_program *program = run->params;
	uint64_t live_bytes = program->live_bytes * run->threads;

	fn("robson_bound_bytes",
	   robson_bound_bytes(live_bytes, program->size_min_bytes,
			      program->size_max_bytes),
	   arg);
	fn("robson_first_fit_bytes",
	   robson_first_fit_bytes(live_bytes, program->size_min_bytes,
				  program->size_max_bytes),
	   arg);
	fn("first_fit_model_bytes", (double)tally_sum(run->shared, FIRST_FIT_BYTES), arg);
	fn("cycles_done", (double)tally_sum(run->shared, CYCLES_DONE), arg);
}

static void ff_teardown(struct workload_run *run)
{
	tally_delete(run->shared);
	run->shared = NULL;
}

static const struct workload_ops ff_workload = {
	.abi_version = WORKLOAD_OPS_VERSION,
	.name = "ff-worst",
	.description =
		"blocks of doubling sizes, of each size just so many kept that, where "
		"first fit has put them, no hole holds a block of the next size",
	.stresses = "external fragmentation at its worst, against Robson's bounds",
	.not_for =
		"fragmentation of real programs, which are no adversaries; nor is it the "
		"worst case of any other placement than first fit",
	.source = "Robson, JACM 18(3) 1971, JACM 21(3) 1974, Computer Journal 20(3) 1977",
	.op = "call: alloc or free",
	.caps = CAP_OBJECT | CAP_MIXED_SIZE,
	.params = ff_groups,
	.params_size = sizeof(struct robson_program),
	.default_threads = "1",
	.default_touch = TOUCH_PAGES,
	.validate = ff_validate,
	.size_max = ff_size_max,
	.footprint = ff_footprint,
	.setup = ff_setup,
	.thread_setup = ff_thread_setup,
	.step = ff_step_plain,
	.step_probed = ff_step_probed,
	.thread_teardown = ff_thread_teardown,
	.pass_end = ff_pass_end,
	.report = ff_report,
	.teardown = ff_teardown,
};
WORKLOAD_REGISTER(ff_workload);
