/* SPDX-License-Identifier: MIT */
/* The hidden command `cell`: reads its description, obeys commands, writes one entry. */
#include "bench/cell.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <kmem/error.h>

#include "bench/cli.h"
#include "bench/icount.h"
#include "bench/topology.h"
#include "workloads/harness/arena.h"

static void write_result(const char *text)
{
	size_t length = strlen(text);

	while (length > 0) {
		ssize_t n = write(CELL_RESULT_FD, text, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			_exit(EXIT_CELL_FAILED);
		text += n;
		length -= (size_t)n;
	}
}

void cell_fail(const char *reason)
{
	json_t *entry = json_pack("{s:s, s:s}", "status", "failed", "error", reason);
	char *text = entry == NULL ? NULL : json_dumps(entry, JSON_COMPACT);

	write_result(text != NULL
			     ? text
			     : "{\"status\":\"failed\",\"error\":\"out of memory\"}");
	write_result("\n");
	_exit(EXIT_CELL_FAILED);
}

/* An allocator that reports misuse has failed, whatever figures it reached. */
static void fail_on_bug(const char *report, void *arg)
{
	char text[512];

	(void)arg;
	snprintf(text, sizeof(text), "the allocator reported: %s", report);
	cell_fail(text);
}

/*
 * Standard input, line by line, and nothing of stdio: between slices the C library's
 * allocator may be the one under test, and must not be used by the harness.
 */
struct line_reader {
	size_t start, end;
	char buf[4096];
};

/* False at the end of the input. */
static bool next_byte(struct line_reader *in, char *byte)
{
	if (in->start == in->end) {
		ssize_t n;

		do
			n = read(STDIN_FILENO, in->buf, sizeof(in->buf));
		while (n < 0 && errno == EINTR);
		if (n <= 0)
			return false;
		in->start = 0;
		in->end = (size_t)n;
	}
	*byte = in->buf[in->start++];
	return true;
}

/* The first line, of any length; the input may also end with it. Free it. */
static bool line_read_long(struct line_reader *in, char **text, size_t *length)
{
	FILE *out = open_memstream(text, length);
	char byte;

	if (out == NULL)
		return false;
	while (next_byte(in, &byte) && byte != '\n')
		fputc(byte, out);
	return fclose(out) == 0 && *length > 0;
}

/* A command; false when the input ends before one. */
static bool line_read(struct line_reader *in, char *line, size_t size)
{
	size_t used = 0;
	char byte;

	while (next_byte(in, &byte)) {
		if (byte == '\n') {
			line[used] = '\0';
			return true;
		}
		if (used < size - 1)
			line[used++] = byte;
	}
	return false;
}

static json_t *read_spec(struct line_reader *in)
{
	json_error_t error = {.text = "the input is empty"};
	char *text = NULL;
	size_t length = 0;
	json_t *spec = NULL;

	if (line_read_long(in, &text, &length))
		spec = json_loadb(text, length, 0, &error);
	free(text);
	if (spec == NULL) {
		cli_error(
			"cannot read the cell's description: %s (this command is started by "
			"'kmembench run' and 'kmembench sweep')",
			error.text);
		exit(EXIT_USAGE);
	}
	return spec;
}

static void register_libraries(json_t *libraries)
{
	size_t i;
	json_t *pair;

	json_array_foreach (libraries, i, pair) {
		if (allocator_register_library(
			    json_string_value(json_array_get(pair, 0)),
			    json_string_value(json_array_get(pair, 1))) != 0)
			cell_fail(kmem_last_error());
	}
}

static enum touch_rule touch_of(const char *name, const struct workload_ops *workload)
{
	for (int i = 0; touch_rule_names[i] != NULL; i++) {
		if (strcmp(touch_rule_names[i], name) == 0 && i != TOUCH_DEFAULT)
			return (enum touch_rule)i;
	}
	return workload->default_touch == TOUCH_DEFAULT ? TOUCH_NONE
							: workload->default_touch;
}

static void fill_params(struct cell *cell, json_t *params)
{
	const struct workload_ops *workload = cell->run.workload;
	void *storage;
	const char *name;
	json_t *value;

	cell->run.touch = touch_of("default", workload);
	storage = calloc(1, workload->params_size + 1);
	if (storage == NULL || kmem_options_defaults(workload->params, storage) != 0)
		cell_fail("cannot set the workload's defaults");
	json_object_foreach (params, name, value) {
		if (strcmp(name, "touch") == 0)
			cell->run.touch = touch_of(json_string_value(value), workload);
		else if (kmem_options_set(workload->params, name,
					  json_string_value(value), storage) != 0)
			cell_fail(kmem_last_error());
	}
	cell->run.params = storage;
}

static void parse_spec(struct cell *cell)
{
	const char *workload;
	json_t *libraries = NULL, *params = NULL;
	json_int_t size = 0, threads = 1, ops = 0, seed = 1;
	int check = 0;
	json_error_t error;

	if (json_unpack_ex(cell->spec, &error, 0,
			   "{s:s, s?o, s:s, s:I, s:I, s:o, s:b, s:F, s:F, s?F, s:I, s:I}",
			   "allocator", &cell->allocator_spec, "libraries", &libraries,
			   "workload", &workload, "size", &size, "threads", &threads,
			   "params", &params, "check", &check, "time_s", &cell->time_s,
			   "latency_time_s", &cell->latency_time_s, "memory_time_s",
			   &cell->memory_time_s, "ops", &ops, "seed", &seed) != 0)
		cell_fail(error.text);
	register_libraries(libraries);
	cell->run.workload = workload_find(workload);
	if (cell->run.workload == NULL)
		cell_fail(kmem_last_error());
	cell->run.size_bytes = (uint64_t)size;
	cell->run.threads = (unsigned int)threads;
	cell->run.seed = (uint64_t)seed;
	cell->run.check = check != 0;
	cell->ops_wanted = (uint64_t)ops;
	fill_params(cell, params);
}

/* All memory of the harness is taken, and touched, before the baseline is read. */
static void prepare(struct cell *cell)
{
	unsigned int threads = cell->run.threads;

	cell->workers = arena_alloc(threads * sizeof(*cell->workers));
	cell->probes = arena_alloc(threads * sizeof(*cell->probes));
	cell->probe_shared = arena_alloc(sizeof(*cell->probe_shared));
	cell->cpus = arena_alloc(threads * sizeof(*cell->cpus));
	if (topology_worker_cpus(threads, cell->cpus) != 0)
		cell_fail(kmem_last_error());
	if (topology_pin_self(cell->cpus[0]) != 0)
		cell_fail(kmem_last_error());
	pthread_mutex_init(&cell->lock, NULL);
	cell->born = tsc_instant_now();
}

void cell_memory(struct memory_usage *usage)
{
	uint64_t own = arena_bytes();

	int err = memory_usage_now(usage);

	if (err != 0) {
		kmem_error(err, "cannot read this process's resident memory: %s",
			   strerror(-err));
		cell_fail(kmem_last_error());
	}
	usage->rss_bytes -= own < usage->rss_bytes ? own : usage->rss_bytes;
	usage->pss_bytes -= own < usage->pss_bytes ? own : usage->pss_bytes;
}

static void create_allocator(struct cell *cell)
{
	const struct workload_ops *workload = cell->run.workload;
	struct allocator_env env = {
		.size_max_bytes = workload->size_max != NULL
					  ? workload->size_max(&cell->run)
					  : cell->run.size_bytes,
		.threads = cell->run.threads,
		.check = cell->run.check,
	};

	cell_memory(&cell->before);
	cell->run.allocator = allocator_new(cell->allocator_spec, &env);
	if (cell->run.allocator == NULL)
		cell_fail(kmem_last_error());
	if (workload_validate(&cell->run, cell->run.allocator->ops) != 0)
		cell_fail(kmem_last_error());
}

/* --- commands: the protocol stands in cell.h --- */

static void reply(const struct cell *cell, const char *fmt, ...) KMEM_PRINTF(2, 3);
static void reply(const struct cell *cell, const char *fmt, ...)
{
	char line[160];
	va_list args;

	if (!cell->interactive)
		return;
	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	write_result(line);
}

static void do_prepare(struct cell *cell, const char *arguments)
{
	const struct workload_ops *workload = cell->run.workload;

	(void)arguments;
	prepare(cell);
	create_allocator(cell);
	if (workload->setup != NULL && workload->setup(&cell->run) != 0)
		cell_fail(kmem_last_error());
	/* What the harness needed to draw up a plan is no part of the workload's peak. */
	arena_bytes_max_reset();
	memory_peak_reset();
	reply(cell, "prepare\n");
}

static void do_warm(struct cell *cell, const char *arguments)
{
	uint64_t ns = strtoull(arguments, NULL, 10), resident;
	struct memory_usage usage;
	struct cell_slice best;

	if (cell->slices == NULL)
		cell_slices_begin(cell);
	best = cell_slices_warm_up(cell, ns);
	cell_memory(&usage);
	resident = usage.rss_bytes > cell->before.rss_bytes
			   ? usage.rss_bytes - cell->before.rss_bytes
			   : 0;
	reply(cell, "warm %llu %llu %llu\n", (unsigned long long)best.ops,
	      (unsigned long long)best.real_ns, (unsigned long long)resident);
}

static void do_slice(struct cell *cell, const char *arguments)
{
	struct cell_slice slice;
	uint64_t quanta, lead_in;
	char *rest;

	if (cell->slices == NULL)
		cell_fail("a slice came before its warm-up");
	quanta = strtoull(arguments, &rest, 10);
	lead_in = strtoull(rest, NULL, 10);
	slice = cell_slices_run(cell, quanta, lead_in);
	reply(cell, "slice %llu %llu %llu\n", (unsigned long long)slice.real_ns,
	      (unsigned long long)slice.cpu_ns, (unsigned long long)slice.ops);
}

static void do_plain(struct cell *cell, const char *arguments)
{
	(void)arguments;
	cell_throughput_pass(cell);
	reply(cell, "plain\n");
}

static void do_latency(struct cell *cell, const char *arguments)
{
	(void)arguments;
	cell_slices_end(cell);
	tsc_calibrate_since(&cell->clock, &cell->born);
	cell_latency_pass(cell);
	reply(cell, "latency\n");
}

static void do_memory(struct cell *cell, const char *arguments)
{
	cell->memory_quanta = strtoull(arguments, NULL, 10);
	if (cell->memory_quanta == 0 && cell->ops == 0)
		cell_fail(
			"how much fits the memory pass is known after a throughput pass");
	if (cell->clock.ns_per_tick == 0)
		tsc_calibrate(&cell->clock);
	if (cell_memory_pass != NULL && cell->memory_time_s > 0)
		cell_memory_pass(cell);
	reply(cell, "memory\n");
}

static void do_slabinfo(struct cell *cell, const char *arguments)
{
	tsc_calibrate(&cell->clock);
	cell_slabinfo_pass(cell, strtoull(arguments, NULL, 10));
	reply(cell, "slabinfo\n");
}

static void do_icount(struct cell *cell, const char *arguments)
{
	(void)arguments;
	reply(cell, "icount %llu\n", (unsigned long long)cell_icount_pass(cell));
}

static void add_reported(const char *name, double value, void *arg)
{
	json_object_set_new(arg, name, json_real(value));
}

/* Ends the workload; what is left of memory is what was kept. */
static void wind_up(struct cell *cell)
{
	const struct workload_ops *workload = cell->run.workload;
	struct allocator *a = cell->run.allocator;
	uint64_t peak, not_counted;

	cell->reported = json_object();
	if (workload->report != NULL)
		workload->report(&cell->run, add_reported, cell->reported);
	cell->fill = cell_fill_json(cell);
	if (workload->teardown != NULL)
		workload->teardown(&cell->run);
	cell_memory(&cell->final);
	peak = memory_peak_bytes();
	not_counted = arena_bytes_max() + cell->final.file_bytes;
	peak -= not_counted < peak ? not_counted : peak;
	cell->peak_bytes = peak > cell->live.rss_bytes ? peak : cell->live.rss_bytes;
	if (a->ops->check != NULL && a->ops->check(a) != 0)
		cell_fail(kmem_last_error());
}

static void do_finish(struct cell *cell, const char *arguments) __attribute__((noreturn));
static void do_finish(struct cell *cell, const char *arguments)
{
	json_t *entry;
	char *text;

	(void)arguments;
	wind_up(cell);
	if (cell->slabinfo != NULL)
		entry = cell_slabinfo_entry(cell);
	else if (cell->ops == 0 && cell->course != NULL)
		entry = cell_memory_entry(cell);
	else
		entry = cell_entry(cell);
	text = entry == NULL ? NULL
			     : json_dumps(entry, JSON_COMPACT | JSON_REAL_PRECISION(9));
	if (text == NULL)
		cell_fail("cannot write the entry: out of memory");
	write_result(text);
	write_result("\n");
	allocator_delete(cell->run.allocator);
	/* Peers' exit handlers and libraries' destructors are of no interest. */
	_exit(EXIT_DONE);
}

static const struct cell_command {
	const char *name;
	void (*run)(struct cell *cell, const char *arguments);
} commands[] = {
	{"prepare", do_prepare},   {"warm", do_warm},	    {"slice", do_slice},
	{"plain", do_plain},	   {"latency", do_latency}, {"memory", do_memory},
	{"slabinfo", do_slabinfo}, {"icount", do_icount},   {"finish", do_finish},
};

static void obey(struct cell *cell, const char *line)
{
	size_t length = strcspn(line, " ");
	char text[96];

	for (size_t i = 0; i < KMEM_ARRAY_SIZE(commands); i++) {
		if (strlen(commands[i].name) == length &&
		    strncmp(commands[i].name, line, length) == 0) {
			commands[i].run(cell, line + length);
			return;
		}
	}
	snprintf(text, sizeof(text), "unknown command '%.40s'", line);
	cell_fail(text);
}

int cmd_cell(int argc, char **argv)
{
	static struct line_reader in;
	struct cell cell = {0};
	char line[64];

	(void)argc;
	(void)argv;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* A random seed would change the order in which the harness's own blocks are
	 * freed, and with it the heap that glibc's allocator starts from. */
	json_object_seed(1);
	cell.spec = read_spec(&in);
	worker_set_fail_handler(cell_fail);
	kmem_set_bug_handler(fail_on_bug, NULL);
	parse_spec(&cell);
	while (line_read(&in, line, sizeof(line))) {
		cell.interactive = true;
		obey(&cell, line);
	}
	if (cell.interactive)
		_exit(EXIT_DONE); /* a reference that ran along: nobody wants its entry */
	do_prepare(&cell, "");
	do_plain(&cell, "");
	do_latency(&cell, "");
	do_memory(&cell, "");
	do_finish(&cell, "");
}
