/* SPDX-License-Identifier: MIT */
/* server-life: how long blocks of a size live, and who frees them. */
#include "tests/workloads/shapes.h"

#include <math.h>

/* chi^2 of n draws against probabilities. */
static double chi_squared(const uint64_t *count, const double *p, size_t bins, uint64_t n)
{
	double sum = 0;

	for (size_t i = 0; i < bins; i++) {
		double expected = p[i] * (double)n;
		double delta = (double)count[i] - expected;

		sum += delta * delta / expected;
	}
	return sum;
}

static void server_life_is_proportional_to_size(void **state)
{
	enum { LEVELS = 5, BLOCKS = 16, STEPS = 20, FILL = LEVELS * BLOCKS };
	uint64_t count[LEVELS] = {0}, lives[LEVELS] = {0}, ring = 16384;
	double life[LEVELS] = {0}, p[LEVELS];
	uint64_t *born, allocs = 0;
	struct driver d;

	(void)state;
	driver_init(&d, "server-life",
		    "blocks_per_level=16,size_min_bytes=16,size_max_bytes=512", 0, 1);
	driver_setup(&d);
	assert_int_equal(driver_pass(&d, STEPS), STEPS * 4096);
	born = calloc(d.model->allocs + 1, sizeof(*born));
	for (size_t i = 0; i < d.model->logged; i++) {
		const struct model_event *e = &d.model->log[i];
		unsigned int level = 59u - (unsigned int)__builtin_clzll(e->size);

		assert_in_range(e->size, 16, 511);
		if (e->what == 'a') {
			born[e->serial] = ++allocs;
			if (allocs > FILL && allocs <= FILL + ring)
				count[level]++;
		} else if (born[e->serial] > FILL && allocs < d.model->allocs) {
			life[level] += (double)(allocs - born[e->serial]);
			lives[level]++;
		}
	}
	/* Halving: 16/31, 8/31, … of the drawn ring; 4 degrees of freedom, p = 1e-5. */
	for (int l = 0; l < LEVELS; l++)
		p[l] = (double)(16 >> l) / 31;
	assert_true(chi_squared(count, p, LEVELS, ring) < 28.5);
	/* In steady state a block of level l waits 16 * 31 / 2^(4-l) requests for its
	 * turn, give or take its geometric spread. */
	for (int l = 0; l < LEVELS; l++) {
		double expected = BLOCKS / p[l];

		assert_true(lives[l] > 2000);
		assert_true(fabs(life[l] / (double)lives[l] / expected - 1) < 0.12);
	}
	assert_true(figure_of(&d, "replaced_blocks") == STEPS * 4096);
	assert_true(figure_of(&d, "handed_over_blocks") == 0);
	free(born);
	driver_finish(&d);
}

/* A rare level comes 16 times a lap, and each lap to other ones of its 64 blocks. */
static void server_life_replaces_rare_blocks(void **state)
{
	enum { LEVELS = 10, BLOCKS = 64, FILL = LEVELS * BLOCKS, LAPS = 6 };
	uint64_t replaced = 0;
	struct driver d;

	(void)state;
	driver_init(&d, "server-life", "blocks_per_level=64", 0, 1);
	driver_setup(&d);
	driver_pass(&d, LAPS * 16384 / 4096);
	for (size_t i = 0; i < d.model->logged - FILL; i++) {
		const struct model_event *e = &d.model->log[i];

		replaced += e->what == 'f' && e->serial > FILL - BLOCKS &&
			    e->serial <= FILL;
	}
	/* Without that it would be 16 at most, or about; 96 draws of 64 are 50 blocks. */
	assert_in_range(replaced, 35, 64);
	driver_finish(&d);
}

/* A quarter is freed by the next thread in the ring, all else by its own. */
static void server_life_hands_over(void **state)
{
	enum { STEPS = 3, THREADS = 4 };
	struct driver d;
	uint64_t *owner, successor[THREADS + 1] = {0}, remote = 0;

	(void)state;
	driver_init(&d, "server-life", "blocks_per_level=16,size_max_bytes=512", 0,
		    THREADS);
	d.run.check = true;
	driver_setup(&d);
	assert_int_equal(driver_pass(&d, STEPS), STEPS * THREADS * 4096);
	assert_int_equal(d.model->remote_frees, STEPS * THREADS * 1024);
	assert_true(figure_of(&d, "handed_over_blocks") == STEPS * THREADS * 1024);
	owner = calloc(d.model->allocs + 1, sizeof(*owner));
	for (size_t i = 0; i < d.model->logged; i++) {
		const struct model_event *e = &d.model->log[i];

		if (e->what == 'a') {
			owner[e->serial] = e->thread;
		} else if (owner[e->serial] != e->thread) {
			/* Always the same one: the next of the ring. */
			if (successor[owner[e->serial]] == 0)
				successor[owner[e->serial]] = e->thread;
			assert_int_equal(successor[owner[e->serial]], e->thread);
			remote++;
		}
	}
	assert_int_equal(remote, d.model->remote_frees);
	for (int i = 1; i <= THREADS; i++)
		assert_true(successor[i] != 0 && successor[i] != (uint64_t)i);
	free(owner);
	driver_finish(&d);
}

/*
 * Neighbours do not go in step: each can do a quantum of 32 batches before the other does
 * any. Both are stepped by this one thread, which would wait for itself for ever.
 */
static void server_life_runs_ahead(void **state)
{
	enum { WORKERS = 2, QUANTA = 3 };
	struct driver d;

	(void)state;
	driver_init(&d, "server-life", "blocks_per_level=16,size_max_bytes=512", 0,
		    WORKERS);
	driver_setup(&d);
	model_enter(d.run.allocator);
	for (unsigned int i = 0; i < WORKERS; i++) {
		worker_init(&d.workers[i], &d.run, i, NULL);
		assert_int_equal(d.run.workload->thread_setup(&d.workers[i]), 0);
	}
	for (unsigned int i = 0; i < QUANTA * WORKERS; i++)
		d.run.workload->step(&d.workers[i % WORKERS]);
	for (unsigned int i = 0; i < WORKERS; i++)
		d.run.workload->thread_teardown(&d.workers[i]);
	model_exit(d.run.allocator);
	d.run.workload->pass_end(&d.run);
	assert_true(figure_of(&d, "handed_over_blocks") == QUANTA * WORKERS * 1024);
	driver_finish(&d);
}

/* What has been gathered for a batch that never became full is freed as well. */
static void server_life_frees_half_a_batch(void **state)
{
	struct driver d;

	(void)state;
	driver_init(&d, "server-life",
		    "blocks_per_level=16,size_max_bytes=512,handover_one_in=3", 0, 2);
	driver_setup(&d);
	driver_pass(&d, 2);
	/* 8192 / 3 each, in batches of 32. */
	assert_true(figure_of(&d, "handed_over_blocks") == 2 * (2730 / 32 * 32));
	driver_finish(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(server_life_is_proportional_to_size),
		cmocka_unit_test(server_life_replaces_rare_blocks),
		cmocka_unit_test(server_life_hands_over),
		cmocka_unit_test(server_life_runs_ahead),
		cmocka_unit_test(server_life_frees_half_a_batch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
