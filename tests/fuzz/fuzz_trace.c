/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a trace file: trace_open() refuses them with a text or accepts a
 * trace for which a replay plan can be drawn up and adds up.
 */
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <kmem/error.h>

#include "workloads/harness/crc32c.h"
#include "workloads/harness/trace_internal.h"
#include "workloads/replay_plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_plan(const struct trace *trace)
{
	struct replay_plan *plan;
	uint64_t events = 0, posts = 0;

	if (replay_plan_new(trace, 64, &plan) != 0)
		abort();
	for (uint32_t t = 0; t < plan->threads; t++) {
		const struct replay_script *script = &plan->script[t];

		events += script->count;
		posts += script->posts;
		if (script->segment_end[plan->segments - 1] != script->count)
			abort();
		for (uint64_t i = 0; i < script->count; i++) {
			const struct replay_event *e = &script->events[i];

			if (e->op == REPLAY_POST)
				continue;
			if (e->op == REPLAY_WAIT) {
				if (e->slot >= plan->threads ||
				    e->turn > plan->script[e->slot].posts)
					abort();
			} else if (e->slot >= (e->shared ? plan->shared_slots
							 : script->local_slots)) {
				abort();
			}
		}
	}
	if (events != plan->count || events < trace->header->events + posts)
		abort();
	replay_plan_delete(plan);
}

/*
 * Checksums would keep the fuzzer from what lies behind them: each input is tried
 * as it is, and with its checksums put right.
 */
static void seal(uint8_t *file, size_t size)
{
	struct trace_header h;
	struct trace_chunk chunk;
	size_t at = sizeof(h);

	if (size < sizeof(h))
		return;
	memcpy(&h, file, sizeof(h));
	h.file_bytes = size;
	if (h.table_offset > size || size - h.table_offset != h.threads * 64ull)
		return;
	while (at + sizeof(chunk) <= h.table_offset) {
		memcpy(&chunk, file + at, sizeof(chunk));
		if (chunk.bytes > h.table_offset - at - sizeof(chunk))
			break;
		chunk.crc = trace_chunk_crc(&chunk, file + at + sizeof(chunk));
		memcpy(file + at, &chunk, sizeof(chunk));
		at += sizeof(chunk) + chunk.bytes;
	}
	h.table_crc = crc32c(0, file + h.table_offset, size - h.table_offset);
	h.header_crc = crc32c(0, &h, offsetof(struct trace_header, header_crc));
	memcpy(file, &h, sizeof(h));
}

static void try_file(const uint8_t *data, size_t size)
{
	struct trace trace;
	struct trace_header header;
	char path[64];
	int fd = memfd_create("trace", MFD_CLOEXEC);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	(void)trace_peek(path, &header);
	if (trace_open(path, &trace) == 0) {
		check_plan(&trace);
		trace_close(&trace);
	} else if (kmem_last_error()[0] == '\0') {
		abort();
	}
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *sealed = malloc(size + 1);

	try_file(data, size);
	memcpy(sealed, data, size);
	seal(sealed, size);
	try_file(sealed, size);
	free(sealed);
	return 0;
}
