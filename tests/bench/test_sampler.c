/* SPDX-License-Identifier: MIT */
/* The sampler: parsing, agreement with memory_usage.c, rows that never run out. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "bench/memory_usage.h"
#include "bench/sampler.h"
#include "workloads/harness/arena.h"
#include "workloads/harness/probe_fast.h"

#define MIB ((uint64_t)1 << 20)

static struct probe_bytes bytes[2];
static unsigned int cpus[2] = {0, 0};

static struct sampler *new_sampler(double interval_s, uint64_t rss_before_bytes)
{
	struct sampler_config config = {
		.interval_s = interval_s,
		.rss_before_bytes = rss_before_bytes,
		.bytes = bytes,
		.threads = 2,
		.worker_cpus = cpus,
	};

	return sampler_new(&config);
}

static void sleep_ms(long ms)
{
	const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

static void fields_are_parsed(void **state)
{
	static const char text[] =
		"55e071574000-7fffa5a10000 ---p 00000000 00:00 0  [rollup]\n"
		"Rss:                1544 kB\n"
		"Pss_Anon:            108 kB\n"
		"Anonymous:           4096 kB\n"
		"AnonHugePages:         0 kB\n"
		"RssShmem:\t      12 kB\n"
		"Odd:  kB";
	uint64_t value = 7;

	(void)state;
	assert_true(memory_kb_field(text, "Rss:", &value));
	assert_int_equal(value, 1544 << 10);
	assert_true(memory_kb_field(text, "Anonymous:", &value));
	assert_int_equal(value, 4 * MIB);
	assert_true(memory_kb_field(text, "RssShmem:", &value));
	assert_int_equal(value, 12 << 10);
	assert_true(memory_kb_field(text, "AnonHugePages:", &value));
	assert_int_equal(value, 0);
	/* A name inside a line, or the end of another name, is no field. */
	assert_false(memory_kb_field(text, "Anon:", &value));
	assert_false(memory_kb_field(text, "ss:", &value));
	assert_false(memory_kb_field(text, "Swap:", &value));
	assert_false(memory_kb_field(text, "Odd:", &value));
	assert_false(memory_kb_field("", "Rss:", &value));
}

/* Harness's arenas taken off, as in a cell. */
static uint64_t usage_now(void)
{
	struct memory_usage usage;

	assert_int_equal(memory_usage_now(&usage), 0);
	return usage.rss_bytes - arena_bytes();
}

/* The thread sanitizer keeps shadows, which come and go between two readings. */
#if KMEM_UNDER_TSAN
#define SLACK_BYTES (8 * MIB)
#else
#define SLACK_BYTES (MIB / 4)
#endif

static void assert_close(uint64_t a, uint64_t b)
{
	assert_in_range(a > b ? a - b : b - a, 0, SLACK_BYTES);
}

static void resident_memory_agrees_with_memory_usage(void **state)
{
	uint64_t before = usage_now();
	struct sampler *s = new_sampler(10, before);
	int fd = memfd_create("test", MFD_CLOEXEC);
	char *anon, *shared;

	(void)state;
	assert_int_equal(ftruncate(fd, 4 * (off_t)MIB), 0);
	sampler_start(s);
	assert_close(sampler_last(s).rss_bytes, usage_now() - before);
	anon = mmap(NULL, 8 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		    -1, 0);
	shared = mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(anon != MAP_FAILED && shared != MAP_FAILED);
	memset(anon, 1, 8 * MIB);
	memset(shared, 1, 4 * MIB);
	sampler_mark(s, "touched");
	/* Less a few pages of stack that were touched, and let go. */
	assert_true(sampler_last(s).rss_bytes >= 12 * MIB - MIB / 16);
	assert_close(sampler_last(s).rss_bytes, usage_now() - before);
	assert_true(sampler_last(s).mappings > 5);
	assert_true(sampler_last(s).page_faults > 0);
	munmap(anon, 8 * MIB);
	munmap(shared, 4 * MIB);
	close(fd);
	sampler_mark(s, "idle");
	assert_close(sampler_last(s).rss_bytes, usage_now() - before);
	sampler_stop(s);
	assert_true(sampler_rss_bytes_max(s) >= 12 * MIB - MIB / 16);
	sampler_delete(s);
	assert_close(usage_now(), before);
}

/* Many samples in a short time weigh no more than few in a long one. */
static void means_are_over_time(void **state)
{
	struct sampler *s = new_sampler(1000, 0);
	struct sampler_sums sums;

	(void)state;
	atomic_store(&bytes[0].live, 1000000);
	sampler_start(s);
	for (int i = 0; i < 20; i++)
		sampler_mark(s, "work");
	atomic_store(&bytes[0].live, 0);
	sampler_mark(s, "work");
	sleep_ms(600);
	sampler_mark(s, "idle");
	sampler_stop(s);
	sums = sampler_sums(s);
	assert_true(sums.live_byte_s / sums.seconds < 500000);
	sampler_delete(s);
	memset(bytes, 0, sizeof(bytes));
}

#define FILE_BYTES (4 * MIB)

/* Pages of a memory file are held until a hole is punched, and are one page each. */
static void memory_files_count_once_and_until_they_are_punched(void **state)
{
	int fd = memfd_create("test", MFD_CLOEXEC), again = dup(fd);
	uint64_t before = usage_now();
	char *at[2];

	(void)state;
	/* Not written to: the thread sanitizer would keep shadows of it. */
	assert_int_equal(fallocate(fd, 0, 0, FILE_BYTES), 0);
	for (int i = 0; i < 2; i++) {
		at[i] = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_POPULATE, fd, 0);
		assert_true(at[i] != MAP_FAILED);
		assert_close(usage_now(), before + FILE_BYTES);
	}
	munmap(at[0], FILE_BYTES);
	munmap(at[1], FILE_BYTES);
	assert_close(usage_now(), before + FILE_BYTES);
	fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, FILE_BYTES / 2);
	assert_close(usage_now(), before + FILE_BYTES / 2);
	close(fd);
	assert_close(usage_now(), before + FILE_BYTES / 2);
	close(again);
	assert_close(usage_now(), before);
}

/* Without a descriptor, what is mapped must tell. */
static void shared_memory_without_a_file_counts(void **state)
{
	uint64_t before = usage_now();
	char *p = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	(void)state;
	assert_true(p != MAP_FAILED);
	assert_close(usage_now(), before + FILE_BYTES);
	munmap(p, FILE_BYTES);
	assert_close(usage_now(), before);
}

static bool close_to(double a, double b)
{
	return a - b <= 1e-9 * b + 1e-15 && b - a <= 1e-9 * b + 1e-15;
}

static void threads_are_summed_and_phases_marked(void **state)
{
	struct sampler *s;
	const struct sampler_row *row;
	struct sampler_sums sums;
	size_t n;

	(void)state;
	atomic_store(&bytes[0].live, 1000);
	/* It has freed what the other one allocated. */
	atomic_store(&bytes[1].live, -300);
	atomic_store(&bytes[0].usable, 1200);
	atomic_store(&bytes[1].usable, -350);
	atomic_store(&bytes[0].allocated, 5000);
	s = new_sampler(10, 0);
	sampler_start(s);
	sampler_mark(s, "drain");
	atomic_store(&bytes[0].live, 400);
	sampler_mark(s, "work");
	sampler_mark(s, "idle");
	sampler_mark(s, "freed");
	sampler_stop(s);
	row = sampler_rows(s, &n);
	assert_int_equal(n, 5);
	assert_int_equal(row[0].live_bytes, 700);
	assert_int_equal(row[0].usable_bytes, 850);
	assert_int_equal(row[0].allocated_bytes, 5000);
	assert_int_equal(row[2].live_bytes, 100);
	assert_string_equal(sampler_phase(s, row[0].phase), "work");
	assert_string_equal(sampler_phase(s, row[1].phase), "drain");
	assert_int_equal(row[2].phase, row[0].phase);
	assert_string_equal(sampler_phase(s, row[3].phase), "idle");
	assert_string_equal(sampler_phase(s, row[4].phase), "freed");
	assert_null(sampler_phase(s, 4));
	/* Means are of the work, up to the mark that ends it, and by time. */
	sums = sampler_sums(s);
	assert_true(close_to(sums.seconds, row[3].t_s - row[0].t_s));
	assert_true(close_to(sums.usable_byte_s, 850 * sums.seconds));
	assert_true(close_to(sums.live_byte_s, 700 * (row[1].t_s - row[0].t_s) +
						       400 * (row[2].t_s - row[1].t_s) +
						       100 * (row[3].t_s - row[2].t_s)));
	sampler_delete(s);
	memset(bytes, 0, sizeof(bytes));
}

static void it_samples_by_itself_and_stops_at_once(void **state)
{
	struct sampler *s = new_sampler(0.002, 0);
	const struct sampler_row *row;
	struct timespec a, b;
	size_t n;

	(void)state;
	sampler_start(s);
	sleep_ms(300);
	sampler_stop(s);
	row = sampler_rows(s, &n);
	/* A busy machine may let it have a tenth of its time. */
	assert_in_range(n, 5, 160);
	for (size_t i = 1; i < n; i++)
		assert_true(row[i].t_s > row[i - 1].t_s);
	assert_true(row[n - 1].t_s < 5);
	sampler_delete(s);
	s = new_sampler(1000, 0);
	clock_gettime(CLOCK_MONOTONIC, &a);
	sampler_start(s);
	sampler_stop(s);
	clock_gettime(CLOCK_MONOTONIC, &b);
	assert_true(b.tv_sec - a.tv_sec < 100);
	sampler_delete(s);
}

/* Rows thin out, the first and the last stay, and so do maxima. */
static void rows_never_run_out(void **state)
{
	struct sampler *s = new_sampler(1000, 0);
	const struct sampler_row *row;
	size_t n;

	(void)state;
	sampler_start(s);
	for (int i = 0; i < 5 * SAMPLER_ROWS; i++) {
		atomic_store(&bytes[0].live, i);
		sampler_mark(s, "work");
	}
	sampler_mark(s, "idle");
	sampler_stop(s);
	row = sampler_rows(s, &n);
	assert_in_range(n, SAMPLER_ROWS / 4, SAMPLER_ROWS);
	assert_true(row[0].t_s < row[1].t_s);
	assert_int_equal(row[0].live_bytes, 0);
	assert_string_equal(sampler_phase(s, row[n - 1].phase), "idle");
	for (size_t i = 1; i < n; i++)
		assert_true(row[i].t_s > row[i - 1].t_s);
	assert_true(close_to(sampler_sums(s).seconds, row[n - 1].t_s - row[0].t_s));
	sampler_delete(s);
	memset(bytes, 0, sizeof(bytes));
}

static void periodic_rows_go_before_marks(void **state)
{
	struct sampler *s = new_sampler(0.00005, 0);
	const struct sampler_row *row;
	size_t n, marks = 0;

	(void)state;
	sampler_start(s);
	for (int i = 0; i < 40; i++) {
		sleep_ms(10);
		sampler_mark(s, "work");
	}
	sampler_stop(s);
	row = sampler_rows(s, &n);
	for (size_t i = 0; i < n; i++)
		marks += row[i].mark;
	assert_int_equal(marks, 41);
	assert_true(n <= SAMPLER_ROWS);
	assert_true(sampler_interval_s(s) >= 0.00005);
	sampler_delete(s);
}

static void more_phases_than_names_are_the_last_one(void **state)
{
	static char name[SAMPLER_PHASES + 5][16];
	struct sampler *s = new_sampler(1000, 0);

	(void)state;
	sampler_start(s);
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(name); i++) {
		snprintf(name[i], sizeof(name[i]), "phase %zu", i);
		sampler_mark(s, name[i]);
	}
	assert_int_equal(sampler_last(s).phase, SAMPLER_PHASES - 1);
	sampler_stop(s);
	sampler_delete(s);
}

static void read_course(const struct workload_run *run, double *values)
{
	values[0] = (double)++*(unsigned int *)run->shared;
	values[1] = -7;
}

/* Every row has the workload's own columns, read when the row was taken. */
static void the_workload_adds_columns(void **state)
{
	static const struct workload_ops ops = {.name = "test",
						.course = {"samples", "seven"},
						.course_read = read_course};
	unsigned int samples = 0;
	struct workload_run run = {.workload = &ops, .shared = &samples};
	struct sampler_config config = {
		.interval_s = 1000,
		.bytes = bytes,
		.threads = 2,
		.worker_cpus = cpus,
		.run = &run,
		.course_columns = workload_course_columns(&ops),
	};
	struct sampler *s = sampler_new(&config);
	const struct sampler_row *rows;
	size_t count;

	(void)state;
	sampler_start(s);
	sampler_mark(s, "one");
	sampler_mark(s, "two");
	sampler_stop(s);
	rows = sampler_rows(s, &count);
	assert_int_equal(count, 3);
	for (size_t i = 0; i < count; i++) {
		assert_true(rows[i].course[0] == (double)(i + 1));
		assert_true(rows[i].course[1] == -7);
	}
	sampler_delete(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_are_parsed),
		cmocka_unit_test(resident_memory_agrees_with_memory_usage),
		cmocka_unit_test(memory_files_count_once_and_until_they_are_punched),
		cmocka_unit_test(shared_memory_without_a_file_counts),
		cmocka_unit_test(means_are_over_time),
		cmocka_unit_test(threads_are_summed_and_phases_marked),
		cmocka_unit_test(it_samples_by_itself_and_stops_at_once),
		cmocka_unit_test(rows_never_run_out),
		cmocka_unit_test(periodic_rows_go_before_marks),
		cmocka_unit_test(more_phases_than_names_are_the_last_one),
		cmocka_unit_test(the_workload_adds_columns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
