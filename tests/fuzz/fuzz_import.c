/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a log of ltrace or mtrace, and as a model: refused with a text, or a trace
 * that can be opened and fitted, a model from which a schedule can be drawn. The first
 * byte says which of them it is. The importer lies above what fuzz targets are linked
 * with, so it is included.
 */
#include "bench/import.c"
#include "bench/import_ltrace.c"
#include "bench/import_mtrace.c"
#include "bench/record_addresses.c"
#undef NO_ID
#include "bench/record_convert.c"

#include <sys/mman.h>

#include "workloads/empirical_plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must_have_a_text(void)
{
	if (kmem_last_error()[0] == '\0')
		abort();
}

static void try_model(const char *text, size_t size)
{
	struct rng rng = {1};
	struct empirical_plan plan;
	struct load_model *model;

	if (load_model_parse("fuzz", text, size, &model) != 0) {
		must_have_a_text();
		return;
	}
	/* Larger ones are sound as well, but slow. */
	if (load_model_live_blocks(model) < 1e5 &&
	    empirical_plan_new(model, 1024, 2, &rng, &plan) == 0)
		empirical_plan_delete(&plan);
	load_model_delete(model);
}

static void try_trace(const char *path)
{
	struct load_model *model;
	struct trace trace;

	if (trace_open(path, &trace) != 0)
		abort();
	if (load_model_fit(&trace, LOAD_CELLS_MAX, &model) == 0)
		load_model_delete(model);
	trace_close(&trace);
	unlink(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char trace_path[64];
	struct import_options options = {0};
	struct import_summary summary;
	char path[64];
	int fd;

	if (size == 0)
		return 0;
	if (data[0] % 4 == 3) {
		try_model((const char *)data + 1, size - 1);
		return 0;
	}
	options.format = data[0] % 4;
	options.keep_going = data[0] & 4;
	snprintf(trace_path, sizeof(trace_path), "/tmp/kmembench-fuzz-%d", getpid());
	fd = memfd_create("log", MFD_CLOEXEC);
	if (fd < 0 || write(fd, data + 1, size - 1) != (ssize_t)(size - 1))
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (import_trace(path, trace_path, &options, &summary) == 0)
		try_trace(trace_path);
	else
		must_have_a_text();
	close(fd);
	return 0;
}
