/* SPDX-License-Identifier: MIT */
/* kmembench topology: nodes, caches and CPUs of this machine or of a description. */
#include <getopt.h>
#include <stdio.h>

#include "bench/cli.h"
#include "bench/topology_view.h"
#include <kmem/error.h>

static const char help_text[] =
	"usage: kmembench topology [OPTIONS]\n"
	"\n"
	"Shows NUMA nodes with their memory, CPUs and distances, caches, and the CPUs on\n"
	"which worker threads are put, as hwloc sees them.\n"
	"\n"
	"      --topology SPEC      a synthetic hwloc description, or a file that lstopo(1)\n"
	"                           wrote (ends in .xml), in place of this machine\n"
	"      --json               print JSON\n"
	"  -h, --help               this text\n"
	"      --version            the version\n"
	"\n"
	"exit codes: 0 done, 2 usage, or a description that hwloc does not take\n"
	"\n"
	"examples:\n"
	"  kmembench topology\n"
	"  kmembench topology --topology 'numa:4(memory=2GB) core:2 pu:2'\n";

static int show(const char *spec, bool json)
{
	hwloc_topology_t topology;
	json_t *view;
	int result = EXIT_DONE;

	if (topology_load(spec, &topology) != 0) {
		cli_error("cannot show the topology: %s", kmem_last_error());
		return EXIT_USAGE;
	}
	view = topology_json(topology, spec);
	hwloc_topology_destroy(topology);
	if (json) {
		json_dumpf(view, stdout, JSON_INDENT(2));
		putchar('\n');
	} else {
		topology_print(view);
	}
	if (fflush(stdout) != 0 || ferror(stdout)) {
		cli_error("cannot print the topology: writing to the output failed");
		result = EXIT_USAGE;
	}
	json_decref(view);
	return result;
}

int cmd_topology(int argc, char **argv)
{
	static const struct option long_options[] = {
		{"topology", required_argument, NULL, 't'},
		{"json", no_argument, NULL, 'j'},
		{NULL, 0, NULL, 0},
	};
	const char *spec = NULL;
	bool json = false;
	int c;

	if (cli_help_or_version(argc, argv, help_text))
		return EXIT_DONE;
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":", long_options, NULL)) != -1) {
		switch (c) {
		case 't': spec = optarg; break;
		case 'j': json = true; break;
		default: return cli_getopt_error("topology", c, argv);
		}
	}
	if (optind < argc)
		return cli_usage_error("topology",
				       "unexpected argument '%s': a description follows "
				       "--topology",
				       argv[optind]);
	if (spec != NULL && *spec == '\0')
		return cli_usage_error("topology",
				       "--topology takes a description or a file");
	return show(spec, json);
}
