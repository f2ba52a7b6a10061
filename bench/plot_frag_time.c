/* SPDX-License-Identifier: MIT */
/*
 * frag-time: what ageing makes of the free memory of a page allocator, against the
 * bytes allocated since the pass began: the share in whole blocks of 2 MiB, and the
 * fragmentation indices of free_blocks.h. A picture for each cell of a workload whose
 * time line has them and in which blocks stay live.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "bench/plot_alloc.h"
#include "bench/plot_curves.h"
#include "bench/plot_internal.h"

#define POINTS 160

/* As plots/clock.gp numbers them. */
enum frag_unit { FRAG_PERCENT, FRAG_RATIO, FRAG_COUNT };

struct frag_panel {
	const char *title;
	enum frag_unit unit;
	timeline_value *value;
};

/* NaN from the last step on: what the drain of the blocks does is no ageing. */
static double working(const struct timeline *t, size_t row, enum timeline_column column)
{
	if (!timeline_working(t, row) || strcmp(timeline_phase(t, row), "freeing") == 0)
		return NAN;
	return t->column[column][row];
}

static double huge_percent(const struct timeline *t, size_t row)
{
	return 100 * working(t, row, TIMELINE_HUGE_SHARE);
}

static double unusable_3(const struct timeline *t, size_t row)
{
	return 100 * working(t, row, TIMELINE_UNUSABLE_3);
}

static double unusable_6(const struct timeline *t, size_t row)
{
	return 100 * working(t, row, TIMELINE_UNUSABLE_6);
}

static double fragmentation(const struct timeline *t, size_t row)
{
	return 100 * working(t, row, TIMELINE_FRAGMENTATION);
}

static const struct frag_panel panels[] = {
	{"in whole blocks of 2 MiB, higher is better", FRAG_PERCENT, huge_percent},
	{"not usable for order 3, lower is better", FRAG_PERCENT, unusable_3},
	{"not usable for order 6, lower is better", FRAG_PERCENT, unusable_6},
	{"fragmentation index of order 9, where no block suits", FRAG_PERCENT,
	 fragmentation},
};

static bool has_course(const struct dataset *d, size_t cell, size_t series)
{
	struct curves c;
	bool has;

	curves_of(dataset_at(d, cell, series), timeline_allocated, huge_percent, NULL,
		  &c);
	has = c.count > 0;
	curves_free(&c);
	return has;
}

static int draw_cell(struct plotter *p, size_t cell, const bool *used)
{
	const struct dataset *d = p->d;
	char *title = plot_printf("Free memory as it ages: %s", d->cells[cell].label);
	const struct frag_panel *drawn[KMEM_ARRAY_SIZE(panels)];
	size_t nr_drawn = 0;
	int err = -EIO;

	if (plot_begin(p, d->cells[cell].label, used) == NULL)
		goto out;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(panels); i++) {
		size_t points = 0;

		for (size_t s = 0; s < d->nr_series; s++) {
			struct curves c;

			if (!used[s])
				continue;
			curves_of(dataset_at(d, cell, s), timeline_allocated,
				  panels[i].value, NULL, &c);
			points += curves_write(p->table, nr_drawn + 1,
					       plot_series_number(used, s), &c, POINTS);
			curves_free(&c);
		}
		if (points > 0)
			drawn[nr_drawn++] = &panels[i];
	}
	fputc('\n', p->table);
	for (size_t i = 0; i < nr_drawn; i++)
		fprintf(p->table, "%zu\t%d\t%s\n", i + 1, (int)drawn[i]->unit,
			drawn[i]->title);
	plot_next_block(p);
	fputs("1\n", p->table);
	err = plot_submit(
		p, title,
		"shares of free memory by the bytes allocated since the memory pass began",
		"Medians over blocks; pale band: minimum to maximum. Order n: blocks of "
		"2ⁿ pages. HIGHMEM and per-CPU lists are left out.");
out:
	free(title);
	return err;
}

/* Everything is free again after each step of page-bulk: nothing ages. */
static bool ages(const struct plot_cell *cell)
{
	return strcmp(cell->workload, "page-bulk") != 0;
}

static int draw(struct plotter *p)
{
	const struct dataset *d = p->d;
	bool *used = plot_calloc(d->nr_series, sizeof(*used));
	int err = 0;

	for (size_t c = 0; c < d->nr_cells && err == 0; c++) {
		size_t n = 0;

		if (!ages(&d->cells[c]))
			continue;
		for (size_t s = 0; s < d->nr_series; s++) {
			used[s] = has_course(d, c, s);
			n += used[s];
		}
		if (n > 0)
			err = draw_cell(p, c, used);
	}
	if (err == 0 && p->drawn == 0)
		plot_left_out(p, "no memory time line tells of free pages");
	free(used);
	return err;
}

static const struct plot_kind frag_time = {
	.name = "frag-time",
	.rank = 52,
	.draw = draw,
};
PLOT_REGISTER(frag_time);
