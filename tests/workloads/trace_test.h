/* SPDX-License-Identifier: MIT */
/* For tests of trace files: a folder for one, and a trace with every operation. */
#ifndef TESTS_WORKLOADS_TRACE_TEST_H
#define TESTS_WORKLOADS_TRACE_TEST_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kmem/error.h>

#include "workloads/harness/trace_internal.h"

static char folder[] = "/tmp/kmembench-trace-XXXXXX";
static char path[64];

/* Two threads, every operation, one block handed over, one left behind, an edge. */
static const struct trace_event sample[] = {
	{.op = TRACE_MALLOC, .thread = 0, .id = 0, .size_bytes = 100},
	{.op = TRACE_CALLOC, .thread = 0, .id = 1, .size_bytes = 50},
	{.op = TRACE_AFTER, .thread = 1, .id = 0, .size_bytes = 1},
	{.op = TRACE_MEMALIGN, .align_log2 = 6, .thread = 1, .id = 2, .size_bytes = 64},
	{.op = TRACE_REALLOC, .thread = 1, .id = 0, .size_bytes = 1000},
	{.op = TRACE_FREE, .thread = 1, .id = 0},
	{.op = TRACE_FREE, .thread = 1, .id = 2},
};
#define SAMPLE_EVENTS (sizeof(sample) / sizeof(sample[0]))

static const struct trace_origin origin = {
	.source = TRACE_SOURCE_GENERATED,
	.program = "a program whose name is too long for the header",
	.pid = 77,
	.unknown_frees = 5,
	.duration_ns = 123456789,
	.recorder_ps_per_event = 21000,
};

static inline int make_folder(void **state)
{
	(void)state;
	if (mkdtemp(folder) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/t", folder);
	return 0;
}

static inline int remove_folder(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(folder);
}

static inline void put_file(const void *data, size_t bytes)
{
	FILE *f = fopen(path, "wb");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, bytes, f), bytes);
	fclose(f);
}

/* The sample's file, in memory. */
static _Alignas(16) unsigned char good[4096];
static size_t good_bytes;

static inline void make_good(void)
{
	FILE *f;

	assert_int_equal(trace_write(path, sample, SAMPLE_EVENTS, &origin), 0);
	f = fopen(path, "rb");
	assert_non_null(f);
	good_bytes = fread(good, 1, sizeof(good), f);
	fclose(f);
}

static inline unsigned int entries_in_folder(void)
{
	DIR *dir = opendir(folder);
	unsigned int n = 0;

	assert_non_null(dir);
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n - 2; /* . and .. */
}

static inline void expect_events(const struct trace *trace,
				 const struct trace_event *expected, uint64_t count)
{
	struct trace_cursor cursor;
	struct trace_event e;
	uint64_t n = 0;

	assert_int_equal(trace->header->events, count);
	trace_cursor_start(&cursor, trace);
	while (trace_next(&cursor, &e)) {
		assert_true(n < count);
		assert_memory_equal(&e, &expected[n], sizeof(e));
		n++;
	}
	assert_int_equal(n, count);
}

#endif /* TESTS_WORKLOADS_TRACE_TEST_H */
