/* SPDX-License-Identifier: MIT */
/*
 * Error texts of set-up calls and reports of misuse.
 *
 * Nothing here allocates: a report must get out of a process whose allocator
 * is the very thing that is broken. Texts are cut at their buffer's end and
 * then close with "..." so that a reader sees that something is missing.
 */
#include "allocators/core/error_internal.h"
#include <kmem/error.h>

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Per thread. It takes part of the static TLS space, which dlopen() has little of. */
#define ERROR_TEXT_BYTES 512
/* A report may be a dump of several lines; it lies on the caller's stack. */
#define BUG_REPORT_BYTES 4096

static _Thread_local char error_text[ERROR_TEXT_BYTES];

const char *kmem_last_error(void)
{
	return error_text[0] != '\0' ? error_text : "no error";
}

/* vsnprintf() that marks a text that was cut. Always terminates. */
static void format_marked(char *buf, size_t size, const char *fmt, va_list args)
{
	int n = vsnprintf(buf, size, fmt, args);

	if (n < 0)
		snprintf(buf, size, "%s", fmt);
	else if ((size_t)n >= size)
		memcpy(buf + size - sizeof("..."), "...", sizeof("..."));
}

int kmem_error(int err, const char *fmt, ...)
{
	/* An argument may be the former text: format aside, then copy. */
	char text[ERROR_TEXT_BYTES];
	int saved_errno = errno;
	va_list args;

	va_start(args, fmt);
	format_marked(text, sizeof(text), fmt, args);
	va_end(args);
	memcpy(error_text, text, strlen(text) + 1);
	errno = saved_errno;
	return err;
}

/* --- misuse --- */

static atomic_ulong bug_count;

/* The pair is read and replaced as one, under bug_lock. */
static atomic_flag bug_lock = ATOMIC_FLAG_INIT;
static kmem_bug_handler bug_handler;
static void *bug_handler_arg;

static void bug_lock_take(void)
{
	while (atomic_flag_test_and_set_explicit(&bug_lock, memory_order_acquire))
		sched_yield();
}

static void bug_lock_release(void)
{
	atomic_flag_clear_explicit(&bug_lock, memory_order_release);
}

void kmem_bug_fork_lock(void)
{
	bug_lock_take();
}

void kmem_bug_fork_unlock(void)
{
	bug_lock_release();
}

void kmem_set_bug_handler(kmem_bug_handler handler, void *arg)
{
	bug_lock_take();
	bug_handler = handler;
	bug_handler_arg = arg;
	bug_lock_release();
}

/* One write, so that reports of several threads do not mix; no stdio, which allocates. */
static void print_bug(const char *report)
{
	char line[BUG_REPORT_BYTES + sizeof("kmem: BUG: \n")];
	int n = snprintf(line, sizeof(line), "kmem: BUG: %s\n", report);
	const char *p = line;
	size_t left = (size_t)n;

	while (left > 0) {
		ssize_t written = write(STDERR_FILENO, p, left);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return; /* there is nobody to tell */
		p += written;
		left -= (size_t)written;
	}
}

void kmem_bug(const char *fmt, ...)
{
	char report[BUG_REPORT_BYTES];
	int saved_errno = errno;
	kmem_bug_handler handler;
	void *arg;
	va_list args;

	va_start(args, fmt);
	format_marked(report, sizeof(report), fmt, args);
	va_end(args);
	atomic_fetch_add_explicit(&bug_count, 1, memory_order_relaxed);

	bug_lock_take();
	handler = bug_handler;
	arg = bug_handler_arg;
	bug_lock_release();
	/* Called without the lock: a handler may allocate, or report a bug itself. */
	if (handler != NULL)
		handler(report, arg);
	else
		print_bug(report);
	errno = saved_errno;
}

unsigned long kmem_bug_count(void)
{
	return atomic_load_explicit(&bug_count, memory_order_relaxed);
}
