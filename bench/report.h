/* SPDX-License-Identifier: MIT */
/* One self-contained page about results: summary, tables, plots, machine, method. */
#ifndef KMEMBENCH_REPORT_H
#define KMEMBENCH_REPORT_H

#include <stddef.h>

/*
 * Writes the page for the results in `paths` to `file`, whole or not at all. Nothing in
 * it refers to anything outside it. Without gnuplot the page has no plots and says why; a
 * warning goes to stderr.
 *
 * 0, or -errno with an error text: results that cannot be read, a file that cannot be
 * written.
 */
int report_write(const char *const *paths, size_t count, const char *file);

#endif /* KMEMBENCH_REPORT_H */
