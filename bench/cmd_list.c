/* SPDX-License-Identifier: MIT */
/* kmembench list: what there is, from the tables themselves. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "bench/cli.h"
#include "bench/list_tables.h"
#include "workloads/workload.h"
#include <kmem/allocator.h>
#include <kmem/error.h>

static const char help_text[] =
	"usage: kmembench list [allocators|workloads|metrics] [OPTIONS]\n"
	"       kmembench list options NAME [OPTIONS]\n"
	"\n"
	"Lists allocators, workloads, their options, and the metrics of results.\n"
	"Without an argument: all allocators and workloads. NAME is an allocator or a\n"
	"workload; its options are written 'NAME:option=value,...' after -a, and given\n"
	"with '--param option=value' for a workload.\n"
	"\n"
	"      --all                also the allocators with planted faults, which the\n"
	"                           self-test alone uses\n"
	"      --json               print JSON\n"
	"      --library NAME=PATH  add a malloc-compatible library as an allocator\n"
	"  -h, --help               this text\n"
	"      --version            the version\n"
	"\n"
	"exit codes: 0 done, 2 usage\n"
	"\n"
	"examples:\n"
	"  kmembench list\n"
	"  kmembench list options slab\n"
	"  kmembench list workloads --json\n";

/* Takes over the reference. */
static int print_json(json_t *root)
{
	json_dumpf(root, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
	putchar('\n');
	json_decref(root);
	return EXIT_DONE;
}

/* Takes over the reference. */
static int show(const char *key, json_t *table, void (*print)(const json_t *), bool json)
{
	if (json)
		return print_json(json_pack("{s:o}", key, table));
	print(table);
	json_decref(table);
	return EXIT_DONE;
}

static int list_all(bool all, bool json)
{
	json_t *allocators = list_allocators_json(all);
	json_t *workloads = list_workloads_json();

	if (json)
		return print_json(json_pack("{s:o, s:o}", "allocators", allocators,
					    "workloads", workloads));
	list_allocators_print(allocators);
	putchar('\n');
	list_workloads_print(workloads);
	json_decref(allocators);
	json_decref(workloads);
	return EXIT_DONE;
}

/* The nearest name of both tables, since the user did not say which. */
static int unknown_name(const char *name)
{
	const char *names[256];
	const struct allocator_ops *a;
	const struct workload_ops *w;
	const char *nearest;
	size_t n = 0;

	for (size_t i = 0; n < KMEM_ARRAY_SIZE(names) && (a = allocator_at(i)) != NULL;
	     i++)
		names[n++] = a->name;
	for (size_t i = 0; n < KMEM_ARRAY_SIZE(names) && (w = workload_at(i)) != NULL;
	     i++)
		names[n++] = w->name;
	nearest = kmem_nearest_name(name, names, n);
	if (nearest != NULL)
		return cli_usage_error(
			"list",
			"'%s' is neither an allocator nor a workload: did you mean "
			"'%s'?",
			name, nearest);
	return cli_usage_error(
		"list",
		"'%s' is neither an allocator nor a workload: 'kmembench list' has "
		"them all",
		name);
}

static int list_options(const char *name, bool json)
{
	const struct allocator_ops *a = allocator_find(name);
	const struct workload_ops *w = a == NULL ? workload_find(name) : NULL;
	json_t *options;

	if (a == NULL && w == NULL)
		return unknown_name(name);
	options = list_options_json(a != NULL ? a->options : w->params);
	if (json)
		return print_json(json_pack("{s:s, s:s, s:o}", "name", name, "kind",
					    a != NULL ? "allocator" : "workload",
					    "options", options));
	if (json_array_size(options) == 0) {
		printf("%s '%s' has no options\n", a != NULL ? "allocator" : "workload",
		       name);
	} else {
		printf("options of %s '%s'\n", a != NULL ? "allocator" : "workload",
		       name);
		list_options_print(options);
		if (a != NULL) {
			putchar('\n');
			list_variants_print(name, options);
		}
	}
	json_decref(options);
	return EXIT_DONE;
}

static int add_library(const char *text)
{
	const char *equals = strchr(text, '=');
	char name[64];

	if (equals == NULL || equals == text || equals[1] == '\0' ||
	    (size_t)(equals - text) >= sizeof(name))
		return cli_usage_error(
			"list", "--library takes NAME=/path/to/library.so, not '%s'",
			text);
	memcpy(name, text, (size_t)(equals - text));
	name[equals - text] = '\0';
	if (allocator_register_library(name, equals + 1) != 0) {
		cli_error("cannot add library '%s': %s", text, kmem_last_error());
		return EXIT_USAGE;
	}
	return EXIT_DONE;
}

static int list_what(int argc, char **argv, bool all, bool json)
{
	static const char *const tables[] = {"allocators", "workloads", "options",
					     "metrics"};
	const char *what = argc > 0 ? argv[0] : NULL;
	const char *nearest;

	if (what == NULL)
		return list_all(all, json);
	if (strcmp(what, "options") == 0) {
		if (argc != 2)
			return cli_usage_error("list",
					       "'options' takes one name: an allocator's "
					       "or a workload's");
		return list_options(argv[1], json);
	}
	if (argc > 1)
		return cli_usage_error("list", "unexpected argument '%s'", argv[1]);
	if (strcmp(what, "allocators") == 0)
		return show("allocators", list_allocators_json(all),
			    list_allocators_print, json);
	if (strcmp(what, "workloads") == 0)
		return show("workloads", list_workloads_json(), list_workloads_print,
			    json);
	if (strcmp(what, "metrics") == 0)
		return show("metrics", list_metrics_json(), list_metrics_print, json);
	nearest = kmem_nearest_name(what, tables, KMEM_ARRAY_SIZE(tables));
	if (nearest != NULL)
		return cli_usage_error("list", "unknown table '%s': did you mean '%s'?",
				       what, nearest);
	return cli_usage_error(
		"list",
		"unknown table '%s': it takes allocators, workloads, options or "
		"metrics",
		what);
}

int cmd_list(int argc, char **argv)
{
	static const struct option long_options[] = {
		{"all", no_argument, NULL, 'a'},
		{"json", no_argument, NULL, 'j'},
		{"library", required_argument, NULL, 'L'},
		{NULL, 0, NULL, 0},
	};
	bool all = false, json = false;
	int result, c;

	if (cli_help_or_version(argc, argv, help_text))
		return EXIT_DONE;
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":", long_options, NULL)) != -1) {
		switch (c) {
		case 'a': all = true; break;
		case 'j': json = true; break;
		case 'L':
			result = add_library(optarg);
			if (result != EXIT_DONE)
				return result;
			break;
		default: return cli_getopt_error("list", c, argv);
		}
	}
	result = list_what(argc - optind, argv + optind, all, json);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		cli_error("cannot print the list: writing to the output failed");
		return EXIT_USAGE;
	}
	return result;
}
