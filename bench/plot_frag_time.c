/* SPDX-License-Identifier: MIT */
/*
 * frag-time: what ageing makes of the free memory of a page allocator, against the
 * bytes allocated since the pass began: the share in whole blocks of 2 MiB, and the
 * fragmentation indices of free_blocks.h. A picture for each cell of a workload whose
 * time line has them and in which blocks stay live.
 */
#include <math.h>
#include <string.h>

#include "bench/plot_alloc.h"
#include "bench/plot_clock.h"

/* NaN once the work is done: what the drain of the blocks does is no ageing. */
static double working(const struct timeline *t, size_t row, enum timeline_column column)
{
	return timeline_working(t, row) ? t->column[column][row] : NAN;
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

static const struct clock_panel panels[] = {
	{"in whole blocks of 2 MiB, higher is better", CLOCK_PERCENT,
	 .value = huge_percent},
	{"not usable for order 3, lower is better", CLOCK_PERCENT, .value = unusable_3},
	{"not usable for order 6, lower is better", CLOCK_PERCENT, .value = unusable_6},
	{"fragmentation index of order 9, where no block suits", CLOCK_PERCENT,
	 .value = fragmentation},
};

static void take_curves(const struct measurement *m, const struct clock_panel *panel,
			struct curves *out)
{
	curves_of(m, timeline_allocated, panel->value, NULL, out);
}

static bool has_course(const struct dataset *d, size_t cell, size_t series)
{
	struct curves c;
	bool has;

	take_curves(dataset_at(d, cell, series), &panels[0], &c);
	has = curves_meet(&c);
	curves_free(&c);
	return has;
}

/* Of the bytes allocated: a picture of less would show its axis and a stub. */
#define AGED_SHARE 0.1

/* Does the course go on for long enough to be one? The default memory pass has two
 * samples of a workload whose steps take 50 ms. */
static bool has_aged(const struct dataset *d, size_t cell, size_t series)
{
	struct curves c;
	double low = INFINITY, high = 0;

	take_curves(dataset_at(d, cell, series), &panels[0], &c);
	curves_range(&c, &low, &high);
	curves_free(&c);
	return high - low >= AGED_SHARE * high;
}

static int draw_cell(struct plotter *p, size_t cell, const bool *used)
{
	const struct clock_picture picture = {
		.title = "Free memory as it ages: %s",
		.subtitle =
			"shares of free memory by the bytes allocated since the memory "
			"pass began",
		.note = "Medians over blocks; pale band: minimum to maximum. Order n: blocks "
			"of 2ⁿ pages. HIGHMEM and per-CPU lists are left out.",
		.panels = panels,
		.nr_panels = KMEM_ARRAY_SIZE(panels),
		.take = take_curves,
		.step_ns = 1,
	};

	return plot_clock_draw(p, cell, used, &picture);
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
	bool told = false;
	int err = 0;

	for (size_t c = 0; c < d->nr_cells && err == 0; c++) {
		size_t n = 0, aged = 0;

		if (!ages(&d->cells[c]))
			continue;
		for (size_t s = 0; s < d->nr_series; s++) {
			used[s] = has_course(d, c, s);
			n += used[s];
			aged += used[s] && has_aged(d, c, s);
		}
		if (n > 0 && aged == 0)
			plot_left_out(p,
				      "'%s' has samples of a short while only: "
				      "--memory-time 1 lets it age",
				      d->cells[c].label);
		else if (n > 0)
			err = draw_cell(p, c, used);
		told |= n > 0;
	}
	if (err == 0 && !told)
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
