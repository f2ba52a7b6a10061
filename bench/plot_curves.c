/* SPDX-License-Identifier: MIT */
/* Time lines of blocks as curves that can be put on one axis. */
#include "bench/plot_curves.h"

#include <math.h>
#include <string.h>

#include "bench/plot_alloc.h"
#include "bench/sampler.h"

static const char *const column_names[NR_TIMELINE_COLUMNS] = {
	[TIMELINE_T_S] = "t_s",
	[TIMELINE_RSS] = "rss_bytes",
	[TIMELINE_LIVE] = "live_bytes",
	[TIMELINE_USABLE] = "usable_bytes",
	[TIMELINE_ALLOCATED] = "allocated_bytes",
	[TIMELINE_MAPPINGS] = "mappings",
	[TIMELINE_PHASE] = "phase",
	[TIMELINE_FREE_PAGES] = "free_pages",
	[TIMELINE_HUGE_SHARE] = "free_in_huge_blocks_ratio",
	[TIMELINE_UNUSABLE_3] = "unusable_index_order3_ratio",
	[TIMELINE_UNUSABLE_6] = "unusable_index_order6_ratio",
	[TIMELINE_FRAGMENTATION] = "fragmentation_index_order9_ratio",
	[TIMELINE_PAGES_MIN] = "pages_min",
	[TIMELINE_PAGES_LOW] = "pages_low",
	[TIMELINE_PAGES_HIGH] = "pages_high",
	[TIMELINE_KSWAPD_PAGES] = "kswapd_pages",
	[TIMELINE_DIRECT_PAGES] = "direct_pages",
};

/* --- time lines --- */

/* Position of a column in the file's rows; the number of columns when it is not there. */
static size_t find_column(const json_t *columns, const char *name)
{
	size_t i;

	for (i = 0; i < json_array_size(columns); i++) {
		const char *text = json_string_value(json_array_get(columns, i));

		if (text != NULL && strcmp(text, name) == 0)
			break;
	}
	return i;
}

bool timeline_of(const struct result_entry *e, struct timeline *t)
{
	const json_t *line = json_object_get(e->kmembench, "timeline");
	const json_t *columns = json_object_get(line, "columns");
	const json_t *rows = json_object_get(line, "rows");
	double *all;

	*t = (struct timeline){.rows = json_array_size(rows),
			       .phases = json_object_get(line, "phases")};
	if (t->rows < 2)
		return false;
	all = plot_calloc(t->rows * NR_TIMELINE_COLUMNS, sizeof(*all));
	for (int c = 0; c < NR_TIMELINE_COLUMNS; c++) {
		size_t at = find_column(columns, column_names[c]);

		t->column[c] = all + (size_t)c * t->rows;
		for (size_t r = 0; r < t->rows; r++) {
			const json_t *v = json_array_get(json_array_get(rows, r), at);

			t->column[c][r] = json_is_number(v) ? json_number_value(v) : NAN;
		}
	}
	return true;
}

void timeline_free(struct timeline *t)
{
	free(t->column[0]);
	*t = (struct timeline){0};
}

const char *timeline_phase(const struct timeline *t, size_t row)
{
	double phase = t->column[TIMELINE_PHASE][row];
	const char *name =
		phase >= 0 ? json_string_value(json_array_get(t->phases, (size_t)phase))
			   : NULL;

	return name != NULL ? name : "";
}

bool timeline_working(const struct timeline *t, size_t row)
{
	const char *phase = timeline_phase(t, row);

	if (row > 0 && strcmp(phase, "idle") == 0)
		phase = timeline_phase(t, row - 1);
	return sampler_phase_works(phase);
}

size_t timeline_phase_begin(const struct timeline *t, const char *name)
{
	size_t row = t->rows;

	while (row > 0 && strcmp(timeline_phase(t, row - 1), name) != 0)
		row--;
	if (row == 0)
		return t->rows;
	while (row > 0 && strcmp(timeline_phase(t, row - 1), name) == 0)
		row--;
	return row;
}

double timeline_seconds(const struct timeline *t, size_t row)
{
	return t->column[TIMELINE_T_S][row];
}

double timeline_resident(const struct timeline *t, size_t row)
{
	return t->column[TIMELINE_RSS][row];
}

double timeline_live(const struct timeline *t, size_t row)
{
	return t->column[TIMELINE_LIVE][row];
}

double timeline_usable(const struct timeline *t, size_t row)
{
	return t->column[TIMELINE_USABLE][row];
}

double timeline_allocated(const struct timeline *t, size_t row)
{
	return t->column[TIMELINE_ALLOCATED][row];
}

double timeline_mappings(const struct timeline *t, size_t row)
{
	return t->column[TIMELINE_MAPPINGS][row];
}

static double share(double part, double whole)
{
	return whole > 0 ? part / whole : NAN;
}

double timeline_internal(const struct timeline *t, size_t row)
{
	double usable = timeline_usable(t, row);

	return share(usable - timeline_live(t, row), usable);
}

/* Blocks that were never touched are usable and not resident: nothing is kept then. */
double timeline_external(const struct timeline *t, size_t row)
{
	double resident = timeline_resident(t, row);

	return share(fmax(resident - timeline_usable(t, row), 0), resident);
}

double timeline_space_ratio(const struct timeline *t, size_t row)
{
	return share(timeline_resident(t, row), timeline_live(t, row));
}

/* --- curves --- */

/* The curve in hand stands behind the last; it becomes one by curves_end(). */
void curves_add_point(struct curves *c, double x, double y)
{
	struct curve *curve;

	if (isnan(x) || isnan(y))
		return;
	if (c->list == NULL)
		c->list = plot_calloc(1, sizeof(*c->list));
	curve = &c->list[c->count];
	/* A sampler that was late may repeat a point: the later one stands. */
	if (curve->count > 0 && x <= curve->x[curve->count - 1]) {
		if (x == curve->x[curve->count - 1])
			curve->y[curve->count - 1] = y;
		return;
	}
	curve->x = plot_grow(curve->x, curve->count, sizeof(*curve->x));
	curve->y = plot_grow(curve->y, curve->count, sizeof(*curve->y));
	curve->x[curve->count] = x;
	curve->y[curve->count++] = y;
}

void curves_end(struct curves *c)
{
	if (c->list == NULL || c->list[c->count].count == 0)
		return;
	c->count++;
	c->list = plot_checked(reallocarray(c->list, c->count + 1, sizeof(*c->list)));
	c->list[c->count] = (struct curve){0};
}

void curves_free(struct curves *c)
{
	for (size_t i = 0; c->list != NULL && i <= c->count; i++) {
		free(c->list[i].x);
		free(c->list[i].y);
	}
	free(c->list);
	*c = (struct curves){0};
}

void curves_of(const struct measurement *m, timeline_value *x, timeline_value *y,
	       size_t (*from)(const struct timeline *t), struct curves *out)
{
	*out = (struct curves){0};
	for (size_t b = 0; b < m->nr_blocks; b++) {
		struct timeline t;

		if (!timeline_of(&m->blocks[b], &t))
			continue;
		t.origin = from != NULL ? from(&t) : 0;
		for (size_t r = t.origin; r < t.rows; r++)
			curves_add_point(out, x(&t, r), y(&t, r));
		curves_end(out);
		timeline_free(&t);
	}
}

bool curves_range(const struct curves *c, double *low, double *high)
{
	for (size_t i = 0; i < c->count; i++) {
		const struct curve *k = &c->list[i];

		*low = fmin(*low, k->x[0]);
		*high = fmax(*high, k->x[k->count - 1]);
	}
	return c->count > 0;
}

/* A sampler that did not get its turn leaves a gap, over which a straight line would be
 * invention. So many mean steps are one; what a stall of the host makes is longer. */
#define GAP_STEPS 4

/* Linear between points; false outside of them and in a gap. */
static bool interpolate(const struct curve *c, double x, double *y)
{
	size_t low = 0, high = c->count - 1;

	if (x < c->x[0] || x > c->x[high])
		return false;
	while (high - low > 1) {
		size_t middle = (low + high) / 2;

		if (c->x[middle] <= x)
			low = middle;
		else
			high = middle;
	}
	if (x > c->x[low] && (c->x[high] - c->x[low]) * (double)(c->count - 1) >
				     GAP_STEPS * (c->x[c->count - 1] - c->x[0]))
		return false;
	*y = c->y[low];
	if (high > low)
		*y += (c->y[high] - c->y[low]) * (x - c->x[low]) /
		      (c->x[high] - c->x[low]);
	return true;
}

bool curves_at(const struct curves *c, double x, struct summary *out)
{
	double *values = plot_calloc(c->count, sizeof(*values));
	size_t n = 0;

	for (size_t i = 0; i < c->count; i++) {
		if (interpolate(&c->list[i], x, &values[n]))
			n++;
	}
	if (n > 0 && 2 * n >= c->count) {
		summarise(values, n, out);
		out->low = values[0];
		out->high = values[n - 1];
		out->interval = false;
	}
	free(values);
	return n > 0 && 2 * n >= c->count;
}

bool curves_meet(const struct curves *c)
{
	struct summary s;

	/* Curves that overlap do so where the last of them begins. */
	for (size_t i = 0; i < c->count; i++) {
		if (curves_at(c, c->list[i].x[0], &s))
			return true;
	}
	return false;
}

size_t curves_write(FILE *table, size_t panel, size_t series, const struct curves *c,
		    int points)
{
	double low = INFINITY, high = 0;
	size_t written = 0;

	if (!curves_range(c, &low, &high))
		return 0;
	for (int i = 0; i <= points; i++) {
		double x = low + (high - low) * i / points;
		struct summary s;

		if (!curves_at(c, fmin(x, high), &s))
			continue;
		fprintf(table, "%zu\t%zu\t%.8g\t%.6g\t%.6g\t%.6g\n", panel, series, x,
			s.middle, s.low, s.high);
		written++;
	}
	/* Two empty lines would end the table's block. */
	if (written > 0)
		fputc('\n', table);
	return written;
}
