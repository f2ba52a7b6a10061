/* SPDX-License-Identifier: MIT */
/*
 * What age, frag-time and numa-fallback have in common: medians over blocks against the
 * bytes that were allocated so far, a panel for each figure, a line for each allocator.
 */
#include "bench/plot_clock.h"

#include "bench/plot_alloc.h"

#include <errno.h>
#include <math.h>

/* Steps of a curve: more than a panel has pixels for would show nothing more. */
#define POINTS 160

/* Rows of plots/clock.gp; returns how many. */
static size_t write_panel(struct plotter *p, size_t cell, const bool *used,
			  const struct clock_picture *picture,
			  const struct clock_panel *panel, size_t number)
{
	size_t points = 0;

	for (size_t s = 0; s < p->d->nr_series; s++) {
		struct curves c;

		if (!used[s])
			continue;
		picture->take(dataset_at(p->d, cell, s), panel, &c);
		points += curves_write(p->table, number, plot_series_number(used, s), &c,
				       POINTS);
		curves_free(&c);
	}
	return points;
}

/* Blocks: lines; panels with their titles and units; the clock's step. Empty panels are
 * not numbered. Returns how many there are. */
static size_t write_table(struct plotter *p, size_t cell, const bool *used,
			  const struct clock_picture *picture)
{
	const struct clock_panel **drawn = plot_calloc(picture->nr_panels,
						       sizeof(struct clock_panel *));
	size_t n = 0;

	for (size_t i = 0; i < picture->nr_panels; i++) {
		const struct clock_panel *panel = &picture->panels[i];

		if (write_panel(p, cell, used, picture, panel, n + 1) > 0)
			drawn[n++] = panel;
	}
	fputc('\n', p->table);
	for (size_t i = 0; i < n; i++)
		fprintf(p->table, "%zu\t%d\t%s\n", i + 1, (int)drawn[i]->unit,
			drawn[i]->title);
	plot_next_block(p);
	fprintf(p->table, "%g\n", picture->step_ns);
	free(drawn);
	return n;
}

double clock_step(const struct result_entry *e)
{
	const json_t *latency = json_object_get(e->kmembench, "latency");
	double step = json_number_value(json_object_get(latency, "clock_granularity_ns"));

	return step > 1 ? step : 1;
}

double clock_step_of_cell(const struct dataset *d, size_t cell, const bool *used)
{
	double step = 1;

	for (size_t s = 0; s < d->nr_series; s++) {
		const struct measurement *m = dataset_at(d, cell, s);

		for (size_t b = 0; used[s] && b < m->nr_blocks; b++)
			step = fmax(step, clock_step(&m->blocks[b]));
	}
	return step;
}

int plot_clock_draw(struct plotter *p, size_t cell, const bool *used,
		    const struct clock_picture *picture)
{
	const char *label = p->d->cells[cell].label;
	char *title = plot_printf(picture->title, label);
	int err = 0;

	if (plot_begin(p, label, used) == NULL) {
		err = -EIO;
	} else if (write_table(p, cell, used, picture) > 0) {
		err = plot_submit(p, title, picture->subtitle, picture->note);
	} else {
		plot_abandon(p);
		plot_left_out(p, "'%s' has too few samples for a line", label);
	}
	free(title);
	return err;
}
