/* SPDX-License-Identifier: MIT */
/*
 * Shards are parts of one plan: the same program, command line, settings, seed, machine
 * and allocators, and no cell in common. Whatever is not alike is refused by name, for a
 * file of mixed origin would look like one measurement and be two.
 */
#include "bench/blow_up.h"
#include "bench/merge.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/results.h"
#include <kmem/compiler.h>
#include <kmem/error.h>

/* --- command lines --- */

/*
 * Whether a word is the long option, written in full, shortened, or with "=value".
 * `unique` is its shortest form that no other option of run and sweep starts with.
 */
static bool is_option(const char *word, const char *option, const char *unique)
{
	size_t length = strcspn(word, "=");

	return length >= strlen(unique) && length <= strlen(option) &&
	       strncmp(word, option, length) == 0;
}

/* How many words from words[i] on bear on one shard's files only: 0, 1 or 2. */
static size_t own_words(const json_t *words, size_t i)
{
	const char *word = json_string_value(json_array_get(words, i));
	size_t left = json_array_size(words) - i;

	if (i == 0)
		return 1; /* the program, however it was called */
	if (word == NULL)
		return 0;
	if (strcmp(word, "-q") == 0 || is_option(word, "--quiet", "--q") ||
	    is_option(word, "--resume", "--res"))
		return 1;
	if (strncmp(word, "-o", 2) == 0)
		return word[2] == '\0' && left > 1 ? 2 : 1;
	if (is_option(word, "--shard", "--sh") || is_option(word, "--output", "--ou"))
		return strchr(word, '=') == NULL && left > 1 ? 2 : 1;
	return 0;
}

/* The command line without what may differ between shards. A new reference. */
static json_t *common_command_line(const json_t *ours)
{
	const json_t *words = json_object_get(ours, "command_line");
	json_t *common = json_pack("[s]", "kmembench");
	size_t i = 0;

	while (i < json_array_size(words)) {
		size_t skip = own_words(words, i);

		if (skip == 0)
			json_array_append(common, json_array_get(words, i++));
		i += skip;
	}
	return common;
}

/* --- likeness --- */

static int unlike(const char *const *paths, size_t i, const char *what,
		  const json_t *first, const json_t *other)
{
	char *a = first != NULL ? json_dumps(first, JSON_ENCODE_ANY | JSON_COMPACT)
				: NULL;
	char *b = other != NULL ? json_dumps(other, JSON_ENCODE_ANY | JSON_COMPACT)
				: NULL;
	int err = kmem_error(-EINVAL, "'%s' and '%s' differ in %s: %.300s and %.300s",
			     paths[0], paths[i], what, a != NULL ? a : "nothing",
			     b != NULL ? b : "nothing");

	free(a);
	free(b);
	return err;
}

static bool alike(const json_t *a, const json_t *b)
{
	return (a == NULL && b == NULL) || json_equal(a, b);
}

/* Member by member, so that the message names the one that differs. */
static int check_members(const char *const *paths, size_t i, const char *where,
			 json_t *first, json_t *other)
{
	const char *name;
	json_t *value;
	char what[128];

	json_object_foreach (other, name, value) {
		if (json_object_get(first, name) == NULL) {
			snprintf(what, sizeof(what), "%s.%s", where, name);
			return unlike(paths, i, what, NULL, value);
		}
	}
	json_object_foreach (first, name, value) {
		if (alike(value, json_object_get(other, name)))
			continue;
		snprintf(what, sizeof(what), "%s.%s", where, name);
		return unlike(paths, i, what, value, json_object_get(other, name));
	}
	return 0;
}

static int check_command_lines(const char *const *paths, size_t i, const json_t *first,
			       const json_t *other)
{
	json_t *a = common_command_line(first), *b = common_command_line(other);
	int err = alike(a, b) ? 0 : unlike(paths, i, "the command line", a, b);

	json_decref(a);
	json_decref(b);
	return err;
}

/* An allocator of the same name must be the same library in the same version. */
static int check_allocators(const char *const *paths, size_t i, const json_t *first,
			    const json_t *other)
{
	const json_t *a, *b;
	size_t x, y;

	json_array_foreach (json_object_get(first, "allocators"), x, a) {
		json_array_foreach (json_object_get(other, "allocators"), y, b) {
			if (!alike(json_object_get(a, "name"),
				   json_object_get(b, "name")) ||
			    !alike(json_object_get(a, "options"),
				   json_object_get(b, "options")))
				continue;
			if (!alike(json_object_get(a, "version"),
				   json_object_get(b, "version")) ||
			    !alike(json_object_get(a, "path"),
				   json_object_get(b, "path")))
				return unlike(paths, i, "an allocator", a, b);
		}
	}
	return 0;
}

/* N of --shard I/N; NULL for a whole run. */
static const json_t *shard_count(const json_t *file)
{
	const json_t *ours = results_context(file);
	const json_t *of = json_array_get(json_object_get(ours, "merged_from"), 0);

	return json_object_get(json_object_get(of != NULL ? of : ours, "shard"), "count");
}

static int check_alike(json_t *const *files, const char *const *paths, size_t i)
{
	static const char *const settings[] = {
		"version",	 "git_revision", "cells_planned",  "method",
		"precision_pct", "layout",	 "baseline",	   "time_s",
		"memory_time_s", "ops",		 "latency_time_s",
	};
	const json_t *first = results_context(files[0]),
		     *other = results_context(files[i]);
	const json_t *build[2] = {
		json_object_get(json_object_get(files[0], "context"),
				"library_build_type"),
		json_object_get(json_object_get(files[i], "context"),
				"library_build_type"),
	};
	int err;

	/* How many blocks a ratio needs is found out by each shard for itself. */
	if (json_object_get(first, "precision_pct") == NULL &&
	    !alike(json_object_get(first, "reps"), json_object_get(other, "reps")))
		return unlike(paths, i, "reps", json_object_get(first, "reps"),
			      json_object_get(other, "reps"));
	for (size_t s = 0; s < KMEM_ARRAY_SIZE(settings); s++) {
		const json_t *a = json_object_get(first, settings[s]);
		const json_t *b = json_object_get(other, settings[s]);

		if (!alike(a, b))
			return unlike(paths, i, settings[s], a, b);
	}
	if (!alike(json_object_get(first, "seed"), json_object_get(other, "seed")))
		return kmem_error(
			-EINVAL,
			"'%s' and '%s' differ in seed: start all shards with the same "
			"--seed",
			paths[0], paths[i]);
	if (!alike(shard_count(files[0]), shard_count(files[i])))
		return unlike(paths, i, "the number of shards", shard_count(files[0]),
			      shard_count(files[i]));
	if (!alike(build[0], build[1]))
		return unlike(paths, i, "library_build_type", build[0], build[1]);
	err = check_command_lines(paths, i, first, other);
	if (err == 0)
		err = check_members(paths, i, "machine",
				    json_object_get(first, "machine"),
				    json_object_get(other, "machine"));
	if (err == 0)
		err = check_allocators(paths, i, first, other);
	return err;
}

/* --- entries --- */

/* Adds one file's entries; seen maps cell and block to the file that brought it. */
static int add_entries(json_t *entries, const json_t *file, const char *path,
		       json_t *seen)
{
	json_t *json;
	size_t i;

	json_array_foreach (results_entries(file), i, json) {
		struct result_entry entry;
		const char *before;
		char *cell;

		if (result_is_aggregate(json))
			continue; /* of one shard only, and what it sums up is kept */
		if (result_entry_parse(json, &entry) != 0)
			return -EINVAL;
		if (asprintf(&cell, "%s\n%d", entry.name, entry.block) < 0)
			return kmem_error(-ENOMEM, "no memory to merge '%s'", path);
		before = json_string_value(json_object_get(seen, cell));
		if (before == NULL)
			json_object_set_new(seen, cell, json_string(path));
		free(cell);
		if (before != NULL)
			return kmem_error(-EINVAL,
					  "'%s' and '%s' both hold '%s' of block %d",
					  before, path, entry.name, entry.block);
		if (json_array_append(entries, json) != 0)
			return kmem_error(-ENOMEM, "no memory to merge '%s'", path);
	}
	return 0;
}

/* --- the joined context --- */

/* The most blocks that any of the files has. */
static json_t *most_reps(json_t *const *files, size_t count)
{
	json_int_t most = 0;

	for (size_t i = 0; i < count; i++) {
		json_int_t reps = json_integer_value(
			json_object_get(results_context(files[i]), "reps"));

		most = reps > most ? reps : most;
	}
	return json_integer(most);
}

/* One record for each shard, also for those of a file that was itself joined. */
static void add_sources(json_t *sources, const json_t *file, const char *path)
{
	const json_t *ours = results_context(file);
	json_t *earlier = json_object_get(ours, "merged_from"), *record;
	json_t *shard = json_object_get(ours, "shard");

	if (json_is_array(earlier)) {
		json_array_extend(sources, earlier);
		return;
	}
	record = json_pack("{s:s, s:b}", "path", path, "complete",
			   !json_is_false(json_object_get(ours, "complete")));
	if (shard != NULL)
		json_object_set(record, "shard", shard);
	json_array_append_new(sources, record);
}

/* Appends to the list of what is missing. */
static void KMEM_PRINTF(3, 4)
	say_missing(char *missing, size_t size, const char *fmt, ...)
{
	size_t used = strlen(missing);
	va_list args;

	if (used > 0)
		used += (size_t)snprintf(missing + used, size - used, "; ");
	if (used >= size)
		return;
	va_start(args, fmt);
	vsnprintf(missing + used, size - used, fmt, args);
	va_end(args);
}

static bool has_shard(const json_t *sources, json_int_t wanted)
{
	const json_t *record;
	size_t i;

	json_array_foreach (sources, i, record) {
		if (json_integer_value(json_object_get(json_object_get(record, "shard"),
						       "index")) == wanted)
			return true;
	}
	return false;
}

/* Lists interrupted sources, and shards that no source is. True when nothing is missing.
 */
static bool find_missing(const json_t *sources, char *missing, size_t size)
{
	json_int_t shards = 0;
	const json_t *record;
	size_t i;

	*missing = '\0';
	json_array_foreach (sources, i, record) {
		if (json_is_false(json_object_get(record, "complete")))
			say_missing(missing, size, "'%s' was interrupted",
				    json_string_value(json_object_get(record, "path")));
		shards = json_integer_value(
			json_object_get(json_object_get(record, "shard"), "count"));
	}
	for (json_int_t wanted = 1; wanted <= shards; wanted++) {
		if (!has_shard(sources, wanted))
			say_missing(missing, size,
				    "shard %" JSON_INTEGER_FORMAT "/%" JSON_INTEGER_FORMAT
				    " is missing",
				    wanted, shards);
	}
	return *missing == '\0';
}

/* Allocators of all files, each once. */
static json_t *join_allocators(json_t *const *files, size_t count)
{
	json_t *joined = json_array(), *allocator, *known;
	size_t i, j, k;

	for (i = 0; i < count; i++) {
		const json_t *list = json_object_get(results_context(files[i]),
						     "allocators");

		json_array_foreach (list, j, allocator) {
			bool found = false;

			json_array_foreach (joined, k, known)
				found |= json_equal(known, allocator) != 0;
			if (!found)
				json_array_append(joined, allocator);
		}
	}
	return joined;
}

static json_t *join_contexts(json_t *const *files, const char *const *paths, size_t count,
			     char *missing, size_t missing_size)
{
	json_t *context = json_deep_copy(json_object_get(files[0], "context"));
	json_t *ours = json_object_get(context, "kmembench");
	json_t *sources = json_array();

	for (size_t i = 0; i < count; i++) {
		json_t *date = json_object_get(json_object_get(files[i], "context"),
					       "date");

		add_sources(sources, files[i], paths[i]);
		/* ISO 8601 of one time zone sorts as text; the earliest start counts. */
		if (json_is_string(date) &&
		    strcmp(json_string_value(date),
			   json_string_value(json_object_get(context, "date")) ?: "") < 0)
			json_object_set(context, "date", date);
	}
	json_object_set_new(ours, "complete",
			    json_boolean(find_missing(sources, missing, missing_size)));
	json_object_del(ours, "shard");
	json_object_set_new(ours, "reps", most_reps(files, count));
	json_object_set_new(ours, "command_line",
			    common_command_line(results_context(files[0])));
	json_object_set_new(ours, "allocators", join_allocators(files, count));
	json_object_set_new(ours, "merged_from", sources);
	return context;
}

json_t *results_merge(json_t *const *files, const char *const *paths, size_t count,
		      char *missing, size_t missing_size)
{
	json_t *entries = json_array(), *seen = json_object();
	json_t *merged = NULL;
	int err = 0;

	*missing = '\0';
	for (size_t i = 0; i < count && err == 0; i++) {
		err = check_alike(files, paths, i);
		if (err == 0)
			err = add_entries(entries, files[i], paths[i], seen);
	}
	if (err == 0)
		blow_up_add(entries); /* cells of one and of several threads meet here */
	if (err == 0)
		merged = json_pack(
			"{s:o, s:O}", "context",
			join_contexts(files, paths, count, missing, missing_size),
			"benchmarks", entries);
	json_decref(entries);
	json_decref(seen);
	return merged;
}
