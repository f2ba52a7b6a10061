/* SPDX-License-Identifier: MIT */
/*
 * blocks: every block of every allocator, as the processes came: a dot each over a box of
 * the quartiles. Within a row dots stand in the order of the blocks, the first at the
 * top, so that drift during the run shows as a slope. Outliers are hollow; none is left
 * out.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "bench/plot_alloc.h"
#include "bench/plot_internal.h"
#include "bench/stats.h"

#define PAGE_ROWS	 26 /* of one column of panels */
#define PANEL_ROWS_EXTRA 3  /* title and axis of a panel, in rows */
/* Beyond this span between allocators a linear axis would press the fast ones flat. */
#define LINEAR_SPAN_MAX 4.0

struct block_values {
	double *values;
	int *blocks;
	bool *outlying; /* by the logarithms: times scatter by factors */
	size_t count;
};

static void take_values(const struct measurement *m, struct block_values *v)
{
	double *logs = plot_calloc(m->nr_blocks, sizeof(*logs));

	*v = (struct block_values){
		.values = plot_calloc(m->nr_blocks, sizeof(*v->values)),
		.blocks = plot_calloc(m->nr_blocks, sizeof(*v->blocks)),
		.outlying = plot_calloc(m->nr_blocks, sizeof(*v->outlying)),
	};
	for (size_t i = 0; i < m->nr_blocks; i++) {
		double ns = m->blocks[i].real_time_ns;

		if (!(ns > 0))
			continue;
		logs[v->count] = log(ns);
		v->blocks[v->count] = m->blocks[i].block;
		v->values[v->count++] = ns;
	}
	stats_mark_outliers(logs, v->count, v->outlying);
	free(logs);
}

static void free_values(struct block_values *v)
{
	free(v->values);
	free(v->blocks);
	free(v->outlying);
}

/* Floors take a hundredth of an allocator's time: they would make the axis. */
static bool shown(const struct dataset *d, size_t cell, size_t series)
{
	return d->series[series].kind != SERIES_FLOOR &&
	       dataset_at(d, cell, series)->nr_blocks > 0;
}

/* Rows: panel, series, first quartile, median, third quartile. */
static void write_boxes(struct plotter *p, const size_t *cells, size_t nr_cells,
			const bool *used)
{
	for (size_t i = 0; i < nr_cells * p->d->nr_series; i++) {
		size_t cell = cells[i / p->d->nr_series], series = i % p->d->nr_series;
		struct block_values v;

		if (!shown(p->d, cell, series))
			continue;
		take_values(dataset_at(p->d, cell, series), &v);
		if (v.count > 0)
			fprintf(p->table, "%zu\t%zu\t%.8g\t%.8g\t%.8g\n",
				i / p->d->nr_series + 1, plot_series_number(used, series),
				stats_quantile(v.values, v.count, 0.25),
				stats_median(v.values, v.count),
				stats_quantile(v.values, v.count, 0.75));
		free_values(&v);
	}
}

/* Rows: panel, series, place of the block from 0 to 1, ns, 1 where it is an outlier. */
static void write_dots(struct plotter *p, const size_t *cells, size_t nr_cells,
		       const bool *used, size_t *outliers)
{
	for (size_t i = 0; i < nr_cells * p->d->nr_series; i++) {
		size_t cell = cells[i / p->d->nr_series], series = i % p->d->nr_series;
		struct block_values v;
		int last = 0;

		if (!shown(p->d, cell, series))
			continue;
		take_values(dataset_at(p->d, cell, series), &v);
		for (size_t b = 0; b < v.count; b++)
			last = v.blocks[b] > last ? v.blocks[b] : last;
		for (size_t b = 0; b < v.count; b++) {
			fprintf(p->table, "%zu\t%zu\t%.4g\t%.8g\t%d\n",
				i / p->d->nr_series + 1, plot_series_number(used, series),
				last > 0 ? (double)v.blocks[b] / last : 0.5, v.values[b],
				v.outlying[b]);
			*outliers += v.outlying[b];
		}
		free_values(&v);
	}
}

/* Does the median of the slowest allocator of some panel lie far above the fastest's? */
static bool wide(const struct dataset *d, const size_t *cells, size_t nr_cells)
{
	bool is_wide = false;

	for (size_t i = 0; i < nr_cells; i++) {
		double low = INFINITY, high = 0;

		for (size_t s = 0; s < d->nr_series; s++) {
			struct summary m;

			if (!shown(d, cells[i], s) ||
			    !dataset_summary(dataset_at(d, cells[i], s), "real_time", &m))
				continue;
			low = fmin(low, m.middle);
			high = fmax(high, m.middle);
		}
		is_wide |= high > low * LINEAR_SPAN_MAX;
	}
	return is_wide;
}

static int draw_page(struct plotter *p, const size_t *cells, size_t nr_cells,
		     size_t number)
{
	const struct dataset *d = p->d;
	const char *workload = d->cells[cells[0]].workload;
	bool *used = plot_calloc(d->nr_series, sizeof(*used));
	char *detail = number > 1 ? plot_printf("%s %zu", workload, number)
				  : plot_strdup(workload);
	char *title = plot_printf("Every block: %s", workload), *note;
	size_t outliers = 0;
	int err = -EIO;

	for (size_t i = 0; i < nr_cells * d->nr_series; i++)
		used[i % d->nr_series] |= shown(d, cells[i / d->nr_series],
						i % d->nr_series);
	if (plot_begin(p, detail, used) != NULL) {
		for (size_t i = 0; i < nr_cells; i++)
			fprintf(p->table, "%s\n", d->cells[cells[i]].panel);
		plot_next_block(p);
		write_boxes(p, cells, nr_cells, used);
		plot_next_block(p);
		write_dots(p, cells, nr_cells, used, &outliers);
		plot_next_block(p);
		fprintf(p->table, "%d\n", wide(d, cells, nr_cells));
		note = plot_printf(
			"A dot a process, the first block's at the top of its row; "
			"box: quartiles and median. Hollow, ringed red: outlier "
			"(modified z-score above %.1f), %zu here, none left out.",
			STATS_OUTLIER_SCORE, outliers);
		err = plot_submit(p, title,
				  "ns per operation and thread; lower is better", note);
		free(note);
	}
	free(title);
	free(detail);
	free(used);
	return err;
}

/* Most blocks of any allocator in the cell. */
static size_t most_blocks(const struct dataset *d, size_t cell)
{
	size_t most = 0;

	for (size_t s = 0; s < d->nr_series; s++) {
		if (shown(d, cell, s) && dataset_at(d, cell, s)->nr_blocks > most)
			most = dataset_at(d, cell, s)->nr_blocks;
	}
	return most;
}

static size_t panels_per_page(const struct dataset *d, size_t cell)
{
	size_t rows = PANEL_ROWS_EXTRA;

	for (size_t s = 0; s < d->nr_series; s++)
		rows += shown(d, cell, s);
	return 2 * (PAGE_ROWS / rows > 0 ? PAGE_ROWS / rows : 1);
}

static int draw(struct plotter *p)
{
	const struct dataset *d = p->d;
	size_t *cells = plot_calloc(d->nr_cells, sizeof(*cells)), n = 0, number = 1;
	int err = 0;

	for (size_t c = 0; c < d->nr_cells && err == 0; c++) {
		bool last = c + 1 == d->nr_cells ||
			    strcmp(d->cells[c + 1].workload, d->cells[c].workload) != 0;

		if (most_blocks(d, c) > 1)
			cells[n++] = c;
		if (n > 0 && (last || n == panels_per_page(d, cells[0]))) {
			err = draw_page(p, cells, n, number++);
			n = 0;
		}
		if (last)
			number = 1;
	}
	if (err == 0 && p->drawn == 0)
		plot_left_out(p, "no cell has two blocks");
	free(cells);
	return err;
}

static const struct plot_kind blocks = {
	.name = "blocks",
	.rank = 35,
	.draw = draw,
};
PLOT_REGISTER(blocks);
