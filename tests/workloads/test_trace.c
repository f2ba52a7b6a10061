/* SPDX-License-Identifier: MIT */
/* Trace files: written whole, read back as they were, damage refused with its offset. */
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

#include "workloads/harness/trace.h"

static char folder[] = "/tmp/kmembench-trace-XXXXXX";
static char path[64];

/* Two threads, every operation, one block handed over, one left behind. */
static const struct trace_event sample[] = {
	{.op = TRACE_MALLOC, .thread = 0, .id = 0, .size_bytes = 100},
	{.op = TRACE_CALLOC, .thread = 0, .id = 1, .size_bytes = 50},
	{.op = TRACE_MEMALIGN, .align_log2 = 6, .thread = 1, .id = 2, .size_bytes = 64},
	{.op = TRACE_REALLOC, .thread = 1, .id = 0, .size_bytes = 1000},
	{.op = TRACE_FREE, .thread = 0, .id = 0},
	{.op = TRACE_FREE, .thread = 1, .id = 2},
};
#define SAMPLE_EVENTS (sizeof(sample) / sizeof(sample[0]))

struct image {
	struct trace_header header;
	struct trace_event event[SAMPLE_EVENTS];
	char more[16];
};

static int make_folder(void **state)
{
	(void)state;
	if (mkdtemp(folder) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/t", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(folder);
}

static void put_file(const void *data, size_t bytes)
{
	FILE *f = fopen(path, "wb");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, bytes, f), bytes);
	fclose(f);
}

static struct image sample_image(void)
{
	struct image image;
	FILE *f;

	memset(&image, 0, sizeof(image));
	assert_int_equal(trace_write(path, sample, SAMPLE_EVENTS, 2, 5), 0);
	f = fopen(path, "rb");
	assert_non_null(f);
	assert_int_equal(fread(&image, 1, sizeof(image), f), sizeof(image) - 16);
	fclose(f);
	return image;
}

static void refused(size_t bytes, const void *data, const char *piece)
{
	struct trace trace = {0};

	put_file(data, bytes);
	assert_int_equal(trace_open(path, &trace), -EINVAL);
	if (strstr(kmem_last_error(), piece) == NULL ||
	    strstr(kmem_last_error(), path) == NULL)
		fail_msg("'%s' does not contain '%s' and '%s'", kmem_last_error(), piece,
			 path);
	assert_null(trace.header);
}

static unsigned int entries_in_folder(void)
{
	DIR *dir = opendir(folder);
	unsigned int n = 0;

	assert_non_null(dir);
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n - 2; /* . and .. */
}

static void round_trip(void **state)
{
	struct trace trace;

	(void)state;
	assert_int_equal(trace_write(path, sample, SAMPLE_EVENTS, 2, 5), 0);
	assert_int_equal(entries_in_folder(), 1);
	assert_int_equal(trace_open(path, &trace), 0);
	assert_int_equal(trace.header->events, SAMPLE_EVENTS);
	assert_int_equal(trace.header->threads, 2);
	assert_int_equal(trace.header->ids, 3);
	assert_int_equal(trace.header->live_bytes_max, 1000 + 50 + 64);
	assert_int_equal(trace.header->size_max_bytes, 1000);
	assert_int_equal(trace.header->unknown_frees, 5);
	assert_memory_equal(trace.events, sample, sizeof(sample));
	trace_close(&trace);
	assert_null(trace.header);
	trace_close(&trace);
}

static void damaged_headers(void **state)
{
	struct image good = sample_image(), bad;
	size_t whole = sizeof(good) - sizeof(good.more);

	(void)state;
	refused(0, &good, "cut off at offset 0");
	refused(63, &good, "cut off at offset 63");
	refused(whole - 1, &good, "cut off at offset 159");
	refused(whole + 1, &good, "bytes after its last event, at offset 160");
	refused(whole + 16, &good, "bytes after its last event, at offset 160");

	bad = good;
	bad.header.magic[0] = 'X';
	refused(whole, &bad, "is no trace");
	bad = good;
	bad.header.version = 2;
	refused(whole, &bad, "version 2 at offset 8");
	bad = good;
	bad.header.events = UINT64_MAX;
	refused(whole, &bad, "cut off at offset 160");
	bad = good;
	bad.header.events = 0;
	refused(sizeof(bad.header), &bad, "holds no events");
	bad = good;
	bad.header.reserved = 1;
	refused(whole, &bad, "reserved field set, at offset 56");
	bad = good;
	bad.header.threads = 3;
	refused(whole, &bad, "threads=3 at offset 12, and its events make it 2");
	bad = good;
	bad.header.ids = 4;
	refused(whole, &bad, "ids=4 at offset 24");
	bad = good;
	bad.header.live_bytes_max--;
	refused(whole, &bad, "live_bytes_max=1113 at offset 32");
	bad = good;
	bad.header.size_max_bytes++;
	refused(whole, &bad, "size_max_bytes=1001 at offset 40");
}

static void damaged_events(void **state)
{
	struct image good = sample_image();
	const struct {
		unsigned int at;
		struct trace_event event;
		const char *text;
	} cases[] = {
		{1, {.op = NR_TRACE_OPS, .id = 1}, "offset 80 has operation 5"},
		{1,
		 {.op = TRACE_MALLOC, .id = 6, .size_bytes = 1},
		 "the malloc of id 6 at offset 80 is out of range"},
		{1,
		 {.op = TRACE_MALLOC, .id = 0, .size_bytes = 1},
		 "the malloc of id 0 at offset 80 uses an id for the second time"},
		{1,
		 {.op = TRACE_FREE, .id = 1},
		 "the free of id 1 at offset 80 names a block that was never allocated"},
		{5,
		 {.op = TRACE_FREE, .thread = 1, .id = 0},
		 "the free of id 0 at offset 144 names a block that was freed before"},
		{5,
		 {.op = TRACE_REALLOC, .thread = 1, .id = 0, .size_bytes = 3},
		 "the realloc of id 0 at offset 144 names a block that was freed before"},
		{5,
		 {.op = TRACE_CALLOC, .thread = 1, .id = 0, .size_bytes = 3},
		 "the calloc of id 0 at offset 144 uses an id for the second time"},
		{1, {.op = TRACE_CALLOC, .thread = 1, .id = 1, .size_bytes = 50}, NULL},
		{1,
		 {.op = TRACE_CALLOC, .thread = 2, .id = 1, .size_bytes = 50},
		 "offset 80 skips a thread"},
		{1,
		 {.op = TRACE_CALLOC, .align_log2 = 4, .id = 1, .size_bytes = 50},
		 "offset 80 has an alignment that it cannot have"},
		{2,
		 {.op = TRACE_MEMALIGN,
		  .align_log2 = 31,
		  .thread = 1,
		  .id = 2,
		  .size_bytes = 64},
		 "offset 96 has an alignment that it cannot have"},
		{1,
		 {.op = TRACE_CALLOC, .id = 1, .size_bytes = ((uint64_t)1 << 47) + 1},
		 "offset 80 has a size above 2^47 bytes"},
		{1,
		 {.op = TRACE_CALLOC, .id = 3, .size_bytes = 50},
		 "id 1 is never allocated, though 3 ids are"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct image bad = good;
		struct trace trace;

		bad.event[cases[i].at] = cases[i].event;
		if (cases[i].text != NULL) {
			refused(sizeof(bad) - sizeof(bad.more), &bad, cases[i].text);
			continue;
		}
		put_file(&bad, sizeof(bad) - sizeof(bad.more));
		assert_int_equal(trace_open(path, &trace), 0);
		trace_close(&trace);
	}
}

static void files_that_cannot_be(void **state)
{
	char deep[128];
	struct trace trace;

	(void)state;
	unlink(path);
	assert_int_equal(trace_open(path, &trace), -ENOENT);
	assert_non_null(strstr(kmem_last_error(), "No such file"));
	assert_int_equal(trace_open(folder, &trace), -EINVAL);
	assert_non_null(strstr(kmem_last_error(), "no regular file"));
	snprintf(deep, sizeof(deep), "%s/none/t", folder);
	assert_int_equal(trace_write(deep, sample, SAMPLE_EVENTS, 2, 0), -ENOENT);
	assert_non_null(strstr(kmem_last_error(), deep));
}

/* What must not be read is not written either, and the old file stays. */
static void bad_events_are_not_written(void **state)
{
	struct trace_event twice[2] = {
		{.op = TRACE_MALLOC, .id = 0, .size_bytes = 1},
		{.op = TRACE_MALLOC, .id = 0, .size_bytes = 1},
	};
	struct trace trace;

	(void)state;
	assert_int_equal(trace_write(path, sample, SAMPLE_EVENTS, 2, 0), 0);
	assert_int_equal(trace_write(path, twice, 2, 1, 0), -EINVAL);
	assert_int_equal(trace_write(path, sample, 0, 0, 0), -EINVAL);
	assert_int_equal(trace_write(path, sample, SAMPLE_EVENTS, 3, 0), -EINVAL);
	assert_non_null(strstr(kmem_last_error(), "2 threads, not of 3"));
	assert_int_equal(entries_in_folder(), 1);
	assert_int_equal(trace_open(path, &trace), 0);
	trace_close(&trace);
	/* Where the target cannot be replaced, the temporary file goes. */
	unlink(path);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_true(trace_write(path, sample, SAMPLE_EVENTS, 2, 0) < 0);
	assert_int_equal(entries_in_folder(), 1);
	rmdir(path);
}

/* Any one byte of the events or the figures that changes either shows or is a valid
 * trace. */
static void every_byte_flipped(void **state)
{
	struct image good = sample_image();
	size_t whole = sizeof(good) - sizeof(good.more);

	(void)state;
	for (size_t i = 0; i < whole; i++) {
		struct image bad = good;
		struct trace trace;

		((unsigned char *)&bad)[i] ^= 0x5a;
		put_file(&bad, whole);
		if (trace_open(path, &trace) == 0)
			trace_close(&trace);
		else
			assert_non_null(strstr(kmem_last_error(), path));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(damaged_headers),
		cmocka_unit_test(damaged_events),
		cmocka_unit_test(files_that_cannot_be),
		cmocka_unit_test(bad_events_are_not_written),
		cmocka_unit_test(every_byte_flipped),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
