/* SPDX-License-Identifier: MIT */
/* Lists of the command line: bench/lists.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <kmem/error.h>

#include "bench/lists.h"

static void test_split(void **state)
{
	struct string_list list;

	(void)state;
	assert_int_equal(list_split("a, b ,c", &list), 0);
	assert_int_equal(list.count, 3);
	assert_string_equal(list.item[0], "a");
	assert_string_equal(list.item[1], "b");
	assert_string_equal(list.item[2], "c");
	string_list_release(&list);
	assert_int_equal(list_split("a,,b", &list), -EINVAL);
	assert_non_null(strstr(kmem_last_error(), "empty item"));
	assert_int_equal(list_split("", &list), -EINVAL);
	assert_int_equal(list_split("a,", &list), -EINVAL);
}

static void test_specs_keep_their_options(void **state)
{
	struct string_list list;

	(void)state;
	assert_int_equal(
		list_split_specs("slab:percpu=off,colour=on,glibc,batch,order=lifo",
				 &list),
		0);
	assert_int_equal(list.count, 3);
	assert_string_equal(list.item[0], "slab:percpu=off,colour=on");
	assert_string_equal(list.item[1], "glibc");
	assert_string_equal(list.item[2], "batch:order=lifo");
	string_list_release(&list);
	/* Without an option behind it a colon makes another name of the same. */
	assert_int_equal(list_split_specs("slab,slab:", &list), 0);
	assert_int_equal(list.count, 2);
	assert_string_equal(list.item[1], "slab:");
	string_list_release(&list);
	/* A piece with its own colon is a new name even after options. */
	assert_int_equal(list_split_specs("slab:percpu=off,slab:percpu=on", &list), 0);
	assert_int_equal(list.count, 2);
	string_list_release(&list);
}

static void test_numbers(void **state)
{
	uint64_t *v;
	size_t n;

	(void)state;
	assert_int_equal(list_numbers("16,1K,2M", "size", &v, &n), 0);
	assert_int_equal(n, 3);
	assert_int_equal(v[1], 1024);
	assert_int_equal(v[2], 2 << 20);
	free(v);
	assert_int_equal(list_numbers("16..100", "size", &v, &n), 0);
	assert_int_equal(n, 4); /* 16 32 64 100 */
	assert_int_equal(v[2], 64);
	assert_int_equal(v[3], 100);
	free(v);
	/* Twice the last would not fit 64 bits. */
	assert_int_equal(list_numbers("4194304T..16777215T", "size", &v, &n), 0);
	assert_int_equal(n, 3);
	assert_true(v[1] == (uint64_t)1 << 63 && v[2] == 16777215ull << 40);
	free(v);
	assert_int_equal(list_numbers("4..4", "size", &v, &n), 0);
	assert_int_equal(n, 1);
	free(v);
}

static void test_numbers_refused(void **state)
{
	static const char *const bad[] = {"x",	 "0",	"-4",	"8..4",
					  "8..", "..8", "4,,8", ""};
	uint64_t *v;
	size_t n;

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(bad); i++) {
		assert_int_equal(list_numbers(bad[i], "thread count", &v, &n), -EINVAL);
		assert_null(v);
	}
	list_numbers("12x", "thread count", &v, &n);
	assert_non_null(strstr(kmem_last_error(), "'12x' is not a thread count"));
	assert_non_null(strstr(kmem_last_error(), "such as 2, or a range such as 1..8"));
	list_numbers("12x", "size", &v, &n);
	assert_non_null(strstr(kmem_last_error(), "such as 64 or 4K"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_specs_keep_their_options),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_numbers_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
