/* SPDX-License-Identifier: MIT */
/* pair, batch, wset, larson, xmalloc: each does what its description says. */
#include "tests/workloads/model.h"

#include <math.h>
#include <stdio.h>

#include "workloads/harness/arena.h"

/* Both passes at 1, 2 and 4 threads: counts agree with operations, nothing is left. */
static void check_counts(const char *workload, const char *params, uint64_t size,
			 unsigned int threads, unsigned int steps)
{
	uint64_t arena_before = arena_bytes();
	struct driver d;
	uint64_t ops, allocs, samples = 0;

	driver_init(&d, workload, params, size, threads);
	/* Whole contents of many large blocks would take a minute under a sanitizer. */
	d.run.check = size <= 4096;
	driver_setup(&d);
	ops = driver_pass(&d, steps);
	assert_true(ops > 0);
	allocs = d.model->allocs;
	assert_true(allocs >= ops);
	assert_int_equal(d.model->allocs, d.model->frees);
	/* The same again, as Google Benchmark does, and with probes. */
	assert_int_equal(driver_probed_pass(&d, steps), ops);
	assert_int_equal(d.model->allocs, 2 * allocs);
	for (unsigned int i = 0; i < threads; i++)
		samples += d.probes[i].alloc.count + d.probes[i].free.count;
	assert_int_equal(samples, 2 * ops);
	driver_finish(&d);
	assert_int_equal(arena_bytes(), arena_before);
}

static void counts_match_operations(void **state)
{
	static const struct {
		const char *workload, *params;
		uint64_t size;
	} cases[] = {
		{"pair", NULL, 8},
		{"pair", NULL, 100000},
		{"batch", "n_blocks=25,order=fifo", 64},
		{"batch", "n_blocks=1600,order=random", 24},
		{"wset", NULL, 0},
		{"larson", "replacements_per_thread=500", 0},
		{"xmalloc", NULL, 64},
		{"xmalloc", "batch_blocks=7,queue_batches=2", 64},
	};

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(cases); i++)
		for (unsigned int threads = 1; threads <= 4; threads *= 2)
			if (threads > 1 || strcmp(cases[i].workload, "xmalloc") != 0)
				check_counts(cases[i].workload, cases[i].params,
					     cases[i].size, threads, 2);
}

static void pair_keeps_one_block(void **state)
{
	struct driver d;
	uint64_t ops;

	(void)state;
	driver_init(&d, "pair", NULL, 48, 1);
	driver_setup(&d);
	ops = driver_probed_pass(&d, 1);
	assert_int_equal(ops, 16384);
	assert_int_equal(d.model->allocs, ops);
	assert_int_equal(d.model->live_bytes_max, 48);
	assert_int_equal(d.probes[0].live_bytes_max, 48);
	driver_finish(&d);
}

/* Which of n blocks, counted in order of allocation, is freed as the i-th. */
static uint64_t expected_free(const char *order, uint64_t i, uint64_t n)
{
	if (strcmp(order, "fifo") == 0)
		return i;
	if (strcmp(order, "lifo") == 0)
		return n - 1 - i;
	return i < n / 2 ? i : n - 1 - (i - n / 2);
}

static void check_batch_order(const char *order, uint64_t n)
{
	char params[64];
	struct driver d;
	uint64_t batches;

	snprintf(params, sizeof(params), "n_blocks=%u,order=%s", (unsigned int)n, order);
	driver_init(&d, "batch", params, 64, 1);
	driver_setup(&d);
	batches = driver_pass(&d, 1) / n;
	assert_true(d.model->logged == 2 * batches * n);
	for (uint64_t b = 0; b < batches; b++) {
		const struct model_event *e = &d.model->log[b * 2 * n];

		for (uint64_t i = 0; i < n; i++) {
			assert_int_equal(e[i].what, 'a');
			assert_int_equal(e[i].size, 64);
			assert_int_equal(e[n + i].what, 'f');
			assert_int_equal(e[n + i].serial - b * n - 1,
					 expected_free(order, i, n));
		}
	}
	driver_finish(&d);
}

static void batch_frees_in_the_named_order(void **state)
{
	static const uint64_t n[] = {1, 2, 25, 100, 400, 1600};

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(n); i++) {
		check_batch_order("fifo", n[i]);
		check_batch_order("lifo", n[i]);
		check_batch_order("half", n[i]);
	}
}

/* Each batch is freed whole, in an order of its own that is not sorted. */
static void batch_random_is_a_permutation(void **state)
{
	enum { N = 400 };
	struct driver d;
	uint64_t batches, ascents = 0, unlike = 0;

	(void)state;
	driver_init(&d, "batch", "n_blocks=400,order=random", 64, 1);
	driver_setup(&d);
	batches = driver_pass(&d, 1) / N;
	for (uint64_t b = 0; b < batches; b++) {
		const struct model_event *e = &d.model->log[b * 2 * N + N];
		const struct model_event *first = &d.model->log[N];
		bool seen[N] = {false};

		for (uint64_t i = 0; i < N; i++) {
			uint64_t which = e[i].serial - b * N - 1;

			assert_true(which < N && !seen[which]);
			seen[which] = true;
			ascents += i > 0 && e[i].serial > e[i - 1].serial;
			unlike += which != first[i].serial - 1;
		}
	}
	/* Of a random permutation half of the steps go up; 8000 steps, 6 sigma are 0.034.
	 */
	assert_true(fabs((double)ascents / (double)(batches * (N - 1)) - 0.5) < 0.034);
	assert_true(unlike > (batches - 1) * N * 9 / 10);
	driver_finish(&d);
}

/* The share of each octave follows s^-2, and slots are hit evenly. */
static void wset_draws_inverse_squares(void **state)
{
	enum { SLOTS = 64 };
	uint64_t octave[16] = {0}, n = 0, small[9] = {0};
	struct driver d;

	(void)state;
	driver_init(&d, "wset", "slots=64", 0, 1);
	driver_setup(&d);
	assert_int_equal(workload_size_max(&d.run), 32768);
	driver_pass(&d, 8);
	for (size_t i = 0; i < d.model->logged; i++) {
		size_t size = d.model->log[i].size;

		if (d.model->log[i].what != 'a')
			continue;
		assert_in_range(size, 4, 32768);
		octave[63 - __builtin_clzll(size)]++;
		if (size <= 8)
			small[size]++;
		n++;
	}
	assert_int_equal(n, SLOTS + 8 * 8192);
	/*
	 * 64 Ki draws are 16 Ki decisions four times over, so the deviation is that of
	 * 16 Ki: sigma is at most 0.004. P(4..7) = (1/3.5 - 1/7.5) / (1/3.5) = 0.5333.
	 */
	for (int o = 2; o < 9; o++) {
		double low = (1 << o) - 0.5, high = (2 << o) - 0.5;
		double p = (1 / low - 1 / high) * 3.5;
		double sigma = sqrt(p * (1 - p) / 16384);

		assert_true(fabs((double)octave[o] / (double)n - p) < 5 * sigma);
	}
	/* p(4) / p(8) is 4 to within the 1.6 % of the rounding and the noise of 1200
	 * draws. */
	assert_true(fabs((double)small[4] / (double)small[8] - 4) < 0.8);
	driver_finish(&d);
}

static void wset_replaces_one_at_a_time(void **state)
{
	struct driver d;

	(void)state;
	driver_init(&d, "wset", "slots=10,size_min_bytes=5,size_max_bytes=6", 0, 1);
	driver_setup(&d);
	driver_probed_pass(&d, 1);
	for (size_t i = 10; i < d.model->logged - 10; i++) {
		assert_int_equal(d.model->log[i].what, i % 2 == 0 ? 'f' : 'a');
		assert_in_range(d.model->log[i].size, 5, 6);
	}
	assert_in_range(d.probes[0].live_bytes_max, 50, 60);
	assert_int_equal(d.probes[0].live_bytes_max, d.model->live_bytes_max);
	assert_int_equal(d.shared.live_bytes, 0);
	driver_finish(&d);
}

static void same_seed_same_decisions(void **state)
{
	(void)state;
	driver_same_seed("wset", NULL, 1, true);
}

/* Each step is a thread of its own, which frees what its forebears allocated. */
static void larson_successors_inherit(void **state)
{
	enum { STEPS = 3, THREADS = 2, REPLACEMENTS = 2000, SLOTS = 100 };
	uint64_t inherited[1 + THREADS * (STEPS + 1)] = {0};
	uint64_t owner[THREADS * (SLOTS + STEPS * REPLACEMENTS) + 1] = {0};
	struct driver d;
	uint64_t ops;

	(void)state;
	driver_init(&d, "larson", "slots=100,replacements_per_thread=2000", 0, THREADS);
	driver_setup(&d);
	ops = driver_pass(&d, STEPS);
	assert_int_equal(ops, STEPS * THREADS * REPLACEMENTS);
	assert_int_equal(d.model->enters, THREADS * (STEPS + 1));
	for (size_t i = 0; i < d.model->logged; i++) {
		const struct model_event *e = &d.model->log[i];

		assert_in_range(e->size, 8, 1000);
		if (e->what == 'a')
			owner[e->serial] = e->thread;
		else if (owner[e->serial] != e->thread)
			inherited[e->thread]++;
	}
	/* With 20 replacements a slot nearly every inherited block is freed by the heir.
	 */
	for (size_t t = 1; t < KMEM_ARRAY_SIZE(inherited); t++)
		assert_in_range(inherited[t], 90, SLOTS);
	driver_finish(&d);
}

/* Even threads only allocate, odd ones only free, and every block is freed remotely. */
static void xmalloc_frees_remotely(void **state)
{
	struct driver d;
	uint64_t ops;

	(void)state;
	driver_init(&d, "xmalloc", "batch_blocks=32,queue_batches=4", 64, 4);
	driver_setup(&d);
	ops = driver_pass(&d, 3);
	assert_int_equal(ops, 2 * 3 * 8192);
	assert_int_equal(d.model->allocs, ops);
	assert_int_equal(d.model->remote_frees, ops);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(d.workers[i].ops > 0, i % 2 == 1);
	/* The queue bounds what is in flight: 4 batches, one in each thread's hands. */
	assert_true(d.model->live_bytes_max <= (4 + 4) * 32 * 64);
	driver_finish(&d);
}

static void skeleton_works(void **state)
{
	extern const struct workload_ops skeleton_workload;
	static bool registered;

	(void)state;
	if (!registered)
		assert_int_equal(workload_register(&skeleton_workload), 0);
	registered = true;
	check_counts("skeleton", "n_blocks=10", 32, 2, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_match_operations),
		cmocka_unit_test(pair_keeps_one_block),
		cmocka_unit_test(batch_frees_in_the_named_order),
		cmocka_unit_test(batch_random_is_a_permutation),
		cmocka_unit_test(wset_draws_inverse_squares),
		cmocka_unit_test(wset_replaces_one_at_a_time),
		cmocka_unit_test(same_seed_same_decisions),
		cmocka_unit_test(larson_successors_inherit),
		cmocka_unit_test(xmalloc_frees_remotely),
		cmocka_unit_test(skeleton_works),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
