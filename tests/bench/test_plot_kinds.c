/* SPDX-License-Identifier: MIT */
/*
 * The tables behind pictures of blocks, ratios, memory over time and tails, from results
 * whose truth is known; and the reasons why a picture is not there.
 */
#include "plot_drawing.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <sys/stat.h>

#include <kmem/error.h>

#include "bench/plot.h"
#include "bench/plot_curves.h"
#include "bench/plot_ratios.h"
#include "bench/plot_tail.h"

/* --- ratios --- */

/* Ten blocks that drift together; slab takes `factor` of glibc's time. */
static json_t *ratio_results(double factor)
{
	static const char *const names[] = {"glibc", "slab", "slab:percpu=off", "null"};
	const double factors[] = {1, factor, factor * 2, 0.01};
	json_t *root = fixture_results();

	for (int block = 0; block < 10; block++) {
		for (size_t i = 0; i < KMEM_ARRAY_SIZE(names); i++)
			fixture_add(root,
				    &(struct fixture_cell){
					    "pair", names[i], 64, 1, block,
					    20.0 * (1 + block % 3) * factors[i], NULL});
	}
	return root;
}

static void forest_shows_what_compare_says(void **state)
{
	struct dataset *d = load(ratio_results(0.5), "forest.json");
	size_t slab = series_named(d, "slab"), glibc = series_named(d, "glibc");
	struct ratios ratios;
	struct drawn drawn;

	(void)state;
	ratios_load(d, (int)glibc, &ratios);
	assert_null(ratios_at(&ratios, 0, glibc));
	assert_float_equal(ratios_at(&ratios, 0, slab)->ratio.estimate, 0.5, 1e-9);
	assert_int_equal(ratios_at(&ratios, 0, slab)->verdict, VERDICT_FASTER);
	ratios_free(&ratios);
	drawn = draw_or_skip(d, "forest");
	assert_picture(&drawn, "forest-glibc");
	assert_row(&drawn, "forest-glibc", 2,
		   "1\t1\t0.5\t0.5\t0.5\t0\t0\t\t0.500 [0.500, 0.500]\n");
	assert_row(&drawn, "forest-glibc", 3, "1\t1 faster\n");
	/* The floor is not among the candidates. */
	assert_no_row(&drawn, "forest-glibc", 0, "null");
	/* The variant against the plain one: twice its time. */
	assert_picture(&drawn, "ablation-slab");
	assert_row(&drawn, "ablation-slab", 0, "slab:percpu=off\t");
	assert_row(&drawn, "ablation-slab", 2,
		   "1\t1\t2\t2\t2\t1\t0\t\t2.000 [2.000, 2.000]\n");
	draw_end(&drawn, d);
}

static void ratios_beyond_the_axis_are_told(void **state)
{
	struct dataset *d = load(ratio_results(40), "beyond.json");
	struct drawn drawn;

	(void)state;
	drawn = draw_or_skip(d, "beyond");
	assert_row(&drawn, "forest-glibc", 2, "1\t1\t8\t8\t8\t1\t1\t40× ▸\t40.000");
	draw_end(&drawn, d);
}

/* --- blocks --- */

static void outliers_are_marked_and_kept(void **state)
{
	json_t *root = fixture_results();
	struct dataset *d;
	struct drawn drawn;

	(void)state;
	for (int block = 0; block < 8; block++)
		fixture_add(root, &(struct fixture_cell){
					  "pair", "glibc", 64, 1, block,
					  block == 3 ? 90 : 10 + 0.1 * block, NULL});
	d = load(root, "outlier.json");
	drawn = draw_or_skip(d, "outlier");
	assert_picture(&drawn, "blocks-pair");
	assert_row(&drawn, "blocks-pair", 3, "1\t1\t0.4286\t90\t1\n");
	assert_row(&drawn, "blocks-pair", 3, "1\t1\t0\t10\t0\n");
	assert_row(&drawn, "blocks-pair", 3, "1\t1\t1\t10.7\t0\n");
	draw_end(&drawn, d);
}

/* --- memory over time --- */

#define MIB 1048576L

/* Fills to 8 MiB in a second, keeps 1 MiB, then waits two seconds, and frees. */
static const struct fixture_sample drained[] = {
	{0.0, 0, 0, 0, 0, WORK},
	{0.5, 6 * MIB, 4 * MIB, 5 * MIB, 8 * MIB, WORK},
	{1.0, 12 * MIB, 8 * MIB, 10 * MIB, 16 * MIB, WORK},
	{1.5, 10 * MIB, 1 * MIB, 2 * MIB, 16 * MIB, IDLE},
	{2.5, 6 * MIB, 1 * MIB, 2 * MIB, 16 * MIB, IDLE},
	{3.5, 4 * MIB, 1 * MIB, 2 * MIB, 16 * MIB, IDLE},
	{3.51, 3 * MIB, MIB / 2, MIB, 16 * MIB, IDLE}, /* the frees have begun */
	{3.515, 3 * MIB, MIB / 4, MIB / 2, 16 * MIB, FREEING},
	{3.52, 2 * MIB, 0, 0, 16 * MIB, FREED},
};

/* Keeps 8 MiB, then frees all. */
static const struct fixture_sample aged[] = {
	{0.0, 0, 0, 0, 0, WORK},
	{0.5, 6 * MIB, 4 * MIB, 5 * MIB, 8 * MIB, WORK},
	{1.0, 12 * MIB, 8 * MIB, 10 * MIB, 16 * MIB, WORK},
	{1.5, 16 * MIB, 8 * MIB, 10 * MIB, 24 * MIB, IDLE}, /* as the work has left it */
	{1.6, 16 * MIB, 8 * MIB, 10 * MIB, 25 * MIB, IDLE},
	{1.7, 16 * MIB, 2 * MIB, 4 * MIB, 25 * MIB, FREEING},
	{1.8, 16 * MIB, 0, 0, 25 * MIB, FREED},
};

/* Three blocks on one allocator. */
static void add_timelines(json_t *root, const char *workload, const char *allocator,
			  const struct fixture_sample *samples, size_t count)
{
	for (int block = 0; block < 3; block++) {
		struct fixture_sample rows[16];
		json_t *entry = fixture_add(root,
					    &(struct fixture_cell){workload, allocator, 0,
								   1, block, 10, NULL});

		assert_true(count <= KMEM_ARRAY_SIZE(rows));
		memcpy(rows, samples, count * sizeof(*samples));
		/* Blocks differ by a MiB each. */
		for (size_t i = 1; i < count; i++)
			rows[i].resident += (block - 1) * MIB;
		fixture_add_timeline(entry, rows, count);
		json_object_set_new(entry, "robson_bound_bytes", json_integer(20 * MIB));
	}
}

static json_t *drained_results(const char *workload)
{
	json_t *root = fixture_results();

	add_timelines(root, workload, "glibc", drained, KMEM_ARRAY_SIZE(drained));
	return root;
}

/* Where a block has no samples it does not widen the others' band. */
static void a_gap_is_not_interpolated(void **state)
{
	struct curves c = {0};
	struct summary s;

	(void)state;
	for (int block = 0; block < 3; block++) {
		for (int x = 0; x <= 20; x++) {
			if (block < 2 || x < 1 || x > 10)
				curves_add_point(&c, x, block < 2 ? 100 : 10);
		}
		curves_end(&c);
	}
	assert_true(curves_at(&c, 5, &s));
	assert_int_equal(s.blocks, 2);
	assert_true(s.low == 100);
	assert_true(curves_at(&c, 0, &s));
	assert_int_equal(s.blocks, 3);
	assert_true(curves_at(&c, 11.5, &s));
	assert_true(s.low == 10);
	curves_free(&c);
}

static void curves_are_interpolated(void **state)
{
	struct dataset *d = load(drained_results("wset"), "curves.json");
	const struct measurement *m = dataset_at(d, 0, 0);
	double low = INFINITY, high = -INFINITY;
	struct curves c;
	struct summary s;

	(void)state;
	curves_of(m, timeline_seconds, timeline_resident, NULL, &c);
	assert_int_equal(c.count, 3);
	assert_true(curves_range(&c, &low, &high));
	assert_float_equal(high, 3.52, 1e-9);
	assert_true(curves_at(&c, 0.75, &s));
	assert_float_equal(s.middle, 9.0 * MIB, 1);
	assert_float_equal(s.low, 8.0 * MIB, 1);
	assert_float_equal(s.high, 10.0 * MIB, 1);
	assert_false(curves_at(&c, 3.53, &s));
	curves_free(&c);
	/* (10 - 8) / 10, (12 - 10) / 12, 12 / 8 at 16 MiB allocated. */
	curves_of(m, timeline_seconds, timeline_internal, NULL, &c);
	assert_true(curves_at(&c, 1.0, &s));
	assert_float_equal(s.middle, 0.2, 1e-9);
	curves_free(&c);
	curves_of(m, timeline_seconds, timeline_external, NULL, &c);
	assert_true(curves_at(&c, 1.0, &s));
	assert_float_equal(s.middle, 2.0 / 12, 1e-9);
	curves_free(&c);
	curves_of(m, timeline_seconds, timeline_space_ratio, NULL, &c);
	assert_true(curves_at(&c, 1.0, &s));
	assert_float_equal(s.middle, 1.5, 1e-9);
	curves_free(&c);
	dataset_free(d);
}

static void memory_over_time_and_drain(void **state)
{
	struct dataset *d = load(drained_results("sawtooth"), "drain.json");
	struct drawn drawn;

	(void)state;
	drawn = draw_or_skip(d, "drain");
	assert_picture(&drawn, "memory-time-sawtooth-1-thread");
	/* The block of median length, at the end of the work: resident with the spread of
	 * all blocks, usable, live. */
	assert_row(&drawn, "memory-time-sawtooth-1-thread", 1,
		   "\t1\t12582912\t11534336\t13631488\t10485760\t8388608\n");
	assert_row(&drawn, "memory-time-sawtooth-1-thread", 2, "1\t1.5\tidle\n");
	assert_row(&drawn, "memory-time-sawtooth-1-thread", 3,
		   "20971520\tRobson: any allocator\n");
	/* Twice the time of work: the rest is the drain's to show. */
	assert_row(&drawn, "memory-time-sawtooth-1-thread", 1, "\n1\t2.5\t");
	assert_no_row(&drawn, "memory-time-sawtooth-1-thread", 1, "\n1\t3.5");
	assert_no_row(&drawn, "memory-time-sawtooth-1-thread", 2, "free");
	assert_picture(&drawn, "drain-sawtooth");
	assert_row(&drawn, "drain-sawtooth", 1,
		   "1\t1\t0.01\t10485760\t9437184\t11534336\n");
	/* Its last point: two seconds on, before the frees. */
	assert_row(&drawn, "drain-sawtooth", 1, "1\t1\t2\t4194304\t3145728\t5242880\n\n");
	assert_row(&drawn, "drain-sawtooth", 2, "1\t1048576\t");
	assert_row(&drawn, "drain-sawtooth", 2, "1 MiB kept live\n");
	draw_end(&drawn, d);
}

static void fragmentation_clock(void **state)
{
	json_t *root = fixture_results(), *entry;
	struct dataset *d;
	struct drawn drawn;
	size_t i;

	(void)state;
	add_timelines(root, "age", "glibc", aged, KMEM_ARRAY_SIZE(aged));
	json_array_foreach (json_object_get(root, "benchmarks"), i, entry) {
		json_t *segments = json_pack(
			"[{s:i, s:{s:i, s:f, s:f}}, {s:i, s:{s:i, s:f, s:f}}]",
			"allocated_bytes", (int)(8 * MIB), "alloc", "count", 100, "p50",
			0.0, "p99", 40.0, "allocated_bytes", (int)(16 * MIB), "alloc",
			"count", 100, "p50", 30.0, "p99", 60.0 + (double)i);

		json_object_set_new(json_object_get(entry, "kmembench"), "age", segments);
	}
	d = load(root, "age.json");
	drawn = draw_or_skip(d, "age");
	assert_picture(&drawn, "age-age-1-thread");
	assert_row(&drawn, "age-age-1-thread", 2, "1\t0\tinternal fragmentation");
	/* No free was timed: six panels, the last of them the 99th percentile of alloc.
	 */
	assert_row(&drawn, "age-age-1-thread", 2, "6\t3\talloc, 99th percentile\n\n");
	assert_row(&drawn, "age-age-1-thread", 1, "6\t1\t16777216\t61\t60\t62\n");
	/* Below the clock's step: at half of it. */
	assert_row(&drawn, "age-age-1-thread", 1, "5\t1\t8388608\t0.5\t0.5\t0.5\n");
	assert_row(&drawn, "age-age-1-thread", 1, "1\t1\t16777216\t20\t20\t20\n");
	/* It ends as the work does: idle memory does not age, and what is freed at the
	 * end is no fragmentation. */
	assert_row(&drawn, "age-age-1-thread", 1, "1\t1\t25165824\t20\t20\t20\n\n");
	draw_end(&drawn, d);
}

/* The entry's sample in a row; borrowed. */
static json_t *sample_of(json_t *entry, size_t row)
{
	json_t *line = json_object_get(json_object_get(entry, "kmembench"), "timeline");

	return json_array_get(json_object_get(line, "rows"), row);
}

/*
 * Cells of which hardly a sample is left: glibc has one, at the same place in all blocks;
 * slab has one at another place in each, of which no median can be told; and so has kmem
 * of mappings, which are not counted with every sample.
 */
static void clocks_with_one_sample(void **state)
{
	enum { ALLOCATED = 4, MAPPINGS = 5 };
	static const struct fixture_sample one[] = {
		{0.0, 12 * MIB, 8 * MIB, 10 * MIB, 16 * MIB, WORK},
		{0.1, 16 * MIB, 2 * MIB, 4 * MIB, 16 * MIB, FREEING},
	};
	json_t *root = fixture_results(), *apart = fixture_results(), *entry;
	struct dataset *d;
	struct drawn drawn;
	size_t i;

	(void)state;
	add_timelines(apart, "age", "slab", one, KMEM_ARRAY_SIZE(one));
	json_array_foreach (json_object_get(apart, "benchmarks"), i, entry) {
		json_array_set_new(sample_of(entry, 0), ALLOCATED,
				   json_integer(16 * MIB + (json_int_t)i));
		json_array_append(json_object_get(root, "benchmarks"), entry);
	}
	d = load(apart, "apart.json");
	drawn = draw_or_skip(d, "apart");
	assert_holds(drawn.log,
		     "left out: age: 'age  1 thread' has no memory time lines of "
		     "which half of the blocks have a place in common\n");
	draw_end(&drawn, d);
	add_timelines(root, "age", "kmem", aged, KMEM_ARRAY_SIZE(aged));
	json_array_foreach (json_object_get(root, "benchmarks"), i, entry) {
		for (size_t row = 0; i >= 3 && row < KMEM_ARRAY_SIZE(aged); row++) {
			if (row != 1)
				json_array_set_new(sample_of(entry, row), MAPPINGS,
						   json_null());
		}
		if (i >= 3)
			json_array_set_new(sample_of(entry, 1), ALLOCATED,
					   json_integer(8 * MIB + (json_int_t)i));
	}
	add_timelines(root, "age", "glibc", one, KMEM_ARRAY_SIZE(one));
	d = load(root, "one.json");
	drawn = draw_or_skip(d, "one");
	assert_picture(&drawn, "age-age-1-thread");
	assert_no_row(&drawn, "age-age-1-thread", 0, "slab");
	assert_row(&drawn, "age-age-1-thread", 1, "4\t2\t16777216\t40\t40\t40\n\n");
	assert_no_row(&drawn, "age-age-1-thread", 1, "\n4\t1\t8388");
	assert_row(&drawn, "age-age-1-thread", 2, "4\t2\tmappings\n\n");
	draw_end(&drawn, d);
}

/* --- tails --- */

static void causes_are_grouped(void **state)
{
	static const struct {
		const char *text;
		enum tail_cause cause;
		int above;
	} causes[] = {
		{"fault", TAIL_FAULT, 5},
		{"call", TAIL_CALL, 4},
		{"call+fault", TAIL_CALL_AND_FAULT, 3},
		{"fault+call", TAIL_CALL_AND_FAULT, 1},
		{"fault+preempted", TAIL_PREEMPTED, 2},
		{"preempted+migrated", TAIL_PREEMPTED, 1},
		{"call+migrated", TAIL_MIGRATED, 1},
		{"unknown", TAIL_UNKNOWN, 7},
		{"faulty", TAIL_UNKNOWN, 1},
	};
	uint64_t expected[NR_TAIL_CAUSES] = {0};
	json_t *root = fixture_results(), *entry;
	struct dataset *d;
	struct drawn drawn;
	struct tail tail;

	(void)state;
	for (int block = 0; block < 2; block++) {
		entry = fixture_add(root, &(struct fixture_cell){"pair", "glibc", 64, 1,
								 block, 10, NULL});
		for (size_t i = 0; i < KMEM_ARRAY_SIZE(causes); i++) {
			fixture_add_cause(entry, "alloc", causes[i].text, causes[i].above,
					  1000.0 * (double)(i + 1));
			expected[causes[i].cause] += (uint64_t)causes[i].above;
		}
	}
	d = load(root, "tail.json");
	assert_true(tail_of(dataset_at(d, 0, 0), "alloc", &tail));
	assert_memory_equal(tail.above, expected, sizeof(expected));
	assert_int_equal(tail.total, 50);
	assert_float_equal(tail.max_ns[TAIL_PREEMPTED], 6000, 0);
	/* Recorded, and nothing was above. */
	assert_true(tail_of(dataset_at(d, 0, 0), "free", &tail));
	assert_int_equal(tail.total, 0);
	drawn = draw_or_skip(d, "tail");
	assert_picture(&drawn, "tail-causes-pair");
	assert_row(&drawn, "tail-causes-pair", 1, "1\t1\t50\t20\t36\t52\t64\t68\t100\n");
	assert_row(&drawn, "tail-causes-pair", 2, "alloc\n");
	draw_end(&drawn, d);
}

/* A workload's own series has a panel behind alloc and free. */
static void further_series_have_panels(void **state)
{
	json_t *root = fixture_results();
	json_t *entry = fixture_add(
		root, &(struct fixture_cell){"open-loop", "glibc", 0, 1, 0, 10, NULL});
	json_t *latency = json_object_get(json_object_get(entry, "kmembench"), "latency");
	struct dataset *d;
	struct drawn drawn;

	(void)state;
	json_object_set_new(latency, "service",
			    fixture_histogram(20, 1000, FIXTURE_TICK_NS));
	json_object_set_new(latency, "response",
			    fixture_histogram(40, 1000, FIXTURE_TICK_NS));
	d = load(root, "open-loop.json");
	drawn = draw_or_skip(d, "open-loop");
	assert_picture(&drawn, "latency-percentiles-open-loop-1-thread");
	assert_row(&drawn, "latency-percentiles-open-loop-1-thread", 1, "1\t3\t1\t10\n");
	assert_row(&drawn, "latency-percentiles-open-loop-1-thread", 1, "1\t4\t1\t20\n");
	assert_row(&drawn, "latency-percentiles-open-loop-1-thread", 3,
		   "alloc\nfree\nservice\nresponse, from the scheduled arrival\n");
	draw_end(&drawn, d);
}

/* --- what is not there --- */

static void absent_data_has_a_reason(void **state)
{
	static const char *const reasons[] = {
		"left out: forest: no cell was measured on two allocators in one run\n",
		"left out: blocks: no cell has two blocks\n",
		"left out: memory-time: 'pair  64 B, 1 thread' and 1 more: no memory time ",
		"left out: time-size: 'pair', 'wset' were measured with one value of size only\n",
		"left out: drain: no memory time line goes on for 0.1 s after the last free\n",
		"left out: age: the workload 'age' was not measured\n",
		"left out: tail-causes: no cell recorded the causes of its slowest operations\n",
		"left out: ablation: no allocator was measured in two variants\n",
	};
	json_t *root = fixture_results(), *entry;
	struct dataset *d;
	struct drawn drawn;

	(void)state;
	fixture_add(root, &(struct fixture_cell){"pair", "glibc", 64, 1, 0, 10, NULL});
	/* Damaged and empty members are as good as none. */
	entry = fixture_add(root,
			    &(struct fixture_cell){"wset", "glibc", 0, 1, 0, 10, NULL});
	json_object_set_new(
		json_object_get(entry, "kmembench"), "timeline",
		json_pack("{s:[s], s:[[f], n]}", "columns", "t_s", "rows", 0.5));
	json_object_set_new(json_object_get(entry, "kmembench"), "age", json_true());
	d = load(root, "bare.json");
	drawn = draw_or_skip(d, "bare");
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(reasons); i++)
		assert_holds(drawn.log, reasons[i]);
	draw_end(&drawn, d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forest_shows_what_compare_says),
		cmocka_unit_test(ratios_beyond_the_axis_are_told),
		cmocka_unit_test(outliers_are_marked_and_kept),
		cmocka_unit_test(a_gap_is_not_interpolated),
		cmocka_unit_test(curves_are_interpolated),
		cmocka_unit_test(memory_over_time_and_drain),
		cmocka_unit_test(fragmentation_clock),
		cmocka_unit_test(clocks_with_one_sample),
		cmocka_unit_test(causes_are_grouped),
		cmocka_unit_test(further_series_have_panels),
		cmocka_unit_test(absent_data_has_a_reason),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
