/* SPDX-License-Identifier: MIT */
/* Trace files: coded and decoded again; what is no event is not written. */
#include "tests/workloads/trace_test.h"

#include "workloads/harness/crc32c.h"
#include "workloads/harness/rng_fast.h"
#include "workloads/harness/trace_codec_fast.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crc_has_the_published_values),
		cmocka_unit_test(events_take_few_bytes),
		cmocka_unit_test(what_is_no_event),
		cmocka_unit_test(round_trip),
		cmocka_unit_test(long_traces),
		cmocka_unit_test(bad_events),
		cmocka_unit_test(files_that_cannot_be),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
