/* SPDX-License-Identifier: MIT */
/* Folders for results: bench/folder.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/folder.h"
#include <kmem/error.h>

static void test_make(void **state)
{
	/* Names of one letter, nested, with stray slashes; again when they are there. */
	static const char *const names[] = {"p", "p", "a/b/c", "a/b/c/", "d//e", "./f"};
	char dir[] = "/tmp/kmembench-folder-XXXXXX";
	char remove[64], old[4096];
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_non_null(getcwd(old, sizeof(old)));
	assert_int_equal(chdir(dir), 0);
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(names); i++) {
		assert_int_equal(folder_make(names[i]), 0);
		assert_int_equal(stat(names[i], &st), 0);
		assert_true(S_ISDIR(st.st_mode));
	}
	assert_int_equal(chdir(old), 0);
	snprintf(remove, sizeof(remove), "rm -rf %s", dir);
	assert_int_equal(system(remove), 0);
}

static void test_refusals(void **state)
{
	(void)state;
	assert_int_equal(folder_make(""), -EINVAL);
	assert_int_equal(folder_make("/proc/none/here"), -ENOENT);
	assert_non_null(strstr(kmem_last_error(), "'/proc/none'"));
	assert_int_equal(folder_make("/dev/null/x"), -ENOTDIR);
	assert_int_equal(folder_make("/proc/self/status"), -ENOTDIR);
	assert_non_null(strstr(kmem_last_error(), "is a file: name a folder"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_make),
		cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
