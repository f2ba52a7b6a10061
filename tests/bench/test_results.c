/* SPDX-License-Identifier: MIT */
/* Results files: what is damaged is named, what is written is whole. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <dirent.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "bench/results.h"
#include <kmem/error.h>

static char folder[] = "/tmp/test_results.XXXXXX";
static char file[sizeof(folder) + 32];

static int make_folder(void **state)
{
	(void)state;
	if (mkdtemp(folder) == NULL)
		return -1;
	snprintf(file, sizeof(file), "%s/r.json", folder);
	return 0;
}

static int files_in_folder(void)
{
	DIR *dir = opendir(folder);
	const struct dirent *d;
	int count = 0;

	assert_non_null(dir);
	while ((d = readdir(dir)) != NULL)
		count += d->d_name[0] != '.';
	closedir(dir);
	return count;
}

static int remove_files(void **state)
{
	(void)state;
	unlink(file);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	return rmdir(folder);
}

static json_t *make_entry(void)
{
	return json_pack("{s:s, s:s, s:i, s:f, s:f, s:i, s:{s:s, s:s, s:s, s:s, s:i, "
			 "s:{s:s, s:i, s:b, s:f}, s:{s:i}}}",
			 "name", "pair/slab/size:64/threads:2", "run_type", "iteration",
			 "repetition_index", 3, "real_time", 12.5, "items_per_second",
			 1.6e8, "rss_bytes_peak", 4096, "kmembench", "status", "ok",
			 "allocator", "slab:percpu=off", "allocator_name", "slab",
			 "workload", "pair", "threads", 2, "params", "touch", "none",
			 "size", 64, "check", 0, "rate", 0.1, "counters", "cycles", 77);
}

static json_t *make_root(void)
{
	return json_pack("{s:{s:s, s:{s:i}}, s:[o]}", "context", "date", "2026",
			 "kmembench", "schema_version", 1, "benchmarks", make_entry());
}

static void write_text(const char *text, size_t length)
{
	FILE *out = fopen(file, "w");

	assert_non_null(out);
	assert_int_equal(fwrite(text, 1, length, out), length);
	assert_int_equal(fclose(out), 0);
}

/* Loading the text fails, and the message names the file and every one of the words. */
static void expect_refusal(const char *text, const char *a, const char *b)
{
	write_text(text, strlen(text));
	assert_null(results_load(file));
	assert_non_null(strstr(kmem_last_error(), "r.json"));
	assert_non_null(strstr(kmem_last_error(), a));
	assert_non_null(strstr(kmem_last_error(), b));
}

static void damaged_files_are_named_with_the_place(void **state)
{
	(void)state;
	expect_refusal("", "empty", "");
	expect_refusal("{\n\"context\": {,}\n}", "line 2, column 13", "byte 15");
	expect_refusal("{\"context\": {\"kmembench\": ", "ends early", "byte 26");
	expect_refusal("{\"a\": 1, \"a\": 2}", "damaged", "duplicate");
	expect_refusal("{} x", "damaged", "line 1");
	expect_refusal("{\"a\": 1e999}", "damaged", "line 1");
	write_text("{\"a\": \"\xff\xfe\"}", 11);
	assert_null(results_load(file));
	assert_non_null(strstr(kmem_last_error(), "damaged"));
	assert_null(results_load("/nonexistent/r.json"));
	assert_non_null(strstr(kmem_last_error(), "'/nonexistent/r.json'"));
	assert_null(results_load(folder));
	assert_non_null(strstr(kmem_last_error(), folder));
}

static void foreign_json_is_refused_by_name(void **state)
{
	(void)state;
	expect_refusal("{\"benchmarks\": []}", "not a kmembench results file", "context");
	expect_refusal("[1, 2]", "not a kmembench results file", "");
	expect_refusal("{\"context\": {\"kmembench\": {}}}",
		       "not a kmembench results file", "schema version");
	expect_refusal("{\"context\": {\"kmembench\": {\"schema_version\": 2}}}",
		       "schema version 2", "version 1");
	expect_refusal("{\"context\": {\"kmembench\": {\"schema_version\": 1}}}",
		       "benchmarks", "");
}

/* Every prefix of a good file is refused: no crash, no half of it taken for the whole. */
static void every_truncation_is_refused(void **state)
{
	json_t *root = make_root();
	char *text = json_dumps(root, 0);
	size_t length = strlen(text);

	(void)state;
	for (size_t n = 0; n < length; n++) {
		write_text(text, n);
		assert_null(results_load(file));
	}
	free(text);
	json_decref(root);
}

static void missing_fields_are_named(void **state)
{
	static const char *const ours[] = {"allocator", "allocator_name", "workload",
					   "status",	"params",	  "threads"};
	static const char *const top[] = {"name", "repetition_index", "real_time",
					  "kmembench"};
	struct result_entry e;

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(ours); i++) {
		json_t *entry = make_entry();

		json_object_del(json_object_get(entry, "kmembench"), ours[i]);
		assert_int_equal(result_entry_parse(entry, &e), -EINVAL);
		assert_non_null(strstr(kmem_last_error(), ours[i]));
		json_decref(entry);
	}
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(top); i++) {
		json_t *root = make_root();

		json_object_del(json_array_get(json_object_get(root, "benchmarks"), 0),
				top[i]);
		assert_int_equal(results_save(file, root), 0);
		assert_null(results_load(file));
		assert_non_null(strstr(kmem_last_error(), top[i]));
		assert_non_null(strstr(kmem_last_error(), "entry 0"));
		json_decref(root);
	}
}

static void entries_are_read(void **state)
{
	json_t *entry = make_entry(), *ours = json_object_get(entry, "kmembench");
	struct result_entry e;
	double value;
	char *key;

	(void)state;
	assert_int_equal(result_entry_parse(entry, &e), 0);
	assert_string_equal(e.allocator, "slab:percpu=off");
	assert_string_equal(e.allocator_name, "slab");
	assert_int_equal(e.threads, 2);
	assert_int_equal(e.block, 3);
	assert_int_equal(e.size_bytes, 64);
	assert_true(e.real_time_ns == 12.5);
	assert_true(result_metric(&e, "items_per_second", &value) && value == 1.6e8);
	assert_true(result_metric(&e, "rss_bytes_peak", &value) && value == 4096);
	assert_true(result_metric(&e, "cycles", &value) && value == 77);
	assert_false(result_metric(&e, "name", &value));
	assert_false(result_metric(&e, "no_such", &value));
	key = result_comparison_key(&e);
	assert_string_equal(key,
			    "pair/size:64/check:false/rate:0.1/touch:none/threads:2");
	free(key);
	json_object_set_new(ours, "status", json_string("failed"));
	json_object_set_new(entry, "error_message", json_string("ended by signal 11"));
	assert_int_equal(result_entry_parse(entry, &e), 0);
	assert_false(result_entry_ok(&e));
	assert_false(result_metric(&e, "real_time", &value));
	assert_string_equal(result_entry_reason(&e), "ended by signal 11");
	json_decref(entry);
}

static void saved_files_load_again(void **state)
{
	json_t *root = make_root(), *again;
	struct stat st;
	char text[4096], *line;
	FILE *in;
	size_t n;

	(void)state;
	umask(022);
	assert_int_equal(results_save(file, root), 0);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0644);
	again = results_load(file);
	assert_non_null(again);
	assert_true(json_equal(root, again));
	/* Once more over itself, with the permissions it has. */
	assert_int_equal(chmod(file, 0600), 0);
	assert_int_equal(results_save(file, again), 0);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(files_in_folder(), 1);
	/* One entry a line, and short numbers as people write them. */
	in = fopen(file, "r");
	n = fread(text, 1, sizeof(text) - 1, in);
	fclose(in);
	text[n] = '\0';
	line = strstr(text, "\n{\"name\"");
	assert_non_null(line);
	assert_non_null(strstr(line, "\"rate\": 0.1}"));
	assert_non_null(strstr(line, "}\n]\n}\n"));
	json_decref(again);
	json_decref(root);
}

/* The disk is full in the middle: the old file stays, and nothing else does. */
static void failed_writes_leave_the_old_file(void **state)
{
	json_t *root = make_root(), *big = make_root(), *again;
	json_t *entries = json_object_get(big, "benchmarks");
	struct rlimit saved, limit;

	(void)state;
	for (int i = 0; i < 100; i++)
		json_array_append_new(entries, make_entry());
	assert_int_equal(results_save(file, root), 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &saved), 0);
	limit = saved;
	limit.rlim_cur = 8192;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(results_save(file, big), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &saved), 0);
	assert_non_null(strstr(kmem_last_error(), "r.json"));
	again = results_load(file);
	assert_true(json_equal(again, root));
	assert_int_equal(files_in_folder(), 1);
	assert_int_equal(results_save("/dev/full", root), -ENOSPC);
	json_decref(again);
	json_decref(root);
	json_decref(big);
}

static void links_are_followed(void **state)
{
	char link[sizeof(folder) + 32], target[PATH_MAX];
	json_t *root = make_root();

	(void)state;
	snprintf(link, sizeof(link), "%s/link", folder);
	assert_int_equal(results_save(file, root), 0);
	assert_int_equal(symlink("r.json", link), 0);
	assert_int_equal(results_save(link, root), 0);
	assert_true(readlink(link, target, sizeof(target)) == 6);
	assert_int_equal(unlink(link), 0);
	json_decref(root);
}

static void unwritable_targets_are_told_before(void **state)
{
	char path[PATH_MAX];

	(void)state;
	assert_int_equal(results_check_writable(file), 0);
	assert_int_equal(files_in_folder(), 0);
	assert_int_equal(results_check_writable("/dev/null"), 0);
	assert_int_equal(results_check_writable(folder), -EISDIR);
	assert_int_equal(results_check_writable("/nonexistent/x/r.json"), -ENOENT);
	assert_non_null(strstr(kmem_last_error(), "'/nonexistent/x'"));
	assert_int_equal(results_check_writable(""), -ENOENT);
	assert_int_equal(results_check_writable("/proc/r.json") < 0, 1);
	memset(path, 'a', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(results_check_writable(path), -ENAMETOOLONG);
	if (geteuid() != 0) {
		assert_int_equal(chmod(folder, 0500), 0);
		assert_int_equal(results_check_writable(file), -EACCES);
		assert_int_equal(chmod(folder, 0700), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(damaged_files_are_named_with_the_place,
					  remove_files),
		cmocka_unit_test_teardown(foreign_json_is_refused_by_name, remove_files),
		cmocka_unit_test_teardown(every_truncation_is_refused, remove_files),
		cmocka_unit_test_teardown(missing_fields_are_named, remove_files),
		cmocka_unit_test_teardown(entries_are_read, remove_files),
		cmocka_unit_test_teardown(saved_files_load_again, remove_files),
		cmocka_unit_test_teardown(failed_writes_leave_the_old_file, remove_files),
		cmocka_unit_test_teardown(links_are_followed, remove_files),
		cmocka_unit_test_teardown(unwritable_targets_are_told_before,
					  remove_files),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
