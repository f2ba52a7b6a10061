/* SPDX-License-Identifier: MIT */
/*
 * threadtest and swap: each does what its description says. And what holds for all
 * workloads of threads: counts, refusals, seeds. msgpass, false-sharing:
 * test_threads_roles.c.
 */
#include "tests/workloads/shapes.h"

#include <math.h>

#include "workloads/harness/arena.h"

/* Live blocks and remote frees when all work is done and nothing is torn down. */
static uint64_t live_at_end, remote_at_end;

static void note_end(struct driver *d)
{
	live_at_end = d->model->live_blocks;
	remote_at_end = d->model->remote_frees;
}

/*
 * A bare and a probed pass, with contents checked: both do the same number of
 * operations and allocations, and drain; live bytes stay within the footprint.
 */
static void check_counts(const char *workload, const char *params, uint64_t size,
			 unsigned int threads, unsigned int steps)
{
	uint64_t arena_before = arena_bytes(), ops, allocs, samples = 0;
	struct driver d;

	driver_init(&d, workload, params, size, threads);
	d.run.check = true;
	driver_setup(&d);
	ops = driver_pass(&d, steps);
	assert_true(ops > 0);
	allocs = d.model->allocs;
	assert_int_equal(allocs, d.model->frees);
	assert_int_equal(driver_probed_pass(&d, steps), ops);
	assert_int_equal(d.model->allocs, 2 * allocs);
	for (unsigned int i = 0; i < threads; i++)
		samples += d.probes[i].alloc.count + d.probes[i].free.count;
	assert_true(samples >= 2 * ops && samples <= 2 * allocs);
	for (unsigned int i = 0; i < threads; i++)
		probe_live_flush(&d.probes[i]);
	assert_int_equal(d.shared.live_bytes, 0);
	/* Footprints are means where sizes are drawn: few blocks may be above. */
	assert_true((double)d.model->live_bytes_max <=
		    1.5 * (double)d.run.workload->footprint(&d.run));
	driver_finish(&d);
	assert_int_equal(arena_bytes(), arena_before);
}

static void counts_match_operations(void **state)
{
	static const struct {
		const char *workload, *params;
		uint64_t size;
		unsigned int threads_min;
	} cases[] = {
		{"threadtest", NULL, 8, 1},
		{"threadtest", "objects=11,work_steps=3", 100, 1},
		{"swap", "slots=1024", 0, 1},
		{"swap", "slots=64,order=random,size_min_bytes=8,size_max_bytes=2047", 0,
		 1},
		{"msgpass", NULL, 0, 3},
		{"msgpass", "batch_max_messages=1,queue_batches=2,message_bytes=1", 0, 3},
		{"false-sharing", "mode=active,rounds=300", 8, 1},
		{"false-sharing", "mode=passive,rounds=10", 40, 1},
	};

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(cases); i++)
		for (unsigned int threads = cases[i].threads_min; threads <= 5; threads++)
			check_counts(cases[i].workload, cases[i].params, cases[i].size,
				     threads, 1 + threads % 2);
}

/* All objects live at once in one thread; divided to the last one among three. */
static void threadtest_divides_the_objects(void **state)
{
	uint64_t per_thread[4] = {0};
	struct driver d;

	(void)state;
	driver_init(&d, "threadtest", "objects=9002", 8, 1);
	driver_setup(&d);
	assert_int_equal(driver_pass(&d, 1), 9002);
	assert_int_equal(d.model->live_bytes_max, 9002 * 8);
	for (uint64_t i = 0; i < 9002; i++) { /* oldest first */
		assert_int_equal(d.model->log[i].what, 'a');
		assert_int_equal(d.model->log[9002 + i].what, 'f');
		assert_int_equal(d.model->log[9002 + i].serial, i + 1);
	}
	driver_finish(&d);

	driver_init(&d, "threadtest", "objects=9002", 8, 3);
	driver_setup(&d);
	/* Two rounds of 3000 objects make a quantum of some 8192 pairs. */
	assert_int_equal(driver_pass(&d, 1), 2 * 9002);
	assert_int_equal(d.workers[0].ops, 2 * 3001);
	assert_int_equal(d.workers[1].ops, 2 * 3001);
	assert_int_equal(d.workers[2].ops, 2 * 3000);
	for (size_t i = 0; i < d.model->logged; i++)
		per_thread[d.model->log[i].thread]++;
	assert_int_equal(per_thread[1] + per_thread[2] + per_thread[3], 4 * 9002);
	assert_int_equal(d.model->remote_frees, 0);
	driver_finish(&d);
}

/* Every slot in turn: what one thread put in first comes out first, lap after lap. */
static void swap_walks_all_slots(void **state)
{
	enum {
		SLOTS = 16384,
		STEPS = 16
	}; /* two laps, each of two rings of pre-drawn exchanges */
	struct driver d;
	uint64_t freed = 0;

	(void)state;
	driver_init(&d, "swap", "slots=16384", 0, 1);
	d.between = note_end;
	driver_setup(&d);
	assert_int_equal(driver_pass(&d, STEPS), STEPS * 2048);
	assert_int_equal(live_at_end, SLOTS);
	for (size_t i = SLOTS; i < SLOTS + 2 * STEPS * 2048; i++) {
		const struct model_event *e = &d.model->log[i];

		assert_int_equal(e->what, (i - SLOTS) % 2 == 0 ? 'a' : 'f');
		if (e->what == 'f')
			assert_int_equal(e->serial, ++freed);
	}
	assert_true(figure_of(&d, "remote_free_share") == 0);
	driver_finish(&d);
}

/* Jumping about reaches all slots, also those that the ring has no entry for. */
static void swap_jumps_to_all_slots(void **state)
{
	enum { SLOTS = 32768, STEPS = 44 };
	static bool freed[SLOTS + 1];
	uint64_t reached = 0, size_sum = 0, allocs = 0;
	struct driver d;

	(void)state;
	memset(freed, 0, sizeof(freed));
	driver_init(&d, "swap", "slots=32768,order=random", 0, 1);
	driver_setup(&d);
	driver_pass(&d, STEPS);
	for (size_t i = 0; i < SLOTS + 2 * STEPS * 2048; i++) {
		const struct model_event *e = &d.model->log[i];

		assert_in_range(e->size, 16, 1039);
		if (e->what == 'f' && e->serial <= SLOTS) {
			assert_false(freed[e->serial]);
			freed[e->serial] = true;
			reached++;
		}
		size_sum += e->what == 'a' ? e->size : 0;
		allocs += e->what == 'a';
	}
	/* Of n slots 1 - e^-k are reached by k n random exchanges: 0.936 for k = 2.75; a
	 * ring alone would reach 0.22. */
	assert_true(fabs((double)reached / SLOTS - 0.936) < 0.02);
	/* The mean of 16..1039 with sigma 296; 41000 independent draws. */
	assert_true(fabs((double)size_sum / (double)allocs - 527.5) < 8);
	driver_finish(&d);
}

/* A block that is freed has a size of its own, whatever its slot is given instead. */
static void swap_frees_other_sizes(void **state)
{
	enum { STEPS = 24 };
	static const char *const params[] = {"slots=16384", "slots=8192", "slots=1024",
					     "slots=16384,order=random"};

	(void)state;
	for (size_t k = 0; k < KMEM_ARRAY_SIZE(params); k++) {
		uint64_t same = 0, pairs = 0;
		struct driver d;

		driver_init(&d, "swap", params[k], 0, 1);
		driver_setup(&d);
		driver_pass(&d, STEPS);
		for (size_t i = 1; i < d.model->logged; i++) {
			const struct model_event *e = &d.model->log[i];

			if (e[0].what == 'f' && e[-1].what == 'a') {
				pairs++;
				same += e[0].size == e[-1].size;
			}
		}
		assert_true(pairs >= STEPS * 2048);
		/* One in 1024 by chance. */
		assert_true(same < pairs / 200);
		driver_finish(&d);
	}
}

/* Its own tally of who freed whose blocks is what the model saw. */
static void swap_counts_remote_frees(void **state)
{
	struct driver d;
	uint64_t ops;

	(void)state;
	driver_init(&d, "swap", "slots=4096,order=random", 0, 4);
	d.between = note_end;
	driver_setup(&d);
	ops = driver_pass(&d, 8);
	assert_int_equal(live_at_end, 4096);
	assert_true(fabs(figure_of(&d, "remote_free_share") -
			 (double)remote_at_end / (double)ops) < 1e-12);
	/*
	 * Three of four where the threads run in step. One that has run alone meets the
	 * others' 3072 blocks once each in its 16384 exchanges, 98 % of them: 0.18.
	 */
	assert_true(remote_at_end > ops / 8);
	driver_finish(&d);
}

static void *odd_alloc(struct allocator *a, size_t size, size_t align, gfp_t gfp,
		       int node)
{
	static char memory[4096];

	(void)a;
	(void)size;
	(void)align;
	(void)gfp;
	(void)node;
	return memory + 1;
}

static void swap_refuses_addresses_it_cannot_hold(void **state)
{
	struct driver d;

	(void)state;
	driver_init(&d, "swap", "slots=2", 0, 1);
	driver_setup(&d);
	d.model->ops.alloc = odd_alloc;
	CATCH_FAIL(driver_pass(&d, 1));
	assert_contains(fail_reason, "allocator 'model' returned 0x");
	assert_contains(fail_reason, "this workload's slots cannot hold it");
	model_delete(d.model);
}

static void impossible_cells_are_refused(void **state)
{
	static const struct {
		const char *workload, *params;
		unsigned int threads;
		const char *text;
	} cases[] = {
		{"threadtest", "objects=2", 3, "objects=2 for 3 threads: give at least"},
		{"swap", "slots=1000", 1, "slots=1000: give a power of two"},
		{"swap", "slots=2", 3, "slots=2 for 3 threads: give at least one each"},
		{"swap", "size_min_bytes=100,size_max_bytes=99", 1, "swap them"},
		{"msgpass", NULL, 2, "cannot run on 2 threads: give 3 or more"},
		{"msgpass", "queue_batches=3", 3, "queue_batches=3: give a power of two"},
		{"msgpass", "queue_batches=65536,batch_max_messages=65536", 3,
		 "in 2 queues, which take 68720525312 bytes: lower one of them"},
		{"msgpass", "message_bytes=48+", 3, "'48+' is no list of sizes"},
		{"msgpass", "message_bytes=0", 3, "give sizes from 1 byte to 1 GiB"},
	};

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(cases); i++) {
		const struct workload_ops *ops = workload_find(cases[i].workload);

		driver_refused(cases[i].workload, cases[i].params,
			       ops->default_sizes != NULL ? 8 : 0, cases[i].threads,
			       cases[i].text);
	}
}

static void same_seed_same_decisions(void **state)
{
	(void)state;
	driver_same_seed("swap", "slots=64,order=random", 1, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_match_operations),
		cmocka_unit_test(threadtest_divides_the_objects),
		cmocka_unit_test(swap_walks_all_slots),
		cmocka_unit_test(swap_jumps_to_all_slots),
		cmocka_unit_test(swap_frees_other_sizes),
		cmocka_unit_test(swap_counts_remote_frees),
		cmocka_unit_test(swap_refuses_addresses_it_cannot_hold),
		cmocka_unit_test(impossible_cells_are_refused),
		cmocka_unit_test(same_seed_same_decisions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
