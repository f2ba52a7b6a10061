/* SPDX-License-Identifier: MIT */
/* kmembench merge: joins the results files of one plan's shards. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "bench/cli.h"
#include "bench/merge.h"
#include "bench/results.h"
#include <kmem/error.h>

static const char help_text[] =
	"usage: kmembench merge FILE... -o FILE\n"
	"\n"
	"Joins the results files of one sweep's shards ('kmembench sweep --shard I/N'). They\n"
	"must come from the same command line apart from --shard and the output's name, with\n"
	"the same program, settings, seed and allocators on a machine of the same description.\n"
	"A cell that two files hold for the same block is refused. Nothing is averaged: every\n"
	"entry is kept as it was.\n"
	"\n"
	"  -o, --output FILE   where to write (replaced whole; may be one of the inputs)\n"
	"  -h, --help          this text\n"
	"      --version       the version\n"
	"\n"
	"The joined file is complete when each shard 1..N is there and complete; otherwise a\n"
	"warning names what is missing, and the file says \"complete\": false.\n"
	"\n"
	"exit codes: 0 done, 2 usage, unlike or damaged files\n"
	"\n"
	"examples:\n"
	"  kmembench sweep --seed 7 --shard 1/2 -o one\n"
	"  kmembench sweep --seed 7 --shard 2/2 -o two\n"
	"  kmembench merge one/results.json two/results.json -o all.json\n";

static const struct option long_options[] = {
	{"output", required_argument, NULL, 'o'},
	{0},
};

static int parse_arguments(int argc, char **argv, const char **output)
{
	int option;

	*output = NULL;
	optind = 1;
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":o:", long_options, NULL)) != -1) {
		if (option != 'o')
			return cli_getopt_error("merge", option, argv);
		*output = optarg;
	}
	if (optind == argc)
		return cli_usage_error("merge", "no results file is named");
	if (*output == NULL)
		return cli_usage_error("merge", "no output is named: add -o FILE");
	return EXIT_DONE;
}

static int merge_files(char *const *paths, size_t count, json_t **files,
		       const char *output)
{
	json_t *merged;
	char missing[256];
	int err;

	for (size_t i = 0; i < count; i++) {
		files[i] = results_load(paths[i]);
		if (files[i] == NULL)
			return -EINVAL;
	}
	merged = results_merge(files, (const char *const *)paths, count, missing,
			       sizeof(missing));
	if (merged == NULL)
		return -EINVAL;
	if (*missing != '\0')
		cli_warn("'%s' is incomplete: %s", output, missing);
	err = results_save(output, merged);
	json_decref(merged);
	return err;
}

int cmd_merge(int argc, char **argv)
{
	const char *output;
	json_t **files;
	size_t count;
	int result, err;

	if (cli_help_or_version(argc, argv, help_text))
		return EXIT_DONE;
	result = parse_arguments(argc, argv, &output);
	if (result != EXIT_DONE)
		return result;
	count = (size_t)(argc - optind);
	files = calloc(count, sizeof(*files));
	if (files == NULL) {
		cli_error("cannot merge: no memory");
		return EXIT_USAGE;
	}
	err = results_check_writable(output);
	if (err == 0)
		err = merge_files(&argv[optind], count, files, output);
	if (err != 0)
		cli_error("cannot merge: %s", kmem_last_error());
	for (size_t i = 0; i < count; i++)
		json_decref(files[i]);
	free(files);
	return err == 0 ? EXIT_DONE : EXIT_USAGE;
}
