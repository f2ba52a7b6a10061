/* SPDX-License-Identifier: MIT */
/*
 * What the workloads about shape and memory have in common: scripts, tallies and draws
 * that they are made of, counts, seeds and refusals.
 */
#include "tests/workloads/shapes.h"

#include <math.h>

#include "workloads/harness/arena.h"
#include "workloads/harness/draw.h"
#include "workloads/harness/script_fast.h"
#include "workloads/harness/tally.h"

/* --- scripts --- */

static struct worker *script_worker(struct driver *d)
{
	driver_init(d, "pair", NULL, 64, 1);
	d->run.allocator = &d->model->base;
	d->run.check = true;
	model_enter(&d->model->base);
	worker_init(&d->workers[0], &d->run, 0, NULL);
	return &d->workers[0];
}

/* Wherever playing stops, exactly what lives there is freed with the script. */
static void scripts_stop_anywhere(void **state)
{
	static const uint64_t live[] = {0, 1, 2, 1, 2, 1, 0, 1, 2, 1, 2, 1, 0};
	uint64_t arena_before = arena_bytes();
	struct driver d;
	struct worker *w = script_worker(&d);

	(void)state;
	for (uint64_t events = 0; events < KMEM_ARRAY_SIZE(live); events++) {
		struct script *s = script_new(3);
		uint32_t first = script_alloc(s, 100);

		script_alloc(s, 200);
		script_free(s, first);
		script_alloc(s, 300);
		assert_int_equal(s->live_bytes_max, 500);
		script_drain(s);
		assert_int_equal(s->live_bytes, 0);
		assert_int_equal(s->n_events, 6);
		w->ops = 0;
		script_play(w, NULL, s, events);
		assert_int_equal(w->ops, events);
		assert_int_equal(s->cycles, events / 6);
		assert_int_equal(d.model->live_blocks, live[events]);
		script_delete(w, s);
		assert_int_equal(d.model->live_blocks, 0);
	}
	model_exit(&d.model->base);
	driver_finish(&d);
	assert_int_equal(arena_bytes(), arena_before);
}

static void scripts_refuse_nonsense(void **state)
{
	struct driver d;
	struct worker *w = script_worker(&d);
	struct script *s = script_new(1);

	(void)state;
	CATCH_FAIL(script_free(s, 0));
	assert_contains(fail_reason, "cannot free block 0, which is not live");
	CATCH_FAIL(script_alloc(s, 0));
	assert_contains(fail_reason, "0 bytes");
	script_alloc(s, 1);
	CATCH_FAIL(script_alloc(s, 1));
	assert_contains(fail_reason, "room for 1 blocks");
	CATCH_FAIL(script_new((uint64_t)SCRIPT_BLOCKS_MAX + 1));
	assert_contains(fail_reason, "is too long");
	script_delete(w, s);
	script_delete(w, NULL);
	model_exit(&d.model->base);
	driver_finish(&d);
}

static void tallies_report_the_last_pass(void **state)
{
	struct tally *t = tally_new();

	(void)state;
	tally_add(t, 0, 5);
	tally_add(t, 0, 6);
	assert_int_equal(tally_sum(t, 0), 0);
	tally_close(t);
	assert_int_equal(tally_sum(t, 0), 11);
	tally_add(t, 1, 1);
	tally_close(t);
	assert_int_equal(tally_sum(t, 0), 0);
	assert_int_equal(tally_sum(t, 1), 1);
	tally_delete(t);
}

/* Each doubling gets its share; both ends occur; the mean is the formula's. */
static void log_uniform_is_even_over_doublings(void **state)
{
	enum { N = 100000 };
	struct rng rng = {1};
	uint64_t octave[8] = {0}, low = 0, high = 0;
	double sum = 0;

	(void)state;
	for (int i = 0; i < N; i++) {
		uint64_t x = draw_log_uniform(&rng, 16, 4095);

		assert_in_range(x, 16, 4095);
		octave[59 - __builtin_clzll(x)]++;
		low += x == 16;
		high += x > 4000;
		sum += (double)x;
	}
	/* 12500 each, sigma 105. */
	for (int o = 0; o < 8; o++)
		assert_in_range(octave[o], 12500 - 5 * 105, 12500 + 5 * 105);
	assert_true(low > 0 && high > 0);
	assert_true(fabs(sum / N / draw_log_uniform_mean(16, 4095) - 1) < 0.02);
	assert_int_equal(draw_log_uniform(&rng, 7, 7), 7);
	assert_int_equal((int)draw_log_uniform_mean(7, 7), 7);
}

/* --- all of them --- */

static const struct shape_case {
	const char *workload, *params;
	unsigned int samples_per_op; /* an operation is a call, or a free and an alloc */
} cases[] = {
	{"phased", "phases=5,blocks_per_phase=300,survivor_phases=2,large_one_in=50", 1},
	{"sawtooth", "burst_bytes=200K", 1},
	{"ff-worst", "live_bytes=64K", 1},
	{"class-worst", "sizes=5,bytes_per_class=32K", 1},
	{"age", "live_bytes=64K,period_bytes=256K", 1},
	{"large", "size_min_bytes=1K,size_max_bytes=6K", 2},
	{"large", "mode=pair,pair_bytes=40K", 2},
	{"slack-half", "slots=64,size_max_bytes=1K", 2},
	{"server-life", "blocks_per_level=8,size_max_bytes=512", 2},
	{"server-life", "blocks_per_level=8,size_max_bytes=512,handover_one_in=0", 2},
};

static void check_case(const struct shape_case *c, unsigned int threads)
{
	uint64_t arena_before = arena_bytes(), ops, allocs, samples = 0;
	struct figures figures = {.count = 0};
	struct driver d;

	driver_init(&d, c->workload, c->params, 0, threads);
	d.run.check = true;
	driver_setup(&d);
	assert_true(workload_size_max(&d.run) > 0);
	if (d.run.workload->footprint != NULL)
		assert_true(d.run.workload->footprint(&d.run) > 0);
	ops = driver_pass(&d, 2);
	assert_true(ops > 0);
	allocs = d.model->allocs;
	assert_int_equal(d.model->frees, allocs);
	/* The same decisions again, with probes; nothing is left of either. */
	assert_int_equal(driver_probed_pass(&d, 2), ops);
	assert_int_equal(d.model->allocs, 2 * allocs);
	/* Several threads pass their changes on in steps, the last of which stays. */
	if (threads == 1)
		assert_int_equal(d.shared.live_bytes, 0);
	for (unsigned int i = 0; i < threads; i++)
		samples += d.probes[i].alloc.count + d.probes[i].free.count;
	/* Up to 32 batches of 32 blocks are still on their way to the next thread. */
	if (threads > 1 && strcmp(c->workload, "server-life") == 0)
		samples += c->samples_per_op * ops - samples <= threads * 32 * 32
				   ? c->samples_per_op * ops - samples
				   : 0;
	assert_int_equal(samples, c->samples_per_op * ops);
	if (d.run.workload->report != NULL) {
		d.run.workload->report(&d.run, figures_add, &figures);
		assert_true(figures.count > 0);
	}
	driver_finish(&d);
	assert_int_equal(arena_bytes(), arena_before);
}

static void counts_match_operations(void **state)
{
	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(cases); i++)
		for (unsigned int threads = 1; threads <= 4; threads *= 2)
			check_case(&cases[i], threads);
}

static void same_seed_same_decisions(void **state)
{
	(void)state;
	/* An adversary leaves nothing to chance, and a pair nothing to draw. */
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(cases); i++)
		driver_same_seed(cases[i].workload, cases[i].params, 2,
				 strcmp(cases[i].workload, "ff-worst") != 0 &&
					 strstr(cases[i].params, "pair") == NULL);
}

static void refused(const char *workload, const char *params, const char *text)
{
	driver_refused(workload, params, 0, 1, text);
}

static void impossible_parameters_are_refused(void **state)
{
	(void)state;
	refused("phased", "size_min_bytes=99,size_max_bytes=98",
		"size_min_bytes=99 above size_max_bytes=98: swap them");
	refused("phased", "large_min_bytes=1M", "large_min_bytes=1048576 above");
	refused("phased", "phases=4096,blocks_per_phase=4000000", "give at most");
	refused("sawtooth", "idle_seconds=-1", "idle_seconds=-1: give 0 to 3600");
	refused("sawtooth", "size_min_bytes=1,burst_bytes=1G", "give at most");
	refused("sawtooth", "size_min_bytes=1M", "swap them");
	refused("ff-worst", "live_bytes=3M", "live_bytes=3145728: give a power of two");
	refused("ff-worst", "size_min_bytes=48", "give a power of two");
	refused("ff-worst", "size_max_bytes=48", "give a power of two");
	refused("ff-worst", "size_min_bytes=8K", "swap them");
	refused("ff-worst", "header_bytes=32", "give less than size_min_bytes=32");
	refused("ff-worst", "live_bytes=2K", "give at least size_max_bytes=4096");
	refused("ff-worst", "live_bytes=4G,size_min_bytes=16", "times size_min_bytes");
	refused("class-worst", "size_max_bytes=3K", "above half of span_bytes=4096");
	refused("class-worst", "bytes_per_class=4G", "lower bytes_per_class");
	refused("class-worst", "size_min_bytes=2K", "swap them");
	refused("age", "live_bytes=1K", "give at least size_max_bytes=4096");
	refused("age", "size_min_bytes=1,live_bytes=1G", "give at most");
	refused("age", "size_min_bytes=8K", "swap them");
	refused("large", "size_min_bytes=30M", "swap them");
	refused("slack-half", "size_min_bytes=33,size_max_bytes=63", "no power of two");
	refused("server-life", "size_max_bytes=31", "at least twice size_min_bytes=16");
}

static void remote_frees_need_an_allocator_that_takes_them(void **state)
{
	struct driver d;

	(void)state;
	for (unsigned int threads = 1; threads <= 2; threads++) {
		driver_init(&d, "server-life", NULL, 0, threads);
		d.model->ops.caps &= ~(uint64_t)CAP_REMOTE_FREE;
		assert_int_equal(workload_validate(&d.run, &d.model->ops) == 0,
				 threads == 1);
		model_delete(d.model);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scripts_stop_anywhere),
		cmocka_unit_test(scripts_refuse_nonsense),
		cmocka_unit_test(tallies_report_the_last_pass),
		cmocka_unit_test(log_uniform_is_even_over_doublings),
		cmocka_unit_test(counts_match_operations),
		cmocka_unit_test(same_seed_same_decisions),
		cmocka_unit_test(impossible_parameters_are_refused),
		cmocka_unit_test(remote_frees_need_an_allocator_that_takes_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
