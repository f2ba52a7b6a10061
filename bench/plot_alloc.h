/* SPDX-License-Identifier: MIT */
/*
 * Memory for drawing and reporting. It happens after all measuring, on little data;
 * running out of it has no remedy here, so these end the program with a message.
 */
#ifndef KMEMBENCH_PLOT_ALLOC_H
#define KMEMBENCH_PLOT_ALLOC_H

#include <kmem/compiler.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline void *plot_checked(void *p)
{
	if (p == NULL) {
		fputs("kmembench: cannot continue: out of memory\n", stderr);
		abort();
	}
	return p;
}

static inline void *plot_calloc(size_t n, size_t size)
{
	return plot_checked(calloc(n > 0 ? n : 1, size));
}

/* Makes room for one more element of an array that holds n; doubles at powers of two. */
static inline void *plot_grow(void *array, size_t n, size_t size)
{
	if (n != 0 && (n & (n - 1)) != 0)
		return array;
	return plot_checked(reallocarray(array, n == 0 ? 1 : 2 * n, size));
}

static inline char *plot_strdup(const char *s)
{
	return plot_checked(strdup(s));
}

static inline KMEM_PRINTF(1, 2) char *plot_printf(const char *fmt, ...)
{
	char *s = NULL;
	va_list args;

	va_start(args, fmt);
	if (vasprintf(&s, fmt, args) < 0)
		s = NULL;
	va_end(args);
	return plot_checked(s);
}

#endif /* KMEMBENCH_PLOT_ALLOC_H */
