/* SPDX-License-Identifier: MIT */
/*
 * Errors of set-up calls.
 *
 * A function that can fail for a reason a user can mend returns a negative
 * errno value and leaves a sentence in the calling thread's error text. The
 * sentence is lower case, quotes its subject, names the remedy and has no full
 * stop, so that a program can print "prog: cannot X: <text>".
 */
#ifndef KMEM_ERROR_H
#define KMEM_ERROR_H

#include <kmem/compiler.h>

/* The calling thread's last error text; never NULL. Valid until the next error. */
KMEM_API const char *kmem_last_error(void);

/* Sets the text and returns err (negative errno), for `return kmem_error(-EINVAL, …)`. */
KMEM_API int kmem_error(int err, const char *fmt, ...) KMEM_PRINTF(2, 3);

/*
 * Misuse found at run time: double free, bad pfn, corrupted object. The report
 * is one line (or several for dumps), without a final newline. The default
 * handler prints "kmem: BUG: <report>" to stderr; the faulty call is then
 * ignored and the memory involved is leaked on purpose, so that the damage
 * does not spread. Tests install their own handler. Thread-safe.
 */
typedef void (*kmem_bug_handler)(const char *report, void *arg);
KMEM_API void kmem_set_bug_handler(kmem_bug_handler handler, void *arg);
KMEM_API void kmem_bug(const char *fmt, ...) KMEM_PRINTF(1, 2);

/* Number of kmem_bug() calls since the process started. */
KMEM_API unsigned long kmem_bug_count(void);

#endif /* KMEM_ERROR_H */
