/* SPDX-License-Identifier: MIT */
/* The journal keeps finished cells through a crash: bench/journal.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kmem/error.h>

#include "bench/journal.h"

static char dir[64], out[128], path[160];

static int make_dir(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/kmembench-journal-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(out, sizeof(out), "%s/r.json", dir);
	snprintf(path, sizeof(path), "%s.journal", out);
	return 0;
}

static int remove_dir(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(dir);
}

struct seen {
	size_t count;
	size_t cell[8];
	unsigned int block[8];
};

static int remember(size_t cell, unsigned int block, json_t *entry, void *arg)
{
	struct seen *seen = arg;

	assert_true(json_is_object(entry));
	seen->cell[seen->count] = cell;
	seen->block[seen->count++] = block;
	return 0;
}

static void append(struct journal *j, size_t cell, unsigned int block)
{
	json_t *cells = json_pack("[[I, {s:i}], [I, {s:i}]]", (json_int_t)cell,
				  "real_time", 12, (json_int_t)cell + 100, "real_time",
				  13);

	assert_int_equal(journal_append(j, block, cells), 0);
	json_decref(cells);
}

static const struct journal_identity ours = {0xabcdef0123456789u, "abc 0123"};
static const struct journal_identity another_plan = {8, "abc 0123"};
static const struct journal_identity another_build = {0xabcdef0123456789u, "abc 4567"};

static void test_resume(void **state)
{
	struct journal j = {0};
	struct seen seen = {0};
	uint64_t seed = 0;

	(void)state;
	assert_int_equal(journal_create(&j, out, &ours, 42), 0);
	append(&j, 3, 0);
	append(&j, 1, 2);
	journal_close(&j, true);
	assert_int_equal(journal_create(&j, out, &ours, 1), -EEXIST);
	assert_non_null(strstr(kmem_last_error(), "--resume"));
	assert_int_equal(journal_resume(&j, out, &ours, &seed, remember, &seen), 0);
	assert_int_equal(seed, 42);
	assert_int_equal(seen.count, 4);
	assert_int_equal(seen.cell[2], 1);
	assert_int_equal(seen.block[2], 2);
	assert_int_equal(seen.cell[3], 101);
	assert_int_equal(seen.block[3], 2);
	append(&j, 4, 0);
	journal_close(&j, true);
	memset(&seen, 0, sizeof(seen));
	assert_int_equal(journal_resume(&j, out, &ours, &seed, remember, &seen), 0);
	assert_int_equal(seen.count, 6);
	journal_close(&j, false);
	assert_int_not_equal(access(path, F_OK), 0);
}

static void test_torn_line_is_dropped(void **state)
{
	struct journal j = {0};
	struct seen seen = {0};
	uint64_t seed = 0;
	FILE *file;

	(void)state;
	assert_int_equal(journal_create(&j, out, &ours, 1), 0);
	append(&j, 0, 0);
	journal_close(&j, true);
	file = fopen(path, "a");
	fputs("{\"block\": 1, \"cells\": [[0, {\"real", file);
	fclose(file);
	assert_int_equal(journal_resume(&j, out, &ours, &seed, remember, &seen), 0);
	assert_int_equal(seen.count, 2);
	assert_int_equal(j.damaged_line, 3);
	append(&j, 2, 1); /* takes the torn line's place */
	journal_close(&j, true);
	memset(&seen, 0, sizeof(seen));
	assert_int_equal(journal_resume(&j, out, &ours, &seed, remember, &seen), 0);
	assert_int_equal(seen.count, 4);
	assert_int_equal(seen.cell[2], 2);
	journal_close(&j, false);
}

/* A block that finds no room leaves no half line, behind which nothing could be read. */
static void test_no_room(void **state)
{
	struct journal j = {0};
	struct seen seen = {0};
	struct rlimit old, small;
	json_t *cells = json_pack("[[i, {s:i}]]", 7, "a", 1);
	uint64_t seed = 0;
	struct stat st;

	(void)state;
	assert_int_equal(journal_create(&j, out, &ours, 1), 0);
	append(&j, 0, 0);
	assert_int_equal(stat(path, &st), 0);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = (struct rlimit){(rlim_t)st.st_size + 10, old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(journal_append(&j, 1, cells), -EIO);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	signal(SIGXFSZ, SIG_DFL);
	json_decref(cells);
	assert_int_equal(j.lost, 1);
	append(&j, 2, 1);
	journal_close(&j, true);
	assert_int_equal(journal_resume(&j, out, &ours, &seed, remember, &seen), 0);
	assert_int_equal(seen.count, 4);
	assert_int_equal(seen.cell[2], 2);
	assert_int_equal(j.damaged_line, 0);
	journal_close(&j, false);
}

/* What is asked before a program is recorded for a sweep. */
static void test_expected(void **state)
{
	struct journal j = {0};

	(void)state;
	assert_int_equal(journal_expect(out, false), 0);
	assert_int_equal(journal_expect(out, true), -ENOENT);
	assert_non_null(strstr(kmem_last_error(), "nothing was interrupted"));
	assert_int_equal(journal_create(&j, out, &ours, 1), 0);
	assert_int_equal(journal_expect(out, true), 0);
	assert_int_equal(journal_expect(out, false), -EBUSY);
	assert_non_null(strstr(kmem_last_error(), "another process"));
	journal_close(&j, true);
	assert_int_equal(journal_expect(out, true), 0);
	assert_int_equal(journal_expect(out, false), -EEXIST);
	assert_non_null(strstr(kmem_last_error(), "--resume"));
}

static void test_refusals(void **state)
{
	struct journal j = {0};
	struct seen seen = {0};
	uint64_t seed = 0;
	FILE *file;

	(void)state;
	assert_int_equal(journal_resume(&j, out, &ours, &seed, remember, &seen), -ENOENT);
	assert_int_equal(journal_create(&j, out, &ours, 1), 0);
	journal_close(&j, true);
	assert_int_equal(journal_resume(&j, out, &another_plan, &seed, remember, &seen),
			 -EINVAL);
	assert_non_null(strstr(kmem_last_error(), "another plan"));
	assert_int_equal(journal_resume(&j, out, &another_build, &seed, remember, &seen),
			 -EINVAL);
	assert_non_null(strstr(kmem_last_error(), "another build"));
	file = fopen(path, "w");
	fputs("hello\n", file);
	fclose(file);
	assert_int_equal(journal_resume(&j, out, &ours, &seed, remember, &seen), -EINVAL);
	assert_non_null(strstr(kmem_last_error(), "not a journal"));
}

/* A second run into the same file, while the first one writes. */
static void test_one_writer_at_a_time(void **state)
{
	struct journal j = {0}, other = {0};
	struct seen seen = {0};
	uint64_t seed = 0;

	(void)state;
	assert_int_equal(journal_create(&j, out, &ours, 1), 0);
	/* Not "interrupted": whoever removed it would spoil a run that goes on. */
	assert_int_equal(journal_create(&other, out, &ours, 1), -EBUSY);
	assert_non_null(strstr(kmem_last_error(), "another process is writing"));
	assert_int_equal(journal_resume(&other, out, &ours, &seed, remember, &seen),
			 -EBUSY);
	assert_non_null(strstr(kmem_last_error(), "another process"));
	journal_close(&j, true);
	assert_int_equal(journal_resume(&other, out, &ours, &seed, remember, &seen), 0);
	journal_close(&other, false);
}

static void test_build_names_the_program(void **state)
{
	char *a = journal_build("abc"), *b = journal_build("abc"),
	     *c = journal_build("d");

	(void)state;
	assert_string_equal(a, b);
	assert_int_equal(strncmp(a, "abc ", 4), 0);
	assert_string_not_equal(a, c);
	free(a);
	free(b);
	free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_resume, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_torn_line_is_dropped, make_dir,
						remove_dir),
		cmocka_unit_test_setup_teardown(test_no_room, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_expected, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_refusals, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_one_writer_at_a_time, make_dir,
						remove_dir),
		cmocka_unit_test(test_build_names_the_program),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
