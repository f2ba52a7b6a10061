/* SPDX-License-Identifier: MIT */
/* Trace files: coded and decoded again, damage refused with its offset. */
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

#include "workloads/harness/crc32c.h"
#include "workloads/harness/rng_fast.h"
#include "workloads/harness/trace_codec_fast.h"
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

/* The sample's file, in memory. */
static _Alignas(16) unsigned char good[4096];
static size_t good_bytes;

static void make_good(void)
{
	FILE *f;

	assert_int_equal(trace_write(path, sample, SAMPLE_EVENTS, &origin), 0);
	f = fopen(path, "rb");
	assert_non_null(f);
	good_bytes = fread(good, 1, sizeof(good), f);
	fclose(f);
}

static void refused(const void *data, size_t bytes, const char *piece)
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

static void expect_events(const struct trace *trace, const struct trace_event *expected,
			  uint64_t count)
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

/* --- checksum and coding --- */

static void crc_has_the_published_values(void **state)
{
	unsigned char data[32];

	(void)state;
	/* RFC 3720, B.4. */
	memset(data, 0, sizeof(data));
	assert_int_equal(crc32c(0, data, sizeof(data)), 0x8a9136aa);
	memset(data, 0xff, sizeof(data));
	assert_int_equal(crc32c(0, data, sizeof(data)), 0x62a8ab43);
	for (unsigned int i = 0; i < sizeof(data); i++)
		data[i] = (unsigned char)i;
	assert_int_equal(crc32c(0, data, sizeof(data)), 0x46dd794e);
	assert_int_equal(crc32c(crc32c(0, data, 5), data + 5, 27), 0x46dd794e);
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
}

static void events_take_few_bytes(void **state)
{
	static const struct {
		struct trace_event event;
		size_t bytes;
	} cases[] = {
		{{.op = TRACE_MALLOC, .id = 1000, .size_bytes = 15}, 1},
		{{.op = TRACE_MALLOC, .id = 1000, .size_bytes = 2047}, 2},
		{{.op = TRACE_CALLOC, .id = 1000, .size_bytes = 2048}, 3},
		{{.op = TRACE_MALLOC, .id = 1000, .size_bytes = TRACE_SIZE_MAX}, 8},
		{{.op = TRACE_MEMALIGN, .id = 1000, .align_log2 = 12, .size_bytes = 8},
		 2},
		{{.op = TRACE_FREE, .id = 999}, 1},
		{{.op = TRACE_FREE, .id = 0}, 2},
		{{.op = TRACE_REALLOC, .id = 999, .size_bytes = 100}, 2},
		{{.op = TRACE_FREE, .thread = 3, .id = 999}, 2},
		{{.op = TRACE_AFTER, .thread = 3, .id = 2, .size_bytes = 7}, 3},
	};

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(cases); i++) {
		struct trace_codec out = {.ids = 1000}, in = out;
		unsigned char coded[TRACE_CODE_BYTES_MAX + 1];
		struct trace_event e;
		size_t bytes =
			(size_t)(trace_encode(&out, coded, &cases[i].event) - coded);

		assert_int_equal(bytes, cases[i].bytes);
		assert_ptr_equal(trace_decode(&in, coded, coded + bytes, &e),
				 coded + bytes);
		assert_memory_equal(&e, &cases[i].event, sizeof(e));
		assert_memory_equal(&in, &out, sizeof(in));
		/* Cut anywhere, it is none. */
		for (size_t cut = 0; cut < bytes; cut++) {
			in = (struct trace_codec){.ids = 1000};
			assert_null(trace_decode(&in, coded, coded + cut, &e));
		}
	}
}

static void what_is_no_event(void **state)
{
	static const unsigned char cases[][12] = {
		{7},						 /* no operation */
		{TRACE_CODE_THREAD, TRACE_CODE_THREAD},		 /* twice a thread */
		{TRACE_CODE_THREAD | 0x80, 0xff, 0xff, 0x7f, 0}, /* a thread too high */
		{TRACE_FREE | 5 << 3}, /* more ids back than there are */
		{TRACE_AFTER | 0x80, 0xff, 0xff, 0x7f, 1},
		/* A number of more than 64 bits. */
		{0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
		{0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00},
	};

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(cases); i++) {
		struct trace_codec codec = {.ids = 5};
		struct trace_event e;

		assert_null(trace_decode(&codec, cases[i], cases[i] + 12, &e));
	}
}

/* --- files --- */

static void round_trip(void **state)
{
	struct trace trace;
	struct trace_header peeked;

	(void)state;
	make_good();
	assert_int_equal(entries_in_folder(), 1);
	assert_int_equal(trace_open(path, &trace), 0);
	assert_int_equal(trace.header->version, 2);
	assert_int_equal(trace.header->threads, 2);
	assert_int_equal(trace.header->ids, 3);
	assert_int_equal(trace.header->live_bytes_max, 1000 + 50 + 64);
	assert_int_equal(trace.header->size_max_bytes, 1000);
	assert_int_equal(trace.header->align_log2_max, 6);
	assert_int_equal(trace.header->unknown_frees, 5);
	assert_int_equal(trace.header->duration_ns, 123456789);
	assert_int_equal(trace.header->recorder_ps_per_event, 21000);
	assert_int_equal(trace.header->pid, 77);
	assert_int_equal(trace.header->source, TRACE_SOURCE_GENERATED);
	assert_string_equal(trace.header->program, "a program whose name is");
	assert_int_equal(trace.tally[0].events, 2);
	assert_int_equal(trace.tally[0].live_bytes_max, 150);
	assert_int_equal(trace.tally[1].events, 5);
	assert_int_equal(trace.tally[1].edges, 1);
	assert_int_equal(trace.tally[1].frees, 2);
	assert_int_equal(trace.tally[1].remote_frees, 1);
	assert_int_equal(trace.tally[1].reallocations, 1);
	assert_int_equal(trace.tally[1].bytes, 1064);
	assert_int_equal(trace.tally[1].live_bytes_max, 64 + 1000 - 100);
	expect_events(&trace, sample, SAMPLE_EVENTS);
	assert_int_equal(trace_peek(path, &peeked), 0);
	assert_memory_equal(&peeked, trace.header, sizeof(peeked));
	trace_close(&trace);
	assert_null(trace.header);
	trace_close(&trace);
}

/* Many chunks; blocks of ids that die as a whole and such that stay. */
static void long_traces(void **state)
{
	enum { EVENTS = 300000, LIVE = 4000, THREADS = 300 };
	struct trace_event *events = calloc(EVENTS, sizeof(*events));
	static uint32_t live[LIVE];
	uint32_t n_live = 0, ids = 0;
	struct rng rng = {3};
	struct trace trace;

	(void)state;
	for (uint32_t i = 0; i < EVENTS; i++) {
		uint16_t t = (uint16_t)(i < THREADS ? i : rng_below(&rng, THREADS));
		uint32_t pick = n_live > 0 ? (uint32_t)rng_below(&rng, n_live) : 0;
		uint64_t kind = rng_below(&rng, 10);

		events[i] = (struct trace_event){.thread = t};
		if (n_live == 0 || (kind < 5 && n_live < LIVE)) {
			events[i].op = kind & 1 ? TRACE_CALLOC : TRACE_MALLOC;
			events[i].size_bytes = rng_next(&rng) >> (18 + kind * 8);
			events[i].id = live[n_live++] = ids++;
		} else if (kind == 5) {
			events[i].op = TRACE_REALLOC;
			events[i].id = live[pick];
			events[i].size_bytes = rng_below(&rng, 5000);
		} else if (kind == 6 && i > THREADS && t != 0) {
			events[i].op = TRACE_AFTER;
			events[i].id = 0;
			events[i].size_bytes = 1;
		} else {
			events[i].op = TRACE_FREE;
			events[i].id = live[pick];
			live[pick] = live[--n_live];
		}
	}
	assert_int_equal(trace_write(path, events, EVENTS, NULL), 0);
	assert_int_equal(trace_open(path, &trace), 0);
	assert_int_equal(trace.header->ids, ids);
	assert_int_equal(trace.header->threads, THREADS);
	expect_events(&trace, events, EVENTS);
	trace_close(&trace);
	free(events);
}

/* The header's checksum over what has been changed in it. */
static void seal_header(unsigned char *file)
{
	uint32_t crc = crc32c(0, file, offsetof(struct trace_header, header_crc));

	memcpy(file + offsetof(struct trace_header, header_crc), &crc, sizeof(crc));
}

static void seal_chunk(unsigned char *file)
{
	struct trace_chunk *chunk = (struct trace_chunk *)(file + 128);

	chunk->crc = trace_chunk_crc(chunk, file + 128 + sizeof(*chunk));
}

static void damaged_headers(void **state)
{
	static _Alignas(16) unsigned char bad[sizeof(good)];
	struct trace_header *h = (struct trace_header *)bad;

	(void)state;
	make_good();
	refused(good, 0, "cut off at offset 0");
	refused(good, 63, "cut off at offset 63");
	refused(good, 127, "cut off at offset 127");
	refused(good, good_bytes - 1, "cut off at offset");
	refused(good, good_bytes + 1, "bytes after its end, at offset");
#define DAMAGE(change, text)                    \
	do {                                    \
		memcpy(bad, good, good_bytes);  \
		change;                         \
		refused(bad, good_bytes, text); \
	} while (0)
	DAMAGE(bad[0] = 'X', "is no trace");
	DAMAGE(h->version = 3, "version 3 at offset 8, this program reads 1 and 2");
	DAMAGE(h->threads++, "damaged at offset 0: the header's checksum");
	DAMAGE((h->threads++, seal_header(bad)), "contradict");
	DAMAGE((h->table_offset--, seal_header(bad)), "contradict");
	DAMAGE((h->events = UINT64_MAX, seal_header(bad)), "contradict");
	DAMAGE((h->source = 99, seal_header(bad)), "contradict");
	DAMAGE((memset(h->program, 'x', 24), seal_header(bad)), "contradict");
	DAMAGE((h->events++, seal_header(bad)), "events=8 at offset 16");
	DAMAGE((h->ids++, seal_header(bad)), "ids=4 at offset 24");
	DAMAGE((h->live_bytes_max--, seal_header(bad)),
	       "live_bytes_max=1113 at offset 32");
	DAMAGE((h->size_max_bytes++, seal_header(bad)),
	       "size_max_bytes=1001 at offset 40");
	DAMAGE((h->align_log2_max++, seal_header(bad)), "align_log2_max=7 at offset 88");
	/* chunk and table */
	DAMAGE(bad[128]++, "damaged at offset 128: no chunk");
	DAMAGE(bad[128 + 4] = 255, "damaged at offset 128: no chunk");
	DAMAGE(bad[128 + 8]++, "damaged at offset 128: the checksum");
	DAMAGE(bad[128 + 16]++, "damaged at offset 128: the checksum");
	DAMAGE((bad[128 + 8]--, seal_chunk(bad)), "bytes are left over in the chunk");
	DAMAGE((bad[128 + 8]++, seal_chunk(bad)), "the bytes are no event");
	DAMAGE((bad[128 + 16] = 7, seal_chunk(bad)),
	       "damaged at offset 144: the bytes are no event");
	DAMAGE(bad[h->table_offset + 3]++, "the checksum of the threads' figures");
	DAMAGE((bad[h->table_offset + 3]++,
		h->table_crc = crc32c(0, bad + h->table_offset, 128), seal_header(bad)),
	       "a thread's figures are not what its events say");
}

/* What must not be read is not written either, with the offset it would have had. */
static void bad_events(void **state)
{
	const struct {
		unsigned int at;
		struct trace_event event;
		const char *text;
	} cases[] = {
		{1, {.op = NR_TRACE_OPS, .id = 1}, "offset 146 has operation 6"},
		{1,
		 {.op = TRACE_MALLOC, .id = 6},
		 "the malloc of id 6 at offset 146 skips"},
		{1,
		 {.op = TRACE_MALLOC, .id = 0},
		 "the malloc of id 0 at offset 146 uses an id for the second time"},
		{1,
		 {.op = TRACE_FREE, .id = 1},
		 "the free of id 1 at offset 146 names a block that was never allocated"},
		{6, {.op = TRACE_FREE, .thread = 1, .id = 0}, "freed before"},
		{6, {.op = TRACE_REALLOC, .thread = 1, .id = 0}, "freed before"},
		{1, {.op = TRACE_CALLOC, .thread = 2, .id = 1}, "skips a thread"},
		{1,
		 {.op = TRACE_CALLOC, .align_log2 = 4, .id = 1},
		 "has an alignment that it cannot have"},
		{1,
		 {.op = TRACE_MEMALIGN, .align_log2 = 31, .id = 1},
		 "has an alignment that it cannot have"},
		{1,
		 {.op = TRACE_CALLOC, .id = 1, .size_bytes = TRACE_SIZE_MAX + 1},
		 "has a size above 2^47 bytes"},
		{2,
		 {.op = TRACE_AFTER, .thread = 1, .id = 0, .size_bytes = 3},
		 "names an event that does not come before it"},
		{2, {.op = TRACE_AFTER, .thread = 1, .id = 0}, "does not come before it"},
		{2,
		 {.op = TRACE_AFTER, .thread = 1, .id = 1, .size_bytes = 1},
		 "the edge from thread 1"},
		{2,
		 {.op = TRACE_AFTER, .thread = 1, .id = 7, .size_bytes = 1},
		 "names no other thread that came before"},
	};

	(void)state;
	make_good();
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(cases); i++) {
		struct trace_event bad[SAMPLE_EVENTS];

		memcpy(bad, sample, sizeof(bad));
		bad[cases[i].at] = cases[i].event;
		assert_int_equal(trace_write(path, bad, SAMPLE_EVENTS, NULL), -EINVAL);
		if (strstr(kmem_last_error(), cases[i].text) == NULL)
			fail_msg("'%s' does not contain '%s'", kmem_last_error(),
				 cases[i].text);
		assert_int_equal(entries_in_folder(), 1);
	}
	assert_int_equal(trace_write(path, sample, 0, NULL), -EINVAL);
	assert_non_null(strstr(kmem_last_error(), "holds no events"));
	assert_int_equal(entries_in_folder(), 1);
}

static void files_that_cannot_be(void **state)
{
	char deep[128];
	struct trace trace;
	struct trace_header h;

	(void)state;
	unlink(path);
	assert_int_equal(trace_open(path, &trace), -ENOENT);
	assert_int_equal(trace_peek(path, &h), -ENOENT);
	assert_non_null(strstr(kmem_last_error(), "No such file"));
	assert_int_equal(trace_open(folder, &trace), -EINVAL);
	assert_non_null(strstr(kmem_last_error(), "no regular file"));
	snprintf(deep, sizeof(deep), "%s/none/t", folder);
	assert_int_equal(trace_write(deep, sample, SAMPLE_EVENTS, NULL), -ENOENT);
	assert_non_null(strstr(kmem_last_error(), deep));
	/* Where the target cannot be replaced, the temporary file goes. */
	assert_int_equal(mkdir(path, 0700), 0);
	assert_true(trace_write(path, sample, SAMPLE_EVENTS, NULL) < 0);
	assert_int_equal(entries_in_folder(), 1);
	rmdir(path);
}

/* A byte that changes is noticed wherever it stands. */
static void every_byte_flipped(void **state)
{
	static _Alignas(16) unsigned char bad[sizeof(good)];

	(void)state;
	make_good();
	for (size_t i = 0; i < good_bytes; i++) {
		memcpy(bad, good, good_bytes);
		bad[i] ^= 0x5a;
		refused(bad, good_bytes, path);
	}
	for (size_t cut = 0; cut < good_bytes; cut++)
		refused(good, cut, "cut off at offset");
}

/* --- version 1 --- */

struct image_v1 {
	unsigned char header[TRACE_HEADER_V1_BYTES];
	struct trace_event event[6];
};

static const struct image_v1 *image_v1(void)
{
	static struct image_v1 image;
	struct trace_header h = {.magic = TRACE_MAGIC,
				 .version = 1,
				 .threads = 2,
				 .events = 6,
				 .ids = 3,
				 .live_bytes_max = 1114,
				 .size_max_bytes = 1000,
				 .unknown_frees = 5};
	size_t n = 0;

	memcpy(image.header, &h, sizeof(image.header));
	for (size_t i = 0; i < SAMPLE_EVENTS; i++)
		if (sample[i].op != TRACE_AFTER)
			image.event[n++] = sample[i];
	return &image;
}

static void version_1_is_read(void **state)
{
	const struct image_v1 *image = image_v1();
	struct trace_header h;
	struct trace trace;

	(void)state;
	put_file(image, sizeof(*image));
	assert_int_equal(trace_open(path, &trace), 0);
	assert_int_equal(trace.header->version, 1);
	assert_int_equal(trace.header->align_log2_max, 6);
	assert_int_equal(trace.tally[1].remote_frees, 1);
	expect_events(&trace, image->event, 6);
	assert_int_equal(trace_peek(path, &h), 0);
	assert_memory_equal(&h, trace.header, sizeof(h));
	trace_close(&trace);
}

static void version_1_that_is_damaged(void **state)
{
	const struct image_v1 *image = image_v1();
	struct image_v1 bad = *image;

	(void)state;
	refused(image, sizeof(*image) - 1, "cut off at offset 159");
	bad.event[1].op = TRACE_AFTER;
	refused(&bad, sizeof(bad), "offset 80 has operation 6");
	bad = *image;
	bad.event[5].id = 0;
	refused(&bad, sizeof(bad), "the free of id 0 at offset 144 names a block");
	bad = *image;
	bad.header[16]--;
	refused(&bad, sizeof(bad), "bytes after its last event, at offset 144");
	bad = *image;
	bad.header[12]++;
	refused(&bad, sizeof(bad), "threads=3 at offset 12, and its events make it 2");
	/* Any byte: refused, or a trace that can be read. */
	for (size_t i = 0; i < sizeof(bad); i++) {
		struct trace trace;

		bad = *image;
		((unsigned char *)&bad)[i] ^= 0x5a;
		put_file(&bad, sizeof(bad));
		if (trace_open(path, &trace) == 0)
			trace_close(&trace);
		else
			assert_non_null(strstr(kmem_last_error(), path));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crc_has_the_published_values),
		cmocka_unit_test(events_take_few_bytes),
		cmocka_unit_test(what_is_no_event),
		cmocka_unit_test(round_trip),
		cmocka_unit_test(long_traces),
		cmocka_unit_test(damaged_headers),
		cmocka_unit_test(bad_events),
		cmocka_unit_test(files_that_cannot_be),
		cmocka_unit_test(every_byte_flipped),
		cmocka_unit_test(version_1_is_read),
		cmocka_unit_test(version_1_that_is_damaged),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
