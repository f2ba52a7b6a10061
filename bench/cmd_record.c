/* SPDX-License-Identifier: MIT */
/* kmembench record: the allocations of a real program, as a trace. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "bench/cli.h"
#include "bench/record.h"
#include <kmem/error.h>
#include <kmem/options.h>

static const char help_text[] =
	"usage: kmembench record -o TRACE [OPTIONS] [--] PROGRAM [ARGUMENT...]\n"
	"\n"
	"Runs PROGRAM with a recorder in front of its malloc, and writes what it allocated\n"
	"and freed, thread by thread in one global order, to TRACE. 'kmembench replay' runs\n"
	"the trace on allocators.\n"
	"\n"
	"  -o, --output TRACE   the trace to write\n"
	"      --max-events N   stop recording after N events (default 64M; K, M, G for\n"
	"                       powers of 1024); a realloc counts twice\n"
	"  -h, --help           this text\n"
	"      --version        the version\n"
	"\n"
	"Recorded are malloc, calloc, realloc, reallocarray, free, posix_memalign,\n"
	"aligned_alloc, memalign, valloc, pvalloc, and through them C++ new and delete.\n"
	"Only the program that is started is recorded: not its children (of 'gcc', the\n"
	"compiler proper is one), nor another by which it replaces itself, as wrapper\n"
	"scripts and env do; of that you are warned.\n"
	"A program that crashes or is killed leaves a trace of what it had done.\n"
	"\n"
	"Each event takes 32 bytes of an unnamed temporary file beside TRACE while the\n"
	"program runs, and 16 bytes of the trace. Threads take numbers from one counter, so\n"
	"recording slows threads that allocate at the same time more than one alone: 15 to\n"
	"30 ns an event were measured with one thread that does nothing else, 40 to 90 with\n"
	"two, and several times that where the disk does not keep up.\n"
	"\n"
	"The summary goes to standard error; the standard streams are the program's own.\n"
	"Exit codes: 0 when the trace was written, however the program ended (a warning\n"
	"says so); 2 when the program could not be started or the trace not be written;\n"
	"4 when the program cannot be recorded (statically linked, set-user-ID, a malloc of\n"
	"its own).\n"
	"\n"
	"examples:\n"
	"  kmembench record -o sqlite.trace -- sqlite3 :memory: 'select 1'\n"
	"  kmembench record -o perl.trace --max-events 16M -- perl script.pl\n"
	"  kmembench replay sqlite.trace -a glibc,jemalloc\n";

/* "3.4 MiB" */
static const char *format_bytes(uint64_t bytes, char *buf, size_t size)
{
	static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
	double value = (double)bytes;
	size_t unit = 0;

	while (value >= 1024 && unit + 1 < KMEM_ARRAY_SIZE(units)) {
		value /= 1024;
		unit++;
	}
	snprintf(buf, size, "%.*f %s", unit == 0 ? 0 : 1, value, units[unit]);
	return buf;
}

/* "exited with 0", "was killed by SIGSEGV" */
static const char *format_end(int wait_status, char *buf, size_t size)
{
	if (WIFSIGNALED(wait_status)) {
		const char *name = sigabbrev_np(WTERMSIG(wait_status));

		snprintf(buf, size, "was killed by SIG%s", name != NULL ? name : "?");
	} else {
		snprintf(buf, size, "exited with %d", WEXITSTATUS(wait_status));
	}
	return buf;
}

static void print_summary(const char *path, const char *program,
			  const struct record_summary *s)
{
	char live[32], end[48];

	format_end(s->wait_status, end, sizeof(end));
	fprintf(stderr,
		"kmembench: recorded %" PRIu64 " events, %" PRIu64
		" allocations, %" PRIu32
		" %s, at most %s live, in '%s'; the program %s\n",
		s->events, s->allocations, s->threads,
		s->threads == 1 ? "thread" : "threads",
		format_bytes(s->live_bytes_max, live, sizeof(live)), path, end);
	if (s->wait_status != 0)
		cli_warn("'%s' %s: the trace ends there", program, end);
	if (s->replaced)
		cli_warn(
			"'%s' replaced itself by another program, which is not recorded: "
			"record that one by its own name",
			program);
	if (s->lost_events > 0 && s->disk_full)
		cli_warn("the disk was full: the last %" PRIu64
			 " events are not in the trace",
			 s->lost_events);
	else if (s->lost_events > 0)
		cli_warn("the recording was full: the last %" PRIu64
			 " events are not in the trace; raise --max-events by that",
			 s->lost_events);
	if (s->unknown_frees > 0)
		cli_warn("%" PRIu64
			 " frees of memory whose allocation was not seen were left out",
			 s->unknown_frees);
	if (s->implied_frees > 0)
		cli_warn("%" PRIu64
			 " frees that were not seen were added where the address came "
			 "back",
			 s->implied_frees);
	if (s->torn_events > 0)
		cli_warn("%" PRIu64
			 " events were unfinished or damaged and were left out",
			 s->torn_events);
}

static int parse_events(const char *text, uint64_t *events)
{
	if (kmem_parse_size(text, events) != 0)
		return cli_usage_error("record", "--max-events: %s", kmem_last_error());
	if (*events == 0 || *events > RECORD_EVENTS_MAX)
		return cli_usage_error("record",
				       "--max-events '%s' is not in 1 .. %" PRIu64, text,
				       RECORD_EVENTS_MAX);
	return 0;
}

int cmd_record(int argc, char **argv)
{
	enum { OPT_MAX_EVENTS = 256, OPT_VERSION };
	static const struct option longopts[] = {
		{"output", required_argument, NULL, 'o'},
		{"max-events", required_argument, NULL, OPT_MAX_EVENTS},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, OPT_VERSION},
		{NULL, 0, NULL, 0},
	};
	struct record_options options = {0};
	struct record_summary summary;
	const char *output = NULL;
	int opt, err;

	opterr = 0;
	optind = 0; /* glibc: start anew */
	/* '+': the program's own options are not ours. */
	while ((opt = getopt_long(argc, argv, "+:o:h", longopts, NULL)) != -1) {
		switch (opt) {
		case 'o': output = optarg; break;
		case OPT_MAX_EVENTS:
			err = parse_events(optarg, &options.events_max);
			if (err != 0)
				return err;
			break;
		case 'h': fputs(help_text, stdout); return EXIT_DONE;
		case OPT_VERSION: puts("kmembench " KMEMBENCH_VERSION); return EXIT_DONE;
		default: return cli_getopt_error("record", opt, argv);
		}
	}
	if (output == NULL)
		return cli_usage_error("record", "no trace to write: give -o TRACE");
	if (optind == argc)
		return cli_usage_error("record", "no program to record");
	err = record_program(output, argv + optind, &options, &summary);
	if (err != 0) {
		cli_error("cannot record '%s': %s", argv[optind], kmem_last_error());
		return err == -ENOTSUP || err == -EOVERFLOW ? EXIT_NOT_SUPPORTED
							    : EXIT_USAGE;
	}
	print_summary(output, argv[optind], &summary);
	return EXIT_DONE;
}
