/* SPDX-License-Identifier: MIT */
/* Trace files that are damaged are refused with the offset; those of version 1 are read.
 */
#include "tests/workloads/trace_test.h"

#include "workloads/harness/crc32c.h"

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
		cmocka_unit_test(damaged_headers),
		cmocka_unit_test(every_byte_flipped),
		cmocka_unit_test(version_1_is_read),
		cmocka_unit_test(version_1_that_is_damaged),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
