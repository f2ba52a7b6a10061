/* SPDX-License-Identifier: MIT */
/* Error texts and bug reports. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <kmem/error.h>

static void error_returns_its_code_and_keeps_the_text(void **state)
{
	(void)state;
	assert_int_equal(kmem_error(-EINVAL, "size '%d' is odd", 7), -EINVAL);
	assert_string_equal(kmem_last_error(), "size '7' is odd");
}

static void an_error_may_quote_the_one_before(void **state)
{
	(void)state;
	kmem_error(-EINVAL, "inner");
	kmem_error(-EINVAL, "outer: %s", kmem_last_error());
	assert_string_equal(kmem_last_error(), "outer: inner");
}

static void a_long_text_is_cut_and_marked(void **state)
{
	char text[2000];
	size_t length;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	kmem_error(-EINVAL, "%s", text);
	length = strlen(kmem_last_error());
	assert_in_range(length, 100, sizeof(text) - 2);
	assert_string_equal(kmem_last_error() + length - 4, "x...");
}

static void errno_reaches_the_text_and_survives(void **state)
{
	(void)state;
	errno = ENOENT;
	kmem_error(-ENOENT, "cannot open: %m");
	assert_int_equal(errno, ENOENT);
	assert_string_equal(kmem_last_error(), "cannot open: No such file or directory");
}

static void *other_thread(void *arg)
{
	(void)arg;
	assert_string_equal(kmem_last_error(), "no error");
	kmem_error(-EIO, "of the other thread");
	return NULL;
}

static void texts_belong_to_threads(void **state)
{
	pthread_t thread;

	(void)state;
	kmem_error(-EINVAL, "of the first thread");
	pthread_create(&thread, NULL, other_thread, NULL);
	pthread_join(thread, NULL);
	assert_string_equal(kmem_last_error(), "of the first thread");
}

/* --- bug reports --- */

struct seen {
	_Atomic unsigned int count;
	char report[128];
};

static void remember(const char *report, void *arg)
{
	struct seen *seen = arg;

	atomic_fetch_add(&seen->count, 1);
	snprintf(seen->report, sizeof(seen->report), "%s", report);
}

static void count_only(const char *report, void *arg)
{
	struct seen *seen = arg;

	assert_string_equal(report, "double free of object 1");
	atomic_fetch_add(&seen->count, 1);
}

static void a_handler_gets_reports_and_its_argument(void **state)
{
	unsigned long before = kmem_bug_count();
	struct seen seen = {0};

	(void)state;
	kmem_set_bug_handler(remember, &seen);
	kmem_bug("double free of object %p in cache '%s'", (void *)0x10, "dentry");
	kmem_set_bug_handler(NULL, NULL);
	assert_int_equal(seen.count, 1);
	assert_string_equal(seen.report, "double free of object 0x10 in cache 'dentry'");
	assert_int_equal(kmem_bug_count(), before + 1);
}

static void report_again(const char *report, void *arg)
{
	struct seen *seen = arg;

	(void)report;
	if (atomic_fetch_add(&seen->count, 1) == 0)
		kmem_bug("from the handler");
}

static void a_handler_may_report_itself(void **state)
{
	struct seen seen = {0};

	(void)state;
	kmem_set_bug_handler(report_again, &seen);
	kmem_bug("first");
	kmem_set_bug_handler(NULL, NULL);
	assert_int_equal(seen.count, 2);
}

static void the_default_is_a_line_on_stderr(void **state)
{
	char line[128] = "";
	int saved = dup(STDERR_FILENO);
	int fds[2];
	ssize_t n;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	dup2(fds[1], STDERR_FILENO);
	kmem_bug("bad pfn %d", 12);
	dup2(saved, STDERR_FILENO);
	n = read(fds[0], line, sizeof(line) - 1);
	assert_int_equal(n, strlen("kmem: BUG: bad pfn 12\n"));
	assert_string_equal(line, "kmem: BUG: bad pfn 12\n");
	close(fds[0]);
	close(fds[1]);
	close(saved);
}

#define REPORTS 1000

static void *report_many(void *arg)
{
	(void)arg;
	for (int i = 0; i < REPORTS; i++)
		kmem_bug("double free of object %d", 1);
	return NULL;
}

static void threads_report_at_once(void **state)
{
	unsigned long before = kmem_bug_count();
	struct seen seen = {0};
	pthread_t threads[4];

	(void)state;
	kmem_set_bug_handler(count_only, &seen);
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, report_many, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	kmem_set_bug_handler(NULL, NULL);
	assert_int_equal(seen.count, 4 * REPORTS);
	assert_int_equal(kmem_bug_count() - before, 4 * REPORTS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(error_returns_its_code_and_keeps_the_text),
		cmocka_unit_test(an_error_may_quote_the_one_before),
		cmocka_unit_test(a_long_text_is_cut_and_marked),
		cmocka_unit_test(errno_reaches_the_text_and_survives),
		cmocka_unit_test(texts_belong_to_threads),
		cmocka_unit_test(a_handler_gets_reports_and_its_argument),
		cmocka_unit_test(a_handler_may_report_itself),
		cmocka_unit_test(the_default_is_a_line_on_stderr),
		cmocka_unit_test(threads_report_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
