/* SPDX-License-Identifier: MIT */
/* How results are laid out for pictures: cells, series, estimates, looks, histograms. */
#include "plot_drawing.h"

#include "bench/plot_latency.h"
#include "workloads/harness/histogram.h"

/* Blocks of pair/size:64 with the given times; ends at 0. */
static void add_blocks(json_t *root, const char *allocator, const double *ns)
{
	for (int b = 0; ns[b] > 0; b++)
		fixture_add(root, &(struct fixture_cell){"pair", allocator, 64, 1, b,
							 ns[b], NULL});
}

static void test_layout(void **state)
{
	json_t *root = fixture_results();
	struct dataset *d;

	(void)state;
	fixture_add(root, &(struct fixture_cell){"wset", "null", 0, 2, 0, 1, NULL});
	fixture_add(root, &(struct fixture_cell){"pair", "zmalloc", 1024, 1, 0, 1, NULL});
	fixture_add(root, &(struct fixture_cell){"pair", "glibc", 64, 2, 0, 1, NULL});
	fixture_add(root, &(struct fixture_cell){"pair", "glibc", 64, 1, 0, 1, NULL});
	fixture_add(root,
		    &(struct fixture_cell){"pair", "slab:a_b=c", 64, 1, 0, 1, NULL});
	fixture_add(root, &(struct fixture_cell){"batch", "slab", 64, 1, 0, 1, "fifo"});
	fixture_add(root, &(struct fixture_cell){"batch", "slab", 64, 1, 0, 1, "lifo"});
	d = load(root, "one.json");
	assert_non_null(d);
	/* Ours, peers, unknown peers, floors. */
	assert_int_equal(d->nr_series, 5);
	assert_string_equal(d->series[0].name, "slab");
	assert_string_equal(d->series[1].name, "slab:a_b=c");
	assert_string_equal(d->series[2].name, "glibc");
	assert_string_equal(d->series[3].name, "zmalloc");
	assert_string_equal(d->series[4].name, "null");
	assert_int_equal(d->series[4].kind, SERIES_FLOOR);
	/* By workload, threads, parameters, size; labels say what varies and no more. */
	assert_int_equal(d->nr_cells, 6);
	assert_string_equal(d->cells[0].label, "batch  order fifo, 64 B, 1 thread");
	assert_string_equal(d->cells[1].label, "batch  order lifo, 64 B, 1 thread");
	assert_string_equal(d->cells[2].label, "pair  64 B, 1 thread");
	assert_string_equal(d->cells[3].label, "pair  1 KiB, 1 thread");
	assert_string_equal(d->cells[4].label, "pair  64 B, 2 threads");
	assert_string_equal(d->cells[5].label, "wset  2 threads");
	assert_string_equal(d->cells[2].but_size, d->cells[3].but_size);
	assert_string_not_equal(d->cells[2].but_size, d->cells[4].but_size);
	assert_string_equal(d->cells[2].but_threads, d->cells[4].but_threads);
	assert_int_equal(dataset_at(d, 2, 1)->nr_blocks, 1);
	assert_int_equal(dataset_at(d, 5, 1)->nr_blocks, 0);
	dataset_free(d);
}

/* A cell that died knows its planned parameters only, and still belongs to its row. */
static void test_failed_cell_finds_its_row(void **state)
{
	json_t *root = fixture_results();
	const struct measurement *m;
	struct dataset *d;

	(void)state;
	fixture_add_failed(root,
			   &(struct fixture_cell){"pair", "jemalloc", 64, 1, 0, 9, NULL},
			   "killed by signal 11");
	fixture_add(root, &(struct fixture_cell){"pair", "glibc", 64, 1, 0, 9, NULL});
	fixture_add_failed(
		root, &(struct fixture_cell){"wset", "glibc", 0, 1, 0, 9, NULL}, "no");
	d = load(root, "one.json");
	assert_int_equal(d->nr_cells, 2);
	m = dataset_at(d, 0, series_named(d, "jemalloc"));
	assert_int_equal(m->nr_blocks, 0);
	assert_int_equal(m->nr_failed, 1);
	assert_string_equal(m->reason, "killed by signal 11");
	assert_int_equal(dataset_baseline(d, 0), (int)series_named(d, "glibc"));
	assert_int_equal(dataset_baseline(d, 1), -1);
	dataset_free(d);
}

static void test_two_files_of_the_same_cell(void **state)
{
	json_t *before = fixture_results(), *after = fixture_results();
	char *paths[2];
	struct dataset *d;
	struct summary s;
	size_t slab;

	(void)state;
	add_blocks(before, "glibc", (const double[]){10, 0});
	add_blocks(before, "slab", (const double[]){5, 0});
	add_blocks(after, "glibc", (const double[]){20, 0});
	add_blocks(after, "slab", (const double[]){6, 0});
	paths[0] = fixture_save(before, folder, "before.json");
	paths[1] = fixture_save(after, folder, "after.json");
	d = dataset_load((const char *const *)paths, 2);
	assert_non_null(d);
	assert_true(d->overlap);
	assert_int_equal(d->nr_series, 4);
	slab = series_named(d, "slab (after)");
	/* Each file's series is divided by its own file's baseline. */
	assert_true(dataset_ratio(dataset_at(d, 0, slab),
				  dataset_baseline_at(d, 0, dataset_baseline(d, 0), slab),
				  "real_time", &s));
	assert_float_equal(s.middle, 0.3, 1e-9);
	dataset_free(d);
	/* The same file twice under different names is an overlap; one file is not. */
	d = dataset_load((const char *const *)paths, 1);
	assert_false(d->overlap);
	assert_string_equal(d->series[0].name, "slab");
	dataset_free(d);
	free(paths[0]);
	free(paths[1]);
}

/* Two runs of one allocator each: comparable at all, but not as close in time. */
static void test_separate_runs_are_told(void **state)
{
	json_t *one = fixture_results(), *other = fixture_results();
	char *paths[2], caption[512];
	struct dataset *d;

	(void)state;
	add_blocks(one, "glibc", (const double[]){10, 0});
	add_blocks(other, "slab", (const double[]){5, 0});
	paths[0] = fixture_save(one, folder, "glibc.json");
	paths[1] = fixture_save(other, folder, "slab.json");
	d = dataset_load((const char *const *)paths, 2);
	assert_false(d->overlap);
	assert_true(d->separate_runs);
	dataset_caption(d, caption, sizeof(caption));
	assert_non_null(strstr(caption, "separate runs"));
	dataset_free(d);
	d = dataset_load((const char *const *)paths, 1);
	assert_false(d->separate_runs);
	dataset_free(d);
	free(paths[0]);
	free(paths[1]);
}

static void test_summarise(void **state)
{
	double ten[] = {10, 1, 9, 2, 8, 3, 7, 4, 6, 5}, six[] = {6, 5, 4, 3, 2, 1};
	double five[] = {5, 1, 2, 3, 4}, one[] = {7};
	struct summary s;

	(void)state;
	/* Order statistics of the sign test: the 2nd and 9th of ten (97.9 %). */
	summarise(ten, 10, &s);
	assert_true(s.interval && s.middle == 5.5 && s.low == 2 && s.high == 9);
	summarise(six, 6, &s);
	assert_true(s.interval && s.low == 1 && s.high == 6);
	summarise(five, 5, &s);
	assert_true(!s.interval && s.middle == 3 && s.low == 1 && s.high == 5);
	summarise(one, 1, &s);
	assert_true(!s.interval && s.middle == 7 && s.low == 7 && s.high == 7);
}

static void test_ratio_pairs_blocks(void **state)
{
	json_t *root = fixture_results();
	struct geomean g;
	struct dataset *d;
	struct summary s;
	size_t slab, glibc;

	(void)state;
	/* Drift by a factor of ten between blocks cancels within them. */
	add_blocks(root, "glibc", (const double[]){10, 100, 10, 100, 10, 100, 50, 0});
	add_blocks(root, "slab", (const double[]){5, 50, 5, 50, 5, 50, 0});
	d = load(root, "one.json");
	slab = series_named(d, "slab");
	glibc = series_named(d, "glibc");
	assert_true(dataset_ratio(dataset_at(d, 0, slab), dataset_at(d, 0, glibc),
				  "real_time", &s));
	assert_int_equal(s.blocks, 6);
	assert_true(s.interval);
	assert_float_equal(s.middle, 0.5, 1e-9);
	assert_float_equal(s.low, 0.5, 1e-9);
	assert_float_equal(s.high, 0.5, 1e-9);
	assert_false(dataset_ratio(dataset_at(d, 0, slab), dataset_at(d, 0, glibc),
				   "absent", &s));
	assert_false(dataset_ratio(dataset_at(d, 0, slab), NULL, "real_time", &s));
	assert_true(dataset_geomean(d, slab, (int)glibc, &g));
	assert_float_equal(g.ratio.middle, 0.5, 1e-9);
	assert_int_equal(g.rows, 1);
	dataset_free(d);
}

static void test_geometric_mean_counts_rows(void **state)
{
	json_t *root = fixture_results();
	struct geomean g;
	struct dataset *d;

	(void)state;
	for (int size = 64; size <= 256; size *= 2) {
		fixture_add(root, &(struct fixture_cell){"pair", "glibc", size, 1, 0, 10,
							 NULL});
		if (size < 256)
			fixture_add(root,
				    &(struct fixture_cell){"pair", "slab", size, 1, 0,
							   size == 64 ? 2.5 : 10, NULL});
	}
	d = load(root, "one.json");
	assert_true(dataset_geomean(d, series_named(d, "slab"),
				    (int)series_named(d, "glibc"), &g));
	assert_float_equal(g.ratio.middle, 0.5, 1e-9); /* sqrt(0.25 * 1) */
	assert_int_equal(g.rows, 2);
	assert_int_equal(g.rows_possible, 3);
	dataset_free(d);
}

/* Looks do not depend on who else is there, as far as the table goes. */
static void test_looks_are_fixed(void **state)
{
	json_t *few = fixture_results(), *many = fixture_results();
	struct dataset *d, *e;
	const char *const names[] = {"kmem",	      "slab",	  "jemalloc",
				     "mimalloc",      "tcmalloc", "null",
				     "slab:limit=30", "glibc",	  "other"};

	(void)state;
	add_blocks(few, "glibc", (const double[]){1, 0});
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(names); i++)
		add_blocks(many, names[i], (const double[]){1, 0});
	d = load(few, "few.json");
	e = load(many, "many.json");
	assert_memory_equal(&d->series[0].style.colour,
			    &e->series[series_named(e, "glibc")].style.colour,
			    sizeof(uint32_t));
	for (size_t i = 0; i < e->nr_series; i++) {
		for (size_t j = 0; j < i; j++) {
			const struct plot_style *x = &e->series[i].style,
						*y = &e->series[j].style;

			assert_false(x->colour == y->colour &&
				     x->point_type == y->point_type);
		}
	}
	dataset_free(d);
	dataset_free(e);
}

/* The curve's bucket middles are those of the histogram that was written. */
static void test_latency_buckets(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < HISTOGRAM_BUCKETS; i += i < 200 ? 1 : 37) {
		json_t *root = fixture_results();
		json_t *entry = fixture_add(
			root, &(struct fixture_cell){"pair", "glibc", 64, 1, 0, 1, NULL});
		json_t *latency = json_object_get(json_object_get(entry, "kmembench"),
						  "latency");
		double low = (double)histogram_bucket_low(i),
		       high = (double)histogram_bucket_high(i);
		struct measurement m = {.nr_blocks = 1};
		struct result_entry parsed;
		struct latency_curve curve;

		json_object_set_new(latency, "alloc", fixture_histogram((int)i, 5, 1.0));
		assert_int_equal(result_entry_parse(entry, &parsed), 0);
		m.blocks = &parsed;
		assert_true(latency_curve(&m, "alloc", &curve));
		assert_int_equal(curve.count, 5);
		/* The last bucket also holds all that is larger. */
		if (i + 1 < HISTOGRAM_BUCKETS)
			assert_float_equal(curve.buckets[0].ns, (low + high) / 2,
					   1e-6 * high + 1e-9);
		latency_curve_free(&curve);
		json_decref(root);
	}
}

/* Merged over blocks whose clocks differ; a percentile is of the whole, not a mean. */
static void test_latency_is_merged(void **state)
{
	json_t *root = fixture_results(), *entry, *latency;
	struct latency_curve curve;
	struct dataset *d;

	(void)state;
	add_blocks(root, "glibc", (const double[]){1, 1, 0});
	entry = json_array_get(json_object_get(root, "benchmarks"), 1);
	latency = json_object_get(json_object_get(entry, "kmembench"), "latency");
	json_object_set_new(latency, "alloc",
			    fixture_histogram(20, 3000, 2 * FIXTURE_TICK_NS));
	d = load(root, "one.json");
	assert_true(latency_curve(dataset_at(d, 0, 0), "alloc", &curve));
	assert_int_equal(curve.count, 4000);
	assert_float_equal(latency_curve_quantile(&curve, 0.25), 5, 1e-9);
	assert_float_equal(latency_curve_quantile(&curve, 0.26), 20, 1e-9);
	assert_float_equal(latency_curve_quantile(&curve, 1), 20, 1e-9);
	latency_curve_free(&curve);
	assert_false(latency_curve(dataset_at(d, 0, 0), "realloc", &curve));
	dataset_free(d);
}

/* What lies below the clock's step is told as such, not as nanoseconds. */
static void test_clock_granularity(void **state)
{
	json_t *root = fixture_results();
	json_t *entry = fixture_add(
		root, &(struct fixture_cell){"pair", "glibc", 64, 1, 0, 1, NULL});
	json_t *latency = json_object_get(json_object_get(entry, "kmembench"), "latency");
	struct latency_curve curve;
	struct dataset *d;

	(void)state;
	json_object_set_new(latency, "clock_granularity_ns", json_real(10));
	d = load(root, "one.json");
	assert_true(latency_curve(dataset_at(d, 0, 0), "alloc", &curve));
	assert_float_equal(curve.granularity_ns, 10, 0);
	latency_curve_free(&curve);
	dataset_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_failed_cell_finds_its_row),
		cmocka_unit_test(test_two_files_of_the_same_cell),
		cmocka_unit_test(test_separate_runs_are_told),
		cmocka_unit_test(test_summarise),
		cmocka_unit_test(test_ratio_pairs_blocks),
		cmocka_unit_test(test_geometric_mean_counts_rows),
		cmocka_unit_test(test_looks_are_fixed),
		cmocka_unit_test(test_latency_buckets),
		cmocka_unit_test(test_latency_is_merged),
		cmocka_unit_test(test_clock_granularity),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
