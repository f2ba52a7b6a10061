/* SPDX-License-Identifier: MIT */
/* kmembench report: one page about results. */
#include "bench/cli.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include <kmem/error.h>

#include "bench/report.h"

static const char help[] =
	"usage: kmembench report [OPTIONS] RESULT...\n"
	"\n"
	"Writes one self-contained HTML page: summary with geometric means and the fastest of\n"
	"each row, all plots, tables of all cells, failures, machine, method. It loads nothing\n"
	"from anywhere, follows the reader's light or dark setting, and can be printed.\n"
	"Without gnuplot (package gnuplot-nox) it has no plots, and says so.\n"
	"\n"
	"  -o, --output FILE   the page (default: report.html)\n"
	"  -h, --help          this text\n"
	"      --version       the version\n"
	"\n"
	"exit codes: 0 done, 2 usage, unreadable results or a page that cannot be written\n"
	"\n"
	"examples:\n"
	"  kmembench report result.json -o result.html\n"
	"  kmembench report before.json after.json\n";

static const struct option long_options[] = {
	{"output", required_argument, NULL, 'o'},
	{NULL, 0, NULL, 0},
};

int cmd_report(int argc, char **argv)
{
	const char *file = "report.html";
	int c;

	if (cli_help_or_version(argc, argv, help))
		return EXIT_DONE;
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":o:", long_options, NULL)) != -1) {
		if (c != 'o')
			return cli_getopt_error("report", c, argv);
		file = optarg;
	}
	if (optind == argc)
		return cli_usage_error("report", "no results file was named");
	if (report_write((const char *const *)argv + optind, (size_t)(argc - optind),
			 file) != 0) {
		cli_error("cannot write the report: %s", kmem_last_error());
		return EXIT_USAGE;
	}
	if (strcmp(file, "/dev/stdout") != 0)
		puts(file);
	return EXIT_DONE;
}
