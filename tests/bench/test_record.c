/* SPDX-License-Identifier: MIT */
/*
 * Conversion of raw recordings, and what record_program() refuses. Recording
 * itself is tested from the outside: test_record_programs.sh.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/preload.h"
#include "bench/record_internal.h"
#include <kmem/error.h>
#include "workloads/harness/rng_fast.h"
#include "workloads/harness/trace.h"

static char folder[] = "/tmp/kmembench-record-XXXXXX";
static char trace_path[sizeof(folder) + 16];

static int make_folder(void **state)
{
	(void)state;
	if (mkdtemp(folder) == NULL)
		return -1;
	snprintf(trace_path, sizeof(trace_path), "%s/trace", folder);
	return 0;
}

/* Fails when anything but the trace is left in the folder. */
static int remove_folder(void **state)
{
	(void)state;
	unlink(trace_path);
	return rmdir(folder);
}

static void forget_trace(void)
{
	assert_true(unlink(trace_path) == 0 || errno == ENOENT);
}

/* --- conversion --- */

static struct raw_event raw[64];
static uint64_t raw_count;

static void start(void)
{
	raw_count = 0;
	forget_trace();
}

static void push(enum raw_op op, uint32_t thread, uint64_t ptr, uint64_t size,
		 uint64_t old)
{
	struct raw_event *e = &raw[raw_count++];

	atomic_init(&e->what, raw_what(op, op == RAW_MEMALIGN ? 6 : 0, thread));
	e->ptr = ptr;
	e->size_bytes = size;
	e->old_ptr = old;
}

static struct trace trace;
static struct trace_event *events; /* of the trace, decoded */
static struct record_summary summary;
static struct trace_origin origin;

static void open_trace(void)
{
	struct trace_cursor cursor;
	uint64_t n = 0;

	assert_int_equal(trace_open(trace_path, &trace), 0);
	events = calloc(trace.header->events + 1, sizeof(*events));
	trace_cursor_start(&cursor, &trace);
	while (trace_next(&cursor, &events[n]))
		n++;
	assert_int_equal(n, trace.header->events);
}

static void close_trace(void)
{
	trace_close(&trace);
	free(events);
}

static void convert(void)
{
	memset(&summary, 0, sizeof(summary));
	if (record_convert(trace_path, raw, raw_count, 64, -1, &origin, &summary) != 0)
		fail_msg("%s", kmem_last_error());
	open_trace();
	assert_int_equal(trace.header->events, summary.events);
	assert_int_equal(trace.header->unknown_frees, summary.unknown_frees);
}

static void expect(uint64_t i, enum trace_op op, unsigned int thread, uint32_t id,
		   uint64_t size, unsigned int align_log2)
{
	const struct trace_event *e = &events[i];

	assert_true(i < trace.header->events);
	assert_int_equal(e->op, op);
	assert_int_equal(e->thread, thread);
	assert_int_equal(e->id, id);
	assert_int_equal(e->size_bytes, size);
	assert_int_equal(e->align_log2, align_log2);
}

static void test_operations(void **state)
{
	(void)state;
	start();
	push(RAW_MALLOC, 9, 0x1000, 100, 0);
	push(RAW_CALLOC, 3, 0x2000, 50, 0);
	push(RAW_MEMALIGN, 9, 0x3000, 20, 0);
	push(RAW_FREE, 3, 0x1000, 0, 0);   /* another thread's block */
	push(RAW_MALLOC, 3, 0x1000, 0, 0); /* the address again, size 0 */
	push(RAW_FREE, 9, 0x2000, 0, 0);
	convert();
	assert_int_equal(trace.header->events, 6);
	assert_int_equal(trace.header->threads, 2);
	assert_int_equal(summary.threads, 2);
	assert_int_equal(summary.allocations, 4);
	assert_int_equal(summary.live_bytes_max, 170);
	expect(0, TRACE_MALLOC, 0, 0, 100, 0);
	expect(1, TRACE_CALLOC, 1, 1, 50, 0);
	expect(2, TRACE_MEMALIGN, 0, 2, 20, 6);
	expect(3, TRACE_FREE, 1, 0, 0, 0);
	expect(4, TRACE_MALLOC, 1, 3, 0, 0);
	expect(5, TRACE_FREE, 0, 1, 0, 0);
	close_trace();
}

/* While one thread is in realloc(), another is given the address it left. */
static void test_realloc_gives_its_address_away(void **state)
{
	(void)state;
	start();
	push(RAW_MALLOC, 0, 0x1000, 10, 0);
	push(RAW_REALLOC_BEGIN, 0, 0x1000, 0, 0);
	push(RAW_MALLOC, 1, 0x1000, 11, 0);
	push(RAW_REALLOC_END, 0, 0x2000, 20, 0x1000);
	push(RAW_FREE, 1, 0x2000, 0, 0);
	push(RAW_FREE, 0, 0x1000, 0, 0);
	convert();
	expect(0, TRACE_MALLOC, 0, 0, 10, 0);
	expect(1, TRACE_MALLOC, 1, 1, 11, 0);
	expect(2, TRACE_REALLOC, 0, 0, 20, 0);
	expect(3, TRACE_FREE, 1, 0, 0, 0);
	expect(4, TRACE_FREE, 0, 1, 0, 0);
	assert_int_equal(summary.implied_frees + summary.unknown_frees, 0);
	close_trace();
}

static void test_realloc_ends(void **state)
{
	(void)state;
	start();
	push(RAW_MALLOC, 0, 0x1000, 10, 0);
	push(RAW_REALLOC_BEGIN, 0, 0x1000, 0, 0); /* fails, whatever was asked for */
	push(RAW_REALLOC_END, 0, 0, UINT64_MAX / 2, 0x1000);
	push(RAW_REALLOC_BEGIN, 0, 0x1000, 0, 0); /* in place */
	push(RAW_REALLOC_END, 0, 0x1000, 12, 0x1000);
	push(RAW_REALLOC_BEGIN, 0, 0x1000, 0, 0); /* to nothing */
	push(RAW_REALLOC_END, 0, 0, 0, 0x1000);
	push(RAW_REALLOC_BEGIN, 0, 0x5000, 0, 0); /* of what nobody has seen allocated */
	push(RAW_REALLOC_END, 0, 0x6000, 7, 0x5000);
	push(RAW_REALLOC_BEGIN, 0, 0x6000, 0, 0); /* never comes back */
	convert();
	assert_int_equal(trace.header->events, 4);
	expect(0, TRACE_MALLOC, 0, 0, 10, 0);
	expect(1, TRACE_REALLOC, 0, 0, 12, 0);
	expect(2, TRACE_FREE, 0, 0, 0, 0);
	expect(3, TRACE_MALLOC, 0, 1, 7, 0);
	assert_int_equal(summary.unknown_frees, 1);
	close_trace();
}

static void test_gaps(void **state)
{
	(void)state;
	start();
	push(RAW_FREE, 0, 0x9000, 0, 0); /* from before the recording */
	push(RAW_MALLOC, 1, 0x1000, 1, 0);
	push(RAW_NONE, 0, 0, 0, 0);	    /* killed before it was written */
	push(RAW_MALLOC, 2, 0x1000, 2, 0);  /* so that was the free */
	push(RAW_MALLOC, 99, 0x2000, 2, 0); /* a thread that cannot be */
	push(RAW_MALLOC, 2, 0, 2, 0);
	push((enum raw_op)77, 2, 0x3000, 2, 0);
	push(RAW_REALLOC_END, 2, 0x4000, 3, 0x1000); /* its begin is missing */
	convert();
	assert_int_equal(trace.header->events, 4);
	expect(0, TRACE_MALLOC, 0, 0, 1, 0);
	/* The address comes back as another id, in thread 1 of the trace. */
	expect(1, TRACE_FREE, 1, 0, 0, 0);
	expect(2, TRACE_MALLOC, 1, 1, 2, 0);
	expect(3, TRACE_REALLOC, 1, 1, 3, 0);
	assert_int_equal(summary.unknown_frees, 1);
	assert_int_equal(summary.implied_frees, 1);
	assert_int_equal(summary.torn_events, 4);
	close_trace();
}

/* Creation and joining become edges where both sides have events. */
static void test_thread_edges(void **state)
{
	(void)state;
	start();
	push(RAW_THREAD_BEGIN, 0, 0x7000, 0, 0);
	push(RAW_THREAD_CREATE, 0, 1 + 1, 0, 0); /* by who has done nothing: no edge */
	push(RAW_MALLOC, 0, 0x1000, 10, 0);
	push(RAW_MALLOC, 0, 0x2000, 20, 0);
	push(RAW_THREAD_CREATE, 0, 2 + 1, 0, 0);
	push(RAW_FREE, 0, 0x2000, 0, 0);
	push(RAW_THREAD_BEGIN, 2, 0x7002, 0, 0);
	push(RAW_THREAD_CREATE, 2, 3 + 1, 0, 0); /* hands on what it waits for itself */
	push(RAW_THREAD_BEGIN, 3, 0x7003, 0, 0);
	push(RAW_MALLOC, 3, 0x3000, 30, 0);
	push(RAW_THREAD_JOIN, 0, 0x7003, 0, 0);
	push(RAW_THREAD_JOIN, 0, 0x7002, 0, 0); /* it never allocated */
	push(RAW_THREAD_JOIN, 0, 0x7777, 0, 0); /* nobody knows it */
	push(RAW_FREE, 0, 0x1000, 0, 0);
	push(RAW_THREAD_BEGIN, 1, 0x7003, 0, 0); /* the pthread_t again */
	push(RAW_MALLOC, 1, 0x4000, 40, 0);
	push(RAW_THREAD_JOIN, 3, 0x7003, 0, 0);
	convert();
	assert_int_equal(trace.header->events, 9);
	assert_int_equal(trace.header->threads, 3);
	expect(3, TRACE_AFTER, 1, 0, 2, 0); /* thread 3, after two events of thread 0 */
	expect(4, TRACE_MALLOC, 1, 2, 30, 0);
	expect(5, TRACE_AFTER, 0, 1, 2, 0);
	expect(6, TRACE_FREE, 0, 0, 0, 0);
	expect(7, TRACE_MALLOC, 2, 3, 40, 0);
	expect(8, TRACE_AFTER, 1, 2, 1, 0);
	assert_int_equal(trace.tally[0].edges + trace.tally[1].edges, 3);
	assert_int_equal(summary.torn_events, 0);
	close_trace();
}

static void test_nothing_seen(void **state)
{
	(void)state;
	start();
	push(RAW_FREE, 0, 0x9000, 0, 0);
	assert_int_equal(
		record_convert(trace_path, raw, raw_count, 1, -1, &origin, &summary),
		-ENOTSUP);
	assert_non_null(strstr(kmem_last_error(), "malloc of its own"));
	assert_int_equal(access(trace_path, F_OK), -1);
}

/* A disk that had no room for one event: that is said, and no malloc is blamed. */
static void test_full_disk(void **state)
{
	struct raw_header *header = aligned_alloc(RAW_HEADER_BYTES,
						  (size_t)2 * RAW_HEADER_BYTES);
	struct raw_file file = {
		.fd = -1, .bytes = (size_t)2 * RAW_HEADER_BYTES, .header = header};

	(void)state;
	assert_non_null(header);
	memset(header, 0, file.bytes);
	header->capacity = RAW_HEADER_BYTES / sizeof(struct raw_event);
	header->pid = 7;
	header->disk_full = 1;
	header->next = 100;
	start();
	assert_int_equal(record_convert_file(trace_path, &file, true, &origin, &summary),
			 -ENOSPC);
	assert_non_null(strstr(kmem_last_error(), "no room"));
	assert_int_equal(access(trace_path, F_OK), -1);
	free(header);
}

static void test_too_many_threads(void **state)
{
	const uint32_t n = RECORD_THREADS_MAX + 1;
	struct raw_event *many = calloc(n, sizeof(*many));

	(void)state;
	start();
	for (uint32_t i = 0; i < n; i++) {
		atomic_init(&many[i].what, raw_what(RAW_MALLOC, 0, n - 1 - i));
		many[i].ptr = 16 * (i + 1);
	}
	assert_int_equal(record_convert(trace_path, many, n, n, -1, &origin, &summary),
			 -EOVERFLOW);
	assert_int_equal(access(trace_path, F_OK), -1);
	assert_int_equal(
		record_convert(trace_path, many, n - 1, n, -1, &origin, &summary), 0);
	assert_int_equal(summary.threads, RECORD_THREADS_MAX);
	free(many);
}

/* A heap of few addresses against a table of what lives in each. */
static void test_against_a_model(void **state)
{
	enum { ADDRESSES = 3000, EVENTS = 200000, THREADS = 5 };
	struct raw_event *many = calloc(EVENTS, sizeof(*many));
	struct trace_event *expected = calloc(EVENTS, sizeof(*expected));
	static uint32_t id_at[ADDRESSES]; /* plus one; 0: free */
	static uint64_t size_at[ADDRESSES];
	uint64_t live = 0, peak = 0, n = 0;
	struct rng rng = {42};
	uint32_t ids = 0;

	(void)state;
	start();
	for (uint32_t i = 0; i < EVENTS; i++) {
		/* Some addresses differ in high bits only, some are neighbours. */
		uint32_t a = (uint32_t)rng_below(&rng, ADDRESSES);
		uint64_t address = (a & 1) ? (uint64_t)(a + 1) << 32
					   : 16 * (uint64_t)(a + 1);
		uint32_t thread = i < THREADS ? i : (uint32_t)rng_below(&rng, THREADS);
		uint64_t size = rng_below(&rng, 1000);
		enum raw_op op = id_at[a] != 0 ? RAW_FREE : RAW_MALLOC;

		live += op == RAW_MALLOC ? size : -size_at[a];
		peak = live > peak ? live : peak;
		size_at[a] = size;
		id_at[a] = op == RAW_MALLOC ? ++ids : id_at[a];
		atomic_init(&many[i].what, raw_what(op, 0, thread));
		many[i].ptr = address;
		many[i].size_bytes = op == RAW_MALLOC ? size : 0;
		expected[n++] = (struct trace_event){
			.op = op == RAW_MALLOC ? TRACE_MALLOC : TRACE_FREE,
			.thread = (uint16_t)thread,
			.id = id_at[a] - 1,
			.size_bytes = many[i].size_bytes,
		};
		id_at[a] = op == RAW_MALLOC ? id_at[a] : 0;
	}
	assert_int_equal(
		record_convert(trace_path, many, EVENTS, THREADS, -1, &origin, &summary),
		0);
	assert_int_equal(summary.live_bytes_max, peak);
	assert_int_equal(summary.implied_frees + summary.unknown_frees, 0);
	open_trace();
	assert_int_equal(trace.header->events, n);
	assert_memory_equal(events, expected, n * sizeof(*expected));
	close_trace();
	free(expected);
	free(many);
}

/* Whatever the program wrote over the recording, the trace is one that can be read. */
static void test_damage(void **state)
{
	enum { EVENTS = 2000 };
	struct raw_event *many = calloc(EVENTS, sizeof(*many));

	(void)state;
	for (uint64_t seed = 0; seed < 50; seed++) {
		struct rng rng = {seed};

		start();
		for (int i = 0; i < EVENTS; i++) {
			uint64_t wild = rng_below(&rng, 20) == 0 ? rng_next(&rng) : 0;

			atomic_init(&many[i].what,
				    raw_what(rng_below(&rng, NR_RAW_OPS), 0,
					     (uint32_t)rng_below(&rng, 4)) ^
					    wild);
			many[i].ptr = rng_below(&rng, 40) * 16;
			many[i].size_bytes = rng_below(&rng, 3) == 0
						     ? 0
						     : rng_next(&rng) >> 10;
			many[i].old_ptr = rng_below(&rng, 40) * 16;
		}
		if (record_convert(trace_path, many, EVENTS, 4, -1, &origin, &summary) !=
		    0)
			fail_msg("seed %llu: %s", (unsigned long long)seed,
				 kmem_last_error());
	}
	free(many);
}

/* --- record_program --- */

/* A shared object that is certainly there, and is no recorder. */
static const char *some_library(void)
{
	static Dl_info info;

	assert_int_not_equal(
		dladdr((void *)(uintptr_t)dlsym(RTLD_DEFAULT, "puts"), &info), 0);
	return info.dli_fname;
}

static int try_record(const char *path, const char *program, const char *library)
{
	char *argv[] = {(char *)(uintptr_t)program, NULL};
	struct record_options options = {.events_max = 1000, .library = library};
	int err = record_program(path, argv, &options, &summary);

	assert_int_equal(access(trace_path, F_OK), -1);
	return err;
}

static void test_program_errors(void **state)
{
	const char *libc = some_library();

	(void)state;
	start();
	assert_int_equal(try_record(trace_path, "/nothing/there", libc), -ENOENT);
	assert_non_null(strstr(kmem_last_error(), "'/nothing/there'"));
	assert_int_equal(try_record(trace_path, "/etc/passwd", libc), -EACCES);
	assert_int_equal(try_record("/nothing/there/t", "true", libc), -ENOENT);
	assert_int_equal(try_record(folder, "true", libc), -EEXIST);
	assert_int_equal(try_record(trace_path, "true", "/nothing/lib.so"), -ENOENT);
	assert_int_equal(try_record(trace_path, "true", "/etc/passwd"), -EINVAL);
	/* Preloaded, but it records nothing. */
	assert_int_equal(try_record(trace_path, "true", libc), -ENOTSUP);
	assert_true(WIFEXITED(summary.wait_status) &&
		    WEXITSTATUS(summary.wait_status) == 0);
	assert_int_equal(try_record(trace_path, "false", libc), -ENOTSUP);
	assert_int_equal(WEXITSTATUS(summary.wait_status), 1);
}

static void test_preload(void **state)
{
	(void)state;
	unsetenv("LD_PRELOAD");
	assert_int_equal(preload_prepend("/a/lib.so"), 0);
	assert_string_equal(getenv("LD_PRELOAD"), "/a/lib.so");
	assert_int_equal(preload_prepend("libb.so"), 0);
	assert_string_equal(getenv("LD_PRELOAD"), "libb.so:/a/lib.so");
	assert_int_equal(preload_prepend("/a b/lib.so"), -EINVAL);
	assert_int_equal(preload_prepend("/a:b/lib.so"), -EINVAL);
	assert_string_equal(getenv("LD_PRELOAD"), "libb.so:/a/lib.so");
	unsetenv("LD_PRELOAD");
	assert_int_equal(preload_check_library(some_library()), 0);
	assert_int_equal(preload_check_program("true"), 0);
	assert_int_equal(preload_check_program("no-such-program"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_operations),
		cmocka_unit_test(test_realloc_gives_its_address_away),
		cmocka_unit_test(test_realloc_ends),
		cmocka_unit_test(test_gaps),
		cmocka_unit_test(test_thread_edges),
		cmocka_unit_test(test_nothing_seen),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_too_many_threads),
		cmocka_unit_test(test_against_a_model),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_program_errors),
		cmocka_unit_test(test_preload),
	};

	return cmocka_run_group_tests_name("record", tests, make_folder, remove_folder);
}
