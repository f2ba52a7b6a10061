/* SPDX-License-Identifier: MIT */
/* replay: each block's events in their order, over threads, passes and copies. */
#include "tests/workloads/model.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "workloads/harness/arena.h"
#include "workloads/harness/trace.h"
#include "workloads/replay_plan.h"

static char folder[] = "/tmp/kmembench-replay-XXXXXX";
static char path[64], param[80];

static int make_folder(void **state)
{
	(void)state;
	if (mkdtemp(folder) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/t", folder);
	snprintf(param, sizeof(param), "trace=%s", path);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(folder);
}

static void put_trace(const struct trace_event *events, uint64_t count)
{
	if (trace_write(path, events, count, NULL) != 0)
		fail_msg("%s", kmem_last_error());
}

/* Passes over a short trace in one step, as replay.c has them. */
static uint64_t passes_in_a_step(uint64_t events, uint32_t threads)
{
	return 8192 * threads / events;
}

#define A(t, i, s)                                                              \
	{                                                                       \
		.op = TRACE_MALLOC, .thread = (t), .id = (i), .size_bytes = (s) \
	}
#define R(t, i, s)                                                               \
	{                                                                        \
		.op = TRACE_REALLOC, .thread = (t), .id = (i), .size_bytes = (s) \
	}
#define F(t, i)                                            \
	{                                                  \
		.op = TRACE_FREE, .thread = (t), .id = (i) \
	}

/*
 * Three threads that pass blocks around: 1000 goes from thread 0 to 1, grows there,
 * shrinks in thread 0 again, and ends in thread 2. Sizes tell the blocks apart.
 */
static const struct trace_event relay[] = {
	A(0, 0, 1000), R(1, 0, 2000), A(1, 1, 300), R(0, 0, 500),
	F(0, 1),       A(0, 2, 64),   F(0, 2),	    A(2, 3, 70),
	F(2, 0),       A(1, 4, 80),   A(0, 5, 90),  R(1, 5, 95),
};
#define RELAY_EVENTS   KMEM_ARRAY_SIZE(relay)
#define RELAY_LEFT     3 /* ids 3, 4 and 5 */
#define RELAY_ALLOCS   6
#define RELAY_REALLOCS 3

static void relay_runs(unsigned int threads, bool with_hook, bool probed)
{
	uint64_t arena_before = arena_bytes();
	unsigned int copies = threads / 3;
	uint64_t made = passes_in_a_step(RELAY_EVENTS, 3) * copies;
	struct driver d;
	uint64_t ops;

	put_trace(relay, RELAY_EVENTS);
	driver_init(&d, "replay", param, 0, threads);
	d.run.check = true;
	if (with_hook)
		d.model->ops.realloc = model_realloc;
	driver_setup(&d);
	assert_int_equal(workload_size_max(&d.run), 2000);
	ops = probed ? driver_probed_pass(&d, 1) : driver_pass(&d, 1);
	assert_int_equal(ops, made * (RELAY_EVENTS + RELAY_LEFT));
	if (with_hook) {
		assert_int_equal(d.model->reallocs, made * RELAY_REALLOCS);
		assert_int_equal(d.model->allocs, made * RELAY_ALLOCS);
	} else {
		assert_int_equal(d.model->allocs, made * (RELAY_ALLOCS + RELAY_REALLOCS));
	}
	assert_true(d.model->live_bytes_max <=
		    copies * (2000 + 1000 + 300 + 64 + 70 + 80 + 95));
	if (probed)
		assert_int_equal(d.shared.live_bytes, 0);
	driver_finish(&d);
	assert_int_equal(arena_bytes(), arena_before);
}

static void blocks_pass_between_threads(void **state)
{
	(void)state;
	for (unsigned int threads = 3; threads <= 6; threads += 3)
		for (int i = 0; i < 4; i++)
			relay_runs(threads, i & 1, i & 2);
}

/* Of every block: its events as the log has them are its events in the trace. */
static void order_of_each_block_holds(void **state)
{
	/* Of the block of 1000 bytes: its size after each event, and the trace's thread.
	 */
	static const size_t sizes[] = {1000, 2000, 500, 500};
	static const char what[] = {'a', 'r', 'r', 'f'};
	static const unsigned int thread[] = {0, 1, 0, 2};
	uint64_t id[3] = {0};
	unsigned int lives = 0;
	struct driver d;

	(void)state;
	put_trace(relay, RELAY_EVENTS);
	driver_init(&d, "replay", param, 0, 3);
	d.model->ops.realloc = model_realloc;
	driver_setup(&d);
	driver_pass(&d, 1);
	for (size_t i = 0; i < d.model->logged; i++) {
		const struct model_event *e = &d.model->log[i];
		size_t k = 0;

		if (e->what != 'a' || e->size != 1000)
			continue;
		for (size_t j = i; j < d.model->logged && k < 4; j++) {
			const struct model_event *f = &d.model->log[j];

			if (f->serial != e->serial)
				continue;
			assert_int_equal(f->what, what[k]);
			assert_int_equal(f->size, sizes[k]);
			if (id[thread[k]] == 0)
				id[thread[k]] = f->thread;
			assert_int_equal(f->thread, id[thread[k]]);
			k++;
		}
		assert_int_equal(k, 4);
		lives++;
	}
	assert_int_equal(lives, passes_in_a_step(RELAY_EVENTS, 3));
	assert_true(id[0] != id[1] && id[1] != id[2] && id[0] != id[2]);
	driver_finish(&d);
}

/* What a trace leaves is freed by who used it last, at the end of each pass. */
static void leftovers_are_freed_each_pass(void **state)
{
	static const struct trace_event events[] = {A(0, 0, 100), A(0, 1, 200), F(0, 0),
						    A(0, 2, 0)};
	struct driver d;

	(void)state;
	put_trace(events, KMEM_ARRAY_SIZE(events));
	driver_init(&d, "replay", param, 0, 1);
	driver_setup(&d);
	assert_int_equal(driver_probed_pass(&d, 3), 3 * 6 * passes_in_a_step(4, 1));
	assert_int_equal(d.model->live_blocks, 0);
	assert_int_equal(d.model->live_bytes_max, 300);
	assert_int_equal(d.probes[0].live_bytes_max, 300);
	assert_int_equal(d.probes[0].alloc.count, 9 * passes_in_a_step(4, 1));
	assert_int_equal(d.probes[0].free.count, 9 * passes_in_a_step(4, 1));
	driver_finish(&d);
}

static void calloc_and_memalign_go_their_ways(void **state)
{
	static const struct trace_event events[] = {
		{.op = TRACE_CALLOC, .id = 0, .size_bytes = 100},
		{.op = TRACE_MEMALIGN, .align_log2 = 8, .id = 1, .size_bytes = 100},
		F(0, 0),
		F(0, 1),
	};
	struct driver d;

	(void)state;
	put_trace(events, KMEM_ARRAY_SIZE(events));
	for (int with_hook = 0; with_hook < 2; with_hook++) {
		driver_init(&d, "replay", param, 0, 1);
		d.run.check = true;
		if (!with_hook)
			d.model->ops.zalloc = NULL;
		driver_setup(&d);
		driver_pass(&d, 1);
		assert_int_equal(d.model->log[0].what, with_hook ? 'z' : 'a');
		assert_int_equal(d.model->log[1].align, 256);
		driver_finish(&d);
	}
	driver_init(&d, "replay", param, 0, 1);
	d.model->ops.caps &= ~(uint64_t)CAP_ALIGN;
	assert_int_equal(workload_validate(&d.run, &d.model->ops), -EINVAL);
	assert_contains(kmem_last_error(), "needs capability 'align'");
	kmem_options_release(d.run.workload->params, d.params);
	model_delete(d.model);
}

/* A block that stays in one thread needs no line of its own: slots are used again. */
static void local_slots_are_reused(void **state)
{
	enum { ROUNDS = 1000 };
	static struct trace_event events[ROUNDS * 2 + 2];
	struct replay_plan *plan;
	struct trace trace;
	size_t n = 0;

	(void)state;
	for (uint32_t i = 0; i < ROUNDS; i++) {
		events[n++] = (struct trace_event)A(0, i, 8);
		events[n++] = (struct trace_event)F(0, i);
	}
	events[n++] = (struct trace_event)A(0, ROUNDS, 8);
	events[n++] = (struct trace_event)F(1, ROUNDS);
	put_trace(events, n);
	assert_int_equal(trace_open(path, &trace), 0);
	assert_int_equal(replay_plan_new(&trace, 1000000, &plan), 0);
	trace_close(&trace);
	assert_int_equal(plan->threads, 2);
	assert_int_equal(plan->segments, 1);
	assert_int_equal(plan->shared_slots, 1);
	assert_int_equal(plan->script[0].local_slots, 1);
	assert_int_equal(plan->script[1].local_slots, 0);
	assert_int_equal(plan->script[0].count, ROUNDS * 2 + 1);
	assert_int_equal(plan->script[1].count, 1);
	assert_int_equal(plan->script[1].events[0].turn, 1);
	replay_plan_delete(plan);
}

enum { RANDOM_THREADS = 4 };

/* A random trace, with edges to whatever lies behind; returns the blocks it leaves. */
static uint32_t put_random_trace(struct rng *rng, uint32_t count)
{
	struct trace_event *events = calloc(count, sizeof(*events));
	uint32_t *live = calloc(count, sizeof(*live));
	uint64_t passed[RANDOM_THREADS] = {0};
	uint32_t ids = 0, n_live = 0;

	for (uint32_t i = 0; i < count; i++) {
		uint16_t t = (uint16_t)(i < RANDOM_THREADS
						? i
						: rng_below(rng, RANDOM_THREADS));
		uint32_t other = (t + 1) % RANDOM_THREADS;
		uint64_t kind = n_live == 0 ? 0 : rng_below(rng, 50);
		uint32_t pick = n_live == 0 ? 0 : (uint32_t)rng_below(rng, n_live);
		uint64_t size = rng_below(rng, 500);

		if (kind <= 20) {
			live[n_live++] = ids;
			events[i] = (struct trace_event)A(t, ids++, size);
		} else if (kind <= 26) {
			events[i] = (struct trace_event)R(t, live[pick], size);
		} else if (kind == 27 && passed[other] > 0) {
			events[i] = (struct trace_event){
				.op = TRACE_AFTER,
				.thread = t,
				.id = other,
				.size_bytes = 1 + rng_below(rng, passed[other])};
		} else {
			events[i] = (struct trace_event)F(t, live[pick]);
			live[pick] = live[--n_live];
		}
		passed[t]++;
	}
	put_trace(events, count);
	free(events);
	free(live);
	return n_live;
}

static void keep_figure(const char *name, double value, void *arg)
{
	if (strcmp(name, "replay_events_verified") == 0)
		*(double *)arg = value;
}

/* Traces shorter and longer than a quantum: nobody is left waiting, wherever it ends. */
static void random_traces(void **state)
{
	static const uint32_t counts[] = {3000, 3000, 40000, 100000};
	struct rng rng = {11};

	(void)state;
	for (unsigned int round = 0; round < 8; round++) {
		uint32_t count = counts[round / 2];
		uint64_t ops;
		double verified = 0;
		struct driver d;

		put_random_trace(&rng, count);
		driver_init(&d, "replay", param, 0, RANDOM_THREADS);
		d.run.check = true;
		d.model->ops.realloc = round % 2 ? model_realloc : NULL;
		driver_setup(&d);
		ops = driver_pass(&d, 1 + round % 3);
		assert_int_equal(driver_probed_pass(&d, 1 + round % 3), ops);
		/* A later pass begins anew after one that ended anywhere. */
		free(d.probes);
		assert_int_equal(driver_probed_pass(&d, 1 + round % 3), ops);
		d.run.workload->report(&d.run, keep_figure, &verified);
		assert_int_equal(verified, 2 * ops);
		driver_finish(&d);
	}
}

/* Thread 1 begins after the second event of thread 0, which goes on after it has ended.
 */
static void edges_hold(void **state)
{
	static const struct trace_event events[] = {
		A(0, 0, 10),
		A(0, 1, 20),
		{.op = TRACE_AFTER, .thread = 1, .id = 0, .size_bytes = 2},
		A(1, 2, 30),
		F(1, 2),
		{.op = TRACE_AFTER, .thread = 0, .id = 1, .size_bytes = 3},
		A(0, 3, 40),
		F(0, 3),
		F(0, 1),
		F(0, 0),
	};
	/* Sizes in the one order that is left. */
	static const size_t order[] = {10, 20, 30, 30, 40, 40, 20, 10};
	const uint64_t passes = passes_in_a_step(KMEM_ARRAY_SIZE(events), 2);
	struct driver d;

	(void)state;
	put_trace(events, KMEM_ARRAY_SIZE(events));
	driver_init(&d, "replay", param, 0, 2);
	driver_setup(&d);
	assert_int_equal(workload_size_max(&d.run), 40);
	assert_int_equal(d.run.workload->footprint(&d.run), 70);
	assert_int_equal(driver_probed_pass(&d, 2), 2 * passes * 8);
	/* The first pass; later ones may overlap where the trace has no edge back. */
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(order); i++)
		assert_int_equal(d.model->log[i].size, order[i]);
	driver_finish(&d);
}

static void miscount(struct driver *d)
{
	d->workers[0].ops++;
}

static void a_difference_fails_the_cell(void **state)
{
	static const struct trace_event events[] = {A(0, 0, 100), F(0, 0)};
	struct driver d;

	(void)state;
	put_trace(events, KMEM_ARRAY_SIZE(events));
	driver_init(&d, "replay", param, 0, 1);
	driver_setup(&d);
	d.between = miscount;
	CATCH_FAIL(driver_pass(&d, 1));
	assert_contains(fail_reason, "the replay of thread 0 made operations=8193");
	assert_contains(fail_reason, "and the trace has 8192");
	model_delete(d.model);
	kmem_options_release(d.run.workload->params, d.params);
}

static void refusals(void **state)
{
	struct driver d;

	(void)state;
	driver_init(&d, "replay", NULL, 0, 3);
	assert_int_equal(workload_validate(&d.run, &d.model->ops), -EINVAL);
	assert_contains(kmem_last_error(),
			"needs a trace: give the parameter trace=FILE");
	kmem_options_release(d.run.workload->params, d.params);
	model_delete(d.model);

	put_trace(relay, RELAY_EVENTS);
	driver_init(&d, "replay", param, 0, 4);
	assert_int_equal(workload_validate(&d.run, &d.model->ops), -EINVAL);
	assert_contains(kmem_last_error(), "has 3 threads and cannot be replayed by 4");
	d.run.threads = 3;
	d.run.size_bytes = 8;
	assert_int_equal(workload_validate(&d.run, &d.model->ops), -EINVAL);
	assert_contains(kmem_last_error(), "draws its own sizes");
	d.run.size_bytes = 0;
	d.model->ops.size_max_bytes = 1999;
	assert_int_equal(workload_validate(&d.run, &d.model->ops), -EINVAL);
	assert_contains(kmem_last_error(), "asks for 2000 bytes at once");
	d.model->ops.size_max_bytes = 2000;
	assert_int_equal(workload_validate(&d.run, &d.model->ops), 0);
	kmem_options_release(d.run.workload->params, d.params);
	model_delete(d.model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_pass_between_threads),
		cmocka_unit_test(order_of_each_block_holds),
		cmocka_unit_test(leftovers_are_freed_each_pass),
		cmocka_unit_test(calloc_and_memalign_go_their_ways),
		cmocka_unit_test(local_slots_are_reused),
		cmocka_unit_test(random_traces),
		cmocka_unit_test(edges_hold),
		cmocka_unit_test(a_difference_fails_the_cell),
		cmocka_unit_test(refusals),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
