/* SPDX-License-Identifier: MIT */
/* The tables behind numa-fallback and numa-pass, from results whose truth is known. */
#include "plot_drawing.h"

static json_t *add(json_t *root, const char *workload, const char *allocator, int block)
{
	json_t *entry = fixture_add(
		root,
		&(struct fixture_cell){workload, allocator, 4096, 1, block, 10, NULL});

	json_object_set_new(json_object_get(entry, "kmembench"), "numa",
			    json_pack("{s:b, s:i}", "simulated", 1, "nodes", 2));
	return entry;
}

/* A node of 100 blocks, filled by steps of 50. */
static json_t *step_of(int here, int there, double p50, double p99)
{
	return json_pack("{s:[i, i], s:{s:i, s:f, s:f}}", "served", here, there, "alloc",
			 "count", here + there, "p50", p50, "p99", p99);
}

static void set_fill(json_t *entry, int third_here, double p50)
{
	json_t *steps = json_array();

	json_array_append_new(steps, step_of(50, 0, 10, 100));
	json_array_append_new(steps, step_of(40, 10, 15, 300));
	json_array_append_new(steps, step_of(third_here, 50 - third_here, p50, 500));
	json_object_set_new(json_object_get(entry, "kmembench"), "fill",
			    json_pack("{s:i, s:i, s:i, s:i, s:[i, i], s:o, s:o}",
				      "preferred", 0, "nodes", 2, "node_bytes", 409600,
				      "step_bytes", 204800, "order", 0, 1, "steps", steps,
				      "returned", step_of(50, 0, 10, 100)));
}

#define CELL "numa-fallback-numa-fallback-4-kib-1-thread"

static void shares_are_drawn_by_fill_level(void **state)
{
	json_t *root = fixture_results();
	struct dataset *d;
	struct drawn drawn;

	(void)state;
	for (int block = 0; block < 3; block++) {
		set_fill(add(root, "numa-fallback", "buddy", block), 0, 20);
		set_fill(add(root, "numa-fallback", "buddy:zonelist=ring", block), 5, 40);
		add(root, "numa-fallback", "mmap", block);
	}
	d = load(root, "fill.json");
	drawn = draw_or_skip(d, "fill");
	assert_picture(&drawn, CELL);
	/* Half-way through the first step, 25 %; the second begins at 50 %. */
	assert_row(&drawn, CELL, 1, "1\t1\t25\t100\t100\t100\n");
	assert_row(&drawn, CELL, 1, "1\t1\t125\t0\t0\t0\n");
	assert_row(&drawn, CELL, 1, "1\t2\t125\t10\t10\t10\n");
	assert_row(&drawn, CELL, 1, "2\t1\t125\t100\t100\t100\n");
	assert_row(&drawn, CELL, 1, "3\t2\t125\t40\t40\t40\n");
	assert_row(&drawn, CELL, 1, "4\t1\t25\t100\t100\t100\n");
	assert_row(&drawn, CELL, 2,
		   "1\t0\tserved by node 0, the preferred one\n"
		   "2\t0\tserved by node 1\n3\t3\trequest, median\n");
	/* Whoever was filled by nobody has no line; and nodes are said to be simulated.
	 */
	assert_no_row(&drawn, CELL, 0, "mmap");
	assert_row(&drawn, CELL, 0, "buddy (simulated)\t");
	draw_end(&drawn, d);
}

static void where_memory_goes_is_drawn(void **state)
{
	json_t *root = fixture_results();
	struct dataset *d;
	struct drawn drawn;

	(void)state;
	for (int block = 0; block < 2; block++) {
		json_t *entry = add(root, "numa-pass", "slab", block);

		json_object_set_new(entry, "producer_local_ratio", json_real(1));
		json_object_set_new(entry, "home_ratio", json_real(0.875));
		json_object_set_new(entry, "consumer_local_ratio", json_real(0.5));
		add(root, "numa-pass", "mmap", block);
	}
	d = load(root, "pass.json");
	drawn = draw_or_skip(d, "pass");
	assert_picture(&drawn, "numa-pass");
	assert_row(&drawn, "numa-pass", 2, "1\t2\t1\t100\t100\t100\t100 %\n");
	assert_row(&drawn, "numa-pass", 2, "2\t2\t1\t87.5\t87.5\t87.5\t87.5 %\n");
	assert_row(&drawn, "numa-pass", 2, "3\t2\t1\t50\t50\t50\t50.0 %\n");
	assert_no_row(&drawn, "numa-pass", 0, "mmap");
	draw_end(&drawn, d);
}

/* Without usable sizes in any of its series memory-time has nothing for that column. */
static void memory_without_usable_sizes_is_drawn(void **state)
{
	static const struct fixture_sample samples[] = {
		{0.0, 4096, 0, -1, 0, WORK},
		{0.1, 1 << 20, 1 << 20, -1, 1 << 20, WORK},
		{0.2, 1 << 20, 0, -1, 1 << 20, FREED},
	};
	json_t *root = fixture_results();
	struct dataset *d;
	struct drawn drawn;

	(void)state;
	fixture_add_timeline(add(root, "numa-fallback", "buddy", 0), samples, 3);
	d = load(root, "unusable.json");
	drawn = draw_or_skip(d, "unusable");
	assert_picture(&drawn, "memory-time-numa-fallback-4-kib-1-thread");
	assert_holds(drawn.log,
		     "left out: numa-fallback: no result of 'numa-fallback' tells "
		     "how a node was filled\n");
	draw_end(&drawn, d);
}

/* In the key a variant with many options keeps its end, which tells it from others. */
static void long_names_keep_their_end(void **state)
{
	json_t *root = fixture_results();
	struct dataset *d;
	struct drawn drawn;
	char *svg;

	(void)state;
	for (int block = 0; block < 3; block++)
		set_fill(
			add(root, "numa-fallback",
			    "buddy:memory=64M,dma=0,highmem=0,min_free=256K,zonelist=ring",
			    block),
			0, 20);
	d = load(root, "long.json");
	drawn = draw_or_skip(d, "long");
	svg = read_text(drawn.dir, CELL ".svg");
	assert_holds(svg, "buddy:memory=6…56K,zonelist=ring (simulated)");
	free(svg);
	draw_end(&drawn, d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shares_are_drawn_by_fill_level),
		cmocka_unit_test(where_memory_goes_is_drawn),
		cmocka_unit_test(memory_without_usable_sizes_is_drawn),
		cmocka_unit_test(long_names_keep_their_end),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
