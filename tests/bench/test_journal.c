/* SPDX-License-Identifier: MIT */
/* The journal keeps finished cells through a crash: bench/journal.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
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
	json_t *entry = json_pack("{s:i}", "real_time", 12);

	assert_int_equal(journal_append(j, cell, block, entry), 0);
	json_decref(entry);
}

static void test_resume(void **state)
{
	struct journal j = {0};
	struct seen seen = {0};
	uint64_t seed = 0;

	(void)state;
	assert_int_equal(journal_create(&j, out, 0xabcdef0123456789u, 42), 0);
	append(&j, 3, 0);
	append(&j, 1, 2);
	journal_close(&j, true);
	assert_int_equal(journal_create(&j, out, 1, 1), -EEXIST);
	assert_non_null(strstr(kmem_last_error(), "--resume"));
	assert_int_equal(
		journal_resume(&j, out, 0xabcdef0123456789u, &seed, remember, &seen), 0);
	assert_int_equal(seed, 42);
	assert_int_equal(seen.count, 2);
	assert_int_equal(seen.cell[1], 1);
	assert_int_equal(seen.block[1], 2);
	append(&j, 4, 0);
	journal_close(&j, true);
	memset(&seen, 0, sizeof(seen));
	assert_int_equal(
		journal_resume(&j, out, 0xabcdef0123456789u, &seed, remember, &seen), 0);
	assert_int_equal(seen.count, 3);
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
	assert_int_equal(journal_create(&j, out, 7, 1), 0);
	append(&j, 0, 0);
	journal_close(&j, true);
	file = fopen(path, "a");
	fputs("{\"cell\": 1, \"block\": 0, \"entry\": {\"real", file);
	fclose(file);
	assert_int_equal(journal_resume(&j, out, 7, &seed, remember, &seen), 0);
	assert_int_equal(seen.count, 1);
	append(&j, 2, 0); /* takes the torn line's place */
	journal_close(&j, true);
	memset(&seen, 0, sizeof(seen));
	assert_int_equal(journal_resume(&j, out, 7, &seed, remember, &seen), 0);
	assert_int_equal(seen.count, 2);
	assert_int_equal(seen.cell[1], 2);
	journal_close(&j, false);
}

static void test_refusals(void **state)
{
	struct journal j = {0};
	struct seen seen = {0};
	uint64_t seed = 0;
	FILE *file;

	(void)state;
	assert_int_equal(journal_resume(&j, out, 7, &seed, remember, &seen), -ENOENT);
	assert_int_equal(journal_create(&j, out, 7, 1), 0);
	journal_close(&j, true);
	assert_int_equal(journal_resume(&j, out, 8, &seed, remember, &seen), -EINVAL);
	assert_non_null(strstr(kmem_last_error(), "another plan"));
	file = fopen(path, "w");
	fputs("hello\n", file);
	fclose(file);
	assert_int_equal(journal_resume(&j, out, 7, &seed, remember, &seen), -EINVAL);
	assert_non_null(strstr(kmem_last_error(), "not a journal"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_resume, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_torn_line_is_dropped, make_dir,
						remove_dir),
		cmocka_unit_test_setup_teardown(test_refusals, make_dir, remove_dir),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
