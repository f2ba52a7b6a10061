/* SPDX-License-Identifier: MIT */
/*
 * frag-index: the unusable free space index by order (Gorman and Whitcroft, OLS 2006):
 * the share of free memory that a request of an order cannot use. A picture for each
 * workload that reports it, a panel for each cell, a line for each allocator.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <kmem/mm_types.h>

#include "bench/plot_alloc.h"
#include "bench/plot_internal.h"

#define PANELS_MAX 6
/* Where all of the free memory is whole there is nothing to see. */
#define INDEX_MIN 0.01

static bool index_of(const struct measurement *m, int order, struct summary *s)
{
	char metric[48];

	if (order == 0) {
		*s = (struct summary){.blocks = m->nr_blocks};
		return index_of(m, 1, &(struct summary){0});
	}
	snprintf(metric, sizeof(metric), "unusable_index_order%d_ratio", order);
	return dataset_summary(m, metric, s);
}

static bool cell_has(const struct dataset *d, size_t cell, bool *used)
{
	bool any = false;

	for (size_t s = 0; s < d->nr_series; s++) {
		struct summary v;
		bool has = index_of(dataset_at(d, cell, s), 1, &v);

		if (used != NULL)
			used[s] |= has;
		any |= has && index_of(dataset_at(d, cell, s), MAX_ORDER - 1, &v) &&
		       v.middle >= INDEX_MIN;
	}
	return any;
}

/* Rows: panel, series, order, middle, low, high in per cent; an empty line between. */
static void write_cell(struct plotter *p, size_t panel, size_t cell, const bool *used)
{
	const struct dataset *d = p->d;

	for (size_t s = 0; s < d->nr_series; s++) {
		size_t points = 0;

		for (int order = 0; order < MAX_ORDER && used[s]; order++) {
			struct summary v;

			if (!index_of(dataset_at(d, cell, s), order, &v))
				continue;
			fprintf(p->table, "%zu\t%zu\t%d\t%.6g\t%.6g\t%.6g\n", panel,
				plot_series_number(used, s), order, 100 * v.middle,
				100 * v.low, 100 * v.high);
			if (order > 0)
				plot_count_bar(p, &v);
			points++;
		}
		/* Two empty lines would end the block. */
		if (points > 0)
			fputc('\n', p->table);
	}
}

static int draw_page(struct plotter *p, const size_t *cells, size_t n, size_t number)
{
	const struct dataset *d = p->d;
	const char *workload = d->cells[cells[0]].workload;
	bool *used = plot_calloc(d->nr_series, sizeof(*used));
	char *detail = number > 1 ? plot_printf("%s %zu", workload, number)
				  : plot_strdup(workload);
	char *title = plot_printf("Free memory that an order cannot use: %s", workload);
	char bars[128], note[256];
	int err = -EIO;

	for (size_t i = 0; i < n; i++)
		cell_has(d, cells[i], used);
	if (plot_begin(p, detail, used) != NULL) {
		for (size_t i = 0; i < n; i++)
			write_cell(p, i + 1, cells[i], used);
		fputc('\n', p->table);
		for (size_t i = 0; i < n; i++)
			fprintf(p->table, "%zu\t%s\n", i + 1,
				*d->cells[cells[i]].panel != '\0'
					? d->cells[cells[i]].panel
					: workload);
		snprintf(note, sizeof(note),
			 "Unusable free space index after the work, HIGHMEM left out. "
			 "Points: median over blocks. Bars: %s.",
			 plot_bars_text(p, "95 % interval of the median", bars,
					sizeof(bars)));
		err = plot_submit(p, title,
				  "share of free memory in blocks that are too small for "
				  "2^order pages; lower is better",
				  note);
	}
	free(title);
	free(detail);
	free(used);
	return err;
}

static int draw(struct plotter *p)
{
	const struct dataset *d = p->d;
	size_t cells[PANELS_MAX], n = 0, number = 1;
	int err = 0;

	for (size_t c = 0; c < d->nr_cells && err == 0; c++) {
		bool last = c + 1 == d->nr_cells ||
			    strcmp(d->cells[c + 1].workload, d->cells[c].workload) != 0;

		if (cell_has(d, c, NULL))
			cells[n++] = c;
		if (n == PANELS_MAX || (last && n > 0)) {
			err = draw_page(p, cells, n, number++);
			n = 0;
		}
		if (last)
			number = 1;
	}
	if (err == 0 && p->drawn == 0)
		plot_left_out(p, "no result tells of free memory that is not whole");
	return err;
}

static const struct plot_kind frag_index = {
	.name = "frag-index",
	.rank = 51,
	.draw = draw,
};
PLOT_REGISTER(frag_index);
