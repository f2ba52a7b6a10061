/* SPDX-License-Identifier: MIT */
/* kmembench hgrm: latency histograms for HdrHistogram's tools. */
#include "bench/cli.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kmem/error.h>

#include "bench/folder.h"
#include "bench/hgrm.h"
#include "bench/lists.h"
#include "bench/results.h"

static const char help[] =
	"usage: kmembench hgrm [OPTIONS] RESULT...\n"
	"\n"
	"Writes latency histograms as HdrHistogram's percentile text (.hgrm), values in ns:\n"
	"one for each cell, allocator and operation (alloc, free, and series of a workload's\n"
	"own, such as response), the histograms of all blocks merged. Prints to standard\n"
	"output, a '#' line with the name before each, or writes a file for each.\n"
	"\n"
	"  -o, --output DIR       a file for each, NAME.OPERATION.hgrm, in this folder\n"
	"  -a, --allocators LIST  these alone, by name or variant\n"
	"  -w, --workloads LIST   these alone\n"
	"  -h, --help             this text\n"
	"      --version          the version\n"
	"\n"
	"exit codes: 0 done, 2 usage, unreadable results, nothing found, or a file that\n"
	"cannot be written\n"
	"\n"
	"examples:\n"
	"  kmembench hgrm -a jemalloc -w wset result.json > jemalloc.hgrm\n"
	"  kmembench hgrm result.json -o percentiles\n";

static const struct option long_options[] = {
	{"output", required_argument, NULL, 'o'},
	{"allocators", required_argument, NULL, 'a'},
	{"workloads", required_argument, NULL, 'w'},
	{NULL, 0, NULL, 0},
};

struct request {
	const char *folder; /* NULL: standard output */
	struct string_list allocators, workloads;
	const char *prefix; /* of file names: "" with one results file */
	size_t written;
};

/* An empty list has them all. */
static bool list_has(const struct string_list *list, const char *word)
{
	for (size_t i = 0; i < list->count; i++) {
		if (strcmp(list->item[i], word) == 0)
			return true;
	}
	return list->count == 0;
}

static bool is_wanted(const struct request *r, const struct result_entry *e)
{
	return result_entry_ok(e) &&
	       (list_has(&r->allocators, e->allocator) ||
		list_has(&r->allocators, e->allocator_name)) &&
	       list_has(&r->workloads, e->workload);
}

/* Opens the place for one histogram; NULL with a text. */
static FILE *open_output(const struct request *r, const char *name, const char *operation,
			 char **path)
{
	FILE *out;

	*path = NULL;
	if (r->folder == NULL) {
		printf("#[%s, %s, ns]\n", name, operation);
		return stdout;
	}
	if (asprintf(path, "%s/%s%s.%s.hgrm", r->folder, r->prefix, name, operation) <
	    0) {
		*path = NULL;
		kmem_error(-ENOMEM, "no memory for a file name");
		return NULL;
	}
	/* A cell's name has slashes and more; what is after the folder is one name. */
	for (char *c = *path + strlen(r->folder) + 1; *c != '\0'; c++) {
		if (!isalnum((unsigned char)*c) && strchr("._-+=:", *c) == NULL)
			*c = '-';
	}
	out = fopen(*path, "w");
	if (out == NULL)
		kmem_error(-errno, "cannot write '%s': %m", *path);
	return out;
}

static int write_one(struct request *r, struct hgrm *h, const char *name,
		     const char *operation)
{
	char *path;
	FILE *out = open_output(r, name, operation, &path);
	int err = out == NULL ? -EIO : 0;

	if (out != NULL) {
		hgrm_write(h, out);
		r->written++;
	}
	if (out != NULL && out != stdout) {
		if (ferror(out) != 0)
			err = -EIO;
		if (fclose(out) != 0)
			err = -EIO;
		if (err != 0) {
			kmem_error(err, "cannot write '%s': %m", path);
			unlink(path);
		} else {
			puts(path);
		}
	}
	free(path);
	return err;
}

/* The same operation in this and all later entries of the same name: a cell's blocks. */
static int merge_and_write(struct request *r, const json_t *entries, size_t first,
			   const char *name, const char *operation)
{
	struct hgrm h = {0};
	int err = 0;

	for (size_t i = first; i < json_array_size(entries) && err == 0; i++) {
		struct result_entry e;
		const json_t *histogram;

		if (result_is_aggregate(json_array_get(entries, i)) ||
		    result_entry_parse(json_array_get(entries, i), &e) != 0 ||
		    !is_wanted(r, &e) || strcmp(e.name, name) != 0)
			continue;
		histogram = json_object_get(json_object_get(e.kmembench, "latency"),
					    operation);
		if (hgrm_is_histogram(histogram))
			err = hgrm_add(&h, histogram);
	}
	if (err == 0)
		err = write_one(r, &h, name, operation);
	hgrm_clear(&h);
	return err;
}

/* done: names of cells already written, as an object's keys. */
static int write_file(struct request *r, const json_t *root)
{
	const json_t *entries = results_entries(root);
	json_t *done = json_object();
	int err = 0;

	for (size_t i = 0; i < json_array_size(entries) && err == 0; i++) {
		struct result_entry e;
		const char *operation;
		json_t *latency, *histogram;

		if (result_is_aggregate(json_array_get(entries, i)) ||
		    result_entry_parse(json_array_get(entries, i), &e) != 0 ||
		    !is_wanted(r, &e) || json_object_get(done, e.name) != NULL)
			continue;
		json_object_set_new(done, e.name, json_true());
		latency = json_object_get(e.kmembench, "latency");
		json_object_foreach (latency, operation, histogram) {
			if (hgrm_is_histogram(histogram) && err == 0)
				err = merge_and_write(r, entries, i, e.name, operation);
		}
	}
	json_decref(done);
	return err;
}

/* "dir/result.json" is "result". */
struct stem {
	const char *name;
	int length;
};

static struct stem stem_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash != NULL ? slash + 1 : path;
	const char *dot = strrchr(name, '.');

	return (struct stem){name, (int)(dot != NULL && dot != name ? (size_t)(dot - name)
								    : strlen(name))};
}

/*
 * "result-" for dir/result.json. Files of one name, as of old/result.json and
 * new/result.json, are told apart by a number: "result-", "result.2-".
 */
static char *prefix_of(char **paths, int which)
{
	struct stem own = stem_of(paths[which]);
	char *prefix;
	int number = 1, err;

	for (int i = 0; i < which; i++) {
		struct stem other = stem_of(paths[i]);

		number += other.length == own.length &&
			  strncmp(other.name, own.name, (size_t)own.length) == 0;
	}
	if (number == 1)
		err = asprintf(&prefix, "%.*s-", own.length, own.name);
	else
		err = asprintf(&prefix, "%.*s.%d-", own.length, own.name, number);
	return err < 0 ? NULL : prefix;
}

static int export_file(struct request *r, char **paths, int which, bool many)
{
	json_t *root = results_load(paths[which]);
	char *prefix = many ? prefix_of(paths, which) : NULL;
	int err;

	if (root == NULL || (many && prefix == NULL)) {
		cli_error("%s", kmem_last_error());
		json_decref(root);
		free(prefix);
		return EXIT_USAGE;
	}
	r->prefix = prefix != NULL ? prefix : "";
	err = write_file(r, root);
	if (err != 0)
		cli_error("cannot export '%s': %s", paths[which], kmem_last_error());
	json_decref(root);
	free(prefix);
	return err == 0 ? EXIT_DONE : EXIT_USAGE;
}

static int export_files(struct request *r, char **paths, int count)
{
	int code = EXIT_DONE;

	if (r->folder != NULL && folder_make(r->folder) != 0) {
		cli_error("%s", kmem_last_error());
		return EXIT_USAGE;
	}
	for (int i = 0; i < count && code == EXIT_DONE; i++)
		code = export_file(r, paths, i, count > 1);
	if (code == EXIT_DONE && r->written == 0) {
		cli_error(
			"no latency histogram of what was asked for: 'kmembench list' has the "
			"names, and some workloads time no single calls");
		return EXIT_USAGE;
	}
	return code;
}

/* EXIT_DONE when all options were understood. */
static int parse_options(struct request *r, int argc, char **argv)
{
	int c, err = 0;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":o:a:w:", long_options, NULL)) != -1) {
		switch (c) {
		case 'o': r->folder = optarg; break;
		case 'a':
			string_list_release(&r->allocators);
			err = list_split_specs(optarg, &r->allocators);
			break;
		case 'w':
			string_list_release(&r->workloads);
			err = list_split(optarg, &r->workloads);
			break;
		default: return cli_getopt_error("hgrm", c, argv);
		}
		if (err != 0)
			return cli_usage_error("hgrm", "%s", kmem_last_error());
	}
	if (optind == argc)
		return cli_usage_error("hgrm", "no results file was named");
	return EXIT_DONE;
}

int cmd_hgrm(int argc, char **argv)
{
	struct request r = {.prefix = ""};
	int code;

	if (cli_help_or_version(argc, argv, help))
		return EXIT_DONE;
	code = parse_options(&r, argc, argv);
	if (code == EXIT_DONE)
		code = export_files(&r, argv + optind, argc - optind);
	string_list_release(&r.allocators);
	string_list_release(&r.workloads);
	return code;
}
