/* SPDX-License-Identifier: MIT */
/* For tests of plots: results drawn into a folder, and the tables behind the pictures. */
#ifndef TEST_PLOT_DRAWING_H
#define TEST_PLOT_DRAWING_H

#include "plot_fixture.h"

#include <kmem/error.h>

#include "bench/plot.h"
#include "bench/plot_gnuplot.h"

static char *folder;
static bool have_gnuplot;

static inline int group_setup(void **state)
{
	(void)state;
	setenv("KMEMBENCH_DATADIR", ".", 0);
	folder = fixture_folder();
	have_gnuplot = gnuplot_find() == 0;
	return 0;
}

static inline int group_teardown(void **state)
{
	(void)state;
	plot_remove_folder(folder);
	free(folder);
	return 0;
}

static inline struct dataset *load(json_t *root, const char *name)
{
	char *path = fixture_save(root, folder, name);
	struct dataset *d = dataset_load((const char *const[]){path}, 1);

	if (d == NULL)
		fail_msg("%s", kmem_last_error());
	free(path);
	return d;
}

static inline size_t series_named(const struct dataset *d, const char *name)
{
	for (size_t s = 0; s < d->nr_series; s++) {
		if (strcmp(d->series[s].name, name) == 0)
			return s;
	}
	fail_msg("no series '%s'", name);
	return 0;
}

/* --- drawing: the log, and a table as text --- */

struct drawn {
	char *dir, *log;
};

/* Draws into DIR of the test's folder, tables kept. */
static inline struct drawn draw(const struct dataset *d, const char *dir)
{
	struct drawn drawn = {0};
	size_t size;
	FILE *log = open_memstream(&drawn.log, &size);

	assert_true(asprintf(&drawn.dir, "%s/%s", folder, dir) > 0);
	if (plot_dataset(d, drawn.dir, PLOT_SVG | PLOT_PNG | PLOT_KEEP_DATA, log, NULL) !=
	    0)
		fail_msg("%s", kmem_last_error());
	fclose(log);
	return drawn;
}

static inline void drawn_free(struct drawn *drawn)
{
	free(drawn->dir);
	free(drawn->log);
}

static inline char *read_text(const char *dir, const char *name)
{
	char *path, *text = NULL;
	size_t size = 0;
	FILE *in;

	assert_true(asprintf(&path, "%s/%s", dir, name) > 0);
	in = fopen(path, "r");
	if (in == NULL)
		fail_msg("there is no '%s'", path);
	assert_true(getdelim(&text, &size, '\0', in) > 0);
	fclose(in);
	free(path);
	return text;
}

/* The picture is there in both formats, and is what its name says. */
static inline void assert_picture(const struct drawn *drawn, const char *stem)
{
	char *name, *text;

	assert_true(asprintf(&name, "%s.svg", stem) > 0);
	text = read_text(drawn->dir, name);
	assert_non_null(strstr(text, "</svg>"));
	assert_non_null(strstr(text, "Example CPU"));
	free(text);
	free(name);
	assert_true(asprintf(&name, "%s.png", stem) > 0);
	text = read_text(drawn->dir, name);
	assert_memory_equal(text, "\x89PNG", 4);
	free(text);
	free(name);
}

static inline char *table_of(const struct drawn *drawn, const char *stem)
{
	char *name, *text;

	assert_true(asprintf(&name, "data/%s.tsv", stem) > 0);
	text = read_text(drawn->dir, name);
	free(name);
	return text;
}

/* Block `index` of a table: from behind the index-th pair of empty lines. */
static inline const char *block_of(const char *table, unsigned int index)
{
	for (; index > 0; index--) {
		table = strstr(table, "\n\n\n");
		assert_non_null(table);
		table += 3;
	}
	return table;
}

static inline void assert_holds(const char *text, const char *what)
{
	if (strstr(text, what) == NULL)
		fail_msg("no '%s' in:\n%s", what, text);
}

/* The same; without gnuplot the test ends here, skipped. */
static inline struct drawn draw_or_skip(struct dataset *d, const char *dir)
{
	if (!have_gnuplot) {
		dataset_free(d);
		skip();
	}
	return draw(d, dir);
}

static inline void draw_end(struct drawn *drawn, struct dataset *d)
{
	drawn_free(drawn);
	dataset_free(d);
}

/* The text stands in this block, or a later one, of a picture's table. */
static inline void assert_row(const struct drawn *drawn, const char *stem,
			      unsigned int block, const char *text)
{
	char *table = table_of(drawn, stem);

	assert_holds(block_of(table, block), text);
	free(table);
}

static inline void assert_no_row(const struct drawn *drawn, const char *stem,
				 unsigned int block, const char *text)
{
	char *table = table_of(drawn, stem);

	assert_null(strstr(block_of(table, block), text));
	free(table);
}

#endif /* TEST_PLOT_DRAWING_H */
