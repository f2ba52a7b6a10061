/* SPDX-License-Identifier: MIT */
/* Which cells of several threads are set against which of one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "bench/blow_up.h"

static void add(json_t *list, const char *name, int threads, int block, double rss)
{
	json_array_append_new(list,
			      json_pack("{s:s, s:i, s:i, s:f, s:f}", "name", name,
					"threads", threads, "repetition_index", block,
					"rss_bytes_peak", rss, "space_ratio", 1.5));
}

static const json_t *ratio_of(json_t *list, size_t i)
{
	return json_object_get(json_array_get(list, i), "blow_up");
}

static void assert_ratio(json_t *list, size_t i, double ratio)
{
	assert_non_null(ratio_of(list, i));
	assert_true(json_real_value(ratio_of(list, i)) == ratio);
}

static void same_cell_and_block(void **state)
{
	json_t *list = json_array();

	(void)state;
	add(list, "wset/a/threads:2", 2, 0, 30);
	add(list, "wset/a/threads:1", 1, 0, 10);
	add(list, "wset/a/threads:1", 1, 1, 20);
	add(list, "wset/a/threads:16", 16, 1, 50);
	add(list, "wset/b/threads:2", 2, 0, 30);       /* nobody alone */
	add(list, "wset/a/threads:2/check", 2, 0, 30); /* checked: another cell */
	add(list, "wset/a/threads:2", 2, 2, 30);       /* no such block */
	add(list, "pair/a/size:64/slots:2/threads:4", 4, 0, 9);
	add(list, "pair/a/size:64/slots:2/threads:1", 1, 0, 6);
	blow_up_add(list);
	blow_up_add(list); /* again, as merge does */
	assert_ratio(list, 0, 3);
	assert_ratio(list, 3, 2.5);
	assert_ratio(list, 7, 1.5);
	for (size_t i = 0; i < json_array_size(list); i++) {
		if (i != 0 && i != 3 && i != 7)
			assert_null(ratio_of(list, i));
	}
	json_decref(list);
}

/* Without a memory pass R is another process's; what is stale goes. */
static void not_without_memory(void **state)
{
	json_t *list = json_array();

	(void)state;
	add(list, "wset/a/threads:1", 1, 0, 10);
	add(list, "wset/a/threads:2", 2, 0, 20);
	add(list, "wset/b/threads:1", 1, 0, 0);
	add(list, "wset/b/threads:2", 2, 0, 20);
	json_array_append_new(list, json_object());
	blow_up_add(list);
	assert_ratio(list, 1, 2);
	assert_null(ratio_of(list, 3));
	json_object_del(json_array_get(list, 0), "space_ratio");
	blow_up_add(list);
	assert_null(ratio_of(list, 1));
	json_decref(list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_cell_and_block),
		cmocka_unit_test(not_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
