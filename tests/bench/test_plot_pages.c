/* SPDX-License-Identifier: MIT */
/*
 * The tables behind the pictures of page workloads and of cache colouring, from results
 * whose truth is known; variants on a simulated machine.
 */
#include "plot_drawing.h"

/* --- entries --- */

static json_t *add(json_t *root, const char *workload, const char *allocator, int size,
		   int block)
{
	return fixture_add(root, &(struct fixture_cell){workload, allocator, size, 1,
							block, 10 + block, NULL});
}

static void set(json_t *entry, const char *figure, double value)
{
	json_object_set_new(entry, figure, json_real(value));
}

/* A time line of t_s, allocated_bytes, phase and further columns; values row by row. The
 * phases are work and freeing. NaN: null. */
static void add_course(json_t *entry, const char *const *columns, size_t nr_columns,
		       const double *values, size_t nr_rows)
{
	json_t *names = json_array(), *rows = json_array();

	for (size_t c = 0; c < nr_columns; c++)
		json_array_append_new(names, json_string(columns[c]));
	for (size_t r = 0; r < nr_rows; r++) {
		json_t *row = json_array();

		for (size_t c = 0; c < nr_columns; c++) {
			double v = values[r * nr_columns + c];

			json_array_append_new(row, v >= 0 ? json_real(v) : json_null());
		}
		json_array_append_new(rows, row);
	}
	json_object_set_new(json_object_get(entry, "kmembench"), "timeline",
			    json_pack("{s:f, s:s, s:o, s:[s, s], s:o}", "interval_s",
				      0.01, "source", "smaps_rollup", "columns", names,
				      "phases", "work", "freeing", "rows", rows));
}

/* --- fragmentation --- */

static void add_frag(json_t *root, const char *allocator, int block, double huge)
{
	static const char *const columns[] = {"t_s",
					      "allocated_bytes",
					      "phase",
					      "free_pages",
					      "free_in_huge_blocks_ratio",
					      "unusable_index_order3_ratio",
					      "unusable_index_order6_ratio",
					      "fragmentation_index_order9_ratio"};
	const double rows[] = {
		0.0, 0,	   0, 100, 0.2,	 0.8, 0.8, -1, /* row by row */
		0.5, 1000, 0, 100, huge, 0.5, 0.6, -1, /**/
		0.6, 1000, 1, 200, 0.9,	 0.1, 0.1, -1, /* being freed: not shown */
	};
	json_t *entry = add(root, "page-frag", allocator, 4096, block);

	set(entry, "free_in_huge_blocks_unaged_ratio", 0.2);
	set(entry, "free_in_huge_blocks_ratio", huge);
	for (int order = 1; order <= 10; order++) {
		char name[48];

		snprintf(name, sizeof(name), "unusable_index_order%d_ratio", order);
		set(entry, name, (1 - huge) * order / 10);
	}
	add_course(entry, columns, KMEM_ARRAY_SIZE(columns), rows, 3);
}

static void free_memory_is_drawn(void **state)
{
	json_t *root = fixture_results();
	struct dataset *d;
	struct drawn drawn;
	char *table;

	(void)state;
	for (int block = 0; block < 3; block++) {
		add_frag(root, "buddy", block, 0.25);
		add_frag(root, "buddy:lower=rows", block, 0.995);
		add(root, "page-frag", "freelist", 4096, block);
	}
	d = load(root, "frag.json");
	if (!have_gnuplot) {
		dataset_free(d);
		skip();
	}
	drawn = draw(d, "frag");
	assert_picture(&drawn, "frag");
	table = table_of(&drawn, "frag");
	assert_holds(block_of(table, 1), "1\t0\tpage-frag  4 KiB, 1 thread\n2\t1\tbuddy\n"
					 "3\t2\tbuddy:lower=rows\n");
	assert_holds(block_of(table, 2), "1\t2\t1\t20\t20\t20\t20.0 %\n");
	assert_holds(block_of(table, 2), "2\t3\t2\t99.5\t99.5\t99.5\t99.5 %\n");
	assert_holds(block_of(table, 2), "4\t2\t1\t11\t10\t12\t11.0 ns\n");
	assert_holds(block_of(table, 3), "4\t12\ttime per operation\n");
	/* What tells nothing of its free memory has no row. */
	assert_null(strstr(table, "freelist"));
	free(table);
	assert_picture(&drawn, "frag-index-page-frag");
	table = table_of(&drawn, "frag-index-page-frag");
	assert_holds(block_of(table, 1), "1\t1\t0\t0\t0\t0\n1\t1\t1\t7.5\t7.5\t7.5\n");
	assert_holds(block_of(table, 1), "1\t2\t10\t0.5\t0.5\t0.5\n");
	free(table);
	assert_picture(&drawn, "frag-time-page-frag-4-kib-1-thread");
	table = table_of(&drawn, "frag-time-page-frag-4-kib-1-thread");
	assert_holds(block_of(table, 1), "1\t1\t0\t20\t20\t20\n");
	assert_holds(block_of(table, 1), "1\t1\t500\t22.5\t22.5\t22.5\n");
	assert_holds(block_of(table, 1), "1\t2\t1000\t99.5\t99.5\t99.5\n");
	assert_holds(block_of(table, 1), "3\t1\t1000\t60\t60\t60\n");
	/* An index that no row has makes no panel. */
	assert_null(strstr(block_of(table, 2), "fragmentation index"));
	free(table);
	drawn_free(&drawn);
	dataset_free(d);
}

/* Samples of a step or two at the end of a long fill are no course. */
static void a_short_course_is_left_out(void **state)
{
	json_t *root = fixture_results(), *entry, *rows;
	struct dataset *d;
	struct drawn drawn;
	size_t i;

	(void)state;
	for (int block = 0; block < 2; block++)
		add_frag(root, "buddy", block, 0.995);
	json_array_foreach (json_object_get(root, "benchmarks"), i, entry) {
		rows = json_object_get(
			json_object_get(json_object_get(entry, "kmembench"), "timeline"),
			"rows");
		json_array_set_new(json_array_get(rows, 0), 1, json_real(950));
	}
	d = load(root, "short.json");
	if (!have_gnuplot) {
		dataset_free(d);
		skip();
	}
	drawn = draw(d, "short");
	assert_holds(drawn.log,
		     "left out: frag-time: 'page-frag  4 KiB, 1 thread' has samples "
		     "of a short while only: --memory-time 1");
	assert_null(strstr(drawn.log, "frag-time-page-frag"));
	assert_null(strstr(drawn.log, "no memory time line tells of free pages"));
	drawn_free(&drawn);
	dataset_free(d);
}

/* Where an allocator keeps it all whole there is nothing to draw by order. */
static void whole_memory_has_no_index(void **state)
{
	json_t *root = fixture_results();
	struct dataset *d;
	struct drawn drawn;

	(void)state;
	for (int block = 0; block < 2; block++)
		add_frag(root, "buddy", block, 1.0);
	d = load(root, "whole.json");
	if (!have_gnuplot) {
		dataset_free(d);
		skip();
	}
	drawn = draw(d, "whole");
	assert_holds(drawn.log,
		     "left out: frag-index: no result tells of free memory that "
		     "is not whole\n");
	assert_holds(drawn.log, "frag-time-page-frag");
	assert_holds(drawn.log, "left out: reclaim: no result has 'kswapd_pages'\n");
	assert_holds(drawn.log,
		     "left out: reclaim-time: no memory time line tells of watermarks\n");
	assert_holds(drawn.log,
		     "left out: colour: no result has 'modelled_l1_misses_per_touch'\n");
	drawn_free(&drawn);
	dataset_free(d);
}

/* --- reclaim --- */

static void watermarks_are_drawn_over_time(void **state)
{
	static const char *const columns[] = {
		"t_s",	      "allocated_bytes", "phase",
		"free_pages", "pages_min",	 "pages_low",
		"pages_high", "kswapd_pages",	 "direct_pages"};
	static const double rows[] = {
		0.0, 0, 0, 2000, 1000, 1250, 1500, 500, 40, /* row by row */
		0.1, 0, 0, 900,	 1000, 1250, 1500, 700, 45, /**/
		0.2, 0, 1, 9000, 1000, 1250, 1500, 700, 45, /* being freed */
	};
	json_t *root = fixture_results();
	struct dataset *d;
	struct drawn drawn;
	char *table;

	(void)state;
	for (int block = 0; block < 2; block++) {
		json_t *entry = add(root, "reclaim", "buddy", 4096, block);

		set(entry, "pages_read", 2000);
		set(entry, "kswapd_pages", 700);
		set(entry, "direct_pages", 45);
		set(entry, "alloc_stalls", 4);
		add_course(entry, columns, KMEM_ARRAY_SIZE(columns), rows, 3);
		add(root, "reclaim", "mmap", 4096, block);
	}
	d = load(root, "reclaim.json");
	if (!have_gnuplot) {
		dataset_free(d);
		skip();
	}
	drawn = draw(d, "reclaim");
	assert_picture(&drawn, "reclaim");
	table = table_of(&drawn, "reclaim");
	assert_holds(block_of(table, 2), "1\t2\t1\t350\t350\t350\t350\n");
	assert_holds(block_of(table, 2), "2\t2\t1\t22.5\t22.5\t22.5\t22.5\n");
	assert_holds(block_of(table, 2), "3\t2\t1\t2000\t2000\t2000\t2000\n");
	assert_null(strstr(table, "mmap"));
	free(table);
	assert_picture(&drawn, "reclaim-time-4-kib-1-thread");
	table = table_of(&drawn, "reclaim-time-4-kib-1-thread");
	/* What was taken back counts from the first row; the second block is marked. */
	assert_holds(block_of(table, 1), "1\t1\t0\t2000\t1000\t1250\t1500\t0\t0\n"
					 "1\t1\t0.1\t900\t1000\t1250\t1500\t200\t5\n\n"
					 "1\t0\t0\t2000\t");
	assert_null(strstr(table, "9000"));
	free(table);
	drawn_free(&drawn);
	dataset_free(d);
}

/* --- colour --- */

static void colours_are_drawn(void **state)
{
	json_t *root = fixture_results();
	struct dataset *d;
	struct drawn drawn;
	char *table;

	(void)state;
	for (int block = 0; block < 2; block++) {
		for (int on = 0; on < 2; on++) {
			json_t *entry = add(root, "colour",
					    on ? "slab" : "slab:colour=off", 1100, block);

			set(entry, "modelled_l1_misses_per_touch", on ? 0.001 : 1);
			set(entry, "modelled_l1_sets_used_count", on ? 64 : 14);
			set(entry, "cache_colours", on ? 14 : 1);
			set(entry, "iterations", 1000);
			set(entry, "l1d_misses", on ? 20 : 900);
		}
	}
	d = load(root, "colour.json");
	if (!have_gnuplot) {
		dataset_free(d);
		skip();
	}
	drawn = draw(d, "colour");
	assert_picture(&drawn, "colour");
	table = table_of(&drawn, "colour");
	/* An odd size is told to the byte. */
	assert_holds(block_of(table, 1), "1\t0\tcolour  1100 B, 1 thread\n2\t1\tslab\n");
	assert_holds(block_of(table, 2), "3\t2\t1\t0.001\t0.001\t0.001\t< 0.01\n");
	assert_holds(block_of(table, 2), "4\t3\t2\t0.9\t0.9\t0.9\t0.90\n");
	/* Nothing was counted by callgrind. */
	assert_null(strstr(block_of(table, 3), "callgrind"));
	free(table);
	drawn_free(&drawn);
	dataset_free(d);
}

/* --- kmap --- */

static void ways_to_map_are_drawn(void **state)
{
	json_t *root = fixture_results();
	struct dataset *d;
	struct drawn drawn;
	char *table;

	(void)state;
	for (int block = 0; block < 2; block++)
		set(add(root, "kmap", "vmalloc", 0, block), "kmap_maps_per_op", 0.25);
	d = load(root, "kmap.json");
	if (!have_gnuplot) {
		dataset_free(d);
		skip();
	}
	drawn = draw(d, "kmap");
	assert_picture(&drawn, "kmap");
	table = table_of(&drawn, "kmap");
	assert_holds(table, "mapped anew");
	assert_holds(block_of(table, 2), "\t25\t25\t25\t25.0 %\n");
	free(table);
	drawn_free(&drawn);
	dataset_free(d);
}

/* --- orders --- */

static void pages_are_drawn_by_order(void **state)
{
	json_t *root = fixture_results();
	struct dataset *d;
	struct drawn drawn;
	char *table, *other;

	(void)state;
	for (int order = 0; order <= 10; order++)
		add(root, "page-repeat", "buddy", 4096 << order, 0);
	add(root, "pair", "slab", 64, 0);
	add(root, "pair", "slab", 1100, 0);
	d = load(root, "orders.json");
	if (!have_gnuplot) {
		dataset_free(d);
		skip();
	}
	drawn = draw(d, "orders");
	assert_picture(&drawn, "page-orders-page-repeat");
	table = table_of(&drawn, "page-orders-page-repeat");
	assert_holds(block_of(table, 2), "4096\t0\n8192\t1\n16384\t2\n");
	assert_holds(block_of(table, 2), "\t9\n4.1943e+06\t10\n");
	free(table);
	assert_holds(drawn.log, "time-size-pair.svg");
	other = table_of(&drawn, "time-size-pair");
	assert_holds(block_of(other, 2), "1100\t1100 B\n");
	free(other);
	assert_null(strstr(drawn.log, "time-size-page-repeat"));
	assert_null(strstr(drawn.log, "page-orders-pair"));
	drawn_free(&drawn);
	dataset_free(d);
}

/* --- simulated machines --- */

static void simulated_machines_are_apart_and_marked(void **state)
{
	static const char *const names[] = {
		"buddy", "buddy:pcp=off", "buddy:topology=numa:2 core:1 pu:1",
		"buddy:topology=numa:2 core:1 pu:1,zonelist=ring"};
	static const double ns[] = {10, 40, 20, 30};
	json_t *root = fixture_results();
	struct dataset *d;
	struct drawn drawn;
	char *table;

	(void)state;
	for (int block = 0; block < 8; block++) {
		for (size_t i = 0; i < KMEM_ARRAY_SIZE(names); i++) {
			json_t *entry = fixture_add(
				root, &(struct fixture_cell){"page-bulk", names[i], 4096,
							     1, block, ns[i], NULL});

			if (i >= 2)
				json_object_set_new(json_object_get(entry, "kmembench"),
						    "numa",
						    json_pack("{s:b, s:i}", "simulated",
							      1, "nodes", 2));
		}
	}
	json_object_set_new(
		json_object_get(
			json_object_get(json_object_get(root, "context"), "kmembench"),
			"machine"),
		"simulated_numa", json_true());
	d = load(root, "topology.json");
	if (!have_gnuplot) {
		dataset_free(d);
		skip();
	}
	drawn = draw(d, "topology");
	table = table_of(&drawn, "ablation-buddy");
	assert_holds(table, "buddy:pcp=off\t");
	assert_null(strstr(table, "topology"));
	free(table);
	table = table_of(&drawn, "ablation-buddy-topology-numa-2-core-1-pu-1-simulated");
	assert_holds(table,
		     "buddy:topology=numa:2 core:1 pu:1,zonelist=ring (simulated)\t");
	assert_holds(block_of(table, 2), "1\t1\t1.5\t1.5\t1.5\t1\t0\t");
	free(table);
	table = read_text(drawn.dir, "ablation-buddy.svg");
	assert_holds(table, "memory nodes simulated where marked");
	free(table);
	drawn_free(&drawn);
	dataset_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(free_memory_is_drawn),
		cmocka_unit_test(a_short_course_is_left_out),
		cmocka_unit_test(whole_memory_has_no_index),
		cmocka_unit_test(watermarks_are_drawn_over_time),
		cmocka_unit_test(colours_are_drawn),
		cmocka_unit_test(ways_to_map_are_drawn),
		cmocka_unit_test(pages_are_drawn_by_order),
		cmocka_unit_test(simulated_machines_are_apart_and_marked),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
