/* SPDX-License-Identifier: MIT */
/*
 * Between plot.c and the kinds of plots, one file each (bench/plot_NAME.c with its
 * plots/NAME.gp): a kind looks at the data set, writes a table for each picture and
 * submits it. Adding a kind is adding these two files.
 *
 * A table is tab-separated, in blocks divided by two empty lines:
 *   index 0   the series drawn: name, colour, point type, dash, line width, point size
 *   index 1…  what the script says of itself
 */
#ifndef KMEMBENCH_PLOT_INTERNAL_H
#define KMEMBENCH_PLOT_INTERNAL_H

#include "bench/plot.h"
#include "bench/plot_gnuplot.h"

struct plotter;

struct plot_kind {
	const char *name; /* plots/NAME.gp, and how the pictures' names begin */
	int rank;	  /* order of drawing, and in the report */
	int (*draw)(struct plotter *p); /* 0 or -errno with an error text */
};

void plot_register(const struct plot_kind *kind);
#define PLOT_REGISTER(kind_)                                     \
	static void KMEM_CONSTRUCTOR plot_register_##kind_(void) \
	{                                                        \
		plot_register(&(kind_));                         \
	}                                                        \
	_Static_assert(1, "a semicolon follows")

struct plotter {
	const struct dataset *d;
	const char *dir;
	unsigned int formats;
	FILE *log;
	const struct plot_kind *kind;
	char *data_dir;
	char caption[512];
	struct plot_outputs *outputs;
	struct gnuplot_pool pool;
	/* the picture in hand */
	FILE *table;
	char *stem, *table_path;
	size_t intervals, spans; /* estimates drawn with a 95 % interval, and without */
	bool hollow;		 /* the summary's mean lacks rows */
	size_t drawn;		 /* pictures of this kind so far */
};

/*
 * Begins a picture: its table, open for writing, with the series block written (those
 * whose bit is set in series_used, an array of nr_series). detail becomes part of the
 * file's name (NULL: none). NULL with an error text when the table cannot be written.
 */
FILE *plot_begin(struct plotter *p, const char *detail, const bool *series_used);
/* Divides blocks. */
void plot_next_block(struct plotter *p);
/* Ends the picture and sets gnuplot to work on it. note goes before the caption. */
int plot_submit(struct plotter *p, const char *title, const char *subtitle,
		const char *note);
/* Ends it and leaves nothing behind: there turned out to be nothing to draw. */
void plot_abandon(struct plotter *p);

/* Counts an estimate that is drawn, for plot_bars_text(). */
void plot_count_bar(struct plotter *p, const struct summary *s);
/* What the bars of the picture in hand are; interval: "95 % interval of …". */
const char *plot_bars_text(const struct plotter *p, const char *interval, char *buf,
			   size_t size);

/* Says on the log that something was left out. */
void plot_left_out(struct plotter *p, const char *fmt, ...) KMEM_PRINTF(2, 3);

/* Cells that are left out for the same reason, told in one line. */
struct plot_left_cells {
	size_t count;
	const char *first; /* label */
};
void plot_count_left(struct plot_left_cells *left, const struct plot_cell *cell);
void plot_left_out_cells(struct plotter *p, const struct plot_left_cells *left,
			 const char *reason);

/* 1-based number of a series among those used, as the tables name it. */
size_t plot_series_number(const bool *series_used, size_t series);

/* Lower-case letters, digits, '.', '-' and '_' of text, the rest as '-'. Caller frees. */
char *plot_slug(const char *text);

/* Do the cell's sizes stand for blocks of 2^order pages? */
bool plot_cell_of_pages(const struct plot_cell *cell);

/* bench/plot_lines.c: a picture of small multiples for each workload. */
struct plot_lines {
	const char *metric; /* of results.h */
	double scale;	    /* drawn = metric * scale */
	const char *what;   /* "a size", "a number of threads": why nothing was drawn */
	const char *title;  /* with one %s: the workload */
	const char *subtitle;
	double (*x)(const struct plot_cell *cell);
	const char *(*panel_key)(const struct plot_cell *cell);
	const char *(*panel_label)(const struct plot_cell *cell);
	const char *(*x_label)(double x, char *buf, size_t size);
	/* Which cells it is about; NULL: all. Nothing is said of the others. */
	bool (*concerns)(const struct plot_cell *cell);
	/* A series with less than half of the points of the panel's longest is left out.
	 */
	bool leave_out_few;
	bool short_tics; /* one or two characters each: none has to be left out */
};
int plot_lines_draw(struct plotter *p, const struct plot_lines *lines);

#endif /* KMEMBENCH_PLOT_INTERNAL_H */
