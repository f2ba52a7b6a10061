/* SPDX-License-Identifier: MIT */
/* msgpass and false-sharing: which thread allocates, which frees, and where blocks lie.
 */
#include "tests/workloads/shapes.h"

#include <errno.h>
#include <math.h>

/* Live blocks when all work is done and nothing is torn down. */
static uint64_t live_at_end;

static void note_end(struct driver *d)
{
	live_at_end = d->model->live_blocks;
}

/* What each thread of the model did. */
struct deeds {
	uint64_t allocs, frees;
};

static void tally(const struct model *m, struct deeds *deeds, size_t threads)
{
	memset(deeds, 0, threads * sizeof(*deeds));
	for (size_t i = 0; i < m->logged; i++) {
		const struct model_event *e = &m->log[i];

		assert_true(e->thread < threads);
		if (e->what == 'a')
			deeds[e->thread].allocs++;
		else
			deeds[e->thread].frees++;
	}
}

/* Eight threads are three producers, two proxies and three consumers. */
static void msgpass_has_three_roles(void **state)
{
	struct deeds deeds[9];
	unsigned int producers = 0, proxies = 0, consumers = 0;
	struct driver d;
	uint64_t ops;

	(void)state;
	driver_init(&d, "msgpass", NULL, 0, 8);
	d.between = note_end;
	driver_setup(&d);
	ops = driver_pass(&d, 3);
	assert_int_equal(d.model->allocs, ops);
	assert_int_equal(d.model->remote_frees, ops);
	assert_int_equal(live_at_end, 0);
	tally(d.model, deeds, 9);
	for (unsigned int t = 1; t <= 8; t++) {
		assert_true(deeds[t].allocs == 0 || deeds[t].frees == 0);
		producers += deeds[t].allocs > 0;
		consumers += deeds[t].frees > 0;
		proxies += deeds[t].allocs == 0 && deeds[t].frees == 0;
	}
	assert_int_equal(producers, 3);
	assert_int_equal(proxies, 2);
	assert_int_equal(consumers, 3);
	for (unsigned int i = 0; i < 8; i++)
		assert_int_equal(d.workers[i].ops > 0, i >= 5);
	/* Two queues of five lead to proxies; a batch has 1 to 16 messages. */
	assert_true(fabs(figure_of(&d, "forwarded_share") - 0.4) < 1e-12);
	assert_true(fabs(figure_of(&d, "messages_per_batch") - 8.5) < 0.5);
	/* Five queues of 64 batches, and one in the hands of each thread. */
	assert_true(d.model->live_blocks == 0 &&
		    d.model->live_bytes_max <= (5 * 64 + 8) * 16 * 128);
	driver_finish(&d);
}

/* Each batch has one of four sizes, in runs of at most 16 of one producer. */
static void msgpass_draws_sizes_by_the_batch(void **state)
{
	uint64_t of_size[129] = {0}, run = 0, runs = 0, n = 0;
	size_t last = 0;
	struct driver d;

	(void)state;
	driver_init(&d, "msgpass", NULL, 0, 3);
	driver_setup(&d);
	driver_pass(&d, 4);
	for (size_t i = 0; i < d.model->logged; i++) {
		size_t size = d.model->log[i].size;

		if (d.model->log[i].what != 'a')
			continue;
		assert_true(size == 48 || size == 64 || size == 96 || size == 128);
		of_size[size]++;
		n++;
		run = size == last ? run + 1 : 1;
		runs += run == 1;
		last = size;
	}
	/* 1536 batches: sigma of a share is 0.013, by batches of unlike length more. */
	for (size_t size = 48; size <= 128; size++)
		if (of_size[size] > 0)
			assert_true(fabs((double)of_size[size] / (double)n - 0.25) <
				    0.08);
	/* Three of four batches begin a run: 8.5 * 4 / 3 = 11.3 messages. */
	assert_true((double)n / (double)runs > 9.5 && (double)n / (double)runs < 13.5);
	driver_finish(&d);
}

/* In one quantum everybody's batches come out even, however the threads divide. */
static void msgpass_drains_after_any_quantum(void **state)
{
	(void)state;
	for (unsigned int threads = 3; threads <= DRIVER_THREADS; threads++) {
		struct driver d;

		driver_init(&d, "msgpass", "queue_batches=2,batch_max_messages=3", 0,
			    threads);
		driver_setup(&d);
		for (unsigned int steps = 1; steps <= 3; steps++)
			driver_pass(&d, steps);
		driver_finish(&d);
	}
}

/* Thread 0 allocates for everybody, each frees its own, once a pass. */
static void passive_sharing_hands_blocks_out(void **state)
{
	enum { THREADS = 4, STEPS = 5 };
	struct deeds deeds[THREADS + 1];
	unsigned int givers = 0;
	struct driver d;
	uint64_t ops;

	(void)state;
	driver_init(&d, "false-sharing", "mode=passive,rounds=3000", 8, THREADS);
	driver_setup(&d);
	ops = driver_pass(&d, STEPS);
	/* 256 KiB written in a quantum: 10 blocks of 8 bytes, 3000 times each. */
	assert_int_equal(ops, THREADS * STEPS * 10);
	assert_int_equal(d.model->allocs, ops + THREADS);
	assert_int_equal(d.model->remote_frees, THREADS - 1);
	tally(d.model, deeds, THREADS + 1);
	for (unsigned int t = 1; t <= THREADS; t++) {
		assert_int_equal(deeds[t].frees, 10 * STEPS + 1);
		givers += deeds[t].allocs == 10 * STEPS + THREADS;
		assert_true(deeds[t].allocs == 10 * STEPS ||
			    deeds[t].allocs == 10 * STEPS + THREADS);
	}
	assert_int_equal(givers, 1);
	driver_finish(&d);

	driver_init(&d, "false-sharing", "mode=active,rounds=3000", 8, THREADS);
	driver_setup(&d);
	assert_int_equal(driver_pass(&d, STEPS), ops);
	assert_int_equal(d.model->allocs, ops);
	assert_int_equal(d.model->remote_frees, 0);
	driver_finish(&d);
}

/* Gives the worker whose turn it is its piece of `memory`, `stride` bytes apart. */
static char memory[16 * KMEM_CACHELINE] KMEM_CACHELINE_ALIGNED;
static size_t stride, whose_turn;

static void *strided_alloc(struct allocator *a, size_t size, size_t align, gfp_t gfp,
			   int node)
{
	(void)a;
	(void)size;
	(void)align;
	(void)gfp;
	(void)node;
	return memory + whose_turn * stride;
}

static void strided_free(struct allocator *a, void *ptr, size_t size)
{
	(void)a;
	(void)ptr;
	(void)size;
}

/* Three workers take turns in one thread, ten quanta each. */
static double shared_share(size_t bytes_apart, uint64_t size)
{
	enum { WORKERS = 3, STEPS = 10 };
	struct driver d;
	double share;

	stride = bytes_apart;
	driver_init(&d, "false-sharing", "mode=active,rounds=1000", size, WORKERS);
	driver_setup(&d);
	d.model->ops.alloc = strided_alloc;
	d.model->ops.free = strided_free;
	for (unsigned int i = 0; i < WORKERS; i++) {
		worker_init(&d.workers[i], &d.run, i, NULL);
		assert_int_equal(d.run.workload->thread_setup(&d.workers[i]), 0);
	}
	for (unsigned int i = 0; i < WORKERS * STEPS; i++) {
		whose_turn = i % WORKERS;
		d.run.workload->step(&d.workers[whose_turn]);
	}
	for (unsigned int i = 0; i < WORKERS; i++)
		d.run.workload->thread_teardown(&d.workers[i]);
	share = figure_of(&d, "line_shared_share");
	driver_finish(&d);
	return share;
}

static void shared_lines_are_seen(void **state)
{
	(void)state;
	assert_true(shared_share(KMEM_CACHELINE, 8) == 0);
	assert_true(shared_share(2 * KMEM_CACHELINE, 128) == 0);
	/* Only the very first quantum has no other block to share with. */
	assert_true(fabs(shared_share(8, 8) - 29.0 / 30) < 1e-12);
	/* Blocks whose end reaches into the next one's line. */
	assert_true(fabs(shared_share(KMEM_CACHELINE, 72) - 29.0 / 30) < 1e-12);
}

/* Passive sharing frees blocks of another thread, active sharing does not. */
static void capabilities_follow_the_mode(void **state)
{
	struct driver d;

	(void)state;
	driver_init(&d, "false-sharing", "mode=passive", 8, 2);
	d.model->ops.caps &= ~(uint64_t)CAP_REMOTE_FREE;
	assert_int_equal(workload_validate(&d.run, &d.model->ops), -EINVAL);
	assert_contains(kmem_last_error(), "capability 'remote-free'");
	model_delete(d.model);
	driver_init(&d, "false-sharing", "mode=active", 8, 2);
	d.model->ops.caps &= ~(uint64_t)CAP_REMOTE_FREE;
	assert_int_equal(workload_validate(&d.run, &d.model->ops), 0);
	model_delete(d.model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(msgpass_has_three_roles),
		cmocka_unit_test(msgpass_draws_sizes_by_the_batch),
		cmocka_unit_test(msgpass_drains_after_any_quantum),
		cmocka_unit_test(passive_sharing_hands_blocks_out),
		cmocka_unit_test(shared_lines_are_seen),
		cmocka_unit_test(capabilities_follow_the_mode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
