/* SPDX-License-Identifier: MIT */
/*
 * tail-causes: what the operations above p99.9 have in common, as shares of one bar for
 * each allocator; alloc and free apart, a picture for each workload and its cells.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "bench/plot_alloc.h"
#include "bench/plot_internal.h"
#include "bench/plot_tail.h"

/* Cells of a picture: alloc and free of each stand side by side. */
#define PAGE_CELLS 4

static const char *const operations[] = {"alloc", "free"};

const char *tail_cause_name(enum tail_cause cause)
{
	static const char *const names[NR_TAIL_CAUSES] = {
		[TAIL_FAULT] = "page fault",
		[TAIL_CALL] = "its own system call",
		[TAIL_CALL_AND_FAULT] = "both of these",
		[TAIL_PREEMPTED] = "preempted",
		[TAIL_MIGRATED] = "migrated",
		[TAIL_UNKNOWN] = "not known",
	};

	return names[cause];
}

/* "fault+preempted" has the word "fault". */
static bool has_word(const char *text, const char *word)
{
	size_t n = strlen(word);

	for (const char *at = text; *at != '\0';) {
		size_t length = strcspn(at, "+");

		if (length == n && strncmp(at, word, n) == 0)
			return true;
		at += length + (at[length] == '+');
	}
	return false;
}

static enum tail_cause cause_of(const char *text)
{
	bool fault = has_word(text, "fault"), call = has_word(text, "call");

	if (has_word(text, "preempted"))
		return TAIL_PREEMPTED;
	if (has_word(text, "migrated"))
		return TAIL_MIGRATED;
	if (fault && call)
		return TAIL_CALL_AND_FAULT;
	if (fault || call)
		return fault ? TAIL_FAULT : TAIL_CALL;
	return TAIL_UNKNOWN;
}

bool tail_of(const struct measurement *m, const char *operation, struct tail *out)
{
	bool recorded = false;

	*out = (struct tail){0};
	for (size_t b = 0; b < m->nr_blocks; b++) {
		const json_t *latency = json_object_get(m->blocks[b].kmembench,
							"latency");
		const json_t *list = json_object_get(json_object_get(latency, "tail"),
						     operation);
		const json_t *item;
		size_t i;

		recorded |= json_is_array(list);
		json_array_foreach (list, i, item) {
			const char *text =
				json_string_value(json_object_get(item, "cause"));
			json_int_t n =
				json_integer_value(json_object_get(item, "above_p99_9"));
			double max = json_number_value(json_object_get(item, "max"));
			enum tail_cause cause = cause_of(text != NULL ? text : "");

			if (n <= 0)
				continue;
			out->above[cause] += (uint64_t)n;
			out->total += (uint64_t)n;
			out->max_ns[cause] = fmax(out->max_ns[cause], max);
		}
	}
	return recorded;
}

/* Rows: panel, series, samples, and the shares of all causes, each on top of the last. */
static void write_bars(struct plotter *p, size_t panel, size_t cell, size_t operation,
		       const bool *used)
{
	for (size_t s = 0; s < p->d->nr_series; s++) {
		struct tail tail;
		uint64_t sum = 0;

		if (!used[s] ||
		    !tail_of(dataset_at(p->d, cell, s), operations[operation], &tail) ||
		    tail.total == 0)
			continue;
		fprintf(p->table, "%zu\t%zu\t%llu", panel, plot_series_number(used, s),
			(unsigned long long)tail.total);
		for (int c = 0; c < NR_TAIL_CAUSES; c++) {
			sum += tail.above[c];
			fprintf(p->table, "\t%.5g",
				100.0 * (double)sum / (double)tail.total);
		}
		fputc('\n', p->table);
	}
}

static int draw_page(struct plotter *p, const size_t *cells, size_t nr_cells,
		     const bool *used, size_t number)
{
	const struct dataset *d = p->d;
	const char *workload = d->cells[cells[0]].workload;
	char *detail = number > 1 ? plot_printf("%s %zu", workload, number)
				  : plot_strdup(workload);
	char *title = plot_printf("Causes of the slowest operations: %s", workload);
	int err = -EIO;

	if (plot_begin(p, detail, used) != NULL) {
		fputs("0\t0\t0\t0\t0\t0\t0\t0\t0\n", p->table);
		for (size_t i = 0; i < 2 * nr_cells; i++)
			write_bars(p, i + 1, cells[i / 2], i % 2, used);
		plot_next_block(p);
		for (size_t i = 0; i < 2 * nr_cells; i++)
			fprintf(p->table, "%s%s%s\n", d->cells[cells[i / 2]].panel,
				*d->cells[cells[i / 2]].panel != '\0' ? ": " : "",
				operations[i % 2]);
		plot_next_block(p);
		for (int c = 0; c < NR_TAIL_CAUSES; c++)
			fprintf(p->table, "%s\n", tail_cause_name((enum tail_cause)c));
		err = plot_submit(
			p, title,
			"samples above p99.9 by what happened during the operation; shares",
			"Samples of all blocks, each above its own block's p99.9; their number "
			"at the right. Preempted or migrated: whatever else happened besides.");
	}
	free(title);
	free(detail);
	return err;
}

/* Marks the series that have causes in the cell; true when there is one. */
static bool mark_used(const struct dataset *d, size_t cell, bool *used)
{
	bool any = false;

	for (size_t s = 0; s < d->nr_series; s++) {
		for (size_t o = 0; o < KMEM_ARRAY_SIZE(operations); o++) {
			struct tail tail;

			if (!tail_of(dataset_at(d, cell, s), operations[o], &tail) ||
			    tail.total == 0)
				continue;
			used[s] = true;
			any = true;
		}
	}
	return any;
}

static int draw(struct plotter *p)
{
	const struct dataset *d = p->d;
	bool *used = plot_calloc(d->nr_series, sizeof(*used));
	size_t cells[PAGE_CELLS], n = 0, number = 1;
	int err = 0;

	for (size_t c = 0; c < d->nr_cells && err == 0; c++) {
		bool last = c + 1 == d->nr_cells ||
			    strcmp(d->cells[c + 1].workload, d->cells[c].workload) != 0;

		if (mark_used(d, c, used))
			cells[n++] = c;
		if (n == PAGE_CELLS || (last && n > 0)) {
			err = draw_page(p, cells, n, used, number++);
			n = 0;
			memset(used, 0, d->nr_series * sizeof(*used));
		}
		if (last)
			number = 1;
	}
	if (err == 0 && p->drawn == 0)
		plot_left_out(p, "no cell recorded the causes of its slowest operations");
	free(used);
	return err;
}

static const struct plot_kind tail_causes = {
	.name = "tail-causes",
	.rank = 52,
	.draw = draw,
};
PLOT_REGISTER(tail_causes);
