/* SPDX-License-Identifier: MIT */
/* The page: whole, self-contained, escaped, and honest about what is not there. */
#include "plot_drawing.h"

#include <errno.h>
#include <sys/stat.h>

#include "bench/report.h"
#include "bench/report_internal.h"

static char *read_file(const char *path)
{
	FILE *in = fopen(path, "r");
	char *text = NULL;
	size_t size = 0;

	assert_non_null(in);
	assert_true(getdelim(&text, &size, '\0', in) > 0);
	fclose(in);
	return text;
}

/* Writes the report of root and returns its text. */
static char *page(json_t *root)
{
	char *path = fixture_save(root, folder, "results.json"), *file, *text;

	assert_true(asprintf(&file, "%s/page.html", folder) > 0);
	if (report_write((const char *const[]){path}, 1, file) != 0)
		fail_msg("%s", kmem_last_error());
	text = read_file(file);
	free(file);
	free(path);
	return text;
}

static void assert_says(const char *text, const char *part)
{
	if (strstr(text, part) == NULL)
		fail_msg("the page does not say '%s'", part);
}

static void test_escaping(void **state)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	(void)state;
	html_escape(out, "a<b>&\"c'");
	html_printf(out, "%s%d", "<", 1);
	fclose(out);
	assert_string_equal(text, "a&lt;b&gt;&amp;&quot;c&#39;&lt;1");
	free(text);
}

static void test_numbers(void **state)
{
	static const struct {
		double value;
		const char *text;
	} numbers[] = {{0.1234, "0.123"},
		       {1.234, "1.23"},
		       {12.34, "12.3"},
		       {123.4, "123"},
		       {1234, "1234"},
		       {12345, "12\u2009345"},
		       {1234567, "1\u2009234\u2009567"}};
	char buf[64];

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(numbers); i++)
		assert_string_equal(html_number(numbers[i].value, buf, sizeof(buf)),
				    numbers[i].text);
}

static void test_svg_ids_are_prefixed(void **state)
{
	char *path, *text = NULL;
	size_t size;
	FILE *out;

	(void)state;
	assert_true(asprintf(&path, "%s/a.svg", folder) > 0);
	out = fopen(path, "w");
	fputs("<?xml version=\"1.0\"?>\n<!DOCTYPE svg>\n<svg><path id='a'/><use "
	      "xlink:href='#a'/><g id=\"b\" fill=\"url(#c)\"/></svg>\n",
	      out);
	fclose(out);
	out = open_memstream(&text, &size);
	assert_true(html_inline_svg(out, path, "p1-"));
	assert_false(html_inline_svg(out, "/nonexistent.svg", "p1-"));
	fclose(out);
	assert_string_equal(text, "<svg><path id='p1-a'/><use xlink:href='#p1-a'/>"
				  "<g id=\"p1-b\" fill=\"url(#p1-c)\"/></svg>\n");
	free(text);
	free(path);
}

/* The peer wins one row, ours another, a third is not told apart, a fourth failed. */
static json_t *mixed_results(void)
{
	static const struct {
		int size;
		double slab, glibc;
	} rows[] = {{16, 5, 10}, {32, 20, 10}, {64, 10.01, 10}};
	json_t *root = fixture_results();

	for (int b = 0; b < 10; b++) {
		for (size_t i = 0; i < KMEM_ARRAY_SIZE(rows); i++) {
			double drift = 1 + 0.01 * b;

			fixture_add(root, &(struct fixture_cell){
						  "pair", "slab", rows[i].size, 1, b,
						  rows[i].slab * drift, NULL});
			fixture_add(root, &(struct fixture_cell){
						  "pair", "glibc", rows[i].size, 1, b,
						  rows[i].glibc * drift, NULL});
		}
	}
	fixture_add(root, &(struct fixture_cell){"pair", "glibc", 128, 1, 0, 10, NULL});
	fixture_add_failed(root,
			   &(struct fixture_cell){"pair", "slab", 128, 1, 0, 1, NULL},
			   "killed & <gone>");
	return root;
}

/* The tables of what the memory pass found, and of what slow operations were due to. */
static void test_memory_and_causes(void **state)
{
	json_t *root = fixture_results(), *entry;
	char *text;

	(void)state;
	for (int b = 0; b < 3; b++) {
		entry = fixture_add(
			root, &(struct fixture_cell){"age", "glibc", 0, 1, b, 10, NULL});
		json_object_set_new(entry, "internal_fragmentation",
				    json_real(0.1 * (b + 1)));
		json_object_set_new(entry, "space_ratio", json_real(1.5));
		json_object_set_new(entry, "mappings_max", json_integer(40 + b));
		json_object_set_new(entry, "rss_bytes_idle_1s",
				    json_integer((json_int_t)3 << 20));
		fixture_add_cause(entry, "alloc", "fault", 3, 1500);
		fixture_add_cause(entry, "alloc", "unknown", 1, 900);
	}
	fixture_add(root, &(struct fixture_cell){"age", "slab", 0, 1, 0, 10, NULL});
	text = page(root);
	assert_says(text, "<h2 id=\"memory\">");
	assert_says(text, "<td>20.0 %</td>");
	assert_says(text, "<td>1.50</td>");
	assert_says(text, "<td>41</td>");
	assert_says(text, "<td>3 MiB</td>");
	assert_null(strstr(text, "<th>external</th>"));
	assert_says(text, "<h2 id=\"tails\">");
	assert_says(text,
		    "<td>75.0&nbsp;% <span class=\"interval\">to 1.50 µs</span></td>");
	assert_says(text, "<td>25.0&nbsp;%");
	free(text);
}

static void test_says_who_wins(void **state)
{
	char *text = page(mixed_results());

	(void)state;
	assert_says(text, "Lowest time, floors apart, in 4 rows: glibc in 3, slab in 1.");
	assert_says(text, "ahead in 1, behind in 1, not told apart in 1");
	assert_says(text, "3 of 4");
	assert_says(text, "killed &amp; &lt;gone&gt;");
	assert_null(strstr(text, "<gone>"));
	assert_says(text, "run -a &lt;all&gt;");
	assert_says(text, "1 cell failed");
	assert_says(text, "some cells have only 1 block");
	assert_says(text, "Example CPU");
	assert_says(text, "</html>");
	free(text);
}

static void test_is_self_contained(void **state)
{
	static const char *const outside[] = {"src=", "<link", "@import", "<script",
					      "href=\"http"};
	char *text = page(mixed_results());

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(outside); i++) {
		if (strstr(text, outside[i]) != NULL)
			fail_msg("the page refers outside: '%s'", outside[i]);
	}
	free(text);
}

static void test_warns(void **state)
{
	json_t *root = mixed_results();
	json_t *ours = json_object_get(json_object_get(root, "context"), "kmembench");
	json_t *machine = json_object_get(ours, "machine");
	char *text;

	(void)state;
	json_object_set_new(ours, "complete", json_false());
	json_object_set_new(ours, "skipped",
			    json_pack("[{s:s, s:s}]", "allocator", "mimalloc", "reason",
				      "install the package 'libmimalloc2.0'"));
	json_object_set_new(machine, "virtualised", json_string("kvm"));
	json_object_set_new(machine, "governor", json_string("powersave"));
	json_object_set_new(machine, "numa_nodes", json_integer(2));
	json_object_set_new(machine, "simulated_numa", json_true());
	text = page(root);
	assert_says(text, "incomplete");
	assert_says(text, "virtual machine (kvm)");
	assert_says(text, "&#39;powersave&#39;");
	assert_says(text, "memory nodes are simulated");
	assert_says(text, "libmimalloc2.0");
	assert_says(text, "memory nodes simulated"); /* in the line at the head */
	free(text);
}

/* Load, threads beyond the CPUs, and what built it; nothing of that in a quiet run. */
static void test_says_how_it_was_run(void **state)
{
	json_t *root = mixed_results();
	json_t *context = json_object_get(root, "context");
	json_t *ours = json_object_get(context, "kmembench");
	char *text;

	(void)state;
	json_object_set_new(ours, "compiler", json_string("gcc 12.2.0"));
	json_object_set_new(ours, "compiler_flags", json_string("-O2 -g"));
	json_object_set_new(ours, "allocators",
			    json_pack("[{s:s, s:s}, {s:s, s:s, s:s, s:s}]", "name",
				      "slab", "variant", "slab", "name", "glibc",
				      "variant", "glibc", "version", "2.36", "path",
				      "/libc.so.6"));
	json_object_set_new(context, "load_avg", json_pack("[f, f, f]", 0.5, 0.25, 0.0));
	json_object_set_new(json_object_get(ours, "machine"), "cpus_allowed",
			    json_integer(64));
	text = page(json_incref(root));
	assert_says(text, "gcc 12.2.0");
	assert_says(text, "-O2 -g");
	assert_says(text, "0.50, 0.25, 0.00");
	assert_says(text, "kmembench 0.1.0");
	assert_null(strstr(text, "was busy"));
	assert_null(strstr(text, "took turns"));
	free(text);
	json_object_set_new(context, "load_avg", json_pack("[f, f, f]", 1.5, 0.25, 0.0));
	json_object_set_new(json_object_get(ours, "machine"), "cpus_allowed",
			    json_integer(1));
	fixture_add(root, &(struct fixture_cell){"pair", "slab", 64, 4, 0, 5, NULL});
	text = page(root);
	assert_says(text, "busy when the run began (load 1.5 on 2 CPUs)");
	assert_says(text, "up to 4 threads took turns on 1 CPU:");
	free(text);
}

static void test_one_allocator_has_nothing_to_compare(void **state)
{
	json_t *root = fixture_results();
	char *text;

	(void)state;
	fixture_add(root, &(struct fixture_cell){"pair", "slab", 64, 1, 0, 5, NULL});
	text = page(root);
	assert_says(text, "nothing to compare");
	free(text);
}

static void test_without_gnuplot(void **state)
{
	char *old = strdup(getenv("PATH")), *text;

	(void)state;
	setenv("PATH", "/nonexistent", 1);
	text = page(mixed_results());
	setenv("PATH", old, 1);
	assert_says(text, "No plots: there is no &#39;gnuplot&#39;");
	assert_says(text, "gnuplot-nox");
	assert_null(strstr(text, "<svg"));
	free(text);
	free(old);
}

static void test_failure_leaves_the_old_page(void **state)
{
	char *file, *text;

	(void)state;
	assert_true(asprintf(&file, "%s/page.html", folder) > 0);
	free(page(mixed_results()));
	assert_true(report_write((const char *const[]){"/nonexistent.json"}, 1, file) <
		    0);
	text = read_file(file);
	assert_says(text, "</html>");
	assert_true(report_write((const char *const[]){"/nonexistent.json"}, 1,
				 "/nonexistent/page.html") < 0);
	free(text);
	free(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_escaping),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_svg_ids_are_prefixed),
		cmocka_unit_test(test_memory_and_causes),
		cmocka_unit_test(test_says_who_wins),
		cmocka_unit_test(test_is_self_contained),
		cmocka_unit_test(test_warns),
		cmocka_unit_test(test_says_how_it_was_run),
		cmocka_unit_test(test_one_allocator_has_nothing_to_compare),
		cmocka_unit_test(test_without_gnuplot),
		cmocka_unit_test(test_failure_leaves_the_old_page),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
