/* SPDX-License-Identifier: MIT */
/* The table behind the picture of whole programs. */
#include "plot_drawing.h"

static void add(json_t *root, const char *program, const char *allocator, int block,
		double cpu_ns, int peak_mib)
{
	json_t *entry = fixture_add(root, &(struct fixture_cell){"program", allocator, 0,
								 1, block, 1e9, NULL});
	json_t *params = json_object_get(json_object_get(entry, "kmembench"), "params");

	json_object_clear(params);
	json_object_set_new(params, "program", json_string(program));
	json_object_set_new(entry, "cpu_time", json_real(cpu_ns));
	json_object_set_new(entry, "rss_bytes_peak",
			    json_integer((json_int_t)peak_mib << 20));
}

/* Rounds drift by half; slab takes half of glibc's time for one program and twice its
 * time for the other, and a quarter more memory. */
static void both_panels_and_the_mean(void **state)
{
	json_t *root = fixture_results();
	struct dataset *d;
	struct drawn drawn;

	(void)state;
	for (int block = 0; block < 6; block++) {
		double drift = 1 + 0.1 * block;

		add(root, "one", "glibc", block, 4e8 * drift, 40);
		add(root, "one", "slab", block, 2e8 * drift, 50);
		add(root, "two", "glibc", block, 1e8 * drift, 80);
		add(root, "two", "slab", block, 2e8 * drift, 100);
	}
	d = load(root, "programs.json");
	drawn = draw_or_skip(d, "programs");
	assert_picture(&drawn, "programs-glibc");
	assert_row(&drawn, "programs-glibc", 1, "1\tgeometric mean\n2\tone\n3\ttwo\n");
	assert_row(&drawn, "programs-glibc", 2, "1\t1\t1\t1\t1\t1\n");
	assert_row(&drawn, "programs-glibc", 2, "1\t2\t1\t0.5\t0.5\t0.5\n");
	assert_row(&drawn, "programs-glibc", 2, "1\t3\t1\t2\t2\t2\n");
	assert_row(&drawn, "programs-glibc", 2, "2\t1\t1\t1.25\t1.25\t1.25\n");
	assert_row(&drawn, "programs-glibc", 2, "2\t3\t1\t1.25\t1.25\t1.25\n");
	/* What was never reported has no picture, and is no reason to speak of. */
	assert_null(strstr(drawn.log, "of 'program' with less than"));
	draw_end(&drawn, d);
}

/* A round that was cut short is no part of the mean. */
static void incomplete_rounds(void **state)
{
	json_t *root = fixture_results();
	struct dataset *d;
	struct drawn drawn;

	(void)state;
	for (int block = 0; block < 2; block++) {
		add(root, "one", "glibc", block, 4e8, 40);
		add(root, "one", "slab", block, block == 0 ? 1e8 : 4e8, 40);
	}
	add(root, "two", "glibc", 0, 4e8, 40);
	add(root, "two", "slab", 0, 1e8, 40);
	d = load(root, "incomplete.json");
	drawn = draw_or_skip(d, "incomplete");
	assert_picture(&drawn, "programs-glibc");
	assert_row(&drawn, "programs-glibc", 2, "1\t1\t1\t0.25\t0.25\t0.25\n");
	draw_end(&drawn, d);
}

static void others_have_none(void **state)
{
	json_t *root = fixture_results();
	struct dataset *d;
	struct drawn drawn;

	(void)state;
	fixture_add(root, &(struct fixture_cell){"pair", "glibc", 64, 1, 0, 10, NULL});
	d = load(root, "none.json");
	drawn = draw_or_skip(d, "none");
	assert_null(strstr(drawn.log, "programs"));
	draw_end(&drawn, d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_panels_and_the_mean),
		cmocka_unit_test(incomplete_rounds),
		cmocka_unit_test(others_have_none),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
