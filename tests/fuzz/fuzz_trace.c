/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a trace file: trace_open() refuses them with a text or accepts a
 * trace for which a replay plan can be drawn up and adds up.
 */
#include <stdlib.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <kmem/error.h>

#include "workloads/harness/trace.h"
#include "workloads/replay_plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_plan(const struct trace *trace)
{
	struct replay_plan *plan = replay_plan_new(trace);
	uint64_t events = 0;

	for (uint32_t t = 0; t < plan->threads; t++) {
		const struct replay_script *script = &plan->script[t];

		events += script->count;
		for (uint64_t i = 0; i < script->count; i++) {
			const struct replay_event *e = &script->events[i];

			if (e->slot >=
			    (e->shared ? plan->shared_slots : script->local_slots))
				abort();
		}
	}
	if (events != plan->count || events < trace->header->events)
		abort();
	replay_plan_delete(plan);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct trace trace;
	char path[64];
	int fd = memfd_create("trace", MFD_CLOEXEC);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (trace_open(path, &trace) == 0) {
		check_plan(&trace);
		trace_close(&trace);
	} else if (kmem_last_error()[0] == '\0') {
		abort();
	}
	close(fd);
	return 0;
}
