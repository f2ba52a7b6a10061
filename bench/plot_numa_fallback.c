/* SPDX-License-Identifier: MIT */
/*
 * numa-fallback: which node serves, and what a request costs, while the preferred node's
 * memory runs out: against the memory asked for, in per cent of that node's. A picture
 * for each cell: a panel for each node's share of the requests, then their times; a line
 * for each allocator or variant (zonelist=distance, zonelist=ring).
 */
#include <math.h>
#include <string.h>

#include "bench/plot_alloc.h"
#include "bench/plot_clock.h"

#define FALLBACK_WORKLOAD "numa-fallback"
/* Nodes beyond have no panel of their own: plots/clock.gp holds 20. */
#define NODES_SHOWN 8

/* operation: the node, as text; or "alloc", with a percentile. */
struct panel_names {
	char node[24], title[48];
};

static const json_t *fill_of(const struct result_entry *e)
{
	return json_object_get(e->kmembench, "fill");
}

static double number_of(const json_t *object, const char *name)
{
	return json_number_value(json_object_get(object, name));
}

/* Per cent of a step's blocks that lie on a node; NaN: there is none. */
static double share_of(const json_t *step, size_t node)
{
	const json_t *served = json_object_get(step, "served");
	double all = 0; /* whose place is known */
	size_t i;
	const json_t *blocks;

	json_array_foreach (served, i, blocks)
		all += json_number_value(blocks);
	return all > 0 && node < json_array_size(served)
		       ? 100 * json_number_value(json_array_get(served, node)) / all
		       : NAN;
}

static double value_of(const json_t *step, const struct clock_panel *panel, double clock)
{
	const json_t *alloc = json_object_get(step, "alloc"), *ns;

	if (panel->percentile == NULL)
		return share_of(step, (size_t)strtoul(panel->operation, NULL, 10));
	ns = json_object_get(alloc, panel->percentile);
	/* A logarithmic axis has no zero: below the step is half of it. */
	return json_is_number(ns) ? fmax(json_number_value(ns), clock / 2) : NAN;
}

static void take_curves(const struct measurement *m, const struct clock_panel *panel,
			struct curves *out)
{
	*out = (struct curves){0};
	for (size_t b = 0; b < m->nr_blocks; b++) {
		const json_t *fill = fill_of(&m->blocks[b]), *step;
		double width = 100 * number_of(fill, "step_bytes") /
			       fmax(number_of(fill, "node_bytes"), 1);
		double clock = clock_step(&m->blocks[b]);
		size_t i;

		json_array_foreach (json_object_get(fill, "steps"), i, step) {
			double y = value_of(step, panel, clock);

			if (!isnan(y))
				curves_add_point(out, width * ((double)i + 0.5), y);
		}
		curves_end(out);
	}
}

static bool has_fill(const struct measurement *m)
{
	for (size_t b = 0; b < m->nr_blocks; b++) {
		if (json_array_size(json_object_get(fill_of(&m->blocks[b]), "steps")) > 1)
			return true;
	}
	return false;
}

/* The preferred node, and how many there are: the most of any series. */
static void nodes_of(const struct dataset *d, size_t cell, const bool *used,
		     size_t *preferred, size_t *nodes)
{
	*preferred = *nodes = 0;
	for (size_t s = 0; s < d->nr_series; s++) {
		const struct measurement *m = dataset_at(d, cell, s);

		for (size_t b = 0; used[s] && b < m->nr_blocks; b++) {
			const json_t *fill = fill_of(&m->blocks[b]);
			size_t n = (size_t)number_of(fill, "nodes");

			*nodes = n > *nodes ? n : *nodes;
			*preferred = (size_t)number_of(fill, "preferred");
		}
	}
	*nodes = *nodes < NODES_SHOWN ? *nodes : NODES_SHOWN;
}

static int draw_cell(struct plotter *p, size_t cell, const bool *used)
{
	struct clock_panel panels[NODES_SHOWN + 2];
	struct panel_names names[NODES_SHOWN];
	struct clock_picture picture = {
		.title = "A node runs out of memory: %s",
		.subtitle =
			"which node serves the requests, and how long they take, by the memory "
			"asked for",
		.note = "Medians over blocks; band: minimum to maximum. Latency pass, all fills "
			"together. 100 %: the node's memory, reserve included. Shares: of blocks "
			"whose node is known.",
		.panels = panels,
		.take = take_curves,
		.step_ns = clock_step_of_cell(p->d, cell, used),
	};
	size_t preferred, nodes, n = 0;

	nodes_of(p->d, cell, used, &preferred, &nodes);
	for (size_t nid = 0; nid < nodes; nid++) {
		snprintf(names[nid].node, sizeof(names[nid].node), "%zu", nid);
		snprintf(names[nid].title, sizeof(names[nid].title),
			 nid == preferred ? "served by node %zu, the preferred one"
					  : "served by node %zu",
			 nid);
		panels[n++] = (struct clock_panel){.title = names[nid].title,
						   .unit = CLOCK_PERCENT,
						   .operation = names[nid].node};
	}
	panels[n++] = (struct clock_panel){.title = "request, median",
					   .unit = CLOCK_NS,
					   .operation = "alloc",
					   .percentile = "p50"};
	panels[n++] = (struct clock_panel){.title = "request, 99th percentile",
					   .unit = CLOCK_NS,
					   .operation = "alloc",
					   .percentile = "p99"};
	picture.nr_panels = n;
	return plot_clock_draw(p, cell, used, &picture);
}

static int draw(struct plotter *p)
{
	const struct dataset *d = p->d;
	bool *used = plot_calloc(d->nr_series, sizeof(*used));
	int err = 0;

	for (size_t c = 0; c < d->nr_cells && err == 0; c++) {
		size_t n = 0;

		if (strcmp(d->cells[c].workload, FALLBACK_WORKLOAD) != 0)
			continue;
		for (size_t s = 0; s < d->nr_series; s++) {
			used[s] = has_fill(dataset_at(d, c, s));
			n += used[s];
		}
		if (n > 0)
			err = draw_cell(p, c, used);
	}
	if (err == 0 && p->drawn == 0)
		plot_left_out(p,
			      "no result of 'numa-fallback' tells how a node was filled");
	free(used);
	return err;
}

static const struct plot_kind numa_fallback = {
	.name = "numa-fallback",
	.rank = 56,
	.draw = draw,
};
PLOT_REGISTER(numa_fallback);
