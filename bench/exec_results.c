/* SPDX-License-Identifier: MIT */
/*
 * A program is a cell like others: its name is the parameter, one run of it the
 * operation, a run in turn with the other allocators a block. So compare, plot and report
 * read it as they read all results.
 */
#include "bench/exec_results.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/cli.h"
#include "bench/context.h"
#include "bench/json_set.h"
#include "bench/results.h"
#include <kmem/error.h>

/* Bytes of one kind of name. */
#define NAME_BYTES 64

struct row {
	char program[NAME_BYTES], allocator[NAME_BYTES], library[4096];
	int rep, status;
	double wall_s, cpu_s;
	long peak_kib, minor_faults;
};

struct rows {
	const char *path;
	json_t *context, *entries;
	json_t *programs, *allocators; /* name to number; list of the context */
	double wall_s;		       /* of all runs */
	int reps;
};

static bool parse_row(const char *line, struct row *row)
{
	int end = 0;

	return sscanf(line,
		      "%63[^\t]\t%63[^\t]\t%4095[^\t]\t%d\t%d\t%lf\t%lf\t%ld\t%ld%n",
		      row->program, row->allocator, row->library, &row->rep, &row->status,
		      &row->wall_s, &row->cpu_s, &row->peak_kib, &row->minor_faults,
		      &end) == 9 &&
	       line[end] == '\0' && row->rep >= 0 && row->wall_s >= 0 &&
	       row->cpu_s >= 0 && row->peak_kib >= 0;
}

static json_t *cell_json(const struct row *row, const char *key)
{
	json_t *cell = json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:{s:s}, s:i, s:i}",
				 "schema_version", RESULTS_SCHEMA_VERSION, "cell_key",
				 key, "status", row->status == 0 ? "ok" : "failed",
				 "allocator", row->allocator, "allocator_name",
				 row->allocator, "workload", "program", "op",
				 "run of the program", "params", "program", row->program,
				 "threads", 1, "block", row->rep);

	json_set_string(cell, "allocator_path", row->library);
	return cell;
}

static json_t *entry_json(const struct row *row, json_int_t family)
{
	bool ok = row->status == 0;
	char key[4 * NAME_BYTES], why[64];
	json_t *entry;

	snprintf(key, sizeof(key), "program/%s/program:%s/threads:1", row->allocator,
		 row->program);
	entry = json_pack("{s:s, s:s, s:I, s:I, s:s, s:i, s:i, s:i, s:i, s:f, s:f, s:s}",
			  "name", key, "run_name", key, "family_index", family,
			  "per_family_instance_index", family, "run_type", "iteration",
			  "repetitions", 1, "repetition_index", row->rep, "threads", 1,
			  "iterations", (int)ok, "real_time",
			  ok ? 1e9 * row->wall_s : 0.0, "cpu_time",
			  ok ? 1e9 * row->cpu_s : 0.0, "time_unit", "ns");
	if (ok) {
		json_set_integer(entry, "rss_bytes_peak", (uint64_t)row->peak_kib << 10);
		json_set_integer(entry, "page_faults", (uint64_t)row->minor_faults);
	} else {
		snprintf(why, sizeof(why), "the program ended with status %d",
			 row->status);
		json_set(entry, "error_occurred", json_true());
		json_set_string(entry, "error_message", why);
	}
	json_set(entry, "kmembench", cell_json(row, key));
	return entry;
}

static void note_allocator(struct rows *rows, const struct row *row)
{
	json_t *known;
	size_t i;

	json_array_foreach (rows->allocators, i, known) {
		if (strcmp(json_string_value(json_object_get(known, "name")),
			   row->allocator) == 0)
			return;
	}
	json_array_append_new(rows->allocators,
			      json_pack("{s:s, s:s, s:s}", "name", row->allocator,
					"variant", row->allocator, "path", row->library));
}

static void add_row(struct rows *rows, const struct row *row)
{
	json_t *number = json_object_get(rows->programs, row->program);

	if (number == NULL) {
		number = json_integer((json_int_t)json_object_size(rows->programs));
		json_object_set_new(rows->programs, row->program, number);
	}
	note_allocator(rows, row);
	json_array_append_new(rows->entries, entry_json(row, json_integer_value(number)));
	rows->wall_s += row->wall_s;
	if (row->rep >= rows->reps)
		rows->reps = row->rep + 1;
}

/* A line that begins with '#'; others of that kind are remarks. */
static void add_remark(struct rows *rows, const char *line)
{
	json_t *ours = json_object_get(rows->context, "kmembench");
	double load[3];
	char word[64];

	if (sscanf(line, "# date %63s", word) == 1)
		json_set_string(rows->context, "date", word);
	else if (sscanf(line, "# load %lf %lf %lf", &load[0], &load[1], &load[2]) == 3)
		json_set(rows->context, "load_avg",
			 json_pack("[f, f, f]", load[0], load[1], load[2]));
	else if (sscanf(line, "# complete %63s", word) == 1)
		json_set(ours, "complete", json_boolean(strcmp(word, "true") == 0));
}

static int add_lines(struct rows *rows, FILE *file)
{
	struct row row;
	char *line = NULL;
	size_t size = 0;
	int number = 0, err = 0;

	while (err == 0 && getline(&line, &size, file) >= 0) {
		number++;
		line[strcspn(line, "\n")] = '\0';
		if (*line == '#')
			add_remark(rows, line);
		else if (strncmp(line, "program\t", 8) == 0)
			continue; /* the names of the columns */
		else if (parse_row(line, &row))
			add_row(rows, &row);
		else
			err = kmem_error(-EINVAL,
					 "'%s', line %d: '%.60s' is no row of "
					 "'real_programs.sh --measure'",
					 rows->path, number, line);
	}
	free(line);
	if (err == 0 && ferror(file))
		err = kmem_error(-EIO, "cannot read '%s'", rows->path);
	if (err == 0 && json_array_size(rows->entries) == 0)
		err = kmem_error(-ENODATA, "'%s' has no row: no program was measured",
				 rows->path);
	return err;
}

/* The machine, and what of the run is the same for all. */
static json_t *new_context(int argc, char **argv)
{
	struct plan plan;
	json_t *context, *ours;

	plan_init(&plan);
	context = context_json(&plan, argc, argv);
	plan_release(&plan);
	ours = json_object_get(context, "kmembench");
	json_set_string(ours, "method", "plain");
	json_object_del(ours, "latency_time_s");
	return context;
}

json_t *exec_results(const char *path, int argc, char **argv)
{
	struct rows rows = {.path = path};
	FILE *file = fopen(path, "re");
	json_t *root = NULL, *ours;

	if (file == NULL) {
		kmem_error(-errno, "cannot open '%s': %s", path, strerror(errno));
		return NULL;
	}
	rows.context = new_context(argc, argv);
	rows.entries = json_array();
	rows.programs = json_object();
	rows.allocators = json_array();
	if (add_lines(&rows, file) == 0) {
		size_t i;
		json_t *entry;

		json_array_foreach (rows.entries, i, entry)
			json_set_integer(entry, "repetitions", (uint64_t)rows.reps);
		ours = json_object_get(rows.context, "kmembench");
		json_set(ours, "allocators", json_incref(rows.allocators));
		json_set_integer(ours, "cells_planned",
				 json_object_size(rows.programs) *
					 json_array_size(rows.allocators));
		json_set_integer(ours, "reps", (uint64_t)rows.reps);
		/* Seconds of a cell: here of a run, on average. */
		json_set_real(ours, "time_s",
			      rows.wall_s / (double)json_array_size(rows.entries));
		root = json_pack("{s:O, s:O}", "context", rows.context, "benchmarks",
				 rows.entries);
	}
	json_decref(rows.context);
	json_decref(rows.entries);
	json_decref(rows.programs);
	json_decref(rows.allocators);
	fclose(file);
	return root;
}
