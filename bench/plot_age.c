/* SPDX-License-Identifier: MIT */
/*
 * age: the fragmentation clock. The workload `age` replaces objects at a fixed live size
 * for as long as it is asked to; what an allocator's heap becomes is drawn against the
 * bytes allocated so far, which is the clock that fragmentation runs by, not time. A
 * picture for each cell: fragmentation, mappings and latency.
 */
#include <math.h>
#include <string.h>

#include "bench/plot_alloc.h"
#include "bench/plot_clock.h"

#define AGE_WORKLOAD "age"

static double percent_internal(const struct timeline *t, size_t row)
{
	return 100 * timeline_internal(t, row);
}

static double percent_external(const struct timeline *t, size_t row)
{
	return 100 * timeline_external(t, row);
}

#define OF_TIMELINE(value_) .value = (value_)
#define OF_SEGMENTS(operation_, percentile_) \
	.operation = (operation_), .percentile = (percentile_)

static const struct clock_panel panels[] = {
	{"internal fragmentation, (U − L) / U", CLOCK_PERCENT,
	 OF_TIMELINE(percent_internal)},
	{"external and retained, (R − U) / R", CLOCK_PERCENT,
	 OF_TIMELINE(percent_external)},
	{"space ratio, R / L", CLOCK_RATIO, OF_TIMELINE(timeline_space_ratio)},
	{"mappings", CLOCK_COUNT, OF_TIMELINE(timeline_mappings)},
	{"alloc, median", CLOCK_NS, OF_SEGMENTS("alloc", "p50")},
	{"alloc, 99th percentile", CLOCK_NS, OF_SEGMENTS("alloc", "p99")},
	{"free, median", CLOCK_NS, OF_SEGMENTS("free", "p50")},
	{"free, 99th percentile", CLOCK_NS, OF_SEGMENTS("free", "p99")},
};

/* Latency of the operations up to each mark of the clock, block by block. */
static void segments_of(const struct measurement *m, const struct clock_panel *panel,
			struct curves *out)
{
	*out = (struct curves){0};
	for (size_t b = 0; b < m->nr_blocks; b++) {
		const json_t *list = json_object_get(m->blocks[b].kmembench, "age");
		double step = clock_step(&m->blocks[b]);
		const json_t *segment;
		size_t i;

		json_array_foreach (list, i, segment) {
			const json_t *x = json_object_get(segment, "allocated_bytes");
			const json_t *y = json_object_get(
				json_object_get(segment, panel->operation),
				panel->percentile);

			/* A logarithmic axis has no zero: below the step is half of it.
			 */
			if (json_is_number(x) && json_is_number(y))
				curves_add_point(out, json_number_value(x),
						 fmax(json_number_value(y), step / 2));
		}
		curves_end(out);
	}
}

/* While the heap fills at first there is nothing to fragment: the clock begins with the
 * first sample at half of the most that was ever live. */
static size_t filled(const struct timeline *t)
{
	size_t row = 0;
	double most = 0;

	for (size_t r = 0; r < t->rows; r++)
		most = fmax(most, timeline_live(t, r));
	while (row < t->rows && !(timeline_live(t, row) >= most / 2))
		row++;
	return row;
}

static double clock_of(const struct timeline *t, size_t row)
{
	return timeline_working(t, row) ? timeline_allocated(t, row) : NAN;
}

static void take_curves(const struct measurement *m, const struct clock_panel *panel,
			struct curves *out)
{
	if (panel->value != NULL)
		curves_of(m, clock_of, panel->value, filled, out);
	else
		segments_of(m, panel, out);
}

static int draw_cell(struct plotter *p, size_t cell, const bool *used)
{
	const struct clock_picture picture = {
		.title = "Fragmentation clock: %s",
		.subtitle =
			"by the bytes allocated so far, at a fixed live size; lower is "
			"better",
		.note = "Medians over blocks; pale band: minimum to maximum. R resident, U "
			"usable, L live bytes. Latency: of the operations since the mark "
			"before, the clock's own cost subtracted.",
		.panels = panels,
		.nr_panels = KMEM_ARRAY_SIZE(panels),
		.take = take_curves,
		.step_ns = clock_step_of_cell(p->d, cell, used),
	};

	return plot_clock_draw(p, cell, used, &picture);
}

/* Floors keep nothing or give nothing back: they do not age. */
static bool ages(const struct dataset *d, size_t cell, size_t series)
{
	struct curves c;
	bool has;

	if (d->series[series].kind == SERIES_FLOOR)
		return false;
	take_curves(dataset_at(d, cell, series), &panels[2], &c);
	has = curves_meet(&c);
	curves_free(&c);
	return has;
}

static int draw(struct plotter *p)
{
	bool *used = plot_calloc(p->d->nr_series, sizeof(*used));
	int err = 0;

	for (size_t c = 0; c < p->d->nr_cells && err == 0; c++) {
		size_t n = 0;

		if (strcmp(p->d->cells[c].workload, AGE_WORKLOAD) != 0)
			continue;
		for (size_t s = 0; s < p->d->nr_series; s++) {
			used[s] = ages(p->d, c, s);
			n += used[s];
		}
		if (n > 0)
			err = draw_cell(p, c, used);
		else
			plot_left_out(p,
				      "'%s' has no memory time lines of which half "
				      "of the blocks have a place in common",
				      p->d->cells[c].label);
	}
	if (err == 0 && p->drawn == 0)
		plot_left_out(p, "the workload 'age' was not measured");
	free(used);
	return err;
}

static const struct plot_kind age = {
	.name = "age",
	.rank = 46,
	.draw = draw,
};
PLOT_REGISTER(age);
