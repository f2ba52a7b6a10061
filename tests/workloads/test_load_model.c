/* SPDX-License-Identifier: MIT */
/* Models of a program's load: drawn from, read, written, fitted. */
#include "tests/workloads/load_model_test.h"

#include "workloads/harness/weighted_tree.h"

/* --- the tree --- */

static void tree_draws_by_weight(void **state)
{
	enum { N = 5, DRAWS = 200000 };
	static const double weight[N] = {1, 0, 5, 0, 2};
	unsigned int drawn[N] = {0};
	struct weighted_tree tree;
	struct rng rng = {7};

	(void)state;
	weighted_tree_init(&tree, N);
	for (size_t i = 0; i < N; i++) {
		weighted_tree_set(&tree, i, 100);
		weighted_tree_set(&tree, i, weight[i]);
	}
	assert_true(weighted_tree_total(&tree) == 8);
	for (int i = 0; i < DRAWS; i++)
		drawn[weighted_tree_pick(&tree, rng_double(&rng))]++;
	assert_int_equal(drawn[1] + drawn[3], 0);
	for (size_t i = 0; i < N; i += 2)
		assert_true(near(drawn[i], DRAWS * weight[i] / 8, 0.02));
	/* The last of the unit interval, where rounding would go astray. */
	weighted_tree_set(&tree, 4, 0);
	assert_int_equal(weighted_tree_pick(&tree, 1 - 0x1p-53), 2);
	weighted_tree_release(&tree);
}

static void sizes_keep_their_mean(void **state)
{
	static const struct load_sizes cases[] = {
		{10, 10, 10}, {10, 11, 10.25}, {100, 1000, 150}, {1, 65536, 60000}};
	struct rng rng = {9};

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(cases); i++) {
		double sum = 0;

		for (int k = 0; k < 100000; k++) {
			uint64_t size = load_sizes_draw(&cases[i], &rng);

			assert_true(size >= cases[i].low && size <= cases[i].high);
			sum += (double)size;
		}
		assert_true(near(sum / 100000, cases[i].mean, 0.01));
	}
}

/* --- files --- */

static void models_are_read_and_written(void **state)
{
	struct load_model *m, *again;

	(void)state;
	assert_int_equal(load_model_parse("x", sample, strlen(sample), &m), 0);
	assert_string_equal(m->source, "by hand");
	assert_int_equal(m->cells, 3);
	assert_int_equal(m->kepts, 1);
	assert_true(near(m->cell[0].weight, 0.6, 1e-12));
	assert_true(near(load_model_live_blocks(m), 12 + 120 + 100 + 100, 1e-12));
	assert_true(near(load_model_live_bytes(m),
			 12 * 24 + 120 * 100 + 100 * 4000 + 100 * 64, 1e-12));
	assert_int_equal(load_model_size_max(m), 5000);
	assert_int_equal(load_model_write(path, m), 0);
	assert_int_equal(load_model_read(path, &again), 0);
	assert_int_equal(again->cells, m->cells);
	for (uint32_t i = 0; i < m->cells; i++) {
		assert_memory_equal(&again->cell[i].sizes, &m->cell[i].sizes,
				    sizeof(m->cell[i].sizes));
		assert_true(near(again->cell[i].weight, m->cell[i].weight, 1e-5));
		assert_true(again->cell[i].life == m->cell[i].life);
		assert_true(again->cell[i].handed == m->cell[i].handed);
	}
	assert_memory_equal(again->kept, m->kept, sizeof(m->kept));
	load_model_delete(again);
	load_model_delete(m);
	assert_int_equal(load_model_read("/nothing/there", &m), -ENOENT);
	assert_contains(kmem_last_error(), "'/nothing/there'");
	assert_int_equal(load_model_read(folder, &m), -EINVAL);
}

static void bad_models(void **state)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{"", "cut off"},
		{"hello\n", "line 1: it does not begin with 'kmembench-model 1'"},
		{"kmembench-model 1\n", "cut off: no 'end'"},
		{"kmembench-model 1\nend\n", "no cell has a weight"},
		{"kmembench-model 1\ncell 1 1 1 0 1 0\nend\n", "no cell has a weight"},
		{"kmembench-model 1\ncell 1 1 1 1 1\n", "line 2: 'cell' takes LOW"},
		{"kmembench-model 1\ncell 1 1 1 1 1 0 7\n", "line 2: 'cell' takes LOW"},
		{"kmembench-model 1\ncell 2 1 1 1 1 0\n", "LOW <= MEAN <= HIGH"},
		{"kmembench-model 1\ncell 1 3 4 1 1 0\n", "LOW <= MEAN <= HIGH"},
		{"kmembench-model 1\ncell 1 1 1 1 0 0\n", "LIFE must be above 0"},
		{"kmembench-model 1\ncell 1 1 1 1 1 1.5\n", "HANDED is a share"},
		{"kmembench-model 1\ncell 1 1 1 nan 1 0\n", "'cell' takes LOW"},
		{"kmembench-model 1\ncell 1 1 1 -1 1 0\n", "'cell' takes LOW"},
		{"kmembench-model 1\nkept 1 1 1\n", "'kept' takes LOW"},
		{"kmembench-model 1\nthreads 0.5\n", "one number is expected"},
		{"kmembench-model 1\n\nbell 1\n", "line 3: an item is source"},
		{"kmembench-model 1\ncell 1 1 1 1 1 0\nend\nrate 1\n", "line 4: nothing"},
	};
	struct load_model *m;

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(cases); i++) {
		assert_int_equal(
			load_model_parse("x", cases[i].text, strlen(cases[i].text), &m),
			-EINVAL);
		assert_contains(kmem_last_error(), cases[i].error);
		assert_contains(kmem_last_error(), "'x'");
		assert_null(m);
	}
}

static void the_built_in_one_is_sound(void **state)
{
	struct load_model *m;

	(void)state;
	assert_int_equal(load_model_read("", &m), 0);
	assert_true(m->cells > 20);
	assert_true(m->births > 100000);
	assert_true(m->threads > 1);
	assert_true(strlen(m->source) > 10);
	assert_true(load_model_live_bytes(m) > 10000);
	load_model_delete(m);
}

/* --- fitting --- */

static void a_fit_that_can_be_told(void **state)
{
	static const struct trace_event events[] = {
		{.op = TRACE_MALLOC, .id = 0, .size_bytes = 100},
		{.op = TRACE_MALLOC, .id = 1, .size_bytes = 24},
		{.op = TRACE_FREE, .id = 1}, /* no birth in between */
		{.op = TRACE_MALLOC, .id = 2, .size_bytes = 24},
		{.op = TRACE_AFTER, .thread = 1, .id = 0, .size_bytes = 1},
		{.op = TRACE_CALLOC, .thread = 1, .id = 3, .size_bytes = 7},
		{.op = TRACE_REALLOC, .id = 0, .size_bytes = 200}, /* three since */
		{.op = TRACE_FREE, .thread = 1, .id = 0},
		{.op = TRACE_FREE, .thread = 1, .id = 2}, /* two since */
	};
	struct load_model *m = fit_events(events, KMEM_ARRAY_SIZE(events), 100);
	double live = 0;

	(void)state;
	/* Five births, one of which stays; by two threads as 4 to 1. */
	assert_int_equal(m->births, 5);
	assert_true(near(m->threads, 1 / (0.64 + 0.04), 1e-9));
	assert_true(near(m->rate, 5000, 1e-9));
	assert_int_equal(m->kepts, 1);
	assert_int_equal(m->kept[0].sizes.low, 7);
	assert_int_equal(m->cells, 4);
	for (uint32_t i = 0; i < m->cells; i++) {
		const struct load_cell *c = &m->cell[i];
		bool remote = c->sizes.low == 200 || (c->sizes.low == 24 && c->life > 1);

		assert_true(near(c->weight, 0.25, 1e-9));
		assert_true(c->handed == (remote ? 1.0 : 0.0));
		live += c->weight * c->life;
	}
	/* By births of what dies, four fifths of all: (3 + 2) * 0.8 / 4, and the least
	 * life of the other two. */
	assert_true(near(live, 1 + 2 * 0.05 / 4, 1e-9));
	assert_contains(m->source, "hand, 9 events of 2 threads, by recorder");
	load_model_delete(m);
}

static void fits_that_fail(void **state)
{
	static const struct trace_event events[] = {
		{.op = TRACE_MALLOC, .id = 0, .size_bytes = 100}};
	struct load_model *m;
	struct trace trace;

	(void)state;
	assert_int_equal(trace_write(trace_path, events, 1, NULL), 0);
	assert_int_equal(trace_open(trace_path, &trace), 0);
	assert_int_equal(load_model_fit(&trace, 100, &m), -EINVAL);
	assert_contains(kmem_last_error(), "frees nothing");
	trace_close(&trace);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tree_draws_by_weight),
		cmocka_unit_test(sizes_keep_their_mean),
		cmocka_unit_test(models_are_read_and_written),
		cmocka_unit_test(bad_models),
		cmocka_unit_test(the_built_in_one_is_sound),
		cmocka_unit_test(a_fit_that_can_be_told),
		cmocka_unit_test(fits_that_fail),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
