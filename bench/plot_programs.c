/* SPDX-License-Identifier: MIT */
/*
 * programs: whole programs under several mallocs ('exec --results'). CPU time and peak
 * resident memory relative to the baseline's, side by side: a row for each program, the
 * geometric mean first, a dot for each allocator.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "bench/plot_alloc.h"
#include "bench/plot_internal.h"

#define WORKLOAD "program"
/* Rows of a picture: more are left out, and that is said. */
#define ROWS_MAX   40
#define BLOCKS_MAX 1000

static const struct panel {
	const char *metric, *title;
} panels[] = {
	{"cpu_time", "CPU time of all its processes"},
	{"rss_bytes_peak", "peak resident memory"},
};

struct picture {
	size_t cells[ROWS_MAX], nr_cells;
	size_t baseline;
	bool *used;
};

static bool value_of_block(const struct measurement *m, int block, const char *metric,
			   double *value)
{
	for (size_t i = 0; i < m->nr_blocks; i++) {
		if (m->blocks[i].block == block)
			return result_metric(&m->blocks[i], metric, value) && *value > 0;
	}
	return false;
}

/* Mean of the programs' log ratios in one block; false: a program is missing in it. */
static bool block_mean(const struct plotter *p, const struct picture *pic, size_t series,
		       const char *metric, int block, double *mean)
{
	double sum = 0;

	for (size_t i = 0; i < pic->nr_cells; i++) {
		double value, base;

		if (!value_of_block(dataset_at(p->d, pic->cells[i], series), block,
				    metric, &value) ||
		    !value_of_block(dataset_at(p->d, pic->cells[i], pic->baseline), block,
				    metric, &base))
			return false;
		sum += log(value / base);
	}
	*mean = sum / (double)pic->nr_cells;
	return true;
}

/* Over the blocks in which every program ran. */
static bool geometric_mean(const struct plotter *p, const struct picture *pic,
			   size_t series, const char *metric, struct summary *s)
{
	const struct measurement *first = dataset_at(p->d, pic->cells[0], series);
	double logs[BLOCKS_MAX];
	size_t n = 0;

	for (size_t i = 0; i < first->nr_blocks && n < BLOCKS_MAX; i++) {
		if (block_mean(p, pic, series, metric, first->blocks[i].block, &logs[n]))
			n++;
	}
	return n > 0 && summarise_log_ratios(logs, n, s);
}

static void write_dot(struct plotter *p, size_t panel, size_t row, size_t series,
		      const struct summary *s)
{
	fprintf(p->table, "%zu\t%zu\t%zu\t%g\t%g\t%g\n", panel + 1, row, series,
		s->middle, s->low, s->high);
	plot_count_bar(p, s);
}

/* Rows: panel, row, series, ratio, low, high. */
static void write_dots(struct plotter *p, const struct picture *pic)
{
	const struct dataset *d = p->d;

	for (size_t panel = 0; panel < KMEM_ARRAY_SIZE(panels); panel++) {
		const char *metric = panels[panel].metric;

		for (size_t n = 0; n < d->nr_series; n++) {
			size_t number = plot_series_number(pic->used, n);
			struct summary s;

			if (!pic->used[n])
				continue;
			if (pic->nr_cells > 1 && geometric_mean(p, pic, n, metric, &s))
				write_dot(p, panel, 1, number, &s);
			for (size_t i = 0; i < pic->nr_cells; i++) {
				size_t c = pic->cells[i];

				if (dataset_ratio(dataset_at(d, c, n),
						  dataset_baseline_at(
							  d, c, (int)pic->baseline, n),
						  metric, &s))
					write_dot(p, panel, i + 1 + (pic->nr_cells > 1),
						  number, &s);
			}
		}
	}
}

static void write_rows(struct plotter *p, const struct picture *pic)
{
	if (pic->nr_cells > 1)
		fputs("1\tgeometric mean\n", p->table);
	for (size_t i = 0; i < pic->nr_cells; i++) {
		const json_t *params = p->d->cells[pic->cells[i]].params;
		char buf[32];

		fprintf(p->table, "%zu\t%s\n", i + 1 + (pic->nr_cells > 1),
			json_text(params, "program", "?", buf, sizeof(buf)));
	}
}

static int draw_picture(struct plotter *p, const struct picture *pic)
{
	const char *baseline = p->d->series[pic->baseline].name;
	char *title = plot_printf("Whole programs relative to %s", baseline);
	char bars[128], *note;
	int err = -EIO;

	if (plot_begin(p, p->d->series[pic->baseline].allocator, pic->used) != NULL) {
		write_rows(p, pic);
		plot_next_block(p);
		write_dots(p, pic);
		plot_next_block(p);
		for (size_t i = 0; i < KMEM_ARRAY_SIZE(panels); i++)
			fprintf(p->table, "%zu\t%s\n", i + 1, panels[i].title);
		note = plot_printf("Dots: %s of the ratio within rounds. Bars: %s.",
				   p->intervals > 0 ? "Hodges–Lehmann estimate"
						    : "median",
				   plot_bars_text(p, "its signed-rank 95 % interval",
						  bars, sizeof(bars)));
		err = plot_submit(p, title, "left of 1 is less; lower is better", note);
		free(note);
	}
	free(title);
	return err;
}

static int draw(struct plotter *p)
{
	const struct dataset *d = p->d;
	struct picture pic = {.used = plot_calloc(d->nr_series, sizeof(bool))};
	size_t left_out = 0;
	int err = 0;

	for (size_t c = 0; c < d->nr_cells; c++) {
		if (strcmp(d->cells[c].workload, WORKLOAD) != 0 ||
		    dataset_baseline(d, c) < 0)
			continue;
		if (pic.nr_cells == 0)
			pic.baseline = (size_t)dataset_baseline(d, c);
		if (pic.nr_cells == ROWS_MAX ||
		    dataset_at(d, c, pic.baseline)->nr_blocks == 0) {
			left_out++;
			continue;
		}
		pic.cells[pic.nr_cells++] = c;
		for (size_t n = 0; n < d->nr_series; n++)
			pic.used[n] |= dataset_at(d, c, n)->nr_blocks > 0;
	}
	if (pic.nr_cells > 0)
		err = draw_picture(p, &pic);
	if (left_out > 0)
		plot_left_out(p, "%zu program%s: no run under '%s', or too many rows",
			      left_out, left_out == 1 ? "" : "s",
			      d->series[pic.baseline].name);
	free(pic.used);
	return err;
}

static const struct plot_kind programs = {
	.name = "programs",
	.rank = 15,
	.draw = draw,
};
PLOT_REGISTER(programs);
