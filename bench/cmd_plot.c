/* SPDX-License-Identifier: MIT */
/* kmembench plot: pictures of results. */
#include "bench/cli.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>

#include <kmem/error.h>

#include "bench/plot.h"

static const char help[] =
	"usage: kmembench plot [OPTIONS] RESULT...\n"
	"\n"
	"Draws all plots that the results support, and names each file it writes and each\n"
	"plot it leaves out. Files of one run (shards) are drawn together; where two files\n"
	"hold the same cell of the same allocator, the file's name tells them apart.\n"
	"\n"
	"  summary               time relative to the baseline, all cells\n"
	"  throughput-threads    operations per second by threads, per workload\n"
	"  time-size             ns per operation by size, per workload\n"
	"  page-orders           ns per operation by order, per page workload\n"
	"  forest, blocks        ratios to the baseline; the blocks themselves\n"
	"  memory                peak resident bytes against live bytes, per workload\n"
	"  memory-time, drain    resident bytes over time, and after a drain\n"
	"  age                   fragmentation and latency by bytes allocated\n"
	"  latency-percentiles   alloc and free by percentile, per cell; tail-causes\n"
	"  frag, frag-index      free memory of page allocators: how much of it is whole;\n"
	"    and frag-time       by order; as it ages\n"
	"  reclaim, reclaim-time who takes pages back; free pages between the watermarks\n"
	"  numa-fallback         which node serves while one runs out of memory, and latency\n"
	"  numa-pass             where memory goes that is freed on another node\n"
	"  kmap                  ns to reach a HIGHMEM page, by the way and its reuse\n"
	"  colour                misses and time with and without cache colouring\n"
	"  ablation              variants of an allocator against the plain one\n"
	"\n"
	"  -o, --output DIR      folder for the pictures (default: plots)\n"
	"      --format FORMAT   svg, png or both (default: both)\n"
	"      --keep-data       leave the tables that were drawn in DIR/data\n"
	"  -h, --help            this text\n"
	"      --version         the version\n"
	"\n"
	"Needs gnuplot (package gnuplot-nox).\n"
	"\n"
	"exit codes: 0 done, 2 usage or unreadable results, 4 gnuplot is missing or failed\n"
	"\n"
	"examples:\n"
	"  kmembench plot result.json\n"
	"  kmembench plot before.json after.json -o pictures --format svg\n";

enum { OPT_FORMAT = 256, OPT_KEEP_DATA };

static const struct option long_options[] = {
	{"output", required_argument, NULL, 'o'},
	{"format", required_argument, NULL, OPT_FORMAT},
	{"keep-data", no_argument, NULL, OPT_KEEP_DATA},
	{NULL, 0, NULL, 0},
};

static unsigned int parse_format(const char *text)
{
	if (strcmp(text, "svg") == 0)
		return PLOT_SVG;
	if (strcmp(text, "png") == 0)
		return PLOT_PNG;
	return strcmp(text, "both") == 0 ? PLOT_SVG | PLOT_PNG : 0;
}

int cmd_plot(int argc, char **argv)
{
	unsigned int formats = PLOT_SVG | PLOT_PNG, keep = 0;
	const char *dir = "plots";
	int c, err;

	if (cli_help_or_version(argc, argv, help))
		return EXIT_DONE;
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":o:", long_options, NULL)) != -1) {
		switch (c) {
		case 'o': dir = optarg; break;
		case OPT_FORMAT:
			formats = parse_format(optarg);
			if (formats == 0)
				return cli_usage_error("plot",
						       "unknown format '%s': it is svg, "
						       "png or both",
						       optarg);
			break;
		case OPT_KEEP_DATA: keep = PLOT_KEEP_DATA; break;
		default: return cli_getopt_error("plot", c, argv);
		}
	}
	if (optind == argc)
		return cli_usage_error("plot", "no results file was named");
	err = plot_results((const char *const *)argv + optind, (size_t)(argc - optind),
			   dir, formats | keep, stdout);
	if (err != 0)
		cli_error("cannot plot: %s", kmem_last_error());
	if (err == -ENOTSUP)
		return EXIT_NOT_SUPPORTED;
	return err == 0 ? EXIT_DONE : EXIT_USAGE;
}
