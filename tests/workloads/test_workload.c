/* SPDX-License-Identifier: MIT */
/* The registry of workloads and what workload_validate() refuses. */
#include "tests/workloads/model.h"

#include <errno.h>

static void all_are_listed_by_name(void **state)
{
	static const char *const names[] = {
		"age",	       "aligned",     "batch",	       "calloc",    "churn-exit",
		"class-worst", "empirical",   "false-sharing", "ff-worst",  "kmap",
		"large",       "larson",      "msgpass",       "open-loop", "page-bulk",
		"page-repeat", "pair",	      "phased",	       "realloc",   "replay",
		"sawtooth",    "server-life", "slack-half",    "startup",   "swap",
		"threadtest",  "vm-align",    "vm-busy",       "vm-fix",    "vm-random",
		"wset",	       "xmalloc"};

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(names); i++) {
		const struct workload_ops *ops = workload_find(names[i]);

		if (ops == NULL)
			fail_msg("%s", kmem_last_error());
		assert_string_equal(ops->name, names[i]);
		/* Sentences are printed as they are. */
		assert_true(ops->description[strlen(ops->description) - 1] != '.');
		assert_true(ops->stresses[strlen(ops->stresses) - 1] != '.');
		assert_true(ops->not_for[strlen(ops->not_for) - 1] != '.');
	}
	for (size_t i = 0; workload_at(i) != NULL; i++) {
		assert_string_not_equal(workload_at(i)->name, "skeleton");
		if (i > 0)
			assert_true(strcmp(workload_at(i - 1)->name,
					   workload_at(i)->name) < 0);
	}
	assert_null(workload_at(SIZE_MAX));
}

static void unknown_names_are_guessed(void **state)
{
	(void)state;
	assert_null(workload_find("larsen"));
	assert_string_equal(kmem_last_error(),
			    "unknown workload 'larsen': did you mean 'larson'?");
	assert_null(workload_find("quite-something-else"));
	assert_contains(kmem_last_error(), "unknown workload 'quite-something-else'");
	assert_contains(kmem_last_error(), "kmembench list workloads");
}

static void step(struct worker *w)
{
	(void)w;
}

static uint64_t size_max(const struct workload_run *run)
{
	(void)run;
	return 1;
}

static void course_read(const struct workload_run *run, double *values)
{
	(void)run;
	values[0] = 0;
}

static void columns_are_counted(void **state)
{
	(void)state;
	assert_int_equal(workload_course_columns(workload_find("pair")), 0);
	assert_int_equal(workload_course_columns(workload_find("page-frag")), 5);
	assert_int_equal(workload_course_columns(workload_find("reclaim")), 7);
	assert_true(workload_find("reclaim")->course_read != NULL);
}

static void incomplete_tables_are_refused(void **state)
{
	static const struct kmem_option_group groups[] = {{NULL, 0}};
	const struct workload_ops whole = {
		.abi_version = WORKLOAD_OPS_VERSION,
		.name = "test-only",
		.description = "d",
		.stresses = "s",
		.not_for = "n",
		.source = "s",
		.op = "o",
		.caps = CAP_OBJECT,
		.size_max = size_max,
		.default_threads = "1",
		.default_touch = TOUCH_NONE,
		.step = step,
		.step_probed = step,
	};
	static struct workload_ops kept;
	struct workload_ops bad;

	(void)state;
#define LACKS(field, value, text)                                   \
	do {                                                        \
		bad = whole;                                        \
		bad.field = value;                                  \
		assert_int_equal(workload_register(&bad), -EINVAL); \
		assert_contains(kmem_last_error(), text);           \
	} while (0)
	LACKS(name, NULL, "a workload without a name");
	LACKS(name, "", "a workload without a name");
	LACKS(abi_version, 99, "'test-only' has version 99 of the hooks");
	LACKS(description, NULL, "'test-only' lacks 'description'");
	LACKS(stresses, NULL, "lacks 'stresses'");
	LACKS(not_for, NULL, "lacks 'not_for'");
	LACKS(source, NULL, "lacks 'source'");
	LACKS(op, NULL, "lacks 'op'");
	LACKS(caps, 0, "lacks 'caps'");
	LACKS(default_threads, NULL, "lacks 'default_threads'");
	LACKS(default_touch, TOUCH_DEFAULT, "lacks 'default_touch'");
	LACKS(params, groups, "lacks 'params_size'");
	LACKS(size_max, NULL, "lacks 'size_max'");
	LACKS(step, NULL, "lacks 'step'");
	LACKS(step_probed, NULL, "lacks 'step_probed'");
	/* Columns and what fills them come together. */
	LACKS(course[0], "free_pages", "lacks 'course_read'");
	LACKS(course_read, course_read, "lacks 'course_read'");
	LACKS(name, "pair", "workload 'pair' is registered twice");
	kept = whole;
	assert_int_equal(workload_register(&kept), 0);
	assert_ptr_equal(workload_find("test-only"), &kept);
}

static void refused(const char *workload, const char *params, uint64_t size,
		    unsigned int threads, uint64_t caps, bool check, const char *text)
{
	struct driver d;

	driver_init(&d, workload, params, size, threads);
	d.model->ops.caps = caps;
	d.run.check = check;
	assert_int_equal(workload_validate(&d.run, &d.model->ops), -EINVAL);
	assert_contains(kmem_last_error(), text);
	model_delete(d.model);
}

static void impossible_cells_are_refused(void **state)
{
	const uint64_t all = ~(uint64_t)0;

	(void)state;
	refused("page-bulk", NULL, 4096, 1, all & ~(uint64_t)CAP_PAGE, false,
		"workload 'page-bulk' needs capability 'page', which allocator 'model' lacks");
	refused("vm-fix", NULL, 4096, 1, all & ~(uint64_t)CAP_VRANGE, false,
		"capability 'vrange'");
	refused("pair", NULL, 8, 1, CAP_PAGE, false, "capability 'object'");
	refused("wset", NULL, 0, 1, CAP_OBJECT, false, "capability 'mixed-size'");
	refused("larson", NULL, 0, 1, CAP_OBJECT | CAP_MIXED_SIZE, false,
		"capability 'remote-free'");
	refused("pair", NULL, 8, 1, CAP_OBJECT, true,
		"checking of contents needs capability 'distinct', which allocator 'model' lacks");
	refused("pair", NULL, 8, 0, all, false, "cannot run on 0 threads");
	refused("pair", NULL, 0, 1, all, false, "needs a size, such as 64");
	refused("pair", NULL, (uint64_t)2 << 30, 1, all, false,
		"takes no size above 1073741824");
	refused("wset", NULL, 64, 1, all, false, "draws its own sizes");
	refused("xmalloc", NULL, 64, 3, all, false,
		"cannot run on 3 threads: give an even number");
	refused("xmalloc", "queue_batches=6", 64, 2, all, false, "give a power of two");
	refused("wset", "size_min_bytes=9,size_max_bytes=8", 0, 1, all, false,
		"swap them");
	refused("larson", "size_min_bytes=1001", 0, 1, all, false, "swap them");
}

static void the_allocators_bound_is_kept(void **state)
{
	struct driver d;

	(void)state;
	driver_init(&d, "wset", NULL, 0, 1);
	d.model->ops.size_max_bytes = 32767;
	assert_int_equal(workload_validate(&d.run, &d.model->ops), -EINVAL);
	assert_string_equal(
		kmem_last_error(),
		"workload 'wset' asks for 32768 bytes at once, and allocator 'model' "
		"serves 32767 at most");
	d.model->ops.size_max_bytes = 32768;
	assert_int_equal(workload_validate(&d.run, &d.model->ops), 0);
	model_delete(d.model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_are_listed_by_name),
		cmocka_unit_test(unknown_names_are_guessed),
		cmocka_unit_test(incomplete_tables_are_refused),
		cmocka_unit_test(columns_are_counted),
		cmocka_unit_test(impossible_cells_are_refused),
		cmocka_unit_test(the_allocators_bound_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
