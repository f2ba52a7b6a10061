/* SPDX-License-Identifier: MIT */
/* Logs of ltrace and mtrace: what each line comes to, and which lines are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/import.h"
#include <kmem/error.h>
#include "workloads/harness/trace.h"

static char folder[] = "/tmp/kmembench-import-XXXXXX";
static char log_path[64], trace_path[64];

static int make_folder(void **state)
{
	(void)state;
	if (mkdtemp(folder) == NULL)
		return -1;
	snprintf(log_path, sizeof(log_path), "%s/log", folder);
	snprintf(trace_path, sizeof(trace_path), "%s/trace", folder);
	return 0;
}

/* Fails when anything but log and trace is left in the folder. */
static int remove_folder(void **state)
{
	(void)state;
	unlink(log_path);
	unlink(trace_path);
	return rmdir(folder);
}

static struct import_summary summary;

static int import_text(const char *text, enum import_format format, bool keep_going)
{
	const struct import_options options = {format, keep_going};
	FILE *f = fopen(log_path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	unlink(trace_path);
	return import_trace(log_path, trace_path, &options, &summary);
}

/* The trace in words: "0 malloc 0 24; ", thread, operation, id, size, alignment. */
static const char *trace_in_words(void)
{
	static const char *const names[NR_TRACE_OPS] = {"malloc",  "calloc", "memalign",
							"realloc", "free",   "after"};
	static char words[4096];
	struct trace_cursor cursor;
	struct trace_event e;
	struct trace trace;
	size_t used = 0;

	assert_int_equal(trace_open(trace_path, &trace), 0);
	words[0] = '\0';
	trace_cursor_start(&cursor, &trace);
	while (trace_next(&cursor, &e)) {
		used += (size_t)snprintf(words + used, sizeof(words) - used, "%u %s %u",
					 e.thread, names[e.op], e.id);
		if (e.op != TRACE_FREE)
			used += (size_t)snprintf(words + used, sizeof(words) - used,
						 " %llu",
						 (unsigned long long)e.size_bytes);
		if (e.align_log2 > 0)
			used += (size_t)snprintf(words + used, sizeof(words) - used,
						 " a%u", e.align_log2);
		used += (size_t)snprintf(words + used, sizeof(words) - used, "; ");
	}
	trace_close(&trace);
	return words;
}

static void comes_to(const char *text, enum import_format format, const char *words)
{
	if (import_text(text, format, false) != 0)
		fail_msg("%s", kmem_last_error());
	assert_string_equal(trace_in_words(), words);
}

static void refused(const char *text, enum import_format format, const char *piece)
{
	assert_int_equal(import_text(text, format, false), -EINVAL);
	if (strstr(kmem_last_error(), piece) == NULL)
		fail_msg("'%s' does not contain '%s'", kmem_last_error(), piece);
	assert_int_equal(access(trace_path, F_OK), -1);
}

/* --- ltrace --- */

static void ltrace_of_one_process(void **state)
{
	(void)state;
	comes_to("__libc_start_main(0x401136, 1, 0x7ffd, 0 <unfinished ...>\n"
		 "malloc(24)                                       = 0x1000\n"
		 "strlen(\"malloc(7) = 0x9\")                        = 15\n"
		 "calloc(3, 100)                                   = 0x2000\n"
		 "memalign(64, 0x20)                               = 0x3000\n"
		 "aligned_alloc(4096, 8192)                        = 0x4000\n"
		 "valloc(10)                                       = 0x5000\n"
		 "realloc(0x1000, 48)                              = 0x6000\n"
		 "realloc(nil, 7)                                  = 0x1000\n"
		 "realloc(0x1000, 0)                               = nil\n"
		 "realloc(0x2000, 99999999999999)                  = nil\n"
		 "malloc(99999999999999)                           = 0\n"
		 "reallocarray(0x2000, 5, 100)                     = 0x2000\n"
		 "free(nil)                                        = <void>\n"
		 "free(0x6000)                                     = <void>\n"
		 "--- SIGCHLD (Child exited) ---\n"
		 "+++ exited (status 0) +++\n",
		 IMPORT_AUTO,
		 "0 malloc 0 24; 0 calloc 1 300; 0 memalign 2 32 a6; 0 memalign 3 8192 "
		 "a12; 0 memalign 4 10 a12; 0 realloc 0 48; 0 malloc 5 7; 0 free 5; "
		 "0 realloc 1 500; 0 free 0; ");
	assert_int_equal(summary.format, IMPORT_LTRACE);
	assert_int_equal(summary.lines, 17);
	assert_int_equal(summary.trace.unknown_frees, 0);
}

static void ltrace_prefixes_and_names(void **state)
{
	(void)state;
	comes_to("[pid 77] 12:34:56.789012 ls->malloc(1) = 0x1000\n"
		 "78 0.000123 malloc@libc.so.6(2) = 0x2000\r\n"
		 "  1700000000.123456 [0x4005d0] malloc(3) = 0x3000\n"
		 "[pid 77] libstdc++.so.6->_Znwm(4, 5) = 0x4000\n"
		 "[pid 77] _ZnwmSt11align_val_t(5, 64) = 0x5000\n"
		 "[pid 77] operator new[](unsigned long)(6) = 0x6000\n"
		 "[pid 77] operator delete(void*)(0x6000) = <void>\n"
		 "[pid 78] _ZdlPvm(0x4000, 4) = <void>\n",
		 IMPORT_LTRACE,
		 "0 malloc 0 1; 1 malloc 1 2; 2 malloc 2 3; 0 malloc 3 4; 0 memalign 4 5 "
		 "a6; 0 malloc 5 6; 0 free 5; 1 free 3; ");
}

/* Calls cut in two by other threads' lines, and calls within calls. */
static void ltrace_unfinished_calls(void **state)
{
	(void)state;
	comes_to("[pid 1] malloc(10 <unfinished ...>\n"
		 "[pid 2] malloc(20) = 0x2000\n"
		 "[pid 1] <... malloc resumed> ) = 0x1000\n"
		 "[pid 1] free(0x1000 <unfinished ...>\n"
		 "[pid 2] malloc(30) = 0x1000\n" /* freed by then */
		 "[pid 1] <... free resumed> ) = <void>\n"
		 "[pid 2] realloc(0x1000, 40 <unfinished ...>\n"
		 "[pid 1] malloc(50) = 0x1000\n"
		 "[pid 2] <... realloc resumed> ) = 0x3000\n"
		 "[pid 2] _Znwm(60 <unfinished ...>\n"
		 "[pid 2] malloc(60 <unfinished ...>\n"
		 "[pid 2] <... malloc resumed> ) = 0x4000\n"
		 "[pid 2] <... _Znwm resumed> ) = 0x4000\n"
		 "[pid 2] <... strlen resumed> ) = 3\n"
		 "[pid 1] malloc(70 <unfinished ...>\n",
		 IMPORT_AUTO,
		 "0 malloc 0 20; 1 malloc 1 10; 1 free 1; 0 malloc 2 30; 1 malloc 3 50; "
		 "0 realloc 2 40; 0 malloc 4 60; ");
	assert_int_equal(summary.unfinished, 1);
	assert_int_equal(summary.trace.implied_frees, 0);
}

static void ltrace_gaps(void **state)
{
	(void)state;
	comes_to("malloc(1) = 0x1000\n"
		 "posix_memalign(0x7ffd10, 64, 100) = 0\n"
		 "free(0x9000) = <void>\n"
		 "malloc(2) = 0x1000\n",
		 IMPORT_LTRACE, "0 malloc 0 1; 0 free 0; 0 malloc 1 2; ");
	assert_int_equal(summary.without_address, 1);
	assert_int_equal(summary.trace.unknown_frees, 1);
	assert_int_equal(summary.trace.implied_frees, 1);
}

static void ltrace_bad_lines(void **state)
{
	static const char *const bad[][2] = {
		{"malloc(1) = 0x1000\nmalloc() = 0x2000\n",
		 "line 2: argument 1 of 'malloc' is missing"},
		{"malloc(abc) = 0x1000\n", "line 1: argument 1 of 'malloc'"},
		{"\n\nmalloc(1)\n", "line 3: 'malloc' has no result"},
		{"realloc(0x1000) = 0x2000\n", "argument 2 of 'realloc'"},
		{"<... malloc resumed> ) = 0x1000\n",
		 "line 1: a call of 'malloc' ends that no line began"},
		{"puts(\"hello\") = 6\n", "has no line that allocates, read as a log of "
					  "ltrace"},
	};

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(bad); i++)
		refused(bad[i][0], IMPORT_AUTO, bad[i][1]);
	assert_int_equal(import_text("malloc(1) = 0x1000\nmalloc() = 1\nmalloc(2\n",
				     IMPORT_LTRACE, true),
			 0);
	assert_int_equal(summary.bad_lines, 2);
	assert_non_null(strstr(kmem_last_error(), "line 2: argument 1"));
	assert_string_equal(trace_in_words(), "0 malloc 0 1; ");
}

/* --- mtrace --- */

static void mtrace_logs(void **state)
{
	(void)state;
	comes_to("= Start\n"
		 "@ ./a program:[0x4011d6] + 0x1000 0x18\n"
		 "@ ./a program:(main+0x20)[0x4011e0] + 0x2000 0\n"
		 "@ ./a program:[0x4011d6] < 0x1000\n"
		 "@ ./a program:[0x4011d6] > 0x3000 0x30\n"
		 "@ ./a program:[0x4011d6] ! 0x3000 0xffffffffffff\n"
		 "@ ./a program:[0x4011d6] + (nil) 0xffffffffffff\n"
		 "+ 0x1000 0x7\n"
		 "- 0x3000\r\n"
		 "@ ./a program:[0x4011d6] - 0x2000\n"
		 "@ ./a program:[0x4011d6] - 0x9000\n"
		 "= End\n",
		 IMPORT_AUTO,
		 "0 malloc 0 24; 0 malloc 1 0; 0 realloc 0 48; 0 malloc 2 7; 0 free 0; "
		 "0 free 1; ");
	assert_int_equal(summary.format, IMPORT_MTRACE);
	assert_int_equal(summary.trace.unknown_frees, 1);
}

static void mtrace_bad_lines(void **state)
{
	static const char *const bad[][2] = {
		{"= Start\n@ a:[0x1] + 0x1000\n", "line 2: not a line of mtrace"},
		{"= Start\n@ a:[0x1] - 0x1000 0x10\n", "line 2: not a line of mtrace"},
		{"= Start\nhello\n", "line 2: not a line of mtrace"},
		{"= Start\n@ a:[0x1] + 1000 0x10\n", "line 2: not a line"},
		{"= Start\n@ a > 0x1000 0x10\n", "line 2: '>' has no '<'"},
		{"= Start\n@ a < 0x1000\n@ a + 0x2000 0x1\n", "line 3: a realloc ('<')"},
		{"= Start\n@ a < (nil)\n", "line 2: a realloc of no address"},
		{"= Start\n", "has no line that allocates, read as a log of mtrace"},
		{"", "has no line that allocates"},
	};

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(bad); i++)
		refused(bad[i][0], IMPORT_AUTO, bad[i][1]);
}

static void files_that_cannot_be(void **state)
{
	const struct import_options options = {0};

	(void)state;
	assert_int_equal(import_trace("/nothing/there", trace_path, &options, &summary),
			 -ENOENT);
	assert_non_null(strstr(kmem_last_error(), "'/nothing/there'"));
	assert_int_equal(import_trace(folder, trace_path, &options, &summary), -EIO);
	assert_int_equal(import_text("malloc(1) = 0x10\n", IMPORT_LTRACE, false), 0);
	assert_int_equal(import_trace(log_path, "/nothing/t", &options, &summary),
			 -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ltrace_of_one_process),
		cmocka_unit_test(ltrace_prefixes_and_names),
		cmocka_unit_test(ltrace_unfinished_calls),
		cmocka_unit_test(ltrace_gaps),
		cmocka_unit_test(ltrace_bad_lines),
		cmocka_unit_test(mtrace_logs),
		cmocka_unit_test(mtrace_bad_lines),
		cmocka_unit_test(files_that_cannot_be),
	};

	return cmocka_run_group_tests_name("import", tests, make_folder, remove_folder);
}
