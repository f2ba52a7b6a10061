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
	"and freed, thread by thread in one total order, to TRACE. 'kmembench replay' runs\n"
	"the trace on allocators, 'kmembench fit' makes a model of it.\n"
	"\n"
	"  -o, --output TRACE   the trace to write\n"
	"      --children       record child processes as well, each into a trace of its own:\n"
	"                       TRACE.PID, and TRACE.PID.2 for what it became by exec\n"
	"      --max-events N   stop recording after N events (default 64M; K, M, G for\n"
	"                       powers of 1024); a realloc counts twice; for each process\n"
	"      --no-cost        do not measure the recorder's own cost (0.2 s before the start)\n"
	"  -h, --help           this text\n"
	"      --version        the version\n"
	"\n"
	"Recorded are malloc, calloc, realloc, reallocarray, free, posix_memalign,\n"
	"aligned_alloc, memalign, valloc, pvalloc, and through them C++ new and delete; and\n"
	"which thread created or joined which (pthread_create, pthread_join).\n"
	"Without --children only the program that is started is recorded: not its children\n"
	"(of 'gcc', the compiler proper is one), nor another by which it replaces itself, as\n"
	"wrapper scripts and env do; of that you are warned. Children of fork may go on\n"
	"allocating either way, while other threads of the parent do. What a child frees that\n"
	"its parent had allocated before the fork is left out of the child's trace. A child\n"
	"that is still running when PROGRAM ends is recorded up to then.\n"
	"A program that crashes or is killed leaves a trace of what it had done.\n"
	"\n"
	"Each event takes 32 bytes of an unnamed temporary file beside TRACE while the\n"
	"program runs, and about two bytes of the trace. Threads take numbers from one\n"
	"counter, so recording slows threads that allocate at the same time more than one\n"
	"alone. What an event costs here is measured before each recording, printed, and kept\n"
	"in the trace; it is the least: a disk that does not keep up costs more.\n"
	"\n"
	"The summary goes to standard error; the standard streams are the program's own.\n"
	"\n"
	"exit codes: 0 when the trace was written, however the program ended (a warning\n"
	"says so); 2 when the program could not be started or the trace not be written;\n"
	"4 when the program cannot be recorded (statically linked, set-user-ID, a malloc of\n"
	"its own).\n"
	"\n"
	"examples:\n"
	"  kmembench record -o sqlite.trace -- sqlite3 :memory: 'select 1'\n"
	"  kmembench record -o cc.trace --children -- gcc -c file.c\n"
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

/* "recorded 12 events, ... in 'x' (2.3 bytes each)" */
static void print_figures(const char *path, const struct record_summary *s,
			  const char *rest)
{
	char live[32];

	fprintf(stderr,
		"kmembench: recorded %" PRIu64 " events, %" PRIu64
		" allocations, %" PRIu32
		" %s, at most %s live, in '%s' (%.1f bytes an event); %s\n",
		s->events, s->allocations, s->threads,
		s->threads == 1 ? "thread" : "threads",
		format_bytes(s->live_bytes_max, live, sizeof(live)), path,
		(double)s->trace_bytes / (double)s->events, rest);
}

static void print_cost(const struct record_cost *cost)
{
	if (cost->ns_per_event > 0)
		fprintf(stderr,
			"kmembench: the recorder takes %.0f ns an event, %.0f where two "
			"threads allocate at once (measured just now)\n",
			cost->ns_per_event, cost->ns_per_event_shared);
}

static void warn_of_losses(const struct record_summary *s)
{
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

static void print_summary(const char *path, const char *program,
			  const struct record_summary *s)
{
	char end[48], rest[64];

	format_end(s->wait_status, end, sizeof(end));
	snprintf(rest, sizeof(rest), "the program %s", end);
	print_figures(path, s, rest);
	print_cost(&s->cost);
	if (s->wait_status != 0)
		cli_warn("'%s' %s: the trace ends there", program, end);
	if (s->replaced)
		cli_warn(
			"'%s' replaced itself by another program, which is not recorded: "
			"record that one by its own name, or with --children",
			program);
	warn_of_losses(s);
}

static void print_child(const char *path, const struct record_summary *s, void *arg)
{
	char rest[96];

	(void)arg;
	snprintf(rest, sizeof(rest), "child %" PRIu32 " ('%s')%s", s->pid, s->program,
		 s->still_running ? " is still running: the trace ends here" : "");
	print_figures(path, s, rest);
	warn_of_losses(s);
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
	enum { OPT_MAX_EVENTS = 256, OPT_CHILDREN, OPT_NO_COST, OPT_VERSION };
	static const struct option longopts[] = {
		{"output", required_argument, NULL, 'o'},
		{"max-events", required_argument, NULL, OPT_MAX_EVENTS},
		{"children", no_argument, NULL, OPT_CHILDREN},
		{"no-cost", no_argument, NULL, OPT_NO_COST},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, OPT_VERSION},
		{NULL, 0, NULL, 0},
	};
	struct record_options options = {.measure_cost = true, .on_child = print_child};
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
		case OPT_CHILDREN: options.children = true; break;
		case OPT_NO_COST: options.measure_cost = false; break;
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
