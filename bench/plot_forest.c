/* SPDX-License-Identifier: MIT */
/*
 * forest: the ratio of every cell to the baseline with its interval and its verdict, a
 * panel for each allocator, the equivalence band shaded (after the forest plots of
 * meta-analysis). The figures are those of `kmembench compare`.
 */
#include <errno.h>
#include <string.h>

#include "bench/plot_alloc.h"
#include "bench/plot_internal.h"
#include "bench/plot_ratios.h"

struct forest {
	struct plotter *p;
	struct ratios ratios;
	int baseline;
	size_t cells[RATIO_PAGE_ROWS];
	size_t nr_cells, number; /* 1, 2, … of this baseline */
};

static bool has_ratio(const struct forest *f, size_t series)
{
	for (size_t i = 0; i < f->nr_cells; i++) {
		if (ratios_at(&f->ratios, f->cells[i], series) != NULL)
			return true;
	}
	return false;
}

static int draw_panels(struct forest *f, const bool *used)
{
	const char *name = f->p->d->series[f->baseline].allocator;
	struct ratio_page page = {.ratios = &f->ratios,
				  .cells = f->cells,
				  .nr_cells = f->nr_cells,
				  .used = used};
	char *detail = f->number > 1 ? plot_printf("%s %zu", name, f->number)
				     : plot_strdup(name);
	char *title = plot_printf("Verdicts against %s%s", name,
				  f->number > 1 ? ", continued" : "");
	char *note;
	int err = -EIO;

	if (plot_begin(f->p, detail, used) != NULL) {
		ratio_page_write(f->p, &page);
		note = plot_printf(
			"Ratio of time per operation to %s, paired within blocks; bars: "
			"Hodges–Lehmann 95 %% interval. Shaded: equivalence band, ±%.3g %%. "
			"Open: it cannot be told.",
			name, COMPARE_EQUIVALENCE_PCT);
		err = plot_submit(f->p, title, "left of 1 is faster; logarithmic", note);
		free(note);
	}
	f->number++;
	free(title);
	free(detail);
	return err;
}

/* The cells in hand, so many allocators at a time. */
static int draw_cells(struct forest *f)
{
	const struct dataset *d = f->p->d;
	bool *used = plot_calloc(d->nr_series, sizeof(*used));
	size_t panels = 0;
	int err = 0;

	for (size_t s = 0; s < d->nr_series && err == 0; s++) {
		/* Floors are no candidates: they are in the summary. */
		if (d->series[s].kind != SERIES_FLOOR && has_ratio(f, s)) {
			used[s] = true;
			panels++;
		}
		if (panels == RATIO_PAGE_PANELS ||
		    (s + 1 == d->nr_series && panels > 0)) {
			err = draw_panels(f, used);
			memset(used, 0, d->nr_series * sizeof(*used));
			panels = 0;
		}
	}
	f->nr_cells = 0;
	free(used);
	return err;
}

static int draw_baseline(struct plotter *p, int baseline)
{
	struct forest f = {.p = p, .baseline = baseline, .number = 1};
	int err = 0;

	for (size_t c = 0; c < p->d->nr_cells && err == 0; c++) {
		if (dataset_baseline(p->d, c) != baseline)
			continue;
		if (f.ratios.row == NULL)
			ratios_load(p->d, baseline, &f.ratios);
		f.cells[f.nr_cells++] = c;
		if (f.nr_cells == RATIO_PAGE_ROWS)
			err = draw_cells(&f);
	}
	if (err == 0 && f.nr_cells > 0)
		err = draw_cells(&f);
	ratios_free(&f.ratios);
	return err;
}

static int draw(struct plotter *p)
{
	int err = 0;

	for (size_t s = 0; s < p->d->nr_series && err == 0; s++)
		err = draw_baseline(p, (int)s);
	if (err == 0 && p->drawn == 0)
		plot_left_out(p, "no cell was measured on two allocators in one run");
	return err;
}

static const struct plot_kind forest = {
	.name = "forest",
	.rank = 12,
	.draw = draw,
};
PLOT_REGISTER(forest);
