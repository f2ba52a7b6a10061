/* SPDX-License-Identifier: MIT */
/* The hidden command `cell`: reads its description, measures, writes one entry. */
#include "bench/cell.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <signal.h>
#include <unistd.h>

#include <kmem/error.h>

#include "bench/cli.h"
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

static json_t *read_spec(void)
{
	json_error_t error;
	json_t *spec = json_loadf(stdin, 0, &error);

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
			   "{s:s, s?o, s:s, s:I, s:I, s:o, s:b, s:F, s:F, s:I, s:I}",
			   "allocator", &cell->allocator_spec, "libraries", &libraries,
			   "workload", &workload, "size", &size, "threads", &threads,
			   "params", &params, "check", &check, "time_s", &cell->time_s,
			   "latency_time_s", &cell->latency_time_s, "ops", &ops, "seed",
			   &seed) != 0)
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
	tsc_calibrate(&cell->clock);
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

static void add_reported(const char *name, double value, void *arg)
{
	json_object_set_new(arg, name, json_real(value));
}

static void measure(struct cell *cell)
{
	const struct workload_ops *workload = cell->run.workload;
	struct allocator *a = cell->run.allocator;
	uint64_t peak, not_counted;

	if (workload->setup != NULL && workload->setup(&cell->run) != 0)
		cell_fail(kmem_last_error());
	/* What the harness needed to draw up a plan is no part of the workload's peak. */
	arena_bytes_max_reset();
	memory_peak_reset();
	cell_throughput_pass(cell);
	cell_latency_pass(cell);
	cell->reported = json_object();
	if (workload->report != NULL)
		workload->report(&cell->run, add_reported, cell->reported);
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

int cmd_cell(int argc, char **argv)
{
	struct cell cell = {0};
	json_t *entry;
	char *text;

	(void)argc;
	(void)argv;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	cell.spec = read_spec();
	worker_set_fail_handler(cell_fail);
	kmem_set_bug_handler(fail_on_bug, NULL);
	parse_spec(&cell);
	prepare(&cell);
	create_allocator(&cell);
	measure(&cell);
	entry = cell_entry(&cell);
	text = entry == NULL ? NULL
			     : json_dumps(entry, JSON_COMPACT | JSON_REAL_PRECISION(9));
	if (text == NULL)
		cell_fail("cannot write the entry: out of memory");
	write_result(text);
	allocator_delete(cell.run.allocator);
	/* Peers' exit handlers and libraries' destructors are of no interest. */
	_exit(EXIT_DONE);
}
