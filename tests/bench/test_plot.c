/* SPDX-License-Identifier: MIT */
/* Layout of results, estimates, looks, tables and the handling of gnuplot. */
#include "plot_fixture.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <sys/stat.h>

#include <kmem/error.h>

#include "bench/plot.h"
#include "bench/plot_gnuplot.h"
#include "bench/plot_internal.h"
#include "bench/plot_latency.h"
#include "workloads/harness/histogram.h"

static char *folder;

static int group_setup(void **state)
{
	(void)state;
	setenv("KMEMBENCH_DATADIR", ".", 0);
	folder = fixture_folder();
	return 0;
}

static int group_teardown(void **state)
{
	(void)state;
	plot_remove_folder(folder);
	free(folder);
	return 0;
}

static struct dataset *load_one(json_t *root)
{
	char *path = fixture_save(root, folder, "one.json");
	struct dataset *d = dataset_load((const char *const[]){path}, 1);

	if (d == NULL)
		print_message("%s\n", kmem_last_error());
	free(path);
	return d;
}

static size_t series_named(const struct dataset *d, const char *name)
{
	for (size_t i = 0; i < d->nr_series; i++) {
		if (strcmp(d->series[i].name, name) == 0)
			return i;
	}
	fail_msg("no series '%s'", name);
	return 0;
}

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
	d = load_one(root);
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
	d = load_one(root);
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
	d = load_one(root);
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
	d = load_one(root);
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
	d = load_one(few);
	e = load_one(many);
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
	d = load_one(root);
	assert_true(latency_curve(dataset_at(d, 0, 0), "alloc", &curve));
	assert_int_equal(curve.count, 4000);
	assert_float_equal(latency_curve_quantile(&curve, 0.25), 5, 1e-9);
	assert_float_equal(latency_curve_quantile(&curve, 0.26), 20, 1e-9);
	assert_float_equal(latency_curve_quantile(&curve, 1), 20, 1e-9);
	latency_curve_free(&curve);
	assert_false(latency_curve(dataset_at(d, 0, 0), "realloc", &curve));
	dataset_free(d);
}

static size_t files_in(const char *path, const char *ending)
{
	DIR *dir = opendir(path);
	size_t n = 0;

	for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
		size_t length = strlen(e->d_name), tail = strlen(ending);

		n += e->d_name[0] != '.' && length >= tail &&
		     strcmp(e->d_name + length - tail, ending) == 0;
	}
	if (dir != NULL)
		closedir(dir);
	return n;
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
	d = load_one(root);
	assert_true(latency_curve(dataset_at(d, 0, 0), "alloc", &curve));
	assert_float_equal(curve.granularity_ns, 10, 0);
	latency_curve_free(&curve);
	dataset_free(d);
}

/* Resident bytes say nothing about blocks that nobody wrote to. */
static void test_untouched_cells_have_no_memory_plot(void **state)
{
	json_t *root = fixture_results();
	char *path, *dir, *text = NULL;
	size_t size;
	FILE *log = open_memstream(&text, &size);

	(void)state;
	for (int i = 0; i < 2; i++) {
		json_t *entry = fixture_add(
			root, &(struct fixture_cell){"pair", i ? "slab" : "glibc", 64, 1,
						     0, 1, NULL});
		json_t *ours = json_object_get(entry, "kmembench");

		json_object_set_new(json_object_get(ours, "params"), "touch",
				    json_string("none"));
		json_object_del(ours, "latency");
	}
	path = fixture_save(root, folder, "untouched.json");
	assert_true(asprintf(&dir, "%s/untouched", folder) > 0);
	if (gnuplot_find() == 0) {
		assert_int_equal(
			plot_results((const char *const[]){path}, 1, dir, PLOT_SVG, log),
			0);
		assert_int_equal(files_in(dir, ""), 2); /* the summary and the forest */
		fflush(log);
		assert_non_null(strstr(text, "not touched"));
		assert_non_null(
			strstr(text, "'pair  64 B, 1 thread': no latency histogram\n"));
	}
	fclose(log);
	free(text);
	free(dir);
	free(path);
}

static void test_names(void **state)
{
	static const struct {
		double bytes;
		const char *text;
	} sizes[] = {{0, "0 B"},
		     {64, "64 B"},
		     {1024, "1 KiB"},
		     {1536, "1.50 KiB"},
		     {25 * 1048576.0 / 2, "12.5 MiB"},
		     {133 * 1048576.0 + 1, "133 MiB"}};
	char buf[32], *slug = plot_slug("pair  64 B, slab:a_b=on / x.trace!");

	(void)state;
	assert_string_equal(slug, "pair-64-b-slab-a_b-on-x.trace");
	free(slug);
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(sizes); i++)
		assert_string_equal(format_bytes(sizes[i].bytes, buf, sizeof(buf)),
				    sizes[i].text);
}

static char *two_sizes_two_allocators(void)
{
	json_t *root = fixture_results();

	for (int block = 0; block < 2; block++) {
		for (int size = 64; size <= 128; size += 64) {
			fixture_add(root, &(struct fixture_cell){"pair", "glibc", size, 1,
								 block, 10, NULL});
			fixture_add(root,
				    &(struct fixture_cell){"pair", "slab:x_y=1", size, 1,
							   block, 6, NULL});
		}
	}
	return fixture_save(root, folder, "pairs.json");
}

static void test_draws(void **state)
{
	char *path = two_sizes_two_allocators(), *dir, *text = NULL, *data;
	size_t size;
	FILE *log = open_memstream(&text, &size);

	(void)state;
	if (gnuplot_find() != 0) {
		fclose(log);
		free(text);
		free(path);
		skip();
	}
	assert_true(asprintf(&dir, "%s/deep/er", folder) > 0);
	assert_true(asprintf(&data, "%s/data", dir) > 0);
	if (plot_results((const char *const[]){path}, 1, dir, PLOT_SVG | PLOT_KEEP_DATA,
			 log) != 0)
		fail_msg("%s", kmem_last_error());
	fclose(log);
	/* summary, forest, time-size, blocks, memory, two of latency */
	assert_int_equal(files_in(dir, ".svg"), 7);
	assert_int_equal(files_in(dir, ""),
			 8); /* and the folder of tables, nothing half done */
	assert_int_equal(files_in(data, ".tsv"), 7);
	assert_non_null(strstr(text, "summary-glibc.svg\n"));
	assert_non_null(
		strstr(text, "left out: throughput-threads: 'pair' was measured with one "
			     "value of threads only\n"));
	free(text);
	free(data);
	free(dir);
	free(path);
}

/* A gnuplot of our own that does what `script` says; returns the old PATH. */
static char *fake_gnuplot(const char *script)
{
	char *old = strdup(getenv("PATH")), *bin, *file, *path;
	FILE *out;

	assert_true(asprintf(&bin, "%s/bin", folder) > 0);
	assert_true(asprintf(&file, "%s/gnuplot", bin) > 0);
	mkdir(bin, 0700);
	out = fopen(file, "w");
	fprintf(out, "#!/bin/sh\n%s\n", script);
	fclose(out);
	chmod(file, 0700);
	assert_true(asprintf(&path, "%s:%s", bin, old) > 0);
	setenv("PATH", path, 1);
	free(bin);
	free(file);
	free(path);
	return old;
}

static void expect_failure(const char *name, const char *text)
{
	char *path = two_sizes_two_allocators(), *dir;

	assert_true(asprintf(&dir, "%s/%s", folder, name) > 0);
	assert_int_equal(
		plot_results((const char *const[]){path}, 1, dir, PLOT_PNG, NULL),
		-ENOTSUP);
	if (strstr(kmem_last_error(), text) == NULL)
		fail_msg("'%s' does not say '%s'", kmem_last_error(), text);
	assert_int_equal(files_in(dir, ""), 0);
	free(dir);
	free(path);
}

static void test_gnuplot_is_missing(void **state)
{
	char *old = strdup(getenv("PATH"));

	(void)state;
	setenv("PATH", "/nonexistent", 1);
	expect_failure("none", "gnuplot-nox");
	setenv("PATH", old, 1);
	free(old);
}

static void test_gnuplot_fails(void **state)
{
	char *old = fake_gnuplot(
		"echo half > \"$4\"; echo 'line 3: no such thing' >&2; exit 1");

	(void)state;
	expect_failure("failing", "line 3: no such thing");
	setenv("PATH", old, 1);
	free(old);
	old = fake_gnuplot("exit 0"); /* says it is done, writes nothing */
	expect_failure("silent", "left no whole picture and no message");
	setenv("PATH", old, 1);
	free(old);
	old = fake_gnuplot(
		"echo half > \"$4\"; exit 0"); /* a full disk looks like this */
	expect_failure("half", "left no whole picture");
	setenv("PATH", old, 1);
	free(old);
	old = fake_gnuplot("kill -SEGV $$");
	expect_failure("killed", "killed by signal 11");
	setenv("PATH", old, 1);
	free(old);
}

static void test_refuses_bad_input(void **state)
{
	char *path = fixture_save(fixture_results(), folder, "empty.json");

	(void)state;
	assert_int_equal(plot_results((const char *const[]){"/nonexistent.json"}, 1,
				      folder, PLOT_SVG, NULL),
			 -EINVAL);
	assert_non_null(strstr(kmem_last_error(), "/nonexistent.json"));
	assert_null(dataset_load((const char *const[]){path}, 1));
	assert_non_null(strstr(kmem_last_error(), "no measured cell"));
	free(path);
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
		cmocka_unit_test(test_untouched_cells_have_no_memory_plot),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_draws),
		cmocka_unit_test(test_gnuplot_is_missing),
		cmocka_unit_test(test_gnuplot_fails),
		cmocka_unit_test(test_refuses_bad_input),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
