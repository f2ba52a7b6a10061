/* SPDX-License-Identifier: MIT */
/* Reads results files and lays their entries out as cells by series by blocks. */
#include "bench/plot_data.h"

#include <errno.h>

#include <kmem/error.h>

#include "bench/plot_alloc.h"

/* What an entry is apart from its allocator and block. The caller frees it. */
static char *entry_identity(const struct result_entry *e)
{
	const json_t *params = json_object_get(e->kmembench, "params");
	char *text = json_is_object(params)
			     ? json_dumps(params, JSON_COMPACT | JSON_SORT_KEYS)
			     : strdup("{}");
	char *identity = plot_printf("%s %s threads:%d", e->workload,
				     (char *)plot_checked(text), e->threads);

	free(text);
	return identity;
}

/*
 * The cell's name as it was planned, without the allocator: "pair/size:64/threads:2". A
 * cell that died before it could tell all its parameters is known by this name only. NULL
 * when the entry has none. The caller frees it.
 */
static char *planned_name(const struct result_entry *e)
{
	const char *key = json_string_value(json_object_get(e->kmembench, "cell_key"));
	size_t workload = strlen(e->workload), allocator = strlen(e->allocator);

	if (key == NULL || strncmp(key, e->workload, workload) != 0 ||
	    key[workload] != '/' ||
	    strncmp(key + workload + 1, e->allocator, allocator) != 0)
		return NULL;
	return plot_printf("%s%s", e->workload, key + workload + 1 + allocator);
}

static char *file_label(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *label = plot_strdup(slash != NULL ? slash + 1 : path);
	size_t n = strlen(label);

	if (n > 5 && strcmp(label + n - 5, ".json") == 0)
		label[n - 5] = '\0';
	return label;
}

static int load_files(struct dataset *d, const char *const *paths, size_t count)
{
	d->files = plot_calloc(count, sizeof(*d->files));
	d->file_labels = plot_calloc(count, sizeof(*d->file_labels));
	for (size_t i = 0; i < count; i++) {
		json_t *root = results_load(paths[i]);

		if (root == NULL)
			return -EINVAL;
		d->files[d->nr_files] = root;
		d->file_labels[d->nr_files++] = file_label(paths[i]);
	}
	return 0;
}

/*
 * Calls fn for every entry that describes an iteration. Aggregates, which Google
 * Benchmark's tools may have added, are derived and left out.
 */
static int for_each_entry(struct dataset *d,
			  int (*fn)(struct dataset *d, size_t file,
				    const struct result_entry *e, void *arg),
			  void *arg)
{
	for (size_t f = 0; f < d->nr_files; f++) {
		const json_t *list = json_object_get(d->files[f], "benchmarks");

		for (size_t i = 0; i < json_array_size(list); i++) {
			const json_t *json = json_array_get(list, i);
			struct result_entry e;
			int err;

			if (result_is_aggregate(json))
				continue;
			err = result_entry_parse(json, &e);
			if (err == 0)
				err = fn(d, f, &e, arg);
			if (err != 0)
				return err;
		}
	}
	return 0;
}

/* Is the same block of the same cell of the same allocator in two files? */
static int note_overlap(struct dataset *d, size_t file, const struct result_entry *e,
			void *arg)
{
	json_t *seen = arg, *before;
	char *identity = entry_identity(e);
	char *key = plot_printf("%s|%s|%d", identity, e->allocator, e->block);

	before = json_object_get(seen, key);
	if (before == NULL)
		json_object_set_new(seen, key, json_integer((json_int_t)file));
	else if ((size_t)json_integer_value(before) != file)
		d->overlap = true;
	free(key);
	free(identity);
	return 0;
}

static size_t find_series(const struct dataset *d, const char *allocator, size_t file)
{
	size_t i;

	for (i = 0; i < d->nr_series; i++) {
		if (d->series[i].file == file &&
		    strcmp(d->series[i].allocator, allocator) == 0)
			break;
	}
	return i;
}

/* By identity; an entry without figures also by its planned name. nr_cells: none. */
static size_t find_cell(const struct dataset *d, const struct result_entry *e)
{
	char *identity = entry_identity(e), *planned = planned_name(e);
	size_t found = d->nr_cells;

	for (size_t i = 0; i < d->nr_cells && found == d->nr_cells; i++) {
		const struct plot_cell *c = &d->cells[i];

		if (strcmp(c->identity, identity) == 0 ||
		    (!result_entry_ok(e) && planned != NULL && c->planned != NULL &&
		     strcmp(c->planned, planned) == 0))
			found = i;
	}
	free(identity);
	free(planned);
	return found;
}

static void add_series(struct dataset *d, const struct result_entry *e, size_t file)
{
	const json_t *numa = json_object_get(e->kmembench, "numa");
	const char *simulated = json_is_true(json_object_get(numa, "simulated"))
					? " (simulated)"
					: "";
	struct series *s;

	d->series = plot_grow(d->series, d->nr_series, sizeof(*d->series));
	s = &d->series[d->nr_series++];
	*s = (struct series){
		.name = d->overlap ? plot_printf("%s%s (%s)", e->allocator, simulated,
						 d->file_labels[file])
				   : plot_printf("%s%s", e->allocator, simulated),
		.allocator = plot_strdup(e->allocator),
		.allocator_name = plot_strdup(e->allocator_name),
		.file = file,
		.kind = plot_series_kind(e->allocator_name),
		.rank = plot_series_rank(e->allocator_name),
	};
}

static void add_cell(struct dataset *d, const struct result_entry *e)
{
	const json_t *params = json_object_get(e->kmembench, "params");
	const char *op = json_string_value(json_object_get(e->kmembench, "op"));
	struct plot_cell *c;

	d->cells = plot_grow(d->cells, d->nr_cells, sizeof(*d->cells));
	c = &d->cells[d->nr_cells++];
	*c = (struct plot_cell){
		.identity = entry_identity(e),
		.planned = planned_name(e),
		.workload = plot_strdup(e->workload),
		.op = op != NULL ? plot_strdup(op) : NULL,
		.size_bytes = e->size_bytes,
		.threads = e->threads,
		.params = params,
	};
}

/* arg: whether to look at entries with figures or at the others, which come second. */
static int note_names(struct dataset *d, size_t file, const struct result_entry *e,
		      void *arg)
{
	const bool *with_figures = arg;

	if (result_entry_ok(e) != *with_figures)
		return 0;
	file = d->overlap ? file : 0;
	if (find_series(d, e->allocator, file) == d->nr_series)
		add_series(d, e, file);
	if (find_cell(d, e) == d->nr_cells)
		add_cell(d, e);
	return 0;
}

static int store(struct dataset *d, size_t file, const struct result_entry *e, void *arg)
{
	size_t cell = find_cell(d, e);
	size_t series = find_series(d, e->allocator, d->overlap ? file : 0);
	struct measurement *m = &d->matrix[cell * d->nr_series + series];

	(void)arg;
	if (result_entry_ok(e)) {
		m->blocks = plot_grow(m->blocks, m->nr_blocks, sizeof(*m->blocks));
		if (m->nr_blocks == 0)
			m->file = file;
		m->blocks[m->nr_blocks++] = *e;
		return 0;
	}
	if (strcmp(e->status, "skipped") == 0)
		m->nr_skipped++;
	else
		m->nr_failed++;
	m->reason = result_entry_reason(e);
	return 0;
}

static int by_rank(const void *a, const void *b)
{
	const struct series *x = a, *y = b;
	int by_name;

	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	by_name = strcmp(x->name, y->name);
	return by_name != 0 ? by_name : (x->file > y->file) - (x->file < y->file);
}

/* Workload, then the parameters but size, then threads, then size: neighbours compare. */
static int by_identity(const void *a, const void *b)
{
	const struct plot_cell *x = a, *y = b;
	int order = strcmp(x->workload, y->workload);

	if (order == 0 && x->threads != y->threads)
		order = x->threads < y->threads ? -1 : 1;
	if (order == 0)
		order = strverscmp(x->but_size, y->but_size);
	if (order == 0 && x->size_bytes != y->size_bytes)
		order = x->size_bytes < y->size_bytes ? -1 : 1;
	return order != 0 ? order : strverscmp(x->identity, y->identity);
}

/* Without an overlap, series of different files stand in one row as if of one run. */
static bool has_separate_runs(const struct dataset *d)
{
	for (size_t c = 0; c < d->nr_cells && !d->overlap; c++) {
		const struct measurement *first = NULL;

		for (size_t s = 0; s < d->nr_series; s++) {
			const struct measurement *m = dataset_at(d, c, s);

			if (m->nr_blocks == 0)
				continue;
			if (first != NULL && first->file != m->file)
				return true;
			first = m;
		}
	}
	return false;
}

struct dataset *dataset_load(const char *const *paths, size_t count)
{
	struct dataset *d = plot_calloc(1, sizeof(*d));
	json_t *seen = plot_checked(json_object());
	int err = load_files(d, paths, count);

	if (err == 0)
		err = for_each_entry(d, note_overlap, seen);
	json_decref(seen);
	for (int figures = 1; figures >= 0 && err == 0; figures--)
		err = for_each_entry(d, note_names, &(bool){figures});
	if (err == 0 && d->nr_cells == 0)
		err = kmem_error(-ENODATA, "'%s' holds no measured cell", paths[0]);
	if (err == 0)
		err = dataset_label_cells(d);
	if (err != 0) {
		dataset_free(d);
		return NULL;
	}
	qsort(d->series, d->nr_series, sizeof(*d->series), by_rank);
	qsort(d->cells, d->nr_cells, sizeof(*d->cells), by_identity);
	plot_assign_styles(d);
	d->matrix = plot_calloc(d->nr_cells * d->nr_series, sizeof(*d->matrix));
	err = for_each_entry(d, store, NULL);
	if (err != 0) {
		dataset_free(d);
		return NULL;
	}
	d->separate_runs = has_separate_runs(d);
	return d;
}

void dataset_free(struct dataset *d)
{
	if (d == NULL)
		return;
	for (size_t i = 0; d->matrix != NULL && i < d->nr_cells * d->nr_series; i++)
		free(d->matrix[i].blocks);
	for (size_t i = 0; i < d->nr_series; i++) {
		free(d->series[i].name);
		free(d->series[i].allocator);
		free(d->series[i].allocator_name);
	}
	for (size_t i = 0; i < d->nr_cells; i++) {
		struct plot_cell *c = &d->cells[i];

		free(c->identity);
		free(c->planned);
		free(c->label);
		free(c->panel);
		free(c->but_size);
		free(c->but_size_label);
		free(c->but_threads);
		free(c->but_threads_label);
		free(c->workload);
		free(c->op);
	}
	for (size_t i = 0; i < d->nr_files; i++) {
		json_decref(d->files[i]);
		free(d->file_labels[i]);
	}
	free(d->matrix);
	free(d->series);
	free(d->cells);
	free(d->files);
	free(d->file_labels);
	free(d);
}

const struct measurement *dataset_at(const struct dataset *d, size_t cell, size_t series)
{
	return &d->matrix[cell * d->nr_series + series];
}

const json_t *dataset_context(const struct dataset *d, size_t file, const char *member)
{
	const json_t *context = json_object_get(d->files[file], "context");

	return json_object_get(json_object_get(context, "kmembench"), member);
}

const char *json_text(const json_t *object, const char *key, const char *fallback,
		      char *buf, size_t size)
{
	const json_t *v = json_object_get(object, key);

	if (json_is_string(v))
		return json_string_value(v);
	if (json_is_integer(v))
		snprintf(buf, size, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	else if (json_is_real(v))
		snprintf(buf, size, "%g", json_real_value(v));
	else if (json_is_boolean(v))
		snprintf(buf, size, "%s", json_is_true(v) ? "yes" : "no");
	else
		return fallback;
	return buf;
}
