/* SPDX-License-Identifier: MIT */
/* kmembench import: logs of other tools as traces. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <string.h>

#include "bench/cli.h"
#include "bench/import.h"
#include <kmem/error.h>

static const char help_text[] =
	"usage: kmembench import LOG -o TRACE [OPTIONS]\n"
	"\n"
	"Makes a trace, as 'kmembench record' writes it, of a log of allocations that\n"
	"another tool wrote.\n"
	"\n"
	"  -o, --output TRACE   the trace to write\n"
	"      --format FORMAT  auto (default), ltrace or mtrace\n"
	"      --keep-going     leave bad lines out, instead of giving up at the first one\n"
	"  -h, --help           this text\n"
	"      --version        the version\n"
	"\n"
	"ltrace: lines such as 'malloc(24) = 0x55d0c2a0' and '[pid 123] free(0x55d0c2a0)',\n"
	"with time stamps or without, whole or unfinished and resumed; malloc, calloc,\n"
	"realloc, reallocarray, free, memalign, aligned_alloc, valloc, pvalloc, and C++ new\n"
	"and delete. Lines of other functions are passed over. Process numbers become\n"
	"threads: log one process at a time. ltrace does not show which address\n"
	"posix_memalign gave; those calls are counted and left out.\n"
	"mtrace: the log of glibc's mtrace(3). It knows no threads and no alignments.\n"
	"\n"
	"Neither log tells when its lines were written relative to the calls of other\n"
	"threads as exactly as the recorder does: an address that is given out again\n"
	"before its free is read is taken for freed there, and counted.\n"
	"\n"
	"exit codes: 0 when the trace was written; 2 when the log cannot be read: a line\n"
	"that is bad is named by its number.\n"
	"\n"
	"examples:\n"
	"  ltrace -f -e malloc+calloc+realloc+free+memalign -o ls.log ls\n"
	"  kmembench import ls.log -o ls.trace\n"
	"  MALLOC_TRACE=app.log LD_PRELOAD=libc_malloc_debug.so.0 ./app\n"
	"  kmembench import app.log -o app.trace\n";

static int parse_format(const char *text, enum import_format *format)
{
	for (int i = 0; import_format_names[i] != NULL; i++) {
		if (strcmp(import_format_names[i], text) == 0) {
			*format = (enum import_format)i;
			return 0;
		}
	}
	return cli_usage_error("import", "--format '%s' is none of auto, ltrace, mtrace",
			       text);
}

static void print_summary(const char *log, const char *path,
			  const struct import_summary *s)
{
	const struct record_summary *t = &s->trace;

	fprintf(stderr,
		"kmembench: imported %" PRIu64 " events, %" PRIu64
		" allocations, %" PRIu32 " %s from %" PRIu64
		" lines of %s in '%s' into '%s'\n",
		t->events, t->allocations, t->threads,
		t->threads == 1 ? "thread" : "threads", s->lines,
		import_format_names[s->format], log, path);
	if (s->bad_lines > 0)
		cli_warn("%" PRIu64 " bad lines were left out, the first: %s",
			 s->bad_lines, kmem_last_error());
	if (s->without_address > 0)
		cli_warn("%" PRIu64
			 " calls of posix_memalign were left out: the log does not show "
			 "their addresses",
			 s->without_address);
	if (s->unfinished > 0)
		cli_warn("%" PRIu64 " calls never came back and were left out",
			 s->unfinished);
	if (t->unknown_frees > 0)
		cli_warn("%" PRIu64
			 " frees of memory whose allocation is not in the log were left "
			 "out",
			 t->unknown_frees);
	if (t->implied_frees > 0)
		cli_warn("%" PRIu64
			 " frees that are not in the log were added where the address "
			 "came back",
			 t->implied_frees);
	if (t->torn_events > 0)
		cli_warn(
			"%" PRIu64
			" events no program can have meant (sizes above 2^47 bytes) were "
			"left out",
			t->torn_events);
}

int cmd_import(int argc, char **argv)
{
	enum { OPT_FORMAT = 256, OPT_KEEP_GOING };
	static const struct option longopts[] = {
		{"output", required_argument, NULL, 'o'},
		{"format", required_argument, NULL, OPT_FORMAT},
		{"keep-going", no_argument, NULL, OPT_KEEP_GOING},
		{NULL, 0, NULL, 0},
	};
	struct import_options options = {0};
	struct import_summary summary;
	const char *output = NULL;
	int opt, err;

	if (cli_help_or_version(argc, argv, help_text))
		return EXIT_DONE;
	opterr = 0;
	optind = 0; /* glibc: start anew */
	while ((opt = getopt_long(argc, argv, ":o:", longopts, NULL)) != -1) {
		switch (opt) {
		case 'o': output = optarg; break;
		case OPT_FORMAT:
			err = parse_format(optarg, &options.format);
			if (err != 0)
				return err;
			break;
		case OPT_KEEP_GOING: options.keep_going = true; break;
		default: return cli_getopt_error("import", opt, argv);
		}
	}
	if (output == NULL)
		return cli_usage_error("import", "no trace to write: give -o TRACE");
	if (optind != argc - 1)
		return cli_usage_error("import",
				       "exactly one log is read, give its name");
	if (import_trace(argv[optind], output, &options, &summary) != 0) {
		cli_error("cannot import '%s': %s", argv[optind], kmem_last_error());
		return EXIT_USAGE;
	}
	print_summary(argv[optind], output, &summary);
	return EXIT_DONE;
}
