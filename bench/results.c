/* SPDX-License-Identifier: MIT */
/* Reading results files. Whatever is wrong with one is said with its name and the place.
 */
#include "bench/results.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kmem/error.h>
#include "bench/journal.h"

/* --- the file --- */

/* The whole file, or NULL with an error text. Reads pipes too. */
static char *read_whole(const char *path, size_t *length)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t capacity = 1 << 16, used = 0;
	char *text = NULL;
	ssize_t n = 0;

	if (fd < 0) {
		kmem_error(-errno, "cannot open '%s': %s", path, strerror(errno));
		return NULL;
	}
	do {
		char *larger;

		used += (size_t)n;
		if (text == NULL || used == capacity) {
			capacity *= 2;
			larger = realloc(text, capacity);
			if (larger == NULL) {
				kmem_error(-ENOMEM,
					   "no memory to read '%s' (%zu bytes so far)",
					   path, used);
				goto fail;
			}
			text = larger;
		}
		n = read(fd, text + used, capacity - used);
		if (n < 0 && errno == EINTR)
			n = 0;
		else if (n == 0)
			break;
	} while (n >= 0);
	if (n < 0) {
		kmem_error(-errno, "cannot read '%s': %s", path, strerror(errno));
		goto fail;
	}
	close(fd);
	*length = used;
	return text;
fail:
	close(fd);
	free(text);
	return NULL;
}

static json_t *parse_text(const char *path, const char *text, size_t length)
{
	json_error_t error;
	json_t *root;

	if (length == 0) {
		kmem_error(-EINVAL, "'%s' is empty: the run that wrote it did not end",
			   path);
		return NULL;
	}
	if (length > strlen(JOURNAL_START) &&
	    memcmp(text, JOURNAL_START, strlen(JOURNAL_START)) == 0) {
		kmem_error(
			-EINVAL,
			"'%s' is the journal of a run that has not ended: the run's own "
			"command with --resume goes on with it and writes the results file",
			path);
		return NULL;
	}
	root = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
	if (root != NULL)
		return root;
	if (json_error_code(&error) == json_error_premature_end_of_input)
		kmem_error(
			-EINVAL,
			"'%s' ends early, at line %d, column %d (byte %d): it was cut short; "
			"restore it or measure again",
			path, error.line, error.column, error.position);
	else
		kmem_error(-EINVAL, "'%s' is damaged at line %d, column %d (byte %d): %s",
			   path, error.line, error.column, error.position, error.text);
	return NULL;
}

bool result_is_aggregate(const json_t *entry)
{
	const char *type = json_string_value(json_object_get(entry, "run_type"));

	return type != NULL && strcmp(type, "aggregate") == 0;
}

static int check_root(const char *path, const json_t *root)
{
	const json_t *ours = json_object_get(json_object_get(root, "context"),
					     "kmembench");
	const json_t *version = json_object_get(ours, "schema_version");
	const json_t *entries = json_object_get(root, "benchmarks"), *entry;
	struct result_entry parsed;
	size_t i;

	if (!json_is_object(ours))
		return kmem_error(-EINVAL,
				  "'%s' is not a kmembench results file: it has no "
				  "\"context\".\"kmembench\"",
				  path);
	if (!json_is_integer(version))
		return kmem_error(
			-EINVAL,
			"'%s' is not a kmembench results file: its schema version is "
			"missing",
			path);
	if (json_integer_value(version) != RESULTS_SCHEMA_VERSION)
		return kmem_error(
			-EINVAL,
			"'%s' has schema version %" JSON_INTEGER_FORMAT
			", this program reads version %d: use the kmembench that wrote it",
			path, json_integer_value(version), RESULTS_SCHEMA_VERSION);
	if (!json_is_array(entries))
		return kmem_error(-EINVAL, "'%s' has no \"benchmarks\" array", path);
	json_array_foreach (entries, i, entry) {
		char text[256];

		if (result_is_aggregate(entry) || result_entry_parse(entry, &parsed) == 0)
			continue;
		snprintf(text, sizeof(text), "%s", kmem_last_error());
		return kmem_error(-EINVAL, "'%s': entry %zu of \"benchmarks\": %s", path,
				  i, text);
	}
	return 0;
}

json_t *results_load(const char *path)
{
	size_t length;
	char *text = read_whole(path, &length);
	json_t *root;

	if (text == NULL)
		return NULL;
	root = parse_text(path, text, length);
	free(text);
	if (root != NULL && check_root(path, root) != 0) {
		json_decref(root);
		return NULL;
	}
	return root;
}

const json_t *results_context(const json_t *root)
{
	return json_object_get(json_object_get(root, "context"), "kmembench");
}

const json_t *results_entries(const json_t *root)
{
	return json_object_get(root, "benchmarks");
}

/* --- entries --- */

static const char *string_field(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

static int missing(const char *field)
{
	return kmem_error(-EINVAL, "field '%s' is missing or of the wrong type", field);
}

int result_entry_parse(const json_t *entry, struct result_entry *out)
{
	const json_t *ours = json_object_get(entry, "kmembench");
	const json_t *block = json_object_get(entry, "repetition_index");
	const json_t *threads = json_object_get(ours, "threads");
	const json_t *real_time = json_object_get(entry, "real_time");

	*out = (struct result_entry){
		.name = string_field(entry, "name"),
		.allocator = string_field(ours, "allocator"),
		.allocator_name = string_field(ours, "allocator_name"),
		.workload = string_field(ours, "workload"),
		.status = string_field(ours, "status"),
		.json = entry,
		.kmembench = ours,
	};
	if (out->name == NULL)
		return missing("name");
	if (!json_is_object(ours))
		return missing("kmembench");
	if (out->allocator == NULL)
		return missing("kmembench.allocator");
	if (out->allocator_name == NULL)
		return missing("kmembench.allocator_name");
	if (out->workload == NULL)
		return missing("kmembench.workload");
	if (out->status == NULL)
		return missing("kmembench.status");
	if (!json_is_object(json_object_get(ours, "params")))
		return missing("kmembench.params");
	if (!json_is_integer(threads) || json_integer_value(threads) < 1 ||
	    json_integer_value(threads) > INT_MAX)
		return missing("kmembench.threads");
	if (!json_is_integer(block) || json_integer_value(block) < 0 ||
	    json_integer_value(block) > INT_MAX)
		return missing("repetition_index");
	if (!json_is_number(real_time))
		return missing("real_time");
	/* A failed cell has a 0, which is no figure. */
	if (result_entry_ok(out) && json_number_value(real_time) <= 0)
		return kmem_error(
			-EINVAL,
			"field 'real_time' of '%s' is %g: a time is above 0; the file "
			"was edited or is damaged",
			out->name, json_number_value(real_time));
	out->threads = (int)json_integer_value(threads);
	out->block = (int)json_integer_value(block);
	out->real_time_ns = json_number_value(real_time);
	out->size_bytes = (uint64_t)json_integer_value(
		json_object_get(json_object_get(ours, "params"), "size"));
	return 0;
}

bool result_entry_ok(const struct result_entry *entry)
{
	return strcmp(entry->status, "ok") == 0 &&
	       !json_is_true(json_object_get(entry->json, "error_occurred"));
}

const char *result_entry_reason(const struct result_entry *entry)
{
	const char *reason = string_field(entry->json, "error_message");

	if (reason == NULL)
		reason = string_field(entry->kmembench, "reason");
	return reason != NULL ? reason : "no reason recorded";
}

bool result_metric(const struct result_entry *entry, const char *metric, double *value)
{
	const json_t *figure = json_object_get(entry->json, metric);

	if (!result_entry_ok(entry))
		return false;
	if (figure == NULL)
		figure = json_object_get(json_object_get(entry->kmembench, "counters"),
					 metric);
	if (!json_is_number(figure))
		return false;
	*value = json_number_value(figure);
	return true;
}

/* --- comparison keys --- */

static int by_size_then_name(const void *a, const void *b)
{
	const char *x = *(const char *const *)a, *y = *(const char *const *)b;
	int x_is_size = strcmp(x, "size") == 0, y_is_size = strcmp(y, "size") == 0;

	if (x_is_size != y_is_size)
		return y_is_size - x_is_size;
	return strcmp(x, y);
}

static void print_value(FILE *out, const json_t *value)
{
	if (json_is_string(value)) {
		fputs(json_string_value(value), out);
	} else if (json_is_real(value)) {
		fprintf(out, "%.15g", json_real_value(value));
	} else {
		char *text = json_dumps(value,
					JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);

		fputs(text != NULL ? text : "?", out);
		free(text);
	}
}

char *result_comparison_key(const struct result_entry *entry)
{
	json_t *params = json_object_get(entry->kmembench, "params"), *value;
	size_t count = json_object_size(params), n = 0, size;
	const char **names = calloc(count + 1, sizeof(*names)), *name;
	char *key = NULL;
	FILE *out;

	if (names == NULL)
		return NULL;
	json_object_foreach (params, name, value)
		names[n++] = name;
	qsort(names, n, sizeof(*names), by_size_then_name);
	out = open_memstream(&key, &size);
	if (out != NULL) {
		fputs(entry->workload, out);
		for (size_t i = 0; i < n; i++) {
			fprintf(out, "/%s:", names[i]);
			print_value(out, json_object_get(params, names[i]));
		}
		fprintf(out, "/threads:%d", entry->threads);
		if (fclose(out) != 0) {
			free(key);
			key = NULL;
		}
	}
	free(names);
	return key;
}
