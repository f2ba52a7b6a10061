/* SPDX-License-Identifier: MIT */
/*
 * ablation: what each option of an allocator is worth. Its variants against the plain one
 * of the same run, a panel for each variant, a bar for each cell: to the right of 1, what
 * turning the option costs.
 */
#include <errno.h>
#include <string.h>

#include "bench/plot_alloc.h"
#include "bench/plot_internal.h"
#include "bench/plot_ratios.h"

/* ":percpu=off,colour=on" of a variant; "" of the plain allocator. */
static const char *options_of(const struct series *s)
{
	size_t name = strlen(s->allocator_name);

	return strncmp(s->allocator, s->allocator_name, name) == 0 ? s->allocator + name
								   : "";
}

/* The option that simulates another machine, as it stands in a variant; "" without. */
static const char *topology_of(const struct series *s, size_t *length)
{
	static const char option[] = "topology=";
	const char *text = options_of(s);

	while (*text != '\0' && strncmp(text + 1, option, strlen(option)) != 0)
		text += 1 + strcspn(text + 1, ",");
	*length = *text != '\0' ? strcspn(text + 1, ",") : 0;
	return *text != '\0' ? text + 1 : "";
}

/*
 * Is the series a variant of the same allocator in the same file? Not when it runs on
 * another simulated machine: what the machine costs is not what an option is worth.
 */
static bool is_variant(const struct dataset *d, size_t series, size_t plain)
{
	const struct series *a = &d->series[series], *b = &d->series[plain];
	size_t a_length, b_length;
	const char *a_topology, *b_topology;

	if (series == plain || a->file != b->file ||
	    strcmp(a->allocator_name, b->allocator_name) != 0)
		return false;
	a_topology = topology_of(a, &a_length);
	b_topology = topology_of(b, &b_length);
	return a_length == b_length && memcmp(a_topology, b_topology, a_length) == 0;
}

/* Without options, but for the machine's. */
static bool is_plain(const struct series *s)
{
	size_t length, options = strlen(options_of(s));

	topology_of(s, &length);
	return strcmp(s->allocator, s->allocator_name) == 0 ||
	       (length > 0 && options == length + 1);
}

/*
 * The variant that the others are held against: the one without options, else the first.
 * True for that one only.
 */
static bool is_reference(const struct dataset *d, size_t series)
{
	if (is_plain(&d->series[series]))
		return true;
	for (size_t s = 0; s < d->nr_series; s++) {
		if (is_variant(d, s, series) && (is_plain(&d->series[s]) || s < series))
			return false;
	}
	return true;
}

/* In all the cells given; false where no variant has a ratio there. */
static int draw_page(struct plotter *p, size_t plain, const struct ratios *ratios,
		     const size_t *cells, size_t nr_cells, const bool *used,
		     size_t number)
{
	const struct series *reference = &p->d->series[plain];
	struct ratio_page page = {
		.ratios = ratios, .cells = cells, .nr_cells = nr_cells, .used = used};
	char *detail = number > 1 ? plot_printf("%s %zu", reference->name, number)
				  : plot_strdup(reference->name);
	char *title = plot_printf("What options are worth: variants against %s",
				  reference->name);
	char *note;
	int err = -EIO;

	if (plot_begin(p, detail, used) != NULL) {
		ratio_page_write(p, &page);
		note = plot_printf(
			"Ratio of time per operation to %s, paired within blocks; whiskers: "
			"Hodges–Lehmann 95 %% interval. Shaded: equivalence band, ±%.3g %%. "
			"Open: it cannot be told.",
			reference->name, COMPARE_EQUIVALENCE_PCT);
		err = plot_submit(p, title,
				  "right of 1 the variant is slower; logarithmic", note);
		free(note);
	}
	free(title);
	free(detail);
	return err;
}

static bool has_ratio(const struct dataset *d, const struct ratios *ratios, size_t series)
{
	for (size_t c = 0; c < d->nr_cells; c++) {
		if (ratios_at(ratios, c, series) != NULL)
			return true;
	}
	return false;
}

static bool same_cells(const struct dataset *d, const struct ratios *ratios, size_t a,
		       size_t b)
{
	for (size_t c = 0; c < d->nr_cells; c++) {
		if ((ratios_at(ratios, c, a) != NULL) !=
		    (ratios_at(ratios, c, b) != NULL))
			return false;
	}
	return true;
}

/*
 * Marks the next variants that have a ratio and are not drawn yet, at most a page of
 * them, all measured in the same cells: otherwise their panels would be empty for the
 * most part.
 */
static size_t mark_variants(const struct dataset *d, size_t plain,
			    const struct ratios *ratios, bool *used, bool *drawn)
{
	size_t first = d->nr_series, marked = 0;

	memset(used, 0, d->nr_series * sizeof(*used));
	for (size_t s = 0; s < d->nr_series && marked < RATIO_PAGE_PANELS; s++) {
		if (drawn[s] || !is_variant(d, s, plain) || !has_ratio(d, ratios, s) ||
		    (marked > 0 && !same_cells(d, ratios, first, s)))
			continue;
		if (marked++ == 0)
			first = s;
		used[s] = drawn[s] = true;
	}
	return marked;
}

/* Cells from `from` on in which a marked variant has a ratio; where the next begin. */
static size_t take_cells(const struct dataset *d, size_t from,
			 const struct ratios *ratios, const bool *used, size_t *cells,
			 size_t *nr_cells)
{
	size_t c;

	*nr_cells = 0;
	for (c = from; c < d->nr_cells && *nr_cells < RATIO_PAGE_ROWS; c++) {
		bool any = false;

		for (size_t s = 0; s < d->nr_series; s++)
			any |= used[s] && ratios_at(ratios, c, s) != NULL;
		if (any)
			cells[(*nr_cells)++] = c;
	}
	return c;
}

static int draw_variants(struct plotter *p, size_t plain)
{
	const struct dataset *d = p->d;
	bool *used = plot_calloc(d->nr_series, sizeof(*used));
	bool *drawn = plot_calloc(d->nr_series, sizeof(*drawn));
	size_t number = 1;
	struct ratios ratios;
	int err = 0;

	ratios_load(d, (int)plain, &ratios);
	while (err == 0 && mark_variants(d, plain, &ratios, used, drawn) > 0) {
		size_t cells[RATIO_PAGE_ROWS], nr_cells, c = 0;

		while (c < d->nr_cells && err == 0) {
			c = take_cells(d, c, &ratios, used, cells, &nr_cells);
			if (nr_cells > 0)
				err = draw_page(p, plain, &ratios, cells, nr_cells, used,
						number++);
		}
	}
	ratios_free(&ratios);
	free(drawn);
	free(used);
	return err;
}

static int draw(struct plotter *p)
{
	const struct dataset *d = p->d;
	int err = 0;

	for (size_t s = 0; s < d->nr_series && err == 0; s++) {
		bool any = false;

		for (size_t v = 0; v < d->nr_series; v++)
			any |= is_variant(d, v, s);
		if (any && is_reference(d, s))
			err = draw_variants(p, s);
	}
	if (err == 0 && p->drawn == 0)
		plot_left_out(p, "no allocator was measured in two variants");
	return err;
}

static const struct plot_kind ablation = {
	.name = "ablation",
	.rank = 60,
	.draw = draw,
};
PLOT_REGISTER(ablation);
