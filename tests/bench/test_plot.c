/* SPDX-License-Identifier: MIT */
/* What is drawn, what is left out and why, and the handling of gnuplot. */
#include "plot_drawing.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#include "bench/plot_internal.h"

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
		cmocka_unit_test(test_untouched_cells_have_no_memory_plot),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_draws),
		cmocka_unit_test(test_gnuplot_is_missing),
		cmocka_unit_test(test_gnuplot_fails),
		cmocka_unit_test(test_refuses_bad_input),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
